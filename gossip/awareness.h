#pragma once

// How well this node itself seems to work: Lifeguard's local health multiplier (Dadgar, Phillips,
// Currey, "Lifeguard: Local Health Awareness for More Accurate Failure Detection", 2017). A node
// that misses answers it should have got, or is suspected by others, is probably the slow one
// itself; it then gives others more time before it accuses them.

#include <algorithm>
#include <cstdint>

#include "base/time.h"

namespace starling::gossip {

class Awareness {
  public:
    explicit Awareness(uint32_t score_max) : score_max_(score_max) {}

    void worsen(uint32_t by) { score_ = std::min(score_max_, score_ + std::min(by, score_max_)); }
    void improve() { score_ -= score_ > 0 ? 1 : 0; }

    // 0 = healthy, up to score_max.
    uint32_t score() const { return score_; }
    base::Duration scale(base::Duration duration) const { return duration * (score_ + 1); }

  private:
    uint32_t score_max_;
    uint32_t score_ = 0;
};

}  // namespace starling::gossip
