#pragma once

// What time it is for expiries: the wall clock, but never earlier than it was before, and not
// before what compactions have dropped already, in this run or an earlier one. So what has expired
// does not come back when the machine's clock goes back. Thread-safe.

#include <algorithm>
#include <atomic>

#include "env/clock.h"
#include "storage/engine.h"

namespace starling::storage {

class ExpiryClock {
  public:
    ExpiryClock(const env::WallClock& wall_clock, Expiry not_before)
        : wall_clock_(wall_clock), latest_(not_before) {}

    // Milliseconds since 1970.
    Expiry now() const {
        const Expiry reading = base::to_unix_ms(wall_clock_.wall_now());
        Expiry latest = latest_.load(std::memory_order_relaxed);
        while (reading > latest &&
               !latest_.compare_exchange_weak(latest, reading, std::memory_order_relaxed)) {
        }
        return std::max(reading, latest);
    }
    bool has_passed(Expiry expiry) const { return expiry != never && expiry <= now(); }

  private:
    const env::WallClock& wall_clock_;
    mutable std::atomic<Expiry> latest_;
};

}  // namespace starling::storage
