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
#include "storage/lsm/table_index.h"
#include "storage/lsm/table_metadata.h"

namespace starling::storage::lsm {

// A key on its way through the sources, with what each of them would otherwise compute again.
// Borrows the key.
struct LookupKey {
    LookupKey(std::string_view key, Sequence sequence);

    const std::string_view user_key;
    // Orders before all entries of the key that a reader at the sequence may see.
    const uint64_t tag;
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

// The blocks that an iterator came through: found in the cache, and read from the file.
struct ReadTally {
    uint64_t found = 0;
    uint64_t read = 0;
};

enum class FileReads {
    // Through the system's cache of pages.
    cached,
    // get() past it.
    direct,
    // As `cached`, but what it holds of the file is dropped first: for who asks what the disk says.
    anew,
};

class Table {
  public:
    // data_loss: missing, or not the table that `metadata` describes.
    static absl::StatusOr<std::shared_ptr<const Table>> open(env::FileSystem& files,
                                                             const std::string& directory,
                                                             const TableMetadata& metadata,
                                                             BlockCache& cache,
                                                             FileReads reads = FileReads::cached);

    // The newest change of the key that the lookup may see; false: none.
    absl::StatusOr<bool> get(const LookupKey& key, ReadMode mode, FoundEntry& found) const;

    // Where in the file the key would be.
    uint64_t approximate_offset(std::string_view user_key) const;

    // For who goes through the file itself: its blocks, in the order of their keys.
    size_t block_count() const { return index_.block_count(); }
    uint64_t block_offset(size_t index) const { return index_.handle(index).offset; }
    // On the disk.
    uint64_t block_bytes(size_t index) const { return index_.handle(index).size; }
    // The internal key that block `index` ends with.
    std::string_view last_key(size_t index) const { return index_.last_key(index); }
    // Past the cache. data_loss, naming file and offset.
    absl::StatusOr<BlockPtr> read_from_file(size_t index) const;

    // Takes its blocks out of the cache: nobody reads them any more.
    void forget_blocks() const;

    uint64_t memory_bytes() const { return index_.memory_bytes() + filter_.capacity(); }

  private:
    friend class TableIterator;

    Table(std::unique_ptr<env::RandomAccessFile> file,
          std::unique_ptr<env::RandomAccessFile> direct_file,
          std::string path,
          uint64_t number,
          TableIndex index,
          std::string filter,
          BlockCache& cache);

    // The block with this place in the index.
    absl::StatusOr<BlockPtr> read(const env::RandomAccessFile& file,
                                  size_t index,
                                  ReadMode mode,
                                  ReadTally* tally = nullptr) const;

    const std::unique_ptr<env::RandomAccessFile> file_;
    // Null: single keys are read like all else.
    const std::unique_ptr<env::RandomAccessFile> direct_file_;
    const std::string path_;
    const uint64_t number_;
    const TableIndex index_;
    const std::string filter_;
    BlockCache& cache_;
};

// A place in the index of a table, and an iterator over the block there.
class TableIterator final : public InternalIterator {
  public:
    // REQUIRES: reset() before anything else. `tally` may be null. `upper` (empty: none): on the
    // way forward a block that cannot be read is passed over when its kind lies behind this user
    // key; for tables whose kinds are apart.
    TableIterator(ReadMode mode, ReadTally* tally, std::string upper = {})
        : mode_(mode), tally_(tally), upper_(std::move(upper)) {}

    // Goes on to another table, which it shares; not valid before a seek.
    // `file`: read before the table's own, unless null.
    void reset(std::shared_ptr<const Table> table,
               std::unique_ptr<env::RandomAccessFile> file = nullptr);

    bool valid() const override { return block_.valid(); }
    void seek_to_first() override;
    void seek_to_last() override;
    void seek(std::string_view internal_key) override;
    void next() override {
        block_.next();
        if (!block_.valid()) [[unlikely]] {
            enter_next();
        }
    }
    void previous() override {
        block_.previous();
        if (!block_.valid()) [[unlikely]] {
            enter_previous();
        }
    }
    std::string_view key() const override { return block_.key(); }
    std::string_view value() const override { return block_.value(); }
    absl::Status status() const override { return status_; }
    // Not OK: it ended before a block that it passed over, for want of it.
    const absl::Status& passed_over() const { return passed_over_; }

  private:
    enum class Way : uint8_t { forward, backward };

    // An index beyond the ends (also by wrapping around) leaves no block.
    bool enter(size_t index, Way way);
    bool lies_behind(size_t index) const;
    void enter_next();
    void enter_previous();

    const ReadMode mode_;
    ReadTally* const tally_;
    const std::string upper_;
    std::shared_ptr<const Table> table_;
    std::unique_ptr<env::RandomAccessFile> file_;
    size_t index_ = 0;
    BlockIterator block_;
    absl::Status status_;
    absl::Status passed_over_;
};

}  // namespace starling::storage::lsm
