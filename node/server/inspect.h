#pragma once

// A look into a node from the same thread, for simulations and tests: everything is a copy of the
// moment.

#include <cstdint>
#include <vector>

#include "node/handover/seat.h"
#include "node/replica/group_access.h"

namespace starling::node {

struct GroupInspection {
    GroupId group;
    GroupSummary summary;
    // As the engine has them, in key order.
    std::vector<KeyRecord> records;
};

struct ShardInspection {
    std::vector<GroupInspection> groups;
    std::vector<HeldSeat> held;
    uint64_t hints = 0;
    uint32_t seats_filling = 0;
    uint32_t seats_fenced = 0;
    // False while a hash tree is being rebuilt: then the summaries' buckets are empty.
    bool trees_ready = false;
};

}  // namespace starling::node
