#pragma once

// Opens a data directory. The directory belongs to one process at a time (file LOCK) and to one
// engine, named with its format version in the file ENGINE (docs/formats/data_directory.md).

#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "storage/engine.h"
#include "storage/engine_marker.h"
#include "storage/environment.h"
#include "storage/options.h"

namespace starling::storage {

// Makes the directory (its parent must exist) or recovers what is in it; may take as long as
// reading the log takes. An empty `options.engine` is the engine that wrote the directory, or lsm
// for a new one. A directory of an older format is raised to this one.
//
// With `options.read_only` nothing is made, changed or removed, also not by recovery, which keeps
// what the log holds in memory; the directory must exist, and need not be writable. Each change is
// failed_precondition, reason read_only. The lock is shared with others who read, and keeps a
// writer away; where its file is missing or may not be read, nothing does.
//
// invalid_argument: no such engine, or options that make no sense. failed_precondition: the
// directory is in use, was written by another engine, or by a version that this one does not know.
// data_loss: damage that could hide acknowledged writes; none of it was changed.
// resource_exhausted: the disk is full. not_found: read-only, and no engine wrote anything there.
absl::StatusOr<std::unique_ptr<Engine>> open_engine(const std::string& directory,
                                                    const EngineOptions& options,
                                                    EngineEnvironment environment);

// The lock of an existing directory, shared with others who only read. Null: there is none, or this
// process may not read it. failed_precondition: some process has the directory open for writing.
absl::StatusOr<std::unique_ptr<env::FileLock>> lock_to_read(env::FileSystem& files,
                                                            const std::string& directory);

// Which engine wrote the directory, in which format; takes no lock. not_found: none did, or there
// is no directory. data_loss: the marker is damaged or lost.
absl::StatusOr<EngineMarker> detect_engine(env::FileSystem& files, const std::string& directory);

}  // namespace starling::storage
