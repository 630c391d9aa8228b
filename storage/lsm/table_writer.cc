#include "storage/lsm/table_writer.h"

#include <utility>

#include "base/planted.h"
#include "base/status_macros.h"
#include "storage/lsm/file_names.h"

namespace starling::storage::lsm {

namespace {

class TableWriter {
  public:
    TableWriter(env::FileSystem& files, TableWriterOptions options)
        : files_(files), options_(std::move(options)), garbage_(options_.snapshots) {}

    absl::Status run(InternalIterator& entries) {
        for (entries.seek_to_first(); entries.valid(); entries.next()) {
            if (options_.should_stop()) {
                return absl::CancelledError("the engine is closing");
            }
            STARLING_RETURN_IF_ERROR(add(entries.key(), entries.value()));
        }
        STARLING_RETURN_IF_ERROR(entries.status());
        STARLING_RETURN_IF_ERROR(finish_table());
        if (tables_.empty() || STARLING_PLANTED(missing_directory_sync)) {
            return absl::OkStatus();
        }
        return files_.sync_directory(options_.directory);
    }

    void remove_tables() {
        builder_.reset();
        for (const TableMetadata& table : tables_) {
            files_.remove(table_path(options_.directory, table.number)).IgnoreError();
        }
    }

    std::vector<TableMetadata> take_tables() { return std::move(tables_); }

  private:
    absl::Status add(std::string_view key, std::string_view value) {
        const bool begins_key = garbage_.begins_key(key);
        if (garbage_.drop(key, options_.is_bottom)) {
            return absl::OkStatus();
        }
        const bool full = builder_ != nullptr && options_.table_bytes_max > 0 &&
                          builder_->file_bytes() >= options_.table_bytes_max;
        // All entries of a key stay in one table.
        if (full && (begins_key || user_key_of(key) != last_user_key_)) {
            STARLING_RETURN_IF_ERROR(finish_table());
        }
        if (builder_ == nullptr) {
            STARLING_ASSIGN_OR_RETURN(
                builder_,
                TableBuilder::create(
                    files_, options_.directory, options_.next_file_number(), options_.engine));
        }
        last_user_key_.assign(user_key_of(key));
        return builder_->add(key, value);
    }

    absl::Status finish_table() {
        if (builder_ == nullptr) {
            return absl::OkStatus();
        }
        STARLING_ASSIGN_OR_RETURN(TableMetadata table, builder_->finish());
        tables_.push_back(std::move(table));
        builder_.reset();
        return absl::OkStatus();
    }

    env::FileSystem& files_;
    const TableWriterOptions options_;
    GarbageFilter garbage_;
    std::unique_ptr<TableBuilder> builder_;
    std::vector<TableMetadata> tables_;
    // Of the last entry that was kept.
    std::string last_user_key_;
};

}  // namespace

absl::StatusOr<std::vector<TableMetadata>> write_tables(env::FileSystem& files,
                                                        InternalIterator& entries,
                                                        TableWriterOptions options) {
    TableWriter writer(files, std::move(options));
    if (absl::Status status = writer.run(entries); !status.ok()) {
        writer.remove_tables();
        return status;
    }
    return writer.take_tables();
}

}  // namespace starling::storage::lsm
