#include "env/posix/transfer.h"

#include <cerrno>
#include <memory>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "env/posix/file_handles.h"
#include "env/posix/file_system.h"
#include "tests/unit/env/files/file_test_support.h"

namespace starling::env {
namespace {

class TransferTest : public ::testing::Test {
  protected:
    FileDescriptor open(int flags) const {
        absl::StatusOr<FileDescriptor> file = open_regular_file(path_, flags);
        EXPECT_OK(file.status());
        return *std::move(file);
    }

    TemporaryDirectory temporary_;
    const std::string path_ = temporary_.path() + "/file";
    PosixFileSystem files_;
};

TEST_F(TransferTest, WritesAndReadsAtAnOffset) {
    const FileDescriptor file = open(O_RDWR | O_CREAT);
    std::string written = "0123456789";
    Transfer transfer;
    EXPECT_FALSE(transfer.is_under_way());
    EXPECT_EQ(transfer.wait(), 0);
    transfer.start_write(file.get(), written.data(), written.size(), 3);
    EXPECT_TRUE(transfer.is_under_way());
    EXPECT_EQ(transfer.wait(), 10);
    EXPECT_FALSE(transfer.is_under_way());
    std::string read(20, 'x');
    transfer.start_read(file.get(), read.data(), read.size(), 5);
    EXPECT_EQ(transfer.wait(), 8);
    EXPECT_EQ(read.substr(0, 9), "23456789x");
}

TEST_F(TransferTest, AnswersWithWhatTheSystemSaysIsWrong) {
    const FileDescriptor file = open(O_WRONLY | O_CREAT);
    char byte = 0;
    Transfer transfer;
    transfer.start_read(file.get(), &byte, 1, 0);
    EXPECT_EQ(transfer.wait(), -EBADF);
}

TEST_F(TransferTest, IsOverWhenItIsGone) {
    const FileDescriptor file = open(O_WRONLY | O_CREAT);
    const std::string content(4 << 20, 'y');
    {
        auto memory = std::make_unique<std::string>(content);
        Transfer transfer;
        transfer.start_write(file.get(), memory->data(), memory->size(), 0);
    }
    EXPECT_TRUE(content_of(files_, path_) == content);
}

// It has none of the threads that its parent's requests have.
TEST_F(TransferTest, AChildThatWasForkedNeedsNoThreads) {
    const FileDescriptor file = open(O_RDWR | O_CREAT);
    std::string content = "of the parent";
    Transfer ours;
    ours.start_write(file.get(), content.data(), content.size(), 0);
    ASSERT_EQ(ours.wait(), 13);
    const pid_t child = ::fork();
    if (child == 0) {
        ::alarm(20);
        Transfer transfer;
        std::string read(13, 'x');
        transfer.start_read(file.get(), read.data(), read.size(), 0);
        const bool whole = transfer.wait() == 13 && read == "of the parent";
        transfer.start_write(file.get(), read.data(), 3, 13);
        ::_exit(whole && transfer.wait() == 3 ? 0 : 1);
    }
    int result = 0;
    ASSERT_EQ(::waitpid(child, &result, 0), child);
    EXPECT_EQ(result, 0);
    EXPECT_EQ(content_of(files_, path_), "of the parentof ");
}

}  // namespace
}  // namespace starling::env
