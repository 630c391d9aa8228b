#include "node/version/hybrid_time.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "base/mark.h"

namespace starling::node {

HybridTime HybridClock::tick(base::WallTime now) {
    const uint64_t wall_ms = base::to_unix_ms(now);
    if (wall_ms > last_.wall_ms) {
        last_ = {.wall_ms = wall_ms, .logical = 0};
    } else if (last_.logical < std::numeric_limits<uint32_t>::max()) {
        STARLING_MARK(hybrid_time_same_millisecond);
        ++last_.logical;
    } else {
        last_ = {.wall_ms = last_.wall_ms + 1, .logical = 0};
    }
    return last_;
}

absl::Status HybridClock::observe(HybridTime remote, base::WallTime now) {
    const uint64_t now_ms = base::to_unix_ms(now);
    const auto drift_max_ms = static_cast<uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(drift_max_).count());
    if (remote.wall_ms > now_ms && remote.wall_ms - now_ms > drift_max_ms) {
        return absl::OutOfRangeError(
            fmt::format("a time {} ms ahead of this node's clock; {} ms is allowed",
                        remote.wall_ms - now_ms,
                        drift_max_ms));
    }
    last_ = std::max(last_, remote);
    return absl::OkStatus();
}

HybridTime time_after(HybridTime seen, base::WallTime now) {
    const HybridTime clock{.wall_ms = base::to_unix_ms(now), .logical = 0};
    if (clock > seen) {
        return clock;
    }
    return seen.logical < std::numeric_limits<uint32_t>::max()
               ? HybridTime{.wall_ms = seen.wall_ms, .logical = seen.logical + 1}
               : HybridTime{.wall_ms = seen.wall_ms + 1, .logical = 0};
}

std::string to_string(HybridTime time) {
    return fmt::format("{}.{}", time.wall_ms, time.logical);
}

}  // namespace starling::node
