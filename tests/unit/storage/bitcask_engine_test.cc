// What is peculiar to the log-structured hash table: its files, merges, and hints.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/bitcask/data_file.h"
#include "storage/bitcask/file_list.h"
#include "tests/unit/storage/test_support.h"

namespace starling::storage {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

class BitcaskEngineTest : public testing::Test {
  protected:
    BitcaskEngineTest() { open(); }

    void open() {
        auto opened = open_engine("/data", options, environment(files, workers));
        ASSERT_TRUE(opened.ok()) << opened.status();
        engine = *std::move(opened);
    }
    void reopen() {
        ASSERT_TRUE(engine->close().ok());
        engine.reset();
        open();
    }
    // The process ends, and the power with it.
    void crash(env::CrashMode mode) {
        engine.reset();
        workers.drop_all();
        env::SimRandom random(7);
        files.crash(mode, random);
        open();
    }
    std::vector<std::string> names(std::string_view suffix) {
        std::vector<std::string> found = *files.list("/data");
        std::erase_if(found, [&](const std::string& name) { return !name.ends_with(suffix); });
        return found;
    }
    void fill(int from, int to, size_t size) {
        for (int i = from; i < to; ++i) {
            ASSERT_TRUE(put(*engine, fmt::format("key{:04}", i), std::string(size, 'v')).ok());
        }
    }
    // Fills a file, and has it merged while a value of it is read. The file's name.
    std::string merged_while_read() {
        fill(0, 20, 200);
        // What was just written is in memory.
        reopen();
        workers.run_all();
        const std::string first = names(".data").front();
        bool is_merged = false;
        files.faults().set_hook([&](env::FileOperation operation, const std::string& path) {
            if (operation == env::FileOperation::read && path.ends_with(first) &&
                !std::exchange(is_merged, true)) {
                EXPECT_TRUE(engine->compact().ok());
            }
            return absl::OkStatus();
        });
        EXPECT_EQ(read(*engine, "key0000").size(), 200u);
        files.faults().set_hook(nullptr);
        EXPECT_TRUE(is_merged);
        return first;
    }

    EngineOptions options = small_options("bitcask");
    env::SimFileSystem files;
    QueueWorkers workers;
    std::unique_ptr<Engine> engine;
};

TEST_F(BitcaskEngineTest, KvsIsAnotherNameOfIt) {
    ASSERT_TRUE(put(*engine, "a", "1").ok());
    options.engine = "kvs";
    reopen();
    EXPECT_EQ(read(*engine, "a"), "1");
    EXPECT_THAT(*env::read_file(files, "/data/ENGINE", 4096), HasSubstr("engine bitcask\n"));
}

TEST_F(BitcaskEngineTest, DataFilesAreOfTheChosenSizeAndFullOnesGetHints) {
    fill(0, 100, 300);
    EXPECT_TRUE(names(".hint").empty());
    workers.run_all();
    EXPECT_TRUE(engine->sync().ok());
    const auto data = names(".data");
    EXPECT_GT(data.size(), 7u);
    for (const std::string& name : data) {
        EXPECT_LE(*files.file_size("/data/" + name), options.bitcask_file_bytes);
    }
    EXPECT_EQ(names(".hint").size(), data.size() - 1);
    EXPECT_EQ(engine->statistics().flushes, data.size() - 1);
}

TEST_F(BitcaskEngineTest, AStartReadsHintsInsteadOfData) {
    fill(0, 100, 300);
    ASSERT_TRUE(engine->close().ok());
    engine.reset();
    uint64_t data_reads = 0;
    files.faults().set_hook([&](env::FileOperation operation, const std::string& path) {
        data_reads += operation == env::FileOperation::read && path.ends_with(".data") ? 1u : 0u;
        return absl::OkStatus();
    });
    open();
    const uint64_t with_hints = data_reads;
    ASSERT_TRUE(engine->close().ok());
    engine.reset();
    for (const std::string& name : names(".hint")) {
        ASSERT_TRUE(files.remove("/data/" + name).ok());
    }
    data_reads = 0;
    open();
    EXPECT_GT(data_reads, 7u);
    EXPECT_LE(with_hints, 1u);
    files.faults().set_hook(nullptr);
    EXPECT_EQ(contents(*engine)->size(), 100u);
}

TEST_F(BitcaskEngineTest, AMergeKeepsWhatIsLiveAndRemovesTheOldFiles) {
    for (int round = 0; round < 20; ++round) {
        fill(0, 20, 200);
        workers.run_all();
    }
    const EngineStatistics statistics = engine->statistics();
    EXPECT_GT(statistics.compactions, 0u);
    // 20 keys of about 240 bytes, a third of it stale at most, and the thresholds.
    EXPECT_LT(statistics.disk_bytes, 20u * 240 * 2 + options.bitcask_stale_bytes_max * 2);
    uint64_t bytes = 0;
    for (const std::string& name : names(".data")) {
        bytes += *files.file_size("/data/" + name);
    }
    EXPECT_LE(bytes, statistics.disk_bytes);
    reopen();
    EXPECT_EQ(contents(*engine)->size(), 20u);
}

TEST_F(BitcaskEngineTest, AFileThatIsBeingReadOutlivesItsMerge) {
    fill(0, 20, 200);
    const auto iterator = engine->new_iterator();
    iterator->seek_to_first();
    const auto snapshot = engine->snapshot();
    for (int round = 0; round < 10; ++round) {
        fill(0, 20, 100);
        workers.run_all();
    }
    ASSERT_TRUE(engine->compact().ok());
    int count = 0;
    for (; iterator->valid(); iterator->next(), ++count) {
        ASSERT_EQ(iterator->value().size(), 200u);
    }
    EXPECT_TRUE(iterator->status().ok()) << iterator->status();
    EXPECT_EQ(count, 20);
    EXPECT_EQ(read(*engine, "key0007", snapshot.get()).size(), 200u);
}

TEST_F(BitcaskEngineTest, AFileThatWasReadDuringItsMergeGoesWithTheNextJob) {
    const std::string first = merged_while_read();
    ASSERT_THAT(names(".data"), Contains(first));
    engine->reclaim_while_quiet();
    workers.run_all();
    EXPECT_THAT(names(".data"), Not(Contains(first)));
}

TEST_F(BitcaskEngineTest, AFileThatWasReadDuringItsMergeGoesThoughThereIsNoRoomForAnother) {
    const std::string first = merged_while_read();
    fill(0, 20, 200);
    fill(0, 20, 200);
    ASSERT_TRUE(engine->sync().ok());
    ASSERT_THAT(names(".data"), Contains(first));
    files.set_capacity(files.used_bytes());
    workers.run_all();
    EXPECT_THAT(names(".data"), Not(Contains(first)));
}

TEST_F(BitcaskEngineTest, ARemovalIsKeptAsLongAsAnotherFileHoldsTheKey) {
    // The first file: stays, since nearly all of it is live.
    fill(0, 12, 250);
    reopen();
    // The second one: the removals of two of them, and much that is stale.
    ASSERT_TRUE(remove(*engine, "key0003").ok());
    WriteBatch range;
    range.remove_range("key0007", "key0008");
    ASSERT_TRUE(engine->write(range).ok());
    for (int round = 0; round < 60; ++round) {
        ASSERT_TRUE(put(*engine, "hot", std::string(200, 'h')).ok());
        workers.run_all();
    }
    ASSERT_GT(engine->statistics().compactions, 0u);
    ASSERT_EQ(names(".data").front(), "000001.data");
    for (const env::CrashMode mode : {env::CrashMode::process, env::CrashMode::lost}) {
        ASSERT_TRUE(engine->sync().ok());
        crash(mode);
        EXPECT_EQ(read(*engine, "key0003"), "(none)");
        EXPECT_EQ(read(*engine, "key0007"), "(none)");
        EXPECT_EQ(contents(*engine)->size(), 11u);
    }
    ASSERT_TRUE(engine->compact().ok());
    reopen();
    EXPECT_EQ(contents(*engine)->size(), 11u);
}

TEST_F(BitcaskEngineTest, AMergeMakesDurableWhatHidesTheValuesItLeavesOut) {
    fill(0, 40, 250);
    reopen();
    workers.run_all();
    // Never synced by the user, and in a file that is neither full nor stale.
    fill(0, 25, 5);
    const Model after = *contents(*engine);
    workers.run_all();
    ASSERT_GT(engine->statistics().compactions, 0u);
    crash(env::CrashMode::lost);
    EXPECT_EQ(*contents(*engine), after);
}

TEST_F(BitcaskEngineTest, RestartsDoNotLeaveAFileEach) {
    for (int i = 0; i < 60; ++i) {
        ASSERT_TRUE(put(*engine, fmt::format("key{}", i), "v").ok());
        reopen();
        workers.run_all();
    }
    EXPECT_LT(names(".data").size(), 14u);
    EXPECT_EQ(contents(*engine)->size(), 60u);
}

TEST_F(BitcaskEngineTest, MemoryHoldsOnlyTheValuesWrittenLast) {
    fill(0, 400, 1000);
    ASSERT_TRUE(engine->sync().ok());
    fill(400, 401, 1000);
    EXPECT_LT(engine->statistics().memory_bytes, options.memory_bytes_max + 200000);
    EXPECT_TRUE(absl::IsUnavailable(engine->get_from_memory("key0000").status()));
    EXPECT_TRUE(engine->get_from_memory("key0400").ok());
    EXPECT_EQ(read(*engine, "key0000").size(), 1000u);
}

TEST_F(BitcaskEngineTest, AFullDiskRefusesWritesAndHeals) {
    files.set_capacity(files.used_bytes() + 6000);
    absl::Status status;
    int written = 0;
    for (; written < 200 && status.ok(); ++written) {
        WriteBatch batch;
        batch.put(fmt::format("key{:04}", written), std::string(300, 'v'));
        status = engine->write(batch, {.sync = true});
    }
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    EXPECT_EQ(engine->write_pressure(), WritePressure::refusing);
    EXPECT_TRUE(absl::IsResourceExhausted(put(*engine, "more", "v")));
    EXPECT_EQ(read(*engine, "key0001").size(), 300u);
    EXPECT_TRUE(engine->background_error().ok()) << engine->background_error();
    files.set_capacity(1 << 30);
    EXPECT_TRUE(put(*engine, "more", "v").ok());
    EXPECT_TRUE(engine->sync().ok());
    crash(env::CrashMode::lost);
    EXPECT_EQ(contents(*engine)->size(), static_cast<size_t>(written) + 1);
}

TEST_F(BitcaskEngineTest, AFailedSyncMakesItReadOnlyUntilItIsReopened) {
    ASSERT_TRUE(put(*engine, "a", "1").ok());
    ASSERT_TRUE(engine->sync().ok());
    ASSERT_TRUE(put(*engine, "b", "2").ok());
    files.faults().fail_next(env::FileOperation::sync);
    EXPECT_FALSE(engine->sync().ok());
    EXPECT_TRUE(absl::IsFailedPrecondition(put(*engine, "c", "3")));
    EXPECT_TRUE(absl::IsFailedPrecondition(engine->sync()));
    EXPECT_FALSE(engine->background_error().ok());
    EXPECT_EQ(read(*engine, "b"), "2");
    engine.reset();
    open();
    EXPECT_TRUE(put(*engine, "c", "3").ok());
    // What the start found counts as durable once this is OK, whatever the failed sync left.
    ASSERT_TRUE(engine->sync().ok());
    const Model found = *contents(*engine);
    crash(env::CrashMode::lost);
    EXPECT_EQ(*contents(*engine), found);
}

TEST_F(BitcaskEngineTest, ScatteredFilesOfWhichTheDiskHasRoomForOneOnlyAreNotMergedForEver) {
    for (int i = 0; i < 12; ++i) {
        fill(i, i + 1, 200);
        reopen();
    }
    const size_t scattered = names(".data").size();
    ASSERT_GT(scattered, 10u);
    files.set_capacity(files.used_bytes() + (64u << 10) + 400);
    int jobs = 0;
    while (workers.run_one()) {
        ASSERT_LT(++jobs, 100);
    }
    EXPECT_TRUE(engine->background_error().ok()) << engine->background_error();
    files.set_capacity(1u << 30);
    reopen();
    workers.run_all();
    EXPECT_LT(names(".data").size(), scattered / 2);
    EXPECT_EQ(contents(*engine)->size(), 12u);
}

TEST_F(BitcaskEngineTest, ACheckpointThatFailsAnywhereLeavesNothingAndHarmsNothing) {
    fill(0, 40, 200);
    workers.run_all();
    const Model model = *contents(*engine);
    bool untouched = false;
    for (uint64_t n = 1; !untouched; ++n) {
        ASSERT_LT(n, 500u);
        const auto disk = files.clone();
        QueueWorkers jobs;
        auto copy = *open_engine("/data", options, environment(*disk, jobs));
        const uint64_t before = disk->faults().operation_count();
        disk->faults().fail_nth(n);
        const absl::Status status = copy->checkpoint("/copy");
        untouched = disk->faults().operation_count() - before < n;
        disk->faults().clear();
        EXPECT_TRUE(status.ok() || !untouched) << status;
        EXPECT_EQ(*contents(*copy), model);
        EXPECT_EQ(*disk->exists("/copy"), status.ok()) << n;
        copy.reset();
        copy = *open_engine("/data", options, environment(*disk, jobs));
        EXPECT_EQ(*contents(*copy), model);
    }
}

TEST(BitcaskFileListTest, AListIsReadBackAndOnlyInOneForm) {
    const bitcask::FileList list{.files = {{.number = 1, .bytes = 100, .merged = false},
                                           {.number = 1234567, .bytes = 5, .merged = true}},
                                 .log = {.number = 8, .position = 9000, .flushed = 77}};
    const std::string text = bitcask::encode_file_list(list);
    EXPECT_EQ(bitcask::decode_file_list(text), list);
    for (size_t i = 0; i < text.size(); ++i) {
        EXPECT_EQ(bitcask::decode_file_list(text.substr(0, i)), std::nullopt);
        std::string changed = text;
        changed[i] = static_cast<char>(changed[i] ^ 1);
        EXPECT_EQ(bitcask::decode_file_list(changed), std::nullopt) << i;
    }
    EXPECT_EQ(bitcask::decode_file_list(text + "\n"), std::nullopt);
}

TEST(BitcaskHintTest, AnExpiryBeyondAllClocksIsDamage) {
    const bitcask::ListedFile file{.number = 7, .bytes = 1000, .merged = false};
    for (const Expiry expiry : {expiry_max, expiry_max + 1}) {
        bitcask::HintBuilder hint(file.number);
        hint.add({.type = bitcask::ChangeType::put,
                  .sequence = 1,
                  .key = "key",
                  .end = {},
                  .expiry = expiry,
                  .location = {.file = file.number, .offset = 100, .size = 10, .checksum = 0},
                  .encoded = {}});
        EXPECT_EQ(bitcask::decode_hint(hint.finish(file.bytes),
                                       file,
                                       [](const bitcask::Change&) { return absl::OkStatus(); }),
                  expiry == expiry_max);
    }
}

// A merge keeps the older value for a snapshot, which goes before the merge meets what hides it.
TEST(BitcaskMergeTest, WhatHidesAKeptValueIsKeptThoughTheSnapshotGoesAmidTheMerge) {
    WriteBatch removal;
    removal.remove("victim");
    WriteBatch range_removal;
    range_removal.remove_range("v", "w");
    int released = 0;
    for (const WriteBatch& hides : {removal, range_removal}) {
        for (int nth = 1; nth <= 6; ++nth) {
            env::SimFileSystem files;
            QueueWorkers workers;
            EngineOptions options;
            options.engine = "bitcask";
            options.bitcask_file_bytes = 4096;
            options.bitcask_stale_bytes_max = 1u << 30;
            auto engine = *open_engine("/data", options, environment(files, workers));
            ASSERT_TRUE(put(*engine, "victim", std::string(100, 'v')).ok());
            auto snapshot = engine->snapshot();
            ASSERT_TRUE(put(*engine, "one", std::string(3950, 'v')).ok());
            ASSERT_TRUE(engine->write(hides).ok());
            ASSERT_TRUE(put(*engine, "two", std::string(3950, 'v')).ok());
            workers.run_all();
            int opened = 0;
            files.faults().set_hook([&](env::FileOperation operation, const std::string& path) {
                if (operation == env::FileOperation::open && path.ends_with(".data") &&
                    ++opened == nth) {
                    snapshot.reset();
                    ++released;
                }
                return absl::OkStatus();
            });
            ASSERT_TRUE(engine->compact().ok());
            files.faults().set_hook(nullptr);
            snapshot.reset();
            EXPECT_EQ(read(*engine, "victim"), "(none)") << nth;
            ASSERT_TRUE(engine->close().ok());
            engine = *open_engine("/data", options, environment(files, workers));
            EXPECT_EQ(read(*engine, "victim"), "(none)") << "after a restart, " << nth;
            EXPECT_EQ(contents(*engine)->size(), 2u);
        }
    }
    EXPECT_GE(released, 8) << "the snapshot went amid the merges";
}

}  // namespace
}  // namespace starling::storage
