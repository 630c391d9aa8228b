#pragma once

// Member sets for tests of placement, and what a table does to them.

#include <map>
#include <set>
#include <string>
#include <vector>

#include <rapidcheck.h>

#include "ring/placement.h"

namespace starling::ring::testing {

inline std::vector<PlacementMember> equal_members(size_t count, size_t zone_count = 1) {
    std::vector<PlacementMember> members;
    for (size_t i = 0; i < count; ++i) {
        // Ids as random as those of real nodes.
        members.push_back({.node = base::NodeId((i + 1) * 0x9e3779b97f4a7c15),
                           .weight = 100,
                           .zone = std::to_string(i % zone_count)});
    }
    return members;
}

inline std::vector<PlacementMember> any_members(size_t count_min, size_t count_max) {
    const size_t count = *rc::gen::inRange<size_t>(count_min, count_max + 1);
    const auto ids =
        *rc::gen::unique<std::vector<uint64_t>>(count, rc::gen::inRange<uint64_t>(1, UINT64_MAX));
    const uint32_t weight_max = *rc::gen::element<uint32_t>(1, 2, 10, 1000, 1'000'000);
    const uint32_t zone_count = *rc::gen::element<uint32_t>(1, 2, 3, 5, 40);
    std::vector<PlacementMember> members;
    for (const uint64_t id : ids) {
        members.push_back({.node = base::NodeId(id),
                           .weight = *rc::gen::inRange<uint32_t>(1, weight_max + 1),
                           .zone = std::to_string(*rc::gen::inRange<uint32_t>(0, zone_count))});
    }
    return members;
}

inline base::PartitionId partition(uint32_t number) {
    return base::PartitionId(static_cast<uint16_t>(number));
}

inline std::map<base::NodeId, uint32_t> loads(const Placement& placement) {
    std::map<base::NodeId, uint32_t> loads;
    for (uint32_t p = 0; p < placement.partition_count(); ++p) {
        for (const base::NodeId node : placement.seats_of(partition(p)))
            ++loads[node];
    }
    return loads;
}

// Seats of `after` whose node had no such seat of that partition before.
inline uint32_t moved(const Placement& before, const Placement& after) {
    uint32_t moved = 0;
    for (uint32_t p = 0; p < after.partition_count(); ++p) {
        const auto old = before.seats_of(partition(p));
        std::multiset<base::NodeId> held(old.begin(), old.end());
        for (const base::NodeId node : after.seats_of(partition(p))) {
            if (const auto at = held.find(node); at != held.end()) {
                held.erase(at);
            } else {
                ++moved;
            }
        }
    }
    return moved;
}

// What any placement with these loads has to move.
inline uint32_t must_move(const Placement& before, const Placement& after) {
    const auto old_loads = loads(before);
    uint32_t least = 0;
    for (const auto& [node, load] : loads(after)) {
        const auto at = old_loads.find(node);
        const uint32_t old_load = at == old_loads.end() ? 0 : at->second;
        if (load > old_load) least += load - old_load;
    }
    return least;
}

inline bool same_table(const Placement& a, const Placement& b) {
    for (uint32_t p = 0; p < a.partition_count(); ++p) {
        const auto seats_a = a.seats_of(partition(p));
        const auto seats_b = b.seats_of(partition(p));
        if (!std::equal(seats_a.begin(), seats_a.end(), seats_b.begin(), seats_b.end()))
            return false;
    }
    return a.partition_count() == b.partition_count();
}

}  // namespace starling::ring::testing
