#pragma once

// The real file system. Files written by it must not be symbolic links; those it only reads may be.
// Thread-safe; has no state.

#include <memory>
#include <string>
#include <vector>

#include "env/file_system.h"

namespace starling::env {

class PosixFileSystem final : public FileSystem {
  public:
    absl::StatusOr<std::unique_ptr<WritableFile>> create(const std::string& path) override;
    absl::StatusOr<std::unique_ptr<WritableFile>> create_streamed(const std::string& path) override;
    absl::StatusOr<std::unique_ptr<WritableFile>> open_for_append(const std::string& path) override;
    absl::StatusOr<std::unique_ptr<WritableFile>> recycle(const std::string& from,
                                                          const std::string& to) override;
    absl::StatusOr<std::unique_ptr<RandomAccessFile>> open_for_read(
        const std::string& path) override;
    absl::StatusOr<std::unique_ptr<RandomAccessFile>> open_for_direct_read(
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
    absl::Status truncate(const std::string& path, uint64_t size) override;
    absl::Status sync_directory(const std::string& path) override;
    absl::StatusOr<std::unique_ptr<FileLock>> lock(const std::string& path) override;
    absl::StatusOr<std::unique_ptr<FileLock>> lock_shared(const std::string& path) override;
    absl::StatusOr<uint64_t> free_bytes(const std::string& path) override;
};

}  // namespace starling::env
