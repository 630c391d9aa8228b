#pragma once

// The file that says which tables make up the database, and where its log begins: records of
// version edits, the first of which describes everything. CURRENT names the manifest that counts.
//
// 1. An edit counts once it is synced; each edit says so of all before it, so any damage but a torn
// last
//    edit is recognised as corruption.
// 2. After a failed write or sync nobody knows whether the edit counts. The file is given up: the
// next edit
//    goes to a new manifest, and nothing that either outcome needs may be removed before that one
//    counts.
//
// Not thread-safe.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "env/file_system.h"
#include "storage/lsm/version.h"
#include "storage/lsm/version_edit.h"

namespace starling::storage::lsm {

class Manifest {
  public:
    Manifest(env::FileSystem& files, std::string directory)
        : files_(files), directory_(std::move(directory)) {}

    // Writes a new manifest that describes `whole` and makes it the one that counts.
    absl::Status begin(uint64_t number, const VersionEdit& whole);
    // Durable once OK. REQUIRES: usable().
    absl::Status append(const VersionEdit& edit);

    // False before begin() and after an error.
    bool usable() const { return file_ != nullptr; }
    uint64_t number() const { return number_; }
    uint64_t file_bytes() const { return end_; }

  private:
    absl::Status write(const VersionEdit& edit);
    // The file, durable, which CURRENT does not name yet.
    absl::Status write_file(const VersionEdit& whole);

    env::FileSystem& files_;
    const std::string directory_;
    std::unique_ptr<env::WritableFile> file_;
    uint64_t number_ = 0;
    uint64_t end_ = 0;
    uint64_t edit_count_ = 0;
};

// What the manifest that counts says.
struct ManifestState {
    uint64_t manifest_number = 0;
    uint64_t next_file_number = 0;
    LogStart log;
    std::shared_ptr<const Version> version;
};

// nullopt: there is no CURRENT. data_loss: CURRENT or the manifest is damaged or missing.
absl::StatusOr<std::optional<ManifestState>> read_manifest(env::FileSystem& files,
                                                           const std::string& directory);

}  // namespace starling::storage::lsm
