#pragma once

// Finds, makes and re-wraps the data keys of files.
//
// A file's header has its key, wrapped by the master key that was current when the file was made.
// rewrap() puts a key file beside it, `<file id in hexadecimal>.filekey`, replaced as a whole,
// which is asked when the header's master key is not among those given. It is named by the file's
// id, not by its name, so renaming and replacing files within the directory needs no second step
// that a crash could separate from the first; only a move or a link to another directory takes the
// key file along, before.
//
// Thread-safe.

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

#include "env/encrypted/file_header.h"
#include "env/encrypted/master_key.h"
#include "env/file_system.h"

namespace starling::env {

// Of a key file, or of what a crash left of making one.
bool is_key_file_name(std::string_view name);
// Of the last component of a path.
bool is_key_file_path(std::string_view path);

class FileKeys {
  public:
    FileKeys(FileSystem& files, SharedRandom& random, KeyRing ring)
        : files_(files), random_(random), ring_(std::move(ring)) {}

    void set_ring(KeyRing ring);

    // A fresh key for a file, and the header that carries it.
    FileKey make(std::string& header) const;
    // failed_precondition: wrapped by a master key that is not in the ring. data_loss.
    absl::StatusOr<FileKey> open(const std::string& path, const FileHeader& header) const;
    // Wraps the file's key by the current master key. Durable when OK.
    absl::Status rewrap(const std::string& path) const;
    // Makes sure that the key file of `from`, if it needs one, lies beside `to` as well, then calls
    // `act`, which gives the file its new name.
    absl::Status carry(const std::string& from,
                       const std::string& to,
                       absl::FunctionRef<absl::Status()> act) const;
    // Removes key files that no file of the directory has. Other processes must not change it
    // meanwhile.
    absl::Status remove_unused(const std::string& directory) const;

  private:
    KeyRing ring() const;
    absl::Status carry_key(const std::string& from, const std::string& to) const
        ABSL_SHARED_LOCKS_REQUIRED(names_mutex_);
    absl::StatusOr<std::optional<FileHeader>> read_header(const std::string& path) const;
    absl::StatusOr<std::optional<FileHeader>> read_key_file(const std::string& path) const;

    FileSystem& files_;
    SharedRandom& random_;

    // Shared by those who give files names, or key files to names; alone, no name changes.
    mutable absl::Mutex names_mutex_;

    mutable absl::Mutex mutex_;
    KeyRing ring_ ABSL_GUARDED_BY(mutex_);
};

std::string parent_directory(const std::string& path);

}  // namespace starling::env
