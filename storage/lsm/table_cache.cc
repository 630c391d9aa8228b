#include "storage/lsm/table_cache.h"

#include <algorithm>
#include <utility>

#include "base/status_macros.h"
#include "storage/lsm/file_names.h"

namespace starling::storage::lsm {

namespace {

// Each takes a descriptor, or two.
size_t tables_max(const EngineOptions& options) {
    return options.direct_reads ? std::max(options.open_tables_max / 2, 1u)
                                : options.open_tables_max;
}

}  // namespace

TableCache::TableCache(env::FileSystem& files,
                       std::string directory,
                       BlockCache& blocks,
                       const EngineOptions& options)
    : files_(files),
      directory_(std::move(directory)),
      reads_(options.direct_reads ? FileReads::direct : FileReads::cached),
      kinds_apart_(options.kinds_apart),
      blocks_(blocks),
      tables_(tables_max(options), tables_max(options)) {}

absl::StatusOr<std::shared_ptr<const Table>> TableCache::find(const TableMetadata& metadata,
                                                              ReadMode mode) {
    TablePointer table;
    if (tables_.with({.first = metadata.number}, [&](const TablePointer& open) { table = open; })) {
        return table;
    }
    return open(metadata, mode);
}

absl::StatusOr<bool> TableCache::get(const TableMetadata& metadata,
                                     const LookupKey& key,
                                     ReadMode mode,
                                     FoundEntry& found) {
    absl::StatusOr<bool> present = false;
    if (tables_.with({.first = metadata.number},
                     [&](const TablePointer& open) { present = open->get(key, mode, found); })) {
        return present;
    }
    STARLING_ASSIGN_OR_RETURN(const TablePointer table, open(metadata, mode));
    return table->get(key, mode, found);
}

absl::StatusOr<TableCache::TablePointer> TableCache::open(const TableMetadata& metadata,
                                                          ReadMode mode) {
    if (mode == ReadMode::memory_only) {
        return absl::UnavailableError("not in memory");
    }
    // Two threads may open one table at the same time; the second copy then goes away.
    STARLING_ASSIGN_OR_RETURN(auto table,
                              Table::open(files_, directory_, metadata, blocks_, reads_));
    tables_.insert({.first = metadata.number}, table);
    return table;
}

absl::StatusOr<std::shared_ptr<const Table>> TableCache::open_anew(const TableMetadata& metadata) {
    return Table::open(files_, directory_, metadata, blocks_, FileReads::anew);
}

std::unique_ptr<env::RandomAccessFile> TableCache::open_for_pass(const TableMetadata& metadata,
                                                                 size_t piece_bytes) {
    auto file = files_.open_streamed(table_path(directory_, metadata.number), piece_bytes);
    return file.ok() ? *std::move(file) : nullptr;
}

void TableCache::forget(uint64_t number) {
    TablePointer table;
    if (tables_.with({.first = number}, [&](const TablePointer& open) { table = open; })) {
        table->forget_blocks();
    }
    tables_.forget({.first = number});
}

uint64_t TableCache::memory_bytes() const {
    uint64_t bytes = 0;
    tables_.for_each([&](const TablePointer& table) { bytes += table->memory_bytes(); });
    return bytes;
}

}  // namespace starling::storage::lsm
