#pragma once

// Brings a data directory from whatever a crash left to a state that a new engine can begin from:
// reads hints and data files into a key directory, moves what the log holds into a new complete
// file, begins a new log, and removes files that nobody names. Interrupted at any point it can
// begin again. To be read only it does nothing of that but read.

#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "env/file_system.h"
#include "storage/bitcask/file_list.h"
#include "storage/bitcask/key_directory.h"
#include "storage/log/log.h"
#include "storage/options.h"

namespace starling::storage::bitcask {

struct Recovered {
    std::shared_ptr<KeyDirectory> keys;
    // As it is on the disk.
    FileList list;
    // Empty; its first file is list.log.number.
    std::unique_ptr<Log> log;
};

// data_loss: something durable cannot be read; nothing was changed then.
absl::StatusOr<Recovered> recover(env::FileSystem& files,
                                  const std::string& directory,
                                  const EngineOptions& options);

}  // namespace starling::storage::bitcask
