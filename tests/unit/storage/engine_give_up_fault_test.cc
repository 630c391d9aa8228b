// Whatever fails while damage is given up, nothing else is lost, and it can be given up again.

#include "base/error.h"
#include "tests/unit/storage/engine_give_up.h"

namespace starling::storage {
namespace {

using env::CrashMode;

class EngineGiveUpFaultTest : public EngineGiveUpTest {
  protected:
    EngineGiveUpFaultTest() {
        // In some files of every kind and level.
        const std::vector<std::string> paths = data_paths();
        for (size_t i = 0; i < paths.size(); i += 5) {
            flip(disk, paths[i], 100);
            flip(disk, paths[paths.size() - 1 - i], 300);
        }
        QueueWorkers workers;
        open(workers);
        ranges = *engine->find_damage();
        EXPECT_FALSE(ranges.empty());
        EXPECT_LT(std::count_if(history.begin(),
                                history.end(),
                                [&](const auto& entry) { return lies_in(ranges, entry.first); }),
                  static_cast<ptrdiff_t>(history.size()));
        engine.reset();
        // What opening it has left.
        disk.crash(CrashMode::kept, random);
    }

    // Nothing but what is in the ranges was lost.
    void check(env::SimFileSystem& files, uint64_t n) {
        QueueWorkers workers;
        auto opened = open_engine("/data", options(), environment(files, workers));
        ASSERT_TRUE(opened.ok()) << opened.status();
        const auto left = (*opened)->find_damage();
        ASSERT_TRUE(left.ok()) << left.status();
        for (const KeyRange& range : *left) {
            EXPECT_TRUE(lies_in(ranges, range.first) && lies_in(ranges, range.last));
        }
        const absl::Status status = (*opened)->give_up(*left);
        ASSERT_TRUE(status.ok()) << status;
        EXPECT_EQ(judge(**opened, ranges), "") << "operation " << n;
        EXPECT_EQ(*(*opened)->find_damage(), KeyRanges());
        EXPECT_TRUE((*opened)->compact().ok());
        EXPECT_EQ(judge(**opened, ranges), "") << "operation " << n;
    }

    env::SimRandom random{1};
    KeyRanges ranges;
};

INSTANTIATE_TEST_SUITE_P(Engines,
                         EngineGiveUpFaultTest,
                         testing::Values("lsm", "lsm_values", "bitcask"),
                         [](const auto& tested) { return tested.param; });

class LsmGiveUpFaultTest : public EngineGiveUpFaultTest {};
INSTANTIATE_TEST_SUITE_P(Engines,
                         LsmGiveUpFaultTest,
                         testing::Values("lsm", "lsm_values"),
                         [](const auto& tested) { return tested.param; });

TEST_P(EngineGiveUpFaultTest, WhicheverOperationFailsItCanBeGivenUpAgain) {
    size_t failed = 0;
    for (const bool for_ever : {false, true}) {
        for (uint64_t n = 1;; n += for_ever ? every(13) : every(5)) {
            const auto files = disk.clone();
            QueueWorkers workers;
            auto opened = *open_engine("/data", options(), environment(*files, workers));
            const uint64_t before = files->faults().operation_count();
            files->faults().fail_nth(n, for_ever);
            const absl::Status status = opened->give_up(ranges);
            const bool reached = files->faults().operation_count() - before >= n;
            files->faults().clear();
            ASSERT_TRUE(reached || status.ok()) << status;
            // One that is no damage is not taken for it.
            ASSERT_FALSE(absl::IsDataLoss(status)) << status;
            failed += status.ok() ? 0u : 1u;
            if (status.ok()) {
                ASSERT_EQ(judge(*opened, ranges), "") << "operation " << n;
            } else if (opened->background_error().ok()) {
                const absl::Status again = opened->give_up(ranges);
                ASSERT_TRUE(again.ok()) << again;
                ASSERT_EQ(judge(*opened, ranges), "") << "operation " << n;
            }
            opened.reset();
            workers.drop_all();
            files->crash(n % 2 == 0 ? CrashMode::lost : CrashMode::torn, random);
            check(*files, n);
            ASSERT_FALSE(HasFailure()) << "operation " << n;
            if (!reached) {
                break;
            }
        }
    }
    EXPECT_GT(failed, 20u);
}

TEST_P(EngineGiveUpFaultTest, ACrashBeforeAnyOperationLosesNoOtherKeys) {
    uint64_t n = 1;
    for (bool died = true; died; n += every(5)) {
        for (const CrashMode mode :
             {CrashMode::process, CrashMode::lost, CrashMode::kept, CrashMode::torn}) {
            const auto files = disk.clone();
            QueueWorkers workers;
            auto opened = *open_engine("/data", options(), environment(*files, workers));
            files->faults().crash_at(n);
            const absl::Status status = opened->give_up(ranges);
            died = files->faults().dead();
            ASSERT_TRUE(died || status.ok()) << status;
            opened.reset();
            workers.drop_all();
            files->crash(mode, random);
            check(*files, n);
            ASSERT_FALSE(HasFailure()) << "operation " << n << ", mode " << static_cast<int>(mode);
        }
    }
    EXPECT_GT(n, 20u);
}

TEST_P(LsmGiveUpFaultTest, AFullDiskRefusesAndLaterItIsGivenUp) {
    const auto files = disk.clone();
    QueueWorkers workers;
    const auto opened = *open_engine("/data", options(), environment(*files, workers));
    files->set_capacity(files->used_bytes());
    const absl::Status status = opened->give_up(ranges);
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    EXPECT_TRUE(opened->background_error().ok());
    files->set_capacity(1 << 30);
    ASSERT_TRUE(opened->give_up(ranges).ok());
    EXPECT_EQ(judge(*opened, ranges), "");
}

TEST_P(EngineGiveUpFaultTest, AnErrorOfTheDiskIsNotTakenForDamage) {
    QueueWorkers workers;
    open(workers);
    uint64_t failed = 0;
    for (uint64_t n = 1;; ++n) {
        const uint64_t before = disk.faults().operation_count();
        disk.faults().fail_nth(n, false);
        const auto found = engine->find_damage();
        const bool reached = disk.faults().operation_count() - before >= n;
        disk.faults().clear();
        if (!reached) {
            break;
        }
        ASSERT_FALSE(found.ok()) << n;
        ASSERT_FALSE(absl::IsDataLoss(found.status())) << found.status();
        ++failed;
    }
    EXPECT_GT(failed, 20u);
    EXPECT_TRUE(engine->background_error().ok());
    EXPECT_EQ(*engine->find_damage(), ranges);
}

// ---- other states

TEST_P(EngineGiveUpFaultTest, AReadOnlyEngineFindsDamageAndGivesUpNothing) {
    EngineOptions read_only = options();
    read_only.read_only = true;
    QueueWorkers workers;
    engine = *open_engine("/data", read_only, environment(disk, workers));
    EXPECT_EQ(*engine->find_damage(), ranges);
    EXPECT_TRUE(absl::IsFailedPrecondition(engine->give_up(ranges)));
    EXPECT_TRUE(engine->damage().ok());
}

TEST_P(EngineGiveUpFaultTest, AClosedEngineRefuses) {
    QueueWorkers workers;
    open(workers);
    EXPECT_TRUE(engine->close().ok());
    EXPECT_TRUE(absl::IsFailedPrecondition(engine->find_damage().status()));
    EXPECT_TRUE(absl::IsFailedPrecondition(engine->give_up(ranges)));
}

TEST_P(EngineGiveUpFaultTest, AnEngineThatIsReadOnlySinceAnErrorRefuses) {
    QueueWorkers workers;
    open(workers);
    ASSERT_TRUE(put(*engine, "key", "v").ok());
    disk.faults().fail_next(env::FileOperation::sync);
    EXPECT_FALSE(engine->sync().ok());
    const absl::Status status = engine->give_up(ranges);
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_EQ(base::reason_of(status), base::reason::read_only);
    EXPECT_EQ(*engine->find_damage(), ranges);
}

}  // namespace
}  // namespace starling::storage
