#pragma once

// Where things are in a shard's engine. See docs/formats/shard.md. The first byte is the kind; what
// belongs to one group is contiguous, records in key order.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "node/replica/group.h"
#include "node/version/dot.h"

namespace starling::node::storage_keys {

// Behind this is all that a node does not start without, and nothing else.
std::string facts_begin();
// Node and shard facts, by name.
std::string meta(std::string_view name);
// Seat states of one partition.
std::string seats(base::PartitionId partition);
std::string frontier(GroupId group);
std::string record(GroupId group, std::string_view group_key);
std::string record_prefix(GroupId group);
// The bounds of all records of the shard.
std::string records_begin();
std::string records_end();
// Of a dot that not all owners are known to have seen: the value is the key it was written to.
std::string indexed_dot(GroupId group, const Dot& dot);
std::optional<Dot> parse_indexed_dot(std::string_view storage_key);
std::string indexed_dots_prefix(GroupId group);
// Of a tombstone that a record has, or of the remains of one (forget_remains()), oldest request
// first: the value is its key.
std::string tombstone(GroupId group, uint64_t request_created_ms, const Dot& dot);
struct TombstoneKey {
    GroupId group;
    uint64_t request_created_ms = 0;
    Dot dot;
};
std::optional<TombstoneKey> parse_tombstone(std::string_view storage_key);
std::string tombstones_prefix(GroupId group);
std::string tombstones_begin();
std::string tombstones_end();
// Of a value that expires, the earliest first: the value is its key.
struct ExpiryKey {
    GroupId group;
    uint64_t expires_ms = 0;
    Dot dot;
    friend auto operator<=>(const ExpiryKey&, const ExpiryKey&) = default;
};
std::string expiry(const ExpiryKey& key);
std::optional<ExpiryKey> parse_expiry(std::string_view storage_key);
std::string expiries_prefix(GroupId group);
std::string expiries_begin();
std::string expiries_end();
// What the other owners of a group have told (OwnerMemory).
std::string owners(GroupId group);
std::optional<GroupId> parse_owners(std::string_view storage_key);
std::string owners_begin();
std::string owners_end();
// How far a group has been copied from another replica (GroupAccess::copy_records); a loss only has
// it copied anew.
std::string copy_cursor(GroupId group);
std::optional<GroupId> parse_copy_cursor(std::string_view storage_key);
std::string copy_cursors_begin();
std::string copy_cursors_end();
// The hash tree of a group that a store which was stopped in order keeps (kept_trees), and how many
// there are.
std::string tree(GroupId group);
std::optional<GroupId> parse_tree(std::string_view storage_key);
std::string tree_count();
std::string trees_begin();
std::string trees_end();
// A hint for the holder of a seat: one per write, kept apart by its dot.
struct HintKey {
    GroupId group;
    base::SeatIndex seat;
    Dot dot;
    // A group key.
    std::string key;
    friend auto operator<=>(const HintKey&, const HintKey&) = default;
};
std::string hint(const HintKey& key);
std::optional<HintKey> parse_hint(std::string_view storage_key);
std::string hints_begin();
std::string hints_end();

struct RecordKey {
    GroupId group;
    std::string_view group_key;
};
std::optional<RecordKey> parse_record(std::string_view storage_key);
std::optional<GroupId> parse_frontier(std::string_view storage_key);
// The group whose frontier, record, dot, tombstone or expiry the entry is; none: it is none of
// these.
std::optional<GroupId> parse_group(std::string_view storage_key);
std::string frontiers_begin();
std::string frontiers_end();
std::optional<base::PartitionId> parse_seats(std::string_view storage_key);
std::string seats_begin();
std::string seats_end();

// The first string after all that start with `prefix`; empty when there is none.
std::string prefix_end(std::string prefix);

}  // namespace starling::node::storage_keys
