#pragma once

// A log-structured hash table whose key directory is ordered, after "Bitcask: A Log-Structured Hash
// Table for Fast Key/Value Data" (Sheehy, Smith, 2010); see README.md.

#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "env/file_system.h"
#include "storage/engine.h"
#include "storage/environment.h"
#include "storage/options.h"

namespace starling::storage::bitcask {

// Opens the directory, which exists and whose marker is checked; `lock` is held until close.
// data_loss, resource_exhausted, invalid_argument: as open_engine().
absl::StatusOr<std::unique_ptr<Engine>> open_bitcask_engine(const std::string& directory,
                                                            const EngineOptions& options,
                                                            EngineEnvironment environment,
                                                            std::unique_ptr<env::FileLock> lock);

}  // namespace starling::storage::bitcask
