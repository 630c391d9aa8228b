#pragma once

// Asks every node, now and then, what it holds in memory and of hints, and holds the answers
// against its limits (I18).

#include "tests/sim/cluster.h"
#include "tests/sim/verdict.h"

namespace starling::sim {

class LimitWatch {
  public:
    LimitWatch(env::SimScheduler& scheduler,
               Cluster& cluster,
               const RunOptions& options,
               Verdict& verdict);
    ~LimitWatch();
    LimitWatch(const LimitWatch&) = delete;
    LimitWatch& operator=(const LimitWatch&) = delete;

    // Until it is destroyed. REQUIRES: the nodes' answers do not outlive this.
    void begin();

  private:
    void look();
    void check(const Machine& machine, const node::StatusReport& report);

    env::SimScheduler& scheduler_;
    Cluster& cluster_;
    const RunOptions& options_;
    Verdict& verdict_;
};

}  // namespace starling::sim
