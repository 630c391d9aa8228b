#pragma once

// The phase of liveness, after TigerBeetle's: faults end for a random part of the cluster, its
// core, in which each partition has a quorum; the other nodes stay dead, or cut off from everybody.
// The core must do its work without them: it answers all that it is asked, and what its nodes hold
// becomes equal.

#include <map>
#include <string>
#include <vector>

#include "tests/sim/convergence.h"
#include "tests/sim/fault_support.h"
#include "tests/sim/operations.h"

namespace starling::sim {

class CorePhase {
  public:
    struct World {
        FaultWorld faults;
        Verdict& verdict;
        Oracle& oracle;
        Operations& operations;
        const std::vector<node::NamespaceInfo>& name_spaces;
    };

    explicit CorePhase(World world);
    ~CorePhase();
    CorePhase(const CorePhase&) = delete;
    CorePhase& operator=(const CorePhase&) = delete;

    // Runs the simulation through the phase; nothing when no node can be spared. Those that are
    // away stay so. REQUIRES: faults have ended, nobody else asks the cluster for anything.
    void run();
    bool has_core() const { return !away_.empty(); }
    // For people.
    const std::string& outcome() const { return outcome_; }

  private:
    // By partition, who holds which seat and answers for it.
    using Holders = std::map<base::PartitionId, std::vector<Machine*>>;

    // That all nodes are up and every seat is where placement wants it.
    bool wait_for_placement();
    Holders find_holders() const;
    bool has_quorums(const MachineList& away) const;
    void take_away();
    bool may_clocks_differ() const;
    void work();
    // Reads the key and writes over what was read, until both have worked, or the key takes no more
    // writes.
    void use(KeyIndex key, SimTime since);
    // Not for long after `since`, when it was asked for first.
    void use_again(KeyIndex key, SimTime since, const absl::Status& failed);
    bool has_owner_away(KeyIndex key) const;
    Machine* pick() { return core_[random_.below(core_.size())]; }
    void run_for(base::Duration span);

    const World world_;
    env::SimRandom random_;
    Convergence convergence_;
    Holders holders_;
    MachineList core_;
    MachineList away_;
    std::string outcome_;
    // Keys that work() waits for.
    size_t unused_ = 0;
    uint64_t serial_ = 0;
};

}  // namespace starling::sim
