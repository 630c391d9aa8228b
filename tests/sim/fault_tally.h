#pragma once

// What the runs of this process, and of those that it forks, have drawn of what a run may have or
// not, and how often it was at work: the classes of faults, and canaries. Frames that only take
// longer, clocks that drift and late timers are not counted.

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tests/sim/simulation.h"

namespace starling::sim {

class FaultTally {
  public:
    // What is counted from then on is shared with processes forked later.
    FaultTally();
    ~FaultTally();
    FaultTally(const FaultTally&) = delete;
    FaultTally& operator=(const FaultTally&) = delete;

    void add(const RunOptions& options, const RunResult& result);

    // A line for each class that a run had: how often it was at work, in how many runs it was
    // drawn, its name.
    std::string table() const;
    // Classes that many runs had and that were at work in none of them; empty: there is none, or
    // the runs were too few to tell.
    std::string never_hit() const;

  private:
    struct Class {
        std::string_view name;
        std::function<bool(const RunOptions&)> is_drawn;
        std::function<uint64_t(const RunResult&)> hits;
    };
    struct Count {
        std::atomic<uint64_t> runs;
        std::atomic<uint64_t> hits;
    };
    static std::vector<Class> all_classes();

    const std::vector<Class> classes_;
    // In memory shared with forked processes; one for each of classes_, and one for all runs.
    std::span<Count> counts_;
};

}  // namespace starling::sim
