// Space: what is no longer needed goes, sizes are told, large values are kept, and a checkpoint is
// a copy.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/storage/engine_conformance.h"

namespace starling::storage {
namespace {

class EngineSpaceTest : public EngineConformanceTest {
  protected:
    uint64_t directory_bytes() {
        uint64_t bytes = 0;
        const std::vector<std::string> names = *files.list("/data");
        for (const std::string& name : names) {
            bytes += *files.file_size("/data/" + name);
        }
        return bytes;
    }
};

STARLING_FOR_EVERY_ENGINE(EngineSpaceTest);

class DurableEngineSpaceTest : public EngineSpaceTest {};

STARLING_FOR_EVERY_DURABLE_ENGINE(DurableEngineSpaceTest);

TEST_P(DurableEngineSpaceTest,
       AThousandRoundsOverAThousandKeysShrinkTheDirectoryAndKeepTheLastValues) {
    engine->close().IgnoreError();
    engine.reset();
    EngineOptions options = small_options(GetParam());
    options.memory_bytes_max = 256 << 10;
    options.table_bytes = 64 << 10;
    options.level_bytes_base = 256 << 10;
    options.bitcask_file_bytes = 1 << 20;
    options.bitcask_stale_bytes_max = 1 << 20;
    engine = *open_engine("/data", options, world());
    bool shrunk = false;
    uint64_t before = directory_bytes();
    int last = 0;
    for (int round = 0; round < 1000 && !shrunk; ++round) {
        for (int i = 0; i < 1000; ++i) {
            WriteBatch batch;
            batch.put(fmt::format("key{}", i), fmt::format("{}", round));
            ASSERT_TRUE(write_patiently(*engine, workers, batch).ok());
        }
        last = round;
        workers.run_all();
        const uint64_t now = directory_bytes();
        shrunk = now < before;
        before = now;
    }
    EXPECT_TRUE(shrunk);
    ASSERT_TRUE(engine->close().ok());
    engine = *open_engine("/data", options, world());
    const auto found = contents(*engine);
    ASSERT_TRUE(found.ok()) << found.status();
    ASSERT_EQ(found->size(), 1000u);
    for (const auto& [key, value] : *found) {
        ASSERT_EQ(value, fmt::format("{}", last));
    }
}

TEST_P(EngineSpaceTest, CompactionKeepsTheContent) {
    Model model;
    for (int i = 0; i < 600; ++i) {
        WriteBatch batch;
        const std::string key = fmt::format("key{:03}", i * 7 % 150);
        const std::string value =
            fmt::format("{}:", i) + std::string(static_cast<size_t>(i % 90), 'v');
        batch.put(key, value);
        model[key] = value;
        if (i % 5 == 0) {
            const std::string gone = fmt::format("key{:03}", i * 11 % 150);
            batch.remove(gone);
            model.erase(gone);
        }
        ASSERT_TRUE(write_patiently(*engine, workers, batch).ok());
    }
    const auto snapshot = engine->snapshot();
    WriteBatch batch;
    batch.remove_range("key050", "key090");
    ASSERT_TRUE(write_patiently(*engine, workers, batch).ok());
    Model rest = model;
    rest.erase(rest.lower_bound("key050"), rest.lower_bound("key090"));
    // So that all of it is in files.
    ASSERT_TRUE(engine->sync().ok());
    const uint64_t size_before = durable() ? directory_bytes() : 0;
    for (int round = 0; round < 2; ++round) {
        ASSERT_TRUE(engine->compact().ok());
        EXPECT_EQ(*contents(*engine), rest);
        EXPECT_EQ(*contents(*engine, {.lower = "", .upper = "", .snapshot = snapshot.get()}),
                  model);
    }
    if (durable()) {
        EXPECT_LT(directory_bytes(), size_before);
        reopen();
        EXPECT_EQ(*contents(*engine), rest);
    }
}

TEST_P(DurableEngineSpaceTest, CompactionGivesBackWhatRemovedKeysTook) {
    ASSERT_TRUE(engine->compact().ok());
    const uint64_t empty = directory_bytes();
    for (int i = 0; i < 200; ++i) {
        WriteBatch batch;
        batch.put(fmt::format("key{:03}", i), std::string(500, 'v'));
        ASSERT_TRUE(write_patiently(*engine, workers, batch).ok());
    }
    for (int i = 0; i < 200; ++i) {
        WriteBatch batch;
        batch.remove(fmt::format("key{:03}", i));
        ASSERT_TRUE(write_patiently(*engine, workers, batch).ok());
    }
    ASSERT_TRUE(engine->compact().ok());
    EXPECT_LT(directory_bytes(), empty + 4096);
    reopen();
    EXPECT_TRUE(contents(*engine)->empty());
}

TEST_P(EngineSpaceTest, AValueOfFourMebibytesIsKeptAndReplaced) {
    for (const char letter : {'x', 'y'}) {
        const std::string value(4 << 20, letter);
        WriteBatch batch;
        batch.put("large", value);
        batch.put("empty", "");
        ASSERT_TRUE(write_patiently(*engine, workers, batch).ok());
        EXPECT_TRUE(read(*engine, "large") == value);
        workers.run_all();
        reopen_if_durable();
        EXPECT_TRUE(read(*engine, "large") == value);
        EXPECT_EQ(read(*engine, "empty"), "");
    }
}

TEST(InMemoryEngineTest, WithoutFilesThereIsNothingToMakeACopyOf) {
    env::SimFileSystem files;
    QueueWorkers workers;
    auto engine = *open_engine("/data", small_options("in_memory"), environment(files, workers));
    const absl::Status status = engine->checkpoint("/copy");
    EXPECT_TRUE(absl::IsUnimplemented(status)) << status;
    EXPECT_FALSE(*files.exists("/copy"));
}

TEST_P(DurableEngineSpaceTest, ACheckpointOpensWithTheContentOfItsMoment) {
    Model model;
    for (int i = 0; i < 300; ++i) {
        WriteBatch batch;
        const std::string key = fmt::format("key{:03}", i % 120);
        batch.put(key, fmt::format("{}", i) + std::string(60, 'v'));
        model[key] = fmt::format("{}", i) + std::string(60, 'v');
        ASSERT_TRUE(write_patiently(*engine, workers, batch).ok());
    }
    ASSERT_TRUE(put_until("expires", "1", in(std::chrono::seconds(10))).ok());
    model["expires"] = "1";
    const absl::Status status = engine->checkpoint("/copy");
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_TRUE(absl::IsAlreadyExists(engine->checkpoint("/copy")));
    WriteBatch batch;
    batch.remove_range("", "");
    ASSERT_TRUE(engine->write(batch, {.sync = true}).ok());
    ASSERT_TRUE(engine->compact().ok());
    workers.run_all();
    // It survives a power loss, and lives on its own.
    engine->close().IgnoreError();
    engine.reset();
    env::SimRandom random(1);
    files.crash(env::CrashMode::lost, random);
    auto copy = open_engine("/copy", small_options(GetParam()), world());
    ASSERT_TRUE(copy.ok()) << copy.status();
    EXPECT_EQ(*contents(**copy), model);
    ASSERT_TRUE(put(**copy, "key000", "new").ok());
    EXPECT_EQ(read(**copy, "key000"), "new");
    ASSERT_TRUE((*copy)->close().ok());
    reopen();
    EXPECT_TRUE(contents(*engine)->empty());
}

TEST_P(DurableEngineSpaceTest, ACheckpointThatDiesAnywhereIsWholeOrCanBeMadeAgain) {
    for (int i = 0; i < 60; ++i) {
        ASSERT_TRUE(put(*engine, fmt::format("key{:03}", i), std::string(60, 'v')).ok());
        workers.run_all();
    }
    reopen();
    const Model model = *contents(*engine);
    ASSERT_TRUE(engine->close().ok());
    engine.reset();
    const EngineOptions options = small_options(GetParam());
    const auto check = [&](env::SimFileSystem& disk, const std::string& directory) {
        QueueWorkers jobs;
        const auto opened = open_engine(directory, options, environment(disk, jobs));
        ASSERT_TRUE(opened.ok()) << opened.status();
        EXPECT_EQ(*contents(**opened), model);
    };
    int whole = 0;
    int again = 0;
    for (const auto mode : {env::CrashMode::process,
                            env::CrashMode::kept,
                            env::CrashMode::lost,
                            env::CrashMode::torn}) {
        uint64_t n = 1;
        for (bool untouched = false; !untouched; ++n) {
            SCOPED_TRACE(fmt::format("mode {}, operation {}", static_cast<int>(mode), n));
            const auto disk = files.clone();
            QueueWorkers jobs;
            auto dying = *open_engine("/data", options, environment(*disk, jobs));
            disk->faults().crash_at(n);
            untouched = dying->checkpoint("/copy").ok() && !disk->faults().dead();
            env::SimRandom random(n);
            disk->crash(mode, random);
            disk->faults().clear();
            dying.reset();
            jobs.drop_all();
            auto reborn = *open_engine("/data", options, environment(*disk, jobs));
            const absl::Status status = reborn->checkpoint("/copy");
            ASSERT_TRUE(status.ok() || absl::IsAlreadyExists(status)) << status;
            (status.ok() ? again : whole) += 1;
            EXPECT_FALSE(status.ok() && *disk->exists("/copy.partial"));
            reborn.reset();
            ASSERT_NO_FATAL_FAILURE(check(*disk, "/copy"));
            ASSERT_NO_FATAL_FAILURE(check(*disk, "/data"));
        }
        EXPECT_GT(n, 10u);
    }
    EXPECT_GT(again, 20);
    EXPECT_GT(whole, 3);
}

TEST_P(DurableEngineSpaceTest, ACheckpointThatFailsAnywhereCanBeMadeAgain) {
    ASSERT_TRUE(put(*engine, "key", "value").ok());
    reopen();
    ASSERT_TRUE(engine->close().ok());
    engine.reset();
    for (const bool for_ever : {false, true}) {
        bool untouched = false;
        for (uint64_t n = 1; !untouched; ++n) {
            ASSERT_LT(n, 500u);
            const auto disk = files.clone();
            QueueWorkers jobs;
            auto copied =
                *open_engine("/data", small_options(GetParam()), environment(*disk, jobs));
            const uint64_t before = disk->faults().operation_count();
            disk->faults().fail_nth(n, for_ever);
            const absl::Status status = copied->checkpoint("/copy");
            untouched = disk->faults().operation_count() - before < n;
            disk->faults().clear();
            EXPECT_TRUE(status.ok() || !untouched) << status;
            copied.reset();
            copied = *open_engine("/data", small_options(GetParam()), environment(*disk, jobs));
            const absl::Status second = copied->checkpoint("/copy");
            // With nothing that works any more, a rename cannot be undone: then the copy is whole.
            EXPECT_TRUE(second.ok() || ((status.ok() || for_ever) && absl::IsAlreadyExists(second)))
                << n << ": " << second;
            copied.reset();
            const auto copy =
                open_engine("/copy", small_options(GetParam()), environment(*disk, jobs));
            ASSERT_TRUE(copy.ok()) << n << ": " << copy.status();
            EXPECT_EQ(read(**copy, "key"), "value");
        }
    }
}

TEST_P(DurableEngineSpaceTest, ACheckpointRemovesNothingThatNoEngineLeftInItsWay) {
    ASSERT_TRUE(put(*engine, "key", "value").ok());
    ASSERT_TRUE(files.create_directory("/copy.partial").ok());
    ASSERT_TRUE(env::replace_file(files, "/copy.partial/notes", "mine").ok());
    ASSERT_TRUE(env::replace_file(files, "/copy.partial/ENGINE", "half").ok());
    const absl::Status refused = engine->checkpoint("/copy");
    EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
    EXPECT_THAT(std::string(refused.message()), testing::HasSubstr("/copy.partial/notes"));
    EXPECT_EQ(*env::read_file(files, "/copy.partial/notes", 100), "mine");
    ASSERT_TRUE(files.remove("/copy.partial/notes").ok());
    {
        const auto other = files.lock("/copy.partial/LOCK");
        EXPECT_TRUE(absl::IsFailedPrecondition(engine->checkpoint("/copy")));
        EXPECT_EQ(*env::read_file(files, "/copy.partial/ENGINE", 100), "half");
    }
    EXPECT_TRUE(engine->background_error().ok());
    EXPECT_TRUE(engine->checkpoint("/copy/").ok());
    EXPECT_TRUE(*files.exists("/copy/ENGINE"));
}

TEST_P(EngineSpaceTest, TheSizeOfARangeIsAboutItsShare) {
    for (int i = 0; i < 1000; ++i) {
        WriteBatch batch;
        batch.put(fmt::format("key{:04}", i), std::string(100, 'v'));
        ASSERT_TRUE(write_patiently(*engine, workers, batch).ok());
    }
    workers.run_all();
    ASSERT_TRUE(engine->compact().ok());
    const uint64_t all = engine->approximate_bytes("", "");
    const uint64_t half = engine->approximate_bytes("key0250", "key0750");
    EXPECT_GT(all, 0u);
    EXPECT_GT(half, all / 4);
    EXPECT_LT(half, all * 3 / 4);
    EXPECT_EQ(engine->approximate_bytes("x", "z"), 0u);
}

TEST_P(EngineSpaceTest, StatisticsCountWhatUsersWrite) {
    const uint64_t before = engine->statistics().user_written_bytes;
    WriteBatch batch;
    batch.put("key", std::string(100, 'v'));
    batch.remove("gone");
    ASSERT_TRUE(engine->write(batch).ok());
    EXPECT_GE(engine->statistics().user_written_bytes, before + 107);
    EXPECT_EQ(engine->write_pressure(), WritePressure::none);
}

}  // namespace
}  // namespace starling::storage
