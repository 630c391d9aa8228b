#include "storage/log/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/engine.h"
#include "storage/log/log_replay.h"
#include "storage/lsm/file_names.h"
#include "storage/lsm/memtable_target.h"
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

    void begin(bool recycle = true, size_t joined_bytes_max = 0) {
        log = std::make_unique<Log>(Log::Options{.directory = "/log",
                                                 .file_bytes_expected = 0,
                                                 .number = 1,
                                                 .position = 0,
                                                 .recycle = recycle,
                                                 .joined_bytes_max = joined_bytes_max,
                                                 .naming = log_naming},
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
            files, "/log", {.number = first, .position = position, .flushed = flushed}, log_naming);
        Replayed result;
        result.status = reader.open(numbers);
        Memtable memtable(0);
        // A little at a time, to stop and resume in many places.
        for (bool more = true; result.status.ok() && more;) {
            MemtableTarget target(memtable, memtable.used_bytes() + 1);
            const auto filled = reader.fill(target);
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

class JoiningLogTest : public LogTest {
  protected:
    // Three batches of this test's size fit.
    JoiningLogTest() {
        files.remove(log_path("/log", 1)).IgnoreError();
        begin(true, 1000);
    }
    uint64_t bytes_of(std::string_view key) {
        const uint64_t before = log->size();
        append(key);
        return log->size() - before;
    }
};

TEST_F(JoiningLogTest, BatchesShareARecordUntilItIsFullOrWritten) {
    const uint64_t first = bytes_of("a");
    const uint64_t joined = first - record_header_bytes;
    EXPECT_EQ(bytes_of("b"), joined);
    EXPECT_EQ(bytes_of("c"), joined);
    EXPECT_EQ(bytes_of("d"), first);
    EXPECT_EQ(log->buffered_bytes(), 2 * first + 2 * joined);
    ASSERT_TRUE(log->write_out_if_idle().ok());
    EXPECT_EQ(bytes_of("e"), first);
    EXPECT_EQ(bytes_of("f"), joined);
    log->roll(2);
    append("g");
    ASSERT_TRUE(log->sync().ok());
    EXPECT_EQ(log->durable_position(), log->size());
    crash(env::CrashMode::lost);
    const Replayed found = replay();
    EXPECT_TRUE(found.status.ok()) << found.status;
    EXPECT_EQ(found.keys, (Keys{"a", "b", "c", "d", "e", "f", "g"}));
}

TEST_F(JoiningLogTest, WhateverIsTornWhatWasSyncedIsReplayed) {
    for (uint64_t seed = 1; seed < 200; ++seed) {
        append("a");
        append("b");
        ASSERT_TRUE(log->sync().ok());
        for (const char* key : {"c", "d", "e", "f", "g", "h"}) {
            append(key);
        }
        ASSERT_TRUE(log->write_out_if_idle().ok());
        crash(env::CrashMode::torn, seed);
        const Replayed found = replay();
        ASSERT_TRUE(found.status.ok()) << found.status;
        const Keys all = {"a", "b", "c", "d", "e", "f", "g", "h"};
        ASSERT_GE(found.keys.size(), 2) << "seed " << seed;
        ASSERT_EQ(found.keys,
                  Keys(all.begin(), all.begin() + static_cast<ptrdiff_t>(found.keys.size())));
        ASSERT_TRUE(files.remove(log_path("/log", 1)).ok());
        sequence = 0;
        begin(true, 1000);
    }
}

TEST_F(JoiningLogTest, WhatAFullDiskSentBackIsJoinedNoMore) {
    append("a");
    files.set_capacity(files.used_bytes());
    EXPECT_TRUE(absl::IsResourceExhausted(log->sync()));
    append("b");
    append("c");
    EXPECT_TRUE(absl::IsResourceExhausted(log->sync()));
    append("d");
    files.set_capacity(UINT64_MAX);
    ASSERT_TRUE(log->sync().ok());
    crash(env::CrashMode::lost);
    const Replayed found = replay();
    EXPECT_TRUE(found.status.ok()) << found.status;
    EXPECT_EQ(found.keys, (Keys{"a", "b", "c", "d"}));
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
    begin(false);
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

class RecycledLogTest : public LogTest {
  protected:
    // File 1, with `old_records`, is a spare, and file 2 has one record.
    void make_spare(int old_records) {
        for (int i = 0; i < old_records; ++i) {
            append("old");
        }
        ASSERT_TRUE(log->sync().ok());
        log->roll(2);
        append("kept");
        ASSERT_TRUE(log->sync().ok());
        log->forget_before(2);
        ASSERT_TRUE(log->keep_as_spare(1));
    }
    // File 3 goes on where that spare was.
    void recycle(int old_records) {
        ASSERT_NO_FATAL_FAILURE(make_spare(old_records));
        log->roll(3);
        ASSERT_TRUE(log->sync().ok());
        position = log->position_of(3);
        flushed = sequence;
    }
    Replayed replay_recycled() { return replay(3, position, flushed); }

    LogPosition position = 0;
    Sequence flushed = 0;
};

TEST_F(RecycledLogTest, OldRecordsBehindTheEndAreNotReplayed) {
    recycle(9);
    EXPECT_FALSE(*files.exists(log_path("/log", 1)));
    append("a");
    append("b");
    ASSERT_TRUE(log->sync().ok());
    append("c");
    crash(env::CrashMode::lost);
    const Replayed found = replay_recycled();
    EXPECT_TRUE(found.status.ok()) << found.status;
    EXPECT_EQ(found.last, flushed + 2);
    EXPECT_GT(*files.file_size(log_path("/log", 3)), 9u * 300);
}

TEST_F(RecycledLogTest, WhateverIsTornOverOldRecordsAPrefixIsReplayed) {
    for (uint64_t seed = 1; seed < 200; ++seed) {
        recycle(20);
        append("a");
        ASSERT_TRUE(log->sync().ok());
        for (const char* key : {"b", "c", "d"}) {
            append(key);
        }
        ASSERT_TRUE(log->write_out_if_idle().ok());
        crash(env::CrashMode::torn, seed);
        const Replayed found = replay_recycled();
        ASSERT_TRUE(found.status.ok()) << "seed " << seed << ": " << found.status;
        ASSERT_GE(found.last, flushed + 1);
        ASSERT_LE(found.last, flushed + 4);
        for (const uint64_t number : {uint64_t{1}, uint64_t{2}, uint64_t{3}}) {
            files.remove(log_path("/log", number)).IgnoreError();
        }
        sequence = 0;
        begin();
    }
}

TEST_F(RecycledLogTest, ASyncWithinWhatIsThereChangesNoSize) {
    recycle(20);
    const uint64_t size = *files.file_size(log_path("/log", 3));
    for (int i = 0; i < 10; ++i) {
        append("a");
        ASSERT_TRUE(log->sync().ok());
    }
    EXPECT_EQ(*files.file_size(log_path("/log", 3)), size);
}

TEST_F(RecycledLogTest, DamageBeforeTheEndIsSeenInARecycledFile) {
    recycle(20);
    append("a");
    ASSERT_TRUE(log->sync().ok());
    append("b");
    ASSERT_TRUE(log->sync().ok());
    log.reset();
    ASSERT_TRUE(files.flip_bit(log_path("/log", 3), record_file_header_bytes + 50, 1).ok());
    const Replayed found = replay_recycled();
    EXPECT_TRUE(absl::IsDataLoss(found.status)) << found.status;
    EXPECT_THAT(std::string(found.status.message()), HasSubstr("000003.log: at offset 32"));
}

TEST_F(RecycledLogTest, ARecycledFileThatWasNeverSyncedHoldsNothing) {
    recycle(20);
    log->forget_before(3);
    ASSERT_TRUE(log->keep_as_spare(2));
    log->roll(4);
    append("a");
    ASSERT_TRUE(log->make_files().ok());
    position = log->position_of(4);
    crash(env::CrashMode::lost);
    const Replayed found = replay(4, position, flushed);
    EXPECT_TRUE(found.status.ok()) << found.status;
    EXPECT_EQ(found.last, flushed);
}

TEST_F(RecycledLogTest, AFullDiskTakesTheSparesFirst) {
    for (int i = 0; i < 30; ++i) {
        append("old");
    }
    ASSERT_TRUE(log->sync().ok());
    log->roll(2);
    ASSERT_TRUE(log->sync().ok());
    log->roll(3);
    append("a");
    ASSERT_TRUE(log->sync().ok());
    log->forget_before(3);
    ASSERT_TRUE(log->keep_as_spare(1));
    EXPECT_GT(log->spare_bytes(), 0u);
    files.set_capacity(files.used_bytes());
    for (int i = 0; i < 20; ++i) {
        append("a");
    }
    EXPECT_TRUE(log->sync().ok());
    EXPECT_EQ(log->spare_bytes(), 0u);
    EXPECT_FALSE(*files.exists(log_path("/log", 1)));
}

TEST_F(RecycledLogTest, AFileThatNobodySyncedWhileItWasWrittenIsNotKept) {
    append("a");
    log->roll(2);
    append("b");
    ASSERT_TRUE(log->sync().ok());
    append("c");
    log->roll(3);
    ASSERT_TRUE(log->sync().ok());
    log->forget_before(3);
    EXPECT_FALSE(log->keep_as_spare(1));
    EXPECT_TRUE(log->keep_as_spare(2));
}

TEST_F(RecycledLogTest, ASpareThatCannotBeRenamedOnAFullDiskIsRemovedAndTheLogGoesOn) {
    ASSERT_NO_FATAL_FAILURE(make_spare(1));
    files.faults().set_hook([](env::FileOperation operation, const std::string& path) {
        return operation == env::FileOperation::rename ? absl::ResourceExhaustedError(path)
                                                       : absl::OkStatus();
    });
    position = log->position_of(2);
    log->roll(3);
    append("a");
    EXPECT_TRUE(log->sync().ok());
    EXPECT_FALSE(*files.exists(log_path("/log", 1)));
    EXPECT_EQ(log->spare_bytes(), 0u);
    files.faults().set_hook(nullptr);
    crash(env::CrashMode::lost);
    const Replayed found = replay(2, position, 1);
    EXPECT_TRUE(found.status.ok()) << found.status;
    EXPECT_EQ(found.last, sequence);
}

TEST_F(RecycledLogTest, AClosedLogLeavesNoSpare) {
    ASSERT_NO_FATAL_FAILURE(make_spare(3));
    log->close();
    EXPECT_FALSE(*files.exists(log_path("/log", 1)));
    EXPECT_TRUE(*files.exists(log_path("/log", 2)));
}

TEST_F(RecycledLogTest, ALogThatDoesNotRecycleKeepsNoFile) {
    log.reset();
    ASSERT_TRUE(files.remove(log_path("/log", 1)).ok());
    begin(false);
    append("a");
    log->roll(2);
    ASSERT_TRUE(log->sync().ok());
    log->forget_before(2);
    EXPECT_FALSE(log->keep_as_spare(1));
    EXPECT_EQ(*files.file_size(log_path("/log", 2)), record_file_header_bytes);
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
