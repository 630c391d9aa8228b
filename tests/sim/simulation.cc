#include "tests/sim/simulation.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "node/canary/canary.h"

namespace starling::sim {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

const env::EventLabel join_time_label("sim.join time");

// Checked operations, for each second that was asked for, below which a run proves nothing.
constexpr uint64_t checked_per_second_min = 10;
// The faulty phase lasts at most so many times as long as was asked for.
constexpr int stretch_max = 4;

// Beside `default`.
std::vector<node::NamespaceInfo> more_namespaces(const RunOptions& options) {
    std::vector<node::NamespaceInfo> more;
    const auto add = [&](std::string name, uint32_t n, node::ConflictPolicy policy) {
        const uint32_t majority = n / 2 + 1;
        node::NamespaceInfo& info = more.emplace_back();
        info.name = std::move(name);
        info.replicas = n;
        info.read_quorum = n + 1 - majority;
        info.write_quorum = majority;
        info.policy = policy;
    };
    if (options.workload.second_namespace_replicas > 0) {
        add("second", options.workload.second_namespace_replicas, node::ConflictPolicy::siblings);
        more.back().siblings_max = options.node.siblings_max;
    }
    if (options.workload.policy_namespaces) {
        const uint32_t n = std::min(options.workload.policy_replicas, options.node.seat_count);
        add("last", n, node::ConflictPolicy::last_write_wins);
        add("strict", n, node::ConflictPolicy::reject_stale);
    }
    return more;
}

// Some day in 2025.
constexpr base::WallTime true_start{hours(24 * 20'200)};

}  // namespace

Simulation::Simulation(const RunOptions& options, TraceOptions trace)
    : options_(options),
      started_(true_start),
      random_(options.seed),
      trace_(scheduler_, trace.lines_max),
      network_(scheduler_, random_.fork("network")),
      oracle_(verdict_, [this](const Oracle::Key& key, const node::Dot& dot) {
          return cluster_->is_seen_by_all_owners(
              {.partition = key.partition, .replicas = static_cast<uint8_t>(key.replicas)}, dot);
      }) {
    if (trace.live) trace_.set_live(stdout);
    trace_.set_frames(trace.frames);
    verdict_.set_listener([this](const Violation& violation) {
        trace_.add("VIOLATION {}: {}", violation.invariant, violation.what);
    });
    cluster_ = std::make_unique<Cluster>(Machine::World{.scheduler = scheduler_,
                                                        .network = network_,
                                                        .random = random_,
                                                        .trace = trace_,
                                                        .options = options_,
                                                        .started = started_},
                                         verdict_);
}

Simulation::~Simulation() {
    if (operations_ != nullptr) operations_->close();
    faults_.reset();
    // Nodes first: they hold the clients' callbacks.
    cluster_.reset();
    canary_watch_.reset();
    limit_watch_.reset();
    core_phase_.reset();
    operations_.reset();
    workload_.reset();
    session_users_.reset();
    editors_.reset();
    importer_.reset();
}

bool Simulation::run_until(SimTime end) {
    // Looked at now and then: the first violation ends the run soon enough.
    while (scheduler_.now() < end && verdict_.ok()) {
        scheduler_.run_until(std::min(end, scheduler_.now() + milliseconds(100)));
        if (liveness_watch_ != nullptr) liveness_watch_->look();
        if (collection_watch_ != nullptr) collection_watch_->look();
    }
    return verdict_.ok();
}

void Simulation::run_for(base::Duration span) {
    run_until(scheduler_.now() + span);
}

bool Simulation::form() {
    for (uint32_t number = 1; number <= options_.nodes_at_start; ++number)
        cluster_->bring_up(number);
    const SimTime patience = scheduler_.now() + minutes(2);
    while (!cluster_->is_complete() && scheduler_.now() < patience && verdict_.ok())
        run_for(milliseconds(100));
    if (!cluster_->is_complete()) {
        verdict_.report(
            "I21", "the first nodes did not form a cluster within two minutes, without any fault");
        return false;
    }
    if (!find_namespaces()) return false;
    workload_ = std::make_unique<Workload>(scheduler_, random_, options_, name_spaces_, oracle_);
    session_users_ = std::make_unique<SessionUsers>(
        SessionUsers::World{
            .scheduler = scheduler_, .random = random_, .options = options_, .oracle = oracle_},
        oracle_.key_count(),
        name_spaces_.front());
    editors_ = std::make_unique<Editors>(
        Editors::World{
            .scheduler = scheduler_, .random = random_, .options = options_, .oracle = oracle_},
        name_spaces_);
    importer_ = std::make_unique<Importer>(
        Importer::World{
            .scheduler = scheduler_, .random = random_, .options = options_, .oracle = oracle_},
        name_spaces_.front());
    audit_ = std::make_unique<DiskAudit>(DiskAudit::World{
        .cluster = *cluster_,
        .oracle = oracle_,
        .verdict = verdict_,
        .options = options_,
        .random = random_,
        .name_space_of = [this](KeyIndex key) { return operations_->name_space_of(key).id; }});
    if (options_.audit_deaths) {
        cluster_->on_death([this](Machine& machine) { audit_->died(machine); });
    }
    operations_ = std::make_unique<Operations>(
        Operations::World{
            .scheduler = scheduler_,
            .random = random_,
            .trace = trace_,
            .verdict = verdict_,
            .options = options_,
            .cluster = *cluster_,
            .oracle = oracle_,
            .started = started_,
            .fault_active = [this] { return faults_ != nullptr && faults_->is_active(); },
            .put_acknowledged =
                [this](Machine& by,
                       KeyIndex key,
                       WriteId id,
                       uint32_t quorum,
                       const node::PutResult& result) {
                    audit_->put_acknowledged(by, key, id, quorum, result);
                }},
        name_spaces_);
    faults_ = std::make_unique<FaultSchedule>(fault_world());
    limit_watch_ = std::make_unique<LimitWatch>(scheduler_, *cluster_, options_, verdict_);
    limit_watch_->begin();
    canary_watch_ = std::make_unique<CanaryWatch>(scheduler_, *cluster_, options_, verdict_);
    return true;
}

FaultWorld Simulation::fault_world() {
    return {.scheduler = scheduler_,
            .network = network_,
            .random = random_,
            .trace = trace_,
            .options = options_,
            .cluster = *cluster_,
            .started = started_};
}

bool Simulation::find_namespaces() {
    Machine& founder = cluster_->machine(1);
    for (const node::NamespaceInfo& info : more_namespaces(options_)) {
        std::optional<absl::Status> answer;
        founder.node().create_namespace(info, [&](auto made) { answer = made.status(); });
        run_for(seconds(5));
        if (!answer || !answer->ok()) {
            verdict_.report("P7",
                            fmt::format("a namespace was not made: {}",
                                        answer ? answer->ToString() : "no answer"));
            return false;
        }
    }
    founder.node().list_namespaces([&](absl::StatusOr<std::vector<node::NamespaceInfo>> listed) {
        if (listed.ok()) name_spaces_ = *std::move(listed);
    });
    run_for(seconds(1));
    // What canaries write is none of the clients' business.
    std::erase_if(name_spaces_,
                  [](const auto& info) { return info.name == node::canary_namespace; });
    // `default` is first whatever the order they are listed in.
    std::ranges::stable_partition(name_spaces_,
                                  [](const auto& info) { return info.name == "default"; });
    if (!name_spaces_.empty() && name_spaces_.front().name == "default") return true;
    verdict_.report("P7", "the default namespace is not listed");
    return false;
}

void Simulation::work() {
    const SimTime begin = scheduler_.now();
    const SimTime end = begin + options_.duration;
    env::SimRandom random = random_.fork("joins");
    for (uint32_t number = options_.nodes_at_start + 1; number <= options_.nodes; ++number) {
        // Some at once with others, none so late that it meets no fault.
        const base::Duration when = random.between(seconds(1), options_.duration * 4 / 5);
        scheduler_.schedule_after(when,
                                  {.owner = env::no_owner,
                                   .context = this,
                                   .label = &join_time_label,
                                   .task = [this, number] { cluster_->bring_up(number); }});
    }
    if (options_.faults.crashes_in_recovery) cluster_->set_recovery_crashes(300'000);
    if (options_.faults.damaged_logs) cluster_->set_damaged_logs(500'000);
    if (options_.faults.wrong_configurations) cluster_->set_wrong_configurations(500'000);
    faults_->begin();
    liveness_watch_ = std::make_unique<LivenessWatch>(
        LivenessWatch::World{.scheduler = scheduler_,
                             .cluster = *cluster_,
                             .options = options_,
                             .verdict = verdict_,
                             .clear_since = [this](const Machine& a, const Machine& b) {
                                 return faults_->clear_since(a, b);
                             }});
    collection_watch_ = std::make_unique<CollectionWatch>(CollectionWatch::World{
        .scheduler = scheduler_, .cluster = *cluster_, .oracle = oracle_, .verdict = verdict_});
    workload_->begin(*operations_);
    session_users_->begin(*operations_, end);
    editors_->begin(*operations_);
    importer_->begin(*operations_);
    run_until(end);
    // Where the drawn faults keep the only holders away for most of the time, or from coordinating
    // because their clocks are wrong, more time is needed to prove as much.
    while (scheduler_.now() < begin + options_.duration * stretch_max && !below_floor().empty()) {
        faults_->set_clocks_right(options_.node.clock_drift_max / 2);
        if (!run_until(scheduler_.now() + options_.duration / 10)) break;
    }
    workload_->end();
    operations_->end_sending_again();
    session_users_->end();
    editors_->end();
    importer_->end();
    liveness_ = liveness_watch_->counts();
    conclusions_compared_ = collection_watch_->compared();
    liveness_watch_.reset();
    collection_watch_.reset();
    cluster_->set_recovery_crashes(0);
    cluster_->set_damaged_logs(0);
    cluster_->set_wrong_configurations(0);
}

RunResult Simulation::run() {
    if (form()) {
        work();
        if (options_.core_phase && verdict_.ok()) work_on_core();
        if (verdict_.ok()) come_to_rest();
        if (const std::string why = below_floor(); verdict_.ok() && !why.empty())
            verdict_.report("floor", why);
        if (verdict_.ok()) stop_all();
    }
    return result();
}

void Simulation::work_on_core() {
    faults_->end();
    canary_watch_->turn_off();
    core_phase_ = std::make_unique<CorePhase>(CorePhase::World{.faults = fault_world(),
                                                               .verdict = verdict_,
                                                               .oracle = oracle_,
                                                               .operations = *operations_,
                                                               .name_spaces = name_spaces_});
    core_phase_->run();
}

void Simulation::check_core(const std::vector<Machine*>& core) {
    Convergence convergence(scheduler_, *cluster_, options_);
    const std::string why_not = convergence.wait_for_equality(core, name_spaces_);
    if (verdict_.ok() && !why_not.empty()) verdict_.report("core", why_not);
}

void Simulation::come_to_rest() {
    faults_->end();
    audit_->check_promises();
    canary_watch_->turn_off();
    // Operations under way end at their deadlines; machines that are down start.
    run_for(seconds(10));
    Convergence convergence(scheduler_, *cluster_, options_);
    const std::string why_not = convergence.wait();
    convergence_ = convergence.elapsed();
    if (!verdict_.ok()) return;
    if (!why_not.empty()) {
        verdict_.report("I13",
                        fmt::format("not at rest {:.0f} s after the last fault: {}",
                                    static_cast<double>(convergence_.count()) * 1e-9,
                                    why_not));
        return;
    }
    trace_.add("at rest");
    // A timer that was late when faults ended, one that ends a request among them, is still late.
    const SimTime patience = scheduler_.now() + options_.faults.timer_lateness_max;
    while (!operations_->is_idle() && scheduler_.now() < patience && verdict_.ok())
        run_for(milliseconds(100));
    if (!operations_->is_idle()) {
        verdict_.report(
            "I19",
            fmt::format("{} requests are still without an answer", operations_->under_way()));
        return;
    }
    read_all_back();
    convergence.inspect_replicas(
        oracle_, [this](KeyIndex key) { return operations_->name_space_of(key).id; });
    if (!verdict_.ok()) return;
    if (const std::string heard = convergence.check_silence(); !heard.empty())
        verdict_.report("I14", heard);
}

void Simulation::stop_all() {
    constexpr base::Duration for_good = hours(24 * 365);
    const uint64_t failed_before = cluster_->counts().stops_failed;
    Convergence convergence(scheduler_, *cluster_, options_);
    if (const std::string why_not = convergence.note_counts(); !why_not.empty())
        return verdict_.report("I12", why_not);
    for (Machine* machine : cluster_->members())
        cluster_->stop(*machine, for_good);
    const SimTime patience = scheduler_.now() + options_.node.drain_max + minutes(1);
    while (cluster_->up_count() > 0 && verdict_.ok() && scheduler_.now() < patience)
        run_for(milliseconds(100));
    if (cluster_->up_count() > 0 && verdict_.ok())
        verdict_.report("I27", fmt::format("{} nodes do not stop", cluster_->up_count()));
    if (cluster_->counts().stops_failed > failed_before && verdict_.ok())
        verdict_.report("I27", "a node has stopped with an error");
    if (!verdict_.ok()) return;
    if (const std::string why_not = convergence.check_counts(); !why_not.empty())
        verdict_.report("I12", why_not);
}

void Simulation::read_all_back() {
    size_t waiting = 0;
    for (size_t i = 0; i < oracle_.key_count(); ++i) {
        const KeyIndex key = Oracle::nth_key(i);
        for (Machine* machine : cluster_->members()) {
            ++waiting;
            // The client's link may lose requests for ever; the node is asked until it answers.
            operations_->read({.key = key,
                               .quorum = oracle_.key(key).replicas,
                               .tries_max = 1000,
                               .through = machine,
                               .quiet = true},
                              [&](ReadOutcome outcome) {
                                  --waiting;
                                  if (outcome.status.ok()) return;
                                  verdict_.report(
                                      "I12",
                                      fmt::format("at rest, a read of all seats fails: {}",
                                                  outcome.status.ToString()));
                              });
        }
        run_for(milliseconds(20));
    }
    const SimTime patience = scheduler_.now() + minutes(1);
    while (waiting > 0 && verdict_.ok() && scheduler_.now() < patience)
        run_for(milliseconds(100));
    if (waiting > 0 && verdict_.ok())
        verdict_.report("I12", fmt::format("at rest, {} reads are not answered", waiting));
    // Nothing that still waits may report into what is gone.
    if (waiting > 0) operations_->close();
}

std::string Simulation::below_floor() const {
    const OracleCounts& counts = oracle_.counts();
    const auto asked =
        static_cast<uint64_t>(std::chrono::duration_cast<seconds>(options_.duration).count());
    struct Demand {
        uint64_t count;
        uint64_t floor;
        std::string_view what;
    };
    std::vector<Demand> demands = {
        {counts.checked(), asked * checked_per_second_min, "checked operations"},
        {counts.puts_acknowledged, asked, "acknowledged puts"},
        {counts.puts_contended, asked / 10, "puts while another of the key was under way"}};
    if (options_.faults.any()) {
        demands.push_back(
            {operations_->counts().hit_by_faults, asked / 10, "operations hit by faults"});
    }
    for (const Demand& demand : demands) {
        if (demand.count < demand.floor) {
            return fmt::format("{} {}, the floor is {}: the run proves too little",
                               demand.count,
                               demand.what,
                               demand.floor);
        }
    }
    return "";
}

RunResult Simulation::result() {
    RunResult result;
    result.violations = verdict_.violations();
    result.digest = scheduler_.digest();
    result.simulated = scheduler_.now();
    result.convergence = convergence_;
    if (core_phase_ != nullptr) {
        result.core = core_phase_->outcome();
        result.had_core = core_phase_->has_core();
    }
    result.events = scheduler_.events_run();
    result.liveness = liveness_;
    result.conclusions_compared = conclusions_compared_;
    result.oracle = oracle_.counts();
    if (audit_ != nullptr) result.audit = audit_->counts();
    if (operations_ != nullptr) result.operations = operations_->counts();
    result.cluster = cluster_->counts();
    result.network = network_.stats();
    if (faults_ != nullptr) result.faults = faults_->hits();
    // Those that come with starts.
    const auto add_faults = [&](const char* name, uint64_t count) {
        if (count > 0) result.faults[name] = count;
    };
    add_faults("crash in recovery", result.cluster.crashes_in_recovery);
    add_faults("damaged log", result.cluster.starts_on_damaged_logs);
    add_faults("wrong configuration", result.cluster.starts_with_wrong_configuration);
    if (canary_watch_ != nullptr) result.canary_operations = canary_watch_->operations();
    result.trace.assign(trace_.lines().begin(), trace_.lines().end());
    for (const Violation& violation : result.violations) {
        unsigned key = 0;
        if (std::sscanf(violation.what.c_str(), "key %u ", &key) == 1 && key >= 1 &&
            key <= oracle_.key_count()) {
            result.key_history = oracle_.describe_key(KeyIndex(key));
            break;
        }
    }
    return result;
}

}  // namespace starling::sim
