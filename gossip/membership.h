#pragma once

// All that the nodes of a cluster agree on without voting: the record of each node, the death
// certificates, and the shared items. Each of the three merges by a maximum, so nodes that have
// exchanged everything hold the same state, whatever the order. A certificate beats every record of
// its node, for ever: nothing but an administrator's removal makes one, and nothing unmakes it.
//
// No I/O and no time. One loop's thread. Invariants:
// 1. No id has both a record and a certificate.
// 2. Counts and bytes stay below the limits here; what would exceed them is refused.
// 3. hash() is a function of the content alone, not of the order in which it came.

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "base/ids.h"
#include "env/transport.h"
#include "gossip/member.h"

namespace starling::gossip {

inline constexpr size_t members_max = 4096;
inline constexpr size_t certificates_max = 16384;
inline constexpr size_t items_max = 4096;
inline constexpr size_t item_key_bytes_max = 255;
inline constexpr size_t item_value_bytes_max = 1u << 20;
inline constexpr size_t items_bytes_max = 16u << 20;

// A node was removed by an administrator.
struct DeathCertificate {
    base::NodeId node;
    // The node that carried the removal out.
    base::NodeId by;
    // That node's wall clock, Unix milliseconds: for people only.
    uint64_t created_ms = 0;

    friend auto operator<=>(const DeathCertificate&, const DeathCertificate&) = default;
};

// A value of the whole cluster under a key. The highest (version, value) holds.
struct SharedItem {
    uint64_t version = 0;
    std::string value;

    friend auto operator<=>(const SharedItem&, const SharedItem&) = default;
};

enum class MergeResult : uint8_t {
    // What we hold is the same or newer.
    unchanged,
    // The new one was taken.
    changed,
    // Same version, other content: one identity, two processes. The greater one is held.
    unchanged_conflict,
    changed_conflict,
    // The node has a certificate.
    refused_dead,
    // A limit; or not valid.
    refused_limit,
};

inline bool is_change(MergeResult result) {
    return result == MergeResult::changed || result == MergeResult::changed_conflict;
}
inline bool is_conflict(MergeResult result) {
    return result == MergeResult::unchanged_conflict || result == MergeResult::changed_conflict;
}

class Membership {
  public:
    struct Member {
        MemberRecord record;
        // XXH3-64 of the encoded record.
        uint64_t content_hash = 0;
    };
    struct Item {
        SharedItem item;
        uint64_t content_hash = 0;
    };
    using Members = std::map<base::NodeId, Member>;
    using Certificates = std::map<base::NodeId, DeathCertificate>;
    using Items = std::map<std::string, Item, std::less<>>;

    // `record` need not be valid.
    MergeResult merge(MemberRecord record);
    // Removes the node's record. Of two certificates of one node the greater one is kept (never
    // counted as a conflict: two administrators may remove one node at once).
    MergeResult merge(const DeathCertificate& certificate);
    MergeResult merge_item(std::string_view key, SharedItem item);

    // Sorted by id or key.
    const Members& members() const { return members_; }
    const Certificates& certificates() const { return certificates_; }
    const Items& items() const { return items_; }

    // nullptr: unknown, or removed.
    const MemberRecord* find(base::NodeId node) const;
    std::optional<env::Address> address_of(base::NodeId node) const;
    bool is_certified_dead(base::NodeId node) const { return certificates_.contains(node); }
    const SharedItem* find_item(std::string_view key) const;
    // Members that are not `left`.
    size_t active_count() const;

    // Equal for equal states; O(1).
    uint64_t hash() const { return hash_; }

    // For the disk. decode_state: data_loss for anything that encode_state() does not write.
    std::string encode_state() const;
    static absl::StatusOr<Membership> decode_state(std::string_view bytes);

    friend bool operator==(const Membership& a, const Membership& b);

  private:
    Members members_;
    Certificates certificates_;
    Items items_;
    size_t item_bytes_ = 0;
    // Sum of the hashes of all parts.
    uint64_t hash_ = 0;
};

}  // namespace starling::gossip
