#pragma once

#include <chrono>

#include "env/clock.h"
#include "env/event_loop.h"
#include "env/file_system.h"
#include "storage/environment.h"

namespace starling::storage {

// Stands still until a test moves it.
class ManualClock final : public env::Clock, public env::WallClock {
  public:
    base::MonotonicTime now() const override { return now_; }
    base::WallTime wall_now() const override { return wall_now_; }
    void advance(base::Duration by) {
        now_ += by;
        wall_now_ += by;
    }
    void set_wall(base::WallTime time) { wall_now_ = time; }

  private:
    base::MonotonicTime now_{};
    base::WallTime wall_now_{std::chrono::hours(24 * 365 * 50)};
};

// With a clock that stands still for ever.
inline EngineEnvironment environment(env::FileSystem& files, env::Workers& workers) {
    static const ManualClock clock;
    return {.files = files, .workers = workers, .clock = clock, .wall_clock = clock};
}

}  // namespace starling::storage
