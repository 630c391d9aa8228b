#pragma once

// Open tables, a bounded number of them: each costs a file descriptor and the memory of its index
// and filter. A table that falls out stays usable for those who hold it. Thread-safe.

#include <cstdint>
#include <list>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

#include "env/file_system.h"
#include "storage/lsm/block_cache.h"
#include "storage/lsm/table.h"

namespace starling::storage::lsm {

class TableCache {
  public:
    TableCache(env::FileSystem& files,
               std::string directory,
               BlockCache& blocks,
               size_t tables_max);

    // Opens the table when it is not open. With ReadMode::memory_only: `unavailable` instead.
    absl::StatusOr<std::shared_ptr<const Table>> find(const TableMetadata& metadata, ReadMode mode);
    void forget(uint64_t number);
    uint64_t memory_bytes() const;

  private:
    struct Entry {
        uint64_t number;
        std::shared_ptr<const Table> table;
    };

    std::shared_ptr<const Table> find_open(uint64_t number);
    void insert(uint64_t number, std::shared_ptr<const Table> table);

    // Constant after construction.
    env::FileSystem& files_;
    const std::string directory_;
    BlockCache& blocks_;
    const size_t tables_max_;

    mutable absl::Mutex mutex_;
    // The most recently used first.
    std::list<Entry> entries_ ABSL_GUARDED_BY(mutex_);
    absl::flat_hash_map<uint64_t, std::list<Entry>::iterator> index_ ABSL_GUARDED_BY(mutex_);
    uint64_t memory_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace starling::storage::lsm
