#include "storage/open.h"

#include <fmt/format.h>

#include "base/status_macros.h"
#include "storage/bitcask/bitcask_engine.h"
#include "storage/directory.h"
#include "storage/engine_marker.h"
#include "storage/in_memory/in_memory_engine.h"
#include "storage/lsm/lsm_engine.h"

namespace starling::storage {

namespace {

absl::Status make_directory(env::FileSystem& files, const std::string& directory) {
    STARLING_ASSIGN_OR_RETURN(const bool existed, files.exists(directory));
    if (!existed) {
        STARLING_RETURN_IF_ERROR(files.create_directory(directory));
    }
    // Also when it existed: whoever made it may have died before this.
    const absl::Status status = files.sync_directory(parent_of(directory));
    return existed && absl::IsPermissionDenied(status) ? absl::OkStatus() : status;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> open_engine(const std::string& directory,
                                                    const EngineOptions& options,
                                                    EngineEnvironment environment) {
    const std::string engine = options.engine == "kvs" ? "bitcask" : options.engine;
    if (engine != "lsm" && engine != "bitcask" && engine != "in_memory") {
        return absl::InvalidArgumentError(
            fmt::format("unknown storage engine '{}'; there are 'lsm', 'bitcask' (or 'kvs') and "
                        "'in_memory'",
                        options.engine));
    }
    env::FileSystem& files = environment.files;
    STARLING_RETURN_IF_ERROR(make_directory(files, directory));
    STARLING_ASSIGN_OR_RETURN(std::unique_ptr<env::FileLock> lock, files.lock(directory + "/LOCK"));
    STARLING_RETURN_IF_ERROR(check_engine_marker(files, directory, engine));
    if (engine == "in_memory") {
        return make_in_memory_engine(environment.wall_clock, std::move(lock));
    }
    if (engine == "bitcask") {
        return bitcask::open_bitcask_engine(directory, options, environment, std::move(lock));
    }
    return lsm::open_lsm_engine(directory, options, environment, std::move(lock));
}

}  // namespace starling::storage
