#include "node/coordinator/cluster_view.h"

#include <algorithm>

#include "node/replica/seat_set.h"

namespace starling::node {

namespace {

bool has(const std::vector<base::NodeId>& nodes, base::NodeId node) {
    return std::find(nodes.begin(), nodes.end(), node) != nodes.end();
}

}  // namespace

std::vector<base::NodeId> ClusterView::holders_of(base::PartitionId partition,
                                                  uint32_t replicas) const {
    std::vector<base::NodeId> found;
    found.reserve(replicas);
    for (const base::SeatIndex seat : SeatSet::first(replicas).list()) {
        const base::NodeId node = holder(partition, seat);
        if (!node.is_none() && !has(found, node)) {
            found.push_back(node);
        }
    }
    return found;
}

std::vector<base::NodeId> ClusterView::awaited_holders(base::PartitionId partition,
                                                       uint32_t replicas) const {
    const std::vector<base::NodeId> current = holders_of(partition, replicas);
    std::vector<base::NodeId> awaited;
    for (const base::NodeId node : targets.seats_of(partition).first(
             std::min<size_t>(replicas, targets.seats_of(partition).size()))) {
        if (!has(current, node) && !has(awaited, node)) {
            awaited.push_back(node);
        }
    }
    return awaited;
}

std::vector<base::NodeId> ClusterView::stand_ins(base::PartitionId partition,
                                                 uint32_t replicas) const {
    const std::vector<base::NodeId> current = holders_of(partition, replicas);
    std::vector<base::NodeId> found;
    for (const base::NodeId node : targets.preference_list(partition)) {
        if (!has(current, node) && is_alive(node)) {
            found.push_back(node);
        }
    }
    return found;
}

bool ClusterView::is_alive(base::NodeId node) const {
    if (node == self) {
        return true;
    }
    const auto peer = peers.find(node);
    return peer != peers.end() && peer->second.health == PeerHealth::alive;
}

void ClusterView::sort_for_asking(std::vector<base::NodeId>& nodes) const {
    std::stable_partition(
        nodes.begin(), nodes.end(), [this](base::NodeId node) { return is_alive(node); });
}

}  // namespace starling::node
