#include "gossip/exchange.h"

#include <map>
#include <set>
#include <string_view>

namespace starling::gossip {
namespace {

// Who has news for whom, when versions alone do not decide it: both send, and the merge decides.
struct Comparison {
    bool they_lack = false;
    bool we_lack = false;
};

template <typename Version>
Comparison compare_versions(const Version& ours,
                            uint64_t our_hash,
                            const Version& theirs,
                            uint64_t their_hash) {
    if (ours == theirs) return {our_hash != their_hash, our_hash != their_hash};
    return {ours > theirs, ours < theirs};
}

void answer_records(const Membership& membership,
                    const peer::SyncDigest& digest,
                    DeltaWriter& out) {
    std::set<base::NodeId> listed;
    for (const auto& theirs : digest.records()) {
        const base::NodeId node(theirs.node());
        if (!listed.insert(node).second || membership.is_certified_dead(node)) continue;
        const auto held = membership.members().find(node);
        if (held == membership.members().end()) {
            out.want_record(node);
            continue;
        }
        const Membership::Member& ours = held->second;
        const auto lacks = compare_versions(ours.record.record_version(),
                                            ours.content_hash,
                                            RecordVersion{theirs.generation(), theirs.version()},
                                            theirs.content_hash());
        if (lacks.they_lack) out.add(ours.record);
        if (lacks.we_lack) out.want_record(node);
    }
    for (const auto& [node, member] : membership.members()) {
        if (!listed.contains(node)) out.add(member.record);
    }
}

void answer_certificates(const Membership& membership,
                         const peer::SyncDigest& digest,
                         DeltaWriter& out) {
    std::map<base::NodeId, DeathCertificate> theirs;
    for (const auto& part : digest.certificates()) {
        const DeathCertificate certificate = from_proto(part);
        theirs.insert_or_assign(certificate.node, certificate);
    }
    for (const auto& [node, certificate] : membership.certificates()) {
        const auto found = theirs.find(node);
        if (found == theirs.end() || found->second < certificate) out.add(certificate);
    }
}

void answer_items(const Membership& membership, const peer::SyncDigest& digest, DeltaWriter& out) {
    std::set<std::string_view> listed;
    for (const auto& theirs : digest.items()) {
        if (!listed.insert(theirs.key()).second) continue;
        const auto held = membership.items().find(theirs.key());
        if (held == membership.items().end()) {
            out.want_item(theirs.key());
            continue;
        }
        const Membership::Item& ours = held->second;
        const auto lacks = compare_versions(
            ours.item.version, ours.content_hash, theirs.version(), theirs.content_hash());
        if (lacks.they_lack) out.add_item(theirs.key(), ours.item);
        if (lacks.we_lack) out.want_item(theirs.key());
    }
    for (const auto& [key, held] : membership.items()) {
        if (!listed.contains(key)) out.add_item(key, held.item);
    }
}

}  // namespace

peer::SyncDigest make_digest(const Membership& membership) {
    peer::SyncDigest digest;
    for (const auto& [node, member] : membership.members()) {
        peer::RecordDigest& out = *digest.add_records();
        out.set_node(node.raw());
        out.set_generation(member.record.generation);
        out.set_version(member.record.version);
        out.set_content_hash(member.content_hash);
    }
    for (const auto& [node, certificate] : membership.certificates()) {
        to_proto(certificate, *digest.add_certificates());
    }
    for (const auto& [key, held] : membership.items()) {
        peer::ItemDigest& out = *digest.add_items();
        out.set_key(key);
        out.set_version(held.item.version);
        out.set_content_hash(held.content_hash);
    }
    return digest;
}

bool is_valid(const peer::SyncDigest& digest) {
    if (static_cast<size_t>(digest.records_size()) > members_max ||
        static_cast<size_t>(digest.certificates_size()) > certificates_max ||
        static_cast<size_t>(digest.items_size()) > items_max) {
        return false;
    }
    for (const auto& item : digest.items()) {
        if (item.key().empty() || item.key().size() > item_key_bytes_max) return false;
    }
    return true;
}

void answer_digest(const Membership& membership, const peer::SyncDigest& digest, DeltaWriter& out) {
    answer_certificates(membership, digest, out);
    answer_records(membership, digest, out);
    answer_items(membership, digest, out);
}

void answer_wanted(const Membership& membership,
                   const peer::StateDelta& request,
                   DeltaWriter& out) {
    std::set<base::NodeId> nodes;
    for (const uint64_t raw : request.wanted_records()) {
        const base::NodeId node(raw);
        const MemberRecord* record = membership.find(node);
        if (record != nullptr && nodes.insert(node).second) out.add(*record);
    }
    std::set<std::string_view> keys;
    for (const std::string& key : request.wanted_items()) {
        const SharedItem* item = membership.find_item(key);
        if (item != nullptr && keys.insert(key).second) out.add_item(key, *item);
    }
}

}  // namespace starling::gossip
