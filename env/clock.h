#pragma once

#include "base/time.h"

namespace starling::env {

// Time that never goes back inside a process; unrelated to any other process's.
class Clock {
  public:
    virtual base::MonotonicTime now() const = 0;

  protected:
    ~Clock() = default;
};

// What this machine believes the time of day to be. May jump either way, by any amount.
class WallClock {
  public:
    virtual base::WallTime wall_now() const = 0;

  protected:
    ~WallClock() = default;
};

}  // namespace starling::env
