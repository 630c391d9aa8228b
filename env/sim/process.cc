#include "env/sim/process.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace starling::env {
namespace {

using base::Duration;

constexpr int64_t million = 1'000'000;
constexpr int64_t drift_per_million_max = 200'000;

// value * numerator / denominator, rounded up, for values that are not negative.
Duration scale_up(Duration value, int64_t numerator, int64_t denominator) {
    const auto product = static_cast<__int128>(value.count()) * numerator;
    return Duration(static_cast<int64_t>((product + denominator - 1) / denominator));
}

Duration scale_down(Duration value, int64_t numerator, int64_t denominator) {
    const auto product = static_cast<__int128>(value.count()) * numerator;
    return Duration(static_cast<int64_t>(product / denominator));
}

}  // namespace

SimProcess::SimProcess(SimScheduler& scheduler,
                       std::string name,
                       const SimRandom& random,
                       Faults faults)
    : scheduler_(scheduler),
      name_(std::move(name)),
      owner_(scheduler.add_owner()),
      random_(random),
      faults_(faults),
      timer_random_(random.fork("timers")) {
    begin_life();
}

SimProcess::~SimProcess() {
    scheduler_.drop_owner(owner_);
}

void SimProcess::crash() {
    alive_ = false;
    scheduler_.drop_owner(owner_);
}

void SimProcess::restart() {
    STARLING_CHECK_MSG(!alive_, name_);
    begin_life();
}

void SimProcess::begin_life() {
    STARLING_CHECK(std::abs(faults_.drift_per_million) <= drift_per_million_max);
    alive_ = true;
    ++life_;
    drift_per_million_ = faults_.drift_per_million;
    started_at_ = scheduler_.now();
    SimRandom random = fork_random("monotonic");
    started_reading_ =
        base::MonotonicTime(random.between(std::chrono::seconds(1), std::chrono::hours(1000)));
}

base::MonotonicTime SimProcess::monotonic_now() const {
    return started_reading_ +
           scale_down(scheduler_.now() - started_at_, million + drift_per_million_, million);
}

void SimProcess::take_time(SimTime time) {
    time_taken_ = time_taken() + time;
    taking_event_ = scheduler_.events_run();
}

SimTime SimProcess::draw_timer_delay(Duration delay) {
    // Counted from the start of this life: scaling the delay alone could, by its rounding, let the
    // timer go off a nanosecond early by the process's own clock.
    const Duration due = monotonic_now() + std::max(delay, Duration::zero()) - started_reading_;
    SimTime wait =
        started_at_ + scale_up(due, million, million + drift_per_million_) - scheduler_.now();
    if (timer_random_.chance(faults_.late_timers_per_million)) {
        wait += timer_random_.between(Duration::zero(), faults_.timer_lateness_max);
    }
    return std::max(wait, SimTime::zero());
}

}  // namespace starling::env
