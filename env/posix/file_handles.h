#pragma once

// Open files and locks of the real file system. All calls are repeated when a signal interrupts
// them, and continued when the kernel does only a part.
//
// Appends collect in a buffer of 64 KiB, so that many small ones cost one system call. A larger
// append goes out at once. Threads: as env/file_system.h says.

#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "env/file_system.h"

namespace starling::env {

// Owns a file descriptor.
class FileDescriptor {
  public:
    explicit FileDescriptor(int fd) : fd_(fd) {}
    FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.release()) {}
    FileDescriptor(const FileDescriptor&) = delete;
    FileDescriptor& operator=(const FileDescriptor&) = delete;
    FileDescriptor& operator=(FileDescriptor&&) = delete;
    ~FileDescriptor();

    int get() const { return fd_; }
    int release();

  private:
    int fd_;
};

// Adds O_CLOEXEC; a file made by it has mode 0600. Answers with an error, and never blocks, when
// the path leads to anything but a regular file.
absl::StatusOr<FileDescriptor> open_regular_file(const std::string& path, int flags);

struct WritableExtent {
    // The file's present one.
    uint64_t size = 0;
    // Where appending begins.
    uint64_t written = 0;
};

std::unique_ptr<WritableFile> make_posix_writable(FileDescriptor file,
                                                  std::string path,
                                                  WritableExtent extent);
std::unique_ptr<RandomAccessFile> make_posix_readable(FileDescriptor file, std::string path);

absl::StatusOr<uint64_t> size_of(const FileDescriptor& file, const std::string& path);

enum class LockKind { exclusive, shared };

// flock(): it belongs to the open file, so an exclusive one refuses a second open in this process
// as in any other, and the kernel releases it when the process ends.
absl::StatusOr<std::unique_ptr<FileLock>> lock_file(FileDescriptor file,
                                                    const std::string& path,
                                                    LockKind kind);

}  // namespace starling::env
