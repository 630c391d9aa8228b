#pragma once

// Encryption at rest: a FileSystem whose files lie in another one encrypted and authenticated, each
// under a key of its own (docs/formats/encrypted_file.md). Sizes and offsets are those of the
// content; the files below are larger. Names, directories, sizes and times stay visible.
//
// Beyond the errors of env/file_system.h:
// - data_loss names the path and the place in the encrypted file: something was changed, moved, or
//   taken from another file. Content that fails is never returned.
// - failed_precondition: the file is not encrypted, or its master key is not among those given (the
//   message names path and key).
//
// What it cannot detect, because nothing outside the file says so: a file that was replaced as a
// whole by another one or by an older state of itself, or that was cut at its end. The storage
// engine's manifest and its checksums do.
//
// An open reader sees the file as it was when it was opened. Thread-safe.

#include <memory>
#include <string>
#include <vector>

#include "env/encrypted/file_keys.h"
#include "env/encrypted/layout.h"
#include "env/encrypted/writer.h"
#include "env/file_system.h"
#include "env/random.h"

namespace starling::env {

class EncryptedFileSystem final : public FileSystem {
  public:
    // Keys and nonces come from `random`, which must be fit for secrets (PosixRandom is) and used
    // by nobody else. Both borrowed objects must outlive this and its files.
    EncryptedFileSystem(FileSystem& base, Random& random, KeyRing ring);
    EncryptedFileSystem(const EncryptedFileSystem&) = delete;
    EncryptedFileSystem& operator=(const EncryptedFileSystem&) = delete;

    absl::StatusOr<std::unique_ptr<WritableFile>> create(const std::string& path) override;
    absl::StatusOr<std::unique_ptr<WritableFile>> create_streamed(const std::string& path) override;
    absl::StatusOr<std::unique_ptr<WritableFile>> open_for_append(const std::string& path) override;
    absl::StatusOr<std::unique_ptr<RandomAccessFile>> open_for_read(
        const std::string& path) override;
    absl::StatusOr<std::unique_ptr<RandomAccessFile>> open_streamed(const std::string& path,
                                                                    size_t piece_bytes) override;
    absl::StatusOr<bool> exists(const std::string& path) override;
    absl::StatusOr<uint64_t> file_size(const std::string& path) override;
    absl::StatusOr<std::vector<std::string>> list(const std::string& directory) override;
    absl::Status create_directory(const std::string& path) override;
    absl::Status remove(const std::string& path) override;
    absl::Status rename(const std::string& from, const std::string& to) override;
    absl::Status link(const std::string& from, const std::string& to) override;
    // A cut is durable when this is OK; an extension after a sync() of the file.
    absl::Status truncate(const std::string& path, uint64_t size) override;
    absl::Status sync_directory(const std::string& path) override;
    absl::StatusOr<std::unique_ptr<FileLock>> lock(const std::string& path) override;
    absl::StatusOr<std::unique_ptr<FileLock>> lock_shared(const std::string& path) override;
    absl::StatusOr<uint64_t> free_bytes(const std::string& path) override;

    // Renames `from` to `to` and opens it for writing from its start. It has a new key, durably,
    // before anything is written: what it had before can be read by nobody.
    absl::StatusOr<std::unique_ptr<WritableFile>> recycle(const std::string& from,
                                                          const std::string& to) override;

    // False: a file of something else, or an empty one.
    absl::StatusOr<bool> is_encrypted(const std::string& path);

    // Changing the master key: give a ring with the new key as the current one and the old among
    // the others, rewrap() each path, then give one without the old key. Files may be open and
    // written meanwhile.
    void set_key_ring(KeyRing ring) { keys_.set_ring(std::move(ring)); }
    // Wraps the file's key by the current master key; the file's data stays as it is. Durable when
    // OK.
    absl::Status rewrap(const std::string& path) { return keys_.rewrap(path); }
    // Removes what rewrap() made for files that are gone. REQUIRES: no other process, nor another
    // object over the same files, changes the directory.
    absl::Status remove_unused_keys(const std::string& directory) {
        return keys_.remove_unused(directory);
    }

  private:
    struct OpenedFile;

    absl::StatusOr<OpenedFile> open(const std::string& path);
    static std::unique_ptr<RandomAccessFile> reader_of(OpenedFile opened, const std::string& path);
    absl::StatusOr<std::unique_ptr<WritableFile>> begin(std::unique_ptr<WritableFile> base,
                                                        const std::string& path);
    absl::StatusOr<std::unique_ptr<EncryptedWritableFile>> continue_at(const std::string& path,
                                                                       const FileKey& key,
                                                                       const WriterStart& start,
                                                                       uint64_t size);

    FileSystem& base_;
    SharedRandom random_;
    FileKeys keys_;
};

}  // namespace starling::env
