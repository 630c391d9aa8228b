#pragma once

// Opens a data directory. The directory belongs to one process at a time (file LOCK) and to one
// engine, named with its format version in the file ENGINE (docs/formats/data_directory.md).

#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "storage/engine.h"
#include "storage/environment.h"
#include "storage/options.h"

namespace starling::storage {

// Makes the directory (its parent must exist) or recovers what is in it; may take as long as
// reading the log takes.
//
// invalid_argument: no such engine, or options that make no sense. failed_precondition: the
// directory is in use, was written by another engine, or by a version that this one does not know.
// data_loss: damage that could hide acknowledged writes; nothing was changed. resource_exhausted:
// the disk is full.
absl::StatusOr<std::unique_ptr<Engine>> open_engine(const std::string& directory,
                                                    const EngineOptions& options,
                                                    EngineEnvironment environment);

}  // namespace starling::storage
