#pragma once

// Asks, again and again after all faults have ended, whether the cluster has come to rest: every
// node knows every node as a living member (I21), every seat is held by the node that placement
// wants there, no hint waits, what has rotted on a disk was given up, and the replicas of each
// group are equal to the byte: records, frontier, hash tree, and the tree equal to one computed
// from the records (I13). When it is at rest, what each owner holds on its disk goes to the oracle
// (I1, I3).

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/sim/cluster.h"
#include "tests/sim/oracle.h"

namespace starling::sim {

class Convergence {
  public:
    Convergence(env::SimScheduler& scheduler, Cluster& cluster, const RunOptions& options)
        : scheduler_(scheduler), cluster_(cluster), options_(options) {}

    // Runs the simulation until the cluster is at rest or the time is up. Returns why it is not at
    // rest; empty when it is.
    std::string wait();
    // Simulated time that wait() took.
    base::Duration elapsed() const { return elapsed_; }

    // REQUIRES: at rest. Shows each owner's records of the oracle's keys to the oracle.
    void inspect_replicas(Oracle& oracle,
                          const std::function<base::NamespaceId(KeyIndex)>& name_space_of);

  private:
    std::string check();
    std::string check_status(Machine& machine, const node::StatusReport& report);
    std::string check_disk(Machine& machine);
    std::string check_rings();
    std::string check_replicas();
    // For people.
    std::string names_of(const std::vector<base::NodeId>& nodes);
    std::string seats_held(base::PartitionId partition);

    env::SimScheduler& scheduler_;
    Cluster& cluster_;
    const RunOptions& options_;
    base::Duration elapsed_{0};
    // By partition and seat, as the nodes agree.
    std::vector<node::RingPartition> ring_;
};

}  // namespace starling::sim
