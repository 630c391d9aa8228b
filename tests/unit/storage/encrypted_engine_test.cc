// The engine over encrypted files: it keeps what it promises over power losses, and nothing that it
// stores can be read below.

#include <gmock/gmock.h>

#include "env/encrypted/file_system.h"
#include "tests/unit/storage/test_support.h"

namespace starling::storage {
namespace {

using env::CrashMode;
using testing::HasSubstr;
using testing::Not;

constexpr std::string_view directory = "/data";
constexpr int batch_count = 60;

env::MasterKey master_key(char number) {
    return env::MasterKey(env::SecretKey(std::string(31, 'k') + number));
}

std::vector<std::string> names_in(env::FileSystem& files) {
    return files.list(std::string(directory)).value_or(std::vector<std::string>());
}

std::string value_of(int number) {
    return fmt::format("canary-value-{:04}", number) +
           std::string(static_cast<size_t>(number) * 37 % 700, 'v');
}

class EncryptedEngineTest : public testing::TestWithParam<std::string> {
  protected:
    absl::Status open() {
        auto engine = open_engine(
            std::string(directory), small_options(GetParam()), environment(files_, workers_));
        if (engine.ok()) {
            engine_ = *std::move(engine);
        }
        return engine.status();
    }

    void kill(CrashMode mode) {
        engine_.reset();
        workers_.drop_all();
        disk_.crash(mode, tearing_);
    }

    // Batches, every fifth of them synced, until something fails.
    absl::Status run() {
        absl::Status status = open();
        for (int number = 0; status.ok() && number < batch_count; ++number) {
            WriteBatch batch;
            batch.put(fmt::format("canary-key-{:04}", number), value_of(number));
            batch.put("latest", fmt::format("{}", number));
            status = write_patiently(*engine_, workers_, batch);
            written_ = number + 1;
            if (status.ok() && number % 5 == 4) {
                status = engine_->sync();
                synced_ = status.ok() ? number + 1 : synced_;
            }
            if (number % 4 == 3) {
                workers_.run_one();
            }
            if (status.ok() && number == 40) {
                status = engine_->close();
                synced_ = status.ok() ? number + 1 : synced_;
                engine_.reset();
                workers_.drop_all();
                status.Update(open());
            }
        }
        return status;
    }

    // "" when the engine has the first n batches, and at least those that were synced.
    std::string judge() {
        const auto found = contents(*engine_);
        if (!found.ok()) {
            return found.status().ToString();
        }
        const int count = found->empty() ? 0 : static_cast<int>(found->size()) - 1;
        if (count < synced_ || count > written_) {
            return fmt::format("{} batches of {}, {} synced", count, written_, synced_);
        }
        for (int number = 0; number < count; ++number) {
            const auto entry = found->find(fmt::format("canary-key-{:04}", number));
            if (entry == found->end() || entry->second != value_of(number)) {
                return fmt::format("batch {} is wrong", number);
            }
        }
        return "";
    }

    std::string raw_bytes() {
        std::string all;
        for (const std::string& name : names_in(disk_)) {
            const auto content =
                env::read_file(disk_, std::string(directory) + "/" + name, 1 << 24);
            EXPECT_TRUE(content.ok()) << content.status();
            all += content.value_or("");
        }
        return all;
    }

    env::SimFileSystem disk_{{.append_buffer_bytes = 0}};
    env::SimRandom tearing_{1};
    env::SimRandom secrets_{2};
    env::EncryptedFileSystem files_{disk_, secrets_, env::KeyRing(master_key(1))};
    QueueWorkers workers_;
    std::unique_ptr<Engine> engine_;
    int written_ = 0;
    int synced_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Engines,
                         EncryptedEngineTest,
                         testing::Values("lsm", "bitcask"),
                         [](const auto& tested) { return tested.param; });

TEST_P(EncryptedEngineTest, NothingThatIsStoredCanBeReadBelow) {
    ASSERT_TRUE(run().ok());
    ASSERT_EQ(judge(), "");
    ASSERT_TRUE(engine_->close().ok());
    workers_.run_all();
    const std::string raw = raw_bytes();
    std::string decrypted;
    for (const std::string& name : names_in(files_)) {
        const std::string path = std::string(directory) + "/" + name;
        decrypted += env::read_file(files_, path, 1 << 24).value_or("");
    }
    const std::string_view list_of_files = GetParam() == "lsm" ? "manifest" : "bitcask files";
    for (const std::string_view plain : {std::string_view("canary"),
                                         std::string_view("latest"),
                                         std::string_view("starling storage"),
                                         list_of_files,
                                         std::string_view("STARLREC")}) {
        // Not with HasSubstr, which would print it all.
        EXPECT_EQ(raw.find(plain), std::string::npos) << plain;
        EXPECT_NE(decrypted.find(plain), std::string::npos) << plain;
    }
}

TEST_P(EncryptedEngineTest, WhateverTheLastOperationWasTheSyncedBatchesAreThere) {
    bool died = true;
    uint64_t n = 1;
    for (; died; n += 3) {
        for (const CrashMode mode :
             {CrashMode::process, CrashMode::lost, CrashMode::kept, CrashMode::torn}) {
            disk_.crash(CrashMode::process, tearing_);
            if (*disk_.exists(std::string(directory))) {
                for (const std::string& name : names_in(disk_)) {
                    ASSERT_TRUE(disk_.remove(std::string(directory) + "/" + name).ok());
                }
                ASSERT_TRUE(disk_.remove(std::string(directory)).ok());
                ASSERT_TRUE(disk_.sync_directory("/").ok());
            }
            written_ = synced_ = 0;
            disk_.faults().crash_at(n);
            const absl::Status status = run();
            died = disk_.faults().dead();
            ASSERT_TRUE(died || status.ok()) << status;
            kill(mode);
            const absl::Status opened = open();
            ASSERT_TRUE(opened.ok())
                << opened << ", operation " << n << ", mode " << static_cast<int>(mode);
            ASSERT_EQ(judge(), "") << "operation " << n << ", mode " << static_cast<int>(mode);
            engine_.reset();
            workers_.drop_all();
        }
    }
    EXPECT_GT(n, 300u);
}

TEST_P(EncryptedEngineTest, ADirectoryUnderAnotherKeyIsRefusedAndStaysAsItIs) {
    ASSERT_TRUE(run().ok());
    kill(CrashMode::kept);
    files_.set_key_ring(env::KeyRing(master_key(2)));
    const absl::Status refused = open();
    EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
    EXPECT_THAT(std::string(refused.message()), HasSubstr("/data/ENGINE"));
    EXPECT_THAT(std::string(refused.message()), HasSubstr(to_string(master_key(1).id())));
    files_.set_key_ring(env::KeyRing(master_key(1)));
    ASSERT_TRUE(open().ok());
    EXPECT_EQ(judge(), "");
}

TEST_P(EncryptedEngineTest, AnUnencryptedDirectoryIsRefusedAndAnEncryptedOneWithoutTheLayerToo) {
    {
        auto plain = open_engine("/plain", small_options(GetParam()), environment(disk_, workers_));
        ASSERT_TRUE(plain.ok());
    }
    const auto opened =
        open_engine("/plain", small_options(GetParam()), environment(files_, workers_));
    EXPECT_TRUE(absl::IsFailedPrecondition(opened.status())) << opened.status();
    EXPECT_THAT(std::string(opened.status().message()), HasSubstr("is not encrypted"));
    ASSERT_TRUE(run().ok());
    kill(CrashMode::kept);
    const auto bare = open_engine(
        std::string(directory), small_options(GetParam()), environment(disk_, workers_));
    EXPECT_FALSE(bare.ok());
}

TEST_P(EncryptedEngineTest, TheMasterKeyChangesWhileTheEngineRuns) {
    ASSERT_TRUE(run().ok());
    files_.set_key_ring(env::KeyRing(master_key(2), {master_key(1)}));
    for (const std::string& name : names_in(files_)) {
        const absl::Status status = files_.rewrap(std::string(directory) + "/" + name);
        ASSERT_TRUE(status.ok()) << status;
    }
    files_.set_key_ring(env::KeyRing(master_key(2)));
    ASSERT_TRUE(put(*engine_, "canary-key-0000", value_of(0)).ok());
    ASSERT_TRUE(engine_->sync().ok());
    workers_.run_all();
    kill(CrashMode::lost);
    ASSERT_TRUE(open().ok());
    EXPECT_EQ(judge(), "");
    EXPECT_TRUE(files_.remove_unused_keys(std::string(directory)).ok());
    engine_.reset();
    ASSERT_TRUE(open().ok());
    EXPECT_EQ(judge(), "");
}

TEST_P(EncryptedEngineTest, DamageBelowIsAnErrorOrChangesNothing) {
    ASSERT_TRUE(run().ok());
    ASSERT_TRUE(engine_->sync().ok());
    synced_ = written_;
    workers_.run_all();
    ASSERT_TRUE(engine_->close().ok());
    engine_.reset();
    for (const std::string& name : names_in(disk_)) {
        const std::string path = std::string(directory) + "/" + name;
        const uint64_t size = *disk_.file_size(path);
        for (uint64_t at = 0; at < size; at += 1 + size / 23) {
            const auto copy = disk_.clone();
            ASSERT_TRUE(copy->flip_bit(path, at, at % 8).ok());
            env::EncryptedFileSystem files(*copy, secrets_, env::KeyRing(master_key(1)));
            QueueWorkers workers;
            auto engine = open_engine(
                std::string(directory), small_options(GetParam()), environment(files, workers));
            if (!engine.ok()) {
                continue;
            }
            engine_ = *std::move(engine);
            const std::string wrong = judge();
            EXPECT_TRUE(wrong.empty() || wrong.starts_with("DATA_LOSS"))
                << wrong << ", " << path << " at " << at;
            engine_.reset();
        }
    }
}

TEST_P(EncryptedEngineTest, CutToAnyLengthBelowAFileIsAnErrorOrATornTail) {
    ASSERT_TRUE(run().ok());
    ASSERT_TRUE(engine_->sync().ok());
    workers_.run_all();
    kill(CrashMode::kept);
    const int synced = synced_;
    for (const std::string& name : names_in(disk_)) {
        const std::string path = std::string(directory) + "/" + name;
        const uint64_t size = *disk_.file_size(path);
        for (uint64_t length = 0; length < size; length += every(1 + size / 60)) {
            const auto copy = disk_.clone();
            ASSERT_TRUE(copy->truncate(path, length).ok());
            env::EncryptedFileSystem files(*copy, secrets_, env::KeyRing(master_key(1)));
            QueueWorkers workers;
            auto engine = open_engine(
                std::string(directory), small_options(GetParam()), environment(files, workers));
            if (!engine.ok()) {
                EXPECT_THAT(std::string(engine.status().message()), HasSubstr("/data/"));
                continue;
            }
            engine_ = *std::move(engine);
            // Nothing says that the last records of a log were there.
            synced_ = name.ends_with(".log") || name.ends_with(".data") ? 0 : synced;
            const std::string wrong = judge();
            EXPECT_TRUE(wrong.empty() || wrong.starts_with("DATA_LOSS"))
                << wrong << ", " << path << " cut to " << length;
            engine_.reset();
        }
    }
}

// The file that is being written is read while it grows.
TEST_P(EncryptedEngineTest, WhatWasSyncedIsReadThroughAFileThatWasOpenedEarlier) {
    EngineOptions options = small_options(GetParam());
    options.bitcask_file_bytes = 1 << 20;
    const auto engine = *open_engine("/large", options, environment(files_, workers_));
    for (int number = 0; number < 60; ++number) {
        ASSERT_TRUE(put(*engine, fmt::format("key {}", number), std::string(1000, 'v')).ok());
        ASSERT_TRUE(engine->sync().ok());
        workers_.run_all();
        for (const int earlier : {0, number / 2, number}) {
            EXPECT_EQ(read(*engine, fmt::format("key {}", earlier)), std::string(1000, 'v'))
                << earlier << " of " << number;
        }
    }
}

}  // namespace
}  // namespace starling::storage
