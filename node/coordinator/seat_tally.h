#pragma once

// Counts answers as quorums do: by distinct seats, never by nodes, and for durability by distinct
// nodes too (docs/handover.md, section 3).

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "node/replica/seat_set.h"

namespace starling::node {

class SeatTally {
  public:
    explicit SeatTally(uint32_t replicas) : all_(SeatSet::first(replicas)), replicas_(replicas) {}

    // Seats beyond N do not count; a node that speaks for no seat does not count as a node.
    void add(base::NodeId node, SeatSet seats) {
        const SeatSet counted = seats.below(replicas_);
        if (counted.empty()) {
            return;
        }
        answered_.merge(counted);
        for (const base::NodeId seen : nodes_) {
            if (seen == node) {
                return;
            }
        }
        nodes_.push_back(node);
    }

    uint32_t seats() const { return static_cast<uint32_t>(answered_.size()); }
    uint32_t nodes() const { return static_cast<uint32_t>(nodes_.size()); }
    SeatSet answered() const { return answered_; }
    SeatSet missing() const { return all_.without(answered_); }

  private:
    SeatSet all_;
    uint32_t replicas_;
    SeatSet answered_;
    std::vector<base::NodeId> nodes_;
};

}  // namespace starling::node
