#include "storage/tool/change_key.h"

#include <fmt/format.h>

#include "base/status_macros.h"
#include "env/encrypted/file_system.h"
#include "storage/engine_files.h"
#include "storage/open.h"

namespace starling::storage::tool {

namespace {

constexpr uint64_t marker_bytes_max = 4096;

// Headers of files keep their keys as the old master key wrapped them. A marker that only the new
// one opens keeps programs with the old one away, which would go on under it.
absl::Status lock_out(env::FileSystem& files,
                      env::Random& random,
                      const std::string& directory,
                      const env::MasterKey& present,
                      env::FileSystem& encrypted) {
    env::EncryptedFileSystem before(files, random, env::KeyRing(present));
    if (!detect_engine(before, directory).ok()) {
        return absl::OkStatus();
    }
    const std::string path = fmt::format("{}/{}", directory, engine_marker_name);
    STARLING_ASSIGN_OR_RETURN(const std::string marker,
                              env::read_file(encrypted, path, marker_bytes_max));
    return env::replace_file(encrypted, path, marker);
}

}  // namespace

absl::StatusOr<uint64_t> change_key(env::FileSystem& files,
                                    env::Random& random,
                                    const std::string& directory,
                                    const env::MasterKey& present,
                                    const env::MasterKey& next) {
    env::EncryptedFileSystem encrypted(files, random, env::KeyRing(next, {present}));
    // Before a lock file could be made in a directory that is none of ours.
    STARLING_ASSIGN_OR_RETURN(const EngineMarker marker, detect_engine(encrypted, directory));
    STARLING_ASSIGN_OR_RETURN(const auto lock,
                              files.lock(fmt::format("{}/{}", directory, lock_file_name)));
    STARLING_ASSIGN_OR_RETURN(const auto names, encrypted.list(directory));
    uint64_t count = 0;
    for (const std::string& name : names) {
        if (engine_file_kind(marker.engine, name).has_value()) {
            STARLING_RETURN_IF_ERROR(encrypted.rewrap(fmt::format("{}/{}", directory, name)));
            ++count;
        }
    }
    STARLING_RETURN_IF_ERROR(lock_out(files, random, directory, present, encrypted));
    STARLING_RETURN_IF_ERROR(encrypted.remove_unused_keys(directory));
    return count;
}

}  // namespace starling::storage::tool
