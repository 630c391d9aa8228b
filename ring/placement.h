#pragma once

// Where data should be: key -> partition -> the nodes that should hold its seats. Pure functions:
// nodes with the same member set compute the same table, whatever the order in which they learned
// of it.
//
// Consistent hashing in its rendezvous form (Thaler and Ravishankar, 1998: every pair of a member
// and a partition is a virtual node) with bounded loads (Mirrokni et al., 2018). Integers only, so
// that every machine agrees.
//
// Invariants of a table with at least as many members as seats:
// 1. No node holds two seats of a partition.
// 2. Its seats lie in distinct zones if there are enough zones, otherwise as evenly over zones as
// can be.
// 3. A node holds its quota of seats, which is its fair share (ring/fair_share.h) rounded up or
// down.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "ring/limits.h"

namespace starling::ring {

// Top bits of XXH3-64 of the routing key. REQUIRES: partition_count is a power of two, 1..32768.
base::PartitionId partition_of(std::string_view routing_key, uint32_t partition_count);

struct PlacementMember {
    base::NodeId node;
    // Relative share of the load, >= 1.
    uint32_t weight = 100;
    std::string zone;
};

// For each partition the nodes that should hold its seats 0 .. seats-1. With fewer members than
// seats the nodes repeat, in order; otherwise they are distinct, and in distinct zones where there
// are enough.
class Placement {
  public:
    Placement() = default;
    // `members` in any order; of several with one id the first counts. No members: an empty table
    // (seats_of gives an empty span). REQUIRES: partition_count as for partition_of; 1 <= seats <=
    // seats_max.
    static Placement compute(std::span<const PlacementMember> members,
                             uint32_t partition_count,
                             uint32_t seats);

    uint32_t partition_count() const { return partition_count_; }
    uint32_t seats() const { return seats_; }
    std::span<const base::NodeId> seats_of(base::PartitionId partition) const;
    // All members in the partition's order of preference: the seats' distinct nodes first, then
    // those that take hints for them.
    std::vector<base::NodeId> preference_list(base::PartitionId partition) const;

  private:
    struct Weighted {
        base::NodeId node;
        uint32_t weight = 0;
    };

    uint32_t partition_count_ = 0;
    uint32_t seats_ = 0;
    // partition_count_ * seats_
    std::vector<base::NodeId> table_;
    // Ordered by node id.
    std::vector<Weighted> members_;
};

}  // namespace starling::ring
