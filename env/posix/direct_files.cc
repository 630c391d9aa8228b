#include "env/posix/direct_files.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "base/check.h"
#include "base/status_macros.h"
#include "env/posix/file_error.h"
#include "env/posix/retry.h"
#include "env/posix/transfer.h"

namespace starling::env {

namespace {

// No disk wants more.
constexpr size_t sector_bytes = 4096;

constexpr size_t write_bytes = size_t{512} << 10;

uint64_t whole_sectors(uint64_t bytes) {
    return bytes / sector_bytes * sector_bytes;
}

// Memory as aligned as sectors are.
class SectorBuffer {
  public:
    // Room for `count` bytes; what was in it is gone if it grows.
    char* make_room(size_t count) {
        if (count > capacity_) {
            memory_.reset(static_cast<char*>(::operator new(count, alignment)));
            capacity_ = count;
        }
        return memory_.get();
    }
    char* get() const { return memory_.get(); }
    void shrink_to(size_t count) {
        if (capacity_ > count) {
            memory_.reset();
            capacity_ = 0;
        }
    }

  private:
    static constexpr auto alignment = std::align_val_t(sector_bytes);
    struct Free {
        void operator()(char* memory) const { ::operator delete(memory, alignment); }
    };
    std::unique_ptr<char, Free> memory_;
    size_t capacity_ = 0;
};

class DirectRandomAccessFile final : public RandomAccessFile {
  public:
    DirectRandomAccessFile(FileDescriptor file, std::string path)
        : path_(std::move(path)), file_(std::move(file)) {}

    absl::StatusOr<size_t> read(uint64_t offset, size_t count, char* scratch) const override {
        if (count == 0) {
            return 0;
        }
        // A thread keeps what a block needs.
        constexpr size_t kept_bytes_max = size_t{64} << 10;
        thread_local SectorBuffer buffer;
        const uint64_t begin = whole_sectors(offset);
        const uint64_t end = whole_sectors(offset + count + sector_bytes - 1);
        char* const sectors = buffer.make_room(end - begin);
        const auto got = read_sectors(begin, end - begin, sectors);
        size_t copied = 0;
        if (got.ok() && *got > offset - begin) {
            copied = std::min<size_t>(count, *got - (offset - begin));
            std::memcpy(scratch, sectors + (offset - begin), copied);
        }
        buffer.shrink_to(kept_bytes_max);
        STARLING_RETURN_IF_ERROR(got.status());
        return copied;
    }
    absl::StatusOr<uint64_t> size() const override { return size_of(file_, path_); }

  private:
    // After a short read it goes on with a whole sector.
    absl::StatusOr<size_t> read_sectors(uint64_t offset, size_t count, char* into) const {
        size_t done = 0;
        while (done < count) {
            const ssize_t got = retry_interrupted([&] {
                return ::pread(
                    file_.get(), into + done, count - done, static_cast<off_t>(offset + done));
            });
            if (got < 0) {
                return read_error(errno, path_, offset + done);
            }
            if (got == 0) {
                break;
            }
            const size_t whole = whole_sectors(static_cast<size_t>(got));
            // Less than a sector is there at the end of the file only.
            if (whole == 0) {
                return done + static_cast<size_t>(got);
            }
            done += whole;
        }
        return done;
    }

    const std::string path_;
    const FileDescriptor file_;
};

class StreamedReadableFile final : public RandomAccessFile {
  public:
    StreamedReadableFile(FileDescriptor file, std::string path, size_t piece_bytes)
        : path_(std::move(path)), file_(std::move(file)), piece_bytes_(piece_bytes) {
        STARLING_CHECK(piece_bytes > 0 && piece_bytes % sector_bytes == 0);
    }

    absl::StatusOr<size_t> read(uint64_t offset, size_t count, char* scratch) const override;
    absl::StatusOr<uint64_t> size() const override { return size_of(file_, path_); }

  private:
    struct Piece {
        bool has(uint64_t offset) const { return offset >= begin && offset < begin + bytes; }

        SectorBuffer memory;
        uint64_t begin = 0;
        size_t bytes = 0;
    };

    // Makes `used_` the piece that `offset` lies in.
    absl::Status go_to(uint64_t offset) const;
    void start(uint64_t offset) const;
    // `coming_` is there.
    absl::Status finish() const;

    const std::string path_;
    const FileDescriptor file_;
    const size_t piece_bytes_;
    // Reading changes nothing for its user, who is one thread at a time.
    mutable Piece used_;
    mutable Piece coming_;
    // Into `coming_`.
    mutable Transfer transfer_;
};

void StreamedReadableFile::start(uint64_t offset) const {
    char* const memory = coming_.memory.make_room(piece_bytes_);
    coming_.begin = whole_sectors(offset);
    coming_.bytes = piece_bytes_;
    transfer_.start_read(file_.get(), memory, piece_bytes_, coming_.begin);
}

absl::Status StreamedReadableFile::finish() const {
    const ssize_t got = transfer_.wait();
    coming_.bytes = got < 0 ? 0 : static_cast<size_t>(got);
    return got < 0 ? read_error(static_cast<int>(-got), path_, coming_.begin) : absl::OkStatus();
}

absl::Status StreamedReadableFile::go_to(uint64_t offset) const {
    if (transfer_.is_under_way()) {
        const bool is_wanted = coming_.has(offset);
        const absl::Status status = finish();
        if (is_wanted) {
            STARLING_RETURN_IF_ERROR(status);
        }
    }
    // Nothing was read ahead, or less than was asked for.
    if (!coming_.has(offset)) {
        start(offset);
        STARLING_RETURN_IF_ERROR(finish());
    }
    std::swap(used_, coming_);
    if (used_.bytes == piece_bytes_) {
        start(used_.begin + used_.bytes);
    }
    return absl::OkStatus();
}

absl::StatusOr<size_t> StreamedReadableFile::read(uint64_t offset,
                                                  size_t count,
                                                  char* scratch) const {
    size_t done = 0;
    while (done < count) {
        const uint64_t at = offset + done;
        if (!used_.has(at)) {
            STARLING_RETURN_IF_ERROR(go_to(at));
            if (!used_.has(at)) {
                break;
            }
        }
        const size_t part = std::min<size_t>(count - done, used_.begin + used_.bytes - at);
        std::memcpy(scratch + done, used_.memory.get() + (at - used_.begin), part);
        done += part;
    }
    return done;
}

class StreamedWritableFile final : public WritableFile {
  public:
    StreamedWritableFile(FileDescriptor file, std::string path)
        : path_(std::move(path)), file_(std::move(file)) {}
    ~StreamedWritableFile() override { close().IgnoreError(); }

    absl::Status append(std::string_view data) override;
    absl::Status flush() override {
        STARLING_RETURN_IF_ERROR(become_ordinary());
        return rest_->flush();
    }
    absl::Status sync() override {
        STARLING_RETURN_IF_ERROR(become_ordinary());
        return rest_->sync();
    }
    absl::Status close() override;
    absl::Status preallocate(uint64_t bytes) override {
        STARLING_RETURN_IF_ERROR(become_ordinary());
        return rest_->preallocate(bytes);
    }
    absl::Status fill_ahead(uint64_t size) override {
        STARLING_RETURN_IF_ERROR(become_ordinary());
        return rest_->fill_ahead(size);
    }

  private:
    // Begins to write the first `count` bytes of `filling_`, whole sectors, which becomes empty.
    absl::Status start(size_t count);
    // All that start() was called for is written.
    absl::Status finish();
    absl::Status leave_direct_mode();
    // What is in memory goes out, and what comes later goes through the cache of pages.
    absl::Status become_ordinary();
    absl::Status fail(int error, std::string_view action) {
        error_ = file_error(error, action, path_, written_);
        return error_;
    }

    const std::string path_;
    FileDescriptor file_;
    SectorBuffer filling_;
    size_t filled_ = 0;
    SectorBuffer going_;
    // Bytes of `going_`.
    size_t going_bytes_ = 0;
    // Where in the file they begin.
    uint64_t written_ = 0;
    Transfer transfer_;
    bool is_direct_ = true;
    absl::Status error_;
    bool closed_ = false;
    // Has the file from become_ordinary() on.
    std::unique_ptr<WritableFile> rest_;
};

absl::Status StreamedWritableFile::append(std::string_view data) {
    if (rest_ != nullptr) {
        return rest_->append(data);
    }
    STARLING_RETURN_IF_ERROR(error_);
    while (!data.empty()) {
        char* const memory = filling_.make_room(write_bytes);
        const size_t count = std::min(data.size(), write_bytes - filled_);
        std::memcpy(memory + filled_, data.data(), count);
        filled_ += count;
        data.remove_prefix(count);
        if (filled_ == write_bytes) {
            STARLING_RETURN_IF_ERROR(start(write_bytes));
            filled_ = 0;
        }
    }
    return absl::OkStatus();
}

absl::Status StreamedWritableFile::start(size_t count) {
    STARLING_RETURN_IF_ERROR(finish());
    std::swap(filling_, going_);
    going_bytes_ = count;
    transfer_.start_write(file_.get(), going_.get(), count, written_);
    return absl::OkStatus();
}

absl::Status StreamedWritableFile::finish() {
    size_t done = 0;
    while (transfer_.is_under_way()) {
        const ssize_t wrote = transfer_.wait();
        if (wrote == -EINVAL && is_direct_) {
            // The file system took the mode and does not know it.
            STARLING_RETURN_IF_ERROR(leave_direct_mode());
        } else if (wrote < 0) {
            return fail(static_cast<int>(-wrote), "write");
        } else {
            const size_t whole = whole_sectors(static_cast<size_t>(wrote));
            if (whole == 0) {
                // There is room for less than a sector.
                return fail(ENOSPC, "write");
            }
            done += whole;
            written_ += whole;
        }
        if (done < going_bytes_) {
            transfer_.start_write(file_.get(), going_.get() + done, going_bytes_ - done, written_);
        }
    }
    return absl::OkStatus();
}

absl::Status StreamedWritableFile::leave_direct_mode() {
    const int flags = ::fcntl(file_.get(), F_GETFL);
    if (flags < 0 || ::fcntl(file_.get(), F_SETFL, flags & ~O_DIRECT) != 0) {
        return fail(errno, "leave direct mode");
    }
    is_direct_ = false;
    return absl::OkStatus();
}

absl::Status StreamedWritableFile::become_ordinary() {
    if (rest_ != nullptr) {
        return absl::OkStatus();
    }
    STARLING_RETURN_IF_ERROR(error_);
    const size_t whole = whole_sectors(filled_);
    const std::string tail(filling_.get() + whole, filled_ - whole);
    if (whole > 0) {
        STARLING_RETURN_IF_ERROR(start(whole));
    }
    STARLING_RETURN_IF_ERROR(finish());
    STARLING_RETURN_IF_ERROR(leave_direct_mode());
    filling_.shrink_to(0);
    going_.shrink_to(0);
    rest_ = make_posix_writable(std::move(file_), path_, {.size = written_, .written = written_});
    return rest_->append(tail);
}

absl::Status StreamedWritableFile::close() {
    if (std::exchange(closed_, true)) {
        return absl::OkStatus();
    }
    STARLING_RETURN_IF_ERROR(become_ordinary());
    return rest_->close();
}

}  // namespace

std::unique_ptr<RandomAccessFile> make_posix_direct_readable(FileDescriptor file,
                                                             std::string path) {
    return std::make_unique<DirectRandomAccessFile>(std::move(file), std::move(path));
}

std::unique_ptr<RandomAccessFile> make_posix_streamed_readable(FileDescriptor file,
                                                               std::string path,
                                                               size_t piece_bytes) {
    return std::make_unique<StreamedReadableFile>(std::move(file), std::move(path), piece_bytes);
}

std::unique_ptr<WritableFile> make_posix_streamed_writable(FileDescriptor file, std::string path) {
    return std::make_unique<StreamedWritableFile>(std::move(file), std::move(path));
}

}  // namespace starling::env
