#include "tests/sim/canary_watch.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

namespace starling::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

void CanaryWatch::turn_off() {
    std::vector<Machine*> watched;
    for (const auto& machine : cluster_.machines()) {
        machine->turn_canary_off();
        if (machine->is_up() && machine->has_canary()) watched.push_back(machine.get());
    }
    if (watched.empty()) return;
    for (Machine* const machine : watched) {
        machine->node().status([this, machine](const auto& report) {
            if (report.ok()) check(*machine, *report);
        });
    }
    scheduler_.run_for(seconds(1));
    const auto is_on = [](const Machine* machine) {
        return machine->is_up() && machine->has_canary();
    };
    for (Machine* const machine : watched) {
        if (is_on(machine)) cluster_.stop(*machine, base::Duration::zero());
    }
    const env::SimTime patience = scheduler_.now() + options_.convergence_max;
    while (verdict_.ok() && std::ranges::any_of(watched, is_on)) {
        if (scheduler_.now() >= patience) {
            return verdict_.report("I27", "a node does not stop, to start without its canary");
        }
        scheduler_.run_for(milliseconds(100));
    }
}

void CanaryWatch::check(const Machine& machine, const node::StatusReport& report) {
    operations_ += static_cast<uint64_t>(report.metrics.at("starling_canary_operations_total"));
    for (const char* promise : {"lost_write", "deleted_returned", "stale_read"}) {
        const std::string name =
            fmt::format("starling_canary_broken_promises_total{{promise=\"{}\"}}", promise);
        if (report.metrics.at(name) == 0) continue;
        verdict_.report("canary",
                        fmt::format("{} counts {} broken promises: {}",
                                    machine.name(),
                                    report.metrics.at(name),
                                    promise));
    }
}

}  // namespace starling::sim
