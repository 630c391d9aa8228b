#include "env/sim/clock.h"

#include <algorithm>

namespace starling::env {

base::WallTime SimWallClock::without_strobe() const {
    const SimTime passed = scheduler_.now() - read_at_;
    const auto gained = static_cast<__int128>(passed.count()) * drift_per_million_ / 1'000'000;
    return reading_ + passed + base::Duration(static_cast<int64_t>(gained));
}

base::WallTime SimWallClock::wall_now() const {
    const bool is_ahead = period_ > base::Duration::zero() && scheduler_.now() / period_ % 2 != 0;
    const base::WallTime now = is_ahead ? without_strobe() + amplitude_ : without_strobe();
    highest_ = std::max(highest_, now);
    most_ahead_ = std::max<base::Duration>(most_ahead_, now - (start_ + scheduler_.now()));
    return now;
}

void SimWallClock::set_drift(int64_t per_million) {
    reading_ = without_strobe();
    read_at_ = scheduler_.now();
    drift_per_million_ = per_million;
}

void SimWallClock::set_strobe(base::Duration amplitude, base::Duration period) {
    amplitude_ = amplitude;
    period_ = period;
}

}  // namespace starling::env
