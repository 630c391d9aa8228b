#pragma once

// One run: a cluster, clients and faults from one seed. Phases: the first nodes come up and form a
// cluster; clients work while anything may fail and nodes join; in some runs a part of the cluster
// works on alone; faults end and the cluster must come to rest; then all that was acknowledged is
// asked for again, through every node and on every disk; and all nodes stop.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/sim/canary_watch.h"
#include "tests/sim/cluster.h"
#include "tests/sim/collection_watch.h"
#include "tests/sim/convergence.h"
#include "tests/sim/core_phase.h"
#include "tests/sim/disk_audit.h"
#include "tests/sim/editors.h"
#include "tests/sim/faults.h"
#include "tests/sim/importer.h"
#include "tests/sim/limit_watch.h"
#include "tests/sim/liveness_watch.h"
#include "tests/sim/operations.h"
#include "tests/sim/session_users.h"
#include "tests/sim/workload.h"

namespace starling::sim {

struct RunResult {
    std::vector<Violation> violations;
    uint64_t digest = 0;
    // True time since the start of the run.
    base::Duration simulated{0};
    base::Duration convergence{0};
    // What became of the phase of the core; empty: it has none.
    std::string core;
    bool had_core = false;
    uint64_t events = 0;
    // Of those that lived to the end of the faults.
    uint64_t canary_operations = 0;
    // While faults were at work.
    LivenessWatch::Counts liveness;
    uint64_t conclusions_compared = 0;
    OracleCounts oracle;
    DiskAuditCounts audit;
    Operations::Counts operations;
    Cluster::Counts cluster;
    env::SimNetworkStats network;
    // How often each class was at work, by its name; "weather": how often that turned bad.
    std::map<std::string, uint64_t> faults;
    // Of a run with a trace.
    std::vector<std::string> trace;
    // The history of the key of the first violation that names one.
    std::string key_history;

    bool ok() const { return violations.empty(); }
};

class Simulation {
  public:
    struct TraceOptions {
        // 0: no trace.
        size_t lines_max = 0;
        bool live = false;
        bool frames = false;
    };

    Simulation(const RunOptions& options, TraceOptions trace);
    explicit Simulation(const RunOptions& options) : Simulation(options, TraceOptions()) {}
    ~Simulation();
    Simulation(const Simulation&) = delete;
    Simulation& operator=(const Simulation&) = delete;

    // All phases, or up to the first violation.
    RunResult run();

    // For scripted scenarios, in this order: form(), then any of these, then come_to_rest(), then
    // result(). The first nodes_at_start nodes are a cluster; clients know the oracle's keys.
    bool form();
    Cluster& cluster() { return *cluster_; }
    Operations& operations() { return *operations_; }
    Oracle& oracle() { return oracle_; }
    // Once formed.
    DiskAudit& audit() { return *audit_; }
    env::SimNetwork& network() { return network_; }
    env::SimScheduler& scheduler() { return scheduler_; }
    Verdict& verdict() { return verdict_; }
    void run_for(base::Duration span);
    // Ends all faults; a part of the cluster then works on without the rest, which stays away.
    void work_on_core();
    // That these become equal while the rest is away.
    void check_core(const std::vector<Machine*>& core);
    // Ends all faults, waits for rest, reads all back; violations say what was wrong.
    void come_to_rest();
    RunResult result();

  private:
    // True when the run may go on.
    bool run_until(SimTime end);
    bool find_namespaces();
    FaultWorld fault_world();
    void work();
    // What the run has done too little of to prove anything; empty: nothing.
    std::string below_floor() const;
    void read_all_back();
    // In order, and starts none again.
    void stop_all();

    const RunOptions options_;
    const base::WallTime started_;
    env::SimScheduler scheduler_;
    const env::SimRandom random_;
    Trace trace_;
    Verdict verdict_;
    env::SimNetwork network_;
    Oracle oracle_;
    std::vector<node::NamespaceInfo> name_spaces_;
    std::unique_ptr<Cluster> cluster_;
    std::unique_ptr<DiskAudit> audit_;
    std::unique_ptr<FaultSchedule> faults_;
    std::unique_ptr<Workload> workload_;
    std::unique_ptr<SessionUsers> session_users_;
    std::unique_ptr<Editors> editors_;
    std::unique_ptr<Importer> importer_;
    std::unique_ptr<Operations> operations_;
    std::unique_ptr<CorePhase> core_phase_;
    std::unique_ptr<LimitWatch> limit_watch_;
    std::unique_ptr<CanaryWatch> canary_watch_;
    // While faults are at work.
    std::unique_ptr<LivenessWatch> liveness_watch_;
    std::unique_ptr<CollectionWatch> collection_watch_;
    LivenessWatch::Counts liveness_;
    uint64_t conclusions_compared_ = 0;
    base::Duration convergence_{0};
};

}  // namespace starling::sim
