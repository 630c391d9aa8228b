// An engine whose files are damaged says which keys it has lost, gives them up, and goes on with
// all others, in place.

#include <algorithm>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "storage/in_memory/in_memory_engine.h"
#include "tests/unit/storage/test_support.h"

namespace starling::storage {
namespace {

using env::CrashMode;
using testing::HasSubstr;
using Ranges = std::vector<KeyRange>;

bool lies_in(const Ranges& ranges, const std::string& key) {
    return std::any_of(ranges.begin(), ranges.end(), [&](const KeyRange& range) {
        return range.first <= key && key <= range.last;
    });
}

// A database in level 0 and two levels below it, or in several data files.
class EngineGiveUpTest : public testing::TestWithParam<std::string> {
  protected:
    EngineGiveUpTest() {
        QueueWorkers workers;
        open(workers);
        for (int part = 0; part < 4; ++part) {
            write(workers, part * 300, 420);
            WriteBatch removals;
            removals.remove(fmt::format("key{:03}", part * 90 + 3));
            removals.remove_range(fmt::format("key{:03}", part * 90 + 7),
                                  fmt::format("key{:03}", part * 90 + 9));
            EXPECT_TRUE(write_patiently(*engine, workers, removals).ok());
            model = after_batch(std::move(model), removals);
            workers.run_all();
        }
        // Each of them flushes the same keys to level 0.
        for (int part = 4; part < 6; ++part) {
            EXPECT_TRUE(engine->close().ok());
            open(workers);
            write(workers, part * key_count, 17);
        }
        EXPECT_TRUE(engine->close().ok());
        engine.reset();
    }

    static constexpr int key_count = 400;

    bool is_lsm() const { return GetParam() != "bitcask"; }

    // "lsm", "lsm_values" (with large values apart), "bitcask".
    EngineOptions options() const {
        EngineOptions options = small_options(is_lsm() ? "lsm" : "bitcask");
        options.table_bytes = 1024;
        options.level_bytes_base = GetParam() == "lsm_values" ? 1024 : 2048;
        options.separate_value_bytes = GetParam() == "lsm_values" ? 72 : 0;
        options.value_file_bytes = 2048;
        options.bitcask_file_bytes = 2048;
        options.bitcask_stale_bytes_max = 2048;
        return options;
    }

    void open(QueueWorkers& workers) {
        engine = *open_engine("/data", options(), environment(disk, workers));
    }

    void write(QueueWorkers& workers, int first, int count) {
        for (int i = first; i < first + count; ++i) {
            const std::string key = fmt::format("key{:03}", i * 7 % key_count);
            const std::string value =
                fmt::format("{:04}", i) + std::string(static_cast<size_t>(50 + i % 30), 'v');
            ASSERT_TRUE(write_patiently(*engine, workers, put_of(key, value)).ok());
            model[key] = value;
            history[key].insert(value);
        }
    }

    // That hold tables or values, and no log.
    std::vector<std::string> data_paths() {
        std::vector<std::string> paths;
        const std::vector<std::string> names = *disk.list("/data");
        for (const std::string& name : names) {
            if (name.ends_with(".table") || name.ends_with(".values") || name.ends_with(".data")) {
                paths.push_back("/data/" + name);
            }
        }
        if (!is_lsm()) {
            paths.pop_back();
        }
        return paths;
    }

    // A bit of the byte at `offset`, counted from the end when it is negative, or of the last one.
    static void flip(env::SimFileSystem& files, const std::string& path, int64_t offset) {
        const auto size = static_cast<int64_t>(*files.file_size(path));
        const int64_t at = std::min(offset < 0 ? size + offset : offset, size - 1);
        ASSERT_TRUE(files.flip_bit(path, static_cast<uint64_t>(at), 1).ok());
    }

    static std::map<std::string, std::string> bytes_of(env::SimFileSystem& files) {
        std::map<std::string, std::string> bytes;
        const std::vector<std::string> names = *files.list("/data");
        for (const std::string& name : names) {
            bytes[name] = *env::read_file(files, "/data/" + name, 1 << 20);
        }
        return bytes;
    }

    // "" when keys outside of `given_up` are as they were, and others as they were once, or absent.
    std::string judge(Engine& healed, const Ranges& given_up) {
        Model found;
        for (const auto& [key, values] : history) {
            const auto got = healed.get(key);
            if (!got.ok()) {
                return key + ": " + got.status().ToString();
            }
            if (got->has_value()) {
                found[key] = **got;
            }
            const auto now = model.find(key);
            if (!lies_in(given_up, key)) {
                if (got->value_or("") != (now == model.end() ? "" : now->second)) {
                    return key + " is not as it was";
                }
            } else if (got->has_value() && !values.contains(**got)) {
                return key + " is as it never was";
            }
        }
        const auto read = contents(healed);
        if (!read.ok()) {
            return read.status().ToString();
        }
        return *read == found ? "" : "an iterator shows something else than single reads";
    }

    // Finds the damage of `files`, gives it up, and looks at what is left, also after a restart.
    // The ranges.
    Ranges heal(env::SimFileSystem& files, bool open_damaged = false) {
        EngineOptions damaged = options();
        damaged.open_damaged = open_damaged;
        QueueWorkers workers;
        auto opened = open_engine("/data", damaged, environment(files, workers));
        EXPECT_TRUE(opened.ok()) << opened.status();
        if (!opened.ok()) {
            return {};
        }
        const auto ranges = (*opened)->find_damage();
        EXPECT_TRUE(ranges.ok()) << ranges.status();
        if (!ranges.ok()) {
            return {};
        }
        for (const auto& [key, values] : history) {
            const auto got = (*opened)->get(key);
            EXPECT_TRUE(got.ok() || absl::IsDataLoss(got.status())) << got.status();
            EXPECT_TRUE(got.ok() || lies_in(*ranges, key)) << key << ": " << got.status();
        }
        const absl::Status given_up = (*opened)->give_up(*ranges);
        EXPECT_TRUE(given_up.ok()) << given_up;
        EXPECT_EQ(judge(**opened, *ranges), "");
        EXPECT_EQ(*(*opened)->find_damage(), Ranges());
        EXPECT_TRUE((*opened)->damage().ok()) << (*opened)->damage();
        workers.drop_all();
        opened->reset();

        // It was durable, and nothing of the damage is left in the way.
        env::SimRandom random(1);
        files.crash(CrashMode::lost, random);
        opened = open_engine("/data", options(), environment(files, workers));
        EXPECT_TRUE(opened.ok()) << opened.status();
        if (!opened.ok()) {
            return {};
        }
        EXPECT_EQ(judge(**opened, *ranges), "");
        const absl::Status compacted = (*opened)->compact();
        EXPECT_TRUE(compacted.ok()) << compacted;
        workers.run_all();
        EXPECT_TRUE((*opened)->background_error().ok()) << (*opened)->background_error();
        EXPECT_EQ(judge(**opened, *ranges), "");
        EXPECT_EQ(*(*opened)->find_damage(), Ranges());
        EXPECT_TRUE((*opened)->write(put_of("further", "1"), {.sync = true}).ok());
        EXPECT_TRUE((*opened)->close().ok());
        return *ranges;
    }

    env::SimFileSystem disk{{.append_buffer_bytes = 0}};
    std::unique_ptr<Engine> engine;
    Model model;
    // The values that each key ever had.
    std::map<std::string, std::set<std::string>> history;
};

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
    EXPECT_EQ(*engine->find_damage(), Ranges());
    EXPECT_EQ(bytes_of(disk), before);
    EXPECT_TRUE(engine->give_up({}).ok());
    EXPECT_TRUE(engine->give_up(Ranges{{"", "z"}}).ok());
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
            const Ranges ranges = heal(*files);
            ASSERT_FALSE(HasFailure());
            with_damage += ranges.empty() ? 0u : 1u;
            ++cases;
        }
    }
    EXPECT_GT(with_damage, is_lsm() ? cases * 2 / 3 : cases / 4);
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
        const Ranges ranges = *damaged->find_damage();
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
        const Ranges ranges = *damaged->find_damage();
        if (ranges.empty()) {
            continue;
        }
        const auto before = bytes_of(*files);
        Ranges too_little = ranges;
        too_little.pop_back();
        Ranges shorter = ranges;
        shorter.back().first.push_back('\0');
        for (const Ranges& given :
             {Ranges(), too_little, shorter, Ranges{{"a", "b"}, {"l", "z"}}}) {
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
            const Ranges ranges = *damaged->find_damage();
            EXPECT_TRUE(!ranges.empty() || !path.ends_with(".table")) << path << " at " << offset;
            ASSERT_TRUE(damaged->give_up(ranges).ok());
            EXPECT_EQ(judge(*damaged, ranges), "") << path;
            EXPECT_EQ(*damaged->find_damage(), Ranges());
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
    EXPECT_EQ(*engine->find_damage(), (Ranges{{"key07", "key07"}, {"key41", "key41"}}));
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

    const Ranges ranges = *engine->find_damage();
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
    EXPECT_EQ(*engine->find_damage(), Ranges());
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
    const Ranges ranges = *engine->find_damage();
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
    const Ranges ranges = *engine->find_damage();
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
    const Ranges ranges = *engine->find_damage();
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

// ---- faults

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
        EXPECT_EQ(*(*opened)->find_damage(), Ranges());
        EXPECT_TRUE((*opened)->compact().ok());
        EXPECT_EQ(judge(**opened, ranges), "") << "operation " << n;
    }

    env::SimRandom random{1};
    Ranges ranges;
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

TEST(InMemoryGiveUpTest, NothingIsEverDamaged) {
    env::SimFileSystem files;
    QueueWorkers workers;
    const auto engine =
        *open_engine("/data", small_options("in_memory"), environment(files, workers));
    ASSERT_TRUE(put(*engine, "key", "v").ok());
    EXPECT_EQ(*engine->find_damage(), Ranges());
    EXPECT_TRUE(engine->give_up(Ranges{{"", "z"}}).ok());
    EXPECT_TRUE(engine->damage().ok());
    EXPECT_EQ(read(*engine, "key"), "v");
    EXPECT_TRUE(engine->close().ok());
    EXPECT_TRUE(absl::IsFailedPrecondition(engine->find_damage().status()));
}

}  // namespace
}  // namespace starling::storage
