#pragma once

// Whom to probe next: SWIM's round robin over a shuffled list (Das, Gupta, Motivala, "SWIM", 2002,
// section 4.3). Each member is probed once per round, so a failure is noticed within a bounded
// time; the shuffle keeps nodes from probing the same member at once.

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "gossip/draw.h"

namespace starling::gossip {

class ProbeSchedule {
  public:
    // At a random place of the rest of this round. REQUIRES: not there.
    void add(base::NodeId node, Draw& draw);
    void remove(base::NodeId node);
    // REQUIRES: size() > 0.
    base::NodeId next(Draw& draw);
    size_t size() const { return order_.size(); }

  private:
    std::vector<base::NodeId> order_;
    size_t position_ = 0;
};

}  // namespace starling::gossip
