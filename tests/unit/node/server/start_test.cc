// A start: which life of which node it is, and which data directories are refused.

#include <gtest/gtest.h>

#include "tests/unit/node/server/rig.h"

namespace starling::node {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class StartTest : public testing::Test {
  protected:
    // Two shards with data in both, not running.
    void write_data() {
        machine.shards = 2;
        machine.start_and_serve();
        for (int i = 0; i < 20; ++i) {
            ASSERT_TRUE(machine.put(fmt::format("key {}", i), "value").ok());
        }
        id = machine.node().id();
        cluster = machine.node().cluster();
        generation = machine.generation();
        ASSERT_TRUE(machine.stop().ok());
    }
    void expect_all_there() {
        machine.start_and_serve();
        EXPECT_EQ(machine.node().id(), id);
        EXPECT_EQ(machine.node().cluster(), cluster);
        EXPECT_GT(machine.generation(), generation);
        for (int i = 0; i < 20; ++i) {
            EXPECT_THAT(machine.values(fmt::format("key {}", i)), ElementsAre("value"));
        }
    }
    // Twice: a refusal must not make the next start possible.
    void expect_refused(StatusCode code, const std::string& named) {
        for (int i = 0; i < 2; ++i) {
            const absl::Status status = machine.start();
            ASSERT_FALSE(status.ok()) << named;
            EXPECT_EQ(status.code(), code) << status;
            EXPECT_THAT(std::string(status.message()), HasSubstr(named));
        }
    }
    void remove_shard(uint32_t shard) {
        const std::string directory = fmt::format("/data/shard-{}", shard);
        const std::vector<std::string> names = *machine.files().list(directory);
        for (const std::string& name : names) {
            ASSERT_TRUE(machine.files().remove(directory + "/" + name).ok());
        }
        ASSERT_TRUE(machine.files().sync_directory(directory).ok());
    }

    World world;
    Machine machine{world};
    base::NodeId id;
    base::ClusterId cluster;
    uint32_t generation = 0;
};

TEST_F(StartTest, ABlockCacheThatLeavesMemtablesTooLittleIsRefused) {
    machine.options.block_cache_bytes = machine.options.memory_bytes_max / 2;
    expect_refused(StatusCode::kFailedPrecondition, "block_cache_bytes");
    machine.options.block_cache_bytes = 0;
    machine.start_and_serve();
    EXPECT_TRUE(machine.put("key", "value").ok());
}

TEST_F(StartTest, EachStartIsALaterGenerationOfTheSameNode) {
    machine.start_and_serve();
    id = machine.node().id();
    cluster = machine.node().cluster();
    EXPECT_EQ(machine.generation(), 1u);
    uint32_t last = 0;
    for (int life = 1; life < 6; ++life) {
        EXPECT_GT(machine.generation(), last);
        last = machine.generation();
        EXPECT_EQ(machine.node().id(), id);
        EXPECT_EQ(machine.node().cluster(), cluster);
        if (life % 2 == 0) {
            ASSERT_TRUE(machine.stop().ok());
        } else {
            machine.crash(env::CrashMode::lost);
        }
        machine.start_and_serve();
    }
}

TEST_F(StartTest, TheGenerationIsOnTheDiskOfEachShardBeforeAnythingRuns) {
    machine.shards = 3;
    uint32_t last = 0;
    for (int life = 1; life < 4; ++life) {
        ASSERT_TRUE(machine.start().ok());
        const uint32_t latest =
            stored_identity(*machine.files().clone_after_crash(), 0)->generation;
        EXPECT_GT(latest, last);
        last = latest;
        // No event has run: no message has left, no request was taken.
        for (uint32_t shard = 0; shard < 3; ++shard) {
            const auto disk = machine.files().clone_after_crash();
            const auto stored = stored_identity(*disk, shard);
            ASSERT_TRUE(stored.has_value());
            EXPECT_EQ(stored->generation, latest);
            EXPECT_EQ(stored->node, machine.node().id());
            EXPECT_EQ(stored->shard, shard);
        }
        machine.crash(env::CrashMode::lost);
    }
}

TEST_F(StartTest, AFirstStartThatDiesAnywhereIsFollowedByOneThatServes) {
    uint64_t n = 1;
    for (bool untouched = false; !untouched; ++n) {
        Machine fresh(world, static_cast<uint32_t>(n + 1));
        fresh.shards = 2;
        fresh.files().faults().crash_at(n);
        const absl::Status status = fresh.start();
        untouched = status.ok() && fresh.is_running();
        if (fresh.is_running()) {
            fresh.crash(env::CrashMode::lost);
        }
        fresh.start_and_serve();
        ASSERT_TRUE(fresh.put("key", "value").ok()) << n;
    }
    EXPECT_GT(n, 20u);
}

TEST_F(StartTest, AStartThatDiesAnywhereUsesUpNoGenerationTwiceAndLosesNothing) {
    ASSERT_NO_FATAL_FAILURE(write_data());
    const auto disk = machine.files().clone();
    uint64_t n = 1;
    for (bool untouched = false; !untouched; ++n) {
        machine.disk = disk->clone();
        machine.files().faults().crash_at(n);
        const absl::Status status = machine.start();
        untouched = status.ok() && machine.is_running();
        if (machine.is_running()) {
            machine.crash(env::CrashMode::lost);
        }
        ASSERT_NO_FATAL_FAILURE(expect_all_there()) << n;
        machine.crash(env::CrashMode::lost);
    }
    EXPECT_GT(n, 20u);
}

TEST_F(StartTest, AStartWhoseDiskFailsAnywhereSaysSoAndTheNextOneServes) {
    ASSERT_NO_FATAL_FAILURE(write_data());
    const auto disk = machine.files().clone();
    uint64_t n = 1;
    for (bool untouched = false; !untouched; ++n) {
        machine.disk = disk->clone();
        const uint64_t before = machine.files().faults().operation_count();
        machine.files().faults().fail_nth(n);
        const absl::Status status = machine.start();
        untouched = machine.files().faults().operation_count() - before < n;
        machine.files().faults().clear();
        if (status.ok()) {
            machine.crash(env::CrashMode::lost);
        }
        ASSERT_NO_FATAL_FAILURE(expect_all_there()) << n;
        machine.crash(env::CrashMode::lost);
    }
    EXPECT_GT(n, 20u);
}

TEST_F(StartTest, AnotherEngineIsRefusedByNameAndChangesNothing) {
    ASSERT_NO_FATAL_FAILURE(write_data());
    machine.options.engine = "in_memory";
    expect_refused(StatusCode::kFailedPrecondition, "lsm");
    machine.options.engine = "nonsense";
    expect_refused(StatusCode::kInvalidArgument, "nonsense");
    machine.options.engine = "lsm";
    expect_all_there();
}

TEST_F(StartTest, AnotherNumberOfShardsIsRefusedAndLeavesNothingBehind) {
    ASSERT_NO_FATAL_FAILURE(write_data());
    for (const uint32_t shards : {1u, 3u, 4u}) {
        machine.shards = shards;
        expect_refused(StatusCode::kFailedPrecondition, "2 shards");
        expect_refused(StatusCode::kFailedPrecondition, fmt::format("{} are configured", shards));
    }
    EXPECT_FALSE(*machine.files().exists("/data/shard-2"));
    machine.shards = 2;
    expect_all_there();
}

TEST_F(StartTest, AnotherClusterNamePartitionCountOrSeatCountIsRefusedByName) {
    ASSERT_NO_FATAL_FAILURE(write_data());
    const NodeOptions right = machine.options;
    machine.options.cluster_name = "other";
    expect_refused(StatusCode::kFailedPrecondition, "cluster_name");
    machine.options = right;
    machine.options.partition_count = 32;
    expect_refused(StatusCode::kFailedPrecondition, "partition_count = 16");
    machine.options = right;
    machine.options.seat_count = 5;
    expect_refused(StatusCode::kFailedPrecondition, "seat_count = 3");
    machine.options = right;
    expect_all_there();
}

TEST_F(StartTest, OptionsThatMakeNoSenseAreRefusedBeforeAnythingIsMade) {
    const NodeOptions right = machine.options;
    machine.options.cluster_secret = "short";
    expect_refused(StatusCode::kFailedPrecondition, "secret");
    machine.options = right;
    for (const uint32_t partitions : {0u, 3u, 65536u}) {
        machine.options.partition_count = partitions;
        expect_refused(StatusCode::kFailedPrecondition, "partition_count");
    }
    machine.options = right;
    for (const uint32_t seats : {0u, 1000u}) {
        machine.options.seat_count = seats;
        expect_refused(StatusCode::kFailedPrecondition, "seat_count");
    }
    EXPECT_FALSE(*machine.files().exists("/data"));
}

// It would found the lost shard's partitions anew, and answer that their keys are absent.
TEST_F(StartTest, AShardThatHasLostItsDataIsRefused) {
    ASSERT_NO_FATAL_FAILURE(write_data());
    ASSERT_NO_FATAL_FAILURE(remove_shard(1));
    expect_refused(StatusCode::kDataLoss, "shard 1 in /data");
}

TEST_F(StartTest, AFirstShardThatHasLostItsDataIsRefused) {
    ASSERT_NO_FATAL_FAILURE(write_data());
    ASSERT_NO_FATAL_FAILURE(remove_shard(0));
    expect_refused(StatusCode::kDataLoss, "shard 0 in /data");
}

TEST_F(StartTest, ADamagedIdentityIsRefused) {
    ASSERT_NO_FATAL_FAILURE(write_data());
    for (const uint32_t shard : {1u, 0u}) {
        OpenShard engine(machine.files(), shard);
        storage::WriteBatch batch;
        batch.put(storage_keys::meta("identity"), "nonsense");
        ASSERT_TRUE(engine->write(batch, {.sync = true}).ok());
    }
    expect_refused(StatusCode::kDataLoss, "identity");
}

TEST_F(StartTest, DamageInTheFilesIsRefusedWithTheNameOfTheFile) {
    ASSERT_NO_FATAL_FAILURE(write_data());
    const auto disk = machine.files().clone();
    const std::string directory = "/data/shard-1";
    const std::vector<std::string> names = *machine.files().list(directory);
    int damaged = 0;
    for (const std::string& name : names) {
        const std::string path = directory + "/" + name;
        if (name == "LOCK" || *disk->file_size(path) == 0) {
            continue;
        }
        machine.disk = disk->clone();
        ASSERT_TRUE(machine.files().flip_bit(path, 0, 0).ok());
        const absl::Status status = machine.start();
        if (!status.ok()) {
            EXPECT_THAT(status.ToString(), HasSubstr(name));
            ++damaged;
        } else {
            // Data that is read when it is asked for: an error then, and not "absent".
            ASSERT_TRUE(world.run_until(seconds(10), [this] { return machine.node().is_ready(); }));
            for (int i = 0; i < 20; ++i) {
                EXPECT_THAT(machine.values(fmt::format("key {}", i)), testing::Not(IsEmpty()));
            }
            ASSERT_TRUE(machine.stop().ok());
        }
    }
    EXPECT_GE(damaged, 2);
}

TEST_F(StartTest, AShardOfAnotherNodeIsRefused) {
    ASSERT_NO_FATAL_FAILURE(write_data());
    Identity foreign = *stored_identity(machine.files(), 1);
    foreign.node = base::NodeId(foreign.node.raw() + 1);
    {
        OpenShard engine(machine.files(), 1);
        ASSERT_TRUE(store_identity(*engine, foreign).ok());
    }
    expect_refused(StatusCode::kFailedPrecondition, "another node");
}

TEST_F(StartTest, ShardsInEachOthersPlacesAreRefused) {
    ASSERT_NO_FATAL_FAILURE(write_data());
    ASSERT_TRUE(machine.files().rename("/data/shard-0", "/data/shard-x").ok());
    ASSERT_TRUE(machine.files().rename("/data/shard-1", "/data/shard-0").ok());
    ASSERT_TRUE(machine.files().rename("/data/shard-x", "/data/shard-1").ok());
    expect_refused(StatusCode::kFailedPrecondition, "shard");
}

TEST_F(StartTest, AShardRolledBackAloneBringsNoGenerationBack) {
    ASSERT_NO_FATAL_FAILURE(write_data());
    Identity earlier = *stored_identity(machine.files(), 0);
    machine.start_and_serve();
    const uint32_t latest = machine.generation();
    ASSERT_TRUE(machine.stop().ok());
    {
        OpenShard engine(machine.files(), 0);
        ASSERT_TRUE(store_identity(*engine, earlier).ok());
    }
    machine.start_and_serve();
    EXPECT_EQ(machine.generation(), latest + 1);
}

TEST_F(StartTest, ANodeThatHasHadItsLastLifeIsRefused) {
    ASSERT_NO_FATAL_FAILURE(write_data());
    Identity last = *stored_identity(machine.files(), 0);
    last.generation = UINT32_MAX;
    {
        OpenShard engine(machine.files(), 0);
        ASSERT_TRUE(store_identity(*engine, last).ok());
    }
    expect_refused(StatusCode::kFailedPrecondition, "last life");
}

TEST_F(StartTest, ASecondNodeOnTheSameDirectoryIsRefused) {
    machine.start_and_serve();
    auto lock = machine.files().lock("/data/shard-0/LOCK");
    EXPECT_FALSE(lock.ok());
    machine.crash();
    {
        auto held = machine.files().lock("/data/shard-0/LOCK");
        ASSERT_TRUE(held.ok()) << held.status();
        expect_refused(StatusCode::kFailedPrecondition, "/data/shard-0");
    }
    machine.start_and_serve();
}

TEST_F(StartTest, AnInMemoryNodeIsAnotherNodeAfterEachStart) {
    machine.options.engine = "in_memory";
    machine.start_and_serve();
    id = machine.node().id();
    ASSERT_TRUE(machine.put("key", "value").ok());
    ASSERT_TRUE(machine.stop().ok());
    machine.start_and_serve();
    EXPECT_NE(machine.node().id(), id);
    EXPECT_THAT(machine.values("key"), IsEmpty());
}

TEST(NodeOptionsTest, ANodeProbesAsOftenAsTheFailureDetectorWasMeasuredWith) {
    EXPECT_EQ(NodeOptions().gossip_probe_interval, milliseconds(800));
    EXPECT_EQ(NodeOptions().gossip_probe_interval, gossip::SwimOptions().probe_interval);
    EXPECT_EQ(NodeOptions().gossip_probe_interval / 2, gossip::SwimOptions().probe_timeout);
}

}  // namespace
}  // namespace starling::node
