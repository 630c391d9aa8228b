#pragma once

// The file ENGINE: which engine wrote a data directory, and in which format.

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "env/file_system.h"

namespace starling::storage {

// Format 2 knows expiries, removals of ranges, conditions of tables and the engine bitcask; a
// directory of format 1 is one that has none of them.
inline constexpr uint32_t format_version = 2;
inline constexpr uint32_t format_version_min = 1;

struct EngineMarker {
    std::string engine;
    uint32_t format = 0;
};

// nullopt: there is none, and no file of an engine. data_loss: the marker is damaged, or is missing
// beside an engine's files. failed_precondition: it is encrypted, and `files` knows no key.
absl::StatusOr<std::optional<EngineMarker>> read_engine_marker(env::FileSystem& files,
                                                               const std::string& directory);
// Whether this program, as `engine`, reads what the marker of `directory` announces.
// failed_precondition: another engine, or an unknown version.
absl::Status check_engine_marker(const EngineMarker& marker,
                                 const std::string& directory,
                                 const std::string& engine);
// Durable, and replaced as one: a crash leaves the old marker or the new one.
absl::Status write_engine_marker(env::FileSystem& files,
                                 const std::string& directory,
                                 const std::string& engine);

// Writes the marker when the directory has none; otherwise checks it, and raises an older version
// to this one. Errors as above.
absl::Status check_engine_marker(env::FileSystem& files,
                                 const std::string& directory,
                                 const std::string& engine);

}  // namespace starling::storage
