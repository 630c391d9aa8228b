// Damage of every kind to every type of file: detected, or without effect; never wrong data. What
// the error names leads to the place.

#include <algorithm>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/backup.h"
#include "tests/unit/storage/test_support.h"

namespace starling::storage {
namespace {

using testing::HasSubstr;

// "lsm", "lsm_values" (with large values apart), "bitcask".
EngineOptions options_of(const std::string& variant) {
    EngineOptions options = small_options(variant == "bitcask" ? "bitcask" : "lsm");
    options.table_bytes = 1024;
    options.level_bytes_base = 2048;
    options.separate_value_bytes = variant == "lsm_values" ? 60 : 0;
    options.value_file_bytes = 2048;
    options.bitcask_file_bytes = 2048;
    options.bitcask_stale_bytes_max = 2048;
    return options;
}

bool is_of_log(const std::string& path, const std::string& log) {
    return path == log || path.ends_with(".log");
}

class EngineDamageTest : public testing::TestWithParam<std::string> {
  protected:
    EngineDamageTest() {
        QueueWorkers workers;
        auto engine = *open_engine("/data", options, environment(files, workers));
        for (int part = 0; part < 4; ++part) {
            overwrite(*engine, workers, model, 30 + part, 50, 70);
            EXPECT_TRUE(engine->sync().ok());
            workers.run_all();
            keep_versions();
        }
        EXPECT_TRUE(remove(*engine, "key003").ok());
        model.erase("key003");
        workers.run_all();
        keep_versions();
        EXPECT_TRUE(engine->close().ok());
        keep_versions();
        engine = *open_engine("/data", options, environment(files, workers));
        states.push_back(model);
        for (int i = 0; i < 3; ++i) {
            const std::string key = fmt::format("log{}", i);
            EXPECT_TRUE(engine->write(put_of(key, std::string(400, 'l')), {.sync = true}).ok());
            model[key] = std::string(400, 'l');
            states.push_back(model);
            keep_versions();
        }
        engine.reset();
        for (const std::string& name : names()) {
            // Of bitcask the newest data file is the log.
            log = name.ends_with(".data") ? "/data/" + name : log;
        }
    }

    std::vector<std::string> names() {
        std::vector<std::string> result = *files.list("/data");
        std::erase(result, "LOCK");
        return result;
    }
    std::string bytes(const std::string& path) { return *env::read_file(files, path, 1 << 20); }

    void keep_versions() {
        for (const std::string& name : names()) {
            std::vector<std::string>& kept = versions["/data/" + name];
            if (std::string content = bytes("/data/" + name);
                std::find(kept.begin(), kept.end(), content) == kept.end()) {
                kept.push_back(std::move(content));
            }
        }
    }

    static void replace(env::SimFileSystem& disk,
                        const std::string& path,
                        const std::string& content) {
        ASSERT_TRUE(env::replace_file(disk, path, content).ok());
    }

    // "" when what `disk` shows is right, or refused with an error that names a file.
    std::string judge(env::SimFileSystem& disk, const std::string& path) {
        QueueWorkers workers;
        auto engine = open_engine("/data", options, environment(disk, workers));
        absl::Status status = engine.status();
        if (engine.ok()) {
            const auto found = contents(**engine);
            status = found.status();
            if (found.ok() && *found != model && !is_log_state(path, *found)) {
                return fmt::format("{} keys of {}", found->size(), model.size());
            }
            // By the filters, too.
            for (const auto& [key, value] : found.ok() ? *found : model) {
                const auto got = (*engine)->get(key);
                status.Update(got.status());
                if (got.ok() && got->value_or("(none)") != value) {
                    return key + " has another value";
                }
            }
        }
        detected += status.ok() ? 0u : 1u;
        if (status.ok() || ((absl::IsDataLoss(status) || absl::IsFailedPrecondition(status)) &&
                            status.message().find("/data/") != std::string_view::npos)) {
            return "";
        }
        return "an error of another kind: " + status.ToString();
    }
    // Nothing behind the last records of a log proves that they were durable.
    bool is_log_state(const std::string& path, const Model& found) {
        return is_of_log(path, log) &&
               std::find(states.begin(), states.end(), found) != states.end();
    }

    const EngineOptions options = options_of(GetParam());
    env::SimFileSystem files;
    Model model;
    // states[i]: with the first i batches of the log.
    std::vector<Model> states;
    std::string log;
    // Of each file, what it held at some time.
    std::map<std::string, std::vector<std::string>> versions;
    size_t detected = 0;
};

INSTANTIATE_TEST_SUITE_P(Engines,
                         EngineDamageTest,
                         testing::Values("lsm", "lsm_values", "bitcask"),
                         [](const auto& tested) { return tested.param; });

TEST_P(EngineDamageTest, EveryFileTypeIsAmongThoseThatAreDamaged) {
    std::map<std::string, int> kinds;
    for (const std::string& name : names()) {
        ++kinds[name.substr(name.find('.') == std::string::npos ? 0 : name.find('.'))];
    }
    for (const std::string& kind :
         GetParam() == "bitcask" ? std::vector<std::string>{".data", ".hint", "FILES", "ENGINE"}
                                 : std::vector<std::string>{".table", ".log", "CURRENT"}) {
        EXPECT_GT(kinds[kind], 0) << kind;
    }
    EXPECT_EQ(kinds[".values"] > 1, GetParam() == "lsm_values");
}

TEST_P(EngineDamageTest, EveryFlippedBitIsDetectedOrWithoutEffect) {
    for (const std::string& name : names()) {
        const std::string path = "/data/" + name;
        const uint64_t size = *files.file_size(path);
        for (uint64_t bit = 0; bit < size * 8; bit += size > 100 ? every(13) : 1) {
            const auto disk = files.clone();
            ASSERT_TRUE(disk->flip_bit(path, bit / 8, bit % 8).ok());
            ASSERT_EQ(judge(*disk, path), "") << path << " bit " << bit;
        }
    }
    EXPECT_GT(detected, 300u);
}

TEST_P(EngineDamageTest, EveryByteThatTurnsToZeroOrToOnesIsDetectedOrWithoutEffect) {
    for (const std::string& name : names()) {
        const std::string path = "/data/" + name;
        const uint64_t size = *files.file_size(path);
        for (uint64_t at = 0; at < size; at += size > 100 ? every(11) : 1) {
            for (const char byte : {'\0', '\xff'}) {
                const auto disk = files.clone();
                ASSERT_TRUE(disk->damage(path, at, std::string(1, byte)).ok());
                ASSERT_EQ(judge(*disk, path), "") << path << " byte " << at;
            }
        }
    }
    EXPECT_GT(detected, 300u);
}

TEST_P(EngineDamageTest, RunsOfGarbageAreDetectedOrWithoutEffect) {
    env::SimRandom random(7);
    for (const std::string& name : names()) {
        const std::string path = "/data/" + name;
        const uint64_t size = *files.file_size(path);
        for (uint64_t i = 0; i < 2000 / every(50) && size > 0; ++i) {
            const uint64_t at = random.below(size);
            std::string garbage(1 + random.below(std::min<uint64_t>(size - at, 1500)), '\0');
            for (char& byte : garbage) {
                byte = static_cast<char>(random.below(256));
            }
            const auto disk = files.clone();
            ASSERT_TRUE(disk->damage(path, at, garbage).ok());
            ASSERT_EQ(judge(*disk, path), "") << path << " from " << at;
        }
    }
    EXPECT_GT(detected, 100u);
}

TEST_P(EngineDamageTest, CutToAnyLengthAFileIsDetectedOrIsATornTail) {
    for (const std::string& name : names()) {
        const std::string path = "/data/" + name;
        const uint64_t size = *files.file_size(path);
        for (uint64_t length = 0; length < size; length += size > 100 ? every(17) : 1) {
            const auto disk = files.clone();
            ASSERT_TRUE(disk->truncate(path, length).ok());
            ASSERT_EQ(judge(*disk, path), "") << path << " length " << length;
        }
    }
    EXPECT_GT(detected, 100u);
}

TEST_P(EngineDamageTest, WhatIsAppendedToAFileIsDetectedOrWithoutEffect) {
    for (const std::string& name : names()) {
        const std::string path = "/data/" + name;
        const std::string content = bytes(path);
        for (const std::string& more : {std::string(1, '\0'),
                                        std::string(513, '\0'),
                                        std::string(4096, 'x'),
                                        content,
                                        content.substr(content.size() / 2)}) {
            const auto disk = files.clone();
            replace(*disk, path, content + more);
            ASSERT_EQ(judge(*disk, path), "") << path << " and " << more.size() << " bytes";
        }
    }
    EXPECT_GT(detected, 10u);
}

TEST_P(EngineDamageTest, SectorsThatWereWrittenToAnotherPlaceAreDetectedOrWithoutEffect) {
    constexpr uint64_t sector = env::sim_sector_size;
    struct Place {
        std::string path;
        uint64_t offset;
        uint64_t size;
    };
    std::vector<Place> places;
    for (const std::string& name : names()) {
        const std::string path = "/data/" + name;
        const uint64_t size = *files.file_size(path);
        for (uint64_t offset = 0; offset < size; offset += sector) {
            places.push_back({path, offset, std::min(sector, size - offset)});
        }
    }
    uint64_t count = 0;
    for (const Place& from : places) {
        const std::string content = bytes(from.path).substr(from.offset, from.size);
        for (const Place& to : places) {
            if (++count % every(2) != 0) {
                continue;
            }
            const auto disk = files.clone();
            ASSERT_TRUE(disk->damage(to.path, to.offset, content.substr(0, to.size)).ok());
            // A log's last records may vanish with the sector.
            ASSERT_EQ(judge(*disk, to.path), "")
                << from.path << " at " << from.offset << " over " << to.path << " at " << to.offset;
        }
    }
    EXPECT_GT(detected, 50u);
}

TEST_P(EngineDamageTest, AFileInThePlaceOfAnotherIsDetectedOrWithoutEffect) {
    for (const std::string& from : names()) {
        for (const std::string& to : names()) {
            if (from != to) {
                const auto disk = files.clone();
                replace(*disk, "/data/" + to, bytes("/data/" + from));
                ASSERT_EQ(judge(*disk, "/data/" + to), "") << from << " as " << to;
            }
        }
    }
    EXPECT_GT(detected, 10u);
}

TEST_P(EngineDamageTest, AFileThatIsAnOlderStateOfItselfIsDetectedOrWithoutEffect) {
    size_t tried = 0;
    for (const auto& [path, contents_then] : versions) {
        if (!*files.exists(path)) {
            continue;
        }
        for (const std::string& content : contents_then) {
            tried += content != bytes(path) ? 1u : 0u;
            const auto disk = files.clone();
            replace(*disk, path, content);
            ASSERT_EQ(judge(*disk, path), "")
                << path << " as it was with " << content.size() << " bytes";
        }
    }
    EXPECT_GT(tried, 2u);
}

// CURRENT and what it names, or FILES, from an earlier time, with everything that was removed since
// gone.
TEST_P(EngineDamageTest, AnOlderListOfFilesIsDetectedOrWithoutEffect) {
    size_t tried = 0;
    for (const auto& [path, contents_then] : versions) {
        if (path.find("/manifest-") == std::string::npos) {
            continue;
        }
        for (const std::string& manifest : contents_then) {
            for (const std::string& current : versions["/data/CURRENT"]) {
                const auto disk = files.clone();
                replace(*disk, path, manifest);
                replace(*disk, "/data/CURRENT", current);
                ++tried;
                ASSERT_EQ(judge(*disk, path), "") << path << ", " << current;
            }
        }
    }
    for (const std::string& list : versions["/data/FILES"]) {
        const auto disk = files.clone();
        replace(*disk, "/data/FILES", list);
        ++tried;
        ASSERT_EQ(judge(*disk, "/data/FILES"), "") << list;
    }
    EXPECT_GT(tried, 5u);
}

TEST_P(EngineDamageTest, AMissingFileOrADirectoryInItsPlaceIsNamed) {
    for (const std::string& name : names()) {
        for (const bool directory : {false, true}) {
            const std::string path = "/data/" + name;
            const auto disk = files.clone();
            ASSERT_TRUE(disk->remove(path).ok());
            if (directory) {
                ASSERT_TRUE(disk->create_directory(path).ok());
            }
            QueueWorkers workers;
            const auto engine = open_engine("/data", options, environment(*disk, workers));
            if (name.ends_with(".hint")) {
                ASSERT_TRUE(engine.ok()) << engine.status();
                EXPECT_EQ(*contents(**engine), model);
                continue;
            }
            absl::Status status = engine.status();
            if (engine.ok()) {
                status = contents(**engine).status();
            }
            ASSERT_FALSE(status.ok()) << path;
            EXPECT_THAT(std::string(status.message()), HasSubstr(path));
            EXPECT_TRUE(absl::IsDataLoss(status) || (directory && absl::IsInvalidArgument(status)))
                << status;
        }
    }
}

TEST_P(EngineDamageTest, KeysThatAreNotDamagedAreServed) {
    for (const std::string& name : names()) {
        if (!name.ends_with(".table") && !name.ends_with(".values") && !name.ends_with(".data")) {
            continue;
        }
        const std::string path = "/data/" + name;
        if (path == log) {
            continue;
        }
        const auto disk = files.clone();
        // Behind every header, and inside a value.
        ASSERT_TRUE(disk->flip_bit(path, *files.file_size(path) / 3, 3).ok());
        QueueWorkers workers;
        const auto engine = open_engine("/data", options, environment(*disk, workers));
        ASSERT_TRUE(engine.ok()) << engine.status();
        size_t served = 0;
        for (const auto& [key, value] : model) {
            const auto found = (*engine)->get(key);
            if (found.ok()) {
                EXPECT_EQ(found->value_or("(none)"), value);
                ++served;
            } else {
                EXPECT_TRUE(absl::IsDataLoss(found.status())) << found.status();
                EXPECT_THAT(std::string(found.status().message()), HasSubstr(path));
                EXPECT_THAT(std::string(found.status().message()), HasSubstr("offset"));
            }
        }
        EXPECT_GT(served, model.size() / 2) << path;
        // It is no reason to stop.
        EXPECT_TRUE((*engine)->write(put_of("further", "1"), {.sync = true}).ok());
    }
}

// ---- backups

class BackupDamageTest : public EngineDamageTest {
  protected:
    BackupDamageTest() {
        QueueWorkers workers;
        const auto engine = *open_engine("/data", options, environment(files, workers));
        const absl::Status status = backup_engine(*engine, files, "/backup");
        EXPECT_TRUE(status.ok()) << status;
    }

    static void expect_refused(env::SimFileSystem& disk, const std::string& path) {
        const absl::Status status = restore_engine(disk, "/backup", "/restored");
        ASSERT_TRUE(absl::IsDataLoss(status)) << path << ": " << status;
        ASSERT_THAT(std::string(status.message()), HasSubstr(path));
        ASSERT_FALSE(*disk.exists("/restored"));
    }
};

INSTANTIATE_TEST_SUITE_P(Engines,
                         BackupDamageTest,
                         testing::Values("lsm", "lsm_values", "bitcask"),
                         [](const auto& tested) { return tested.param; });

TEST_P(BackupDamageTest, ABackupIsRestoredAndGoesOn) {
    ASSERT_TRUE(restore_engine(files, "/backup", "/restored").ok());
    QueueWorkers workers;
    const auto engine = *open_engine("/restored", options, environment(files, workers));
    EXPECT_EQ(*contents(*engine), model);
    EXPECT_TRUE(engine->write(put_of("further", "1"), {.sync = true}).ok());
    workers.run_all();
    EXPECT_TRUE(engine->close().ok());
    EXPECT_TRUE(verify_backup(files, "/backup").ok());
}

TEST_P(BackupDamageTest, ABackupOutlivesAPowerLossRightAfterIt) {
    // With more in it than the one before.
    QueueWorkers workers;
    auto engine = *open_engine("/data", options, environment(files, workers));
    Model more = model;
    overwrite(*engine, workers, more, 60, 40, 90);
    ASSERT_TRUE(backup_engine(*engine, files, "/copy").ok());
    engine.reset();
    workers.drop_all();
    env::SimRandom random(1);
    files.crash(env::CrashMode::lost, random);
    const absl::Status status = restore_engine(files, "/copy", "/restored");
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(*contents(**open_engine("/restored", options, environment(files, workers))), more);
}

TEST_P(BackupDamageTest, EveryFlippedBitAndEveryLengthIsRefusedBeforeAnythingIsWritten) {
    const std::vector<std::string> names = *files.list("/backup");
    for (const std::string& name : names) {
        if (name == "LOCK") {
            continue;
        }
        const std::string path = "/backup/" + name;
        const uint64_t size = *files.file_size(path);
        for (uint64_t at = 0; at < size; at += size > 100 ? every(13) : 1) {
            const auto flipped = files.clone();
            ASSERT_TRUE(flipped->flip_bit(path, at, at % 8).ok());
            expect_refused(*flipped, path);
            const auto cut = files.clone();
            ASSERT_TRUE(cut->truncate(path, at).ok());
            expect_refused(*cut, path);
            ASSERT_FALSE(HasFatalFailure());
        }
        const auto longer = files.clone();
        replace(*longer, path, *env::read_file(files, path, 1 << 20) + "\n");
        expect_refused(*longer, path);
        ASSERT_FALSE(HasFatalFailure());
    }
}

TEST_P(BackupDamageTest, ABackupMadeWhileWritesAndMergesGoOnIsOneMoment) {
    QueueWorkers workers;
    const auto engine = *open_engine("/data", options, environment(files, workers));
    // moments[i]: with the first i of the writes that come between.
    std::vector<Model> moments = {model};
    bool busy = false;
    files.faults().set_hook([&](env::FileOperation, const std::string& path) {
        // Not from inside a write, nor under the locks that a file of the engine may mean.
        if (!busy && path.starts_with("/copy") && moments.size() < 60) {
            busy = true;
            const std::string key = fmt::format("key{:03}", moments.size() % 50);
            const std::string value =
                fmt::format("new{:03}", moments.size()) + std::string(80, 'n');
            Model next = moments.back();
            next[key] = value;
            if (write_patiently(*engine, workers, put_of(key, value)).ok()) {
                moments.push_back(std::move(next));
            }
            workers.run_one();
            busy = false;
        }
        return absl::OkStatus();
    });
    const absl::Status status = backup_engine(*engine, files, "/copy");
    files.faults().set_hook(nullptr);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_GT(moments.size(), 20u);
    EXPECT_EQ(*contents(*engine), moments.back());
    ASSERT_TRUE(restore_engine(files, "/copy", "/restored").ok());
    const auto restored = *open_engine("/restored", options, environment(files, workers));
    const Model found = *contents(*restored);
    EXPECT_TRUE(std::find(moments.begin(), moments.end(), found) != moments.end())
        << found.size() << " keys of no moment";
}

}  // namespace
}  // namespace starling::storage
