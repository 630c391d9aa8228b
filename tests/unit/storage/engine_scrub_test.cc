// An engine that reads through its files piece by piece meets what cannot be read any more, all of
// it, before anybody asks for it.

#include <gmock/gmock.h>

#include "tests/unit/storage/engine_give_up.h"

namespace starling::storage {
namespace {

using testing::IsEmpty;

class EngineScrubTest : public EngineGiveUpTest {
  protected:
    static constexpr uint64_t all_at_once = uint64_t{1} << 40;

    uint64_t bytes_on_disk() {
        uint64_t bytes = 0;
        for (const std::string& path : data_paths()) {
            bytes += *disk.file_size(path);
        }
        return bytes;
    }
};
INSTANTIATE_TEST_SUITE_P(Engines,
                         EngineScrubTest,
                         testing::Values("lsm", "lsm_values", "bitcask"),
                         [](const auto& tested) { return tested.param; });

TEST_P(EngineScrubTest, ARoundReadsAllThatIsInUseAndChangesNothing) {
    QueueWorkers workers;
    open(workers);
    const auto before = bytes_of(disk);
    const Round at_once = scrub(*engine, all_at_once);
    EXPECT_EQ(at_once.steps, is_lsm() ? 1u : 2u) << "single values are read a few at a time";
    EXPECT_LE(at_once.bytes, bytes_on_disk());
    EXPECT_GT(at_once.bytes, bytes_on_disk() / 4);
    const Round in_pieces = scrub(*engine, 1);
    EXPECT_EQ(in_pieces.bytes, at_once.bytes);
    EXPECT_GT(in_pieces.steps, 100u);
    const Round again = scrub(*engine, 500);
    EXPECT_EQ(again.bytes, at_once.bytes);
    EXPECT_LE(again.steps, at_once.bytes / 500 + 1);
    EXPECT_THAT(at_once.errors, IsEmpty());
    EXPECT_THAT(in_pieces.errors, IsEmpty());
    EXPECT_EQ(bytes_of(disk), before);
    EXPECT_TRUE(engine->damage().ok());
}

TEST_P(EngineScrubTest, ARoundMeetsWhatASearchFindsAndNothingElse) {
    size_t with_damage = 0;
    size_t cases = 0;
    const uint64_t step = every(is_lsm() ? 131 : 509, 5);
    for (const std::string& path : data_paths()) {
        const uint64_t size = *disk.file_size(path);
        for (uint64_t offset = cases % 7; offset < size; offset += step) {
            const auto files = disk.clone();
            ASSERT_TRUE(files->flip_bit(path, offset, offset % 8).ok());
            SCOPED_TRACE(fmt::format("{} at {}", path, offset));
            QueueWorkers workers;
            const auto damaged = *open_engine("/data", options(), environment(*files, workers));
            const KeyRanges ranges = *damaged->find_damage();
            EXPECT_TRUE(damaged->damage().ok());
            const Round round = scrub(*damaged, 1 + cases % 3 * 400);
            EXPECT_EQ(round.errors.empty(), ranges.empty());
            for (const absl::Status& error : round.errors) {
                EXPECT_TRUE(absl::IsDataLoss(error)) << error;
            }
            EXPECT_EQ(damaged->damage(),
                      round.errors.empty() ? absl::OkStatus() : round.errors.front());
            ASSERT_TRUE(damaged->give_up(ranges).ok());
            EXPECT_TRUE(damaged->damage().ok());
            EXPECT_THAT(scrub(*damaged, 1000).errors, IsEmpty());
            ASSERT_FALSE(HasFailure());
            with_damage += ranges.empty() ? 0u : 1u;
            ++cases;
        }
    }
    EXPECT_GT(with_damage, is_lsm() ? cases * 2 / 3 : cases / 4);
}

TEST_P(EngineScrubTest, ASearchThatIsEndedReadsNoFurther) {
    const std::array<absl::Status (*)(Engine&), 3> searches = {
        [](Engine& of) { return of.find_damage().status(); },
        [](Engine& of) { return of.give_up({}); },
        [](Engine& of) { return of.scrub(all_at_once).status(); }};
    for (const auto search : searches) {
        QueueWorkers workers;
        open(workers);
        uint64_t reads = 0;
        uint64_t last = UINT64_MAX;
        disk.faults().set_hook([&](env::FileOperation operation, const std::string&) {
            if (operation == env::FileOperation::read && ++reads == last) engine->end_searches();
            return absl::OkStatus();
        });
        EXPECT_TRUE(search(*engine).ok());
        const uint64_t reads_of_all = std::exchange(reads, 0);
        last = 3;
        const absl::Status ended = search(*engine);
        disk.faults().set_hook(nullptr);
        EXPECT_TRUE(absl::IsCancelled(ended)) << ended;
        EXPECT_LT(reads, reads_of_all / 2);
        EXPECT_TRUE(engine->damage().ok());
        engine.reset();
    }
}

TEST_P(EngineScrubTest, ItGoesOnBehindWhatCannotBeRead) {
    const std::vector<std::string> paths = data_paths();
    for (const std::string& path : paths) {
        ASSERT_TRUE(disk.flip_bit(path, *disk.file_size(path) / 3, 3).ok());
    }
    QueueWorkers workers;
    open(workers);
    const KeyRanges ranges = *engine->find_damage();
    ASSERT_GT(ranges.size(), 3u);
    const Round round = scrub(*engine, all_at_once);
    EXPECT_GE(round.errors.size(), ranges.size());
    EXPECT_LE(round.steps, round.errors.size() + 2);
    EXPECT_EQ(scrub(*engine, 1).errors, round.errors);
}

TEST_P(EngineScrubTest, AMergeBesideItIsNoDamageAndARoundEnds) {
    QueueWorkers workers;
    open(workers);
    size_t rounds = 0;
    for (int i = 0; i < 3000; ++i) {
        write(workers, 10'000 + i, 1);
        if (i % 5 == 0) {
            workers.run_all();
        }
        const auto step = engine->scrub(300);
        ASSERT_TRUE(step.ok()) << step.status();
        rounds += step->is_last ? 1u : 0u;
    }
    EXPECT_GE(rounds, 5u);
    EXPECT_GT(engine->statistics().compactions, 10u);
    EXPECT_EQ(judge(*engine, {}), "");
}

TEST_P(EngineScrubTest, MergesGoOnAfterItHasMetDamageUntilTheyMeetSome) {
    // Of one key alone; what is written below is of others.
    QueueWorkers workers;
    open(workers);
    ASSERT_TRUE(put(*engine, "zzz", std::string(200, 'z')).ok());
    ASSERT_TRUE(engine->compact().ok());
    for (const auto& [name, content] : bytes_of(disk)) {
        // Of bitcask, in the value: its hint has the key alone.
        const size_t at = content.find(is_lsm() ? "zzz" : std::string(150, 'z'));
        if (at != std::string::npos) {
            ASSERT_TRUE(disk.flip_bit("/data/" + name, at + 1, 1).ok());
        }
    }
    const Round round = scrub(*engine, 1000);
    ASSERT_FALSE(round.errors.empty());
    EXPECT_EQ(engine->damage(), round.errors.front());
    const uint64_t before = engine->statistics().compactions;
    for (int i = 0; i < 300; ++i) {
        ASSERT_TRUE(write_patiently(*engine,
                                    workers,
                                    put_of(fmt::format("key{:03}", i % 7), std::string(100, 'n')))
                        .ok());
    }
    workers.run_all();
    EXPECT_GT(engine->statistics().compactions, before);
    EXPECT_TRUE(engine->background_error().ok());
    EXPECT_TRUE(absl::IsDataLoss(engine->damage()));
}

TEST_P(EngineScrubTest, AnErrorOfTheDiskIsReturnedAndIsNoDamage) {
    QueueWorkers workers;
    open(workers);
    uint64_t failed = 0;
    for (uint64_t n = 1;; ++n) {
        const uint64_t before = disk.faults().operation_count();
        disk.faults().fail_nth(n, false);
        const Round round = scrub(*engine, all_at_once);
        const bool reached = disk.faults().operation_count() - before >= n;
        disk.faults().clear();
        if (!reached) {
            break;
        }
        ASSERT_EQ(round.errors.size(), 1u) << n;
        ASSERT_FALSE(absl::IsDataLoss(round.errors.front())) << round.errors.front();
        ++failed;
    }
    EXPECT_GT(failed, 20u);
    EXPECT_TRUE(engine->damage().ok());
    EXPECT_TRUE(engine->background_error().ok());
}

TEST_P(EngineScrubTest, AReadOnlyEngineIsReadThroughToo) {
    const std::vector<std::string> paths = data_paths();
    for (const std::string& path : paths) {
        ASSERT_TRUE(disk.flip_bit(path, *disk.file_size(path) / 3, 3).ok());
    }
    EngineOptions read_only = options();
    read_only.read_only = true;
    QueueWorkers workers;
    engine = *open_engine("/data", read_only, environment(disk, workers));
    const Round round = scrub(*engine, 1000);
    ASSERT_FALSE(round.errors.empty());
    EXPECT_EQ(engine->damage(), round.errors.front());
}

TEST_P(EngineScrubTest, AClosedEngineRefuses) {
    QueueWorkers workers;
    open(workers);
    EXPECT_TRUE(engine->scrub(1).ok());
    EXPECT_TRUE(engine->close().ok());
    EXPECT_TRUE(absl::IsFailedPrecondition(engine->scrub(1).status()));
}

class LsmScrubTest : public EngineScrubTest {};
INSTANTIATE_TEST_SUITE_P(Engines, LsmScrubTest, testing::Values("lsm"));

// Who is restarted again and again in the middle of a round would else never come to its end.
TEST_P(LsmScrubTest, LivesBeginAtDifferentPlaces) {
    const std::vector<std::string> paths = data_paths();
    std::set<std::string> met_first;
    for (const std::string& path : paths) {
        ASSERT_TRUE(disk.flip_bit(path, *disk.file_size(path) / 3, 3).ok());
    }
    for (int life = 0; life < 12; ++life) {
        QueueWorkers workers;
        open(workers);
        const Round round = scrub(*engine, 1000);
        EXPECT_EQ(round.errors.size(), paths.size());
        met_first.insert(std::string(round.errors.front().message()));
        EXPECT_TRUE(engine->close().ok());
    }
    EXPECT_GT(met_first.size(), 5u);
}

TEST_P(LsmScrubTest, AnErrorOfTheDiskHidesNoDamageBehindIt) {
    QueueWorkers workers;
    open(workers);
    const std::vector<std::string> paths = data_paths();
    ASSERT_TRUE(disk.flip_bit(paths.back(), *disk.file_size(paths.back()) / 3, 3).ok());
    uint64_t failed = 0;
    for (uint64_t n = 1; failed < 20; ++n) {
        disk.faults().fail_nth(n, false);
        const Round round = scrub(*engine, uint64_t{1} << 40);
        disk.faults().clear();
        if (round.errors.size() == 2) {
            ++failed;
            EXPECT_TRUE(absl::IsDataLoss(engine->damage()));
            ASSERT_TRUE(engine->give_up({}).code() == absl::StatusCode::kDataLoss);
        }
        ASSERT_LT(n, 1000u);
    }
}

TEST(InMemoryScrubTest, ThereIsNothingToRead) {
    env::SimFileSystem files;
    QueueWorkers workers;
    const auto engine =
        *open_engine("/data", small_options("in_memory"), environment(files, workers));
    ASSERT_TRUE(put(*engine, "key", "v").ok());
    const auto step = engine->scrub(1000);
    ASSERT_TRUE(step.ok());
    EXPECT_EQ(step->bytes, 0u);
    EXPECT_TRUE(step->is_last);
    EXPECT_TRUE(engine->close().ok());
    EXPECT_TRUE(absl::IsFailedPrecondition(engine->scrub(1000).status()));
}

}  // namespace
}  // namespace starling::storage
