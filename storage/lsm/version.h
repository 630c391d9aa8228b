#pragma once

// Which tables make up the database at one moment. A version never changes; readers hold one by
// shared_ptr for as long as they need its files, and a table is removed only when no version names
// it.
//
// 1. Tables of level 0 may overlap; a higher number is newer in all its entries.
// 2. Tables of each further level are sorted and share no user key: all entries of a key in a level
// are in
//    one table.
// 3. For one user key everything in level n is newer than everything in level n+1.

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "storage/lsm/file_names.h"
#include "storage/lsm/internal_iterator.h"
#include "storage/lsm/key_fences.h"
#include "storage/lsm/table.h"
#include "storage/lsm/table_cache.h"
#include "storage/lsm/version_edit.h"

namespace starling::storage::lsm {

using TablePtr = std::shared_ptr<const TableMetadata>;
using TableList = std::vector<TablePtr>;

class Version {
  public:
    // Level 0 is ordered newest first, the others by key.
    const TableList& level(size_t level) const { return levels_[level]; }
    uint64_t level_bytes(size_t level) const;
    uint64_t table_bytes() const;
    // Each is pointed into by some table.
    struct ValueFile {
        uint64_t number = 0;
        uint64_t file_bytes = 0;
        // Of the records that tables point to.
        uint64_t live_bytes = 0;
    };
    // Ascending by number.
    const std::vector<ValueFile>& value_files() const { return value_files_; }
    bool names_file(FileKind kind, uint64_t number) const;
    // Of flushed memtables; some table may still hold older entries of each range.
    const RangeRemovals& range_removals() const { return *range_removals_; }
    std::shared_ptr<const RangeRemovals> shared_range_removals() const { return range_removals_; }
    Expiry expired_until() const { return expired_until_; }

    // data_loss: the edit does not fit this version, or breaks an invariant.
    absl::StatusOr<std::shared_ptr<const Version>> apply(const VersionEdit& edit) const;
    // Adds all tables to `edit`.
    void describe(VersionEdit& edit) const;

    // The newest change of the key in the tables; false: none.
    absl::StatusOr<bool> get(TableCache& tables,
                             const LookupKey& key,
                             ReadMode mode,
                             FoundEntry& found) const;

    // As Engine's, of tables and what they point to.
    uint64_t approximate_bytes(TableCache& tables,
                               std::string_view begin,
                               std::string_view end) const;

    // One iterator per table of level 0, one per further level. The version must outlive them.
    // `upper`: see TableIterator.
    void add_iterators(TableCache& tables,
                       std::string_view upper,
                       std::vector<std::unique_ptr<InternalIterator>>& iterators) const;

    // Whether a table of a sorted level may hold the key.
    bool covers(size_t level, std::string_view user_key) const;
    // The tables of a level that share user keys with [first, last].
    TableList overlapping(size_t level, std::string_view first, std::string_view last) const;

  private:
    absl::Status count_value_files(const VersionEdit& edit);
    // The table of a sorted level that may hold the key; null: none.
    const TableMetadata* table_of(size_t level, std::string_view user_key) const;

    std::array<TableList, level_count> levels_;
    // Of the sorted levels: the last user keys of their tables.
    std::array<KeyFences, level_count> last_keys_;
    std::vector<ValueFile> value_files_;
    // Shared among versions, since few edits change it.
    std::shared_ptr<const RangeRemovals> range_removals_ = std::make_shared<RangeRemovals>();
    Expiry expired_until_ = 0;
};

// Over sorted tables without overlap, each opened when it is reached. What `tables` points to must
// outlive it.
std::unique_ptr<InternalIterator> new_level_iterator(TableCache& cache,
                                                     std::span<const TablePtr> tables,
                                                     std::string_view upper = {});

// The same for one pass from the beginning to the end, which leaves the cache of blocks as it is.
// `piece_bytes`: in which it reads the files (env::FileSystem::open_streamed); 0: block by block.
// `tally` must outlive it.
std::unique_ptr<InternalIterator> new_pass_iterator(TableCache& cache,
                                                    std::span<const TablePtr> tables,
                                                    ReadTally& tally,
                                                    size_t piece_bytes);

}  // namespace starling::storage::lsm
