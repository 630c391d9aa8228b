// An engine whose files are damaged says which keys it has lost, gives them up, and goes on with
// all others, in place.

#include "tests/unit/storage/engine_give_up.h"

#include <gmock/gmock.h>

namespace starling::storage {
namespace {

using testing::HasSubstr;

INSTANTIATE_TEST_SUITE_P(Engines,
                         EngineGiveUpTest,
                         testing::Values("lsm", "lsm_values", "bitcask"),
                         [](const auto& tested) { return tested.param; });

class LsmGiveUpTest : public EngineGiveUpTest {};
INSTANTIATE_TEST_SUITE_P(Engines,
                         LsmGiveUpTest,
                         testing::Values("lsm", "lsm_values"),
                         [](const auto& tested) { return tested.param; });
class LsmValuesGiveUpTest : public EngineGiveUpTest {};
INSTANTIATE_TEST_SUITE_P(Engines,
                         LsmValuesGiveUpTest,
                         testing::Values("lsm_values"),
                         [](const auto& tested) { return tested.param; });

class BitcaskGiveUpTest : public EngineGiveUpTest {};
INSTANTIATE_TEST_SUITE_P(Engines,
                         BitcaskGiveUpTest,
                         testing::Values("bitcask"),
                         [](const auto& tested) { return tested.param; });

TEST_P(EngineGiveUpTest, WhereNothingIsDamagedNothingIsFoundAndNothingChanges) {
    QueueWorkers workers;
    open(workers);
    const auto before = bytes_of(disk);
    EXPECT_EQ(*engine->find_damage(), KeyRanges());
    EXPECT_EQ(bytes_of(disk), before);
    EXPECT_TRUE(engine->give_up({}).ok());
    EXPECT_TRUE(engine->give_up(KeyRanges{{"", "z"}}).ok());
    EXPECT_EQ(judge(*engine, {}), "");
    EXPECT_GT(data_paths().size(), 8u);
    if (is_lsm()) {
        const auto levels = engine->statistics().levels;
        EXPECT_GE(levels[0].tables, 2u);
        EXPECT_GE(std::count_if(levels.begin(),
                                levels.end(),
                                [](const LevelStatistics& level) { return level.tables > 0; }),
                  3);
    }
}

TEST_P(EngineGiveUpTest, DamageAnywhereIsFoundAndGivenUp) {
    size_t with_damage = 0;
    size_t cases = 0;
    // Each block of a table; a data file has none.
    const uint64_t step = every(is_lsm() ? 131 : 509, 5);
    for (const std::string& path : data_paths()) {
        const uint64_t size = *disk.file_size(path);
        for (uint64_t offset = cases % 7; offset < size; offset += step) {
            const auto files = disk.clone();
            ASSERT_TRUE(files->flip_bit(path, offset, offset % 8).ok());
            SCOPED_TRACE(fmt::format("{} at {}", path, offset));
            const KeyRanges ranges = heal(*files);
            ASSERT_FALSE(HasFailure());
            with_damage += ranges.empty() ? 0u : 1u;
            ++cases;
        }
    }
    EXPECT_GT(with_damage, is_lsm() ? cases * 2 / 3 : cases / 4);
}

TEST_P(LsmGiveUpTest, ASectorThatCannotBeReadIsFoundAndGivenUp) {
    size_t with_damage = 0;
    size_t cases = 0;
    for (const std::string& path : data_paths()) {
        const uint64_t size = *disk.file_size(path);
        for (uint64_t offset = 0; offset < size; offset += env::sim_sector_size) {
            const auto files = disk.clone();
            ASSERT_TRUE(files->set_readable(path, offset, false).ok());
            SCOPED_TRACE(fmt::format("{} at {}", path, offset));
            with_damage += heal(*files).empty() ? 0u : 1u;
            ASSERT_FALSE(HasFailure());
            ++cases;
        }
    }
    EXPECT_GT(with_damage, cases * 2 / 3);
}

TEST_P(EngineGiveUpTest, ADamagedBlockTakesAlongItsOwnKeysOnly) {
    size_t few = 0;
    size_t many = 0;
    for (const std::string& path : data_paths()) {
        if (path.ends_with(".values")) {
            continue;
        }
        // In a table: somewhere in its first block.
        const auto files = disk.clone();
        flip(*files, path, 100);
        QueueWorkers workers;
        const auto damaged = *open_engine("/data", options(), environment(*files, workers));
        const KeyRanges ranges = *damaged->find_damage();
        const auto lost = std::count_if(history.begin(), history.end(), [&](const auto& entry) {
            return lies_in(ranges, entry.first);
        });
        (lost < 15 ? few : many) += 1;
    }
    // Between the keys of a table of level 0 lie many others.
    EXPECT_LE(many, is_lsm() ? 4u : 0u);
    EXPECT_GT(few, 8u);
}

TEST_P(EngineGiveUpTest, DamageInSeveralFilesIsGivenUpTogether) {
    env::SimRandom random(3);
    const std::vector<std::string> paths = data_paths();
    for (uint64_t round = 0; round < 400 / every(20); ++round) {
        const auto files = disk.clone();
        for (uint64_t i = 0; i < 2 + round % 6; ++i) {
            const std::string& path = paths[random.below(paths.size())];
            ASSERT_TRUE(files->flip_bit(path, random.below(*files->file_size(path)), 2).ok());
        }
        SCOPED_TRACE(round);
        heal(*files);
        ASSERT_FALSE(HasFailure());
    }
}

TEST_P(EngineGiveUpTest, EvenWhenAllOfItIsDamaged) {
    const auto files = disk.clone();
    for (const std::string& path : data_paths()) {
        for (uint64_t offset = 40; offset < *files->file_size(path); offset += 40) {
            ASSERT_TRUE(files->flip_bit(path, offset, 5).ok());
        }
    }
    EXPECT_FALSE(heal(*files).empty());
}

TEST_P(EngineGiveUpTest, DamageOutsideOfTheRangesIsNamedAndNothingChanges) {
    const std::vector<std::string> paths = data_paths();
    size_t refused = 0;
    for (const std::string& path : paths) {
        const auto files = disk.clone();
        // Inside a value, or a block.
        ASSERT_TRUE(files->flip_bit(path, *files->file_size(path) / 3, 3).ok());
        QueueWorkers workers;
        const auto damaged = *open_engine("/data", options(), environment(*files, workers));
        const KeyRanges ranges = *damaged->find_damage();
        if (ranges.empty()) {
            continue;
        }
        const auto before = bytes_of(*files);
        KeyRanges too_little = ranges;
        too_little.pop_back();
        KeyRanges shorter = ranges;
        shorter.back().first.push_back('\0');
        for (const KeyRanges& given :
             {KeyRanges(), too_little, shorter, KeyRanges{{"a", "b"}, {"l", "z"}}}) {
            const absl::Status status = damaged->give_up(given);
            ASSERT_TRUE(absl::IsDataLoss(status)) << status;
            EXPECT_THAT(std::string(status.message()), HasSubstr(path));
            EXPECT_THAT(std::string(status.message()), HasSubstr("offset"));
            ++refused;
        }
        EXPECT_EQ(bytes_of(*files), before);
        EXPECT_TRUE(damaged->background_error().ok());
        EXPECT_EQ(*damaged->find_damage(), ranges);
        EXPECT_TRUE(damaged->give_up(ranges).ok());
        EXPECT_EQ(judge(*damaged, ranges), "");
    }
    EXPECT_GT(refused, 10u);
}

TEST_P(EngineGiveUpTest, WhatCachesHoldMasksNothing) {
    for (const std::string& path : data_paths()) {
        // A block, and what is read when a table is opened.
        for (const int64_t offset : {100, -20}) {
            const auto files = disk.clone();
            QueueWorkers workers;
            EngineOptions warm = options();
            warm.open_tables_max = 100;
            warm.block_cache_bytes = 16 << 20;
            const auto damaged = *open_engine("/data", warm, environment(*files, workers));
            ASSERT_EQ(judge(*damaged, {}), "");
            flip(*files, path, offset);
            const KeyRanges ranges = *damaged->find_damage();
            EXPECT_TRUE(!ranges.empty() || !path.ends_with(".table")) << path << " at " << offset;
            ASSERT_TRUE(damaged->give_up(ranges).ok());
            EXPECT_EQ(judge(*damaged, ranges), "") << path;
            EXPECT_EQ(*damaged->find_damage(), KeyRanges());
        }
    }
}

TEST_P(BitcaskGiveUpTest, ValuesInMemoryDoNotMaskWhatTheirFilesHaveLost) {
    QueueWorkers workers;
    engine = *open_engine("/new", options(), environment(disk, workers));
    for (int i = 0; i < 60; ++i) {
        ASSERT_TRUE(put(*engine, fmt::format("key{:02}", i), fmt::format("value{:02}", i)).ok());
    }
    ASSERT_TRUE(put(*engine, "large", std::string(3000, 'l')).ok());
    ASSERT_TRUE(put(*engine, "last", "l").ok());
    workers.run_all();
    for (const std::string key : {"key07", "key41"}) {
        const std::string value = "value" + key.substr(3);
        ASSERT_EQ(*engine->get_from_memory(key), value);
        size_t places = 0;
        const std::vector<std::string> names = *disk.list("/new");
        for (const std::string& name : names) {
            const std::string content = *env::read_file(disk, "/new/" + name, 1 << 20);
            if (const size_t at = content.find(value); at != std::string::npos) {
                ASSERT_TRUE(disk.flip_bit("/new/" + name, at, 0).ok());
                ++places;
            }
        }
        EXPECT_EQ(places, 1u);
    }
    EXPECT_EQ(*engine->find_damage(), (KeyRanges{{"key07", "key07"}, {"key41", "key41"}}));
}

// ---- files that are missing, or are not whole

TEST_P(LsmGiveUpTest, AMissingFileOrOneOfAnotherSizeIsOpenedOnDemandAndGivenUp) {
    for (const std::string& path : data_paths()) {
        for (const int how : {0, 1, 2, 3}) {
            const auto files = disk.clone();
            const std::string content = *env::read_file(*files, path, 1 << 20);
            if (how == 0) {
                ASSERT_TRUE(files->remove(path).ok());
                ASSERT_TRUE(files->sync_directory("/data").ok());
            } else if (how == 1) {
                ASSERT_TRUE(files->truncate(path, content.size() / 2).ok());
            } else if (how == 2) {
                ASSERT_TRUE(files->truncate(path, 0).ok());
            } else {
                ASSERT_TRUE(env::replace_file(*files, path, content + "x").ok());
            }
            QueueWorkers workers;
            const auto refused = open_engine("/data", options(), environment(*files, workers));
            ASSERT_TRUE(absl::IsDataLoss(refused.status())) << refused.status();
            {
                EngineOptions damaged = options();
                damaged.open_damaged = true;
                const auto opened = *open_engine("/data", damaged, environment(*files, workers));
                EXPECT_TRUE(absl::IsDataLoss(opened->damage())) << opened->damage();
                EXPECT_THAT(std::string(opened->damage().message()), HasSubstr(path));
                size_t lost = 0;
                for (const auto& [key, values] : history) {
                    const auto got = opened->get(key);
                    if (!got.ok()) {
                        ++lost;
                        EXPECT_TRUE(absl::IsDataLoss(got.status())) << got.status();
                        EXPECT_THAT(std::string(got.status().message()), HasSubstr(path));
                    }
                }
                EXPECT_TRUE(lost > 0 || path.ends_with(".values") || how == 3) << path;
                workers.drop_all();
            }
            SCOPED_TRACE(fmt::format("{}, {}", path, how));
            EXPECT_FALSE(heal(*files, true).empty());
            ASSERT_FALSE(HasFailure());
        }
    }
}

TEST_P(LsmGiveUpTest, AllFilesMissingLeaveAnEmptyEngine) {
    const auto files = disk.clone();
    for (const std::string& path : data_paths()) {
        ASSERT_TRUE(files->remove(path).ok());
    }
    heal(*files, true);
    QueueWorkers workers;
    const auto left = *open_engine("/data", options(), environment(*files, workers));
    EXPECT_EQ(*contents(*left), (Model{{"further", "1"}}));
}

// Merges open their inputs anew, but do with what is open where that fails.
TEST_P(LsmGiveUpTest, AMergeRescuesTablesWhoseFilesAreGone) {
    QueueWorkers workers;
    EngineOptions all_open = options();
    all_open.open_tables_max = 1000;
    engine = *open_engine("/data", all_open, environment(disk, workers));
    EXPECT_TRUE(contents(*engine).ok());
    std::vector<std::string> tables = data_paths();
    std::erase_if(tables, [](const std::string& path) { return !path.ends_with(".table"); });
    for (const std::string& path : tables) {
        ASSERT_TRUE(disk.remove(path).ok());
    }
    EXPECT_EQ(judge(*engine, {}), "");
    EXPECT_TRUE(engine->compact().ok());
    for (const std::string& path : tables) {
        EXPECT_FALSE(*disk.exists(path));
    }
    EXPECT_TRUE(engine->damage().ok());
    EXPECT_EQ(*engine->find_damage(), KeyRanges());
    EXPECT_EQ(judge(*engine, {}), "");
}

TEST_P(LsmGiveUpTest, AMergeReadsBlockByBlockWhatItCannotReadAhead) {
    const std::vector<std::string> inputs = data_paths();
    for (const env::FileOperation failing : {env::FileOperation::open, env::FileOperation::read}) {
        const auto files = disk.clone();
        QueueWorkers workers;
        EngineOptions all_open = options();
        all_open.open_tables_max = 1000;
        const auto merged = *open_engine("/data", all_open, environment(*files, workers));
        // Opens the tables, each of which has more keys than these, and reads none of their blocks,
        // which would keep merges from reading ahead.
        for (int i = 0; i < key_count; i += 6) {
            EXPECT_TRUE(merged->get(fmt::format("key{:03}x", i)).ok());
        }
        ASSERT_EQ(merged->statistics().block_cache_misses, 0u) << "choose other keys";
        int tries = 0;
        files->faults().set_hook([&](env::FileOperation operation, const std::string& path) {
            const bool is_input = path.ends_with(".table") &&
                                  std::find(inputs.begin(), inputs.end(), path) != inputs.end();
            // Of reads, each first one.
            const bool fails = is_input && operation == failing &&
                               (++tries % 2 == 1 || failing == env::FileOperation::open);
            return fails ? absl::UnavailableError("not now") : absl::OkStatus();
        });
        const absl::Status compacted = merged->compact();
        files->faults().set_hook(nullptr);
        EXPECT_TRUE(compacted.ok()) << compacted;
        EXPECT_GT(tries, 2);
        EXPECT_EQ(judge(*merged, {}), "");
        workers.drop_all();
    }
}

// ---- background work

TEST_P(EngineGiveUpTest, AMergeThatMeetsDamageStopsMergingAndNothingElse) {
    for (const std::string& path : data_paths()) {
        // Behind each header, and inside a value.
        for (uint64_t offset = 45; offset < *disk.file_size(path); offset += 40) {
            flip(disk, path, static_cast<int64_t>(offset));
        }
    }
    QueueWorkers workers;
    EngineOptions patient = options();
    patient.level_0_tables_stall = 1000;
    engine = *open_engine("/data", patient, environment(disk, workers));
    for (int i = 0; i < 2000 && engine->damage().ok(); ++i) {
        write(workers, 1000 + i, 1);
        workers.run_all();
    }
    const absl::Status damage = engine->damage();
    ASSERT_TRUE(absl::IsDataLoss(damage)) << damage;
    EXPECT_THAT(std::string(damage.message()), HasSubstr(is_lsm() ? ".table" : ".data"));
    const uint64_t merged = engine->statistics().compactions;
    for (int i = 0; i < 500; ++i) {
        ASSERT_TRUE(engine->write(put_of(fmt::format("new{}", i), std::string(90, 'n'))).ok());
        workers.run_all();
    }
    EXPECT_TRUE(engine->sync().ok());
    EXPECT_TRUE(engine->background_error().ok()) << engine->background_error();
    EXPECT_EQ(engine->damage(), damage);
    EXPECT_EQ(engine->compact(), damage);
    EXPECT_TRUE(engine->background_error().ok()) << engine->background_error();
    EXPECT_EQ(engine->statistics().compactions, merged);
    EXPECT_EQ(read(*engine, "new499"), std::string(90, 'n'));

    const KeyRanges ranges = *engine->find_damage();
    EXPECT_EQ(engine->damage(), damage);
    ASSERT_TRUE(engine->give_up(ranges).ok());
    EXPECT_TRUE(engine->damage().ok());
    for (int i = 0; i < 500; ++i) {
        EXPECT_EQ(read(*engine, fmt::format("new{}", i)), std::string(90, 'n'));
        history[fmt::format("new{}", i)].insert(std::string(90, 'n'));
        model[fmt::format("new{}", i)] = std::string(90, 'n');
    }
    EXPECT_EQ(judge(*engine, ranges), "");
    workers.run_all();
    EXPECT_TRUE(engine->compact().ok());
    EXPECT_GT(engine->statistics().compactions, merged);
    EXPECT_EQ(judge(*engine, ranges), "");
    if (is_lsm()) {
        EXPECT_LE(engine->statistics().levels[0].tables, 4u);
    }
}

// A disk that reads right the next time.
TEST_P(EngineGiveUpTest, DamageThatWasMetStaysUntilItIsGivenUp) {
    const auto sound = disk.clone();
    for (const std::string& path : data_paths()) {
        for (uint64_t offset = 45; offset < *disk.file_size(path); offset += 40) {
            flip(disk, path, static_cast<int64_t>(offset));
        }
    }
    QueueWorkers workers;
    open(workers);
    for (int i = 0; i < 2000 && engine->damage().ok(); ++i) {
        write(workers, 2000 + i, 1);
        workers.run_all();
    }
    const absl::Status damage = engine->damage();
    ASSERT_TRUE(absl::IsDataLoss(damage)) << damage;
    const uint64_t merged = engine->statistics().compactions;
    for (const std::string& path : data_paths()) {
        if (*sound->exists(path)) {
            ASSERT_TRUE(disk.damage(path, 0, *env::read_file(*sound, path, 1 << 20)).ok());
        }
    }
    EXPECT_EQ(engine->compact(), damage);
    for (int i = 0; i < 50; ++i) {
        write(workers, 5000 + i, 1);
        workers.run_all();
    }
    EXPECT_EQ(engine->damage(), damage);
    EXPECT_EQ(engine->statistics().compactions, merged);
    EXPECT_EQ(*engine->find_damage(), KeyRanges());
    EXPECT_TRUE(engine->give_up({}).ok());
    EXPECT_TRUE(engine->damage().ok());
    workers.run_all();
    EXPECT_TRUE(engine->compact().ok());
    EXPECT_EQ(judge(*engine, {}), "");
}

TEST_P(LsmGiveUpTest, WhatHasStalledBehindDamageGoesOnOnceItIsGivenUp) {
    std::vector<std::string> tables = data_paths();
    std::erase_if(tables, [](const std::string& path) { return !path.ends_with(".table"); });
    QueueWorkers workers;
    open(workers);
    // Those of level 0, the last ones, are sound, and nothing of them is rewritten.
    tables.resize(tables.size() - engine->statistics().levels[0].tables);
    for (const std::string& path : tables) {
        flip(disk, path, 45);
    }
    absl::Status status;
    for (int i = 0; i < 10000 && status.ok(); ++i) {
        status = engine->write(put_of(fmt::format("new{}", i), std::string(90, 'n')));
        workers.run_all();
    }
    ASSERT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_EQ(engine->write_pressure(), WritePressure::refusing);
    EXPECT_TRUE(absl::IsDataLoss(engine->damage())) << engine->damage();
    ASSERT_TRUE(engine->give_up(*engine->find_damage()).ok());
    EXPECT_EQ(engine->write_pressure(), WritePressure::refusing);
    workers.run_all();
    EXPECT_EQ(engine->write_pressure(), WritePressure::none);
    EXPECT_TRUE(put(*engine, "new", "1").ok());
}

TEST_P(LsmValuesGiveUpTest, ALostValueIsNotInTheWayOfMergesThatMoveTheOthers) {
    for (const std::string& path : data_paths()) {
        if (path.ends_with(".values")) {
            flip(disk, path, 60);
        }
    }
    QueueWorkers workers;
    open(workers);
    const KeyRanges ranges = *engine->find_damage();
    EXPECT_GT(ranges.size(), 3u);
    ASSERT_TRUE(engine->give_up(ranges).ok());
    EXPECT_EQ(judge(*engine, ranges), "");
    // Every file loses most of its values, and is rewritten.
    for (int round = 0; round < 5; ++round) {
        write(workers, 1000 + round * 100, 70);
        workers.run_all();
    }
    EXPECT_TRUE(engine->damage().ok()) << engine->damage();
    EXPECT_TRUE(engine->background_error().ok()) << engine->background_error();
}

// ---- readers

TEST_P(EngineGiveUpTest, OpenSnapshotsAndIteratorsGoOn) {
    for (const std::string& path : data_paths()) {
        flip(disk, path, 100);
    }
    QueueWorkers workers;
    open(workers);
    const KeyRanges ranges = *engine->find_damage();
    ASSERT_FALSE(ranges.empty());
    const Model before = model;
    const auto snapshot = engine->snapshot();
    // One for each key that it finds its way to.
    std::vector<std::pair<std::string, std::unique_ptr<Iterator>>> iterators;
    for (const auto& [key, value] : before) {
        auto iterator = engine->new_iterator({.lower = key, .upper = key + "~"});
        iterator->seek_to_first();
        if (iterator->valid()) {
            iterators.emplace_back(key, std::move(iterator));
        } else {
            EXPECT_TRUE(absl::IsDataLoss(iterator->status())) << iterator->status();
        }
    }
    ASSERT_GT(iterators.size(), 10u);
    write(workers, 3000, 200);
    ASSERT_TRUE(engine->give_up(ranges).ok());
    workers.run_all();
    const auto expect_as_before = [&] {
        for (const auto& [key, iterator] : iterators) {
            iterator->seek_to_first();
            ASSERT_TRUE(iterator->valid()) << key << ": " << iterator->status();
            EXPECT_EQ(iterator->key(), key);
            EXPECT_EQ(iterator->value(), before.at(key));
        }
        for (const auto& [key, value] : before) {
            if (!lies_in(ranges, key)) {
                ASSERT_EQ(read(*engine, key, snapshot.get()), value) << key;
            }
        }
    };
    expect_as_before();
    EXPECT_EQ(judge(*engine, ranges), "");
    // What a snapshot of bitcask sees of lost values keeps their files from being merged.
    EXPECT_EQ(engine->compact().ok(), is_lsm());
    expect_as_before();
    EXPECT_EQ(judge(*engine, ranges), "");
}

// ---- writers

TEST_P(EngineGiveUpTest, AKeyThatIsWrittenMeanwhileHasItsNewValue) {
    for (const std::string& path : data_paths()) {
        flip(disk, path, 100);
        flip(disk, path, 500);
    }
    QueueWorkers workers;
    open(workers);
    uint64_t reads = 0;
    disk.faults().set_hook([&](env::FileOperation operation, const std::string&) {
        reads += operation == env::FileOperation::read ? 1u : 0u;
        return absl::OkStatus();
    });
    const KeyRanges ranges = *engine->find_damage();
    ASSERT_FALSE(ranges.empty());
    // When everything has been looked at, but for one place.
    uint64_t count = 0;
    disk.faults().set_hook([&](env::FileOperation operation, const std::string&) {
        if (operation == env::FileOperation::read && ++count == reads) {
            EXPECT_TRUE(put(*engine, ranges.front().first, "new").ok());
        }
        return absl::OkStatus();
    });
    ASSERT_TRUE(engine->give_up(ranges).ok());
    disk.faults().set_hook(nullptr);
    EXPECT_GE(count, reads);
    EXPECT_EQ(read(*engine, ranges.front().first), "new");
    EXPECT_TRUE(engine->sync().ok());
    engine.reset();
    workers.drop_all();
    open(workers);
    EXPECT_EQ(read(*engine, ranges.front().first), "new");
}

TEST(InMemoryGiveUpTest, NothingIsEverDamaged) {
    env::SimFileSystem files;
    QueueWorkers workers;
    const auto engine =
        *open_engine("/data", small_options("in_memory"), environment(files, workers));
    ASSERT_TRUE(put(*engine, "key", "v").ok());
    EXPECT_EQ(*engine->find_damage(), KeyRanges());
    EXPECT_TRUE(engine->give_up(KeyRanges{{"", "z"}}).ok());
    EXPECT_TRUE(engine->damage().ok());
    EXPECT_EQ(read(*engine, "key"), "v");
    EXPECT_TRUE(engine->close().ok());
    EXPECT_TRUE(absl::IsFailedPrecondition(engine->find_damage().status()));
}

TEST_P(LsmGiveUpTest, AnUrgentWriteIsTakenWhereDamageHasStoppedMergingAndSoTheOthers) {
    for (const std::string& path : data_paths()) {
        if (path.ends_with(".table")) flip(disk, path, 20);
    }
    QueueWorkers workers;
    open(workers);
    absl::Status refused;
    for (int i = 0; i < 10'000 && refused.ok(); ++i) {
        refused = engine->write(put_of(fmt::format("new{:05}", i), std::string(100, 'n')));
        workers.run_all();
    }
    EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
    EXPECT_TRUE(absl::IsDataLoss(engine->damage())) << engine->damage();
    EXPECT_TRUE(engine->write(put_of("urgent", "1"), {.sync = true, .urgent = true}).ok());
    ASSERT_TRUE(engine->give_up(*engine->find_damage()).ok());
    workers.run_all();
    EXPECT_TRUE(engine->write(put_of("other", "1")).ok());
    EXPECT_EQ(*engine->get("urgent"), "1");
}

// How many kinds of data one flipped bit of the table takes at most, unless it takes the whole
// table.
size_t kinds_lost_at_once(bool kinds_apart) {
    EngineOptions options = small_options("lsm");
    options.kinds_apart = kinds_apart;
    std::vector<std::string> keys;
    for (const char kind : {'f', 'm', 'r', 's'}) {
        for (int i = 0; i < (kind == 'r' ? 60 : 3); ++i) {
            keys.push_back(fmt::format("{}{:02}", kind, i));
        }
    }
    env::SimFileSystem disk;
    QueueWorkers workers;
    auto engine = *open_engine("/data", options, environment(disk, workers));
    for (const std::string& key : keys) {
        EXPECT_TRUE(engine->write(put_of(key, std::string(20, 'v'))).ok());
    }
    EXPECT_TRUE(engine->close().ok());
    std::string table;
    const std::vector<std::string> names = *disk.list("/data");
    for (const std::string& name : names) {
        if (name.ends_with(".table")) table = "/data/" + name;
    }
    size_t most = 0;
    for (uint64_t offset = 0; offset < *disk.file_size(table); offset += 8) {
        auto files = disk.clone();
        EXPECT_TRUE(files->flip_bit(table, offset, 1).ok());
        auto damaged = *open_engine("/data", options, environment(*files, workers));
        std::set<char> lost;
        size_t keys_lost = 0;
        for (const std::string& key : keys) {
            if (damaged->get(key).ok()) continue;
            lost.insert(key.front());
            ++keys_lost;
        }
        if (keys_lost < keys.size()) most = std::max(most, lost.size());
    }
    return most;
}

TEST(TableBorderTest, NoTableReachesAcrossIt) {
    EngineOptions options = small_options("lsm");
    options.table_border = "m";
    env::SimFileSystem disk;
    QueueWorkers workers;
    {
        const auto engine = *open_engine("/data", options, environment(disk, workers));
        for (int round = 0; round < 20; ++round) {
            for (const char* const kind : {"a", "l", "m", "z"}) {
                for (int i = 0; i < 20; ++i) {
                    const std::string key = fmt::format("{}{:02}", kind, i);
                    ASSERT_TRUE(engine->write(put_of(key, std::string(50, 'v'))).ok());
                }
            }
            workers.run_all();
        }
        ASSERT_TRUE(engine->compact().ok());
        ASSERT_TRUE(engine->write(put_of("l", "1"), {.sync = true}).ok());
        ASSERT_TRUE(engine->write(put_of("m", "1"), {.sync = true}).ok());
        workers.drop_all();
    }
    // The log becomes tables, too.
    options.open_damaged = true;
    const auto engine = *open_engine("/data", options, environment(disk, workers));
    const std::vector<std::string> names = *disk.list("/data");
    size_t tables = 0;
    for (const std::string& name : names) {
        if (!name.ends_with(".table")) continue;
        ++tables;
        const auto files = disk.clone();
        ASSERT_TRUE(files->remove("/data/" + name).ok());
        QueueWorkers others;
        const auto damaged = *open_engine("/data", options, environment(*files, others));
        const auto lost = damaged->find_damage();
        ASSERT_TRUE(lost.ok()) << lost.status();
        ASSERT_EQ(lost->size(), 1u);
        EXPECT_EQ(lost->front().first < "m", lost->front().last < "m") << name;
        others.drop_all();
    }
    EXPECT_GE(tables, 4u);
    workers.drop_all();
}

TEST(KindsApartTest, DamageToOneKindOfDataTakesNoneOfAnother) {
    EXPECT_GT(kinds_lost_at_once(false), 1u);
    EXPECT_EQ(kinds_lost_at_once(true), 1u);
}

// Those before it, and those between the two.
TEST(KindsApartTest, ABlockThatCannotBeReadEndsNoScanOfAnotherKind) {
    EngineOptions options = small_options("lsm");
    options.kinds_apart = true;
    env::SimFileSystem disk;
    QueueWorkers workers;
    auto engine = *open_engine("/data", options, environment(disk, workers));
    for (const char kind : {'d', 'h'}) {
        for (int i = 0; i < 40; ++i) {
            const std::string key = fmt::format("{}{:02}", kind, i);
            ASSERT_TRUE(engine->write(put_of(key, std::string(20, 'v'))).ok());
        }
    }
    ASSERT_TRUE(engine->close().ok());
    std::string table;
    const std::vector<std::string> names = *disk.list("/data");
    for (const std::string& name : names) {
        if (name.ends_with(".table")) table = "/data/" + name;
    }
    const auto scan = [](Engine& of, std::string lower, std::string upper, size_t& keys) {
        const auto iterator =
            of.new_iterator({.lower = std::move(lower), .upper = std::move(upper)});
        for (iterator->seek_to_first(); iterator->valid(); iterator->next())
            ++keys;
        return iterator->status();
    };
    size_t met = 0;
    for (uint64_t offset = 0; offset < *disk.file_size(table); offset += 8) {
        SCOPED_TRACE(offset);
        const auto files = disk.clone();
        ASSERT_TRUE(files->flip_bit(table, offset, 1).ok());
        const auto damaged = *open_engine("/data", options, environment(*files, workers));
        const std::vector<KeyRange> lost = *damaged->find_damage();
        size_t keys = 0;
        if (lost.empty() || lost.front().first.front() != 'h') continue;
        ++met;
        EXPECT_EQ(lost.front().last.front(), 'h');
        EXPECT_TRUE(scan(*damaged, "e", "f", keys).ok());
        EXPECT_EQ(keys, 0u);
        EXPECT_TRUE(scan(*damaged, "d", "e", keys).ok());
        EXPECT_EQ(keys, 40u);
        EXPECT_TRUE(absl::IsDataLoss(scan(*damaged, "h", "i", keys)));
        // Backwards nothing is passed over: an answer without what is behind would be wrong.
        const auto back = damaged->new_iterator({.lower = "d", .upper = "e"});
        back->seek_to_last();
        EXPECT_TRUE(back->valid() ? back->key() == "d39" : absl::IsDataLoss(back->status()));
    }
    EXPECT_GT(met, 10u);
}

}  // namespace
}  // namespace starling::storage
