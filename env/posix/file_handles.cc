#include "env/posix/file_handles.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/status_macros.h"
#include "env/posix/file_error.h"
#include "env/posix/retry.h"

namespace starling::env {

namespace {

constexpr size_t buffer_bytes_max = size_t{64} << 10;

class PosixWritableFile final : public WritableFile {
  public:
    PosixWritableFile(FileDescriptor file, std::string path, WritableExtent extent)
        : path_(std::move(path)),
          file_(std::move(file)),
          written_(extent.written),
          filled_(extent.size) {}
    ~PosixWritableFile() override { close().IgnoreError(); }

    absl::Status append(std::string_view data) override;
    absl::Status flush() override;
    absl::Status sync() override;
    absl::Status close() override;
    absl::Status preallocate(uint64_t bytes) override;
    absl::Status fill_ahead(uint64_t size) override;

  private:
    absl::Status write(std::string_view data);
    // After a failed write or sync the file's tail is unknown: every later call repeats the error.
    absl::Status fail(int error, std::string_view action);
    absl::Status trim();

    const std::string path_;
    FileDescriptor file_;
    // Bytes handed to the kernel: where the next write begins.
    uint64_t written_;
    // What lies behind written_ up to here belongs to the file: old bytes, or zeros.
    uint64_t filled_;
    uint64_t preallocated_ = 0;
    std::string buffer_;
    absl::Status error_;
    bool closed_ = false;
};

absl::Status PosixWritableFile::fail(int error, std::string_view action) {
    error_ = file_error(error, action, path_, written_);
    return error_;
}

absl::Status PosixWritableFile::write(std::string_view data) {
    while (!data.empty()) {
        const ssize_t count = retry_interrupted([&] {
            return ::pwrite(file_.get(), data.data(), data.size(), static_cast<off_t>(written_));
        });
        if (count < 0) {
            return fail(errno, "write");
        }
        written_ += static_cast<uint64_t>(count);
        data.remove_prefix(static_cast<size_t>(count));
    }
    return absl::OkStatus();
}

absl::Status PosixWritableFile::append(std::string_view data) {
    STARLING_RETURN_IF_ERROR(error_);
    if (buffer_.size() + data.size() > buffer_bytes_max) {
        STARLING_RETURN_IF_ERROR(flush());
    }
    if (data.size() >= buffer_bytes_max) {
        return write(data);
    }
    buffer_.append(data);
    return absl::OkStatus();
}

absl::Status PosixWritableFile::flush() {
    STARLING_RETURN_IF_ERROR(error_);
    absl::Status status = write(buffer_);
    buffer_.clear();
    return status;
}

absl::Status PosixWritableFile::sync() {
    STARLING_RETURN_IF_ERROR(flush());
    if (retry_interrupted([&] { return ::fdatasync(file_.get()); }) != 0) {
        return fail(errno, "sync");
    }
    return absl::OkStatus();
}

absl::Status PosixWritableFile::preallocate(uint64_t bytes) {
    STARLING_RETURN_IF_ERROR(error_);
    const int result = retry_interrupted([&] {
        return ::fallocate(file_.get(), FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(bytes));
    });
    if (result != 0) {
        return errno == EOPNOTSUPP ? absl::OkStatus()
                                   : file_error(errno, "preallocate", path_, bytes);
    }
    preallocated_ = std::max(preallocated_, bytes);
    return absl::OkStatus();
}

absl::Status PosixWritableFile::fill_ahead(uint64_t size) {
    STARLING_RETURN_IF_ERROR(error_);
    // By pages: a larger write makes larger folios in the page cache, and the kernel accounts a
    // sync of one record to this process as a write of a whole folio.
    static constexpr std::array<char, size_t{4} << 10> zeros{};
    // What waits in the buffer will stand below these zeros or over them.
    filled_ = std::max(filled_, written_);
    while (filled_ < size) {
        const size_t piece = std::min<uint64_t>(zeros.size(), size - filled_);
        const ssize_t count = retry_interrupted([&] {
            return ::pwrite(file_.get(), zeros.data(), piece, static_cast<off_t>(filled_));
        });
        if (count < 0) {
            return file_error(errno, "fill", path_, filled_);
        }
        filled_ += static_cast<uint64_t>(count);
    }
    return absl::OkStatus();
}

absl::Status PosixWritableFile::trim() {
    const uint64_t size = std::max(written_, filled_);
    if (preallocated_ <= size || ::ftruncate(file_.get(), static_cast<off_t>(size)) == 0) {
        return absl::OkStatus();
    }
    return fail(errno, "trim");
}

absl::Status PosixWritableFile::close() {
    if (closed_) {
        return absl::OkStatus();
    }
    closed_ = true;
    absl::Status status = flush();
    if (status.ok()) {
        status = trim();
    }
    // Whatever close() says, Linux has released the descriptor.
    if (::close(file_.release()) != 0 && errno != EINTR && status.ok()) {
        status = fail(errno, "close");
    }
    if (error_.ok()) {
        error_ = absl::FailedPreconditionError(fmt::format("{}: used after close", path_));
    }
    return status;
}

class PosixRandomAccessFile final : public RandomAccessFile {
  public:
    PosixRandomAccessFile(FileDescriptor file, std::string path)
        : path_(std::move(path)), file_(std::move(file)) {}

    absl::StatusOr<size_t> read(uint64_t offset, size_t count, char* scratch) const override {
        size_t done = 0;
        while (done < count) {
            const ssize_t got = retry_interrupted([&] {
                return ::pread(
                    file_.get(), scratch + done, count - done, static_cast<off_t>(offset + done));
            });
            if (got < 0) {
                return read_error(errno, path_, offset + done);
            }
            if (got == 0) {
                break;
            }
            done += static_cast<size_t>(got);
        }
        return done;
    }
    absl::StatusOr<uint64_t> size() const override { return size_of(file_, path_); }
    void forget_pages() const override { ::posix_fadvise(file_.get(), 0, 0, POSIX_FADV_DONTNEED); }

  private:
    const std::string path_;
    const FileDescriptor file_;
};

class PosixFileLock final : public FileLock {
  public:
    explicit PosixFileLock(FileDescriptor file) : file_(std::move(file)) {}

  private:
    const FileDescriptor file_;
};

}  // namespace

FileDescriptor::~FileDescriptor() {
    if (fd_ >= 0) {
        ::close(fd_);
    }
}

int FileDescriptor::release() {
    return std::exchange(fd_, -1);
}

absl::StatusOr<FileDescriptor> open_regular_file(const std::string& path, int flags) {
    // O_NONBLOCK: a pipe in the place of our file must not hang us; regular files ignore it.
    const int fd = retry_interrupted(
        [&] { return ::open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK, S_IRUSR | S_IWUSR); });
    if (fd < 0) {
        return file_error(errno, "open", path);
    }
    FileDescriptor file(fd);
    struct stat status{};
    if (::fstat(fd, &status) != 0) {
        return file_error(errno, "stat", path);
    }
    if (!S_ISREG(status.st_mode)) {
        return absl::InvalidArgumentError(fmt::format("{}: open: not a regular file", path));
    }
    return file;
}

absl::StatusOr<uint64_t> size_of(const FileDescriptor& file, const std::string& path) {
    struct stat status{};
    if (::fstat(file.get(), &status) != 0) {
        return file_error(errno, "stat", path);
    }
    return static_cast<uint64_t>(status.st_size);
}

std::unique_ptr<WritableFile> make_posix_writable(FileDescriptor file,
                                                  std::string path,
                                                  WritableExtent extent) {
    return std::make_unique<PosixWritableFile>(std::move(file), std::move(path), extent);
}

std::unique_ptr<RandomAccessFile> make_posix_readable(FileDescriptor file, std::string path) {
    return std::make_unique<PosixRandomAccessFile>(std::move(file), std::move(path));
}

absl::StatusOr<std::unique_ptr<FileLock>> lock_file(FileDescriptor file,
                                                    const std::string& path,
                                                    LockKind kind) {
    const int operation = (kind == LockKind::shared ? LOCK_SH : LOCK_EX) | LOCK_NB;
    if (retry_interrupted([&] { return ::flock(file.get(), operation); }) != 0) {
        if (errno == EWOULDBLOCK) {
            return absl::FailedPreconditionError(
                fmt::format("{}: locked by another process", path));
        }
        return file_error(errno, "lock", path);
    }
    return std::make_unique<PosixFileLock>(std::move(file));
}

}  // namespace starling::env
