#include "tests/sim/liveness_watch.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace starling::sim {

using std::chrono::seconds;

namespace {

constexpr base::Duration look_again_after = seconds(1);
// A node whose timers are later than that hardly takes part in anything.
constexpr base::Duration lateness_max = seconds(5);

base::Duration lateness_of(const FaultOptions& faults) {
    return faults.late_timers_per_million > 0 ? faults.timer_lateness_max : base::Duration::zero();
}

}  // namespace

LivenessWatch::LivenessWatch(World world)
    : world_(std::move(world)),
      // One of each node: it probes, and the other answers and takes news in, by timers.
      allowed_(held_dead_max + 2 * lateness_of(world_.options.faults)),
      seen_(world_.cluster.size() + 1) {}

void LivenessWatch::look() {
    const env::SimTime now = world_.scheduler.now();
    if (now < next_look_ || lateness_of(world_.options.faults) > lateness_max) return;
    next_look_ = now + look_again_after;
    for (const auto& machine : world_.cluster.machines())
        look_at(*machine);
    for (const auto& by : world_.cluster.machines()) {
        for (const auto& other : world_.cluster.machines()) {
            if (by != other) look_at(*by, *other);
        }
    }
}

void LivenessWatch::look_at(Machine& machine) {
    Seen& seen = seen_[machine.number()];
    const bool is_well = world_.cluster.is_member(machine) && machine.node().is_ready();
    if (!is_well || machine.lives() != seen.life) seen.well_since = env::SimTime::max();
    seen.life = machine.lives();
    if (is_well) seen.well_since = std::min(seen.well_since, world_.scheduler.now());
}

env::SimTime LivenessWatch::well_since(const Machine& machine) const {
    if (machine.is_paused()) return env::SimTime::max();
    return std::max(seen_[machine.number()].well_since, machine.resumed_at());
}

void LivenessWatch::look_at(Machine& by, Machine& other) {
    const env::SimTime now = world_.scheduler.now();
    env::SimTime& held_dead_since =
        held_dead_since_.try_emplace({by.number(), other.number()}, env::SimTime::max())
            .first->second;
    const env::SimTime both_well =
        std::max({well_since(by), well_since(other), world_.clear_since(by, other)});
    if (both_well > now || !by.node().holds_dead(other.node().id())) {
        held_dead_since = env::SimTime::max();
        if (both_well < now - allowed_) ++counts_.pairs_looked_at;
        return;
    }
    held_dead_since = std::min(held_dead_since, now);
    const base::Duration held = now - std::max(held_dead_since, both_well);
    counts_.held_dead_longest = std::max(counts_.held_dead_longest, held);
    if (held <= allowed_) return;
    world_.verdict.report("I21",
                          fmt::format("{} holds {} for dead, and has heard it for {:.0f} s",
                                      by.name(),
                                      other.name(),
                                      static_cast<double>(held.count()) * 1e-9));
}

}  // namespace starling::sim
