// What the durable engine does beyond the conformance suite: memory, background work, trouble.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/unit/storage/test_support.h"

namespace starling::storage {
namespace {

using testing::HasSubstr;

class LsmEngineTest : public testing::Test {
  protected:
    LsmEngineTest() { open(); }

    void open() {
        auto opened = open_engine(directory, options, environment(files, workers));
        ASSERT_TRUE(opened.ok()) << opened.status();
        engine = *std::move(opened);
    }
    void reopen() {
        EXPECT_TRUE(engine->close().ok());
        engine.reset();
        open();
    }
    // Numbered keys with values of 100 bytes.
    void fill(int first, int count, char letter = 'v') {
        for (int i = first; i < first + count; ++i) {
            WriteBatch batch;
            batch.put(fmt::format("key{:06}", i), std::string(100, letter));
            const absl::Status status = write_patiently(*engine, workers, batch);
            ASSERT_TRUE(status.ok()) << status;
        }
    }
    absl::Status write_value_patiently(const std::string& key, const std::string& value) {
        WriteBatch batch;
        batch.put(key, value);
        return write_patiently(*engine, workers, batch);
    }
    size_t count_files(std::string_view suffix) {
        size_t count = 0;
        const std::vector<std::string> names = *files.list("/data");
        for (const std::string& name : names) {
            count += name.ends_with(suffix) ? 1u : 0u;
        }
        return count;
    }

    std::string directory = "/data";
    EngineOptions options = small_options();
    env::SimFileSystem files;
    QueueWorkers workers;
    std::unique_ptr<Engine> engine;
};

TEST_F(LsmEngineTest, WhatIsOnlyOnDiskIsReadOnceAndThenAnsweredFromMemory) {
    fill(0, 10);
    reopen();
    EXPECT_TRUE(absl::IsUnavailable(engine->get_from_memory("key000003").status()));
    EXPECT_EQ(read(*engine, "key000003"), std::string(100, 'v'));
    const auto again = engine->get_from_memory("key000003");
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(*again, std::string(100, 'v'));
    // The table is open now, and its filter knows most absent keys.
    int known = 0;
    for (int i = 0; i < 100; ++i) {
        known +=
            engine->get_from_memory(fmt::format("key00000{}x", i % 10) + fmt::format("{}", i)).ok();
    }
    EXPECT_GE(known, 90);
    EXPECT_GT(engine->statistics().block_cache_hits, 0u);
}

TEST_F(LsmEngineTest, ACompactionKeepsInMemoryWhatReadersHadThere) {
    options.block_cache_bytes = 1 << 20;
    reopen();
    fill(0, 200);
    ASSERT_TRUE(engine->compact().ok());
    const auto misses_of = [&](int first, int count) {
        const uint64_t before = engine->statistics().block_cache_misses;
        for (int i = first; i < first + count; ++i) {
            EXPECT_EQ(read(*engine, fmt::format("key{:06}", i)), std::string(100, 'v'));
        }
        return engine->statistics().block_cache_misses - before;
    };
    EXPECT_GT(misses_of(0, 100), 20u);
    ASSERT_TRUE(engine->compact().ok());
    // A block may lie across the border.
    EXPECT_LE(misses_of(0, 100), 1u);
    EXPECT_GT(misses_of(100, 100), 20u) << "nobody had asked for these";
}

TEST_F(LsmEngineTest, WhatIsFlushedWhileThereAreReadersStaysInMemory) {
    options.block_cache_bytes = 1 << 20;
    reopen();
    const auto misses_after_flush_of = [&](int first) {
        fill(first, 20);
        EXPECT_TRUE(engine->compact().ok());
        const uint64_t before = engine->statistics().block_cache_misses;
        for (int i = first; i < first + 20; ++i) {
            EXPECT_EQ(read(*engine, fmt::format("key{:06}", i)), std::string(100, 'v'));
        }
        return engine->statistics().block_cache_misses - before;
    };
    EXPECT_GT(misses_after_flush_of(0), 3u) << "nobody read anything before";
    for (int i = 0; i < 1000; ++i) {
        read(*engine, "key000003");
    }
    EXPECT_EQ(misses_after_flush_of(100), 0u);
}

// What is streamed leaves nothing in the system's cache of pages.
TEST_F(LsmEngineTest, TablesAreStreamedOnlyWhileHardlyAnybodyReads) {
    struct CountingFiles final : env::SimFileSystem {
        absl::StatusOr<std::unique_ptr<env::WritableFile>> create_streamed(
            const std::string& path) override {
            ++streamed_out;
            return create(path);
        }
        absl::StatusOr<std::unique_ptr<env::RandomAccessFile>> open_streamed(
            const std::string& path, size_t) override {
            ++streamed_in;
            return open_for_read(path);
        }
        int streamed_out = 0;
        int streamed_in = 0;
    } counting;
    engine = *open_engine(directory, options, environment(counting, workers));
    const auto overwrite = [&](bool has_readers) {
        counting.streamed_out = counting.streamed_in = 0;
        const uint64_t compactions = engine->statistics().compactions;
        for (int i = 0; i < 600; ++i) {
            // Out of order: tables in order are moved without being read.
            const std::string key = fmt::format("key{:06}", i * 337 % 600);
            ASSERT_TRUE(put(*engine, key, std::string(100, 'v')).ok());
            while (workers.size() > 0) {
                for (int other = 0; has_readers && other < 600; ++other) {
                    read(*engine, fmt::format("key{:06}", other));
                }
                workers.run_one();
            }
        }
        EXPECT_GT(engine->statistics().compactions, compactions + 3);
    };
    overwrite(false);
    EXPECT_GT(counting.streamed_out, 10);
    EXPECT_GT(counting.streamed_in, 10);
    overwrite(true);
    EXPECT_EQ(counting.streamed_out, 0);
    EXPECT_EQ(counting.streamed_in, 0);
    overwrite(false);
    EXPECT_GT(counting.streamed_out, 10) << "they have gone";
    EXPECT_TRUE(engine->close().ok());
    engine.reset();
    workers.drop_all();
}

TEST_F(LsmEngineTest, WritesStallInsteadOfWaitingAndGoOnAfterTheFlush) {
    WriteBatch batch;
    batch.put("a", std::string(3000, 'x'));
    absl::Status status;
    int written = 0;
    for (; status.ok() && written < 100; ++written) {
        status = engine->write(batch);
    }
    EXPECT_TRUE(absl::IsUnavailable(status));
    EXPECT_THAT(std::string(status.message()), HasSubstr("stalled"));
    EXPECT_LT(written, 12);
    EXPECT_TRUE(engine->background_error().ok());
    workers.run_one();
    EXPECT_TRUE(engine->write(batch).ok());
}

TEST_F(LsmEngineTest, OldVersionsAndRemovedKeysLeaveTheDisk) {
    for (int round = 0; round < 20; ++round) {
        fill(0, 200, static_cast<char>('a' + round));
        workers.run_all();
    }
    const uint64_t one_copy = 200 * 110;
    EXPECT_GT(engine->statistics().compactions, 0u);
    EXPECT_LT(engine->statistics().disk_bytes, 4 * one_copy);
    for (int i = 0; i < 200; ++i) {
        WriteBatch batch;
        batch.remove(fmt::format("key{:06}", i));
        ASSERT_TRUE(write_patiently(*engine, workers, batch).ok());
    }
    for (int i = 0; i < 40; ++i) {
        fill(1000, 40);
        workers.run_all();
    }
    EXPECT_EQ(read(*engine, "key000007"), "(none)");
    EXPECT_LT(engine->statistics().disk_bytes, 3 * one_copy);
    EXPECT_EQ(contents(*engine)->size(), 40u);
}

TEST_F(LsmEngineTest, ASnapshotSurvivesFlushesAndCompactions) {
    fill(0, 50, 'a');
    auto snapshot = engine->snapshot();
    fill(0, 50, 'b');
    for (int i = 0; i < 50; i += 2) {
        ASSERT_TRUE(remove(*engine, fmt::format("key{:06}", i)).ok());
    }
    for (int round = 0; round < 5; ++round) {
        fill(0, 200, 'c');
        workers.run_all();
    }
    for (int i = 0; i < 50; ++i) {
        EXPECT_EQ(read(*engine, fmt::format("key{:06}", i), snapshot.get()), std::string(100, 'a'));
    }
    EXPECT_EQ(contents(*engine, {.lower = "", .upper = "", .snapshot = snapshot.get()})->size(),
              50u);
    snapshot.reset();
    fill(0, 400, 'd');
    workers.run_all();
    EXPECT_EQ(read(*engine, "key000001"), std::string(100, 'd'));
}

TEST_F(LsmEngineTest, AnIteratorPinsTheTablesItReads) {
    fill(0, 100, 'a');
    workers.run_all();
    auto iterator = engine->new_iterator();
    iterator->seek_to_first();
    for (int round = 0; round < 5; ++round) {
        fill(0, 100, 'b');
        workers.run_all();
    }
    const size_t pinned = count_files(".table");
    for (int i = 0; i < 100; ++i) {
        ASSERT_TRUE(iterator->valid()) << i << " " << iterator->status();
        EXPECT_EQ(iterator->key(), fmt::format("key{:06}", i));
        EXPECT_EQ(iterator->value(), std::string(100, 'a'));
        iterator->next();
    }
    EXPECT_FALSE(iterator->valid());
    EXPECT_TRUE(iterator->status().ok());
    iterator.reset();
    fill(0, 100, 'c');
    workers.run_all();
    EXPECT_LT(count_files(".table"), pinned);
}

TEST_F(LsmEngineTest, JobsThatRunAfterTheCloseDoNothing) {
    fill(0, 60);
    ASSERT_GT(workers.size(), 0u);
    ASSERT_TRUE(engine->close().ok());
    engine.reset();
    workers.run_all();
    open();
    EXPECT_EQ(contents(*engine)->size(), 60u);
}

TEST_F(LsmEngineTest, ARestartRemovesOrphansAndKeepsNoOldFiles) {
    fill(0, 300);
    workers.run_all();
    (*files.create("/data/900000.table")).reset();
    (*files.create("/data/CURRENT.tmp")).reset();
    reopen();
    EXPECT_FALSE(*files.exists("/data/900000.table"));
    EXPECT_FALSE(*files.exists("/data/CURRENT.tmp"));
    EXPECT_EQ(count_files(".log"), 1u);
    fill(0, 1);
    EXPECT_EQ(contents(*engine)->size(), 300u);
}

TEST_F(LsmEngineTest, AFailedSyncMakesTheEngineReadOnlyUntilItIsReopened) {
    ASSERT_TRUE(put(*engine, "a", "1").ok());
    ASSERT_TRUE(engine->sync().ok());
    ASSERT_TRUE(put(*engine, "b", "2").ok());
    files.faults().fail_next(env::FileOperation::sync);
    EXPECT_FALSE(engine->sync().ok());
    // The disk is well again, but nobody knows what it holds.
    const absl::Status refused = put(*engine, "c", "3");
    EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
    EXPECT_EQ(base::reason_of(refused), base::reason::read_only);
    EXPECT_FALSE(engine->sync().ok());
    EXPECT_FALSE(engine->background_error().ok());
    EXPECT_EQ(read(*engine, "a"), "1");
    EXPECT_EQ(read(*engine, "b"), "2");
    EXPECT_EQ(contents(*engine)->size(), 2u);
    EXPECT_FALSE(engine->close().ok());
    engine.reset();
    open();
    EXPECT_EQ(read(*engine, "a"), "1");
    EXPECT_TRUE(put(*engine, "c", "3").ok());
    EXPECT_TRUE(engine->sync().ok());
}

TEST_F(LsmEngineTest, AWriteThatTheLogCannotPassOnIsAppliedAndTheNextSyncFails) {
    ASSERT_TRUE(put(*engine, "a", "1").ok());
    ASSERT_TRUE(engine->sync().ok());
    // So many bytes that the log hands them to its file at once.
    const std::string large(300 << 10, 'x');
    files.faults().fail_next(env::FileOperation::write);
    EXPECT_TRUE(put(*engine, "large", large).ok()) << "it is visible, so it was not refused";
    EXPECT_EQ(read(*engine, "large"), large);
    EXPECT_FALSE(engine->background_error().ok());
    EXPECT_FALSE(engine->sync().ok());
    const absl::Status refused = put(*engine, "c", "3");
    EXPECT_EQ(base::reason_of(refused), base::reason::read_only) << refused;
    EXPECT_EQ(read(*engine, "c"), "(none)");
}

TEST_F(LsmEngineTest, WhicheverOperationFailsAWriteIsVisibleExactlyWhenItIsOk) {
    // Memtables that hold more than the log keeps to itself.
    options.memory_bytes_max = 4 * (size_t{400} << 10);
    bool untouched = false;
    for (uint64_t n = 1; !untouched; ++n) {
        SCOPED_TRACE(n);
        ASSERT_LT(n, 1000u);
        directory = fmt::format("/data{}", n);
        engine.reset();
        open();
        Model model;
        files.faults().fail_nth(n);
        const uint64_t before = files.faults().operation_count();
        for (int i = 0; i < 12; ++i) {
            const std::string key = fmt::format("key{}", i);
            const std::string value(size_t{50} << 10, static_cast<char>('a' + i));
            if (write_value_patiently(key, value).ok()) {
                model[key] = value;
            }
            if (i == 7) {
                engine->sync().IgnoreError();
            }
            // The failing operation may be a read of this very look.
            auto found = contents(*engine);
            if (!found.ok()) {
                found = contents(*engine);
            }
            ASSERT_TRUE(found.ok()) << found.status();
            ASSERT_TRUE(*found == model) << "after write " << i;
        }
        untouched = files.faults().operation_count() - before < n;
    }
    EXPECT_TRUE(engine->background_error().ok());
}

TEST_F(LsmEngineTest, AFailedFlushMakesTheEngineReadOnlyAndNamesTheFirstError) {
    fill(0, 45);
    files.faults().fail_next(env::FileOperation::sync);
    workers.run_one();
    const absl::Status error = engine->background_error();
    ASSERT_FALSE(error.ok());
    EXPECT_THAT(std::string(error.message()), HasSubstr("/data/"));
    const absl::Status refused = put(*engine, "c", "3");
    EXPECT_TRUE(absl::IsFailedPrecondition(refused));
    EXPECT_THAT(std::string(refused.message()), HasSubstr(std::string(error.message())));
    EXPECT_EQ(contents(*engine)->size(), 45u);
}

TEST_F(LsmEngineTest, AFullDiskRefusesWritesUntilThereIsSpaceAgain) {
    ASSERT_TRUE(put(*engine, "before", "1").ok());
    ASSERT_TRUE(engine->sync().ok());
    files.set_capacity(files.used_bytes());
    absl::Status status;
    int accepted = 0;
    for (; status.ok() && accepted < 1000; ++accepted) {
        status = put(*engine, fmt::format("full{:04}", accepted), std::string(500, 'x'));
        if (status.ok()) {
            status = engine->sync();
        }
        workers.run_all();
    }
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    EXPECT_EQ(base::reason_of(status), base::reason::disk_full);
    const absl::Status refused = put(*engine, "refused", "x");
    EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
    EXPECT_EQ(read(*engine, "refused"), "(none)");
    EXPECT_EQ(read(*engine, "before"), "1");
    EXPECT_TRUE(engine->background_error().ok());

    files.set_capacity(uint64_t{1} << 30);
    ASSERT_TRUE(put(*engine, "after", "2").ok());
    ASSERT_TRUE(engine->sync().ok());
    fill(0, 100);
    workers.run_all();
    ASSERT_TRUE(engine->sync().ok());
    engine.reset();
    env::SimRandom random(1);
    files.crash(env::CrashMode::lost, random);
    open();
    EXPECT_EQ(read(*engine, "before"), "1");
    EXPECT_EQ(read(*engine, "after"), "2");
    EXPECT_EQ(read(*engine, "full0000"), std::string(500, 'x'));
    EXPECT_EQ(read(*engine, "key000099"), std::string(100, 'v'));
}

TEST_F(LsmEngineTest, ADiskTooFullToFlushHealsToo) {
    fill(0, 45);
    files.set_capacity(files.used_bytes() + 100);
    workers.run_all();
    EXPECT_TRUE(engine->background_error().ok());
    absl::Status status;
    for (int i = 0; i < 1000 && status.ok(); ++i) {
        status = put(*engine, fmt::format("full{:04}", i), std::string(100, 'x'));
        workers.run_all();
    }
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    files.set_capacity(uint64_t{1} << 30);
    // The first write asks for the flush, the next finds room.
    EXPECT_TRUE(absl::IsResourceExhausted(put(*engine, "again", "x")));
    workers.run_all();
    EXPECT_TRUE(put(*engine, "again", "x").ok());
    EXPECT_GE(engine->statistics().flushes, 1u);
    EXPECT_EQ(read(*engine, "key000044"), std::string(100, 'v'));
}

TEST_F(LsmEngineTest, SyncsAreSharedWhenNothingIsNew) {
    ASSERT_TRUE(put(*engine, "a", "1").ok());
    ASSERT_TRUE(engine->sync().ok());
    const uint64_t syncs = engine->statistics().syncs;
    EXPECT_TRUE(engine->sync().ok());
    EXPECT_EQ(engine->statistics().syncs, syncs);
}

TEST_F(LsmEngineTest, WhatWasFlushedNeedsNoLog) {
    fill(0, 300);
    workers.run_all();
    EXPECT_LT(engine->statistics().log_bytes, 3 * 4096u + 1000);
    EXPECT_LE(count_files(".log"), 3u) << "one that is written, one that may wait, one to recycle";
    EXPECT_GT(engine->statistics().flushes, 3u);
}

TEST_F(LsmEngineTest, ADiskThatIsFullOnlyInASyncIsAFailedSync) {
    ASSERT_TRUE(put(*engine, "a", "1").ok());
    files.faults().set_hook([](env::FileOperation operation, const std::string& path) {
        return operation == env::FileOperation::sync
                   ? absl::ResourceExhaustedError(path + ": no space")
                   : absl::OkStatus();
    });
    EXPECT_FALSE(engine->sync().ok());
    files.faults().set_hook(nullptr);
    EXPECT_FALSE(engine->background_error().ok());
    EXPECT_TRUE(absl::IsFailedPrecondition(put(*engine, "b", "2")));
    EXPECT_EQ(read(*engine, "a"), "1");
}

TEST_F(LsmEngineTest, OptionsThatMakeNoSenseAreRefused) {
    ASSERT_TRUE(engine->close().ok());
    engine.reset();
    EngineOptions wrong = options;
    wrong.memory_bytes_max = 100;
    EXPECT_TRUE(
        absl::IsInvalidArgument(open_engine("/data", wrong, environment(files, workers)).status()));
    wrong = options;
    wrong.block_bytes = 1;
    EXPECT_TRUE(
        absl::IsInvalidArgument(open_engine("/data", wrong, environment(files, workers)).status()));
    wrong = options;
    wrong.level_0_tables_stall = wrong.level_0_tables_compact;
    EXPECT_TRUE(
        absl::IsInvalidArgument(open_engine("/data", wrong, environment(files, workers)).status()));
    open();
}

TEST_F(LsmEngineTest, OtherOptionsReadTheSameData) {
    fill(0, 300);
    workers.run_all();
    ASSERT_TRUE(engine->close().ok());
    engine.reset();
    options.compression = Compression::none;
    options.filter_bits_per_key = 0;
    options.block_bytes = 4096;
    open();
    EXPECT_EQ(contents(*engine)->size(), 300u);
    fill(300, 300);
    workers.run_all();
    options.compression = Compression::lz4;
    reopen();
    EXPECT_EQ(contents(*engine)->size(), 600u);
}

TEST_F(LsmEngineTest, AWriterThatPausesWhenPressureRisesMeetsNoRefusal) {
    bool rose = false;
    for (int i = 0; i < 3000; ++i) {
        while (engine->write_pressure() != WritePressure::none) {
            rose = true;
            ASSERT_TRUE(workers.run_one());
        }
        const absl::Status status =
            put(*engine, fmt::format("key{:06}", i * 7919 % 3000), std::string(100, 'v'));
        ASSERT_TRUE(status.ok()) << status;
    }
    EXPECT_TRUE(rose);
    EXPECT_EQ(engine->statistics().stalls, 0u);
}

TEST_F(LsmEngineTest, PressureRisesBeforeWritesAreRefused) {
    std::vector<WritePressure> seen = {engine->write_pressure()};
    for (int i = 0; put(*engine, fmt::format("key{:06}", i), std::string(100, 'v')).ok(); ++i) {
        if (seen.back() != engine->write_pressure()) {
            seen.push_back(engine->write_pressure());
        }
    }
    EXPECT_EQ(seen,
              (std::vector{WritePressure::none, WritePressure::rising, WritePressure::refusing}));
}

class LsmTimeTest : public LsmEngineTest {
  protected:
    void open_with_clock() {
        engine.reset();
        auto opened =
            open_engine(directory,
                        options,
                        {.files = files, .workers = workers, .clock = clock, .wall_clock = clock});
        ASSERT_TRUE(opened.ok()) << opened.status();
        engine = *std::move(opened);
    }

    ManualClock clock;
};

TEST_F(LsmTimeTest, AStallLastsFromTheFirstRefusalToTheNextAcceptedWrite) {
    open_with_clock();
    int refusals = 0;
    for (int i = 0; refusals < 3; ++i) {
        const bool taken = put(*engine, fmt::format("key{:06}", i), std::string(100, 'v')).ok();
        refusals += taken ? 0 : 1;
        clock.advance(taken ? std::chrono::hours(1) : std::chrono::seconds(2));
    }
    workers.run_all();
    ASSERT_TRUE(put(*engine, "key", "value").ok());
    EXPECT_EQ(engine->statistics().stalls, 3u);
    EXPECT_EQ(engine->statistics().stall_time, std::chrono::seconds(6));
}

TEST_F(LsmTimeTest, ARateLimitPutsCompactionsOffUntilWhatWasDoneIsPaidFor) {
    options.compaction_bytes_per_second = 1;
    open_with_clock();
    // Keys all over, so that nothing is moved only.
    const auto write_some = [&](int count) {
        for (int i = 0; i < count; ++i) {
            ASSERT_TRUE(write_value_patiently(fmt::format("key{:06}", i * 7919 % 5000),
                                              std::string(100, 'v'))
                            .ok());
            workers.run_all();
        }
    };
    const auto pass = [&](base::Duration time) {
        clock.advance(time);
        workers.pass(time);
        workers.run_all();
    };
    while (engine->statistics().compactions == 0) {
        write_some(10);
        if (const auto delay = workers.next_delay()) {
            pass(*delay);
        }
    }
    const uint64_t before = engine->statistics().compactions;
    const uint64_t flushes = engine->statistics().flushes;
    while (engine->statistics().flushes < flushes + 6) {
        write_some(10);
    }
    EXPECT_EQ(engine->statistics().compactions, before);
    // In steps of several hours each, and without a write.
    for (int step = 0; step < 100 && engine->statistics().compactions == before; ++step) {
        ASSERT_TRUE(workers.next_delay().has_value());
        pass(*workers.next_delay());
    }
    EXPECT_GT(engine->statistics().compactions, before);
    // Never so late that writes are refused.
    write_some(3000);
    EXPECT_EQ(engine->statistics().stalls, 0u);
}

class LsmPaceTest : public LsmTimeTest {
  protected:
    static constexpr uint64_t bytes_per_second = 160 << 10;

    LsmPaceTest() {
        options.memory_bytes_max = 256 << 10;
        options.table_bytes = 16 << 10;
        options.level_bytes_base = 1 << 20;
        options.compression = Compression::none;
        options.compaction_bytes_per_second = bytes_per_second;
        open_with_clock();
    }
    // Keys all over, so that nothing is moved only.
    void write_one() {
        ASSERT_TRUE(write_value_patiently(key(written), std::string(100, 'v')).ok());
        ++written;
        workers.run_all();
    }
    void write_until_a_compaction_waits() {
        while (!workers.next_delay().has_value()) {
            ASSERT_NO_FATAL_FAILURE(write_one());
        }
    }
    void write_until_a_flush() {
        const uint64_t flushes = engine->statistics().flushes;
        while (engine->statistics().flushes == flushes) {
            ASSERT_NO_FATAL_FAILURE(write_one());
        }
    }
    void pass(base::Duration time) {
        clock.advance(time);
        workers.pass(time);
        workers.run_all();
    }
    static std::string key(int i) { return fmt::format("key{:06}", i * 7919 % 100000); }
    void expect_all_there() {
        const auto found = contents(*engine);
        ASSERT_TRUE(found.ok()) << found.status();
        EXPECT_EQ(found->size(), static_cast<size_t>(written));
    }

    int written = 0;
};

TEST_F(LsmPaceTest, ACompactionIsSpreadOverTheTimeThatItsBytesTake) {
    ASSERT_NO_FATAL_FAILURE(write_until_a_compaction_waits());
    const base::MonotonicTime begin = clock.now();
    base::Duration longest{0};
    int steps = 0;
    while (engine->statistics().compactions == 0) {
        ASSERT_TRUE(workers.next_delay().has_value());
        longest = std::max(longest, *workers.next_delay());
        pass(*workers.next_delay());
        // Flushes go on meanwhile, while the clock stands still.
        if (++steps == 10) {
            ASSERT_NO_FATAL_FAILURE(write_until_a_flush());
            EXPECT_EQ(engine->statistics().compactions, 0u);
        }
    }
    const EngineStatistics statistics = engine->statistics();
    const uint64_t bytes =
        statistics.levels.back().read_bytes + statistics.levels.back().written_bytes;
    const double expected = static_cast<double>(bytes) / bytes_per_second;
    const double took = std::chrono::duration<double>(clock.now() - begin).count();
    EXPECT_NEAR(took, expected, expected / 10);
    EXPECT_LT(std::chrono::duration<double>(longest).count(), expected / 10);
    EXPECT_GT(steps, 20);
    ASSERT_NO_FATAL_FAILURE(expect_all_there());
}

TEST_F(LsmPaceTest, ACompactionThatWaitsGoesOnAtOnceWhenWritersWouldHaveToWaitForIt) {
    ASSERT_NO_FATAL_FAILURE(write_until_a_compaction_waits());
    while (engine->statistics().compactions == 0) {
        ASSERT_NO_FATAL_FAILURE(write_one());
        ASSERT_LT(engine->statistics().levels[0].tables, options.level_0_tables_stall);
    }
    EXPECT_EQ(engine->statistics().stalls, 0u);
    // Its delayed job comes late, and does nothing twice.
    pass(std::chrono::hours(1));
    ASSERT_NO_FATAL_FAILURE(expect_all_there());
}

TEST_F(LsmPaceTest, CompactingEverythingDoesNotWait) {
    ASSERT_NO_FATAL_FAILURE(write_until_a_compaction_waits());
    ASSERT_TRUE(engine->compact().ok());
    EXPECT_EQ(engine->statistics().levels[0].tables, 0u);
    EXPECT_EQ(count_files(".table"), engine->statistics().levels.back().tables);
    pass(std::chrono::hours(1));
    ASSERT_NO_FATAL_FAILURE(expect_all_there());
}

TEST_F(LsmPaceTest, ClosingGivesUpACompactionThatWaitsAndLeavesNoneOfItsTables) {
    ASSERT_NO_FATAL_FAILURE(write_until_a_compaction_waits());
    for (int i = 0; i < 10; ++i) {
        pass(*workers.next_delay());
    }
    const size_t tables = engine->statistics().levels[0].tables;
    EXPECT_GT(count_files(".table"), tables);
    ASSERT_TRUE(engine->close().ok());
    // close() flushes what memory holds.
    EXPECT_EQ(count_files(".table"), tables + 1);
    pass(std::chrono::hours(1));
    open_with_clock();
    ASSERT_NO_FATAL_FAILURE(expect_all_there());
}

TEST_F(LsmPaceTest, ACrashWhileACompactionWaitsLosesNothing) {
    ASSERT_NO_FATAL_FAILURE(write_until_a_compaction_waits());
    for (int i = 0; i < 10; ++i) {
        pass(*workers.next_delay());
    }
    ASSERT_TRUE(engine->sync().ok());
    const auto disk = files.clone_after_crash();
    QueueWorkers idle;
    const auto opened = open_engine(
        directory, options, {.files = *disk, .workers = idle, .clock = clock, .wall_clock = clock});
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(contents(**opened)->size(), static_cast<size_t>(written));
}

TEST_F(LsmEngineTest, KeysInAscendingOrderAreMovedDownWithoutBeingWrittenAgain) {
    options.level_bytes_base = 1 << 20;
    reopen();
    fill(0, 2000);
    workers.run_all();
    const EngineStatistics statistics = engine->statistics();
    EXPECT_GT(statistics.levels.back().tables, 0u);
    EXPECT_EQ(statistics.levels.back().written_bytes, 0u);
    EXPECT_LT(statistics.levels[0].tables, options.level_0_tables_compact);
    EXPECT_EQ(contents(*engine)->size(), 2000u);
    EXPECT_EQ(read(*engine, "key000777"), std::string(100, 'v'));
}

TEST_F(LsmEngineTest, WhatWasWrittenIsCountedWhereItGoes) {
    for (int round = 0; round < 10; ++round) {
        fill(0, 300, static_cast<char>('a' + round));
        workers.run_all();
    }
    const EngineStatistics statistics = engine->statistics();
    EXPECT_EQ(statistics.user_written_bytes, 10u * 300 * (9 + 100));
    EXPECT_GT(statistics.levels[0].written_bytes, 0u);
    EXPECT_GT(statistics.levels.back().written_bytes, 0u);
    EXPECT_GT(statistics.levels.back().read_bytes, 0u);
    uint64_t tables = 0;
    for (const LevelStatistics& level : statistics.levels) {
        tables += level.written_bytes;
    }
    EXPECT_GT(statistics.disk_written_bytes, tables);
    EXPECT_GE(statistics.disk_bytes, statistics.levels[0].bytes + statistics.levels.back().bytes);
}

TEST_F(LsmEngineTest, CompressionMayChangeWithEachStart) {
    const Compression kinds[] = {
        Compression::none, Compression::lz4, Compression::zstd, Compression::none};
    int next = 0;
    for (const Compression upper : kinds) {
        for (const Compression deepest : kinds) {
            options.compression = upper;
            options.deepest_compression = deepest;
            reopen();
            fill(next, 120);
            next += 60;
            workers.run_all();
        }
    }
    EXPECT_EQ(contents(*engine)->size(), static_cast<size_t>(next + 60));
    reopen();
    EXPECT_EQ(contents(*engine)->size(), static_cast<size_t>(next + 60));
}

TEST_F(LsmEngineTest, TheDeepestLevelHasItsOwnCompression) {
    const auto table_bytes = [&] {
        uint64_t bytes = 0;
        for (const LevelStatistics& level : engine->statistics().levels) {
            bytes += level.bytes;
        }
        return bytes;
    };
    options.compression = Compression::none;
    options.block_bytes = 4096;
    reopen();
    fill(0, 500);
    ASSERT_TRUE(engine->compact().ok());
    const uint64_t plain = table_bytes();
    options.deepest_compression = Compression::zstd;
    reopen();
    ASSERT_TRUE(engine->compact().ok());
    EXPECT_LT(table_bytes(), plain / 2);
    EXPECT_EQ(contents(*engine)->size(), 500u);
}

}  // namespace
}  // namespace starling::storage
