#include "tests/sim/forgotten_disk.h"

#include <algorithm>
#include <vector>

namespace starling::sim {

using std::chrono::seconds;

bool ForgottenDisk::is_set_back_among_new_holders(uint64_t seed) {
    constexpr node::GroupId group{.partition = base::PartitionId(0), .replicas = 3};
    RunOptions options = plain(5, 3);
    options.seed = seed;
    options.node.entropy_interval = seconds(1);
    options.node.deadline_max = seconds(4);
    options.node.deadline_limit = options.node.deadline_max;
    options.audit_interval = 1'000'000;
    form(options);
    run_for(seconds(10));
    const auto old = machine(3).files().clone_after_crash();
    EXPECT_TRUE(put(2, "v", {.w = 3}).status.ok());
    run_for(seconds(10));
    crash(2, env::CrashMode::process, seconds(1));
    run_for(seconds(62));
    for (const uint32_t holder : {1U, 2U, 3U}) {
        const node::Frontier* const frontier = machine(holder).node().owned_frontier(group);
        EXPECT_TRUE(frontier != nullptr && frontier->sealed_before(machine(2).node().id()) > 0);
    }
    crash(3, env::CrashMode::lost, seconds(90));
    machine(3).files().swap_for(*old);
    simulation_->cluster().bring_up(4);
    simulation_->cluster().bring_up(5);
    run_for(seconds(80));
    wait_until([this] { return machine(3).is_up(); });
    run_for(seconds(30));
    std::vector<uint32_t> now = holders();
    std::ranges::sort(now);
    return now == std::vector{3U, 4U, 5U};
}

}  // namespace starling::sim
