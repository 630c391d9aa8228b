// Real threads on a real file system.

#include <cstdlib>
#include <filesystem>
#include <thread>

#include <gtest/gtest.h>

#include "env/posix/file_system.h"
#include "env/posix/workers.h"
#include "tests/unit/storage/test_support.h"

namespace starling::storage {
namespace {

class GroupCommitTest : public testing::Test {
  protected:
    GroupCommitTest() {
        std::string pattern = (std::filesystem::temp_directory_path() / "starling-XXXXXX").string();
        EXPECT_NE(mkdtemp(pattern.data()), nullptr);
        directory = pattern;
    }
    ~GroupCommitTest() override {
        workers.stop(env::PosixWorkers::Queued::drop);
        std::filesystem::remove_all(directory);
    }

    std::unique_ptr<Engine> open() {
        EngineOptions options = small_options();
        options.memory_bytes_max = 256 << 10;
        auto opened = open_engine(directory + "/data", options, environment(files, workers));
        EXPECT_TRUE(opened.ok()) << opened.status();
        return *std::move(opened);
    }

    std::string directory;
    env::PosixFileSystem files;
    env::PosixWorkers workers{2};
};

TEST_F(GroupCommitTest, WritersShareSyncsWhileReadersAndBackgroundJobsRun) {
    constexpr int writer_count = 8;
    constexpr int writes = 150;
    auto engine = open();
    std::atomic<bool> done = false;
    std::atomic<int> wrong = 0;
    std::thread reader([&] {
        while (!done) {
            const auto found = contents(*engine);
            wrong += !found.ok();
        }
    });
    std::vector<std::thread> writers;
    for (int writer = 0; writer < writer_count; ++writer) {
        writers.emplace_back([&, writer] {
            for (int i = 0; i < writes; ++i) {
                WriteBatch batch;
                const std::string key = fmt::format("{}-{}", writer, i);
                batch.put(key, std::string(400, 'v'));
                absl::Status status = engine->write(batch, {.sync = true});
                while (absl::IsUnavailable(status)) {
                    std::this_thread::yield();
                    status = engine->write(batch, {.sync = true});
                }
                wrong += !status.ok();
                wrong += read(*engine, key).size() != 400;
            }
        });
    }
    for (std::thread& writer : writers) {
        writer.join();
    }
    done = true;
    reader.join();
    EXPECT_EQ(wrong, 0);
    const EngineStatistics statistics = engine->statistics();
    EXPECT_LT(statistics.syncs, uint64_t{writer_count * writes}) << "none was shared";
    EXPECT_GT(statistics.flushes, 0u);
    EXPECT_TRUE(engine->background_error().ok()) << engine->background_error();
    ASSERT_TRUE(engine->close().ok());
    engine.reset();
    engine = open();
    EXPECT_EQ(contents(*engine)->size(), size_t{writer_count * writes});
}

TEST_F(GroupCommitTest, AWriterThatDoesNotComeBackKeepsNobodyWaiting) {
    constexpr int writer_count = 8;
    constexpr int writes_each = 20;
    auto engine = open();
    std::atomic<int> wrong = 0;
    std::vector<std::thread> writers;
    for (int writer = 1; writer <= writer_count; ++writer) {
        writers.emplace_back([&, writer] {
            for (int i = 0; i < writer * writes_each; ++i) {
                WriteBatch batch;
                batch.put(fmt::format("{}-{}", writer, i), "v");
                wrong += !engine->write(batch, {.sync = true}).ok();
            }
        });
    }
    for (std::thread& writer : writers) {
        writer.join();
    }
    EXPECT_EQ(wrong, 0);
    ASSERT_TRUE(engine->close().ok());
    engine.reset();
    EXPECT_EQ(contents(*open())->size(),
              size_t{writes_each * writer_count * (writer_count + 1) / 2});
}

TEST_F(GroupCommitTest, ClosingWhileJobsRunLosesNothing) {
    for (int round = 0; round < 10; ++round) {
        auto engine = open();
        WriteBatch batch;
        for (int i = 0; i < 300; ++i) {
            batch.clear();
            batch.put(fmt::format("{}-{}", round, i), std::string(1000, 'v'));
            absl::Status status = engine->write(batch);
            while (absl::IsUnavailable(status)) {
                std::this_thread::yield();
                status = engine->write(batch);
            }
            ASSERT_TRUE(status.ok()) << status;
        }
        ASSERT_TRUE(engine->close().ok());
    }
    EXPECT_EQ(contents(*open())->size(), 3000u);
}

TEST_F(GroupCommitTest, DestructionWithoutCloseKeepsWhatWasSynced) {
    auto engine = open();
    for (int i = 0; i < 500; ++i) {
        WriteBatch batch;
        batch.put(fmt::format("{:04}", i), std::string(1000, 'v'));
        absl::Status status = engine->write(batch);
        while (absl::IsUnavailable(status)) {
            std::this_thread::yield();
            status = engine->write(batch);
        }
        ASSERT_TRUE(status.ok()) << status;
    }
    ASSERT_TRUE(engine->sync().ok());
    engine.reset();
    EXPECT_EQ(contents(*open())->size(), 500u);
}

}  // namespace
}  // namespace starling::storage
