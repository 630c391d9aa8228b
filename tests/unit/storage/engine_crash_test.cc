// Every input/output operation of a scripted run is once the last one before a power loss, and once
// the one that fails.

#include <gtest/gtest.h>

#include "tests/unit/storage/crash_script.h"

namespace starling::storage {
namespace {

using env::CrashMode;

struct Loss {
    CrashMode mode;
    uint64_t seed;
};

// Tearing is random: three ways of it at each point.
constexpr Loss losses[] = {{CrashMode::process, 0},
                           {CrashMode::lost, 0},
                           {CrashMode::kept, 0},
                           {CrashMode::torn, 1},
                           {CrashMode::torn, 2},
                           {CrashMode::torn, 3}};

class EngineCrashTest : public testing::TestWithParam<std::tuple<std::string, size_t>> {
  protected:
    EngineOptions options() const { return small_options(std::get<0>(GetParam())); }
    env::SimFileSystemOptions disk_options() const {
        return {.append_buffer_bytes = std::get<1>(GetParam())};
    }

    // Kills the machine at operation n of the script; false: the script ended before.
    bool crash_at(env::SimFileSystem& files, CrashScript& script, uint64_t n) {
        files.faults().crash_at(n);
        const absl::Status status = script.run();
        const bool died = files.faults().dead();
        EXPECT_TRUE(died || status.ok()) << status;
        script.kill();
        return died;
    }
};

// Without a buffer each append of the engine is an operation of its own.
INSTANTIATE_TEST_SUITE_P(
    Engines,
    EngineCrashTest,
    testing::Combine(testing::Values("lsm", "bitcask"), testing::Values(0, 64 << 10)),
    [](const auto& tested) {
        return fmt::format("{}_buffer_{}", std::get<0>(tested.param), std::get<1>(tested.param));
    });

TEST_P(EngineCrashTest, WhateverTheLastOperationWasTheAcknowledgedBatchesAreThere) {
    uint64_t n = 1;
    for (bool died = true; died; ++n) {
        for (const Loss& loss : losses) {
            env::SimFileSystem files(disk_options());
            CrashScript script(files, options());
            died = crash_at(files, script, n);
            env::SimRandom random(loss.seed);
            files.crash(loss.mode, random);
            const std::string wrong = CrashScript::check_after_restart(files, script, options());
            ASSERT_EQ(wrong, "") << "crash at operation " << n << ", mode "
                                 << static_cast<int>(loss.mode) << ", seed " << loss.seed;
        }
    }
    // The script reaches flushes, compactions (merges) and reopenings.
    EXPECT_GT(n, 150u);
}

TEST_P(EngineCrashTest, ACrashDuringRecoveryLosesNothingEither) {
    bool died = true;
    for (uint64_t n = 5; died; n += 31) {
        for (const Loss& loss : {losses[1], losses[2], losses[3]}) {
            env::SimFileSystem files(disk_options());
            CrashScript script(files, options());
            died = crash_at(files, script, n);
            env::SimRandom random(loss.seed + n);
            files.crash(loss.mode, random);
            bool died_again = true;
            for (uint64_t m = 1; died_again; ++m) {
                const auto disk = files.clone();
                disk->faults().crash_at(m);
                {
                    QueueWorkers workers;
                    const auto engine =
                        open_engine("/data", options(), environment(*disk, workers));
                    died_again = disk->faults().dead();
                    ASSERT_TRUE(died_again || engine.ok()) << engine.status();
                }
                disk->crash(loss.mode, random);
                const std::string wrong =
                    CrashScript::check_after_restart(*disk, script, options());
                ASSERT_EQ(wrong, "") << "crash at operation " << n << ", then at operation " << m
                                     << " of the recovery, mode " << static_cast<int>(loss.mode);
            }
        }
    }
}

TEST_P(EngineCrashTest, AFailedOperationLosesNothingThatWasAcknowledged) {
    // The runs with single failures find out how many operations there are.
    uint64_t operations = 1;
    for (const bool for_ever : {false, true}) {
        for (uint64_t n = 1; n <= operations; ++n) {
            // A disk that is gone for good shows fewer different faces.
            if (for_ever && n % 4 != 0) {
                continue;
            }
            for (const Loss& loss : {losses[0], losses[1], losses[3]}) {
                env::SimFileSystem files(disk_options());
                CrashScript script(files, options());
                files.faults().fail_nth(n, for_ever);
                script.run_on();
                script.kill();
                operations = std::max(operations, files.faults().operation_count());
                env::SimRandom random(loss.seed + n);
                files.crash(loss.mode, random);
                const std::string wrong =
                    CrashScript::check_after_restart(files, script, options());
                ASSERT_EQ(wrong, "") << "failure of operation " << n << (for_ever ? " and on" : "")
                                     << ", mode " << static_cast<int>(loss.mode);
            }
        }
        EXPECT_GT(operations, 150u);
    }
}

TEST_P(EngineCrashTest, AFullDiskLosesNothingThatWasAcknowledged) {
    // A run on a disk without bounds tells how much is used at most.
    uint64_t most = 0;
    {
        env::SimFileSystem files(disk_options());
        CrashScript script(files, options());
        ASSERT_TRUE(script.run().ok());
        most = files.used_bytes() + (32u << 10);
    }
    for (uint64_t capacity = 100; capacity < most; capacity += 331) {
        env::SimFileSystemOptions disk = disk_options();
        disk.capacity = capacity;
        env::SimFileSystem files(disk);
        CrashScript script(files, options());
        script.run_on();
        script.kill();
        files.set_capacity(uint64_t{1} << 30);
        env::SimRandom random(capacity);
        files.crash(capacity % 2 == 0 ? CrashMode::lost : CrashMode::torn, random);
        const std::string wrong = CrashScript::check_after_restart(files, script, options());
        ASSERT_EQ(wrong, "") << "on a disk of " << capacity << " bytes";
    }
}

}  // namespace
}  // namespace starling::storage
