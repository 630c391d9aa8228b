// A disk that is slow or full, and a close that comes at any time.

#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/unit/storage/engine_conformance.h"

namespace starling::storage {
namespace {

using env::FileOperation;
using testing::HasSubstr;

class EnginePaceTest : public EngineConformanceTest {
  protected:
    void open(const EngineOptions& options) {
        engine.reset();
        auto opened = open_engine("/data", options, world());
        ASSERT_TRUE(opened.ok()) << opened.status();
        engine = *std::move(opened);
    }
    void crash(const EngineOptions& options) {
        engine.reset();
        workers.drop_all();
        env::SimRandom random(1);
        files.crash(env::CrashMode::lost, random);
        open(options);
    }
};

STARLING_FOR_EVERY_DURABLE_ENGINE(EnginePaceTest);

// ---- slow

TEST_P(EnginePaceTest, WhileASyncTakesTenSecondsWritersGetAheadByABoundAndAreThenRefused) {
    EngineOptions options = small_options(GetParam());
    options.memory_bytes_max = 256 << 20;
    options.bitcask_file_bytes = 512 << 20;
    open(options);
    ASSERT_TRUE(put(*engine, "first", "1").ok());
    Model model = {{"first", "1"}};
    absl::Status refused;
    bool busy = false;
    files.faults().set_hook([&](FileOperation operation, const std::string&) {
        if (operation == FileOperation::sync && !busy && refused.ok()) {
            busy = true;
            for (int i = 0; i < 100 && refused.ok(); ++i) {
                const std::string key = fmt::format("key{:03}", i);
                const std::string value(1 << 20, 'v');
                refused = put(*engine, key, value);
                if (refused.ok()) {
                    model[key] = value;
                }
            }
            EXPECT_EQ(engine->write_pressure(), WritePressure::refusing);
            clock.advance(std::chrono::seconds(10));
            busy = false;
        }
        return absl::OkStatus();
    });
    EXPECT_TRUE(engine->sync().ok());
    files.faults().set_hook(nullptr);
    EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
    EXPECT_THAT(std::string(refused.message()), HasSubstr("stalled"));
    EXPECT_GE(model.size(), 10u);
    EXPECT_LE(model.size(), 20u);
    EXPECT_TRUE(engine->background_error().ok());
    EXPECT_TRUE(put(*engine, "last", "2").ok());
    model["last"] = "2";
    EXPECT_EQ(engine->write_pressure(), WritePressure::none);
    if (GetParam() == "lsm") {
        EXPECT_EQ(engine->statistics().stall_time, std::chrono::seconds(10));
    }
    ASSERT_TRUE(engine->sync().ok());
    crash(options);
    EXPECT_TRUE(*contents(*engine) == model);
}

TEST_P(EnginePaceTest, TenSecondsForEachOperationLoseNothingAndChangeNoAnswer) {
    EngineOptions options = small_options(GetParam());
    options.compaction_bytes_per_second = 1;
    open(options);
    files.faults().set_hook([&](FileOperation, const std::string&) {
        clock.advance(std::chrono::seconds(10));
        return absl::OkStatus();
    });
    Model model;
    overwrite(*engine, workers, model, 600, 50, 70);
    ASSERT_TRUE(put_until("later", "v", in(std::chrono::hours(1000))).ok());
    ASSERT_TRUE(engine->sync().ok());
    workers.run_all();
    model["later"] = "v";
    EXPECT_EQ(*contents(*engine), model);
    crash(options);
    EXPECT_EQ(*contents(*engine), model);
    files.faults().set_hook(nullptr);
}

// ---- full

TEST_P(EnginePaceTest, AWriteThatIsCutShortAnywhereIsContinuedWhenThereIsSpace) {
    EngineOptions options = small_options(GetParam());
    options.bitcask_file_bytes = 1 << 20;
    options.memory_bytes_max = 1 << 20;
    files.set_append_buffer_bytes(0);
    open(options);
    WriteBatch batch;
    batch.put("a", std::string(900, 'a'));
    batch.put("b", std::string(300, 'b'));
    Model model;
    const auto make_disk = [&] {
        ASSERT_TRUE(engine->sync().ok());
        engine.reset();
        workers.drop_all();
    };
    make_disk();
    const auto before = files.clone();
    for (uint64_t length = 0;; length += every(3)) {
        const auto disk = before->clone();
        auto opened = open_engine("/data", options, environment(*disk, workers));
        ASSERT_TRUE(opened.ok()) << opened.status();
        ASSERT_TRUE((*opened)->write(put_of("before", "0"), {.sync = true}).ok());
        // What was reserved for the log is full, too.
        const std::string filler(GetParam() == "lsm" ? 300 << 10 : 10, 'f');
        ASSERT_TRUE((*opened)->write(put_of("filler", filler), {.sync = true}).ok());
        disk->set_capacity(disk->used_bytes() + length);
        const absl::Status status = (*opened)->write(batch, {.sync = true});
        if (status.ok()) {
            EXPECT_GT(length, 1000u);
            break;
        }
        SCOPED_TRACE(length);
        ASSERT_TRUE(absl::IsResourceExhausted(status)) << status;
        ASSERT_EQ(base::reason_of(status), base::reason::disk_full);
        ASSERT_EQ(read(**opened, "before"), "0");
        // The process ends here, or there is space again.
        const auto ended = disk->clone();
        disk->set_capacity(1 << 30);
        const absl::Status again = (*opened)->write(put_of("c", "1"), {.sync = true});
        ASSERT_TRUE(again.ok()) << again;
        opened->reset();
        env::SimRandom random(length);
        disk->crash(env::CrashMode::lost, random);
        ended->set_capacity(1 << 30);
        for (const bool healed : {true, false}) {
            QueueWorkers jobs;
            const auto found =
                open_engine("/data", options, environment(healed ? *disk : *ended, jobs));
            ASSERT_TRUE(found.ok()) << found.status();
            EXPECT_EQ(read(**found, "before"), "0");
            EXPECT_EQ(read(**found, "a") == "(none)", read(**found, "b") == "(none)");
            EXPECT_TRUE(!healed || read(**found, "a").size() == 900);
            EXPECT_EQ(read(**found, "c"), healed ? "1" : "(none)");
        }
    }
}

TEST_P(EnginePaceTest, BackgroundWorkLeavesTheReserveToTheLog) {
    constexpr uint64_t reserve = 200 << 10;
    EngineOptions options = small_options(GetParam());
    options.disk_reserve_bytes = reserve;
    options.memory_bytes_max = 64 << 10;
    open(options);
    Model model;
    overwrite(*engine, workers, model, 400, 50, 300);
    workers.run_all();
    ASSERT_TRUE(engine->sync().ok());
    // As much as the log may use, and not as much as a flush or a merge must leave.
    files.set_capacity(files.used_bytes() + reserve - 1000);
    absl::Status status;
    int written = 0;
    for (; status.ok() && written < 60; ++written) {
        status = engine->write(put_of(fmt::format("key{:03}", written % 50), std::string(300, 'w')),
                               {.sync = true});
    }
    ASSERT_TRUE(status.ok()) << status;
    const uint64_t flushes = engine->statistics().flushes;
    const uint64_t merges = engine->statistics().compactions;
    workers.run_all();
    EXPECT_EQ(engine->statistics().compactions, merges);
    if (GetParam() == "lsm") {
        EXPECT_EQ(engine->statistics().flushes, flushes);
    }
    EXPECT_TRUE(engine->background_error().ok()) << engine->background_error();
    EXPECT_TRUE(absl::IsResourceExhausted(engine->compact()));
    files.set_capacity(1 << 30);
    EXPECT_TRUE(engine->compact().ok());
    EXPECT_EQ(read(*engine, "key000"), std::string(300, 'w'));
}

TEST_P(EnginePaceTest, TheDiskTakesAFewTimesWhatLivesOnItAtMost) {
    EngineOptions options = small_options(GetParam());
    options.memory_bytes_max = 64 << 10;
    options.table_bytes = 16 << 10;
    options.level_bytes_base = 64 << 10;
    options.bitcask_file_bytes = 32 << 10;
    options.bitcask_stale_bytes_max = 64 << 10;
    open(options);
    Model model;
    uint64_t most = 0;
    files.faults().set_hook([&](FileOperation, const std::string&) {
        most = std::max(most, files.used_bytes());
        return absl::OkStatus();
    });
    env::SimRandom random(5);
    constexpr uint64_t keys = 1000;
    constexpr uint64_t value_bytes = 300;
    for (uint64_t i = 0; i < 10 * keys; ++i) {
        const std::string key = fmt::format("key{:04}", random.below(keys));
        std::string value(value_bytes, '\0');
        for (char& c : value) {
            c = static_cast<char>(random.below(256));
        }
        ASSERT_TRUE(write_patiently(*engine, workers, put_of(key, value)).ok());
        workers.run_all();
    }
    files.faults().set_hook(nullptr);
    EXPECT_LT(most, keys * value_bytes * 3);
    RecordProperty("most_bytes", static_cast<int>(most));
}

// ---- closing

TEST_P(EnginePaceTest, ACloseThatMeetsAJobAtAnyPointEndsAndKeepsEverything) {
    Model model;
    overwrite(*engine, workers, model, 200, 50, 70);
    workers.run_all();
    engine.reset();
    const auto before = files.clone();
    for (uint64_t n = 1;; ++n) {
        SCOPED_TRACE(n);
        const auto disk = before->clone();
        QueueWorkers jobs;
        auto opened = open_engine("/data", small_options(GetParam()), environment(*disk, jobs));
        ASSERT_TRUE(opened.ok()) << opened.status();
        Model expected = model;
        for (int i = 0; i < 90; ++i) {
            const std::string key = fmt::format("key{:03}", i % 45);
            expected[key] = std::string(60, 'j');
            ASSERT_TRUE(put(**opened, key, expected[key]).ok());
        }
        // The job stops at its n-th operation until the engine is being closed.
        std::atomic<bool> there = false;
        std::atomic<bool> inside = false;
        uint64_t count = 0;
        disk->faults().set_hook([&](FileOperation, const std::string&) {
            if (++count == n) {
                inside = true;
                there = true;
                there.notify_one();
                while (!absl::IsFailedPrecondition((*opened)->get_from_memory("none").status())) {
                    std::this_thread::yield();
                }
                // A close that does not wait has time to return.
                for (int i = 0; i < 100; ++i) {
                    std::this_thread::yield();
                }
                inside = false;
            }
            return absl::OkStatus();
        });
        std::thread job([&] {
            jobs.run_all();
            there = true;
            there.notify_one();
        });
        there.wait(false);
        const bool reached = count >= n;
        const absl::Status closed = (*opened)->close();
        EXPECT_FALSE(inside) << "the close did not wait";
        const uint64_t operations = disk->faults().operation_count();
        job.join();
        disk->faults().set_hook(nullptr);
        ASSERT_EQ(disk->faults().operation_count(), operations) << "a job outlived the close";
        ASSERT_TRUE(closed.ok()) << closed;
        opened->reset();
        env::SimRandom random(n);
        disk->crash(env::CrashMode::lost, random);
        opened = open_engine("/data", small_options(GetParam()), environment(*disk, jobs));
        ASSERT_TRUE(opened.ok()) << opened.status();
        ASSERT_EQ(*contents(**opened), expected);
        if (!reached) {
            EXPECT_GT(n, 20u);
            break;
        }
    }
}

// ---- options and limits

TEST_P(EnginePaceTest, EachOptionThatMakesNoSenseIsRefusedByName) {
    struct Wrong {
        std::string engine;
        std::string named;
        std::function<void(EngineOptions&)> change;
    };
    const std::vector<Wrong> all = {
        {"lsm", "memory_bytes_max", [](EngineOptions& o) { o.memory_bytes_max = 16383; }},
        {"lsm", "memtables_max", [](EngineOptions& o) { o.memtables_max = 1; }},
        {"lsm", "memtables_max", [](EngineOptions& o) { o.memtables_max = 65; }},
        {"lsm",
         "memory_bytes_max",
         [](EngineOptions& o) { o.memory_bytes_max = (uint64_t{4} << 30) + 4; }},
        {"lsm", "separate_value_bytes", [](EngineOptions& o) { o.separate_value_bytes = 47; }},
        {"lsm",
         "level_bytes_base",
         [](EngineOptions& o) { o.level_bytes_base = (uint64_t{1} << 40) + 1; }},
        {"lsm", "level_bytes_base", [](EngineOptions& o) { o.level_bytes_base = 2047; }},
        {"lsm", "block_bytes", [](EngineOptions& o) { o.block_bytes = 63; }},
        {"lsm", "block_bytes", [](EngineOptions& o) { o.block_bytes = (16 << 20) + 1; }},
        {"lsm", "table_bytes", [](EngineOptions& o) { o.table_bytes = 1023; }},
        {"lsm", "level_0_tables_compact", [](EngineOptions& o) { o.level_0_tables_compact = 0; }},
        {"lsm",
         "level_0_tables_stall",
         [](EngineOptions& o) { o.level_0_tables_stall = o.level_0_tables_compact; }},
        {"lsm", "filter_bits_per_key", [](EngineOptions& o) { o.filter_bits_per_key = 65; }},
        {"lsm", "open_tables_max", [](EngineOptions& o) { o.open_tables_max = 0; }},
        {"bitcask", "open_tables_max", [](EngineOptions& o) { o.open_tables_max = 0; }},
        {"bitcask", "bitcask_file_bytes", [](EngineOptions& o) { o.bitcask_file_bytes = 1023; }},
        {"bitcask", "bitcask_file_bytes", [](EngineOptions& o) {
             o.bitcask_file_bytes = (uint64_t{3} << 30) + 1;
         }}};
    ASSERT_TRUE(put(*engine, "a", "1").ok());
    ASSERT_TRUE(engine->close().ok());
    engine.reset();
    for (const Wrong& wrong : all) {
        if (wrong.engine != GetParam()) {
            continue;
        }
        EngineOptions options = small_options(GetParam());
        wrong.change(options);
        const auto refused = open_engine("/data", options, world());
        EXPECT_TRUE(absl::IsInvalidArgument(refused.status())) << wrong.named;
        EXPECT_THAT(std::string(refused.status().message()), HasSubstr(wrong.named));
    }
    open(small_options(GetParam()));
    EXPECT_EQ(read(*engine, "a"), "1");
}

}  // namespace
}  // namespace starling::storage
