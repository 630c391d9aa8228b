#pragma once

// Turns a stream of entries into tables of a stated size, without what nobody sees any more. Flush,
// recovery and compaction write all their tables through it.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "env/file_system.h"
#include "storage/lsm/garbage.h"
#include "storage/lsm/internal_iterator.h"
#include "storage/lsm/table_builder.h"
#include "storage/lsm/value_file.h"
#include "storage/options.h"

namespace starling::storage::lsm {

struct TableWriterOptions {
    std::string directory;
    EngineOptions engine;
    // A new table begins at this size, between two keys; 0: never.
    uint64_t table_bytes_max = 0;
    std::vector<Sequence> snapshots;
    // Ascending user keys at which a new table begins.
    std::vector<std::string> bounds;
    // Of the version that the entries come from.
    std::shared_ptr<const RangeRemovals> range_removals = std::make_shared<RangeRemovals>();
    // What expired before is written as a removal. 0: nothing is.
    Expiry now = 0;
    std::function<uint64_t()> next_file_number;
    // Whether no older entry of a user key can exist where the new tables do not hide it.
    std::function<bool(std::string_view)> is_bottom;
    // Separate values of these files are written anew.
    std::vector<uint64_t> value_files_to_leave;
    // Not null where `entries` may hold separate values.
    ValueFiles* values = nullptr;
    // Asked between entries; true ends the work with `cancelled`.
    std::function<bool()> should_stop;
};

struct WrittenTables {
    std::vector<TableMetadata> tables;
    std::vector<ValueFileMetadata> value_files;
    // The latest expiry that was taken for passed; 0: none was.
    Expiry expired_until = 0;
};

// Reads `entries` to their end. The tables are synced, and so is the directory. After an error none
// of them is left, but where removing fails too.
absl::StatusOr<WrittenTables> write_tables(env::FileSystem& files,
                                           InternalIterator& entries,
                                           TableWriterOptions options);

}  // namespace starling::storage::lsm
