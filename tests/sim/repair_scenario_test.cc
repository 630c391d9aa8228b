// Scripted scenarios of how replicas catch up where that has hurt users of other stores: a node
// that stood still, very many hints, a disk that fills up under repair.

#include <gmock/gmock.h>

#include "base/error.h"
#include "tests/sim/scenario.h"

namespace starling::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::SizeIs;

class RepairTest : public Scenario {
  protected:
    static RunOptions of_keys(uint32_t keys) {
        RunOptions options = plain(3, 3);
        options.workload.keys = keys;
        options.audit_interval = 1'000'000;
        return options;
    }
    // Through any node, tried again elsewhere until one answers.
    void begin_put_anywhere(const std::string& value) {
        simulation_->operations().put(
            {.key = key(),
             .value = value,
             .replaces = Replaces::acknowledged,
             .quorum = 2,
             .deadline = milliseconds(300),
             .tries_max = 8},
            [this](const PutOutcome& outcome) { taken_ += size_t{outcome.status.ok()}; });
    }

    size_t taken_ = 0;
};

// riak_kv#1188: one put made many siblings when a node froze. All tries of a put are one write,
// whichever node finishes it, and however late.
TEST_F(RepairTest, PutsThatAreTriedAgainWhileANodeStandsStillMakeNoSiblings) {
    form(of_keys(1));
    run_for(seconds(10));
    constexpr uint32_t puts = 60;
    for (uint32_t i = 0; i < puts; ++i) {
        begin_put_anywhere(fmt::format("value {}", i));
        // In the middle of the put, on whatever node that is.
        run_for(microseconds(20) * (i / 3));
        Machine& still = machine(i % 3 + 1);
        still.pause();
        run_for(seconds(3));
        still.resume();
        run_for(seconds(1));
        const ReadOutcome found = read(i % 3 + 1, 3);
        ASSERT_TRUE(found.status.ok()) << found.status;
        EXPECT_THAT(found.values, SizeIs(1)) << "after put " << i;
    }
    EXPECT_GE(taken_, puts * 3 / 4);
    finish();
}

// Cassandra: hints replay as a storm. The node that returns serves while they come.
TEST_F(RepairTest, ANodeThatReturnsToVeryManyHintsServesWhileTheyCome) {
    constexpr uint32_t keys = 50;
    constexpr uint32_t puts = 1500;
    RunOptions options = of_keys(keys);
    options.node.hint_bytes_max = 64u << 20;
    // Hints alone bring it what it missed.
    options.node.entropy_interval = seconds(60);
    form(options);
    run_for(seconds(10));
    isolate(3);
    run_for(seconds(10));
    for (uint32_t i = 0; i < puts; ++i) {
        use_key(i % keys);
        ASSERT_TRUE(put(1 + i % 2, fmt::format("{:02000}", i)).status.ok()) << i;
    }
    run_for(seconds(1));
    ASSERT_GE(hints_kept_by(1) + hints_kept_by(2), puts);
    heal();
    env::SimTime slowest{0};
    uint32_t served = 0;
    for (; hints_kept_by(1) + hints_kept_by(2) > 0 && served < 200; ++served) {
        use_key(served % keys);
        const env::SimTime began = simulation_->scheduler().now();
        ASSERT_TRUE(put(3, fmt::format("later {}", served)).status.ok()) << served;
        ASSERT_TRUE(read(3).status.ok()) << served;
        slowest = std::max(slowest, simulation_->scheduler().now() - began);
    }
    EXPECT_EQ(hints_kept_by(1) + hints_kept_by(2), 0u);
    EXPECT_GE(served, 10u) << "they came at once";
    EXPECT_LT(slowest, milliseconds(100));
    EXPECT_EQ(metrics_of(3).at("starling_peer_requests_refused_total"), 0);
    finish();
}

// cassandra-reaper#408: repair fills disks. The node refuses what finds no room, serves what it
// has, and goes on when there is room again.
TEST_F(RepairTest, ADiskThatFillsUpUnderRepairStopsTheRepairAndNothingElse) {
    constexpr uint32_t keys = 100;
    RunOptions options = of_keys(keys);
    options.node.hint_bytes_max = 0;
    options.node.memory_bytes_max = 1u << 20;
    form(options);
    run_for(seconds(10));
    use_key(0);
    ASSERT_TRUE(put(1, "seen by all", {.w = 3}).status.ok());
    isolate(3);
    run_for(seconds(10));
    env::SimRandom random(1);
    for (uint32_t i = 1; i < keys; ++i) {
        use_key(i);
        std::string value(20'000, '\0');
        // That does not compress.
        for (char& byte : value)
            byte = static_cast<char>(random.below(256));
        ASSERT_TRUE(put(1, value).status.ok()) << i;
        // Until the put before is over on all nodes.
        run_for(seconds(1));
    }
    machine(3).files().set_capacity(machine(3).files().used_bytes() + (300u << 10));
    heal();
    run_for(minutes(2));
    EXPECT_LT(status_of(3).records, keys) << "there was room for all";
    for (const uint32_t number : {1u, 2u, 3u}) {
        use_key(0);
        EXPECT_THAT(read(number).values, ElementsAre("seen by all"));
        use_key(keys - 1);
        EXPECT_THAT(read(number).values, SizeIs(1)) << "through node " << number;
    }
    use_key(0);
    EXPECT_TRUE(put(1, "of the two with room").status.ok());
    const PutOutcome refused = put(3, "through the one without");
    EXPECT_EQ(base::reason_of(refused.status), base::reason::disk_full) << refused.status;
    machine(3).files().set_capacity(env::SimFileSystemOptions().capacity);
    run_for(minutes(1));
    EXPECT_EQ(status_of(3).records, keys);
    finish();
}

}  // namespace
}  // namespace starling::sim
