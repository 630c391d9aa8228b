#pragma once

// Asks, again and again after all faults have ended, whether the cluster has come to rest: every
// node knows every node as a living member (I21), every seat is held by the node that placement
// wants there, no hint waits, what has rotted on a disk was given up, and the replicas of each
// group are equal to the byte: records, frontier, hash tree, and the tree equal to one computed
// from the records (I13). When it is at rest, what each owner holds on its disk goes to the oracle
// (I1, I3).

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"

#include "node/replica/group_access.h"
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
    // That all nodes see every seat where placement wants it; empty when it is.
    std::string check_rings();
    // As wait(), for a part of the cluster while the rest is away: what its members have seen, and
    // what readers are shown of it, is equal. What is to go when all others have seen it goes on
    // each of them in its own time, or stays.
    std::string wait_for_equality(const std::vector<Machine*>& core,
                                  const std::vector<node::NamespaceInfo>& name_spaces);
    // REQUIRES: at rest. Empty when replicas that are equal soon pull nothing from each other (I14)
    // for as long as it takes each to be compared.
    std::string check_silence();

    // What each node says of its hints and tombstones must lie on its disk once it has stopped:
    // before that, the removal of a hint may wait for whatever syncs next. Waits until all tell,
    // and have no hints; why not, or empty.
    std::string note_counts();
    // REQUIRES: stopped, with an earlier note_counts().
    std::string check_counts();

    // REQUIRES: at rest. Shows each owner's records of the oracle's keys to the oracle.
    void inspect_replicas(Oracle& oracle,
                          const std::function<base::NamespaceId(KeyIndex)>& name_space_of);

  private:
    struct Holder {
        Machine* machine;
        node::GroupSummary summary;
        std::vector<node::KeyRecord> records;
    };
    using Reports = std::vector<std::pair<Machine*, node::StatusReport>>;

    std::string wait_until_clear(absl::FunctionRef<std::string()> check);
    std::string check();
    // Of these machines, all of which answer; else why not.
    std::string ask_status(const std::vector<Machine*>& machines, Reports& reports);
    std::string check_status(Machine& machine, const node::StatusReport& report);
    static std::string check_equality(const std::string& name, const std::vector<Holder>& holders);
    static std::string check_frontiers(const std::string& name, const Holder& a, const Holder& b);
    static std::string check_tree(const std::string& name, const Holder& holder);
    static std::string check_core(const std::vector<Machine*>& core,
                                  const std::vector<node::NamespaceInfo>& name_spaces);
    std::string check_disk(Machine& machine);
    std::string check_replicas(const Reports& reports);
    std::string check_targets(const node::RingPartition& partition);
    // For people.
    std::string names_of(const std::vector<base::NodeId>& nodes);
    std::string seats_held(base::PartitionId partition);

    env::SimScheduler& scheduler_;
    Cluster& cluster_;
    const RunOptions& options_;
    base::Duration elapsed_{0};
    Reports noted_;
    // By partition and seat, as the nodes agree.
    std::vector<node::RingPartition> ring_;
};

}  // namespace starling::sim
