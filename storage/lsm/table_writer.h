#pragma once

// Turns a stream of entries into tables of a stated size, without what nobody sees any more. Flush,
// recovery and compaction write all their tables through it.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
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
    // Null: none of what is written goes into the cache.
    WarmBlocks* warm = nullptr;
    // Past the system's cache of pages.
    bool is_streamed = false;
    // Asked between entries; true ends the work with `cancelled`.
    std::function<bool()> should_stop;
};

struct WrittenTables {
    std::vector<TableMetadata> tables;
    std::vector<ValueFileMetadata> value_files;
    // The latest expiry that was taken for passed; 0: none was.
    Expiry expired_until = 0;
};

// In steps, between which it holds no thread. Not thread-safe.
class TableWriter {
  public:
    TableWriter(env::FileSystem& files, TableWriterOptions options);

    // Reads on in `entries`, the same in each call, until their end or until `should_pause` says
    // so, which is asked after each entry. True: at the end; the tables are synced, and so is the
    // directory. After an error the only thing left to do is remove().
    absl::StatusOr<bool> run(InternalIterator& entries, absl::FunctionRef<bool()> should_pause);
    // What was written so far, as far as that can be removed.
    void remove();
    // REQUIRES: run() was true.
    WrittenTables take() { return std::move(written_); }

    uint64_t entries_read() const { return entries_read_; }
    // Of tables and value files.
    uint64_t written_bytes() const;

  private:
    bool has_expired(std::string_view key, std::string_view stored);
    bool crosses_bound(std::string_view user_key) const;
    absl::Status take_entry(std::string_view key, std::string_view value);
    absl::Status add(std::string_view key, std::string_view value);
    absl::Status add_to_table(std::string_view key, std::string_view stored);
    absl::Status add_apart(std::string_view key, std::string_view value, Expiry expiry);
    absl::Status add_as(ChangeKind kind, std::string_view key, std::string_view stored);
    bool leaves(uint64_t value_file) const;
    absl::Status finish();
    absl::Status finish_value_file();
    absl::Status finish_table();

    env::FileSystem& files_;
    const TableWriterOptions options_;
    GarbageFilter garbage_;
    bool begun_ = false;
    uint64_t entries_read_ = 0;
    // Of files that are complete.
    uint64_t finished_bytes_ = 0;
    std::unique_ptr<TableBuilder> builder_;
    WrittenTables written_;
    std::unique_ptr<ValueFileWriter> value_writer_;
    // The removal that an expired entry becomes.
    std::string removal_;
    std::string changed_key_;
    std::string settled_key_;
    // Of the last entry that was kept.
    std::string last_user_key_;
};

// All of it in one step. After an error no table is left, but where removing fails too.
absl::StatusOr<WrittenTables> write_tables(env::FileSystem& files,
                                           InternalIterator& entries,
                                           TableWriterOptions options);

}  // namespace starling::storage::lsm
