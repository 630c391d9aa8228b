#pragma once

// The file ENGINE: which engine wrote a data directory, and in which format.

#include <string>

#include "absl/status/status.h"

#include "env/file_system.h"

namespace starling::storage {

inline constexpr uint32_t format_version = 1;

// Writes the marker when the directory has none; otherwise checks it. failed_precondition: another
// engine, or an unknown version. data_loss: the marker is damaged, or is missing beside an engine's
// files.
absl::Status check_engine_marker(env::FileSystem& files,
                                 const std::string& directory,
                                 const std::string& engine);

}  // namespace starling::storage
