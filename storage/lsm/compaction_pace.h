#pragma once

// When a compaction under a rate limit may go on: arithmetic without a clock. What it has moved,
// read and written, is paid for with time since it began; it works in steps and waits between them,
// so that the disk sees small pieces and not one burst for each compaction.

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "base/time.h"

namespace starling::storage::lsm {

class CompactionPace {
  public:
    // What a step moves: as much as the limit allows in a tenth of a second, but no less than is
    // worth a job, nor so much that others feel it.
    static constexpr uint64_t step_bytes_min = 16u << 10;
    static constexpr uint64_t step_bytes_max = 1u << 20;

    // 0: no limit.
    explicit CompactionPace(uint64_t bytes_per_second) : bytes_per_second_(bytes_per_second) {}

    bool is_limited() const { return bytes_per_second_ > 0; }
    uint64_t step_bytes() const {
        return std::clamp(bytes_per_second_ / 10, step_bytes_min, step_bytes_max);
    }
    // REQUIRES: is_limited().
    base::MonotonicTime paid_at(base::MonotonicTime begin, uint64_t bytes) const {
        // Beyond a century it does not matter, and the sum cannot overflow.
        constexpr double seconds_max = 100.0 * 365 * 24 * 3600;
        const double seconds = std::min(
            static_cast<double>(bytes) / static_cast<double>(bytes_per_second_), seconds_max);
        return begin +
               std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(seconds));
    }

  private:
    const uint64_t bytes_per_second_;
};

}  // namespace starling::storage::lsm
