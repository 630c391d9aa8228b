// The canary of each node, over cuts and crashes of real nodes: it goes on, and accuses nobody.

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "node/server/inspect.h"
#include "tests/sim/scenario.h"

namespace starling::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class CanaryScenario : public Scenario {
  protected:
    double done_by(uint32_t number) {
        return metrics_of(number)["starling_canary_operations_total"];
    }
    // Does this node hold a value that the canary of that one wrote?
    bool has_value_of(uint32_t number, uint32_t writer) {
        const std::string prefix = base::to_string(machine(writer).node().id()) + "/";
        node::ShardInspection inside;
        machine(number).node().inspect(inside);
        for (const node::GroupInspection& found : inside.groups) {
            for (const node::KeyRecord& record : found.records) {
                if (node::split_group_key(record.key).key.starts_with(prefix) &&
                    std::ranges::any_of(record.record.siblings, [](const node::Sibling& sibling) {
                        return !sibling.is_tombstone;
                    })) {
                    return true;
                }
            }
        }
        return false;
    }
};

TEST_F(CanaryScenario, AccusesNobodyWhoOnlyFailedAndGoesOnAfterwards) {
    RunOptions options = plain(3, 3);
    options.node.partition_count = 4;
    options.node.canary = true;
    options.node.canary_interval = milliseconds(100);
    form(options);
    run_for(seconds(20));
    for (const uint32_t number : {1u, 2u, 3u})
        EXPECT_GT(done_by(number), 50) << number;
    isolate(3);
    run_for(seconds(20));
    heal();
    crash(2, env::CrashMode::lost, seconds(10));
    run_for(seconds(90));
    isolate(1);
    run_for(milliseconds(500));
    heal();
    run_for(seconds(90));
    for (const uint32_t number : {1u, 2u, 3u}) {
        std::map<std::string, double> metrics = metrics_of(number);
        EXPECT_GT(metrics["starling_canary_operations_total"], 200) << number;
        for (const char* promise : {"lost_write", "deleted_returned", "stale_read"}) {
            const std::string name =
                fmt::format("starling_canary_broken_promises_total{{promise=\"{}\"}}", promise);
            ASSERT_TRUE(metrics.contains(name)) << name;
            EXPECT_EQ(metrics[name], 0) << number << " " << name;
        }
    }
    EXPECT_GT(metrics_of(3)["starling_canary_failed_total"], 0) << "it was cut off";
    const double before = done_by(3);
    run_for(seconds(10));
    EXPECT_GT(done_by(3), before + 20);
    finish();
    EXPECT_GT(simulation_->result().canary_operations, 300u);
    for (const uint32_t number : {1u, 2u, 3u})
        EXPECT_FALSE(metrics_of(number).contains("starling_canary_operations_total")) << number;
}

// All holders forget the same seconds, so nobody can tell them; the fourth node's canary can.
TEST_F(CanaryScenario, AnAccusationIsAViolation) {
    RunOptions options = plain(4, 4);
    options.node.canary = true;
    options.node.canary_interval = milliseconds(100);
    form(options);
    // What is gone before may have been replaced by an earlier life.
    run_for(std::chrono::minutes(2));
    const std::vector<uint32_t> seats = holders();
    const uint32_t fourth = 1 + 2 + 3 + 4 - seats[0] - seats[1] - seats[2];
    wait_until([&] {
        return std::ranges::all_of(seats,
                                   [&](uint32_t holder) { return has_value_of(holder, fourth); });
    });
    // On the disks, too; and the canary waits for longer before its next operation.
    run_for(milliseconds(20));
    std::vector<std::unique_ptr<env::SimFileSystem>> old;
    for (const uint32_t holder : seats)
        old.push_back(machine(holder).files().clone_after_crash());
    run_for(seconds(3));
    ASSERT_TRUE(simulation_->verdict().ok());
    // Until a write has failed, too: from then on the canary only reads, for more than a minute.
    for (size_t i = 0; i < seats.size(); ++i) {
        crash(seats[i], env::CrashMode::lost, seconds(10));
        machine(seats[i]).files().swap_for(*old[i]);
    }
    run_for(seconds(60));
    ASSERT_FALSE(simulation_->verdict().ok());
    EXPECT_EQ(simulation_->verdict().violations().front().invariant, "canary");
}

}  // namespace
}  // namespace starling::sim
