#pragma once

// Hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014): follows the wall clock,
// never goes back, and orders an event after every one its node had heard of. Used for
// last-write-wins and for people; it never decides causality.

#include <compare>
#include <cstdint>
#include <string>

#include "absl/status/status.h"

#include "base/time.h"

namespace starling::node {

struct HybridTime {
    // Unix milliseconds.
    uint64_t wall_ms = 0;
    uint32_t logical = 0;
    friend auto operator<=>(const HybridTime&, const HybridTime&) = default;
};

class HybridClock {
  public:
    explicit HybridClock(base::Duration drift_max) : drift_max_(drift_max) {}

    // A time after every one returned or observed before.
    HybridTime tick(base::WallTime now);
    // Takes notice of another node's time. out_of_range, and no change, when it is ahead of `now`
    // by more than the drift bound: a clock far ahead is refused, not obeyed.
    absl::Status observe(HybridTime remote, base::WallTime now);

  private:
    base::Duration drift_max_;
    HybridTime last_;
};

// For last-write-wins: the time of `now`, or the next after `seen` where that is later. Without
// state, so that a clock which was ahead for a while leaves its mark on those keys only that were
// written meanwhile.
HybridTime time_after(HybridTime seen, base::WallTime now);

std::string to_string(HybridTime time);

}  // namespace starling::node
