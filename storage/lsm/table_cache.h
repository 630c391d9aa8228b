#pragma once

// Open tables, a bounded number of them: each costs a file descriptor and the memory of its index
// and filter. A table that falls out stays usable for those who hold it. Thread-safe.

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "env/file_system.h"
#include "storage/lsm/block_cache.h"
#include "storage/lsm/clock_cache.h"
#include "storage/lsm/table.h"
#include "storage/options.h"

namespace starling::storage::lsm {

class TableCache {
  public:
    TableCache(env::FileSystem& files,
               std::string directory,
               BlockCache& blocks,
               const EngineOptions& options);

    // Opens the table when it is not open. With ReadMode::memory_only: `unavailable` instead.
    absl::StatusOr<std::shared_ptr<const Table>> find(const TableMetadata& metadata, ReadMode mode);
    // Table::get() of that table. Quicker than with find(): an open table is only pinned meanwhile.
    absl::StatusOr<bool> get(const TableMetadata& metadata,
                             const LookupKey& key,
                             ReadMode mode,
                             FoundEntry& found);
    // The table's file for one pass through it, with a descriptor of its own. Null: the system does
    // not give it now.
    std::unique_ptr<env::RandomAccessFile> open_for_pass(const TableMetadata& metadata,
                                                         size_t piece_bytes);
    // As the disk has it, past this cache, which neither gives nor keeps it, and the system's.
    absl::StatusOr<std::shared_ptr<const Table>> open_anew(const TableMetadata& metadata);
    // Of a table that is gone: closes its file, once nobody reads it, and gives the memory of its
    // blocks back, to those of tables that are there. (Blocks of one that was not open any more
    // fall out as others come.)
    void forget(uint64_t number);
    uint64_t memory_bytes() const;
    // Where tables keep their blocks.
    BlockCache& blocks() { return blocks_; }
    // Keys whose first bytes differ share no block.
    bool kinds_apart() const { return kinds_apart_; }

  private:
    using TablePointer = std::shared_ptr<const Table>;
    struct One {
        uint64_t operator()(const TablePointer&) const { return 1; }
    };

    absl::StatusOr<TablePointer> open(const TableMetadata& metadata, ReadMode mode);

    // Constant after construction.
    env::FileSystem& files_;
    const std::string directory_;
    const FileReads reads_;
    const bool kinds_apart_;
    BlockCache& blocks_;

    ClockCache<TablePointer, One> tables_;
};

}  // namespace starling::storage::lsm
