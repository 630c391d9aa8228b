#pragma once

// Reads values out of data files: one positioned read each, checked against what the key directory
// knows. Keeps a limited number of files open. Thread-safe.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

#include "env/file_system.h"
#include "storage/bitcask/changes.h"

namespace starling::storage::bitcask {

class ValueReader {
  public:
    ValueReader(env::FileSystem& files, std::string directory, size_t open_files_max)
        : files_(files), directory_(std::move(directory)), open_files_max_(open_files_max) {}

    // data_loss, naming file and offset.
    absl::StatusOr<std::string> read(std::string_view key, const Location& location);
    // Closes the file once nobody reads it.
    void forget(uint64_t number);

  private:
    struct OpenFile {
        // Shared with reads that are under way.
        std::shared_ptr<const env::RandomAccessFile> file;
        uint64_t last_used = 0;
    };

    absl::StatusOr<std::shared_ptr<const env::RandomAccessFile>> open(uint64_t number);
    void make_room() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

    env::FileSystem& files_;
    const std::string directory_;
    const size_t open_files_max_;

    absl::Mutex mutex_;
    absl::flat_hash_map<uint64_t, OpenFile> open_ ABSL_GUARDED_BY(mutex_);
    uint64_t uses_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace starling::storage::bitcask
