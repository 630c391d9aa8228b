#pragma once

// A database with something in every level, and what an engine may make of it once its files are
// damaged.

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/storage/test_support.h"

namespace starling::storage {

using KeyRanges = std::vector<KeyRange>;

inline bool lies_in(const KeyRanges& ranges, const std::string& key) {
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
    std::string judge(Engine& healed, const KeyRanges& given_up) {
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
    KeyRanges heal(env::SimFileSystem& files, bool open_damaged = false) {
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
        EXPECT_EQ(*(*opened)->find_damage(), KeyRanges());
        EXPECT_TRUE((*opened)->damage().ok()) << (*opened)->damage();
        workers.drop_all();
        opened->reset();

        // It was durable, and nothing of the damage is left in the way.
        env::SimRandom random(1);
        files.crash(env::CrashMode::lost, random);
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
        EXPECT_EQ(*(*opened)->find_damage(), KeyRanges());
        EXPECT_TRUE((*opened)->write(put_of("further", "1"), {.sync = true}).ok());
        EXPECT_TRUE((*opened)->close().ok());
        return *ranges;
    }

    // What the steps of one round say.
    struct Round {
        size_t steps = 0;
        uint64_t bytes = 0;
        std::vector<absl::Status> errors;
    };
    static Round scrub(Engine& scrubbed, uint64_t step_bytes) {
        Round round;
        while (round.steps < 10'000) {
            ++round.steps;
            const auto step = scrubbed.scrub(step_bytes);
            if (!step.ok()) {
                round.errors.push_back(step.status());
                continue;
            }
            round.bytes += step->bytes;
            if (step->is_last) {
                break;
            }
        }
        EXPECT_LT(round.steps, 10'000u) << "a round has no end";
        return round;
    }

    env::SimFileSystem disk{{.append_buffer_bytes = 0}};
    std::unique_ptr<Engine> engine;
    Model model;
    // The values that each key ever had.
    std::map<std::string, std::set<std::string>> history;
};

}  // namespace starling::storage
