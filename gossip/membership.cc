#include "gossip/membership.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "base/hash.h"
#include "base/mark.h"

namespace starling::gossip {
namespace {

constexpr uint8_t state_format = 1;

// Different seeds, so that equal bytes of different kinds do not cancel out in a sum.
constexpr uint64_t record_seed = 1;
constexpr uint64_t certificate_seed = 2;
constexpr uint64_t item_seed = 3;

uint64_t hash_of(const MemberRecord& record) {
    return base::xxh3_64(encode(record), record_seed);
}

uint64_t hash_of(const DeathCertificate& certificate) {
    std::string bytes;
    base::put_u64(bytes, certificate.node.raw());
    base::put_u64(bytes, certificate.by.raw());
    base::put_u64(bytes, certificate.created_ms);
    return base::xxh3_64(bytes, certificate_seed);
}

uint64_t hash_of(std::string_view key, const SharedItem& item) {
    std::string bytes;
    base::put_bytes(bytes, key);
    base::put_u64(bytes, item.version);
    bytes += item.value;
    return base::xxh3_64(bytes, item_seed);
}

// Puts `read_one` through `count` elements; stops at the first that fails.
template <typename ReadOne>
void read_each(base::Reader& reader, size_t element_size_min, ReadOne read_one) {
    const size_t count = reader.count(element_size_min);
    for (size_t i = 0; i < count && !reader.failed(); ++i) {
        if (!read_one()) reader.fail();
    }
}

}  // namespace

MergeResult Membership::merge(MemberRecord record) {
    if (!validate(record).ok()) return MergeResult::refused_limit;
    if (is_certified_dead(record.id)) return MergeResult::refused_dead;
    const auto found = members_.find(record.id);
    if (found == members_.end()) {
        if (members_.size() >= members_max) return MergeResult::refused_limit;
        const uint64_t content_hash = hash_of(record);
        hash_ += content_hash;
        const base::NodeId id = record.id;
        members_.emplace(id, Member{std::move(record), content_hash});
        return MergeResult::changed;
    }
    Member& held = found->second;
    const auto order = compare(record, held.record);
    const bool is_conflict = order != 0 && record.record_version() == held.record.record_version();
    if (is_conflict) {
        STARLING_MARK(membership_record_conflict);
    }
    if (order <= 0) {
        return is_conflict ? MergeResult::unchanged_conflict : MergeResult::unchanged;
    }
    hash_ -= held.content_hash;
    held.content_hash = hash_of(record);
    hash_ += held.content_hash;
    held.record = std::move(record);
    return is_conflict ? MergeResult::changed_conflict : MergeResult::changed;
}

MergeResult Membership::merge(const DeathCertificate& certificate) {
    if (certificate.node.is_none()) return MergeResult::refused_limit;
    const auto found = certificates_.find(certificate.node);
    if (found != certificates_.end()) {
        if (certificate <= found->second) return MergeResult::unchanged;
        hash_ += hash_of(certificate) - hash_of(found->second);
        found->second = certificate;
        return MergeResult::changed;
    }
    if (certificates_.size() >= certificates_max) return MergeResult::refused_limit;
    certificates_.emplace(certificate.node, certificate);
    hash_ += hash_of(certificate);
    if (const auto member = members_.find(certificate.node); member != members_.end()) {
        hash_ -= member->second.content_hash;
        members_.erase(member);
    }
    return MergeResult::changed;
}

MergeResult Membership::merge_item(std::string_view key, SharedItem item) {
    if (key.empty() || key.size() > item_key_bytes_max ||
        item.value.size() > item_value_bytes_max) {
        return MergeResult::refused_limit;
    }
    const auto found = items_.find(key);
    const size_t freed = found == items_.end() ? 0 : found->second.item.value.size();
    if (found == items_.end() && items_.size() >= items_max) return MergeResult::refused_limit;
    if (found != items_.end() && item <= found->second.item) return MergeResult::unchanged;
    if (item_bytes_ - freed + item.value.size() > items_bytes_max)
        return MergeResult::refused_limit;
    item_bytes_ += item.value.size() - freed;
    const uint64_t content_hash = hash_of(key, item);
    hash_ += content_hash;
    if (found == items_.end()) {
        items_.emplace(std::string(key), Item{std::move(item), content_hash});
    } else {
        hash_ -= found->second.content_hash;
        found->second = Item{std::move(item), content_hash};
    }
    return MergeResult::changed;
}

const MemberRecord* Membership::find(base::NodeId node) const {
    const auto found = members_.find(node);
    return found == members_.end() ? nullptr : &found->second.record;
}

std::optional<env::Address> Membership::address_of(base::NodeId node) const {
    const MemberRecord* record = find(node);
    return record == nullptr ? std::nullopt : std::optional(record->peer_address);
}

const SharedItem* Membership::find_item(std::string_view key) const {
    const auto found = items_.find(key);
    return found == items_.end() ? nullptr : &found->second.item;
}

size_t Membership::active_count() const {
    size_t count = 0;
    for (const auto& [id, member] : members_)
        count += member.record.state != MemberState::left;
    return count;
}

std::string Membership::encode_state() const {
    std::string out;
    base::put_u8(out, state_format);
    base::put_varint(out, members_.size());
    for (const auto& [id, member] : members_)
        base::put_bytes(out, encode(member.record));
    base::put_varint(out, certificates_.size());
    for (const auto& [id, certificate] : certificates_) {
        base::put_u64(out, certificate.node.raw());
        base::put_u64(out, certificate.by.raw());
        base::put_u64(out, certificate.created_ms);
    }
    base::put_varint(out, items_.size());
    for (const auto& [key, held] : items_) {
        base::put_bytes(out, key);
        base::put_u64(out, held.item.version);
        base::put_bytes(out, held.item.value);
    }
    base::put_u32(out, base::crc32c(out));
    return out;
}

absl::StatusOr<Membership> Membership::decode_state(std::string_view bytes) {
    constexpr size_t checksum_size = 4;
    if (bytes.size() < checksum_size) return absl::DataLossError("membership state: too short");
    const std::string_view body = bytes.substr(0, bytes.size() - checksum_size);
    if (base::Reader(bytes.substr(body.size())).u32() != base::crc32c(body)) {
        return absl::DataLossError("membership state: wrong checksum");
    }
    base::Reader reader(body);
    if (reader.u8() != state_format) return absl::DataLossError("membership state: unknown format");
    Membership state;
    // Each element must be new and in order, so a state has one encoding.
    read_each(reader, 1, [&] {
        auto record = decode_member(reader.bytes());
        return record.ok() &&
               (state.members_.empty() || state.members_.rbegin()->first < record->id) &&
               state.merge(*std::move(record)) == MergeResult::changed;
    });
    read_each(reader, 24, [&] {
        const DeathCertificate certificate{
            base::NodeId(reader.u64()), base::NodeId(reader.u64()), reader.u64()};
        return !state.members_.contains(certificate.node) &&
               (state.certificates_.empty() ||
                state.certificates_.rbegin()->first < certificate.node) &&
               state.merge(certificate) == MergeResult::changed;
    });
    read_each(reader, 10, [&] {
        const std::string_view key = reader.bytes();
        SharedItem item{reader.u64(), std::string(reader.bytes())};
        return (state.items_.empty() || state.items_.rbegin()->first < key) &&
               state.merge_item(key, std::move(item)) == MergeResult::changed;
    });
    if (!reader.finished()) return absl::DataLossError("membership state: malformed");
    return state;
}

bool operator==(const Membership& a, const Membership& b) {
    const auto same_members = [&] {
        return std::ranges::equal(a.members_, b.members_, [](const auto& x, const auto& y) {
            return x.second.record == y.second.record;
        });
    };
    const auto same_items = [&] {
        return std::ranges::equal(a.items_, b.items_, [](const auto& x, const auto& y) {
            return x.first == y.first && x.second.item == y.second.item;
        });
    };
    return a.certificates_ == b.certificates_ && same_members() && same_items();
}

}  // namespace starling::gossip
