// Real threads, real workers, a real file system: every engine.

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include <gtest/gtest.h>

#include "env/posix/file_system.h"
#include "env/posix/workers.h"
#include "tests/unit/storage/engine_conformance.h"

namespace starling::storage {
namespace {

class EngineThreadsTest : public testing::TestWithParam<std::string> {
  protected:
    EngineThreadsTest() {
        std::string pattern = (std::filesystem::temp_directory_path() / "starling-XXXXXX").string();
        EXPECT_NE(mkdtemp(pattern.data()), nullptr);
        directory = pattern;
    }
    ~EngineThreadsTest() override {
        workers.stop(env::PosixWorkers::Queued::drop);
        std::filesystem::remove_all(directory);
    }

    std::unique_ptr<Engine> open() {
        EngineOptions options = small_options(GetParam());
        options.memory_bytes_max = 64 << 10;
        options.direct_reads = true;
        options.bitcask_file_bytes = 16 << 10;
        options.bitcask_stale_bytes_max = 16 << 10;
        auto opened = open_engine(directory + "/data", options, environment(files, workers));
        EXPECT_TRUE(opened.ok()) << opened.status();
        return *std::move(opened);
    }

    static absl::Status write(Engine& engine, const WriteBatch& batch, WriteOptions options = {}) {
        absl::Status status = engine.write(batch, options);
        while (absl::IsUnavailable(status)) {
            std::this_thread::yield();
            status = engine.write(batch, options);
        }
        return status;
    }

    std::string directory;
    env::PosixFileSystem files;
    env::PosixWorkers workers{2};
};

STARLING_FOR_EVERY_ENGINE(EngineThreadsTest);

TEST_P(EngineThreadsTest, FourThreadsWriteAndReadWhileFilesAreMergedUnderThem) {
    constexpr int thread_count = 4;
    constexpr int writes = 250;
    auto engine = open();
    std::atomic<bool> done = false;
    std::atomic<int> wrong = 0;
    std::thread reader([&] {
        while (!done) {
            const auto iterator = engine->new_iterator();
            for (iterator->seek_to_last(); iterator->valid(); iterator->previous()) {
                wrong += iterator->value().size() != 200;
            }
            wrong += !iterator->status().ok();
        }
    });
    std::vector<std::thread> writers;
    for (int thread = 0; thread < thread_count; ++thread) {
        writers.emplace_back([&, thread] {
            for (int i = 0; i < writes; ++i) {
                // Each key is written many times, so that files grow stale.
                const std::string key = fmt::format("{}-{}", thread, i % 25);
                const std::string value =
                    fmt::format("{:04}", i) + std::string(196, static_cast<char>('a' + thread));
                WriteBatch batch;
                batch.put(key, value);
                wrong += !write(*engine, batch, {.sync = i % 50 == 49}).ok();
                wrong += read(*engine, key) != value;
            }
        });
    }
    for (std::thread& writer : writers) {
        writer.join();
    }
    done = true;
    reader.join();
    EXPECT_EQ(wrong, 0);
    EXPECT_TRUE(engine->background_error().ok()) << engine->background_error();
    ASSERT_TRUE(engine->compact().ok());
    EXPECT_EQ(contents(*engine)->size(), size_t{thread_count * 25});
    ASSERT_TRUE(engine->close().ok());
    if (GetParam() == "in_memory") {
        return;
    }
    engine.reset();
    engine = open();
    const auto found = contents(*engine);
    ASSERT_TRUE(found.ok()) << found.status();
    ASSERT_EQ(found->size(), size_t{thread_count * 25});
    for (const auto& [key, value] : *found) {
        EXPECT_GE(value, "0225") << key;
    }
}

TEST_P(EngineThreadsTest, OfConcurrentConditionalWritesNoneIsLost) {
    constexpr int thread_count = 4;
    constexpr int increments = 100;
    auto engine = open();
    ASSERT_TRUE(put(*engine, "counter", "0").ok());
    std::atomic<int> wrong = 0;
    std::vector<std::thread> threads;
    for (int thread = 0; thread < thread_count; ++thread) {
        threads.emplace_back([&] {
            for (int i = 0; i < increments;) {
                const std::string value = read(*engine, "counter");
                const Condition condition{.key = "counter", .expected = value};
                WriteBatch batch;
                batch.put("counter", fmt::format("{}", std::stoi(value) + 1));
                const absl::Status status = engine->write_if({&condition, 1}, batch);
                i += status.ok() ? 1 : 0;
                wrong += !status.ok() && !absl::IsAborted(status) && !absl::IsUnavailable(status);
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(read(*engine, "counter"), fmt::format("{}", thread_count * increments));
    ASSERT_TRUE(engine->close().ok());
}

}  // namespace
}  // namespace starling::storage
