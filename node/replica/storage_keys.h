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
std::string frontiers_begin();
std::string frontiers_end();
std::optional<base::PartitionId> parse_seats(std::string_view storage_key);
std::string seats_begin();
std::string seats_end();

// The first string after all that start with `prefix`; empty when there is none.
std::string prefix_end(std::string prefix);

}  // namespace starling::node::storage_keys
