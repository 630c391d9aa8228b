#pragma once

// Brings a data directory from whatever a crash left to a state that a new engine can begin from:
// what the log holds beyond the tables becomes tables of level 0, a new log and a new manifest
// begin, and files that nobody names are removed. Interrupted at any point it can begin again.

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "env/file_system.h"
#include "storage/log/log.h"
#include "storage/lsm/catalog.h"
#include "storage/lsm/internal_key.h"
#include "storage/lsm/memtable.h"
#include "storage/options.h"

namespace starling::storage::lsm {

struct Recovered {
    std::unique_ptr<Catalog> catalog;
    // Empty; its first file exists and has `log_number`.
    std::unique_ptr<Log> log;
    uint64_t log_number = 0;
    Sequence last_sequence = 0;
    // Oldest first, the last one empty; the others, if read-only: what the log holds beyond the
    // tables.
    std::vector<std::shared_ptr<Memtable>> memtables;
    // data_loss: the first file that is missing, or has another size, and was admitted.
    absl::Status damage;
};

// With `options.read_only` nothing is written: what the log holds stays in memory, the catalog and
// the log accept nothing.
//
// data_loss: something durable cannot be read; nothing was changed then. With
// `options.open_damaged` the files of tables and values may be missing or of another size.
// `memtable_bytes`: how much of the log is held in memory at a time.
absl::StatusOr<Recovered> recover(env::FileSystem& files,
                                  const std::string& directory,
                                  const EngineOptions& options,
                                  uint64_t memtable_bytes);

}  // namespace starling::storage::lsm
