#pragma once

// The durable state of the engine in one place: the current version, the manifest, the counter of
// file numbers, and the files that nobody needs any more. Thread-safe; commits happen one after
// another.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

#include "env/file_system.h"
#include "storage/lsm/file_names.h"
#include "storage/lsm/manifest.h"
#include "storage/lsm/version.h"

namespace starling::storage::lsm {

// What a manifest would say now.
struct CatalogState {
    std::shared_ptr<const Version> version;
    LogStart log;
    // Not taken by any file.
    uint64_t next_file_number = 0;
};

class Catalog {
  public:
    // While one lives no file is removed. Thread-safe.
    class FileHold {
      public:
        explicit FileHold(Catalog& catalog) : catalog_(catalog) {
            absl::MutexLock lock(&catalog_.commit_mutex_);
            ++catalog_.file_holds_;
        }
        ~FileHold() {
            absl::MutexLock lock(&catalog_.commit_mutex_);
            --catalog_.file_holds_;
        }
        FileHold(const FileHold&) = delete;
        FileHold& operator=(const FileHold&) = delete;

      private:
        Catalog& catalog_;
    };

    Catalog(env::FileSystem& files, std::string directory);

    // Sets the state and writes it into a new manifest. Once, before anything else.
    absl::Status begin(const ManifestState& state);
    // As begin(), but writes nothing, so nothing may be committed either.
    void begin_read_only(const ManifestState& state);

    uint64_t next_file_number() {
        return next_file_number_.fetch_add(1, std::memory_order_relaxed);
    }
    // Of all files that there are.
    uint64_t file_numbers_end() const { return next_file_number_.load(std::memory_order_relaxed); }
    std::shared_ptr<const Version> version() const;
    CatalogState state();
    uint64_t manifest_bytes() const;

    // Makes `edit` durable, then current. After an error the version stays as it was, and nobody
    // knows what a restart would find: files that the edit names must stay until settle() is OK.
    absl::Status commit(VersionEdit edit);
    // Begins a new manifest after an error or when this one has grown long.
    absl::Status settle();

    // A file that is to be removed once that is safe: at the next settled state.
    void retire(std::string path);
    // A log file that the state does not need any more.
    void retire_log(uint64_t number);
    // Removes files that are retired, and tables and value files that no version names. What cannot
    // be removed stays for the next time, and so does everything while a FileHold lives. Returns
    // which of the latter, and the log files that were retired: those are the caller's to reuse or
    // to remove.
    std::vector<FileName> remove_unused_files();
    // Whether there are such files, or some that a reader holds yet.
    bool may_have_unused_files();

  private:
    absl::Status settle_locked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(commit_mutex_);
    std::vector<FileName> take_unused() ABSL_EXCLUSIVE_LOCKS_REQUIRED(commit_mutex_);

    env::FileSystem& files_;
    const std::string directory_;
    std::atomic<uint64_t> next_file_number_ = 1;

    absl::Mutex commit_mutex_;
    Manifest manifest_ ABSL_GUARDED_BY(commit_mutex_);
    uint64_t manifest_bytes_first_ ABSL_GUARDED_BY(commit_mutex_) = 0;
    LogStart log_ ABSL_GUARDED_BY(commit_mutex_);
    int file_holds_ ABSL_GUARDED_BY(commit_mutex_) = 0;
    std::vector<std::string> retired_ ABSL_GUARDED_BY(commit_mutex_);
    std::vector<FileName> retired_logs_ ABSL_GUARDED_BY(commit_mutex_);
    std::vector<FileName> removed_files_ ABSL_GUARDED_BY(commit_mutex_);
    // Versions that some reader may hold.
    std::vector<std::weak_ptr<const Version>> versions_ ABSL_GUARDED_BY(commit_mutex_);

    mutable absl::Mutex version_mutex_ ABSL_ACQUIRED_AFTER(commit_mutex_);
    std::shared_ptr<const Version> version_ ABSL_GUARDED_BY(version_mutex_);
    std::atomic<uint64_t> manifest_bytes_ = 0;
};

}  // namespace starling::storage::lsm
