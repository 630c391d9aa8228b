// Every input/output operation of a scripted run is once the last one before a power loss, and once
// the one that fails.

#include <algorithm>

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

TEST_P(EngineCrashTest, RecoveriesThatCrashOneAfterAnotherLoseNothing) {
    constexpr int depth = 3;
    uint64_t states = 0;
    // Crashes in the script, then in the recovery of what that left, and in the recovery of that:
    // some ten million states.
    const auto recover_and_crash = [&](const auto& self,
                                       const CrashScript& script,
                                       const env::SimFileSystem& before,
                                       int deeper,
                                       uint64_t step) -> void {
        env::SimRandom random(step + static_cast<uint64_t>(deeper));
        bool died = true;
        const uint64_t stride = every(step, step / 2);
        for (uint64_t m = 1 + step % 5; died && !HasFatalFailure(); m += stride) {
            const auto disk = before.clone();
            disk->faults().crash_at(m);
            {
                QueueWorkers workers;
                const auto engine = open_engine("/data", options(), environment(*disk, workers));
                died = disk->faults().dead();
                ASSERT_TRUE(died || engine.ok()) << engine.status();
            }
            disk->crash(m % 2 == 0 ? CrashMode::torn : CrashMode::lost, random);
            if (deeper > 1) {
                self(self, script, *disk, deeper - 1, step + 4);
                continue;
            }
            ++states;
            const std::string wrong = CrashScript::check_after_restart(*disk, script, options());
            ASSERT_EQ(wrong, "") << "operation " << m << " of the last recovery";
        }
    };
    bool died = true;
    for (uint64_t n = 20; died && !HasFatalFailure(); n += every(113, 11)) {
        env::SimFileSystem files(disk_options());
        CrashScript script(files, options());
        died = crash_at(files, script, n);
        env::SimRandom random(n);
        files.crash(CrashMode::torn, random);
        recover_and_crash(recover_and_crash, script, files, depth, 7);
    }
    EXPECT_GT(states, 50u);
}

TEST_P(EngineCrashTest, ChangesOfTheDirectoryReachTheDiskInAnyOrder) {
    // Where the script creates, renames and removes files, and where it relies on that.
    std::vector<uint64_t> points;
    {
        env::SimFileSystem files(disk_options());
        CrashScript script(files, options());
        files.faults().set_hook([&](env::FileOperation operation, const std::string&) {
            if (operation == env::FileOperation::rename ||
                operation == env::FileOperation::remove ||
                operation == env::FileOperation::sync_directory) {
                points.push_back(files.faults().operation_count());
            }
            return absl::OkStatus();
        });
        ASSERT_TRUE(script.run().ok());
        script.kill();
    }
    ASSERT_GT(points.size(), 40u);
    for (const uint64_t point : points) {
        // Before it, and with it done.
        for (const uint64_t n : {point, point + 1}) {
            for (uint64_t seed = 1; seed <= 32 / every(5); ++seed) {
                env::SimFileSystem files(disk_options());
                CrashScript script(files, options());
                crash_at(files, script, n);
                env::SimRandom random(seed * 1000 + n);
                files.crash(CrashMode::torn, random);
                const std::string wrong =
                    CrashScript::check_after_restart(files, script, options());
                ASSERT_EQ(wrong, "") << "crash at operation " << n << ", seed " << seed;
            }
        }
    }
}

TEST_P(EngineCrashTest, SeveralLogsAreReplayedInOrderAndWhatIsTornEndsThem) {
    for (const Loss& loss : losses) {
        for (const bool synced : {true, false}) {
            env::SimFileSystem files(disk_options());
            QueueWorkers workers;
            auto engine = *open_engine("/data", options(), environment(files, workers));
            // No job runs, so full memtables and files pile up.
            std::vector<Model> states = {Model()};
            for (int i = 0;; ++i) {
                const std::string key = fmt::format("key{}", i % 7);
                const std::string value = fmt::format("{:04}", i) + std::string(200, 'v');
                if (i == 60 || !put(*engine, key, value).ok()) {
                    break;
                }
                states.push_back(states.back());
                states.back()[key] = value;
            }
            ASSERT_GT(states.size(), 30u);
            ASSERT_TRUE(!synced || engine->sync().ok());
            size_t logs = 0;
            const std::vector<std::string> names = *files.list("/data");
            for (const std::string& name : names) {
                logs += name.ends_with(".log") || name.ends_with(".data") ? 1u : 0u;
            }
            ASSERT_TRUE(!synced || logs >= 3) << logs;
            engine.reset();
            workers.drop_all();
            env::SimRandom random(loss.seed);
            files.crash(loss.mode, random);
            engine = *open_engine("/data", options(), environment(files, workers));
            const Model found = *contents(*engine);
            ASSERT_TRUE(synced ? found == states.back()
                               : std::find(states.begin(), states.end(), found) != states.end());
        }
    }
}

}  // namespace
}  // namespace starling::storage
