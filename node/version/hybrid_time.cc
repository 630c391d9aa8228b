#include "node/version/hybrid_time.h"

#include <limits>

#include <fmt/format.h>

#include "base/mark.h"

namespace starling::node {

HybridTime time_after(HybridTime seen, base::WallTime now) {
    const HybridTime clock{.wall_ms = base::to_unix_ms(now), .logical = 0};
    if (clock > seen) {
        return clock;
    }
    STARLING_MARK(hybrid_time_same_millisecond);
    return seen.logical < std::numeric_limits<uint32_t>::max()
               ? HybridTime{.wall_ms = seen.wall_ms, .logical = seen.logical + 1}
               : HybridTime{.wall_ms = seen.wall_ms + 1, .logical = 0};
}

std::string to_string(HybridTime time) {
    return fmt::format("{}.{}", time.wall_ms, time.logical);
}

}  // namespace starling::node
