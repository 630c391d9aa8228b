#pragma once

#include "base/time.h"
#include "env/clock.h"

namespace starling::env {

// CLOCK_MONOTONIC. Thread-safe.
class PosixClock final : public Clock {
  public:
    base::MonotonicTime now() const override;
};

// CLOCK_REALTIME. Thread-safe.
class PosixWallClock final : public WallClock {
  public:
    base::WallTime wall_now() const override;
};

}  // namespace starling::env
