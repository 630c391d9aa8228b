// Power losses at every operation: what was synced is there, and nothing that was never written.

#include <functional>

#include "base/status_macros.h"
#include "tests/unit/env/encrypted/encrypted_test_support.h"

namespace starling::env {
namespace {

using ::testing::StartsWith;

struct Loss {
    CrashMode mode;
    uint64_t seed;
};
constexpr Loss losses[] = {{CrashMode::process, 0},
                           {CrashMode::lost, 0},
                           {CrashMode::kept, 0},
                           {CrashMode::torn, 1},
                           {CrashMode::torn, 2},
                           {CrashMode::torn, 3},
                           {CrashMode::torn, 4},
                           {CrashMode::torn, 5}};

constexpr size_t sizes[] = {10, 700, 4096, 300, 9000, 1, 5000, 513, 4100, 90};

// A log as an engine writes it: now and then a flush, now and then a sync.
class LogScript {
  public:
    absl::Status run(FileSystem& files) {
        STARLING_ASSIGN_OR_RETURN(auto file, files.create("/data/log"));
        STARLING_RETURN_IF_ERROR(files.sync_directory("/data"));
        created_ = true;
        size_t step = 0;
        for (const size_t size : sizes) {
            const std::string piece = text(size, written_.size());
            written_ += piece;
            STARLING_RETURN_IF_ERROR(file->append(piece));
            if (step % 2 == 0) {
                STARLING_RETURN_IF_ERROR(file->flush());
            }
            if (step % 3 == 1) {
                STARLING_RETURN_IF_ERROR(file->sync());
                synced_ = written_.size();
            }
            if (step % 4 == 3) {
                STARLING_RETURN_IF_ERROR(file->close());
                STARLING_ASSIGN_OR_RETURN(file, files.open_for_append("/data/log"));
            }
            ++step;
        }
        return file->close();
    }

    // "" or what is wrong.
    std::string judge(FileSystem& files) const {
        const auto found = read_file(files, "/data/log", 1 << 20);
        if (absl::IsNotFound(found.status()) && !created_) {
            return "";
        }
        if (!found.ok()) {
            return found.status().ToString();
        }
        if (!std::string_view(written_).starts_with(*found)) {
            return "something that was not written";
        }
        return found->size() >= synced_ ? "" : "less than was synced";
    }

  private:
    std::string written_;
    size_t synced_ = 0;
    bool created_ = false;
};

class EncryptedCrashTest : public ::testing::TestWithParam<size_t> {
  protected:
    EncryptedCrashTest() { disk_.set_append_buffer_bytes(GetParam()); }

    EncryptedSimWorld world_;
    SimFileSystem& disk_ = world_.disk;
};

INSTANTIATE_TEST_SUITE_P(AppendBuffers, EncryptedCrashTest, testing::Values(0, 64 << 10));

TEST_P(EncryptedCrashTest, WhateverTheLastOperationWasALogHasWhatWasSynced) {
    bool died = true;
    uint64_t n = 1;
    for (; died; ++n) {
        for (const Loss& loss : losses) {
            const auto disk = disk_.clone();
            disk->set_append_buffer_bytes(GetParam());
            SeededRandom random(n * 100 + loss.seed);
            EncryptedFileSystem files(*disk, random, KeyRing(master_key(1)));
            LogScript script;
            disk->faults().crash_at(n);
            const absl::Status status = script.run(files);
            died = disk->faults().dead();
            ASSERT_TRUE(died || status.ok()) << status;
            disk->crash(loss.mode, random);
            ASSERT_EQ(script.judge(files), "")
                << "operation " << n << ", mode " << static_cast<int>(loss.mode) << ", seed "
                << loss.seed;
            // It goes on from there, and keeps what comes then.
            const std::string before =
                *files.exists("/data/log") ? content_of(files, "/data/log") : "";
            {
                auto file = files.open_for_append("/data/log");
                ASSERT_OK(file);
                EXPECT_OK((*file)->append("goes on"));
                EXPECT_OK((*file)->sync());
                EXPECT_OK(disk->sync_directory("/data"));
                EXPECT_OK((*file)->append(text(9000)));
                EXPECT_OK((*file)->flush());
            }
            disk->crash(CrashMode::torn, random);
            ASSERT_THAT(content_of(files, "/data/log"), StartsWith(before + "goes on"));
        }
    }
    EXPECT_GT(n, 15U);
}

TEST_P(EncryptedCrashTest, AFailedOperationLeavesWhatWasSynced) {
    for (const bool for_ever : {false, true}) {
        bool failed = true;
        for (uint64_t n = 1; failed; ++n) {
            for (const Loss& loss : losses) {
                const auto disk = disk_.clone();
                disk->set_append_buffer_bytes(GetParam());
                SeededRandom random(n * 100 + loss.seed);
                EncryptedFileSystem files(*disk, random, KeyRing(master_key(1)));
                LogScript script;
                disk->faults().fail_nth(n, for_ever);
                failed = !script.run(files).ok();
                disk->faults().clear();
                disk->crash(loss.mode, random);
                ASSERT_EQ(script.judge(files), "")
                    << "operation " << n << ", mode " << static_cast<int>(loss.mode) << ", seed "
                    << loss.seed;
            }
        }
    }
}

TEST_P(EncryptedCrashTest, WhatWasCutIsGoneForGoodBeforeAnythingIsWrittenInItsPlace) {
    EXPECT_OK(write_file(world_.files, "/data/log", text(5000)));
    std::vector<FileOperation> operations;
    const auto record = [&](FileOperation operation, const std::string&) {
        if (operation != FileOperation::open && operation != FileOperation::read &&
            operation != FileOperation::inspect) {
            operations.push_back(operation);
        }
        return absl::OkStatus();
    };
    disk_.faults().set_hook(record);
    const auto expected =
        testing::ElementsAre(FileOperation::truncate, FileOperation::sync, FileOperation::write);
    EXPECT_OK(world_.files.truncate("/data/log", 4000));
    EXPECT_THAT(operations, expected);
    disk_.faults().set_hook(nullptr);
    // A torn tail.
    EXPECT_OK(disk_.truncate("/data/log", *disk_.file_size("/data/log") - 1));
    operations.clear();
    disk_.faults().set_hook(record);
    {
        auto file = *world_.files.open_for_append("/data/log");
        EXPECT_OK(file->append("x"));
        EXPECT_OK(file->flush());
        EXPECT_THAT(operations, expected);
    }
    disk_.faults().set_hook(nullptr);
}

TEST_P(EncryptedCrashTest, ATruncationIsDoneInPartAtMost) {
    const std::string content = text(3000) + text(6000, 1);
    for (const uint64_t size : {0U, 1000U, 3000U, 4000U, 7096U, 8000U}) {
        {
            auto file = *world_.files.create("/data/log");
            EXPECT_OK(file->append(content.substr(0, 3000)));
            EXPECT_OK(file->flush());
            EXPECT_OK(file->append(content.substr(3000)));
            EXPECT_OK(file->sync());
            EXPECT_OK(disk_.sync_directory("/data"));
        }
        bool died = true;
        for (uint64_t n = 1; died; ++n) {
            for (const Loss& loss : losses) {
                const auto disk = disk_.clone();
                disk->set_append_buffer_bytes(GetParam());
                SeededRandom random(n * 100 + loss.seed);
                EncryptedFileSystem files(*disk, random, KeyRing(master_key(1)));
                disk->faults().crash_at(n);
                const absl::Status status = files.truncate("/data/log", size);
                died = disk->faults().dead();
                ASSERT_TRUE(died || status.ok()) << status;
                disk->crash(loss.mode, random);
                const std::string found = content_of(files, "/data/log");
                ASSERT_THAT(content, StartsWith(found));
                ASSERT_GE(found.size(), size);
            }
        }
    }
}

TEST_P(EncryptedCrashTest, ARecycledFileIsTheOldOneOrHasWhatWasSynced) {
    const std::string old_content = text(20000);
    EXPECT_OK(write_durably(world_.files, "/data", "old", old_content));
    bool died = true;
    for (uint64_t n = 1; died; ++n) {
        for (const Loss& loss : losses) {
            const auto disk = disk_.clone();
            disk->set_append_buffer_bytes(GetParam());
            SeededRandom random(n * 100 + loss.seed);
            EncryptedFileSystem files(*disk, random, KeyRing(master_key(1)));
            const std::string fresh = text(5000, 7) + text(5000, 8);
            size_t synced = 0;
            bool begun = false;
            disk->faults().crash_at(n);
            const auto run = [&]() -> absl::Status {
                STARLING_ASSIGN_OR_RETURN(auto file, files.recycle("/data/old", "/data/new"));
                STARLING_RETURN_IF_ERROR(files.sync_directory("/data"));
                begun = true;
                STARLING_RETURN_IF_ERROR(file->append(fresh.substr(0, 5000)));
                STARLING_RETURN_IF_ERROR(file->sync());
                synced = 5000;
                STARLING_RETURN_IF_ERROR(file->append(fresh.substr(5000)));
                STARLING_RETURN_IF_ERROR(file->flush());
                return file->close();
            };
            const absl::Status status = run();
            died = disk->faults().dead();
            ASSERT_TRUE(died || status.ok()) << status;
            disk->crash(loss.mode, random);
            const bool moved = *files.exists("/data/new");
            ASSERT_TRUE(moved || !begun);
            const std::string found = content_of(files, moved ? "/data/new" : "/data/old");
            if (found == old_content) {
                ASSERT_FALSE(begun);
                continue;
            }
            ASSERT_THAT(fresh, StartsWith(found));
            ASSERT_GE(found.size(), synced);
        }
    }
}

TEST_P(EncryptedCrashTest, AnInterruptedRewrapLeavesAFileThatTheOldOrTheNewKeyOpens) {
    EXPECT_OK(write_durably(world_.files, "/data", "file", "content"));
    bool died = true;
    for (uint64_t n = 1; died; ++n) {
        for (const Loss& loss : losses) {
            const auto disk = disk_.clone();
            disk->set_append_buffer_bytes(GetParam());
            SeededRandom random(n * 100 + loss.seed);
            EncryptedFileSystem files(*disk, random, KeyRing(master_key(2), {master_key(1)}));
            disk->faults().crash_at(n);
            const absl::Status status = files.rewrap("/data/file");
            died = disk->faults().dead();
            ASSERT_TRUE(died || status.ok()) << status;
            disk->crash(loss.mode, random);
            ASSERT_EQ(content_of(files, "/data/file"), "content");
            if (status.ok()) {
                files.set_key_ring(KeyRing(master_key(2)));
                ASSERT_EQ(content_of(files, "/data/file"), "content");
            }
            EXPECT_OK(files.remove_unused_keys("/data"));
        }
    }
}

TEST_P(EncryptedCrashTest, ALogThatTookAFullDiskGoesOnWhenThereIsRoom) {
    for (uint64_t capacity = 0; capacity < 20000; capacity += 77) {
        const auto disk = disk_.clone();
        disk->set_append_buffer_bytes(GetParam());
        SeededRandom random(capacity + 7);
        EncryptedFileSystem files(*disk, random, KeyRing(master_key(1)));
        disk->set_capacity(capacity);
        std::string flushed;
        if (auto file = files.create("/data/log"); file.ok()) {
            for (const size_t size : sizes) {
                const std::string piece = text(size, flushed.size());
                if (!(*file)->append(piece).ok() || !(*file)->flush().ok()) {
                    break;
                }
                flushed += piece;
            }
        }
        disk->set_capacity(1 << 30);
        EXPECT_OK(files.truncate("/data/log", flushed.size()));
        EXPECT_OK((*files.open_for_append("/data/log"))->append("more"));
        ASSERT_EQ(content_of(files, "/data/log"), flushed + "more") << capacity;
    }
}

}  // namespace
}  // namespace starling::env
