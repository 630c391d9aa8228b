#include "storage/lsm/table_writer.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/mark.h"
#include "base/planted.h"
#include "base/status_macros.h"
#include "storage/lsm/file_names.h"
#include "storage/lsm/stored_value.h"

namespace starling::storage::lsm {

namespace {

TableWriterOptions with_border(TableWriterOptions options) {
    if (const std::string& border = options.engine.table_border; !border.empty()) {
        const auto place = std::lower_bound(options.bounds.begin(), options.bounds.end(), border);
        options.bounds.insert(place, border);
    }
    return options;
}

}  // namespace

TableWriter::TableWriter(env::FileSystem& files, TableWriterOptions options)
    : files_(files),
      options_(with_border(std::move(options))),
      garbage_(options_.snapshots, *options_.range_removals) {}

absl::StatusOr<bool> TableWriter::run(InternalIterator& entries,
                                      absl::FunctionRef<bool()> should_pause) {
    if (!begun_) {
        entries.seek_to_first();
        begun_ = true;
    }
    while (entries.valid()) {
        if (options_.should_stop()) {
            STARLING_MARK(table_writing_cancelled);
            return absl::CancelledError("the engine is closing");
        }
        STARLING_RETURN_IF_ERROR(take_entry(entries.key(), entries.value()));
        ++entries_read_;
        entries.next();
        if (entries.valid() && should_pause()) {
            return false;
        }
    }
    if (!STARLING_PLANTED(compaction_ends_at_damage)) {
        STARLING_RETURN_IF_ERROR(entries.status());
    }
    STARLING_RETURN_IF_ERROR(finish());
    return true;
}

void TableWriter::remove() {
    builder_.reset();
    value_writer_.reset();
    for (const ValueFileMetadata& file : written_.value_files) {
        files_.remove(value_file_path(options_.directory, file.number)).IgnoreError();
    }
    for (const TableMetadata& table : written_.tables) {
        files_.remove(table_path(options_.directory, table.number)).IgnoreError();
    }
}

uint64_t TableWriter::written_bytes() const {
    return finished_bytes_ + (builder_ != nullptr ? builder_->file_bytes() : 0) +
           (value_writer_ != nullptr ? value_writer_->file_bytes() : 0);
}

absl::Status TableWriter::take_entry(std::string_view key, std::string_view value) {
    if (!has_expired(key, value)) {
        return add(key, value);
    }
    removal_.assign(user_key_of(key));
    append_tag(removal_, make_tag(sequence_of_tag(tag_of(key)), ChangeKind::remove));
    return add(removal_, {});
}

bool TableWriter::has_expired(std::string_view key, std::string_view stored) {
    const ChangeKind kind = kind_of_tag(tag_of(key));
    if (kind == ChangeKind::put || kind == ChangeKind::remove) [[likely]] {
        return false;
    }
    const auto value = view_value(kind, stored);
    if (!value.has_value() || value->expiry == never || value->expiry > options_.now) {
        return false;
    }
    written_.expired_until = std::max(written_.expired_until, value->expiry);
    return true;
}

// Whether a bound lies after the last key that was kept, up to this one.
bool TableWriter::crosses_bound(std::string_view user_key) const {
    if (options_.bounds.empty()) {
        return false;
    }
    const auto bound =
        std::upper_bound(options_.bounds.begin(), options_.bounds.end(), last_user_key_);
    return bound != options_.bounds.end() && *bound <= user_key;
}

absl::Status TableWriter::add(std::string_view key, std::string_view value) {
    const bool begins_key = garbage_.begins_key(key);
    if (garbage_.drop(key, options_.is_bottom)) {
        return absl::OkStatus();
    }
    const bool full =
        builder_ != nullptr &&
        ((options_.table_bytes_max > 0 && builder_->file_bytes() >= options_.table_bytes_max) ||
         crosses_bound(user_key_of(key)));
    // All entries of a key stay in one table.
    if (full && (begins_key || user_key_of(key) != last_user_key_)) {
        STARLING_MARK(table_full);
        STARLING_RETURN_IF_ERROR(finish_table());
    }
    if (builder_ == nullptr) {
        STARLING_ASSIGN_OR_RETURN(builder_,
                                  TableBuilder::create(files_,
                                                       options_.directory,
                                                       options_.next_file_number(),
                                                       options_.engine,
                                                       options_.warm,
                                                       options_.is_streamed));
    }
    last_user_key_.assign(user_key_of(key));
    if (!garbage_.is_settled(options_.is_bottom)) {
        return add_to_table(key, value);
    }
    // Zeros compress, and sequences do not.
    settled_key_.assign(last_user_key_);
    append_tag(settled_key_, make_tag(0, kind_of_tag(tag_of(key))));
    return add_to_table(settled_key_, value);
}

// Decides whether the value lies in the table or apart.
absl::Status TableWriter::add_to_table(std::string_view key, std::string_view stored) {
    const ChangeKind kind = kind_of_tag(tag_of(key));
    const uint64_t threshold = options_.engine.separate_value_bytes;
    if (kind == ChangeKind::put_separate) {
        const auto pointer = decode_value_pointer(stored);
        if (!pointer.has_value() || !leaves(pointer->file)) {
            return builder_->add(key, stored);
        }
        STARLING_CHECK(options_.values != nullptr);
        STARLING_ASSIGN_OR_RETURN(const std::string value, options_.values->read(*pointer));
        if (threshold > 0 && value.size() >= threshold) {
            return add_apart(key, value, pointer->expiry);
        }
        return pointer->expiry == never
                   ? add_as(ChangeKind::put, key, value)
                   : add_as(ChangeKind::put_expiring, key, with_expiry(value, pointer->expiry));
    }
    if (threshold == 0 || stored.size() < threshold || kind == ChangeKind::remove) [[likely]] {
        return builder_->add(key, stored);
    }
    const auto value = view_value(kind, stored);
    if (!value.has_value() || value->value.size() < threshold) {
        return builder_->add(key, stored);
    }
    return add_apart(key, value->value, value->expiry);
}

absl::Status TableWriter::add_apart(std::string_view key, std::string_view value, Expiry expiry) {
    if (value_writer_ == nullptr) {
        STARLING_ASSIGN_OR_RETURN(
            value_writer_,
            ValueFileWriter::create(files_, options_.directory, options_.next_file_number()));
    }
    STARLING_ASSIGN_OR_RETURN(const ValuePointer pointer, value_writer_->append(value, expiry));
    STARLING_RETURN_IF_ERROR(add_as(ChangeKind::put_separate, key, encode_value_pointer(pointer)));
    return value_writer_->file_bytes() >= options_.engine.value_file_bytes ? finish_value_file()
                                                                           : absl::OkStatus();
}

absl::Status TableWriter::add_as(ChangeKind kind, std::string_view key, std::string_view stored) {
    changed_key_.assign(user_key_of(key));
    append_tag(changed_key_, make_tag(sequence_of_tag(tag_of(key)), kind));
    return builder_->add(changed_key_, stored);
}

bool TableWriter::leaves(uint64_t value_file) const {
    return std::find(options_.value_files_to_leave.begin(),
                     options_.value_files_to_leave.end(),
                     value_file) != options_.value_files_to_leave.end();
}

absl::Status TableWriter::finish() {
    STARLING_RETURN_IF_ERROR(finish_table());
    STARLING_RETURN_IF_ERROR(finish_value_file());
    if (written_.tables.empty() || STARLING_PLANTED(missing_directory_sync)) {
        return absl::OkStatus();
    }
    return files_.sync_directory(options_.directory);
}

absl::Status TableWriter::finish_value_file() {
    if (value_writer_ == nullptr) {
        return absl::OkStatus();
    }
    STARLING_ASSIGN_OR_RETURN(const ValueFileMetadata file, value_writer_->finish());
    finished_bytes_ += file.file_bytes;
    written_.value_files.push_back(file);
    value_writer_.reset();
    return absl::OkStatus();
}

absl::Status TableWriter::finish_table() {
    if (builder_ == nullptr) {
        return absl::OkStatus();
    }
    STARLING_ASSIGN_OR_RETURN(TableMetadata table, builder_->finish());
    finished_bytes_ += table.file_bytes;
    written_.tables.push_back(std::move(table));
    builder_.reset();
    return absl::OkStatus();
}

absl::StatusOr<WrittenTables> write_tables(env::FileSystem& files,
                                           InternalIterator& entries,
                                           TableWriterOptions options) {
    TableWriter writer(files, std::move(options));
    const auto done = writer.run(entries, [] { return false; });
    if (!done.ok()) {
        writer.remove();
        return done.status();
    }
    return writer.take();
}

}  // namespace starling::storage::lsm
