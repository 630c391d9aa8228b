#pragma once

// All file access goes through here, so that a test can try every crash point, torn write, short
// read, full disk and failed sync. The model is POSIX's: data reaches the disk with sync(), a
// directory entry (creation, rename, removal) with sync_directory().
//
// Errors: not_found = no such path; already_exists; resource_exhausted (reason disk_full) = the
// disk is full; permission_denied; failed_precondition = held by another process (locks), a
// directory that is not empty, a file used after close(); invalid_argument = not the kind of file
// asked for (a directory, a pipe), or a path that cannot be; unavailable = an I/O error. Each
// message names the path and, where there is one, the offset. After a failed sync() nothing is
// known about the file's unsynced part, and a second sync() proves nothing: the caller gives the
// file up.
//
// Thread-safe; a single file object is used from one thread at a time, but for RandomAccessFile,
// which any number of threads may read if open_streamed() did not make it.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace starling::env {

// A file written from its start (open_for_append: from its end) onwards. Appended bytes may wait in
// the process: others read them, and they survive the end of the process, once flush(), sync() or
// close() is OK. Destruction closes without sync.
class WritableFile {
  public:
    virtual ~WritableFile() = default;
    // All of `data` or an error; after an error the file's tail is unknown.
    virtual absl::Status append(std::string_view data) = 0;
    // Hands what was appended to the operating system; nothing is on disk by that.
    virtual absl::Status flush() = 0;
    // fdatasync: what was appended before survives a power loss once this is OK.
    virtual absl::Status sync() = 0;
    // Flushes without sync. Called again it does nothing.
    virtual absl::Status close() = 0;
    // Reserves `bytes` of disk from the file's start without changing its size: a hint.
    virtual absl::Status preallocate(uint64_t bytes) = 0;
    // Makes the file at least `size` long, with zeros behind what was appended, which later appends
    // overwrite. A sync() of bytes within an earlier size has no metadata to write. A hint: after
    // an error, or in a file system that does nothing here, the file takes appends all the same.
    virtual absl::Status fill_ahead(uint64_t size) = 0;
};

// Of a file that grows, a handle shows at least what was there when it was opened.
class RandomAccessFile {
  public:
    virtual ~RandomAccessFile() = default;
    // Reads exactly `count` bytes at `offset` into `scratch`; fewer only at the end of the file.
    // Returns how many were read. data_loss: the disk says that it has lost what was there.
    virtual absl::StatusOr<size_t> read(uint64_t offset, size_t count, char* scratch) const = 0;
    virtual absl::StatusOr<uint64_t> size() const = 0;
    // What is read next comes from the disk, not from the cache of pages, as far as the system lets
    // it. For files that are not being written.
    virtual void forget_pages() const {}
};

// Held until destroyed.
class FileLock {
  public:
    virtual ~FileLock() = default;
};

class FileSystem {
  public:
    // An empty file, whatever was there before.
    virtual absl::StatusOr<std::unique_ptr<WritableFile>> create(const std::string& path) = 0;
    // As create(), for who writes much: past the cache of pages, and while the caller prepares what
    // comes next, so that an append may answer with the error of an earlier one. A file system that
    // cannot do that writes as always.
    virtual absl::StatusOr<std::unique_ptr<WritableFile>> create_streamed(const std::string& path) {
        return create(path);
    }
    // Appends to an existing file, or an empty one.
    virtual absl::StatusOr<std::unique_ptr<WritableFile>> open_for_append(
        const std::string& path) = 0;
    // Renames `from` to `to` and opens it for overwriting from offset 0 without cutting it: what
    // was there before stays behind what is written until overwritten. After a power loss any mix
    // of old and new bytes may be there for what was not synced. After an error the file has one of
    // the two names. (A file system that shows no old bytes under a new name cuts the file.)
    virtual absl::StatusOr<std::unique_ptr<WritableFile>> recycle(const std::string& from,
                                                                  const std::string& to) = 0;
    virtual absl::StatusOr<std::unique_ptr<RandomAccessFile>> open_for_read(
        const std::string& path) = 0;
    // As open_for_read(), but past the cache of pages, for who keeps what it has read and comes
    // back to the rest by chance only. A file system that cannot do that reads as always.
    virtual absl::StatusOr<std::unique_ptr<RandomAccessFile>> open_for_direct_read(
        const std::string& path) {
        return open_for_read(path);
    }
    // As open_for_read(), for who goes from the beginning to the end, one thread at a time: past
    // the cache of pages, and ahead of the caller in pieces of `piece_bytes`, a multiple of 4096,
    // two of which are in memory. A read may fail for what lies near the bytes that it asks for.
    // Other ways of reading are as right, and slower. A file system that cannot do that reads as
    // always.
    virtual absl::StatusOr<std::unique_ptr<RandomAccessFile>> open_streamed(
        const std::string& path, [[maybe_unused]] size_t piece_bytes) {
        return open_for_read(path);
    }
    virtual absl::StatusOr<bool> exists(const std::string& path) = 0;
    virtual absl::StatusOr<uint64_t> file_size(const std::string& path) = 0;
    // Names (not paths) of the entries, sorted.
    virtual absl::StatusOr<std::vector<std::string>> list(const std::string& directory) = 0;
    // OK if it exists already; its parent must. Mode 0700; files are 0600.
    virtual absl::Status create_directory(const std::string& path) = 0;
    // A file, or an empty directory. Open files stay readable.
    virtual absl::Status remove(const std::string& path) = 0;
    // Replaces `to` atomically.
    virtual absl::Status rename(const std::string& from, const std::string& to) = 0;
    virtual absl::Status link(const std::string& from, const std::string& to) = 0;
    // Cuts the file, or extends it with zeros. Durable after a sync() of the file.
    virtual absl::Status truncate(const std::string& path, uint64_t size) = 0;
    virtual absl::Status sync_directory(const std::string& path) = 0;
    // Exclusive among processes and within this one; kept by the kernel, so a crash releases it.
    // Makes the file where there is none.
    virtual absl::StatusOr<std::unique_ptr<FileLock>> lock(const std::string& path) = 0;
    // Any number may hold it like this at once, while nobody holds it exclusively. Needs a file
    // that is there, and no right to write it.
    virtual absl::StatusOr<std::unique_ptr<FileLock>> lock_shared(const std::string& path) = 0;
    virtual absl::StatusOr<uint64_t> free_bytes(const std::string& path) = 0;

  protected:
    ~FileSystem() = default;
};

// The whole content of a file of at most `bytes_max` bytes (else out_of_range).
absl::StatusOr<std::string> read_file(FileSystem& files,
                                      const std::string& path,
                                      uint64_t bytes_max);
// What each file with content begins with that env/encrypted wrote, so that one who has no key can
// say what it is.
inline constexpr std::string_view encrypted_file_magic = "STARLENC";

// Replaces a file so that after a crash it has either its old content or the new: writes path +
// ".tmp", syncs it, renames it, syncs the directory.
absl::Status replace_file(FileSystem& files, const std::string& path, std::string_view content);

}  // namespace starling::env
