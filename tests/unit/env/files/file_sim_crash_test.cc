#include <set>

#include "env/sim/file_system.h"
#include "tests/unit/env/files/file_test_support.h"

namespace starling::env {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class SimCrashTest : public ::testing::Test {
  protected:
    SimCrashTest() {
        EXPECT_OK(files_.create_directory("/data"));
        EXPECT_OK(files_.sync_directory("/"));
    }

    // A file of which `synced` is durable and `unsynced` is in the page cache, still open.
    std::unique_ptr<WritableFile> half_synced(std::string_view synced, std::string_view unsynced) {
        auto file = *files_.create("/data/log");
        EXPECT_OK(file->append(synced));
        EXPECT_OK(file->sync());
        EXPECT_OK(files_.sync_directory("/data"));
        EXPECT_OK(file->append(unsynced));
        EXPECT_OK(file->flush());
        return file;
    }

    SimFileSystem files_;
    SeededRandom random_{1};
};

TEST_F(SimCrashTest, UnsyncedBytesAreLost) {
    const auto file = half_synced("safe", " not");
    EXPECT_EQ(files_.durable_bytes("/data/log"), "safe");
    files_.crash(CrashMode::lost, random_);
    EXPECT_EQ(content_of(files_, "/data/log"), "safe");
}

TEST_F(SimCrashTest, UnsyncedBytesAreKeptWhenTheModeSaysSo) {
    const auto file = half_synced("safe", " too");
    files_.crash(CrashMode::kept, random_);
    EXPECT_EQ(content_of(files_, "/data/log"), "safe too");
    EXPECT_EQ(files_.durable_bytes("/data/log"), "safe too");
}

TEST_F(SimCrashTest, TheEndOfAProcessTakesItsBufferButNotThePageCache) {
    const auto file = half_synced("safe", " cached");
    EXPECT_OK(file->append(" buffered"));
    files_.crash(CrashMode::process, random_);
    EXPECT_EQ(content_of(files_, "/data/log"), "safe cached");
    EXPECT_EQ(files_.durable_bytes("/data/log"), "safe");
    files_.crash(CrashMode::lost, random_);
    EXPECT_EQ(content_of(files_, "/data/log"), "safe");
}

TEST_F(SimCrashTest, ATornWriteKeepsAnySubsetOfItsSectors) {
    const std::string safe(700, 's');
    const std::string unsynced(3 * 512, 'u');
    std::set<std::string> states;
    for (uint64_t seed = 0; seed < 400; ++seed) {
        const auto file = half_synced(safe, unsynced);
        SeededRandom random(seed);
        files_.crash(CrashMode::torn, random);
        const std::string content = content_of(files_, "/data/log");
        ASSERT_THAT(content, StartsWith(safe));
        ASSERT_LE(content.size(), safe.size() + unsynced.size());
        // Within a sector all bytes share their fate.
        for (size_t i = safe.size() + 1; i < content.size(); ++i) {
            if (i % sim_sector_size != 0) {
                ASSERT_EQ(content[i], content[i - 1]) << i;
            }
        }
        states.insert(content);
    }
    EXPECT_TRUE(states.contains(safe));
    EXPECT_TRUE(states.contains(safe + unsynced));
    // A later sector without an earlier one.
    EXPECT_TRUE(states.contains(safe + std::string(324, '\0') + std::string(1212, 'u')));
    EXPECT_GT(states.size(), 15U);
}

TEST_F(SimCrashTest, ANewNameIsLostWithoutADirectorySync) {
    {
        auto file = *files_.create("/data/table");
        EXPECT_OK(file->append("x"));
        EXPECT_OK(file->sync());
    }
    EXPECT_FALSE(files_.durable_bytes("/data/table").has_value());
    EXPECT_THAT(*files_.clone_after_crash()->list("/data"), IsEmpty());
    EXPECT_OK(files_.sync_directory("/data"));
    EXPECT_EQ(files_.durable_bytes("/data/table"), "x");
    files_.crash(CrashMode::lost, random_);
    EXPECT_EQ(content_of(files_, "/data/table"), "x");
}

TEST_F(SimCrashTest, ADirectorySyncSavesTheNameButNotTheBytes) {
    EXPECT_OK(write_file(files_, "/data/table", "unsynced"));
    EXPECT_OK(files_.sync_directory("/data"));
    files_.crash(CrashMode::lost, random_);
    EXPECT_EQ(content_of(files_, "/data/table"), "");
}

TEST_F(SimCrashTest, ADirectoryWithoutADurableNameIsLostWithAllInIt) {
    EXPECT_OK(files_.create_directory("/data/part"));
    EXPECT_OK(write_durably(files_, "/data/part", "file", "x"));
    EXPECT_FALSE(files_.durable_bytes("/data/part/file").has_value());
    files_.crash(CrashMode::lost, random_);
    EXPECT_FALSE(*files_.exists("/data/part"));
}

TEST_F(SimCrashTest, AnUnsyncedRenameIsUndoneAsAWhole) {
    EXPECT_OK(write_durably(files_, "/data", "CURRENT", "old"));
    EXPECT_OK(write_durably(files_, "/data", "tmp", "new"));
    EXPECT_OK(files_.rename("/data/tmp", "/data/CURRENT"));
    EXPECT_EQ(files_.durable_bytes("/data/CURRENT"), "old");
    files_.crash(CrashMode::lost, random_);
    EXPECT_EQ(content_of(files_, "/data/CURRENT"), "old");
    EXPECT_EQ(content_of(files_, "/data/tmp"), "new");
}

TEST_F(SimCrashTest, AnUnsyncedRemovalIsUndone) {
    EXPECT_OK(write_durably(files_, "/data", "log", "x"));
    EXPECT_OK(files_.remove("/data/log"));
    files_.crash(CrashMode::lost, random_);
    EXPECT_EQ(content_of(files_, "/data/log"), "x");
    EXPECT_OK(files_.remove("/data/log"));
    EXPECT_OK(files_.sync_directory("/data"));
    files_.crash(CrashMode::lost, random_);
    EXPECT_FALSE(*files_.exists("/data/log"));
}

TEST_F(SimCrashTest, ALinkSurvivesWhenItsDirectoryIsSynced) {
    EXPECT_OK(write_durably(files_, "/data", "table", "x"));
    EXPECT_OK(files_.link("/data/table", "/data/unsynced"));
    files_.crash(CrashMode::lost, random_);
    EXPECT_THAT(*files_.list("/data"), ElementsAre("table"));
    EXPECT_OK(files_.link("/data/table", "/data/synced"));
    EXPECT_OK(files_.sync_directory("/data"));
    EXPECT_OK(files_.remove("/data/table"));
    EXPECT_OK(files_.sync_directory("/data"));
    files_.crash(CrashMode::lost, random_);
    EXPECT_EQ(content_of(files_, "/data/synced"), "x");
}

TEST_F(SimCrashTest, AMoveBetweenDirectoriesIsNeverHalfDone) {
    EXPECT_OK(files_.create_directory("/data/a"));
    EXPECT_OK(files_.create_directory("/data/b"));
    EXPECT_OK(files_.sync_directory("/data"));
    for (uint64_t seed = 0; seed < 50; ++seed) {
        EXPECT_OK(write_durably(files_, "/data/a", "x", "moved"));
        EXPECT_OK(files_.rename("/data/a/x", "/data/b/x"));
        if (seed % 2 == 0) {
            EXPECT_OK(files_.sync_directory(seed % 4 == 0 ? "/data/a" : "/data/b"));
        }
        SeededRandom random(seed);
        files_.crash(CrashMode::torn, random);
        const bool at_source = *files_.exists("/data/a/x");
        const bool at_target = *files_.exists("/data/b/x");
        EXPECT_NE(at_source, at_target);
        EXPECT_TRUE(at_target || seed % 2 != 0);
        EXPECT_EQ(content_of(files_, at_target ? "/data/b/x" : "/data/a/x"), "moved");
        EXPECT_OK(files_.remove(at_target ? "/data/b/x" : "/data/a/x"));
        EXPECT_OK(files_.sync_directory("/data/a"));
        EXPECT_OK(files_.sync_directory("/data/b"));
    }
}

TEST_F(SimCrashTest, TornDirectoryChangesSurviveInAnyCombination) {
    std::set<std::vector<std::string>> states;
    for (uint64_t seed = 0; seed < 200; ++seed) {
        EXPECT_OK(write_file(files_, "/data/a", ""));
        EXPECT_OK(write_file(files_, "/data/b", ""));
        EXPECT_OK(write_file(files_, "/data/c", ""));
        SeededRandom random(seed);
        files_.crash(CrashMode::torn, random);
        const auto names = *files_.list("/data");
        states.insert(names);
        for (const std::string& name : names) {
            EXPECT_OK(files_.remove("/data/" + name));
        }
        EXPECT_OK(files_.sync_directory("/data"));
    }
    EXPECT_EQ(states.size(), 8U);
}

TEST_F(SimCrashTest, AnUnsyncedTruncationIsUndoneAndASyncedOneIsNot) {
    EXPECT_OK(write_durably(files_, "/data", "log", "0123456789"));
    EXPECT_OK(files_.truncate("/data/log", 6));
    EXPECT_OK(files_.truncate("/data/log", 4));
    EXPECT_EQ(files_.durable_bytes("/data/log"), "0123456789");
    auto file = *files_.open_for_append("/data/log");
    EXPECT_OK(file->append("x"));
    EXPECT_OK(file->flush());
    EXPECT_EQ(content_of(*files_.clone_after_crash(), "/data/log"), "0123456789");
    EXPECT_OK(file->sync());
    files_.crash(CrashMode::lost, random_);
    EXPECT_EQ(content_of(files_, "/data/log"), "0123x");
}

TEST_F(SimCrashTest, CreatingOverAFileKeepsTheOldBytesUntilASync) {
    EXPECT_OK(write_durably(files_, "/data", "log", "old"));
    EXPECT_OK(write_file(files_, "/data/log", "new"));
    files_.crash(CrashMode::lost, random_);
    EXPECT_EQ(content_of(files_, "/data/log"), "old");
}

class SimRecycleTest : public SimCrashTest {
  protected:
    static inline const std::string old_bytes = std::string(2048, 'o');

    // Overwrites the first `count` bytes of a durable file, without a sync of what it is given.
    std::unique_ptr<WritableFile> recycle(size_t count) {
        EXPECT_OK(write_durably(files_, "/data", "old", old_bytes));
        auto file = *files_.recycle("/data/old", "/data/log");
        EXPECT_OK(files_.sync_directory("/data"));
        EXPECT_OK(file->append(std::string(count, 'n')));
        EXPECT_OK(file->flush());
        return file;
    }
    static std::string overwritten(size_t count) {
        return std::string(count, 'n') + old_bytes.substr(std::min(count, old_bytes.size()));
    }
};

TEST_F(SimRecycleTest, UnsyncedOverwritingIsUndoneAndSyncedIsNot) {
    auto file = recycle(700);
    EXPECT_EQ(files_.durable_bytes("/data/log"), old_bytes);
    EXPECT_EQ(content_of(*files_.clone_after_crash(), "/data/log"), old_bytes);
    EXPECT_EQ(content_of(files_, "/data/log"), overwritten(700));
    EXPECT_OK(file->sync());
    EXPECT_EQ(files_.durable_bytes("/data/log"), overwritten(700));
    EXPECT_OK(file->append(std::string(3000, 'n')));
    EXPECT_OK(file->flush());
    EXPECT_EQ(files_.durable_bytes("/data/log"), overwritten(700));
    EXPECT_OK(file->sync());
    files_.crash(CrashMode::lost, random_);
    EXPECT_EQ(content_of(files_, "/data/log"), overwritten(3700));
}

TEST_F(SimRecycleTest, UnsyncedOverwritingIsKeptWhenTheModeSaysSo) {
    const auto file = recycle(3000);
    files_.crash(CrashMode::kept, random_);
    EXPECT_EQ(content_of(files_, "/data/log"), overwritten(3000));
    EXPECT_EQ(files_.durable_bytes("/data/log"), overwritten(3000));
}

TEST_F(SimRecycleTest, TornOverwritingLeavesAnyMixOfOldAndNewSectors) {
    std::set<std::string> states;
    for (uint64_t seed = 0; seed < 300; ++seed) {
        const auto file = recycle(3 * 512);
        SeededRandom random(seed);
        files_.crash(CrashMode::torn, random);
        const std::string content = content_of(files_, "/data/log");
        ASSERT_EQ(content.size(), old_bytes.size());
        for (size_t i = 1; i < content.size(); ++i) {
            if (i % sim_sector_size != 0) {
                ASSERT_EQ(content[i], content[i - 1]) << i;
            }
        }
        ASSERT_EQ(content.substr(3 * 512), old_bytes.substr(3 * 512));
        states.insert(content);
    }
    EXPECT_EQ(states.size(), 8U);
}

TEST_F(SimRecycleTest, ASectorThatIsOverwrittenAndGrownSharesOneFate) {
    std::set<std::string> sectors;
    for (uint64_t seed = 0; seed < 100; ++seed) {
        EXPECT_OK(write_durably(files_, "/data", "old", std::string(700, 'o')));
        auto file = *files_.recycle("/data/old", "/data/log");
        EXPECT_OK(files_.sync_directory("/data"));
        EXPECT_OK(file->append(std::string(1024, 'n')));
        EXPECT_OK(file->flush());
        SeededRandom random(seed);
        files_.crash(CrashMode::torn, random);
        std::string content = content_of(files_, "/data/log");
        ASSERT_GE(content.size(), 700U);
        content.resize(1024, '\0');
        sectors.insert(content.substr(512));
    }
    EXPECT_THAT(sectors,
                ElementsAre(std::string(188, 'n') + std::string(324, '\0'),
                            std::string(512, 'n'),
                            std::string(188, 'o') + std::string(324, '\0')));
}

TEST_F(SimRecycleTest, AFailedSyncLosesWhatWasOverwrittenUntilItIsWrittenAnew) {
    auto file = recycle(512);
    files_.faults().fail_next(FileOperation::sync);
    EXPECT_FALSE(file->sync().ok());
    EXPECT_OK(file->sync());
    EXPECT_EQ(content_of(files_, "/data/log"), overwritten(512));
    EXPECT_EQ(files_.durable_bytes("/data/log"), old_bytes);
    {
        auto again = *files_.recycle("/data/log", "/data/log");
        EXPECT_OK(again->append(std::string(512, 'n')));
        EXPECT_OK(again->sync());
    }
    EXPECT_EQ(files_.durable_bytes("/data/log"), overwritten(512));
}

TEST_F(SimRecycleTest, WhatAFailedSyncLostIsDurableOnceItWasOverwrittenAndSynced) {
    {
        auto file = half_synced("safe", std::string(1020, 'u'));
        files_.faults().fail_next(FileOperation::sync);
        EXPECT_FALSE(file->sync().ok());
    }
    {
        auto file = *files_.recycle("/data/log", "/data/log");
        EXPECT_OK(file->append(std::string(512, 'n')));
        EXPECT_OK(file->sync());
    }
    EXPECT_EQ(files_.durable_bytes("/data/log"), std::string(512, 'n') + std::string(512, '\0'));
}

TEST_F(SimRecycleTest, TruncationForgetsWhatWasOverwrittenBehindIt) {
    auto file = recycle(2048);
    EXPECT_OK(files_.truncate("/data/log", 600));
    EXPECT_EQ(files_.durable_bytes("/data/log"), old_bytes);
    EXPECT_EQ(content_of(files_, "/data/log"), std::string(600, 'n'));
    EXPECT_OK(file->sync());
    EXPECT_EQ(files_.durable_bytes("/data/log"), std::string(600, 'n'));
}

TEST_F(SimRecycleTest, AnUnsyncedRecyclingLeavesTheFileUnderItsOldName) {
    EXPECT_OK(write_durably(files_, "/data", "old", old_bytes));
    auto file = *files_.recycle("/data/old", "/data/log");
    EXPECT_OK(file->append(std::string(512, 'n')));
    EXPECT_OK(file->sync());
    files_.crash(CrashMode::lost, random_);
    EXPECT_THAT(*files_.list("/data"), ElementsAre("old"));
    EXPECT_EQ(content_of(files_, "/data/old"), overwritten(512));
}

TEST_F(SimCrashTest, HandlesOfACrashedProcessAreDead) {
    const auto file = half_synced("safe", "");
    const auto reader = *files_.open_for_read("/data/log");
    EXPECT_OK(file->append("buffered"));
    files_.crash(CrashMode::kept, random_);
    char scratch[4];
    EXPECT_TRUE(is_simulated_crash(file->append("x")));
    EXPECT_TRUE(is_simulated_crash(file->flush()));
    EXPECT_TRUE(is_simulated_crash(file->sync()));
    EXPECT_TRUE(is_simulated_crash(file->preallocate(1)));
    EXPECT_TRUE(is_simulated_crash(file->close()));
    EXPECT_TRUE(is_simulated_crash(reader->read(0, 4, scratch).status()));
    EXPECT_TRUE(is_simulated_crash(reader->size().status()));
    EXPECT_EQ(content_of(files_, "/data/log"), "safe");
}

TEST_F(SimCrashTest, LocksAreFreeAfterACrashAndTheOldHolderFreesNothing) {
    auto old_lock = files_.lock("/data/LOCK");
    ASSERT_OK(old_lock);
    files_.crash(CrashMode::kept, random_);
    const auto new_lock = files_.lock("/data/LOCK");
    ASSERT_OK(new_lock);
    old_lock->reset();
    EXPECT_TRUE(absl::IsFailedPrecondition(files_.lock("/data/LOCK").status()));
    files_.crash(CrashMode::process, random_);
    EXPECT_OK(files_.lock("/data/LOCK").status());
}

TEST_F(SimCrashTest, SharedLocksAreFreeAfterACrashAndTheOldHoldersFreeNothing) {
    EXPECT_OK(files_.lock("/data/LOCK").status());
    for (const CrashMode mode : {CrashMode::process, CrashMode::kept}) {
        auto old_lock = files_.lock_shared("/data/LOCK");
        ASSERT_OK(old_lock);
        files_.crash(mode, random_);
        if (mode == CrashMode::kept) {
            EXPECT_OK(files_.lock("/data/LOCK").status());
        }
        const auto new_lock = files_.lock_shared("/data/LOCK");
        ASSERT_OK(new_lock);
        old_lock->reset();
        EXPECT_TRUE(absl::IsFailedPrecondition(files_.lock("/data/LOCK").status()));
    }
}

TEST_F(SimCrashTest, ACloneAndItsOriginalChangeApart) {
    const auto file = half_synced("safe", " cached");
    const auto clone = files_.clone();
    EXPECT_EQ(content_of(*clone, "/data/log"), "safe cached");
    EXPECT_EQ(clone->durable_bytes("/data/log"), "safe");
    EXPECT_EQ(clone->used_bytes(), files_.used_bytes());
    EXPECT_OK(file->append(" more"));
    EXPECT_OK(file->sync());
    EXPECT_OK(clone->truncate("/data/log", 1));
    EXPECT_EQ(content_of(*clone, "/data/log"), "s");
    EXPECT_EQ(content_of(files_, "/data/log"), "safe cached more");
}

TEST_F(SimCrashTest, TheSameSeedTearsTheSameWay) {
    for (uint64_t seed = 0; seed < 20; ++seed) {
        const auto file = half_synced("safe", std::string(5000, 'u'));
        EXPECT_OK(write_file(files_, "/data/other", std::string(2000, 'o')));
        const auto first = files_.clone();
        const auto second = files_.clone();
        SeededRandom first_random(seed);
        SeededRandom second_random(seed);
        first->crash(CrashMode::torn, first_random);
        second->crash(CrashMode::torn, second_random);
        EXPECT_EQ(*first->list("/data"), *second->list("/data"));
        EXPECT_EQ(content_of(*first, "/data/log"), content_of(*second, "/data/log"));
        EXPECT_EQ(content_of(*first, "/data/other"), content_of(*second, "/data/other"));
    }
}

}  // namespace
}  // namespace starling::env
