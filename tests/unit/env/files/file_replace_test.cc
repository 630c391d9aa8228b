// replace_file() at every crash point and with every operation failing: the old content or the new.

#include "env/sim/file_system.h"
#include "tests/unit/env/files/file_test_support.h"

namespace starling::env {
namespace {

constexpr std::string_view old_content = "old";
const std::string new_content(1500, 'n');

class ReplaceFileTest : public ::testing::Test {
  protected:
    ReplaceFileTest() {
        EXPECT_OK(files_.create_directory("/data"));
        EXPECT_OK(files_.sync_directory("/"));
        EXPECT_OK(replace_file(files_, "/data/CURRENT", old_content));
    }

    SimFileSystem files_;
};

TEST_F(ReplaceFileTest, ACrashAtAnyPointLeavesTheOldOrTheNew) {
    uint64_t crash_points = 0;
    for (uint64_t n = 1;; ++n) {
        const auto files = files_.clone();
        files->faults().crash_at(n);
        const bool replaced = replace_file(*files, "/data/CURRENT", new_content).ok();
        if (!files->faults().dead()) {
            EXPECT_TRUE(replaced);
            break;
        }
        EXPECT_FALSE(replaced);
        ++crash_points;
        for (uint64_t seed = 0; seed < 40; ++seed) {
            const auto after = files->clone();
            SeededRandom random(seed);
            after->crash(seed == 0   ? CrashMode::lost
                         : seed == 1 ? CrashMode::kept
                                     : CrashMode::torn,
                         random);
            const std::string content = content_of(*after, "/data/CURRENT");
            EXPECT_TRUE(content == old_content || content == new_content) << n << " " << content;
            EXPECT_OK(replace_file(*after, "/data/CURRENT", "again"));
            EXPECT_EQ(after->durable_bytes("/data/CURRENT"), "again");
        }
    }
    // create, write, sync, rename, sync of the directory.
    EXPECT_EQ(crash_points, 5U);
}

TEST_F(ReplaceFileTest, SuccessIsDurable) {
    EXPECT_OK(replace_file(files_, "/data/CURRENT", new_content));
    EXPECT_EQ(files_.durable_bytes("/data/CURRENT"), new_content);
}

TEST_F(ReplaceFileTest, AnyFailureIsReportedAndHarmsNothing) {
    for (const bool for_ever : {false, true}) {
        for (uint64_t n = 1; n <= 5; ++n) {
            const auto files = files_.clone();
            files->faults().fail_nth(n, for_ever);
            EXPECT_FALSE(replace_file(*files, "/data/CURRENT", new_content).ok()) << n;
            files->faults().clear();
            const std::string content = content_of(*files, "/data/CURRENT");
            EXPECT_TRUE(content == old_content || content == new_content) << n;
            if (!for_ever) {
                EXPECT_FALSE(*files->exists("/data/CURRENT.tmp")) << n;
            }
        }
    }
}

TEST_F(ReplaceFileTest, AFullDiskKeepsTheOldContentAndItsSpaceFree) {
    files_.set_capacity(100);
    EXPECT_TRUE(absl::IsResourceExhausted(replace_file(files_, "/data/CURRENT", new_content)));
    EXPECT_EQ(content_of(files_, "/data/CURRENT"), old_content);
    EXPECT_EQ(files_.used_bytes(), old_content.size());
}

TEST_F(ReplaceFileTest, ARelativePathHasItsDirectorySynced) {
    EXPECT_OK(replace_file(files_, "plain", "x"));
    EXPECT_OK(replace_file(files_, "/rooted", "y"));
    EXPECT_EQ(files_.durable_bytes("plain"), "x");
    EXPECT_EQ(files_.durable_bytes("rooted"), "y");
}

}  // namespace
}  // namespace starling::env
