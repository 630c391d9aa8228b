// Scripted scenarios about what nodes do at their limits and on failing disks: what is refused is
// refused whole, and the rest of the cluster goes on.

#include <algorithm>

#include <gmock/gmock.h>

#include "node/replica/storage_keys.h"
#include "storage/open.h"
#include "tests/sim/scenario.h"
#include "tests/unit/storage/manual_clock.h"

namespace starling::sim {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr base::Duration ten_years = hours(24 * 3653);

class LimitsTest : public Scenario {
  protected:
    // How long puts through the node are refused, up to two minutes. The one that is not leaves
    // `value`.
    base::Duration refused_for(uint32_t number) {
        base::Duration waited{0};
        while (waited < seconds(120)) {
            value = fmt::format("through {} after {} s", number, waited / seconds(1));
            if (put(number, value).status.ok()) {
                break;
            }
            run_for(seconds(5));
            waited += seconds(5);
        }
        return waited;
    }
    node::StatusReport status(uint32_t number) {
        std::optional<absl::StatusOr<node::StatusReport>> answer;
        machine(number).post([&] {
            machine(number).node().status(
                [&answer](absl::StatusOr<node::StatusReport> report) { answer = report; });
        });
        run_for(seconds(1));
        EXPECT_TRUE(answer.has_value() && answer->ok());
        return answer.has_value() && answer->ok() ? **answer : node::StatusReport{};
    }

    std::string value;
};

TEST_F(LimitsTest, AWriteThatADiskDoesNotTakeIsAcknowledgedByTheOtherReplicasAlone) {
    form(3);
    ASSERT_TRUE(put(1, "before").status.ok());
    // So large that the log passes it on at once, to a disk that refuses.
    const std::string large(300 << 10, 'x');
    machine(2).files().faults().fail_next(env::FileOperation::write);
    ASSERT_TRUE(put(1, large).status.ok());
    const node::StatusReport report = status(2);
    EXPECT_TRUE(report.read_only);
    EXPECT_THAT(report.read_only_reason, HasSubstr("simulated I/O error"));
    // Visible in the memory of node 2, but not durable there: it answers no read with it.
    EXPECT_FALSE(read(2, 3).status.ok());
    EXPECT_THAT(read(2, 2).values, ElementsAre(large));
    EXPECT_FALSE(put(2, "through the node without a disk", {.w = 3}).status.ok());
    crash(2, env::CrashMode::lost, seconds(1));
    run_for(seconds(5));
    EXPECT_FALSE(status(2).read_only);
    finish();
}

// Seed 903007: between its loops a node has room for one such hint.
TEST_F(LimitsTest, HintsOfWhichOneFindsRoomOnTheWayOutAllArriveSoon) {
    constexpr size_t keys = 3;
    constexpr size_t puts = 120;
    RunOptions options = plain(3, 3);
    options.shards = 3;
    options.workload.keys = keys;
    options.audit_interval = 1'000'000;
    options.node.partition_count = 8;
    options.node.memory_bytes_max = 768u << 10;
    // No comparison brings what hints are for.
    options.node.entropy_interval = seconds(60);
    form(options);
    run_for(seconds(20));
    isolate(3);
    run_for(seconds(10));
    for (size_t i = 0; i < puts; ++i) {
        use_key(i % keys);
        // Until the put before has its hint.
        run_for(seconds(1));
        const PutOutcome outcome = put(1, fmt::format("{:039000}", i));
        ASSERT_TRUE(outcome.status.ok()) << i << ": " << outcome.status;
    }
    ASSERT_GE(hints_kept_by(1) + hints_kept_by(2), puts / 2);
    heal();
    run_for(seconds(15));
    EXPECT_EQ(hints_kept_by(1) + hints_kept_by(2), 0u);
    finish();
}

TEST_F(LimitsTest, DamageThatTheRebuildOfTheTreesMeetsIsShownInTheStatus) {
    form(3);
    ASSERT_TRUE(put(1, "value", {.w = 3}).status.ok());
    EXPECT_THAT(status(3).damage, IsEmpty());
    EXPECT_EQ(status(3).metrics["starling_shards_damaged"], 0);
    crash(3, env::CrashMode::lost, seconds(5));
    {
        struct Inline final : env::Workers {
            void submit(env::Task job) override { job(); }
            void submit_after(base::Duration, env::Task job) override { job(); }
        } workers;
        auto engine = storage::open_engine(
            "/data/shard-0", {}, storage::environment(machine(3).files(), workers));
        ASSERT_TRUE(engine.ok()) << engine.status();
        storage::WriteBatch batch;
        batch.put(node::storage_keys::record({base::PartitionId(0), 3}, "\xff damaged"),
                  "nonsense");
        ASSERT_TRUE((*engine)->write(batch, {.sync = true}).ok());
        ASSERT_TRUE((*engine)->close().ok());
    }
    run_for(seconds(10));
    node::StatusReport report = status(3);
    EXPECT_THAT(report.damage, HasSubstr("record"));
    EXPECT_THAT(report.warnings, ::testing::Contains(HasSubstr("damaged")));
    EXPECT_EQ(report.metrics["starling_shards_damaged"], 1);
    // What is whole is still served.
    EXPECT_THAT(read(3).values, ElementsAre("value"));
}

TEST_F(LimitsTest, FramesBetweenLoopsThatFindNoRoomAreLostAndNothingElseIs) {
    RunOptions options = plain(3, 3);
    options.shards = 2;
    options.node.partition_count = 4;
    // So little that a queue between two loops holds few frames, or one large one.
    options.node.memory_bytes_max = 256 << 10;
    form(options);
    ASSERT_TRUE(put(1, "before").status.ok());
    for (uint32_t i = 0; i < 200; ++i) {
        const std::string sent(100 + 37 * (i % 50), static_cast<char>('a' + i % 26));
        begin_put(
            1 + i % 3, sent, {.replaces = i % 2 == 0 ? Replaces::acknowledged : Replaces::local});
        if (i % 20 == 19) {
            run_for(seconds(3));
        }
    }
    double dropped = 0;
    double refused = 0;
    for (uint32_t number = 1; number <= 3; ++number) {
        node::StatusReport report = status(number);
        dropped += report.metrics["starling_frames_out_dropped_total"] +
                   report.metrics["starling_frames_in_dropped_total"];
        refused += report.metrics["starling_peer_requests_refused_total"];
        for (const node::MemoryShare& share : report.memory) {
            if (share.what != "memtables and block cache") {
                EXPECT_LE(share.bytes_used, share.bytes_max) << share.what;
            }
        }
    }
    EXPECT_GT(dropped, 0);
    RecordProperty("frames_dropped", static_cast<int>(dropped));
    RecordProperty("peer_requests_refused", static_cast<int>(refused));
    finish();
}

TEST_F(LimitsTest, AClockTenYearsAheadThatIsSetRightLetsItsNodeWriteAgain) {
    form(3);
    ASSERT_TRUE(put(1, "before", {.w = 3}).status.ok());
    machine(1).wall_clock().jump(ten_years);
    run_for(seconds(5));
    // The clients' clocks are right, so to this node their requests are ten years old.
    EXPECT_FALSE(put(1, "through the wrong clock").status.ok());
    EXPECT_TRUE(remove(2).status.ok());
    run_for(seconds(60));
    machine(1).wall_clock().jump(-ten_years);
    EXPECT_FALSE(put(1, "at once").status.ok());
    node::StatusReport report = status(1);
    EXPECT_THAT(report.warnings, ::testing::Contains(HasSubstr("clock went back")));
    EXPECT_GT(report.metrics["starling_clock_behind_seconds"], 86400 * 3650.0);
    EXPECT_LE(refused_for(1), seconds(60));
    EXPECT_THAT(read(3).values, ElementsAre(value));
    report = status(1);
    EXPECT_EQ(report.metrics["starling_clock_behind_seconds"], 0);
    EXPECT_EQ(report.metrics["starling_clock_steps_back_total"], 1);
    finish();
}

TEST_F(LimitsTest, AllClocksTenYearsAheadAndBackBringNothingBack) {
    form(3);
    ASSERT_TRUE(put(1, "value", {.w = 3}).status.ok());
    for (uint32_t number = 1; number <= 3; ++number)
        machine(number).wall_clock().jump(ten_years);
    run_for(seconds(60));
    for (uint32_t number = 1; number <= 3; ++number)
        machine(number).wall_clock().jump(-ten_years);
    for (uint32_t number = 1; number <= 3; ++number) {
        const base::Duration refused = refused_for(number);
        EXPECT_LE(refused, seconds(60));
        EXPECT_TRUE(number > 1 || refused > seconds(30));
    }
    EXPECT_TRUE(remove(2).status.ok());
    EXPECT_THAT(read(3).values, IsEmpty());
    finish();
}

TEST(SeatCountTest, MoreSeatsThanPlacementCanFillAreRefusedWithTheReason) {
    RunOptions options;
    options.node.cluster_secret = "a secret of the simulation only";
    options.node.seat_count = 8;
    env::SimScheduler scheduler;
    env::SimRandom random(1);
    env::SimNetwork network(scheduler, random.fork("network"));
    Trace trace(scheduler, 0);
    Machine machine({.scheduler = scheduler,
                     .network = network,
                     .random = random,
                     .trace = trace,
                     .options = options,
                     .started = base::WallTime(hours(1))},
                    1,
                    Machine::Listener{.died = [](Machine&) {},
                                      .wants_new_life = [](Machine&) {},
                                      .canary_accuses = [](Machine&, std::string_view) {}});
    const absl::Status status = machine.start();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("seat_count = 8 is not in 1 .. 7"));
}

}  // namespace
}  // namespace starling::sim
