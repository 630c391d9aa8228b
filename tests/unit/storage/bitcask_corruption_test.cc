// Damage to every byte of every file: detected, or without effect; never wrong data.

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/storage/test_support.h"

namespace starling::storage {
namespace {

using testing::HasSubstr;

// Complete files, some of them written by a merge, and a log with three synced batches.
class BitcaskCorruptionTest : public testing::Test {
  protected:
    BitcaskCorruptionTest() {
        QueueWorkers workers;
        auto engine = *open_engine("/data", options, environment(files, workers));
        for (int i = 0; i < 120; ++i) {
            const std::string key = fmt::format("key{:03}", i % 50);
            const std::string value = fmt::format("{:04}", i) + std::string(70, 'v');
            EXPECT_TRUE(put(*engine, key, value).ok());
            model[key] = value;
        }
        EXPECT_TRUE(remove(*engine, "key003").ok());
        model.erase("key003");
        workers.run_all();
        EXPECT_GT(engine->statistics().compactions, 0u);
        EXPECT_TRUE(engine->close().ok());
        engine = *open_engine("/data", options, environment(files, workers));
        states.push_back(model);
        for (int i = 0; i < 3; ++i) {
            EXPECT_TRUE(put(*engine, fmt::format("log{}", i), std::string(50, 'l')).ok());
            EXPECT_TRUE(engine->sync().ok());
            model[fmt::format("log{}", i)] = std::string(50, 'l');
            states.push_back(model);
        }
        for (const std::string& name : names()) {
            log = name.ends_with(".data") ? "/data/" + name : log;
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

    const std::vector<std::string>& names() {
        if (names_.empty()) {
            names_ = *files.list("/data");
            std::erase(names_, "LOCK");
        }
        return names_;
    }
    void remove_hints(env::SimFileSystem& disk) {
        for (const std::string& name : names()) {
            if (name.ends_with(".hint") && *disk.exists("/data/" + name)) {
                ASSERT_TRUE(disk.remove("/data/" + name).ok());
            }
        }
    }

    EngineOptions options = [] {
        EngineOptions small = small_options("bitcask");
        small.bitcask_file_bytes = 2048;
        small.bitcask_stale_bytes_max = 2048;
        return small;
    }();
    env::SimFileSystem files;
    Model model;
    // states[i]: with the first i batches of the log.
    std::vector<Model> states;
    // The log's file.
    std::string log;

  private:
    std::vector<std::string> names_;
};

TEST_F(BitcaskCorruptionTest, AFlippedBitIsDetectedOrWithoutEffectWithHintsAndWithout) {
    for (const bool hints : {true, false}) {
        size_t detected = 0;
        size_t data_files = 0;
        for (const std::string& name : names()) {
            const std::string path = "/data/" + name;
            if (!hints && name.ends_with(".hint")) {
                continue;
            }
            data_files += name.ends_with(".data") ? 1u : 0u;
            const uint64_t size = *files.file_size(path);
            for (uint64_t offset = 0; offset < size; offset += size > 500 ? 3 : 1) {
                const auto disk = files.clone();
                if (!hints) {
                    remove_hints(*disk);
                }
                ASSERT_TRUE(disk->flip_bit(path, offset, offset % 8).ok());
                const auto found = open_and_read(*disk, options);
                if (!found.ok()) {
                    ++detected;
                    ASSERT_TRUE(absl::IsDataLoss(found.status()) ||
                                absl::IsFailedPrecondition(found.status()))
                        << path << " byte " << offset << ": " << found.status();
                    ASSERT_FALSE(name.ends_with(".hint")) << path << ": " << found.status();
                    continue;
                }
                // Nothing after the last record proves that it was durable, so it counts as torn.
                ASSERT_TRUE(*found == model || (path == log && *found == states[2]))
                    << path << " byte " << offset;
            }
        }
        EXPECT_GT(detected, 500u);
        EXPECT_GT(data_files, 2u);
    }
}

TEST_F(BitcaskCorruptionTest, ATruncatedFileIsDetectedOrIsATornTail) {
    for (const std::string& name : names()) {
        const std::string path = "/data/" + name;
        const uint64_t size = *files.file_size(path);
        for (uint64_t length = 0; length < size; length += size > 500 ? 7 : 1) {
            const auto disk = files.clone();
            ASSERT_TRUE(disk->truncate(path, length).ok());
            const auto found = open_and_read(*disk, options);
            if (path == log) {
                // A whole number of batches, and no other.
                ASSERT_TRUE(found.ok()) << found.status();
                ASSERT_TRUE(std::find(states.begin(), states.end(), *found) != states.end());
            } else if (name.ends_with(".hint")) {
                ASSERT_TRUE(found.ok()) << path << " length " << length << ": " << found.status();
                ASSERT_EQ(*found, model);
            } else {
                ASSERT_FALSE(found.ok()) << path << " length " << length;
            }
        }
    }
}

TEST_F(BitcaskCorruptionTest, AMissingFileIsDetectedUnlessItIsAHint) {
    for (const std::string& name : names()) {
        const auto disk = files.clone();
        ASSERT_TRUE(disk->remove("/data/" + name).ok());
        const auto found = open_and_read(*disk, options);
        if (name.ends_with(".hint")) {
            ASSERT_TRUE(found.ok()) << found.status();
            EXPECT_EQ(*found, model);
            continue;
        }
        ASSERT_TRUE(absl::IsDataLoss(found.status())) << name << ": " << found.status();
        EXPECT_THAT(std::string(found.status().message()), HasSubstr("missing"));
    }
}

TEST_F(BitcaskCorruptionTest, FilesThatChangedPlacesAreDetected) {
    for (const std::string& from : names()) {
        for (const std::string& to : names()) {
            if (from == to || !from.ends_with(".data") || !to.ends_with(".data")) {
                continue;
            }
            const auto disk = files.clone();
            const std::string content = *env::read_file(files, "/data/" + from, 1 << 20);
            ASSERT_TRUE(env::replace_file(*disk, "/data/" + to, content).ok());
            const auto found = open_and_read(*disk, options);
            EXPECT_TRUE(!found.ok() || "/data/" + to == log) << from << " as " << to;
        }
    }
}

TEST_F(BitcaskCorruptionTest, AHintOfAnotherFileIsNotUsed) {
    for (const std::string& from : names()) {
        for (const std::string& to : names()) {
            if (from == to || !from.ends_with(".hint") || !to.ends_with(".hint")) {
                continue;
            }
            const auto disk = files.clone();
            const std::string content = *env::read_file(files, "/data/" + from, 1 << 20);
            ASSERT_TRUE(env::replace_file(*disk, "/data/" + to, content).ok());
            EXPECT_EQ(*open_and_read(*disk, options), model);
        }
    }
}

TEST_F(BitcaskCorruptionTest, DamageBeforeTheEndOfTheLogNamesFileAndOffsetAndChangesNothing) {
    // Inside the first record, behind the file header.
    ASSERT_TRUE(files.flip_bit(log, 70, 3).ok());
    const auto found = open_and_read(files, options);
    ASSERT_TRUE(absl::IsDataLoss(found.status())) << found.status();
    EXPECT_THAT(std::string(found.status().message()), HasSubstr(log));
    EXPECT_THAT(std::string(found.status().message()), HasSubstr("offset 32"));
    ASSERT_TRUE(files.flip_bit(log, 70, 3).ok());
    const auto healed = open_and_read(files, options);
    ASSERT_TRUE(healed.ok()) << healed.status();
    EXPECT_EQ(*healed, model);
}

TEST_F(BitcaskCorruptionTest, AMergeThatMeetsDamageGoesByTheHint) {
    for (const std::string& name : names()) {
        if (name.ends_with(".data") && "/data/" + name != log) {
            // In the header of the first record.
            ASSERT_TRUE(files.flip_bit("/data/" + name, 45, 1).ok());
        }
    }
    QueueWorkers workers;
    auto engine = *open_engine("/data", options, environment(files, workers));
    for (int i = 0; i < 100; ++i) {
        const std::string key = fmt::format("key{:03}", i % 20);
        model[key] = std::string(80, 'n');
        ASSERT_TRUE(put(*engine, key, model[key]).ok());
        workers.run_all();
    }
    EXPECT_GT(engine->statistics().compactions, 0u);
    EXPECT_EQ(*contents(*engine), model);
    EXPECT_TRUE(engine->compact().ok());
    EXPECT_TRUE(engine->damage().ok()) << engine->damage();
    EXPECT_EQ(*contents(*engine), model);
    EXPECT_TRUE(engine->close().ok());
    engine = *open_engine("/data", options, environment(files, workers));
    EXPECT_EQ(*contents(*engine), model);
    // Nothing damaged is left.
    remove_hints(files);
    EXPECT_TRUE(engine->compact().ok());
}

TEST_F(BitcaskCorruptionTest, AMergeThatGoesByTheHintWritesTheSameAndNothingTwice) {
    const auto merged_bytes = [this](env::SimFileSystem& disk) {
        QueueWorkers workers;
        const auto engine = *open_engine("/data", options, environment(disk, workers));
        const absl::Status status = engine->compact();
        EXPECT_TRUE(status.ok() || absl::IsDataLoss(status)) << status;
        return status.ok() ? engine->statistics().value_file_bytes : 0;
    };
    const uint64_t expected = merged_bytes(*files.clone());
    size_t tried = 0;
    for (const std::string& name : names()) {
        const std::string path = "/data/" + name;
        for (uint64_t at = 32;
             name.ends_with(".data") && path != log && at < *files.file_size(path);
             at += 29) {
            const auto disk = files.clone();
            ASSERT_TRUE(disk->flip_bit(path, at, 1).ok());
            // A value that is needed may be what is damaged.
            if (const uint64_t bytes = merged_bytes(*disk); bytes > 0) {
                ASSERT_EQ(bytes, expected) << path << " at " << at;
                ++tried;
            }
        }
    }
    EXPECT_GT(tried, 20u);
}

TEST_F(BitcaskCorruptionTest, DamageFoundByAMergeStopsMergingVisibly) {
    QueueWorkers workers;
    auto engine = *open_engine("/data", options, environment(files, workers));
    remove_hints(files);
    for (const std::string& name : names()) {
        if (name.ends_with(".data") && "/data/" + name != log) {
            ASSERT_TRUE(files.flip_bit("/data/" + name, 45, 1).ok());
        }
    }
    for (int i = 0; i < 2000; ++i) {
        ASSERT_TRUE(put(*engine, fmt::format("key{:03}", i % 50), std::string(80, 'n')).ok());
        workers.run_all();
    }
    EXPECT_TRUE(engine->background_error().ok()) << engine->background_error();
    EXPECT_TRUE(absl::IsDataLoss(engine->damage())) << engine->damage();
    EXPECT_THAT(std::string(engine->damage().message()), HasSubstr(".data"));
    EXPECT_EQ(engine->compact(), engine->damage());
    EXPECT_EQ(read(*engine, "key001").size(), 80u);
    EXPECT_TRUE(engine->close().ok());
}

}  // namespace
}  // namespace starling::storage
