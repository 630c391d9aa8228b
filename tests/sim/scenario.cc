#include "tests/sim/scenario.h"

#include <optional>
#include <utility>

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
    std::optional<PutOutcome> outcome;
    simulation_->operations().put({.key = key(),
                                   .value = value,
                                   .is_delete = as.is_delete,
                                   .replaces = as.replaces,
                                   .context = as.context,
                                   .quorum = as.w,
                                   .deadline = as.deadline,
                                   .tries_max = 1,
                                   .through = &machine(node),
                                   .session = as.session},
                                  [&](PutOutcome what) { outcome = std::move(what); });
    for (int i = 0; i < 10'000 && !outcome && simulation_->verdict().ok(); ++i)
        run_for(milliseconds(1));
    EXPECT_TRUE(outcome.has_value() || !simulation_->verdict().ok())
        << "the put was never answered";
    return outcome.value_or(PutOutcome{});
}

void Scenario::begin_put(uint32_t node, const std::string& value, PutAs as) {
    simulation_->operations().put({.key = key(),
                                   .value = value,
                                   .is_delete = as.is_delete,
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
    std::optional<ReadOutcome> outcome;
    simulation_->operations().read({.key = key(),
                                    .quorum = r,
                                    .tries_max = 1,
                                    .through = &machine(node),
                                    .session = std::move(session)},
                                   [&](ReadOutcome what) { outcome = std::move(what); });
    for (int i = 0; i < 10'000 && !outcome && simulation_->verdict().ok(); ++i)
        run_for(milliseconds(1));
    EXPECT_TRUE(outcome.has_value() || !simulation_->verdict().ok())
        << "the read was never answered";
    return outcome.value_or(ReadOutcome{});
}

void Scenario::crash(uint32_t number, env::CrashMode mode, base::Duration down_for) {
    simulation_->cluster().crash(machine(number), mode, down_for);
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

}  // namespace starling::sim
