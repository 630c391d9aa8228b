#include "absl/strings/match.h"

#include "base/error.h"
#include "env/sim/file_system.h"
#include "tests/unit/env/files/file_test_support.h"

namespace starling::env {
namespace {

using ::testing::HasSubstr;

class SimFaultTest : public ::testing::Test {
  protected:
    SimFileSystem files_;
    SeededRandom random_{1};
};

TEST_F(SimFaultTest, OnlySystemCallsCountAsOperations) {
    auto file = *files_.create("log");
    EXPECT_EQ(files_.faults().operation_count(), 1U);
    EXPECT_OK(file->append("a"));
    EXPECT_OK(file->append("b"));
    EXPECT_EQ(files_.faults().operation_count(), 1U);
    EXPECT_OK(file->sync());
    EXPECT_EQ(files_.faults().operation_count(), 3U);
    EXPECT_OK(file->sync());
    EXPECT_EQ(files_.faults().operation_count(), 4U);
}

TEST_F(SimFaultTest, TheNthOperationFailsOnce) {
    files_.faults().fail_nth(2);
    EXPECT_OK(write_file(files_, "a", ""));
    const absl::Status failed = write_file(files_, "b", "");
    EXPECT_TRUE(absl::IsUnavailable(failed));
    EXPECT_THAT(std::string(failed.message()), HasSubstr("b: open"));
    EXPECT_OK(write_file(files_, "c", ""));
}

TEST_F(SimFaultTest, AllOperationsFromTheNthFailUntilCleared) {
    files_.faults().fail_nth(2, true);
    EXPECT_OK(write_file(files_, "a", ""));
    EXPECT_TRUE(absl::IsUnavailable(write_file(files_, "b", "")));
    EXPECT_TRUE(absl::IsUnavailable(files_.exists("a").status()));
    files_.faults().clear();
    EXPECT_TRUE(*files_.exists("a"));
}

TEST_F(SimFaultTest, EachKindOfOperationCanFail) {
    EXPECT_OK(write_file(files_, "a", "content"));
    auto reader = *files_.open_for_read("a");
    auto writer = *files_.create("w");
    char scratch[1];
    FileFaults& faults = files_.faults();
    const auto fails = [&](FileOperation operation, auto call) {
        faults.fail_next(operation);
        const bool first_failed = !call();
        return first_failed && call();
    };
    EXPECT_TRUE(fails(FileOperation::open, [&] { return files_.open_for_read("a").ok(); }));
    EXPECT_TRUE(fails(FileOperation::read, [&] { return reader->read(0, 1, scratch).ok(); }));
    EXPECT_TRUE(fails(FileOperation::write,
                      [&] { return writer->append("x").ok() && writer->flush().ok(); }));
    EXPECT_TRUE(fails(FileOperation::sync, [&] { return writer->sync().ok(); }));
    EXPECT_TRUE(fails(FileOperation::link, [&] { return files_.link("a", "b").ok(); }));
    EXPECT_TRUE(fails(FileOperation::rename, [&] { return files_.rename("a", "c").ok(); }));
    EXPECT_TRUE(fails(FileOperation::truncate, [&] { return files_.truncate("c", 1).ok(); }));
    EXPECT_TRUE(fails(FileOperation::remove, [&] { return files_.remove("c").ok(); }));
    EXPECT_TRUE(
        fails(FileOperation::sync_directory, [&] { return files_.sync_directory("/").ok(); }));
    EXPECT_TRUE(fails(FileOperation::inspect, [&] { return files_.list("/").ok(); }));
}

TEST_F(SimFaultTest, AHookChoosesWhatFails) {
    files_.faults().set_hook([](FileOperation operation, const std::string& path) {
        return operation == FileOperation::open && path == "bad"
                   ? absl::UnavailableError("bad sector")
                   : absl::OkStatus();
    });
    EXPECT_OK(write_file(files_, "good", ""));
    EXPECT_TRUE(absl::IsUnavailable(write_file(files_, "bad", "")));
    files_.crash(CrashMode::kept, random_);
    EXPECT_TRUE(absl::IsUnavailable(write_file(files_, "bad", "")));
}

TEST_F(SimFaultTest, AFailedWriteLeavesAHalf) {
    auto file = *files_.create("log");
    files_.faults().fail_next(FileOperation::write);
    EXPECT_OK(file->append("12345678"));
    EXPECT_TRUE(absl::IsUnavailable(file->flush()));
    EXPECT_EQ(content_of(files_, "log"), "1234");
}

TEST_F(SimFaultTest, AfterAFailedSyncASecondOneProvesNothing) {
    EXPECT_OK(write_durably(files_, "/", "log", "safe"));
    auto file = *files_.open_for_append("log");
    EXPECT_OK(file->append(" lost"));
    files_.faults().fail_next(FileOperation::sync);
    EXPECT_TRUE(absl::IsUnavailable(file->sync()));
    EXPECT_OK(file->sync());
    EXPECT_EQ(content_of(files_, "log"), "safe lost");
    EXPECT_OK(file->append(" later"));
    EXPECT_OK(file->sync());
    for (const CrashMode mode : {CrashMode::lost, CrashMode::kept, CrashMode::torn}) {
        const auto after = files_.clone();
        after->crash(mode, random_);
        EXPECT_EQ(content_of(*after, "log"), "safe" + std::string(5, '\0') + " later");
    }
}

TEST_F(SimFaultTest, BytesOfAFailedSyncAreCutOffWhenNothingFollows) {
    EXPECT_OK(write_durably(files_, "/", "log", "safe"));
    auto file = *files_.open_for_append("log");
    EXPECT_OK(file->append(" lost"));
    files_.faults().fail_next(FileOperation::sync);
    EXPECT_TRUE(absl::IsUnavailable(file->sync()));
    files_.crash(CrashMode::process, random_);
    EXPECT_EQ(content_of(files_, "log"), "safe lost");
    files_.crash(CrashMode::lost, random_);
    EXPECT_EQ(content_of(files_, "log"), "safe");
}

TEST_F(SimFaultTest, AFullDiskTakesWhatFitsAndHealsWhenThereIsRoom) {
    files_.set_capacity(10);
    auto file = *files_.create("log");
    EXPECT_OK(file->append("0123456789abc"));
    const absl::Status full = file->flush();
    EXPECT_TRUE(absl::IsResourceExhausted(full));
    EXPECT_EQ(base::reason_of(full), base::reason::disk_full);
    EXPECT_EQ(content_of(files_, "log"), "0123456789");
    EXPECT_EQ(*files_.free_bytes("/"), 0U);
    EXPECT_TRUE(absl::IsResourceExhausted(file->preallocate(11)));
    EXPECT_TRUE(absl::IsResourceExhausted(files_.truncate("log", 11)));
    files_.set_capacity(13);
    EXPECT_OK(file->append("abc"));
    EXPECT_OK(file->close());
    EXPECT_EQ(content_of(files_, "log"), "0123456789abc");
}

TEST_F(SimFaultTest, SpaceIsFreeOnceAFileHasNeitherNameNorHandle) {
    EXPECT_OK(write_file(files_, "a", std::string(100, 'a')));
    EXPECT_OK(files_.link("a", "b"));
    EXPECT_EQ(files_.used_bytes(), 100U);
    auto reader = files_.open_for_read("a");
    EXPECT_OK(files_.remove("a"));
    EXPECT_OK(files_.remove("b"));
    EXPECT_EQ(files_.used_bytes(), 100U);
    reader->reset();
    EXPECT_EQ(files_.used_bytes(), 0U);
    EXPECT_OK(write_file(files_, "c", std::string(10, 'c')));
    EXPECT_OK(write_file(files_, "d", std::string(5, 'd')));
    EXPECT_OK(files_.rename("d", "c"));
    EXPECT_EQ(files_.used_bytes(), 5U);
    EXPECT_OK(write_file(files_, "c", ""));
    EXPECT_EQ(files_.used_bytes(), 0U);
}

TEST_F(SimFaultTest, PreallocatedSpaceIsUsedUntilTheFileIsClosed) {
    files_.set_capacity(100);
    auto file = *files_.create("log");
    EXPECT_OK(file->preallocate(80));
    EXPECT_EQ(*files_.free_bytes("/"), 20U);
    EXPECT_OK(file->append(std::string(90, 'x')));
    EXPECT_OK(file->flush());
    EXPECT_EQ(*files_.free_bytes("/"), 10U);
    auto other = *files_.create("other");
    EXPECT_OK(other->preallocate(10));
    EXPECT_EQ(*files_.free_bytes("/"), 0U);
    EXPECT_OK(other->close());
    EXPECT_EQ(*files_.free_bytes("/"), 10U);
}

TEST_F(SimFaultTest, ASectorThatIsLostCannotBeReadUntilItIsWrittenAgain) {
    EXPECT_OK(write_durably(files_, "/", "table", std::string(2000, 'a')));
    EXPECT_OK(files_.set_readable("table", 700, false));
    files_.crash(CrashMode::lost, random_);
    const auto copy = files_.clone();
    for (SimFileSystem* const disk : {&files_, copy.get()}) {
        const auto reader = *disk->open_for_read("table");
        char scratch[2000];
        EXPECT_EQ(*reader->read(0, 512, scratch), 512U);
        EXPECT_EQ(*reader->read(1024, 2000, scratch), 976U);
        const auto fails = [&](uint64_t offset, size_t count) {
            const absl::Status status = reader->read(offset, count, scratch).status();
            return absl::IsDataLoss(status) &&
                   absl::StrContains(status.message(), "table: at offset 512");
        };
        EXPECT_TRUE(fails(511, 2));
        EXPECT_TRUE(fails(900, 1));
        EXPECT_TRUE(fails(0, 2000));
    }
    EXPECT_OK(copy->set_readable("table", 1000, true));
    EXPECT_EQ(content_of(*copy, "table"), std::string(2000, 'a'));
    auto writer = *files_.recycle("table", "again");
    EXPECT_OK(writer->append(std::string(1024, 'b')));
    EXPECT_OK(writer->flush());
    EXPECT_EQ(content_of(files_, "again"), std::string(1024, 'b') + std::string(976, 'a'));
    EXPECT_TRUE(absl::IsOutOfRange(files_.set_readable("again", 2000, false)));
    EXPECT_TRUE(absl::IsNotFound(files_.set_readable("table", 0, false)));
}

TEST_F(SimFaultTest, ABitFlipStaysOverSyncsAndCrashes) {
    EXPECT_OK(write_durably(files_, "/", "table", "abc"));
    EXPECT_OK(files_.flip_bit("table", 1, 0));
    EXPECT_EQ(content_of(files_, "table"), "acc");
    files_.crash(CrashMode::lost, random_);
    EXPECT_EQ(content_of(files_, "table"), "acc");
    EXPECT_TRUE(absl::IsOutOfRange(files_.flip_bit("table", 3, 0)));
    EXPECT_TRUE(absl::IsNotFound(files_.flip_bit("gone", 0, 0)));
    EXPECT_OK(files_.damage("table", 1, std::string_view("\0\0", 2)));
    EXPECT_EQ(content_of(files_, "table"), std::string("a\0\0", 3));
    EXPECT_TRUE(absl::IsOutOfRange(files_.damage("table", 2, "xx")));
}

TEST_F(SimFaultTest, TheMachineDiesBeforeTheNthOperation) {
    EXPECT_OK(write_file(files_, "a", ""));
    auto file = *files_.open_for_append("a");
    files_.faults().crash_at(2);
    EXPECT_OK(file->append("written"));
    EXPECT_OK(file->flush());
    EXPECT_TRUE(is_simulated_crash(file->sync()));
    EXPECT_TRUE(files_.faults().dead());
    EXPECT_TRUE(is_simulated_crash(file->append("x")));
    EXPECT_TRUE(is_simulated_crash(files_.remove("a")));
    EXPECT_TRUE(is_simulated_crash(files_.lock("LOCK").status()));
    files_.crash(CrashMode::kept, random_);
    EXPECT_FALSE(files_.faults().dead());
    EXPECT_EQ(content_of(files_, "a"), "written");
}

TEST_F(SimFaultTest, AHandleDestroyedAfterTheMachineDiedWritesNothing) {
    {
        auto file = *files_.create("a");
        EXPECT_OK(file->append("buffered"));
        files_.faults().crash_at(1);
        EXPECT_TRUE(is_simulated_crash(files_.exists("a").status()));
    }
    files_.crash(CrashMode::kept, random_);
    EXPECT_EQ(content_of(files_, "a"), "");
}

}  // namespace
}  // namespace starling::env
