// The canary of each node, over cuts and crashes of real nodes: it goes on, and accuses nobody.

#include <map>

#include <fmt/format.h>

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
    EXPECT_TRUE(simulation_->verdict().ok());
}

}  // namespace
}  // namespace starling::sim
