#include "env/posix/clock.h"

#include <chrono>

namespace starling::env {

base::MonotonicTime PosixClock::now() const {
    return base::MonotonicTime(std::chrono::steady_clock::now().time_since_epoch());
}

base::WallTime PosixWallClock::wall_now() const {
    return base::WallTime(std::chrono::duration_cast<base::Duration>(
        std::chrono::system_clock::now().time_since_epoch()));
}

}  // namespace starling::env
