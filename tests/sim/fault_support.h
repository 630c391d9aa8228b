#pragma once

// What the classes of faults share.

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/faults.h"

namespace starling::sim {

using MachineList = std::vector<Machine*>;
inline MachineList shuffled(Cluster& cluster, env::SimRandom& random) {
    MachineList machines;
    for (const auto& machine : cluster.machines())
        machines.push_back(machine.get());
    for (size_t i = machines.size(); i > 1; --i)
        std::swap(machines[i - 1], machines[random.below(i)]);
    return machines;
}

inline std::string names(std::span<Machine* const> machines) {
    std::string out;
    for (const Machine* machine : machines)
        out += (out.empty() ? "" : " ") + machine->name();
    return out;
}

// Of one partition: what a majority has shown may lie on this disk alone. Looked at on the disk,
// without an operation on it. REQUIRES: up.
bool has_two_seats(Machine& machine, const RunOptions& options);

class WorldFault : public Fault {
  public:
    explicit WorldFault(const FaultWorld& world) : world_(world) {}

  protected:
    const FaultWorld& world_;
};

}  // namespace starling::sim
