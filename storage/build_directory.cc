#include "storage/build_directory.h"

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/status_macros.h"
#include "storage/directory.h"
#include "storage/engine_files.h"

namespace starling::storage {

namespace {

bool is_engine_file(std::string_view name) {
    return engine_file_kind("lsm", name).has_value() ||
           engine_file_kind("bitcask", name).has_value();
}

// But for the lock, which the caller holds.
absl::Status clear(env::FileSystem& files, const std::string& partial) {
    STARLING_ASSIGN_OR_RETURN(const std::vector<std::string> names, files.list(partial));
    for (const std::string& name : names) {
        if (!is_engine_file(name)) {
            return absl::FailedPreconditionError(
                fmt::format("{}/{} is in the way: an interrupted checkpoint has left no such file",
                            partial,
                            name));
        }
    }
    for (const std::string& name : names) {
        if (name != lock_file_name) {
            STARLING_RETURN_IF_ERROR(files.remove(fmt::format("{}/{}", partial, name)));
        }
    }
    return absl::OkStatus();
}

// As far as that works. The lock's file goes while it is held: who comes then makes another.
void remove(env::FileSystem& files, const std::string& partial) {
    if (clear(files, partial).ok()) {
        files.remove(fmt::format("{}/{}", partial, lock_file_name)).IgnoreError();
        files.remove(partial).IgnoreError();
    }
}

}  // namespace

absl::Status check_absent(env::FileSystem& files, const std::string& directory) {
    STARLING_ASSIGN_OR_RETURN(const bool exists, files.exists(directory));
    return exists ? absl::AlreadyExistsError(fmt::format("{} exists", directory))
                  : absl::OkStatus();
}

absl::Status publish_directory(env::FileSystem& files,
                               const std::string& partial,
                               const std::string& directory) {
    STARLING_RETURN_IF_ERROR(files.rename(partial, directory));
    absl::Status status = files.sync_directory(parent_of(directory));
    if (!status.ok()) {
        // Nothing is removed: after a power loss it may have either name, and is whole.
        files.rename(directory, partial).IgnoreError();
    }
    return status;
}

absl::Status build_directory(env::FileSystem& files,
                             const std::string& directory,
                             absl::FunctionRef<absl::Status(const std::string&)> fill) {
    const std::string target = without_trailing_slashes(directory);
    STARLING_RETURN_IF_ERROR(check_absent(files, target));
    const std::string partial = target + ".partial";
    STARLING_RETURN_IF_ERROR(files.create_directory(partial));
    auto lock = files.lock(fmt::format("{}/{}", partial, lock_file_name));
    if (!lock.ok()) {
        // Empty, if this is what made it.
        files.remove(partial).IgnoreError();
        return lock.status();
    }
    // Somebody may have finished it before the lock was free.
    absl::Status status = check_absent(files, target);
    if (status.ok()) {
        status = clear(files, partial);
    }
    if (status.ok()) {
        status = fill(partial);
    }
    if (!status.ok()) {
        remove(files, partial);
        return status;
    }
    return publish_directory(files, partial, target);
}

}  // namespace starling::storage
