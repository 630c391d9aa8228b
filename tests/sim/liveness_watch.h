#pragma once

// Looks, while faults are at work, at whom each node holds for dead (I21): no member that is up and
// awake, with nothing at work on the links between the two, for longer than `held_dead_max`. Looks
// at the nodes from outside: it draws and schedules nothing.

#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "tests/sim/cluster.h"
#include "tests/sim/verdict.h"

namespace starling::sim {

class LivenessWatch {
  public:
    struct World {
        const env::SimScheduler& scheduler;
        Cluster& cluster;
        const RunOptions& options;
        Verdict& verdict;
        // As FaultSchedule::clear_since().
        std::function<env::SimTime(const Machine&, const Machine&)> clear_since;
    };
    struct Counts {
        // Pairs of nodes that were in a state to hear each other for so long, when looked at.
        uint64_t pairs_looked_at = 0;
        base::Duration held_dead_longest{0};
    };
    // A node that is held dead is told so by one probe in some seconds.
    static constexpr base::Duration held_dead_max = std::chrono::seconds(30);

    explicit LivenessWatch(World world);
    LivenessWatch(const LivenessWatch&) = delete;
    LivenessWatch& operator=(const LivenessWatch&) = delete;

    // To be called again and again, between events.
    void look();
    const Counts& counts() const { return counts_; }

  private:
    // Of a machine, as of the last look.
    struct Seen {
        env::SimLife life = 0;
        // The node of this life is a member and serves.
        env::SimTime well_since = env::SimTime::max();
    };

    void look_at(Machine& machine);
    void look_at(Machine& by, Machine& other);
    env::SimTime well_since(const Machine& machine) const;

    const World world_;
    const base::Duration allowed_;
    env::SimTime next_look_{0};
    // By the numbers of machines.
    std::vector<Seen> seen_;
    std::map<std::pair<uint32_t, uint32_t>, env::SimTime> held_dead_since_;
    Counts counts_;
};

}  // namespace starling::sim
