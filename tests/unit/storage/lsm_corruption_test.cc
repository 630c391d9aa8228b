// Damage to every byte of every file: detected, or without effect; never wrong data.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/storage/test_support.h"

namespace starling::storage {
namespace {

using testing::HasSubstr;

// A database with tables in two levels and a log with three synced batches.
class LsmCorruptionTest : public testing::Test {
  protected:
    LsmCorruptionTest() {
        QueueWorkers workers;
        auto engine = *open_engine("/data", options, environment(files, workers));
        for (int i = 0; i < 120; ++i) {
            WriteBatch batch;
            batch.put(fmt::format("key{:03}", i % 50),
                      fmt::format("{:04}", i) + std::string(70, 'v'));
            model[fmt::format("key{:03}", i % 50)] = fmt::format("{:04}", i) + std::string(70, 'v');
            EXPECT_TRUE(write_patiently(*engine, workers, batch).ok());
        }
        EXPECT_TRUE(engine->sync().ok());
        workers.run_all();
        EXPECT_TRUE(engine->close().ok());
        engine = *open_engine("/data", options, environment(files, workers));
        states.push_back(model);
        for (int i = 0; i < 3; ++i) {
            EXPECT_TRUE(put(*engine, fmt::format("log{}", i), std::string(50, 'l')).ok());
            EXPECT_TRUE(engine->sync().ok());
            model[fmt::format("log{}", i)] = std::string(50, 'l');
            states.push_back(model);
        }
    }

    // The content, or why it cannot be had.
    static absl::StatusOr<Model> open_and_read(env::SimFileSystem& disk,
                                               const EngineOptions& options) {
        QueueWorkers workers;
        auto engine = open_engine("/data", options, environment(disk, workers));
        if (!engine.ok()) {
            return engine.status();
        }
        return contents(**engine);
    }

    std::vector<std::string> paths() {
        std::vector<std::string> result;
        const std::vector<std::string> names = *files.list("/data");
        for (const std::string& name : names) {
            if (name != "LOCK") {
                result.push_back("/data/" + name);
            }
        }
        return result;
    }

    EngineOptions options = [] {
        EngineOptions small = small_options();
        small.memory_bytes_max = 16384;
        small.table_bytes = 1024;
        small.level_bytes_base = 2048;
        return small;
    }();
    env::SimFileSystem files;
    Model model;
    // states[i]: with the first i batches of the log.
    std::vector<Model> states;
};

TEST_F(LsmCorruptionTest, AFlippedBitIsDetectedOrWithoutEffect) {
    size_t detected = 0;
    size_t tables = 0;
    for (const std::string& path : paths()) {
        const bool is_log = path.ends_with(".log");
        tables += path.ends_with(".table") ? 1u : 0u;
        const uint64_t size = *files.file_size(path);
        for (uint64_t offset = 0; offset < size; offset += size > 2000 ? 7 : 1) {
            const auto disk = files.clone();
            ASSERT_TRUE(disk->flip_bit(path, offset, offset % 8).ok());
            const auto found = open_and_read(*disk, options);
            if (!found.ok()) {
                ++detected;
                ASSERT_TRUE(absl::IsDataLoss(found.status()) ||
                            absl::IsFailedPrecondition(found.status()))
                    << path << " byte " << offset << ": " << found.status();
                continue;
            }
            // Nothing after the last record proves that it was durable, so it counts as torn.
            ASSERT_TRUE(*found == model || (is_log && *found == states[2]))
                << path << " byte " << offset;
        }
    }
    EXPECT_GT(detected, 1000u);
    EXPECT_GT(tables, 3u);
}

TEST_F(LsmCorruptionTest, ATruncatedFileIsDetectedOrIsATornTail) {
    for (const std::string& path : paths()) {
        const bool is_log = path.ends_with(".log");
        const uint64_t size = *files.file_size(path);
        for (uint64_t length = 0; length < size; length += size > 2000 ? 13 : 1) {
            const auto disk = files.clone();
            ASSERT_TRUE(disk->truncate(path, length).ok());
            const auto found = open_and_read(*disk, options);
            if (is_log) {
                // A whole number of batches, and no other.
                ASSERT_TRUE(found.ok()) << found.status();
                ASSERT_TRUE(std::find(states.begin(), states.end(), *found) != states.end());
            } else {
                ASSERT_TRUE(!found.ok() || *found == model) << path << " length " << length;
            }
        }
    }
}

TEST_F(LsmCorruptionTest, AMissingFileIsDetected) {
    for (const std::string& path : paths()) {
        const auto disk = files.clone();
        ASSERT_TRUE(disk->remove(path).ok());
        const auto found = open_and_read(*disk, options);
        ASSERT_TRUE(absl::IsDataLoss(found.status())) << path << ": " << found.status();
        EXPECT_THAT(std::string(found.status().message()), HasSubstr("missing"));
    }
}

TEST_F(LsmCorruptionTest, FilesThatChangedPlacesAreDetected) {
    std::vector<std::string> tables;
    for (const std::string& path : paths()) {
        if (path.ends_with(".table")) {
            tables.push_back(path);
        }
    }
    ASSERT_GE(tables.size(), 2u);
    for (size_t i = 0; i + 1 < tables.size(); ++i) {
        const auto disk = files.clone();
        const std::string content = *env::read_file(files, tables[i], 1 << 20);
        ASSERT_TRUE(env::replace_file(*disk, tables[i + 1], content).ok());
        EXPECT_TRUE(absl::IsDataLoss(open_and_read(*disk, options).status()));
    }
}

TEST_F(LsmCorruptionTest, DamageBeforeTheEndOfTheLogNamesFileAndOffset) {
    for (const std::string& path : paths()) {
        if (!path.ends_with(".log")) {
            continue;
        }
        // Inside the first record, behind the file header.
        ASSERT_TRUE(files.flip_bit(path, 70, 3).ok());
        const auto found = open_and_read(files, options);
        ASSERT_TRUE(absl::IsDataLoss(found.status())) << found.status();
        EXPECT_THAT(std::string(found.status().message()), HasSubstr(path));
        EXPECT_THAT(std::string(found.status().message()), HasSubstr("offset 32"));
        // Refusing changed nothing.
        ASSERT_TRUE(files.flip_bit(path, 70, 3).ok());
        const auto healed = open_and_read(files, options);
        ASSERT_TRUE(healed.ok()) << healed.status();
        EXPECT_EQ(*healed, model);
    }
}

TEST_F(LsmCorruptionTest, DamageToATableFoundByACompactionStopsMergingVisibly) {
    for (const std::string& path : paths()) {
        if (path.ends_with(".table")) {
            ASSERT_TRUE(files.flip_bit(path, 20, 1).ok());
        }
    }
    QueueWorkers workers;
    auto engine = *open_engine("/data", options, environment(files, workers));
    absl::Status status;
    for (int i = 0; i < 2000 && status.ok(); ++i) {
        WriteBatch batch;
        batch.put(fmt::format("key{:03}", i % 50), std::string(80, 'n'));
        status = write_patiently(*engine, workers, batch);
        workers.run_all();
    }
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_EQ(engine->statistics().levels[0].tables, options.level_0_tables_stall);
    EXPECT_TRUE(engine->background_error().ok()) << engine->background_error();
    EXPECT_TRUE(absl::IsDataLoss(engine->damage())) << engine->damage();
    EXPECT_THAT(std::string(engine->damage().message()), HasSubstr(".table"));
    EXPECT_EQ(engine->compact(), engine->damage());
    EXPECT_TRUE(engine->sync().ok());
    EXPECT_TRUE(engine->close().ok());
}

}  // namespace
}  // namespace starling::storage
