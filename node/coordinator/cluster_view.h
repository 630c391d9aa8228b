#pragma once

// What a coordinator knows of its cluster at one moment: who the members are and how they fare, who
// holds which seat, who should, and the namespaces. Immutable: the node makes a new one when
// something changed and hands it to each shard (shared_ptr, because requests under way on several
// loops still read the old one).

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"

#include "base/ids.h"
#include "node/api.h"
#include "ring/placement.h"

namespace starling::node {

enum class PeerHealth : uint8_t { alive, suspect, dead };

struct PeerView {
    std::string address;
    uint32_t generation = 0;
    PeerHealth health = PeerHealth::alive;
};

struct ClusterView {
    base::NodeId self;
    base::ClusterId cluster;
    uint32_t partition_count = 0;
    uint32_t seat_count = 0;
    absl::btree_map<base::NodeId, PeerView> peers;
    // partition * seat_count + seat; none where nobody is known to hold the seat.
    std::vector<base::NodeId> holders;
    ring::Placement targets;
    absl::btree_map<std::string, NamespaceInfo> namespaces;

    base::NodeId holder(base::PartitionId partition, base::SeatIndex seat) const {
        return holders[size_t{partition.raw()} * seat_count + seat.raw()];
    }
    // The holders of seats 0 .. replicas-1, each node once, in order of seat; unknown ones left
    // out.
    std::vector<base::NodeId> holders_of(base::PartitionId partition, uint32_t replicas) const;
    // Members that should hold one of these seats and hold none.
    std::vector<base::NodeId> awaited_holders(base::PartitionId partition, uint32_t replicas) const;
    // Live members that hold none of these seats, in the partition's order of preference.
    std::vector<base::NodeId> stand_ins(base::PartitionId partition, uint32_t replicas) const;
    bool is_alive(base::NodeId node) const;
    // Those who are believed to live come first. Where there is no room for frames to all, those to
    // the last are lost, each time: they should not be the only ones who would answer.
    void sort_for_asking(std::vector<base::NodeId>& nodes) const;
};

using ClusterViewPtr = std::shared_ptr<const ClusterView>;

}  // namespace starling::node
