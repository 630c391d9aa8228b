#pragma once

// Breadth-first over all states of a World that can be reached, and backwards from the good ends:
// is there a state with a violation, or one from which the moves can no longer be completed?

#include <cstdint>
#include <string>

#include "tests/unit/node/handover/world.h"

namespace starling::node {

struct Exploration {
    uint64_t states = 0;
    uint64_t transitions = 0;
    // All states were visited.
    bool is_complete = false;
    // The first violation with the shortest way to it; empty if none.
    std::string violation;
    // States from which no settled state (all up, all moves done) can be reached without further
    // faults, and one of them with the way to it.
    uint64_t stuck = 0;
    std::string stuck_example;
    // The same for states in which merely each seat counts.
    uint64_t without_full_hold = 0;
};

// Stops, incomplete, after `states_max`.
Exploration explore(const Scenario& scenario, uint64_t states_max);

}  // namespace starling::node
