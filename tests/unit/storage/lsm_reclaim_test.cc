// Space that comes back: removed ranges, expired values, compaction on demand; and checkpoints.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "storage/lsm/manifest.h"
#include "storage/lsm/range_removals.h"
#include "storage/lsm/reclaim.h"
#include "tests/unit/storage/test_support.h"

namespace starling::storage {
namespace {

using lsm::RangeRemoval;
using lsm::RangeRemovals;
using std::chrono::milliseconds;
using testing::IsEmpty;
using testing::Not;

IteratorOptions at(const Snapshot* snapshot) {
    IteratorOptions options;
    options.snapshot = snapshot;
    return options;
}

IteratorOptions with_expired(std::string upper = {}) {
    IteratorOptions options;
    options.upper = std::move(upper);
    options.include_expired = true;
    return options;
}

// ---- range removals

RC_GTEST_PROP(RangeRemovalsTest, TheFirstRemovalAfterASequenceIsFoundLikeByLookingAtAll, ()) {
    std::vector<RangeRemoval> removals;
    const auto count = *rc::gen::inRange(0, 8);
    const auto key = [] { return std::string(1, static_cast<char>(*rc::gen::inRange('a', 'h'))); };
    for (int i = 0; i < count; ++i) {
        removals.push_back({.begin = key(),
                            .end = *rc::gen::inRange(0, 4) == 0 ? std::string() : key(),
                            .sequence = static_cast<Sequence>(i * 2 + 2)});
    }
    const RangeRemovals found(removals);
    for (char letter = 'a'; letter < 'h'; ++letter) {
        for (Sequence sequence = 0; sequence < 20; ++sequence) {
            Sequence expected = 0;
            for (const RangeRemoval& removal : removals) {
                if (expected == 0 && removal.sequence > sequence &&
                    removal.covers(std::string(1, letter))) {
                    expected = removal.sequence;
                }
            }
            RC_ASSERT(found.first_after(std::string(1, letter), sequence) == expected);
        }
    }
}

class LsmReclaimTest : public testing::Test {
  protected:
    LsmReclaimTest() { open(); }

    EngineEnvironment surroundings(env::FileSystem& disk) {
        return {.files = disk, .workers = workers, .clock = clock, .wall_clock = clock};
    }
    void open() {
        auto opened = open_engine("/data", options, surroundings(files));
        ASSERT_TRUE(opened.ok()) << opened.status();
        engine = *std::move(opened);
    }
    void reopen() {
        ASSERT_TRUE(engine->close().ok());
        engine.reset();
        open();
    }
    void write(const WriteBatch& batch) {
        const absl::Status status = write_patiently(*engine, workers, batch);
        ASSERT_TRUE(status.ok()) << status;
    }
    void fill(int first, int count, std::optional<base::WallTime> expiry = std::nullopt) {
        for (int i = first; i < first + count; ++i) {
            WriteBatch batch;
            const std::string key = fmt::format("key{:06}", i);
            const std::string value = fmt::format("{}", i) + std::string(100, 'v');
            if (expiry.has_value()) {
                batch.put(key, value, *expiry);
            } else {
                batch.put(key, value);
            }
            write(batch);
        }
        workers.run_all();
    }
    void remove_keys(int first, int count) {
        for (int i = first; i < first + count; ++i) {
            WriteBatch batch;
            batch.remove(fmt::format("key{:06}", i));
            write(batch);
        }
        workers.run_all();
    }
    // So many minutes.
    void while_quiet(int calls) {
        for (int i = 0; i < calls; ++i) {
            engine->reclaim_while_quiet();
            workers.run_all();
        }
    }
    void remove_range(std::string_view begin, std::string_view end) {
        WriteBatch batch;
        batch.remove_range(begin, end);
        write(batch);
    }
    uint64_t table_bytes() {
        uint64_t bytes = 0;
        const std::vector<std::string> names = *files.list("/data");
        for (const std::string& name : names) {
            if (name.ends_with(".table")) {
                bytes += *files.file_size("/data/" + name);
            }
        }
        return bytes;
    }
    const lsm::Version& manifest_version() {
        state = **lsm::read_manifest(files, "/data");
        return *state.version;
    }

    EngineOptions options = small_options();
    env::SimFileSystem files;
    QueueWorkers workers;
    ManualClock clock;
    std::unique_ptr<Engine> engine;
    lsm::ManifestState state;
};

TEST_F(LsmReclaimTest, ARemovedRangeIsGoneAtOnceAndItsSpaceComesBackWithoutBeingAsked) {
    fill(0, 400);
    remove_range("key000100", "key000300");
    EXPECT_EQ(read(*engine, "key000100"), "(none)");
    EXPECT_NE(read(*engine, "key000099"), "(none)");
    EXPECT_NE(read(*engine, "key000300"), "(none)");
    EXPECT_EQ(contents(*engine)->size(), 200u);
    const uint64_t before = table_bytes();
    reopen();
    workers.run_all();
    EXPECT_EQ(contents(*engine)->size(), 200u);
    EXPECT_LT(table_bytes(), before * 6 / 10);
    EXPECT_THAT(manifest_version().range_removals().list(), IsEmpty())
        << "no table holds an older entry of the range";
}

TEST_F(LsmReclaimTest, WhatIsWrittenIntoARemovedRangeAfterwardsStays) {
    fill(0, 200);
    remove_range("key", "key9");
    fill(50, 10);
    EXPECT_EQ(contents(*engine)->size(), 10u);
    reopen();
    workers.run_all();
    EXPECT_EQ(contents(*engine)->size(), 10u);
    remove_range("", "");
    EXPECT_THAT(*contents(*engine), IsEmpty());
}

TEST_F(LsmReclaimTest, ASnapshotFromBeforeKeepsSeeingTheRangeAndPinsIt) {
    fill(0, 200);
    auto snapshot = engine->snapshot();
    remove_range("key000050", "key000150");
    fill(1000, 200);
    ASSERT_TRUE(engine->compact().ok());
    EXPECT_EQ(contents(*engine, at(snapshot.get()))->size(), 200u);
    EXPECT_EQ(contents(*engine)->size(), 300u);
    EXPECT_THAT(manifest_version().range_removals().list(), Not(IsEmpty()));
    snapshot.reset();
    ASSERT_TRUE(engine->compact().ok());
    workers.run_all();
    EXPECT_EQ(contents(*engine)->size(), 300u);
    EXPECT_THAT(manifest_version().range_removals().list(), IsEmpty());
}

TEST_F(LsmReclaimTest, AnIteratorGoesOnWithTheStateItBeganWith) {
    fill(0, 100);
    const auto iterator = engine->new_iterator();
    iterator->seek_to_first();
    remove_range("", "");
    ASSERT_TRUE(engine->compact().ok());
    int count = 0;
    for (; iterator->valid(); iterator->next()) {
        ++count;
    }
    ASSERT_TRUE(iterator->status().ok()) << iterator->status();
    EXPECT_EQ(count, 100);
}

// What the log alone knows may be lost; a compaction must not have acted on it.
TEST_F(LsmReclaimTest, ARangeRemovalThatPowerLossTakesBackHasRemovedNothing) {
    fill(0, 200);
    ASSERT_TRUE(engine->sync().ok());
    remove_range("", "");
    workers.run_all();
    engine.reset();
    workers.drop_all();
    env::SimRandom random(1);
    files.crash(env::CrashMode::lost, random);
    open();
    EXPECT_EQ(contents(*engine)->size(), 200u);
}

TEST_F(LsmReclaimTest, RangeRemovalsThatCannotGoAreRefusedBeforeReadsGetSlow) {
    fill(0, 20);
    const auto snapshot = engine->snapshot();
    absl::Status status;
    int taken = 0;
    for (; taken < 5000 && status.ok(); ++taken) {
        WriteBatch batch;
        batch.remove_range("key", fmt::format("key{:06}", taken));
        status = engine->write(batch);
        workers.run_all();
    }
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr("removed ranges"));
    EXPECT_GT(taken, 1000);
    EXPECT_TRUE(put(*engine, "other", "is taken").ok());
    EXPECT_EQ(contents(*engine, at(snapshot.get()))->size(), 20u);
}

TEST_F(LsmReclaimTest, ABatchOfTooManyRangeRemovalsIsRefused) {
    WriteBatch batch;
    for (int i = 0; i < 256; ++i) {
        batch.remove_range("a", "b");
    }
    EXPECT_TRUE(engine->write(batch).ok());
    batch.remove_range("a", "b");
    const absl::Status status = engine->write(batch);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr("257 removals of ranges"));
}

TEST_F(LsmReclaimTest, EmptyRangesFillTheLogAndSoTheMemtable) {
    for (int i = 0; i < 400; ++i) {
        WriteBatch batch;
        batch.remove_range("b" + std::string(100, 'x'), "a");
        write(batch);
        workers.run_all();
    }
    EXPECT_GT(engine->statistics().flushes, 2u);
    EXPECT_LT(engine->statistics().log_bytes, 4u * 4096);
}

// ---- removals

TEST_F(LsmReclaimTest, WhatWasRemovedIsMergedAwayWhileNobodyWrites) {
    fill(0, 400);
    ASSERT_TRUE(engine->compact().ok());
    remove_keys(0, 400);
    const uint64_t before = table_bytes();
    while_quiet(4);
    EXPECT_LT(table_bytes(), before / 20);
    EXPECT_THAT(*contents(*engine), IsEmpty());
    reopen();
    EXPECT_THAT(*contents(*engine), IsEmpty());
}

TEST_F(LsmReclaimTest, FilesThatWereReadDuringTheirMergeGoWhileNobodyWrites) {
    for (int i = 0; i < 100; ++i) {
        WriteBatch batch;
        batch.put(fmt::format("key{:03}", i), std::string(100, 'v'));
        write(batch);
    }
    ASSERT_TRUE(engine->compact().ok());
    auto iterator = engine->new_iterator();
    iterator->seek_to_first();
    ASSERT_TRUE(engine->compact().ok());
    iterator.reset();
    const size_t before = files.list("/data")->size();
    engine->reclaim_while_quiet();
    engine->reclaim_while_quiet();
    workers.run_all();
    EXPECT_LT(files.list("/data")->size(), before);
    EXPECT_EQ(contents(*engine)->size(), 100u);
}

TEST_F(LsmReclaimTest, AStartThatFindsNoRoomLeavesNothingBehind) {
    env::SimRandom random(1);
    size_t keys = 0;
    for (;; ++keys) {
        std::string value;
        // Such as does not become less in a table.
        while (value.size() < 300)
            value += static_cast<char>(random.below(256));
        if (!put(*engine, fmt::format("key{:03}", keys), value).ok()) break;
    }
    ASSERT_TRUE(engine->sync().ok());
    engine.reset();
    workers.drop_all();
    const std::vector<std::string> before = *files.list("/data");
    files.set_capacity(files.used_bytes() + 6'000);
    for (int i = 0; i < 3; ++i) {
        const auto opened = open_engine("/data", options, surroundings(files));
        EXPECT_TRUE(absl::IsResourceExhausted(opened.status())) << opened.status();
        EXPECT_EQ(*files.list("/data"), before);
    }
    files.set_capacity(uint64_t{1} << 30);
    open();
    EXPECT_EQ(contents(*engine)->size(), keys);
}

TEST_F(LsmReclaimTest, AManifestThatFindsNoRoomLeavesNothingBehind) {
    const std::vector<std::string> before = *files.list("/data");
    lsm::Manifest manifest(files, "/data");
    files.set_capacity(files.used_bytes() + 40);
    EXPECT_TRUE(absl::IsResourceExhausted(manifest.begin(77, {})));
    EXPECT_FALSE(manifest.usable());
    EXPECT_EQ(*files.list("/data"), before);
}

TEST_F(LsmReclaimTest, WhatASnapshotSeesIsNotMergedAgainAndAgain) {
    fill(0, 400);
    ASSERT_TRUE(engine->compact().ok());
    auto snapshot = engine->snapshot();
    remove_keys(0, 400);
    while_quiet(4);
    EXPECT_EQ(contents(*engine, at(snapshot.get()))->size(), 400u);
    const uint64_t compactions = engine->statistics().compactions;
    while_quiet(4);
    EXPECT_EQ(engine->statistics().compactions, compactions);
    snapshot.reset();
    while_quiet(4);
    EXPECT_GT(engine->statistics().compactions, compactions);
    EXPECT_LT(table_bytes(), 4096u);
}

TEST_F(LsmReclaimTest, WhereSomebodyWritesRemovalsWaitForOtherMerges) {
    fill(0, 400);
    ASSERT_TRUE(engine->compact().ok());
    remove_keys(0, 20);
    while_quiet(1);
    const uint64_t compactions = engine->statistics().compactions;
    const uint64_t flushes = engine->statistics().flushes;
    fill(1000, 40);
    ASSERT_GT(engine->statistics().flushes, flushes);
    while_quiet(1);
    EXPECT_EQ(engine->statistics().compactions, compactions);
}

// ---- expiry

TEST_F(LsmReclaimTest, ExpiredValuesAreHiddenAndTheirTablesGoAsAWhole) {
    const base::WallTime expiry = clock.wall_now() + milliseconds(1000);
    fill(0, 300, expiry);
    reopen();
    workers.run_all();
    EXPECT_EQ(contents(*engine)->size(), 300u);
    EXPECT_EQ((*engine->get_entry("key000007"))->expiry, base::to_unix_ms(expiry));
    clock.advance(milliseconds(999));
    EXPECT_NE(read(*engine, "key000007"), "(none)");
    clock.advance(milliseconds(1));
    EXPECT_EQ(read(*engine, "key000007"), "(none)");
    EXPECT_THAT(*contents(*engine), IsEmpty());
    EXPECT_EQ(contents(*engine, with_expired())->size(), 300u);
    const uint64_t compactions = engine->statistics().compactions;
    fill(1000, 60);
    EXPECT_EQ(contents(*engine, with_expired("key001000"))->size(), 0u);
    EXPECT_LE(engine->statistics().compactions, compactions + 2) << "nothing was rewritten for it";
}

TEST_F(LsmReclaimTest, WhatHasExpiredStaysSoWhenTheClockGoesBack) {
    fill(0, 300, clock.wall_now() + milliseconds(1000));
    const base::WallTime before = clock.wall_now();
    clock.advance(milliseconds(1000));
    EXPECT_THAT(*contents(*engine), IsEmpty());
    clock.set_wall(before);
    EXPECT_THAT(*contents(*engine), IsEmpty());
    ASSERT_TRUE(engine->compact().ok());
    reopen();
    EXPECT_THAT(*contents(*engine, with_expired()), IsEmpty());
    fill(0, 1, before + milliseconds(1000));
    EXPECT_EQ(read(*engine, "key000000"), "(none)")
        << "what was dropped as expired decides for later values too";
}

TEST_F(LsmReclaimTest, AnExpiredValueKeepsHidingAnOlderOneThroughCompactions) {
    fill(0, 50);
    ASSERT_TRUE(engine->compact().ok());
    fill(0, 50, clock.wall_now() + milliseconds(10));
    clock.advance(milliseconds(10));
    fill(100, 100);
    reopen();
    workers.run_all();
    EXPECT_EQ(contents(*engine)->size(), 100u);
    ASSERT_TRUE(engine->compact().ok());
    EXPECT_EQ(contents(*engine, with_expired())->size(), 100u);
}

TEST_F(LsmReclaimTest, APlainPutClearsTheExpiry) {
    fill(0, 1, clock.wall_now() + milliseconds(10));
    fill(0, 1);
    clock.advance(milliseconds(20));
    EXPECT_NE(read(*engine, "key000000"), "(none)");
    EXPECT_EQ((*engine->get_entry("key000000"))->expiry, never);
}

// ---- separate values

TEST_F(LsmReclaimTest, LargeValuesLieApartAndAreReadLikeOthers) {
    options.separate_value_bytes = 50;
    options.value_file_bytes = 64 << 10;
    reopen();
    fill(0, 200);
    fill(200, 50, clock.wall_now() + milliseconds(10));
    ASSERT_TRUE(put(*engine, "short", "s").ok());
    const auto snapshot = engine->snapshot();
    const Model expected = *contents(*engine);
    ASSERT_TRUE(engine->compact().ok());
    EXPECT_EQ(*contents(*engine), expected);
    EXPECT_GE(engine->statistics().value_file_bytes, 250u * 100u);
    EXPECT_LT(table_bytes(), 250u * 70u) << "keys and pointers only";
    EXPECT_TRUE(absl::IsUnavailable(engine->get_from_memory("key000007").status()));
    EXPECT_EQ(read(*engine, "key000007"), "7" + std::string(100, 'v'));
    const auto backward = engine->new_iterator();
    backward->seek_to_last();
    backward->previous();
    EXPECT_EQ(backward->value(), "249" + std::string(100, 'v'));
    clock.advance(milliseconds(10));
    EXPECT_EQ(read(*engine, "key000200"), "(none)");
    reopen();
    EXPECT_EQ(contents(*engine)->size(), 201u);
}

TEST_F(LsmReclaimTest, AValueFileThatIsMostlyGarbageGoes) {
    options.separate_value_bytes = 50;
    options.value_file_bytes = 16 << 10;
    reopen();
    fill(0, 300);
    ASSERT_TRUE(engine->compact().ok());
    const uint64_t before = engine->statistics().value_file_bytes;
    for (int i = 0; i < 300; i += 10) {
        fill(i, 7);
    }
    for (int i = 0; i < 20; ++i) {
        fill(1000 + i, 5);
    }
    ASSERT_TRUE(engine->compact().ok());
    workers.run_all();
    const EngineStatistics after = engine->statistics();
    EXPECT_LT(after.value_file_garbage_bytes * 2, after.value_file_bytes);
    EXPECT_LT(after.value_file_bytes, before * 2);
    EXPECT_EQ(contents(*engine)->size(), 324u);
    // Without the option the values come back to their keys as files are left.
    remove_range("key001000", "");
    options.separate_value_bytes = 0;
    reopen();
    workers.run_all();
    EXPECT_EQ(contents(*engine)->size(), 300u);
}

TEST_F(LsmReclaimTest, ADamagedOrMissingValueFileIsNamedAndItsValueNeverReturned) {
    options.separate_value_bytes = 50;
    reopen();
    fill(0, 20);
    ASSERT_TRUE(engine->compact().ok());
    ASSERT_TRUE(engine->close().ok());
    engine.reset();
    std::string name;
    const std::vector<std::string> names = *files.list("/data");
    for (const std::string& found : names) {
        name = found.ends_with(".values") ? found : name;
    }
    ASSERT_FALSE(name.empty());
    const uint64_t size = *files.file_size("/data/" + name);
    for (uint64_t offset = 24; offset < size; ++offset) {
        ASSERT_TRUE(files.flip_bit("/data/" + name, offset, 3).ok());
        const auto disk = files.clone();
        ASSERT_TRUE(files.flip_bit("/data/" + name, offset, 3).ok());
        auto damaged = open_engine("/data", options, surroundings(*disk));
        ASSERT_TRUE(damaged.ok()) << damaged.status();
        int lost = 0;
        for (int i = 0; i < 20; ++i) {
            const auto value = (*damaged)->get(fmt::format("key{:06}", i));
            if (value.ok()) {
                ASSERT_EQ(**value, fmt::format("{}", i) + std::string(100, 'v'));
            } else {
                ++lost;
                ASSERT_TRUE(absl::IsDataLoss(value.status())) << value.status();
                EXPECT_THAT(std::string(value.status().message()), testing::HasSubstr(name));
            }
        }
        ASSERT_EQ(lost, 1) << "offset " << offset;
    }
    ASSERT_TRUE(files.remove("/data/" + name).ok());
    const auto opened = open_engine("/data", options, surroundings(files));
    ASSERT_TRUE(absl::IsDataLoss(opened.status())) << opened.status();
    EXPECT_THAT(std::string(opened.status().message()), testing::HasSubstr(name));
}

TEST_F(LsmReclaimTest, TheHeaderOfAValueFileIsNoGarbage) {
    options.separate_value_bytes = 48;
    reopen();
    ASSERT_TRUE(put(*engine, "k", std::string(48, 'v')).ok());
    ASSERT_TRUE(engine->compact().ok());
    const uint64_t compactions = engine->statistics().compactions;
    engine->write(WriteBatch()).IgnoreError();
    reopen();
    for (int jobs = 0; workers.run_one(); ++jobs) {
        ASSERT_LT(jobs, 10) << "one live value is collected again and again";
    }
    EXPECT_LE(engine->statistics().compactions, compactions);
}

// ---- compaction on demand, sizes

TEST_F(LsmReclaimTest, CompactionOnDemandLeavesOneCopyOfEachKeyAndNoRemovals) {
    for (int round = 0; round < 5; ++round) {
        fill(0, 100);
    }
    for (int i = 0; i < 50; ++i) {
        ASSERT_TRUE(remove(*engine, fmt::format("key{:06}", i)).ok());
    }
    ASSERT_TRUE(engine->compact().ok());
    EXPECT_EQ(contents(*engine)->size(), 50u);
    uint64_t entries = 0;
    const lsm::Version& version = manifest_version();
    for (size_t level = 0; level < lsm::level_count; ++level) {
        for (const lsm::TablePtr& table : version.level(level)) {
            entries += table->entry_count;
            EXPECT_EQ(table->removal_count, 0u);
        }
    }
    EXPECT_EQ(entries, 50u);
}

TEST_F(LsmReclaimTest, TheSizeOfARangeIsAboutItsShare) {
    fill(0, 1000);
    ASSERT_TRUE(engine->compact().ok());
    const uint64_t all = engine->approximate_bytes("", "");
    EXPECT_NEAR(static_cast<double>(engine->approximate_bytes("key000250", "key000500")),
                static_cast<double>(all) / 4,
                static_cast<double>(all) / 10);
    EXPECT_EQ(engine->approximate_bytes("x", ""), 0u);
    EXPECT_EQ(engine->approximate_bytes("", "a"), 0u);
}

// ---- checkpoints

TEST_F(LsmReclaimTest, ACheckpointIsTheStateOfItsMomentAndLivesOnItsOwn) {
    fill(0, 300);
    remove_range("key000010", "key000020");
    const Model expected = *contents(*engine);
    ASSERT_TRUE(engine->checkpoint("/copy").ok());
    fill(0, 300);
    remove_range("", "");
    ASSERT_TRUE(engine->compact().ok());
    EXPECT_TRUE(absl::IsAlreadyExists(engine->checkpoint("/copy")));
    env::SimRandom random(1);
    files.crash(env::CrashMode::lost, random);
    auto copy = open_engine("/copy", options, surroundings(files));
    ASSERT_TRUE(copy.ok()) << copy.status();
    EXPECT_EQ(*contents(**copy), expected);
    ASSERT_TRUE(put(**copy, "more", "1").ok());
    ASSERT_TRUE((*copy)->close().ok());
}

TEST_F(LsmReclaimTest, ACheckpointThatFailsAnywhereLeavesNothingAndHarmsNothing) {
    fill(0, 60);
    for (uint64_t n = 1;; ++n) {
        const uint64_t before = files.faults().operation_count();
        files.faults().fail_nth(n);
        const absl::Status status = engine->checkpoint("/copy");
        const bool untouched = files.faults().operation_count() - before < n;
        files.faults().clear();
        ASSERT_LT(n, 1000u);
        if (untouched) {
            ASSERT_TRUE(status.ok()) << status;
            break;
        }
        if (status.ok()) {
            // What failed was no more than a hint.
            const std::vector<std::string> names = *files.list("/copy");
            for (const std::string& name : names) {
                ASSERT_TRUE(files.remove("/copy/" + name).ok());
            }
            ASSERT_TRUE(files.remove("/copy").ok());
            continue;
        }
        if (!engine->background_error().ok()) {
            engine.reset();
            workers.drop_all();
            open();
        }
        EXPECT_FALSE(*files.exists("/copy")) << n;
        EXPECT_EQ(contents(*engine)->size(), 60u);
    }
    auto copy = open_engine("/copy", options, surroundings(files));
    ASSERT_TRUE(copy.ok()) << copy.status();
    EXPECT_EQ(*contents(**copy), *contents(*engine));
}

// ---- conditional batches

TEST_F(LsmReclaimTest, AConditionIsJudgedByWhatTheKeyHoldsWhereverThatLies) {
    fill(0, 200);
    reopen();
    const std::string value = "7" + std::string(100, 'v');
    WriteBatch batch;
    batch.put("key000007", "new");
    const auto write_if = [&](const std::string& key, std::optional<std::string> expected) {
        const Condition condition{.key = key, .expected = std::move(expected)};
        return engine->write_if({&condition, 1}, batch);
    };
    EXPECT_TRUE(absl::IsAborted(write_if("key000007", std::nullopt)));
    EXPECT_TRUE(absl::IsAborted(write_if("key000007", "other")));
    EXPECT_TRUE(absl::IsAborted(write_if("missing", "")));
    EXPECT_EQ(read(*engine, "key000007"), value);
    EXPECT_TRUE(write_if("key000007", value).ok());
    EXPECT_EQ(read(*engine, "key000007"), "new");
    EXPECT_TRUE(write_if("missing", std::nullopt).ok());
    remove_range("key000007", "key000008");
    EXPECT_TRUE(write_if("key000007", std::nullopt).ok());
}

// ---- everything together

struct Written {
    std::string value;
    Expiry expiry = never;
};

RC_GTEST_PROP(LsmReclaimModelTest, RandomHistoriesMatchAMap, ()) {
    env::SimFileSystem files;
    QueueWorkers workers;
    ManualClock clock;
    EngineOptions options = small_options();
    options.separate_value_bytes = *rc::gen::element<uint64_t>(0, 50);
    options.value_file_bytes = 1024;
    const EngineEnvironment surroundings{
        .files = files, .workers = workers, .clock = clock, .wall_clock = clock};
    auto engine = *open_engine("/data", options, surroundings);
    std::map<std::string, Written> model;
    struct Held {
        std::unique_ptr<Snapshot> snapshot;
        std::map<std::string, Written> model;
    };
    std::vector<Held> held;
    const auto key = [] { return fmt::format("key{:02}", *rc::gen::inRange(0, 40)); };
    const auto check = [&](const std::map<std::string, Written>& expected,
                           const Snapshot* snapshot) {
        const Expiry now = base::to_unix_ms(clock.wall_now());
        Model visible;
        for (const auto& [name, written] : expected) {
            if (written.expiry == never || written.expiry > now) {
                visible[name] = written.value;
            }
        }
        const auto found = contents(*engine, at(snapshot));
        RC_ASSERT(found.ok());
        RC_ASSERT(*found == visible);
        const auto backward = engine->new_iterator(at(snapshot));
        auto expectation = visible.rbegin();
        for (backward->seek_to_last(); backward->valid(); backward->previous(), ++expectation) {
            RC_ASSERT(expectation != visible.rend());
            RC_ASSERT(backward->key() == expectation->first);
            RC_ASSERT(backward->value() == expectation->second);
        }
        RC_ASSERT(expectation == visible.rend());
        const std::string one = key();
        const auto got = engine->get(one, snapshot);
        RC_ASSERT(got.ok());
        RC_ASSERT(got->has_value() == visible.contains(one));
    };
    const int steps = *rc::gen::inRange(1, 120);
    for (int i = 0; i < steps; ++i) {
        WriteBatch batch;
        switch (*rc::gen::inRange(0, 11)) {
            case 0:
            case 1:
            case 2:
                for (int j = 0; j < 12; ++j) {
                    const std::string name = key();
                    model[name] = {.value = fmt::format("{}", i) + std::string(120, 'v')};
                    batch.put(name, model[name].value);
                }
                break;
            case 3: {
                const std::string name = key();
                const base::WallTime expiry =
                    clock.wall_now() + milliseconds(*rc::gen::inRange(0, 50));
                model[name] = {.value = fmt::format("{}", i), .expiry = base::to_unix_ms(expiry)};
                batch.put(name, model[name].value, expiry);
                break;
            }
            case 4: {
                const std::string name = key();
                model.erase(name);
                batch.remove(name);
                break;
            }
            case 5: {
                std::string begin = key();
                std::string end = *rc::gen::inRange(0, 8) == 0 ? std::string() : key();
                batch.remove_range(begin, end);
                if (end.empty() || begin < end) {
                    model.erase(model.lower_bound(begin),
                                end.empty() ? model.end() : model.lower_bound(end));
                }
                break;
            }
            case 6:
                held.push_back({.snapshot = engine->snapshot(), .model = model});
                break;
            case 7:
                if (!held.empty()) {
                    held.erase(held.begin() + *rc::gen::inRange<std::ptrdiff_t>(
                                                  0, static_cast<std::ptrdiff_t>(held.size())));
                }
                break;
            case 8:
                clock.advance(milliseconds(*rc::gen::inRange(0, 40)));
                break;
            case 9:
                if (*rc::gen::inRange(0, 3) == 0) {
                    RC_ASSERT(engine->compact().ok());
                } else {
                    workers.run_one();
                }
                break;
            default:
                held.clear();
                RC_ASSERT(engine->close().ok());
                engine.reset();
                workers.run_all();
                engine = *open_engine("/data", options, surroundings);
        }
        RC_ASSERT(write_patiently(*engine, workers, batch).ok());
        if (i % 4 == 0) {
            check(model, nullptr);
            if (!held.empty()) {
                check(held.front().model, held.front().snapshot.get());
            }
        }
    }
    workers.run_all();
    check(model, nullptr);
    held.clear();
}

}  // namespace
}  // namespace starling::storage
