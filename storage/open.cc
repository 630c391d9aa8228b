#include "storage/open.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/status_macros.h"
#include "storage/bitcask/bitcask_engine.h"
#include "storage/directory.h"
#include "storage/engine_files.h"
#include "storage/errors.h"
#include "storage/in_memory/in_memory_engine.h"
#include "storage/lsm/lsm_engine.h"
#include "storage/read_only_engine.h"

namespace starling::storage {

namespace {

constexpr std::array<std::string_view, 3> engine_names = {"lsm", "bitcask", "in_memory"};
// What bitcask is called where it comes from.
constexpr std::string_view bitcask_alias = "kvs";
constexpr std::string_view engine_of_new_directories = "lsm";

bool is_known(std::string_view engine) {
    return std::find(engine_names.begin(), engine_names.end(), engine) != engine_names.end();
}

absl::Status make_directory(env::FileSystem& files, const std::string& directory) {
    STARLING_ASSIGN_OR_RETURN(const bool existed, files.exists(directory));
    if (!existed) {
        STARLING_RETURN_IF_ERROR(files.create_directory(directory));
    }
    // Also when it existed: whoever made it may have died before this.
    const absl::Status status = files.sync_directory(parent_of(directory));
    return existed && absl::IsPermissionDenied(status) ? absl::OkStatus() : status;
}

std::string lock_path(const std::string& directory) {
    return fmt::format("{}/{}", directory, lock_file_name);
}

absl::Status no_engine(const std::string& directory) {
    return absl::NotFoundError(
        fmt::format("{} is no data directory of a storage engine: it has no file {}",
                    directory,
                    engine_marker_name));
}

// The name of the engine to open. Writes the marker of a new directory, and raises an old one's.
absl::StatusOr<std::string> settle_marker(env::FileSystem& files,
                                          const std::string& directory,
                                          const EngineOptions& options) {
    STARLING_ASSIGN_OR_RETURN(const auto marker, read_engine_marker(files, directory));
    if (!marker.has_value() && options.read_only) {
        return no_engine(directory);
    }
    std::string engine = options.engine;
    if (engine.empty()) {
        engine = marker.has_value() ? marker->engine : engine_of_new_directories;
    }
    if (!marker.has_value()) {
        STARLING_RETURN_IF_ERROR(write_engine_marker(files, directory, engine));
        return engine;
    }
    STARLING_RETURN_IF_ERROR(check_engine_marker(*marker, directory, engine));
    if (!is_known(engine)) {
        return absl::FailedPreconditionError(fmt::format(
            "{} was written by engine '{}', which this program does not know", directory, engine));
    }
    if (marker->format != format_version && !options.read_only) {
        STARLING_RETURN_IF_ERROR(write_engine_marker(files, directory, engine));
    }
    return engine;
}

absl::StatusOr<std::unique_ptr<Engine>> make_engine(const std::string& directory,
                                                    const EngineOptions& options,
                                                    EngineEnvironment environment,
                                                    std::unique_ptr<env::FileLock> lock) {
    if (options.engine == "in_memory") {
        return make_in_memory_engine(environment.wall_clock, std::move(lock));
    }
    if (options.engine == "bitcask") {
        return bitcask::open_bitcask_engine(directory, options, environment, std::move(lock));
    }
    return lsm::open_lsm_engine(directory, options, environment, std::move(lock));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> open_engine(const std::string& directory,
                                                    const EngineOptions& options,
                                                    EngineEnvironment environment) {
    EngineOptions chosen = options;
    if (options.engine == bitcask_alias) {
        chosen.engine = "bitcask";
    }
    if (!chosen.engine.empty() && !is_known(chosen.engine)) {
        return absl::InvalidArgumentError(fmt::format("unknown storage engine '{}'; there are '{}'",
                                                      options.engine,
                                                      fmt::join(engine_names, "', '")));
    }
    env::FileSystem& files = environment.files;
    std::unique_ptr<env::FileLock> lock;
    if (options.read_only) {
        STARLING_ASSIGN_OR_RETURN(lock, lock_to_read(files, directory));
    } else {
        STARLING_RETURN_IF_ERROR(make_directory(files, directory));
        STARLING_ASSIGN_OR_RETURN(lock, files.lock(lock_path(directory)));
    }
    auto name = settle_marker(files, directory, chosen);
    if (!name.ok()) {
        return with_remedy(name.status(), directory);
    }
    chosen.engine = *std::move(name);
    auto engine = make_engine(directory, chosen, environment, std::move(lock));
    if (!engine.ok()) {
        return with_remedy(engine.status(), directory);
    }
    return options.read_only ? make_read_only(*std::move(engine)) : *std::move(engine);
}

absl::StatusOr<std::unique_ptr<env::FileLock>> lock_to_read(env::FileSystem& files,
                                                            const std::string& directory) {
    auto lock = files.lock_shared(lock_path(directory));
    if (absl::IsNotFound(lock.status()) || absl::IsPermissionDenied(lock.status())) {
        return nullptr;
    }
    return lock;
}

absl::StatusOr<EngineMarker> detect_engine(env::FileSystem& files, const std::string& directory) {
    STARLING_ASSIGN_OR_RETURN(std::optional<EngineMarker> marker,
                              read_engine_marker(files, directory));
    if (!marker.has_value()) {
        return no_engine(directory);
    }
    return *std::move(marker);
}

}  // namespace starling::storage
