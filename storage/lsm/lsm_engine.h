#pragma once

// The durable engine: a log-structured merge tree. The way of a change: log (buffered) -> memtable
// -> visible; sync() makes the log durable; a full memtable becomes a table in the background, and
// tables are merged.
//
// Locks: writers serialise on one mutex, which no file operation is done under. Readers take a view
// and need no lock further on. See README.md.

#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "storage/engine.h"
#include "storage/environment.h"
#include "storage/options.h"

namespace starling::storage::lsm {

// The directory exists, is locked by `lock` and marked as ours. Errors as in open_engine().
absl::StatusOr<std::unique_ptr<Engine>> open_lsm_engine(const std::string& directory,
                                                        const EngineOptions& options,
                                                        EngineEnvironment environment,
                                                        std::unique_ptr<env::FileLock> lock);

}  // namespace starling::storage::lsm
