// What only the real file system has: modes, odd files, errno, other processes.

#include <cerrno>
#include <csignal>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "env/posix/file_error.h"
#include "env/posix/file_system.h"
#include "tests/unit/env/files/file_test_support.h"

namespace starling::env {
namespace {

class PosixFileTest : public ::testing::Test {
  protected:
    std::string path(const std::string& name) const { return temporary_.path() + "/" + name; }

    mode_t mode_of(const std::string& name) const {
        struct stat status{};
        EXPECT_EQ(::stat(path(name).c_str(), &status), 0);
        return status.st_mode & 0777;
    }

    uint64_t blocks_of(const std::string& name) const {
        struct stat status{};
        EXPECT_EQ(::stat(path(name).c_str(), &status), 0);
        return static_cast<uint64_t>(status.st_blocks) * 512;
    }

    TemporaryDirectory temporary_;
    PosixFileSystem files_;
};

TEST_F(PosixFileTest, NoOneElseMayReadOurFiles) {
    EXPECT_OK(files_.create_directory(path("directory")));
    EXPECT_OK(write_file(files_, path("file"), "x"));
    EXPECT_OK(files_.lock(path("LOCK")).status());
    EXPECT_EQ(mode_of("directory"), 0700U);
    EXPECT_EQ(mode_of("file"), 0600U);
    EXPECT_EQ(mode_of("LOCK"), 0600U);
}

TEST_F(PosixFileTest, SymbolicLinksAreFollowedForReadingOnly) {
    EXPECT_OK(write_file(files_, path("file"), "x"));
    ASSERT_EQ(::symlink(path("file").c_str(), path("symbolic").c_str()), 0);
    EXPECT_TRUE(absl::IsInvalidArgument(files_.create(path("symbolic")).status()));
    EXPECT_TRUE(absl::IsInvalidArgument(files_.open_for_append(path("symbolic")).status()));
    EXPECT_TRUE(absl::IsInvalidArgument(files_.lock(path("symbolic")).status()));
    EXPECT_TRUE(absl::IsInvalidArgument(files_.truncate(path("symbolic"), 0)));
    EXPECT_EQ(content_of(files_, path("symbolic")), "x");
}

TEST_F(PosixFileTest, APipeInTheWayIsRefusedWithoutWaiting) {
    ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
    EXPECT_TRUE(absl::IsInvalidArgument(files_.open_for_read(path("pipe")).status()));
    EXPECT_TRUE(absl::IsInvalidArgument(files_.create(path("pipe")).status()));
}

TEST_F(PosixFileTest, PreallocatedSpaceIsGivenBackAtClose) {
    auto file = files_.create(path("log"));
    ASSERT_OK(file);
    EXPECT_OK((*file)->preallocate(4 << 20));
    EXPECT_OK((*file)->append("short"));
    EXPECT_OK((*file)->close());
    EXPECT_LT(blocks_of("log"), 1U << 20);
    EXPECT_EQ(content_of(files_, path("log")), "short");
}

// The limit stands for a full disk: what is written behind the caller fails.
TEST_F(PosixFileTest, AStreamedFileTellsOfAWriteThatFailedFromThenOn) {
    const auto signals = ::signal(SIGXFSZ, SIG_IGN);
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
    rlimit limit = before;
    limit.rlim_cur = 600'000;
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
    auto file = files_.create_streamed(path("table"));
    absl::Status failed;
    uint64_t taken = 0;
    const std::string piece(100'000, 'x');
    while (file.ok() && failed.ok() && taken < (8U << 20)) {
        failed = (*file)->append(piece);
        taken += piece.size();
    }
    const absl::Status again = file.ok() ? (*file)->append("x") : absl::OkStatus();
    const absl::Status synced = file.ok() ? (*file)->sync() : absl::OkStatus();
    const absl::Status closed = file.ok() ? (*file)->close() : absl::OkStatus();
    ::setrlimit(RLIMIT_FSIZE, &before);
    ::signal(SIGXFSZ, signals);
    ASSERT_OK(file);
    ASSERT_FALSE(failed.ok());
    EXPECT_THAT(std::string(failed.message()), ::testing::HasSubstr(path("table")));
    EXPECT_EQ(again, failed);
    EXPECT_EQ(synced, failed);
    EXPECT_EQ(closed, failed);
    EXPECT_OK((*file)->close());
}

TEST_F(PosixFileTest, AStreamedFileThatCannotBeSyncedWholeSaysSo) {
    const auto signals = ::signal(SIGXFSZ, SIG_IGN);
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
    rlimit limit = before;
    limit.rlim_cur = 8192;
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
    auto file = files_.create_streamed(path("table"));
    const absl::Status taken =
        file.ok() ? (*file)->append(std::string(20'000, 'x')) : absl::OkStatus();
    const absl::Status synced = file.ok() ? (*file)->sync() : absl::OkStatus();
    ::setrlimit(RLIMIT_FSIZE, &before);
    ::signal(SIGXFSZ, signals);
    ASSERT_OK(file);
    EXPECT_OK(taken);
    EXPECT_FALSE(synced.ok());
}

TEST_F(PosixFileTest, AnotherProcessIsLockedOutUntilOursEnds) {
    const pid_t child = ::fork();
    if (child == 0) {
        const auto lock = files_.lock(path("LOCK"));
        ::_exit(lock.ok() ? 0 : 1);
    }
    int result = 0;
    ASSERT_EQ(::waitpid(child, &result, 0), child);
    EXPECT_EQ(WEXITSTATUS(result), 0);
    const auto ours = files_.lock(path("LOCK"));
    ASSERT_OK(ours);
    const pid_t second = ::fork();
    if (second == 0) {
        ::_exit(absl::IsFailedPrecondition(files_.lock(path("LOCK")).status()) ? 0 : 1);
    }
    ASSERT_EQ(::waitpid(second, &result, 0), second);
    EXPECT_EQ(WEXITSTATUS(result), 0);
}

TEST_F(PosixFileTest, AnotherProcessSharesALockWithUsButTakesItNotAlone) {
    ASSERT_OK(files_.lock(path("LOCK")).status());
    std::filesystem::permissions(path("LOCK"), std::filesystem::perms::owner_read);
    const auto ours = files_.lock_shared(path("LOCK"));
    ASSERT_OK(ours);
    const pid_t child = ::fork();
    if (child == 0) {
        const bool shared = files_.lock_shared(path("LOCK")).ok();
        std::filesystem::permissions(path("LOCK"), std::filesystem::perms(0600));
        const bool alone = !absl::IsFailedPrecondition(files_.lock(path("LOCK")).status());
        ::_exit(shared && !alone ? 0 : 1);
    }
    int result = 0;
    ASSERT_EQ(::waitpid(child, &result, 0), child);
    EXPECT_EQ(WEXITSTATUS(result), 0);
}

TEST_F(PosixFileTest, DescriptorsDoNotReachOtherPrograms) {
    auto file = files_.create(path("log"));
    ASSERT_OK(file);
    int found = 0;
    for (int fd = 3; fd < 256; ++fd) {
        const std::string link = "/proc/self/fd/" + std::to_string(fd);
        std::error_code error;
        if (std::filesystem::read_symlink(link, error) == path("log")) {
            ++found;
            EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
        }
    }
    EXPECT_EQ(found, 1);
}

TEST(FileErrorTest, AFullDiskHasItsOwnReason) {
    for (const int error : {ENOSPC, EDQUOT}) {
        const absl::Status status = file_error(error, "write", "/data/log", 4096);
        EXPECT_TRUE(absl::IsResourceExhausted(status));
        EXPECT_EQ(base::reason_of(status), base::reason::disk_full);
    }
}

TEST(FileErrorTest, MessagesNamePathOffsetAndCause) {
    EXPECT_EQ(std::string(file_error(EIO, "read", "/data/log", 4096).message()),
              "/data/log: at offset 4096: read: Input/output error");
    EXPECT_EQ(std::string(file_error(ENOENT, "open", "/data/log").message()),
              "/data/log: open: No such file or directory");
}

TEST(FileErrorTest, AReadThatTheDiskCannotServeIsALossOfData) {
    for (const int error : {EIO, EBADMSG, EUCLEAN}) {
        const absl::Status status = read_error(error, "/data/table", 4096);
        EXPECT_TRUE(absl::IsDataLoss(status)) << status;
        EXPECT_THAT(std::string(status.message()),
                    ::testing::HasSubstr("/data/table: at offset 4096: read: "));
    }
    EXPECT_TRUE(absl::IsUnavailable(read_error(ENOMEM, "/data/table", 0)));
}

TEST(FileErrorTest, CodesTellACallerWhatToDo) {
    EXPECT_TRUE(absl::IsUnavailable(file_error(EIO, "read", "f")));
    EXPECT_TRUE(absl::IsUnavailable(file_error(EMFILE, "open", "f")));
    EXPECT_TRUE(absl::IsPermissionDenied(file_error(EACCES, "open", "f")));
    EXPECT_TRUE(absl::IsPermissionDenied(file_error(EROFS, "open", "f")));
    EXPECT_TRUE(absl::IsAlreadyExists(file_error(EEXIST, "link", "f")));
    EXPECT_TRUE(absl::IsInvalidArgument(file_error(ELOOP, "open", "f")));
}

}  // namespace
}  // namespace starling::env
