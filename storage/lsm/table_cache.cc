#include "storage/lsm/table_cache.h"

#include <utility>

#include "base/status_macros.h"

namespace starling::storage::lsm {

TableCache::TableCache(env::FileSystem& files,
                       std::string directory,
                       BlockCache& blocks,
                       size_t tables_max)
    : files_(files), directory_(std::move(directory)), blocks_(blocks), tables_max_(tables_max) {}

absl::StatusOr<std::shared_ptr<const Table>> TableCache::find(const TableMetadata& metadata,
                                                              ReadMode mode) {
    if (std::shared_ptr<const Table> table = find_open(metadata.number)) {
        return table;
    }
    if (mode == ReadMode::memory_only) {
        return absl::UnavailableError("not in memory");
    }
    // Two threads may open one table at the same time; the second copy then goes away.
    STARLING_ASSIGN_OR_RETURN(auto table, Table::open(files_, directory_, metadata, blocks_));
    insert(metadata.number, table);
    return table;
}

std::shared_ptr<const Table> TableCache::find_open(uint64_t number) {
    absl::MutexLock lock(&mutex_);
    const auto found = index_.find(number);
    if (found == index_.end()) {
        return nullptr;
    }
    entries_.splice(entries_.begin(), entries_, found->second);
    return found->second->table;
}

void TableCache::insert(uint64_t number, std::shared_ptr<const Table> table) {
    // Closing a file is left until the lock is released.
    std::shared_ptr<const Table> dropped;
    absl::MutexLock lock(&mutex_);
    if (index_.contains(number)) {
        return;
    }
    memory_bytes_ += table->memory_bytes();
    entries_.push_front({.number = number, .table = std::move(table)});
    index_.emplace(number, entries_.begin());
    if (entries_.size() > tables_max_) {
        dropped = std::move(entries_.back().table);
        memory_bytes_ -= dropped->memory_bytes();
        index_.erase(entries_.back().number);
        entries_.pop_back();
    }
}

void TableCache::forget(uint64_t number) {
    std::shared_ptr<const Table> dropped;
    absl::MutexLock lock(&mutex_);
    const auto found = index_.find(number);
    if (found == index_.end()) {
        return;
    }
    dropped = std::move(found->second->table);
    memory_bytes_ -= dropped->memory_bytes();
    entries_.erase(found->second);
    index_.erase(found);
}

uint64_t TableCache::memory_bytes() const {
    absl::MutexLock lock(&mutex_);
    return memory_bytes_;
}

}  // namespace starling::storage::lsm
