#pragma once

// What one simulated machine believes the time of day to be: true time with an offset that jumps, a
// drift, and a strobe (a clock that flips between two readings). It belongs to the machine, so it
// lives through restarts of its processes. Readings are a function of true time and of the faults
// set.

#include "base/time.h"
#include "env/clock.h"
#include "env/sim/scheduler.h"

namespace starling::env {

class SimWallClock final : public WallClock {
  public:
    // Reads `start` at the beginning of the run.
    SimWallClock(const SimScheduler& scheduler, base::WallTime start)
        : scheduler_(scheduler), start_(start), reading_(start) {}

    base::WallTime wall_now() const override;
    // The latest time that it has shown.
    base::WallTime highest() const { return highest_; }
    // By how much it has been ahead of true time at most when it was read; zero: it never was.
    base::Duration most_ahead() const { return most_ahead_; }

    void jump(base::Duration by) { reading_ += by; }
    void set_drift(int64_t per_million);
    // Adds `amplitude` in every other span of `period`. A period of zero ends it.
    void set_strobe(base::Duration amplitude, base::Duration period);
    // Reads true time again, as after a correction: `start` of the run plus what has passed.
    void correct(base::WallTime start_of_run) {
        reading_ = start_of_run + scheduler_.now();
        read_at_ = scheduler_.now();
        drift_per_million_ = 0;
        period_ = base::Duration::zero();
    }

  private:
    base::WallTime without_strobe() const;

    const SimScheduler& scheduler_;
    const base::WallTime start_;
    // What the clock read at read_at_.
    base::WallTime reading_;
    SimTime read_at_{0};
    int64_t drift_per_million_ = 0;
    base::Duration amplitude_{0};
    base::Duration period_{0};
    mutable base::WallTime highest_{};
    mutable base::Duration most_ahead_{0};
};

}  // namespace starling::env
