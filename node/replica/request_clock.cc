#include "node/replica/request_clock.h"

#include <chrono>

#include "base/mark.h"

namespace starling::node {

uint64_t RequestClock::now_ms(base::MonotonicTime now, base::WallTime wall) {
    const uint64_t wall_ms = base::to_unix_ms(wall);
    if (wall_ms >= highest_ms_) {
        highest_ms_ = wall_ms;
        behind_ms_ = 0;
        return highest_ms_;
    }
    if (behind_ms_ == 0) {
        STARLING_MARK(clock_seen_to_go_back);
        behind_since_ = now;
    }
    behind_ms_ = highest_ms_ - wall_ms;
    if (now - behind_since_ >= options_.hold) {
        STARLING_MARK(clock_step_back_accepted);
        highest_ms_ = wall_ms;
        behind_ms_ = 0;
        const auto drift_max_ms =
            static_cast<uint64_t>(options_.drift_max / std::chrono::milliseconds(1));
        // A client's clock may be ahead of a coordinator's, and that ahead of this one.
        floor_ms_ = wall_ms + 2 * drift_max_ms;
        ++steps_back_;
    }
    return highest_ms_;
}

}  // namespace starling::node
