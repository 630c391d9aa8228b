#include "storage/destroy.h"

#include <algorithm>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "base/status_macros.h"
#include "storage/directory.h"
#include "storage/engine_files.h"
#include "storage/engine_marker.h"

namespace starling::storage {

namespace {

// What says that the rest is whole goes first, the marker and the lock last.
int removal_rank(std::string_view kind) {
    if (kind == "current" || kind == "file list" || kind == "backup list") {
        return 0;
    }
    return kind == "marker" ? 2 : kind == "lock" ? 3 : 1;
}

struct Owned {
    int rank;
    std::string name;
};

}  // namespace

absl::StatusOr<Destroyed> destroy_engine(env::FileSystem& files, const std::string& directory) {
    Destroyed destroyed;
    STARLING_ASSIGN_OR_RETURN(const bool exists, files.exists(directory));
    if (!exists) {
        return destroyed;
    }
    STARLING_ASSIGN_OR_RETURN(const auto unlocked, read_engine_marker(files, directory));
    STARLING_ASSIGN_OR_RETURN(std::vector<std::string> names, files.list(directory));
    const bool only_remnants = std::all_of(names.begin(), names.end(), [](const auto& name) {
        return engine_file_kind("", name).has_value();
    });
    if (!unlocked.has_value() && !only_remnants) {
        destroyed.kept = std::move(names);
        return destroyed;
    }
    STARLING_ASSIGN_OR_RETURN(std::unique_ptr<env::FileLock> lock,
                              files.lock(fmt::format("{}/{}", directory, lock_file_name)));
    STARLING_ASSIGN_OR_RETURN(const auto marker, read_engine_marker(files, directory));
    STARLING_ASSIGN_OR_RETURN(names, files.list(directory));
    std::vector<Owned> owned;
    for (std::string& name : names) {
        const auto kind = engine_file_kind(marker.has_value() ? marker->engine : "", name);
        if (kind.has_value()) {
            owned.push_back({.rank = removal_rank(*kind), .name = std::move(name)});
        } else {
            destroyed.kept.push_back(std::move(name));
        }
    }
    std::stable_sort(owned.begin(), owned.end(), [](const Owned& left, const Owned& right) {
        return left.rank < right.rank;
    });
    int rank = 0;
    for (const Owned& file : owned) {
        if (file.rank != rank) {
            STARLING_RETURN_IF_ERROR(files.sync_directory(directory));
            rank = file.rank;
        }
        STARLING_RETURN_IF_ERROR(files.remove(fmt::format("{}/{}", directory, file.name)));
        ++destroyed.files_removed;
    }
    lock.reset();
    if (!destroyed.kept.empty()) {
        STARLING_RETURN_IF_ERROR(files.sync_directory(directory));
        return destroyed;
    }
    const absl::Status removed = files.remove(directory);
    if (absl::IsFailedPrecondition(removed)) {
        // Somebody was quick to use the place again.
        return destroyed;
    }
    STARLING_RETURN_IF_ERROR(removed);
    STARLING_RETURN_IF_ERROR(files.sync_directory(parent_of(directory)));
    return destroyed;
}

}  // namespace starling::storage
