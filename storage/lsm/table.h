#pragma once

// An open table file: index and filter in memory, blocks through the cache. Never changes; any
// number of threads read it. The cache and the file system must outlive it.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "env/file_system.h"
#include "storage/lsm/block.h"
#include "storage/lsm/block_cache.h"
#include "storage/lsm/internal_iterator.h"
#include "storage/lsm/stored_value.h"
#include "storage/lsm/table_format.h"
#include "storage/lsm/table_metadata.h"

namespace starling::storage::lsm {

// A key on its way through the sources, with what each of them would otherwise compute again.
struct LookupKey {
    LookupKey(std::string_view user_key, Sequence sequence);

    std::string_view user_key() const { return user_key_of(internal_key); }

    const std::string internal_key;
    const uint64_t hash;
};

enum class ReadMode {
    // Reads the disk and keeps what it read in the cache.
    cached,
    // Reads the disk and leaves the cache alone: for passes over everything.
    once,
    // `unavailable` instead of reading the disk.
    memory_only,
};

class Table : public std::enable_shared_from_this<Table> {
  public:
    // data_loss: not the table that `metadata` describes.
    static absl::StatusOr<std::shared_ptr<const Table>> open(env::FileSystem& files,
                                                             const std::string& directory,
                                                             const TableMetadata& metadata,
                                                             BlockCache& cache);

    // The newest change of the key that the lookup may see; false: none.
    absl::StatusOr<bool> get(const LookupKey& key, ReadMode mode, FoundEntry& found) const;
    // Shares the table.
    std::unique_ptr<InternalIterator> new_iterator(ReadMode mode) const;

    // Where in the file the key would be.
    uint64_t approximate_offset(std::string_view user_key) const;

    uint64_t memory_bytes() const { return index_->memory_bytes() + filter_.capacity(); }

  private:
    friend class TableIterator;

    Table(std::unique_ptr<env::RandomAccessFile> file,
          std::string path,
          uint64_t number,
          std::shared_ptr<const Block> index,
          std::string filter,
          BlockCache& cache);

    absl::StatusOr<std::shared_ptr<const Block>> read(std::string_view handle_bytes,
                                                      ReadMode mode) const;

    const std::unique_ptr<env::RandomAccessFile> file_;
    const std::string path_;
    const uint64_t number_;
    const std::shared_ptr<const Block> index_;
    const std::string filter_;
    BlockCache& cache_;
};

}  // namespace starling::storage::lsm
