#pragma once

// The canaries of the nodes (node/canary), in runs that have them. What they write and read is
// promised while anything fails, so each accusation is a violation: at once, when it is logged
// (Machine::Listener), and when counts say so that no log has told of. Their keys are theirs alone;
// at rest they are data like any other, so nobody may write them any more.

#include "tests/sim/cluster.h"

namespace starling::sim {

class CanaryWatch {
  public:
    CanaryWatch(env::SimScheduler& scheduler,
                Cluster& cluster,
                const RunOptions& options,
                Verdict& verdict)
        : scheduler_(scheduler), cluster_(cluster), options_(options), verdict_(verdict) {}

    // As an operator does it: each node that has a canary is stopped in order, after its counts
    // were read, and starts without one. Nothing where no node has one. REQUIRES: faults have
    // ended; the nodes' answers do not outlive this.
    void turn_off();
    // Of the lives that turn_off() has ended.
    uint64_t operations() const { return operations_; }

  private:
    void check(const Machine& machine, const node::StatusReport& report);

    env::SimScheduler& scheduler_;
    Cluster& cluster_;
    const RunOptions& options_;
    Verdict& verdict_;
    uint64_t operations_ = 0;
};

}  // namespace starling::sim
