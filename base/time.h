#pragma once

// The project's two time lines. Monotonic time orders events inside one process and means nothing
// outside it; wall time is what clocks of different machines claim and may jump either way. They
// are different types, so that one can never be taken for the other.

#include <chrono>
#include <cstdint>

namespace starling::base {

using Duration = std::chrono::nanoseconds;

struct MonotonicLine {
    using duration = Duration;
    using rep = Duration::rep;
    using period = Duration::period;
    using time_point = std::chrono::time_point<MonotonicLine, Duration>;
    static constexpr bool is_steady = true;
};

struct WallLine {
    using duration = Duration;
    using rep = Duration::rep;
    using period = Duration::period;
    using time_point = std::chrono::time_point<WallLine, Duration>;
    static constexpr bool is_steady = false;
};

using MonotonicTime = MonotonicLine::time_point;
// Nanoseconds since 1970-01-01 UTC.
using WallTime = WallLine::time_point;

inline uint64_t to_unix_ms(WallTime time) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch());
    return ms.count() < 0 ? 0 : static_cast<uint64_t>(ms.count());
}

}  // namespace starling::base
