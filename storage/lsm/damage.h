#pragma once

// What of a version's files cannot be read any more, and how the version is made to do without it.
// Files are read from the disk, past both caches, which would go on to show what was there before.
//
// 1. A table whose file is missing or has another size, or whose footer, index or filter is
// damaged, is lost with all its keys.
// 2. A damaged block takes along the keys behind the last one of the block before it, which is
// among them, since it may go on there, up to its own last key; where kinds lie apart, those of its
// own kind alone.
// 3. An entry is lost when the value file it points into is missing or has another size, or its
// record there is damaged, or it is not what its kind says.
//
// What is lost may have hidden older entries, which are in effect again once it is given up.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "env/file_system.h"
#include "storage/engine.h"
#include "storage/lsm/compaction_picker.h"
#include "storage/lsm/table_cache.h"
#include "storage/lsm/value_file.h"
#include "storage/lsm/version.h"

namespace starling::storage::lsm {

class Damage {
  public:
    bool empty() const { return parts_.empty(); }
    // data_loss, naming file and offset. REQUIRES: not empty.
    const absl::Status& first_error() const { return parts_.front().error; }
    // Where keys cannot be read; united.
    std::vector<KeyRange> ranges() const;
    // data_loss, naming file and offset: there is more of it than in `ranges`.
    absl::Status check_within(std::span<const KeyRange> ranges) const;

    // Whether something of the table cannot be read, or all of it.
    bool meets(const TableMetadata& table) const { return tables_.contains(table.number); }
    bool takes_all_of(const TableMetadata& table) const {
        return lost_tables_.contains(table.number);
    }
    bool takes_block(const TableMetadata& table, uint64_t offset) const {
        return lost_blocks_.contains({table.number, offset});
    }
    bool takes_entry(std::string_view internal_key, std::string_view stored) const;

    void lose_table(const TableMetadata& table, absl::Status error);
    void lose_block(const TableMetadata& table, uint64_t offset, KeyRange keys, absl::Status error);
    // `pointer`: where the value should be; nullopt: the entry is not what its kind says.
    void lose_entry(const TableMetadata& table,
                    std::string_view user_key,
                    const std::optional<ValuePointer>& pointer,
                    absl::Status error);

  private:
    // Number of a file, and an offset in it.
    using Place = std::pair<uint64_t, uint64_t>;
    struct Part {
        KeyRange keys;
        absl::Status error;
    };

    std::vector<Part> parts_;
    absl::flat_hash_set<uint64_t> tables_;
    absl::flat_hash_set<uint64_t> lost_tables_;
    absl::flat_hash_set<Place> lost_blocks_;
    absl::flat_hash_set<Place> lost_values_;
};

// Looks at the tables of a version, one after the other, past the caches of the engine and, but for
// value files, of the system. Everything is borrowed. Errors that are no damage are returned as
// they are, after all that the call is about was looked at. cancelled: `should_stop` said so, which
// is asked before each read.
class DamageSearch {
  public:
    DamageSearch(env::FileSystem& files,
                 const std::string& directory,
                 TableCache& tables,
                 const Version& version,
                 absl::FunctionRef<bool()> should_stop);

    // Null: it is lost.
    absl::StatusOr<std::shared_ptr<const Table>> open(const TableMetadata& table);
    // Reads a block, and the values that it points to; how many bytes that were on the disk.
    absl::StatusOr<uint64_t> check_block(const TableMetadata& table,
                                         const Table& opened,
                                         size_t index);
    // What was found.
    const Damage& damage() const { return damage_; }
    Damage take() { return std::move(damage_); }

  private:
    absl::StatusOr<uint64_t> check_entries(const TableMetadata& table, const BlockPtr& block);
    absl::Status check_value(const ValuePointer& pointer);
    absl::Status check_value_file(uint64_t number);
    absl::Status admit_read() const;

    env::FileSystem& files_;
    const std::string& directory_;
    TableCache& tables_;
    const Version& version_;
    const absl::FunctionRef<bool()> should_stop_;
    // Opened anew.
    ValueFiles values_;
    // Of value files that were looked at: data_loss where they are missing or have another size.
    absl::flat_hash_map<uint64_t, absl::Status> value_files_;
    Damage damage_;
};

// Reads all tables, and all values that they point to. Errors as of DamageSearch.
absl::StatusOr<Damage> find_damage(env::FileSystem& files,
                                   const std::string& directory,
                                   TableCache& tables,
                                   const Version& version,
                                   absl::FunctionRef<bool()> should_stop);

// The next compaction of those that take damage out of the version, each of which is complete in
// itself; nullopt: there is none left in it. Its inputs cannot all be read: see
// new_salvage_iterator().
std::optional<Compaction> pick_repair(const Version& version, const Damage& damage);

}  // namespace starling::storage::lsm
