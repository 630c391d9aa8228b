#include "storage/lsm/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/engine.h"
#include "storage/lsm/file_names.h"
#include "storage/lsm/log_replay.h"
#include "tests/unit/storage/test_support.h"

namespace starling::storage::lsm {
namespace {

using testing::HasSubstr;

class LogTest : public testing::Test {
  protected:
    LogTest() {
        EXPECT_TRUE(files.create_directory("/log").ok());
        EXPECT_TRUE(files.sync_directory("/").ok());
        begin();
    }

    void begin() {
        log = std::make_unique<Log>(
            Log::Options{.directory = "/log", .file_bytes_expected = 0, .number = 1, .position = 0},
            files);
        EXPECT_TRUE(log->make_files().ok());
    }
    void append(std::string_view key) {
        WriteBatch batch;
        batch.put(key, std::string(300, 'v'));
        log->append(++sequence, batch.representation());
    }

    struct Replayed {
        absl::Status status;
        std::vector<std::string> keys;
        Sequence last = 0;
    };
    // The keys in the order of their sequences.
    Replayed replay(uint64_t first = 1, LogPosition position = 0, Sequence flushed = 0) {
        std::vector<uint64_t> numbers;
        for (uint64_t number = first; number < 20; ++number) {
            if (*files.exists(log_path("/log", number))) {
                numbers.push_back(number);
            }
        }
        LogReplay reader(
            files, "/log", {.number = first, .position = position, .flushed = flushed});
        Replayed result;
        result.status = reader.open(numbers);
        Memtable memtable(0);
        // A little at a time, to stop and resume in many places.
        for (bool more = true; result.status.ok() && more;) {
            const auto filled = reader.fill(memtable, memtable.used_bytes() + 1);
            result.status = filled.status();
            more = filled.ok() && *filled;
        }
        result.last = reader.last_sequence();
        result.keys.resize(result.last);
        const auto entries = memtable.new_iterator();
        for (entries->seek_to_first(); entries->valid(); entries->next()) {
            result.keys[sequence_of_tag(tag_of(entries->key())) - 1] = user_key_of(entries->key());
        }
        return result;
    }
    void crash(env::CrashMode mode, uint64_t seed = 1) {
        log.reset();
        env::SimRandom random(seed);
        files.crash(mode, random);
    }

    env::SimFileSystem files;
    std::unique_ptr<Log> log;
    uint64_t sequence = 0;
};

using Keys = std::vector<std::string>;

TEST_F(LogTest, WhatWasSyncedIsReplayed) {
    append("a");
    append("b");
    ASSERT_TRUE(log->sync().ok());
    append("c");
    crash(env::CrashMode::lost);
    const Replayed found = replay();
    EXPECT_TRUE(found.status.ok()) << found.status;
    EXPECT_EQ(found.keys, (Keys{"a", "b"}));
}

TEST_F(LogTest, SeveralFilesAreReplayedInOrder) {
    append("a");
    log->roll(2);
    log->roll(5);
    append("b");
    append("c");
    log->roll(6);
    ASSERT_TRUE(log->sync().ok());
    crash(env::CrashMode::lost);
    const Replayed found = replay();
    EXPECT_TRUE(found.status.ok()) << found.status;
    EXPECT_EQ(found.keys, (Keys{"a", "b", "c"}));
}

TEST_F(LogTest, WhateverIsTornAPrefixIsReplayed) {
    for (uint64_t seed = 1; seed < 200; ++seed) {
        append("a");
        ASSERT_TRUE(log->sync().ok());
        for (const char* key : {"b", "c", "d"}) {
            append(key);
        }
        log->roll(2);
        for (const char* key : {"e", "f", "g"}) {
            append(key);
        }
        ASSERT_TRUE(log->write_out_if_idle().ok());
        crash(env::CrashMode::torn, seed);
        const Replayed found = replay();
        ASSERT_TRUE(found.status.ok()) << "seed " << seed << ": " << found.status;
        const Keys all = {"a", "b", "c", "d", "e", "f", "g"};
        ASSERT_GE(found.keys.size(), 1u);
        ASSERT_EQ(found.keys,
                  Keys(all.begin(), all.begin() + static_cast<long>(found.keys.size())));
        files.remove(log_path("/log", 2)).IgnoreError();
        sequence = 0;
        begin();
    }
}

TEST_F(LogTest, AFileMissingInTheMiddleIsDamageWhenALaterOneWasSynced) {
    append("a");
    log->roll(2);
    append("b");
    ASSERT_TRUE(log->sync().ok());
    log->roll(3);
    append("c");
    ASSERT_TRUE(log->sync().ok());
    log.reset();
    ASSERT_TRUE(files.remove(log_path("/log", 2)).ok());
    const Replayed found = replay();
    EXPECT_TRUE(absl::IsDataLoss(found.status)) << found.status;
    EXPECT_THAT(std::string(found.status.message()), HasSubstr(log_path("/log", 1)));
}

TEST_F(LogTest, TheFirstFileMissingIsDamage) {
    append("a");
    ASSERT_TRUE(log->sync().ok());
    log.reset();
    ASSERT_TRUE(files.remove(log_path("/log", 1)).ok());
    EXPECT_TRUE(absl::IsDataLoss(replay().status));
}

TEST_F(LogTest, AGapInTheSequencesIsDamage) {
    append("a");
    ++sequence;
    append("c");
    ASSERT_TRUE(log->sync().ok());
    log.reset();
    const Replayed found = replay();
    EXPECT_TRUE(absl::IsDataLoss(found.status)) << found.status;
}

TEST_F(LogTest, AFullDiskDropsNothing) {
    append("a");
    ASSERT_TRUE(log->sync().ok());
    files.set_capacity(files.used_bytes() + 50);
    append("b");
    EXPECT_TRUE(absl::IsResourceExhausted(log->sync()));
    EXPECT_TRUE(log->disk_full());
    append("c");
    EXPECT_TRUE(absl::IsResourceExhausted(log->sync()));
    files.set_capacity(1 << 20);
    EXPECT_TRUE(log->sync().ok());
    EXPECT_FALSE(log->disk_full());
    crash(env::CrashMode::lost);
    EXPECT_EQ(replay().keys, (Keys{"a", "b", "c"}));
}

TEST_F(LogTest, AFullDiskAtTheBeginningOfAFileDropsNothing) {
    append("a");
    log->roll(2);
    for (uint64_t room = 0; room < 700; room += 41) {
        files.set_capacity(files.used_bytes() + room);
        append("b");
        const absl::Status status = log->sync();
        EXPECT_TRUE(status.ok() || absl::IsResourceExhausted(status)) << status;
    }
    files.set_capacity(1 << 20);
    EXPECT_TRUE(log->sync().ok());
    crash(env::CrashMode::lost);
    const Replayed found = replay();
    EXPECT_TRUE(found.status.ok()) << found.status;
    EXPECT_EQ(found.keys.size(), sequence);
}

TEST_F(LogTest, AFailedSyncIsFinal) {
    append("a");
    files.faults().fail_next(env::FileOperation::sync);
    EXPECT_FALSE(log->sync().ok());
    EXPECT_FALSE(log->sync().ok());
    append("b");
    EXPECT_FALSE(log->write_out_if_idle().ok());
}

TEST_F(LogTest, OneSyncCoversAllThatWasAppendedBefore) {
    append("a");
    append("b");
    ASSERT_TRUE(log->sync().ok());
    const uint64_t before = files.faults().operation_count();
    EXPECT_TRUE(log->sync().ok());
    EXPECT_EQ(files.faults().operation_count(), before);
    EXPECT_EQ(log->sync_count(), 1u);
}

TEST_F(LogTest, ForgottenFilesAreNotSyncedAndTheRestReplaysAlone) {
    append("a");
    log->roll(2);
    append("b");
    ASSERT_TRUE(log->make_files().ok());
    const LogPosition position = log->position_of(2);
    log->forget_before(2);
    ASSERT_TRUE(files.remove(log_path("/log", 1)).ok());
    ASSERT_TRUE(log->sync().ok());
    crash(env::CrashMode::lost);
    const Replayed found = replay(2, position, 1);
    EXPECT_TRUE(found.status.ok()) << found.status;
    EXPECT_EQ(found.last, 2u);
    EXPECT_EQ(found.keys, (Keys{"", "b"}));
}

}  // namespace
}  // namespace starling::storage::lsm
