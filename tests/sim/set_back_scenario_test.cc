// A disk that is set back in time while the other seats of its partition move to nodes that have
// never heard of it: nobody remembers what it had told.

#include <algorithm>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/sim/scenario.h"

namespace starling::sim {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;

constexpr node::GroupId the_group{.partition = base::PartitionId(0), .replicas = 3};

class ForgottenDiskTest : public Scenario {
  protected:
    static RunOptions options(uint64_t seed) {
        RunOptions options = plain(5, 3);
        options.seed = seed;
        options.node.entropy_interval = seconds(1);
        options.node.deadline_max = seconds(4);
        options.node.deadline_limit = options.node.deadline_max;
        options.audit_interval = 1'000'000;
        return options;
    }
    // By all holders, the life of the second node that has ended.
    bool is_sealed() {
        const base::NodeId ended = machine(2).node().id();
        return std::ranges::all_of(std::vector{1U, 2U, 3U}, [&](uint32_t number) {
            const node::Frontier* const frontier = machine(number).node().owned_frontier(the_group);
            return frontier != nullptr && frontier->sealed_before(ended) > 0;
        });
    }
    // The third node keeps its seat, and the two others are at new nodes.
    bool have_others_moved() {
        std::vector<uint32_t> now = holders();
        std::ranges::sort(now);
        return now == std::vector{3U, 4U, 5U};
    }
};

// S39. Where seats move to is chance; one of ten clusters moves those that are wanted here.
TEST_F(ForgottenDiskTest, WhatItLacksOfSealedLivesComesBackAndIsNotTakenForDeleted) {
    int met = 0;
    for (uint64_t seed = 1; seed <= 80 && met < 2; ++seed) {
        form(options(seed));
        run_for(seconds(10));
        const auto old = machine(3).files().clone_after_crash();
        ASSERT_TRUE(put(2, "v", {.w = 3}).status.ok());
        run_for(seconds(10));
        crash(2, env::CrashMode::process, seconds(1));
        run_for(seconds(62));
        ASSERT_TRUE(is_sealed());
        crash(3, env::CrashMode::lost, seconds(90));
        machine(3).files().swap_for(*old);
        simulation_->cluster().bring_up(4);
        simulation_->cluster().bring_up(5);
        run_for(seconds(80));
        wait_until([this] { return machine(3).is_up(); });
        run_for(seconds(30));
        if (!have_others_moved()) continue;
        ++met;
        for (int i = 0; i < 3; ++i) {
            EXPECT_THAT(read(4, 2).values, ElementsAre("v"));
            EXPECT_THAT(read(3, 2).values, ElementsAre("v"));
        }
        finish();
    }
    EXPECT_EQ(met, 2);
}

}  // namespace
}  // namespace starling::sim
