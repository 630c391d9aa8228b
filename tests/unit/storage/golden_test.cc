// Directories that earlier versions wrote, kept as they were: each opens with exactly what it held.
// golden/make_golden.cc makes those of a new format.

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "env/posix/file_system.h"
#include "tests/unit/storage/test_support.h"

namespace starling::storage {
namespace {

struct Golden {
    std::string name;
    std::string engine;
    uint32_t format;
};

class GoldenTest : public testing::TestWithParam<Golden> {
  protected:
    GoldenTest() {
        env::PosixFileSystem real;
        const std::string from = fmt::format("{}/{}", STARLING_GOLDEN_DIRECTORY, GetParam().name);
        const auto names = real.list(from);
        EXPECT_TRUE(names.ok()) << names.status();
        EXPECT_TRUE(files.create_directory("/data").ok());
        EXPECT_TRUE(files.sync_directory("/").ok());
        for (const std::string& name : *names) {
            const auto content = env::read_file(real, fmt::format("{}/{}", from, name), 1 << 20);
            EXPECT_TRUE(env::replace_file(files, "/data/" + name, *content).ok());
        }
        const std::string text = *env::read_file(real, from + ".contents", 1 << 20);
        for (std::string_view rest = text; !rest.empty();) {
            const size_t tab = rest.find('\t');
            const size_t end = rest.find('\n');
            expected.emplace(rest.substr(0, tab), rest.substr(tab + 1, end - tab - 1));
            rest.remove_prefix(end + 1);
        }
        EXPECT_GT(expected.size(), 100u);
    }

    absl::StatusOr<Model> open_and_read(const EngineOptions& options) {
        QueueWorkers workers;
        auto engine = open_engine("/data", options, environment(files, workers));
        if (!engine.ok()) {
            return engine.status();
        }
        auto model = contents(**engine);
        for (const auto& [key, value] : expected) {
            EXPECT_EQ(read(**engine, key), value) << key;
        }
        workers.run_all();
        const absl::Status status = (*engine)->close();
        return status.ok() ? std::move(model) : status;
    }

    env::SimFileSystem files;
    Model expected;
};

INSTANTIATE_TEST_SUITE_P(Directories,
                         GoldenTest,
                         testing::Values(Golden{"format_1", "lsm", 1},
                                         Golden{"format_2_lsm", "lsm", 2},
                                         Golden{"format_2_bitcask", "bitcask", 2}),
                         [](const auto& tested) { return tested.param.name; });

TEST_P(GoldenTest, OpensWithWhatItHeldAndIsOfThisFormatFromThenOn) {
    EXPECT_EQ(detect_engine(files, "/data")->engine, GetParam().engine);
    EXPECT_EQ(detect_engine(files, "/data")->format, GetParam().format);
    for (int opens = 0; opens < 3; ++opens) {
        const auto found = open_and_read(small_options(GetParam().engine));
        ASSERT_TRUE(found.ok()) << found.status();
        EXPECT_EQ(*found, expected);
        EXPECT_EQ(detect_engine(files, "/data")->format, format_version);
    }
}

TEST_P(GoldenTest, OpensReadOnlyAndStaysOfItsFormat) {
    EngineOptions options = small_options("");
    options.read_only = true;
    const auto found = open_and_read(options);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(*found, expected);
    EXPECT_EQ(detect_engine(files, "/data")->format, GetParam().format);
}

TEST_P(GoldenTest, APowerLossWhileItIsRaisedLosesNothing) {
    env::SimRandom random(7);
    for (uint64_t operation = 1;; ++operation) {
        const auto disk = files.clone();
        disk->faults().crash_at(operation);
        {
            QueueWorkers workers;
            const auto engine =
                open_engine("/data", small_options(GetParam().engine), environment(*disk, workers));
            if (!disk->faults().dead()) {
                ASSERT_TRUE(engine.ok()) << engine.status();
                ASSERT_GT(operation, 5u);
                return;
            }
        }
        disk->crash(env::CrashMode::torn, random);
        QueueWorkers workers;
        const auto engine =
            open_engine("/data", small_options(GetParam().engine), environment(*disk, workers));
        ASSERT_TRUE(engine.ok()) << operation << ": " << engine.status();
        ASSERT_EQ(*contents(**engine), expected) << operation;
    }
}

}  // namespace
}  // namespace starling::storage
