// A node of two shards: which shard gets what, what the node says of itself, how it ends.

#include "node/server/node.h"

#include <gtest/gtest.h>

#include "node/server/inspect.h"
#include "ring/placement.h"
#include "starling/peer/envelope.pb.h"
#include "tests/unit/node/server/rig.h"

namespace starling::node {
namespace {

using absl::StatusCode;
using testing::Each;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr int key_count = 60;

std::string key_of(int i) {
    return fmt::format("key {}", i);
}

class NodeTest : public testing::Test {
  protected:
    NodeTest() {
        machine.shards = 2;
        machine.start_and_serve();
    }
    void fill() {
        for (int i = 0; i < key_count; ++i) {
            const auto put = machine.put(key_of(i), fmt::format("value {}", i));
            ASSERT_TRUE(put.ok()) << put.status();
        }
    }
    void expect_filled() {
        for (int i = 0; i < key_count; ++i) {
            EXPECT_THAT(machine.values(key_of(i)), ElementsAre(fmt::format("value {}", i)));
        }
    }

    World world;
    Machine machine{world};
};

TEST_F(NodeTest, EachRecordIsInTheShardThatOwnsItsPartition) {
    ASSERT_NO_FATAL_FAILURE(fill());
    ASSERT_TRUE(machine.stop().ok());
    size_t found = 0;
    for (uint32_t shard = 0; shard < 2; ++shard) {
        OpenShard engine(machine.files(), shard);
        const auto iterator = engine->new_iterator({.lower = storage_keys::records_begin(),
                                                    .upper = storage_keys::records_end(),
                                                    .snapshot = nullptr});
        size_t here = 0;
        for (iterator->seek_to_first(); iterator->valid(); iterator->next()) {
            const auto key = storage_keys::parse_record(iterator->key());
            ASSERT_TRUE(key.has_value());
            EXPECT_EQ(key->group.partition.raw() % 2, shard);
            ++here;
        }
        EXPECT_GT(here, key_count / 4u);
        found += here;
    }
    EXPECT_EQ(found, size_t{key_count});
}

TEST_F(NodeTest, TheReceiptNamesThePartitionOfTheKeyAndThisNode) {
    for (int i = 0; i < 8; ++i) {
        const auto put = machine.put(key_of(i), "value");
        ASSERT_TRUE(put.ok()) << put.status();
        EXPECT_EQ(put->receipt.partition, ring::partition_of(key_of(i), 16));
        EXPECT_EQ(put->receipt.coordinator, machine.node().id());
        // One node holds all seats.
        EXPECT_EQ(put->receipt.seats_answered, 3u);
        EXPECT_EQ(put->receipt.nodes_answered, 1u);
    }
}

TEST_F(NodeTest, TheStatusIsTheSumOfTheShards) {
    ASSERT_NO_FATAL_FAILURE(fill());
    const StatusReport report = machine.status();
    EXPECT_EQ(report.node, machine.node().id());
    EXPECT_EQ(report.cluster, machine.node().cluster());
    EXPECT_EQ(report.records, uint64_t{key_count});
    EXPECT_EQ(report.metrics.at("starling_records"), key_count);
    EXPECT_EQ(report.metrics.at("starling_operations_under_way"), 0);
    EXPECT_GE(report.metrics.at("starling_engine_syncs_total"), 2);
    ASSERT_EQ(report.members.size(), 1u);
    EXPECT_EQ(report.members[0].seats_held, 16u * 3);
    EXPECT_EQ(report.members[0].liveness, "alive");
    EXPECT_EQ(report.copies_min, 1u);
    EXPECT_EQ(report.partitions_short_of_copies, 16u);
    EXPECT_THAT(report.warnings, ElementsAre(testing::HasSubstr("1 of 3 copies")));
    EXPECT_FALSE(report.read_only);

    ShardInspection inspection;
    machine.node().inspect(inspection);
    size_t records = 0;
    for (const GroupInspection& group : inspection.groups) {
        records += group.records.size();
    }
    EXPECT_EQ(records, size_t{key_count});
    EXPECT_EQ(inspection.held.size(), 16u * 3);
}

TEST_F(NodeTest, TheRingNamesThisNodeForEachSeat) {
    const auto ring = machine.await<std::vector<RingPartition>>(
        [this](auto done) { machine.node().ring(std::move(done)); });
    ASSERT_TRUE(ring.ok()) << ring.status();
    ASSERT_EQ(ring->size(), 16u);
    for (const RingPartition& partition : *ring) {
        EXPECT_THAT(partition.holders, Each(machine.node().id()));
        EXPECT_EQ(partition.holders.size(), 3u);
        EXPECT_THAT(partition.targets, Each(machine.node().id()));
        EXPECT_EQ(partition.targets.size(), 3u);
    }
}

TEST_F(NodeTest, DataOfBothShardsIsThereAfterAStopAndAfterAPowerLoss) {
    ASSERT_NO_FATAL_FAILURE(fill());
    ASSERT_TRUE(machine.stop().ok());
    machine.start_and_serve();
    expect_filled();
    machine.crash(env::CrashMode::lost);
    machine.start_and_serve();
    expect_filled();
    // After an unclean stop they are counted anew.
    EXPECT_TRUE(world.run_until(
        minutes(1), [this] { return machine.status().records == uint64_t{key_count}; }));
}

TEST_F(NodeTest, AStopAnswersWhatIsUnderWayAndRefusesTheRest) {
    std::vector<std::string> answers;
    for (int i = 0; i < 20; ++i) {
        machine.node().put(
            machine.make_put(key_of(i), "value"),
            [&answers](const absl::StatusOr<PutResult>& result) {
                answers.push_back(result.ok() ? "OK" : base::reason_of(result.status()));
            });
    }
    std::optional<absl::Status> stopped;
    machine.node().stop([&stopped](absl::Status status) { stopped = std::move(status); });
    ASSERT_TRUE(world.run_until(seconds(5), [&] { return !machine.node().is_ready(); }));
    expect_error(machine.put("late", "value").status(),
                 StatusCode::kUnavailable,
                 base::reason::stopping,
                 "stopping");
    expect_error(
        machine.get("late").status(), StatusCode::kUnavailable, base::reason::stopping, "stopping");
    expect_error(machine.join("10.0.0.9:4001").status(),
                 StatusCode::kUnavailable,
                 base::reason::stopping,
                 "stopping");
    ASSERT_TRUE(world.run_until(seconds(20), [&] { return stopped.has_value(); }));
    EXPECT_TRUE(stopped->ok()) << *stopped;
    EXPECT_EQ(answers.size(), 20u);
    EXPECT_THAT(answers, Each("OK"));
    machine.crash(env::CrashMode::lost);
    machine.start_and_serve();
    for (int i = 0; i < 20; ++i) {
        EXPECT_THAT(machine.values(key_of(i)), ElementsAre("value"));
    }
}

// Its quorum cannot be reached, and its deadline is far away: a stop does not wait for it.
TEST_F(NodeTest, AStopGivesUpWhatDoesNotFinish) {
    Machine other(world, 2);
    other.start_and_serve();
    ASSERT_TRUE(other.join(machine.peer_address()).ok());
    ASSERT_TRUE(world.run_until(minutes(5), [&] { return machine.is_settled(2); }));
    other.crash();
    PutRequest request = machine.make_put("key", "value");
    request.options.deadline = seconds(30);
    request.options.quorum = 3;
    request.options.sloppy = false;
    std::optional<absl::Status> answer;
    machine.node().put(std::move(request), [&answer](const absl::StatusOr<PutResult>& result) {
        answer = result.status();
    });
    const env::SimTime begun = world.scheduler.now();
    EXPECT_TRUE(machine.stop().ok());
    EXPECT_LT(world.scheduler.now() - begun, seconds(10));
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->code(), StatusCode::kUnavailable) << *answer;
}

TEST_F(NodeTest, AStopOfANodeThatNeverStartedIsOk) {
    ASSERT_TRUE(machine.stop().ok());
    env::SimProcess& process = machine.process();
    process.restart();
    {
        env::SimLoop loop(process);
        env::SimWorkers workers(process);
        env::SimTransport transport(world.network, loop, "10.0.0.7:4001", {});
        env::SimWallClock wall_clock(world.scheduler, base::WallTime(milliseconds(started_ms)));
        env::SimRandom random(3);
        NodeEnvironment environment;
        environment.loops = {&loop};
        environment.workers = &workers;
        environment.transport = &transport;
        environment.wall_clock = &wall_clock;
        environment.random = &random;
        environment.files = &machine.files();
        Node node(machine.options, environment);
        EXPECT_FALSE(node.is_ready());
        std::optional<absl::Status> stopped;
        node.stop([&stopped](absl::Status status) { stopped = std::move(status); });
        ASSERT_TRUE(world.run_until(seconds(1), [&] { return stopped.has_value(); }));
        EXPECT_TRUE(stopped->ok());
    }
    process.crash();
}

TEST_F(NodeTest, AFullDiskRefusesWritesByNameServesReadsAndHeals) {
    ASSERT_NO_FATAL_FAILURE(fill());
    machine.files().set_capacity(machine.files().used_bytes());
    const std::string big(100u << 10, 'x');
    absl::Status refused;
    for (int i = 0; i < 50 && base::reason_of(refused) != base::reason::disk_full; ++i) {
        // One that was on its way to the disk when it was found full has no known outcome.
        refused = machine.put(fmt::format("big {}", i), big).status();
    }
    EXPECT_EQ(base::reason_of(refused), base::reason::disk_full) << refused;
    EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted);
    expect_filled();
    EXPECT_TRUE(machine.node().is_ready());

    machine.files().set_capacity(uint64_t{1} << 40);
    EXPECT_TRUE(world.run_until(minutes(1), [&] { return machine.put("after", big).ok(); }));
    EXPECT_FALSE(machine.status().read_only);
    machine.crash(env::CrashMode::lost);
    machine.start_and_serve();
    expect_filled();
    EXPECT_THAT(machine.values("after"), ElementsAre(big));
}

TEST_F(NodeTest, FramesThatMakeNoSenseAreCountedAndChangeNothing) {
    ASSERT_NO_FATAL_FAILURE(fill());
    env::SimProcess process(world.scheduler, "stranger", env::SimRandom(5));
    env::SimLoop loop(process);
    env::SimTransport stranger(
        world.network, loop, "10.0.0.8:4001", {.secret = machine.options.cluster_secret});
    const auto send = [&](const std::string& frame) {
        ASSERT_TRUE(stranger.send(machine.peer_address(), frame).ok());
    };
    const double malformed = machine.status().metrics.at("starling_frames_malformed_total");
    send("no envelope");
    peer::Envelope empty;
    send(empty.SerializeAsString());
    peer::Envelope misdirected;
    misdirected.set_cluster(machine.node().cluster().raw() + 1);
    misdirected.set_from(99);
    misdirected.mutable_replica()->set_partition(0);
    send(misdirected.SerializeAsString());
    peer::Envelope beyond;
    beyond.set_cluster(machine.node().cluster().raw());
    beyond.set_from(99);
    beyond.mutable_replica()->set_partition(16);
    send(beyond.SerializeAsString());
    // Right in form, but of no body and of no replicas.
    peer::Envelope bodiless = beyond;
    bodiless.mutable_replica()->set_partition(3);
    send(bodiless.SerializeAsString());
    world.scheduler.run_for(seconds(2));
    const StatusReport report = machine.status();
    EXPECT_EQ(report.metrics.at("starling_frames_malformed_total"), malformed + 2);
    EXPECT_EQ(report.metrics.at("starling_frames_misdirected_total"), 2);
    EXPECT_EQ(report.metrics.at("starling_messages_malformed_total"), 1);
    EXPECT_EQ(report.records, uint64_t{key_count});
    expect_filled();
}

}  // namespace
}  // namespace starling::node
