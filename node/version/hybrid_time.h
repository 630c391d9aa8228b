#pragma once

// Times of a hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014). They decide
// where the latest write counts, and are shown to people; they never decide causality.

#include <compare>
#include <cstdint>
#include <string>

#include "base/time.h"

namespace starling::node {

struct HybridTime {
    // Unix milliseconds.
    uint64_t wall_ms = 0;
    uint32_t logical = 0;
    friend auto operator<=>(const HybridTime&, const HybridTime&) = default;
};

// For last-write-wins: the time of `now`, or the next after `seen` where that is later. Without
// state, so that a clock which was ahead for a while leaves its mark on those keys only that were
// written meanwhile.
HybridTime time_after(HybridTime seen, base::WallTime now);

// For the other policies: follows the wall clock and never goes back, whatever other nodes say.
class HybridClock {
  public:
    // A time after every one returned before.
    HybridTime tick(base::WallTime now) { return last_ = time_after(last_, now); }

  private:
    HybridTime last_;
};

std::string to_string(HybridTime time);

}  // namespace starling::node
