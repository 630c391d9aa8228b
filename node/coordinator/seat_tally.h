#pragma once

// Counts answers as quorums do: by distinct seats, never by nodes, and for durability by distinct
// nodes too (docs/handover.md, section 3).

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "node/replica/seat_set.h"

namespace starling::node {

class SeatTally {
  public:
    explicit SeatTally(uint32_t replicas) : all_(SeatSet::first(replicas)), replicas_(replicas) {}

    // Seats beyond N do not count. A node counts only when it answers for a seat that nobody has
    // answered for: where a seat moves in between, both answers are one copy.
    void add(base::NodeId node, SeatSet seats) {
        const SeatSet fresh = seats.below(replicas_).without(answered_);
        if (fresh.empty()) {
            return;
        }
        answered_.merge(fresh);
        if (std::find(nodes_.begin(), nodes_.end(), node) == nodes_.end()) {
            nodes_.push_back(node);
        }
    }

    uint32_t seats() const { return static_cast<uint32_t>(answered_.size()); }
    uint32_t nodes() const { return static_cast<uint32_t>(nodes_.size()); }
    // Of these seats.
    const std::vector<base::NodeId>& on() const { return nodes_; }
    SeatSet answered() const { return answered_; }
    SeatSet missing() const { return all_.without(answered_); }

  private:
    SeatSet all_;
    uint32_t replicas_;
    SeatSet answered_;
    std::vector<base::NodeId> nodes_;
};

}  // namespace starling::node
