#include "gossip/delta.h"

#include <utility>

namespace starling::gossip {
namespace {

// Tags, lengths and fixed fields of one part; generous.
constexpr size_t part_overhead_bytes = 32;

}  // namespace

peer::StateDelta& DeltaWriter::room_for(size_t size) {
    size += part_overhead_bytes;
    if (messages_.empty() || bytes_used_ + size > bytes_target_) {
        messages_.emplace_back();
        bytes_used_ = 0;
    }
    bytes_used_ += size;
    return messages_.back();
}

void DeltaWriter::add(const MemberRecord& record) {
    std::string bytes = encode(record);
    room_for(bytes.size()).add_records(std::move(bytes));
}

void DeltaWriter::add(const DeathCertificate& certificate) {
    to_proto(certificate, *room_for(0).add_certificates());
}

void DeltaWriter::add_item(std::string_view key, const SharedItem& item) {
    peer::SharedItem& out = *room_for(key.size() + item.value.size()).add_items();
    out.set_key(std::string(key));
    out.set_version(item.version);
    out.set_value(item.value);
}

void DeltaWriter::want_record(base::NodeId node) {
    room_for(0).add_wanted_records(node.raw());
}

void DeltaWriter::want_item(std::string_view key) {
    room_for(key.size()).add_wanted_items(std::string(key));
}

void merge_into(Membership& membership,
                const google::protobuf::RepeatedPtrField<peer::DeathCertificate>& certificates,
                StateChanges& changes) {
    for (const auto& part : certificates) {
        const DeathCertificate certificate = from_proto(part);
        const MergeResult result = membership.merge(certificate);
        if (is_change(result)) changes.certificates.push_back(certificate);
        changes.refused += result == MergeResult::refused_limit;
    }
}

void merge_into(Membership& membership,
                const peer::StateDelta& delta,
                base::NodeId self,
                StateChanges& changes) {
    // Certificates first: they decide which records are worth a look.
    merge_into(membership, delta.certificates(), changes);
    for (const std::string& bytes : delta.records()) {
        auto record = decode_member(bytes);
        if (!record.ok()) {
            ++changes.refused;
            continue;
        }
        if (record->id == self) {
            changes.records_of_self.push_back(*std::move(record));
            continue;
        }
        const MergeResult result = membership.merge(*record);
        changes.conflicts += is_conflict(result);
        changes.dead_refused += result == MergeResult::refused_dead;
        changes.refused += result == MergeResult::refused_limit;
        if (is_change(result)) changes.records.push_back(*std::move(record));
    }
    for (const auto& part : delta.items()) {
        const MergeResult result =
            membership.merge_item(part.key(), {part.version(), part.value()});
        changes.refused += result == MergeResult::refused_limit;
        if (is_change(result)) changes.items.push_back(part.key());
    }
}

peer::StateDelta whole_state(const Membership& membership,
                             base::NodeId except,
                             size_t bytes_target) {
    DeltaWriter writer(bytes_target);
    for (const auto& [node, certificate] : membership.certificates())
        writer.add(certificate);
    for (const auto& [key, held] : membership.items())
        writer.add_item(key, held.item);
    for (const auto& [node, member] : membership.members()) {
        if (node != except) writer.add(member.record);
    }
    std::vector<peer::StateDelta> messages = writer.finish();
    return messages.empty() ? peer::StateDelta() : std::move(messages.front());
}

void to_proto(const DeathCertificate& certificate, peer::DeathCertificate& out) {
    out.set_node(certificate.node.raw());
    out.set_by(certificate.by.raw());
    out.set_created_ms(certificate.created_ms);
}

DeathCertificate from_proto(const peer::DeathCertificate& certificate) {
    return {
        base::NodeId(certificate.node()), base::NodeId(certificate.by()), certificate.created_ms()};
}

}  // namespace starling::gossip
