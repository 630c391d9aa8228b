// Real threads, real workers, a real file system: every engine.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/functional/function_ref.h"
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
    // 500 keys.
    static void write_values(Engine& engine) {
        for (int i = 0; i < 500; ++i) {
            WriteBatch batch;
            batch.put(fmt::format("{}", i), std::string(300, 'v'));
            ASSERT_TRUE(write(engine, batch).ok());
        }
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

TEST_P(EngineThreadsTest, WhileFilesAreMergedNoneOfThemIsTakenForDamage) {
    auto engine = open();
    std::atomic<bool> done = false;
    std::atomic<int> wrong = 0;
    std::thread searcher([&] {
        while (!done) {
            const auto found = engine->find_damage();
            wrong += !found.ok() || !found->empty();
            wrong += !engine->give_up({}).ok();
        }
    });
    std::vector<std::thread> scrubbers;
    for (int thread = 0; thread < 2; ++thread) {
        scrubbers.emplace_back([&] {
            while (!done) {
                wrong += !engine->scrub(1000).ok();
            }
        });
    }
    for (int i = 0; i < 2000; ++i) {
        WriteBatch batch;
        batch.put(fmt::format("{}", i % 50), std::string(300, 'v'));
        wrong += !write(*engine, batch).ok();
    }
    done = true;
    searcher.join();
    for (std::thread& scrubber : scrubbers) {
        scrubber.join();
    }
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(contents(*engine)->size(), 50u);
    ASSERT_TRUE(engine->close().ok());
}

// Each reads all that is there.
constexpr std::array<absl::Status (*)(Engine&), 3> all_searches = {
    [](Engine& engine) { return engine.find_damage().status(); },
    [](Engine& engine) { return engine.give_up({}); },
    [](Engine& engine) { return engine.scrub(uint64_t{1} << 30).status(); }};

// How the search ends that is under way, or begun next, when `end` is called.
absl::Status ended_by(Engine& engine,
                      absl::Status (*search)(Engine&),
                      absl::FunctionRef<void()> end) {
    std::atomic<bool> begun = false;
    absl::Status status;
    std::thread searcher([&] {
        while (status.ok()) {
            begun = true;
            status = search(engine);
        }
    });
    while (!begun) {
        std::this_thread::yield();
    }
    end();
    searcher.join();
    return status;
}

TEST_P(EngineThreadsTest, ACloseEndsTheSearchForDamage) {
    for (const auto search : all_searches) {
        auto engine = open();
        write_values(*engine);
        const absl::Status status =
            ended_by(*engine, search, [&] { EXPECT_TRUE(engine->close().ok()); });
        EXPECT_TRUE(absl::IsCancelled(status) || absl::IsFailedPrecondition(status)) << status;
        engine.reset();
        if (GetParam() != "in_memory") {
            EXPECT_EQ(contents(*open())->size(), 500u);
        }
    }
}

TEST_P(EngineThreadsTest, SearchesForDamageCanBeEndedAndNothingElseIs) {
    for (const auto search : all_searches) {
        auto engine = open();
        write_values(*engine);
        const absl::Status status = ended_by(*engine, search, [&] { engine->end_searches(); });
        EXPECT_TRUE(absl::IsCancelled(status)) << status;
        EXPECT_TRUE(absl::IsCancelled(search(*engine)));
        write_values(*engine);
        EXPECT_EQ(contents(*engine)->size(), 500u);
        EXPECT_TRUE(engine->close().ok());
    }
}

// Of the others some damage would be to the log.
class LsmThreadsTest : public EngineThreadsTest {};
INSTANTIATE_TEST_SUITE_P(Engines, LsmThreadsTest, testing::Values("lsm"));

TEST_P(LsmThreadsTest, DamageIsGivenUpAgainAndAgainWhileOthersWriteAndRead) {
    auto engine = open();
    std::atomic<bool> done = false;
    std::atomic<int> wrong = 0;
    std::atomic<int> searches = 0;
    std::atomic<int> healed = 0;
    const auto is_served = [](const absl::Status& status) {
        return status.ok() || absl::IsDataLoss(status);
    };
    const auto heal = [&] {
        const auto found = engine->find_damage();
        wrong += !found.ok();
        // What has come up since is for the next time.
        const absl::Status status = engine->give_up(*found);
        wrong += !is_served(status);
        ++searches;
        healed += status.ok() && !found->empty();
        return status.ok() && found->empty();
    };
    std::thread healer([&] {
        while (!done) {
            heal();
        }
    });
    std::thread reader([&] {
        while (!done) {
            const auto iterator = engine->new_iterator();
            for (iterator->seek_to_first(); iterator->valid(); iterator->next()) {
                wrong += iterator->value().size() != 300;
            }
            wrong += !is_served(iterator->status());
        }
    });
    std::thread scrubber([&] {
        while (!done) {
            wrong += !is_served(engine->scrub(10'000).status());
        }
    });
    // Overwrites a byte of some table, now and then.
    std::thread damager([&] {
        for (int i = 0; !done; ++i) {
            for (const auto& entry : std::filesystem::directory_iterator(directory + "/data")) {
                if (entry.path().extension() == ".table") {
                    std::fstream file(entry.path(), std::ios::in | std::ios::out);
                    file.seekp(100).put(static_cast<char>(i));
                    break;
                }
            }
            const int before = searches;
            while (!done && searches < before + 3) {
                std::this_thread::yield();
            }
        }
    });
    for (int i = 0; !done; ++i) {
        WriteBatch batch;
        batch.put(fmt::format("{}", i % 200), std::string(300, 'v'));
        wrong += !write(*engine, batch).ok();
        done = healed >= 10 || wrong > 0;
    }
    healer.join();
    reader.join();
    scrubber.join();
    damager.join();
    EXPECT_EQ(wrong, 0);
    EXPECT_GE(healed, 10);
    while (!heal() && wrong == 0) {
    }
    EXPECT_TRUE(engine->damage().ok()) << engine->damage();
    for (int i = 0; i < 200; ++i) {
        WriteBatch batch;
        batch.put(fmt::format("{}", i), std::string(300, 'w'));
        ASSERT_TRUE(write(*engine, batch).ok());
    }
    EXPECT_TRUE(engine->background_error().ok()) << engine->background_error();
    EXPECT_TRUE(engine->compact().ok());
    const auto found = contents(*engine);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(found->size(), 200u);
    EXPECT_TRUE(std::all_of(found->begin(), found->end(), [](const auto& entry) {
        return entry.second == std::string(300, 'w');
    }));
    ASSERT_TRUE(engine->close().ok());
}

}  // namespace
}  // namespace starling::storage
