#pragma once

// What the tests share that hold for every engine, whatever it is made of.

#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "tests/unit/storage/test_support.h"

namespace starling::storage {

class EngineConformanceTest : public testing::TestWithParam<std::string> {
  protected:
    EngineConformanceTest() { reopen(); }

    bool durable() const { return GetParam() != "in_memory"; }

    EngineEnvironment world() {
        return {.files = files, .workers = workers, .clock = clock, .wall_clock = clock};
    }
    // Of an engine that keeps nothing, the state is as it was.
    void reopen_if_durable() {
        if (durable()) {
            reopen();
        }
    }
    void reopen() {
        if (engine != nullptr) {
            EXPECT_TRUE(engine->close().ok());
            engine.reset();
        }
        auto opened = open_engine("/data", small_options(GetParam()), world());
        ASSERT_TRUE(opened.ok()) << opened.status();
        engine = *std::move(opened);
    }

    absl::Status put_until(std::string_view key, std::string_view value, base::WallTime expiry) {
        WriteBatch batch;
        batch.put(key, value, expiry);
        return engine->write(batch);
    }
    // From now.
    base::WallTime in(base::Duration time) const { return clock.wall_now() + time; }

    env::SimFileSystem files;
    QueueWorkers workers;
    ManualClock clock;
    std::unique_ptr<Engine> engine;
};

#define STARLING_FOR_EVERY_ENGINE(suite)                                                         \
    INSTANTIATE_TEST_SUITE_P(                                                                    \
        Engines, suite, testing::Values("lsm", "bitcask", "in_memory"), [](const auto& tested) { \
            return tested.param;                                                                 \
        })

#define STARLING_FOR_EVERY_DURABLE_ENGINE(suite)                                    \
    INSTANTIATE_TEST_SUITE_P(                                                       \
        Engines, suite, testing::Values("lsm", "bitcask"), [](const auto& tested) { \
            return tested.param;                                                    \
        })

}  // namespace starling::storage
