#include "tests/sim/scenario.h"

#include <optional>
#include <utility>

#include "node/server/inspect.h"

namespace starling::sim {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

RunOptions Scenario::plain(uint32_t nodes, uint32_t nodes_at_start) {
    RunOptions options;
    options.seed = 1;
    options.nodes = nodes;
    options.nodes_at_start = nodes_at_start;
    options.audit_interval = 1;
    options.node.cluster_name = "scenario";
    options.node.cluster_secret = "a secret of the simulation only";
    options.node.partition_count = 1;
    options.node.entropy_interval = seconds(5);
    options.node.deadline_limit = options.node.deadline_max;
    options.workload.clients = 1;
    options.workload.keys = 2;
    options.workload.lone_users = 0;
    options.workload.session_users = 0;
    options.workload.link_delay_mean = microseconds(10);
    return options;
}

void Scenario::form(const RunOptions& options) {
    key_number_ = 0;
    simulation_ = std::make_unique<Simulation>(options, Simulation::TraceOptions{.lines_max = 300});
    ASSERT_TRUE(simulation_->form());
}

void Scenario::finish() {
    simulation_->come_to_rest();
    const RunResult result = simulation_->result();
    for (const Violation& violation : result.violations) {
        ADD_FAILURE() << violation.invariant << ": " << violation.what;
    }
    if (result.ok()) return;
    for (const std::string& line : result.trace)
        std::printf("%s\n", line.c_str());
    std::printf("%s", result.key_history.c_str());
}

PutOutcome Scenario::put(uint32_t node, const std::string& value, PutAs as) {
    // Shared with the callback, which comes late, or never, once a violation ends the wait.
    const auto outcome = std::make_shared<std::optional<PutOutcome>>();
    simulation_->operations().put({.key = key(),
                                   .value = value,
                                   .is_delete = as.is_delete,
                                   .ttl = as.ttl,
                                   .replaces = as.replaces,
                                   .context = as.context,
                                   .quorum = as.w,
                                   .deadline = as.deadline,
                                   .tries_max = 1,
                                   .through = &machine(node),
                                   .session = as.session},
                                  [outcome](PutOutcome what) { *outcome = std::move(what); });
    for (int i = 0; i < 10'000 && !outcome->has_value() && simulation_->verdict().ok(); ++i)
        run_for(milliseconds(1));
    EXPECT_TRUE(outcome->has_value() || !simulation_->verdict().ok())
        << "the put was never answered";
    return outcome->value_or(PutOutcome{});
}

void Scenario::begin_put(uint32_t node, const std::string& value, PutAs as) {
    simulation_->operations().put({.key = key(),
                                   .value = value,
                                   .is_delete = as.is_delete,
                                   .ttl = as.ttl,
                                   .replaces = as.replaces,
                                   .context = as.context,
                                   .quorum = as.w,
                                   .deadline = as.deadline,
                                   .tries_max = 1,
                                   .through = &machine(node)},
                                  [](const PutOutcome&) {});
}

PutOutcome Scenario::remove(uint32_t node, PutAs as) {
    as.is_delete = true;
    return put(node, "", std::move(as));
}

ReadOutcome Scenario::read(uint32_t node, uint32_t r, std::optional<SessionSeen> session) {
    // Shared with the callback, which comes late, or never, once a violation ends the wait.
    const auto outcome = std::make_shared<std::optional<ReadOutcome>>();
    simulation_->operations().read({.key = key(),
                                    .quorum = r,
                                    .tries_max = 1,
                                    .through = &machine(node),
                                    .session = std::move(session)},
                                   [outcome](ReadOutcome what) { *outcome = std::move(what); });
    for (int i = 0; i < 10'000 && !outcome->has_value() && simulation_->verdict().ok(); ++i)
        run_for(milliseconds(1));
    EXPECT_TRUE(outcome->has_value() || !simulation_->verdict().ok())
        << "the read was never answered";
    return outcome->value_or(ReadOutcome{});
}

void Scenario::crash(uint32_t number, env::CrashMode mode, base::Duration down_for) {
    simulation_->cluster().crash(machine(number), mode, down_for);
}

void Scenario::wipe(uint32_t number) {
    simulation_->cluster().wipe(machine(number), seconds(1));
}

void Scenario::cut(uint32_t a, uint32_t b) {
    simulation_->network().cut(machine(a).address(), machine(b).address());
    simulation_->network().cut(machine(b).address(), machine(a).address());
}

void Scenario::isolate(uint32_t number) {
    for (const auto& other : simulation_->cluster().machines()) {
        if (other->number() != number) cut(number, other->number());
    }
}

std::vector<uint32_t> Scenario::holders() {
    std::vector<uint32_t> found;
    machine(1).node().ring([&](absl::StatusOr<std::vector<node::RingPartition>> ring) {
        ASSERT_TRUE(ring.ok());
        for (const base::NodeId holder : ring->front().holders) {
            for (const auto& each : simulation_->cluster().machines()) {
                if (each->node().id() == holder) found.push_back(each->number());
            }
        }
    });
    run_for(milliseconds(100));
    EXPECT_EQ(found.size(), 3);
    return found;
}

uint32_t Scenario::seats_held_by(uint32_t number) {
    if (!simulation_->cluster().is_member(machine(number))) return 0;
    node::ShardInspection inside;
    machine(number).node().inspect(inside);
    return static_cast<uint32_t>(inside.held.size());
}

uint64_t Scenario::hints_kept_by(uint32_t number) {
    node::ShardInspection inside;
    machine(number).node().inspect(inside);
    return inside.hints;
}

node::StatusReport Scenario::status_of(uint32_t number) {
    node::StatusReport found;
    machine(number).node().status([&found](const absl::StatusOr<node::StatusReport>& report) {
        ASSERT_TRUE(report.ok()) << report.status();
        found = *report;
    });
    run_for(milliseconds(100));
    return found;
}

void Scenario::wait_until(const std::function<bool()>& condition) {
    for (int i = 0; i < 400'000 && !condition() && simulation_->verdict().ok(); ++i)
        run_for(microseconds(50));
    EXPECT_TRUE(condition() || !simulation_->verdict().ok()) << "the script waits in vain";
}

}  // namespace starling::sim
