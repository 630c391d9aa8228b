#pragma once

// A backup is a checkpoint with a list of its files, so that a copy of it that went through other
// hands can be checked before it is trusted (docs/formats/data_directory.md).

#include <string>

#include "absl/status/status.h"

#include "env/file_system.h"
#include "storage/engine.h"

namespace starling::storage {

// Makes a checkpoint of `engine` in `directory`, which must not exist (already_exists), and the
// list BACKUP: the name, size and CRC-32C of every file. Reads everything. A backup shares files
// with the engine by hard links where it can: whoever moves it elsewhere copies. It is built as
// `<directory>.unlisted`, which an interrupted one leaves behind and the next one removes;
// `directory` itself is there whole or not at all (build_directory.h). failed_precondition:
// somebody else is building it.
absl::Status backup_engine(Engine& engine, env::FileSystem& files, const std::string& directory);

// Whether every file of the list is there, byte for byte, and no other. data_loss, naming the first
// one that is missing, damaged, or too many. not_found: no backup.
absl::Status verify_backup(env::FileSystem& files, const std::string& directory);

// Copies the backup in `directory` to `target`, which must not exist (already_exists), after
// verify_backup(). After an error, or a crash, the target does not open.
absl::Status restore_engine(env::FileSystem& files,
                            const std::string& directory,
                            const std::string& target);

}  // namespace starling::storage
