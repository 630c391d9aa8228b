// Data directories as a whole: whose they are, opening one to read only, removing, backing up and
// restoring it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "storage/backup.h"
#include "storage/destroy.h"
#include "tests/unit/storage/test_support.h"

namespace starling::storage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string message(const absl::Status& status) {
    return std::string(status.message());
}

class DirectoryTest : public testing::Test {
  protected:
    absl::StatusOr<std::unique_ptr<Engine>> open(EngineOptions options,
                                                 const std::string& directory = "/data") {
        return open_engine(directory, options, environment(files, workers));
    }
    absl::StatusOr<std::unique_ptr<Engine>> open_read_only(const std::string& engine = "") {
        EngineOptions options = small_options(engine);
        options.read_only = true;
        return open(options);
    }

    // Tables, and behind them a synced log that removes, replaces and expires, left by a crash.
    void make_lsm() { make("lsm"); }
    void make(const std::string& name) {
        auto engine = *open(small_options(name));
        for (int i = 0; i < 200; ++i) {
            WriteBatch batch;
            batch.put(fmt::format("key{:03}", i), std::string(50, 'v'));
            ASSERT_TRUE(write_patiently(*engine, workers, batch).ok());
        }
        ASSERT_TRUE(engine->sync().ok());
        workers.run_all();
        WriteBatch batch;
        batch.put("key000", "new");
        batch.remove("key001");
        batch.remove_range("key010", "key020");
        batch.put("key015", "after the removal");
        batch.put("expired", "v", base::WallTime(std::chrono::milliseconds(1)));
        ASSERT_TRUE(engine->write(batch, {.sync = true}).ok());
        model = *contents(*engine);
        ASSERT_EQ(model.size(), 200u - 1 - 10 + 1);
    }

    // Every file with its bytes.
    std::map<std::string, std::string> bytes(const std::string& directory = "/data") {
        std::map<std::string, std::string> result;
        const auto names = files.list(directory);
        for (const std::string& name : *names) {
            result[name] = *env::read_file(files, directory + "/" + name, 1 << 20);
        }
        return result;
    }

    env::SimFileSystem files;
    QueueWorkers workers;
    Model model;
};

TEST_F(DirectoryTest, WithoutANameTheEngineThatWroteTheDirectoryIsOpened) {
    for (const std::string name : {"lsm", "bitcask", "in_memory"}) {
        const std::string directory = "/" + name;
        ASSERT_TRUE((*open(small_options(name), directory))->close().ok());
        const auto again = open(small_options(""), directory);
        ASSERT_TRUE(again.ok()) << again.status();
        EXPECT_EQ(detect_engine(files, directory)->engine, name);
    }
}

TEST_F(DirectoryTest, WithoutANameANewDirectoryIsOfLsm) {
    ASSERT_TRUE(open(small_options("")).ok());
    const auto found = detect_engine(files, "/data");
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(found->engine, "lsm");
    EXPECT_EQ(found->format, format_version);
}

TEST_F(DirectoryTest, ADirectoryOfAnotherEngineIsRefusedAndLeftAlone) {
    const std::vector<std::string> engines = {"lsm", "bitcask", "in_memory"};
    for (const std::string& wrote : engines) {
        for (const std::string& opens : engines) {
            const std::string directory = fmt::format("/{}_{}", wrote, opens);
            ASSERT_TRUE((*open(small_options(wrote), directory))->close().ok());
            const auto before = bytes(directory);
            const auto opened = open(small_options(opens), directory);
            if (wrote == opens) {
                EXPECT_TRUE(opened.ok()) << opened.status();
                continue;
            }
            EXPECT_TRUE(absl::IsFailedPrecondition(opened.status())) << opened.status();
            EXPECT_THAT(message(opened.status()), HasSubstr(fmt::format("engine '{}'", wrote)));
            EXPECT_EQ(bytes(directory), before);
        }
    }
}

TEST_F(DirectoryTest, AnUnknownEngineOrFormatIsRefused) {
    const auto unknown = open(small_options("sled"));
    EXPECT_TRUE(absl::IsInvalidArgument(unknown.status())) << unknown.status();
    EXPECT_THAT(message(unknown.status()), HasSubstr("'sled'"));
    EXPECT_FALSE(*files.exists("/data"));

    const auto mark = [&](std::string_view engine, std::string_view format) {
        std::string text = fmt::format("starling storage\nengine {}\nformat {}\n", engine, format);
        text += fmt::format("checksum {:08x}\n", base::crc32c(text));
        ASSERT_TRUE(env::replace_file(files, "/data/ENGINE", text).ok());
    };
    ASSERT_TRUE(files.create_directory("/data").ok());
    for (const char* format : {"0", "3"}) {
        mark("lsm", format);
        const auto opened = open(small_options(""));
        EXPECT_TRUE(absl::IsFailedPrecondition(opened.status())) << opened.status();
        EXPECT_THAT(message(opened.status()), HasSubstr(fmt::format("format {};", format)));
    }
    mark("sled", "2");
    EXPECT_EQ(detect_engine(files, "/data")->engine, "sled");
    EXPECT_TRUE(absl::IsFailedPrecondition(open(small_options("")).status()));
    mark("lsm", "two");
    EXPECT_TRUE(absl::IsDataLoss(open(small_options("")).status()));
}

TEST_F(DirectoryTest, WhatNoEngineWroteIsNotDetected) {
    EXPECT_TRUE(absl::IsNotFound(detect_engine(files, "/data").status()));
    ASSERT_TRUE(files.create_directory("/data").ok());
    EXPECT_TRUE(absl::IsNotFound(detect_engine(files, "/data").status()));
    ASSERT_TRUE(env::replace_file(files, "/data/notes", "mine").ok());
    EXPECT_TRUE(absl::IsNotFound(detect_engine(files, "/data").status()));
    make_lsm();
    ASSERT_TRUE(files.remove("/data/ENGINE").ok());
    EXPECT_TRUE(absl::IsDataLoss(detect_engine(files, "/data").status()));
}

class ReadOnlyTest : public DirectoryTest, public testing::WithParamInterface<std::string> {};

INSTANTIATE_TEST_SUITE_P(Engines,
                         ReadOnlyTest,
                         testing::Values("lsm", "bitcask"),
                         [](const auto& tested) { return tested.param; });

TEST_P(ReadOnlyTest, ShowsEverythingAndTouchesNoFile) {
    make(GetParam());
    const auto before = bytes();
    for (int opens = 0; opens < 2; ++opens) {
        auto engine = open_read_only();
        ASSERT_TRUE(engine.ok()) << engine.status();
        EXPECT_EQ(*contents(**engine), model);
        EXPECT_EQ(read(**engine, "key000"), "new");
        EXPECT_EQ(read(**engine, "key001"), "(none)");
        EXPECT_EQ(read(**engine, "key011"), "(none)");
        EXPECT_EQ(read(**engine, "key015"), "after the removal");
        EXPECT_EQ(read(**engine, "expired"), "(none)");
        EXPECT_EQ(workers.size(), 0u);
        EXPECT_TRUE((*engine)->close().ok());
        EXPECT_EQ(bytes(), before);
    }
    EXPECT_EQ(*contents(**open(small_options(GetParam()))), model);
}

TEST_F(DirectoryTest, AReadOnlyEngineRefusesEachChange) {
    make_lsm();
    const auto engine = *open_read_only();
    WriteBatch batch;
    batch.put("a", "1");
    for (const absl::Status& status : {engine->write(batch),
                                       engine->write_if({}, batch),
                                       engine->sync(),
                                       engine->compact(),
                                       engine->checkpoint("/copy"),
                                       engine->background_error()}) {
        EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
        EXPECT_EQ(base::reason_of(status), base::reason::read_only);
    }
    EXPECT_EQ(read(*engine, "a"), "(none)");
}

TEST_F(DirectoryTest, NothingIsMadeToBeReadOnly) {
    EXPECT_TRUE(absl::IsNotFound(open_read_only().status()));
    EXPECT_FALSE(*files.exists("/data"));
    ASSERT_TRUE(files.create_directory("/data").ok());
    EXPECT_TRUE(absl::IsNotFound(open_read_only("lsm").status()));
    EXPECT_THAT(*files.list("/data"), ElementsAre());
}

TEST_F(DirectoryTest, AReadOnlyEngineNeedsNoLockButRespectsOne) {
    make_lsm();
    {
        const auto writer = *open(small_options());
        EXPECT_TRUE(absl::IsFailedPrecondition(open_read_only().status()));
    }
    ASSERT_TRUE(files.remove("/data/LOCK").ok());
    const auto engine = open_read_only();
    ASSERT_TRUE(engine.ok()) << engine.status();
    EXPECT_FALSE(*files.exists("/data/LOCK"));
    EXPECT_EQ(*contents(**engine), model);
}

TEST_F(DirectoryTest, AnyNumberReadAtOnceAndTheyAndAWriterExcludeEachOther) {
    make_lsm();
    {
        const auto first = open_read_only();
        ASSERT_TRUE(first.ok()) << first.status();
        auto second = open_read_only();
        ASSERT_TRUE(second.ok()) << second.status();
        EXPECT_EQ(*contents(**first), model);
        EXPECT_EQ(*contents(**second), model);
        EXPECT_TRUE((*second)->close().ok());
        const absl::Status refused = open(small_options()).status();
        EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
        EXPECT_TRUE(absl::IsFailedPrecondition(destroy_engine(files, "/data").status()));
    }
    const auto writer = open(small_options());
    ASSERT_TRUE(writer.ok()) << writer.status();
    EXPECT_TRUE(absl::IsFailedPrecondition(open_read_only().status()));
}

TEST_F(DirectoryTest, AReadOnlyEngineOpensADirectoryThatItMayNotWrite) {
    make_lsm();
    files.faults().set_hook([](env::FileOperation operation, const std::string& path) {
        const bool reads = operation == env::FileOperation::read ||
                           operation == env::FileOperation::inspect ||
                           (operation == env::FileOperation::open && !path.ends_with("LOCK"));
        return reads ? absl::OkStatus() : absl::PermissionDeniedError(path);
    });
    EXPECT_TRUE(absl::IsPermissionDenied(open(small_options()).status()));
    const auto engine = open_read_only();
    ASSERT_TRUE(engine.ok()) << engine.status();
    EXPECT_EQ(*contents(**engine), model);
    EXPECT_TRUE((*engine)->close().ok());
}

TEST_F(DirectoryTest, DamageIsRefusedToReadersToo) {
    make_lsm();
    for (const auto& [name, content] : bytes()) {
        if (name.starts_with("manifest")) {
            ASSERT_TRUE(files.flip_bit("/data/" + name, 40, 1).ok());
        }
    }
    const auto before = bytes();
    EXPECT_TRUE(absl::IsDataLoss(open_read_only().status()));
    EXPECT_EQ(bytes(), before);
}

TEST_F(DirectoryTest, DestroyingRemovesTheDirectory) {
    make_lsm();
    const uint64_t count = bytes().size();
    const auto destroyed = destroy_engine(files, "/data");
    ASSERT_TRUE(destroyed.ok()) << destroyed.status();
    EXPECT_EQ(destroyed->files_removed, count);
    EXPECT_THAT(destroyed->kept, ElementsAre());
    EXPECT_FALSE(*files.exists("/data"));
    EXPECT_TRUE(destroy_engine(files, "/data").ok());
}

TEST_F(DirectoryTest, DestroyingKeepsWhatNoEngineWroteAndSaysSo) {
    make_lsm();
    for (const char* name : {"notes", "7.log", "notes.tmp", "backup.table"}) {
        ASSERT_TRUE(env::replace_file(files, fmt::format("/data/{}", name), "mine").ok());
    }
    const auto destroyed = destroy_engine(files, "/data");
    ASSERT_TRUE(destroyed.ok()) << destroyed.status();
    EXPECT_THAT(destroyed->kept, ElementsAre("7.log", "backup.table", "notes", "notes.tmp"));
    EXPECT_EQ(bytes().size(), 4u);
    const auto again = destroy_engine(files, "/data");
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(again->files_removed, 0u);
    EXPECT_EQ(again->kept.size(), 4u);
    EXPECT_FALSE(*files.exists("/data/LOCK"));
}

TEST_F(DirectoryTest, DestroyingIsRefusedWhileTheDirectoryIsOpen) {
    make_lsm();
    const auto engine = *open(small_options());
    const auto before = bytes();
    EXPECT_TRUE(absl::IsFailedPrecondition(destroy_engine(files, "/data").status()));
    EXPECT_EQ(bytes(), before);
}

TEST_F(DirectoryTest, DestroyingWithoutAMarkerIsRefused) {
    make_lsm();
    ASSERT_TRUE(files.flip_bit("/data/ENGINE", 20, 1).ok());
    const auto before = bytes();
    EXPECT_TRUE(absl::IsDataLoss(destroy_engine(files, "/data").status()));
    EXPECT_EQ(bytes(), before);
}

TEST_F(DirectoryTest, ADestroyThatAPowerLossInterruptsCanBeginAgain) {
    make_lsm();
    env::SimRandom random(3);
    for (uint64_t operation = 1;; ++operation) {
        const auto disk = files.clone();
        disk->faults().crash_at(operation);
        const auto status = destroy_engine(*disk, "/data").status();
        if (!disk->faults().dead()) {
            EXPECT_GT(operation, 10u);
            return;
        }
        disk->crash(env::CrashMode::torn, random);
        QueueWorkers jobs;
        const auto copy = disk->clone();
        const auto opened = open_engine("/data", small_options(), environment(*copy, jobs));
        if (opened.ok()) {
            const Model left = *contents(**opened);
            ASSERT_TRUE(left.empty() || left == model) << operation;
        } else {
            ASSERT_TRUE(absl::IsDataLoss(opened.status())) << opened.status();
        }
        const auto again = destroy_engine(*disk, "/data");
        ASSERT_TRUE(again.ok()) << operation << ": " << again.status();
        ASSERT_FALSE(*disk->exists("/data")) << operation;
    }
}

class BackupTest : public DirectoryTest {
  protected:
    BackupTest() {
        make_lsm();
        const auto engine = *open(small_options());
        EXPECT_TRUE(put(*engine, "in the log", "alone").ok());
        const absl::Status status = backup_engine(*engine, files, "/backup");
        EXPECT_TRUE(status.ok()) << status;
        model = *contents(*engine);
    }

    absl::Status restore() { return restore_engine(files, "/backup", "/restored"); }
};

TEST_F(BackupTest, ARestoredBackupOpensWithWhatWasThere) {
    const auto backup = bytes("/backup");
    ASSERT_TRUE(verify_backup(files, "/backup").ok());
    const absl::Status status = restore();
    ASSERT_TRUE(status.ok()) << status;
    const auto engine = open(small_options(""), "/restored");
    ASSERT_TRUE(engine.ok()) << engine.status();
    EXPECT_EQ(*contents(**engine), model);
    ASSERT_TRUE(put(**engine, "more", "data").ok());
    ASSERT_TRUE((*engine)->close().ok());
    EXPECT_EQ(bytes("/backup"), backup);
}

TEST_F(BackupTest, AnExistingTargetIsRefused) {
    ASSERT_TRUE(files.create_directory("/restored").ok());
    EXPECT_TRUE(absl::IsAlreadyExists(restore()));
    const auto engine = *open(small_options());
    EXPECT_TRUE(absl::IsAlreadyExists(backup_engine(*engine, files, "/backup")));
}

TEST_F(BackupTest, EveryFlippedBitIsFoundBeforeAnythingIsWritten) {
    for (const auto& [name, content] : bytes("/backup")) {
        const uint64_t size = content.size();
        for (uint64_t offset = 0; offset < size; offset += size > 500 ? 17u : 1u) {
            const auto disk = files.clone();
            ASSERT_TRUE(disk->flip_bit("/backup/" + name, offset, offset % 8).ok());
            const absl::Status status = restore_engine(*disk, "/backup", "/restored");
            ASSERT_TRUE(absl::IsDataLoss(status)) << name << " " << offset << ": " << status;
            ASSERT_THAT(message(status), HasSubstr("/backup/" + name));
            ASSERT_FALSE(*disk->exists("/restored"));
        }
    }
}

TEST_F(BackupTest, MissingTruncatedAndExtraFilesAreNamed) {
    for (const auto& [name, content] : bytes("/backup")) {
        if (name == "LOCK") {
            continue;  // Nobody's data.
        }
        const auto disk = files.clone();
        ASSERT_TRUE(disk->remove("/backup/" + name).ok());
        const absl::Status status = restore_engine(*disk, "/backup", "/restored");
        EXPECT_EQ(status.code(),
                  name == "BACKUP" ? absl::StatusCode::kNotFound : absl::StatusCode::kDataLoss)
            << status;
        EXPECT_THAT(message(status), HasSubstr("/backup/" + name));
        EXPECT_FALSE(*disk->exists("/restored"));
        if (!content.empty()) {
            const auto other = files.clone();
            ASSERT_TRUE(other->truncate("/backup/" + name, content.size() - 1).ok());
            EXPECT_TRUE(absl::IsDataLoss(restore_engine(*other, "/backup", "/restored")));
        }
    }
    ASSERT_TRUE(env::replace_file(files, "/backup/000099.table", "not ours").ok());
    EXPECT_THAT(message(restore()), HasSubstr("/backup/000099.table"));
}

TEST_F(BackupTest, ARestoreThatFailsOrIsInterruptedLeavesNothingThatOpens) {
    env::SimRandom random(5);
    for (const bool crash : {false, true}) {
        for (uint64_t operation = 1;; ++operation) {
            const auto disk = files.clone();
            crash ? disk->faults().crash_at(operation) : disk->faults().fail_nth(operation);
            const absl::Status status = restore_engine(*disk, "/backup", "/restored");
            if (status.ok() && !disk->faults().dead()) {
                ASSERT_GT(operation, 10u);
                break;
            }
            if (crash) {
                disk->crash(env::CrashMode::torn, random);
            } else {
                EXPECT_FALSE(*disk->exists("/restored")) << operation;
            }
            EngineOptions options = small_options("");
            options.read_only = true;
            QueueWorkers jobs;
            const auto opened = open_engine("/restored", options, environment(*disk, jobs));
            ASSERT_TRUE(!opened.ok() || *contents(**opened) == model) << operation;
        }
    }
}

}  // namespace
}  // namespace starling::storage
