#include "storage/tool/verify.h"

#include <utility>

#include <fmt/format.h>

#include "base/status_macros.h"
#include "storage/backup.h"
#include "storage/engine_files.h"
#include "storage/engine_marker.h"
#include "storage/tool/checker.h"

namespace starling::storage::tool {

absl::StatusOr<Verified> verify_directory(env::FileSystem& files, const std::string& directory) {
    STARLING_ASSIGN_OR_RETURN(const std::vector<std::string> names, files.list(directory));
    Checker checker(files, directory);
    const std::string marker_path = checker.path(engine_marker_name);
    const auto marker = read_engine_marker(files, directory);
    std::string engine;
    if (marker.ok() && marker->has_value()) {
        checker.count(*files.file_size(marker_path));
        engine = (*marker)->engine;
        if (absl::Status status = check_engine_marker(**marker, directory, engine); !status.ok()) {
            return status;
        }
    } else if (marker.ok()) {
        return absl::NotFoundError(fmt::format(
            "{} is no data directory of a storage engine: {} is missing", directory, marker_path));
    } else if (!absl::IsDataLoss(marker.status())) {
        return marker.status();
    } else {
        checker.damage(marker_path, 0, marker.status());
    }
    // Without a marker, the files themselves tell.
    for (const std::string candidate : {"lsm", "bitcask"}) {
        for (const std::string& name : names) {
            if (engine.empty() && is_engine_data(name) &&
                engine_file_kind(candidate, name).has_value()) {
                engine = candidate;
            }
        }
    }
    for (const std::string& name : names) {
        if (!engine_file_kind(engine, name).has_value()) {
            checker.note(checker.path(name), 0, "no file of this engine");
        }
        if (name == backup_list_name) {
            checker.count(*files.file_size(checker.path(name)));
            if (absl::Status status = verify_backup(files, directory); !status.ok()) {
                checker.damage(checker.path(name), 0, status);
            }
        }
    }
    if (engine == "lsm") {
        verify_lsm(checker, names);
    } else if (engine == "bitcask") {
        verify_bitcask(checker, names);
    }
    return checker.take();
}

}  // namespace starling::storage::tool
