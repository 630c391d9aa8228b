#pragma once

// Large values in files of their own, so that compactions move pointers instead of them (WiscKey;
// Lu et al., FAST 2016). A value file is written along with tables and never changes; tables point
// into it. When half of it is no longer pointed to, the tables that still do are rewritten with the
// rest of its values, and it goes (reclaim.h). Format: docs/formats/value_file.md.

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

#include "env/file_system.h"
#include "storage/lsm/stored_value.h"

namespace starling::storage::lsm {

inline constexpr uint64_t value_file_header_bytes = 24;

struct ValueFileMetadata {
    uint64_t number = 0;
    uint64_t file_bytes = 0;
};

class ValueFileWriter {
  public:
    static absl::StatusOr<std::unique_ptr<ValueFileWriter>> create(env::FileSystem& files,
                                                                   const std::string& directory,
                                                                   uint64_t number);
    // Removes the file when finish() was not OK.
    ~ValueFileWriter();
    ValueFileWriter(const ValueFileWriter&) = delete;
    ValueFileWriter& operator=(const ValueFileWriter&) = delete;

    absl::StatusOr<ValuePointer> append(std::string_view value, Expiry expiry);
    // Completes and syncs the file; the directory is the caller's to sync.
    absl::StatusOr<ValueFileMetadata> finish();

    uint64_t file_bytes() const { return end_; }

  private:
    absl::Status write_buffer();

    ValueFileWriter(env::FileSystem& files,
                    std::string path,
                    uint64_t number,
                    std::unique_ptr<env::WritableFile> file);

    env::FileSystem& files_;
    const std::string path_;
    const uint64_t number_;
    std::unique_ptr<env::WritableFile> file_;
    // Of the file with what is still in buffer_.
    uint64_t end_ = 0;
    std::string buffer_;
    bool finished_ = false;
};

// Reads values, and keeps a bounded number of files open. Thread-safe.
class ValueFiles {
  public:
    ValueFiles(env::FileSystem& files, std::string directory, size_t files_max)
        : files_(files), directory_(std::move(directory)), files_max_(files_max) {}

    // data_loss, naming file and offset.
    absl::StatusOr<std::string> read(const ValuePointer& pointer);
    void forget(uint64_t number);

  private:
    struct SizedFile {
        SizedFile(std::unique_ptr<const env::RandomAccessFile> opened, uint64_t size)
            : file(std::move(opened)), bytes(size) {}
        const std::unique_ptr<const env::RandomAccessFile> file;
        const uint64_t bytes;
    };
    using File = std::shared_ptr<const SizedFile>;
    struct Open {
        uint64_t number;
        File file;
    };

    absl::StatusOr<File> find(uint64_t number);

    env::FileSystem& files_;
    const std::string directory_;
    const size_t files_max_;

    absl::Mutex mutex_;
    // The most recently used first.
    std::list<Open> open_ ABSL_GUARDED_BY(mutex_);
    absl::flat_hash_map<uint64_t, std::list<Open>::iterator> index_ ABSL_GUARDED_BY(mutex_);
};

// Checks every record of a value file from its start to its end. data_loss names the first damage.
absl::Status verify_value_file(env::FileSystem& files,
                               const std::string& directory,
                               const ValueFileMetadata& metadata);

}  // namespace starling::storage::lsm
