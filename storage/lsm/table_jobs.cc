#include "storage/lsm/table_jobs.h"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "base/mark.h"
#include "base/status_macros.h"
#include "storage/lsm/file_names.h"
#include "storage/lsm/merging_iterator.h"
#include "storage/lsm/salvage_iterator.h"

namespace starling::storage::lsm {

namespace {

// Merges read their inputs in such pieces, each while the one before it is merged: of a sorted
// level so much that the disk has the time for it; less of tables that are many, and merged in
// turns.
constexpr size_t sorted_level_piece_bytes = 256u << 10;
constexpr size_t level_0_piece_bytes = 64u << 10;

// One look of a reader for so many blocks that a job writes, and more, show that there are readers.
constexpr uint64_t lookups_per_blocks = 16;

}  // namespace

uint64_t TableJobs::Merge::traffic_bytes() const {
    const double part =
        static_cast<double>(writer_->entries_read()) / static_cast<double>(entry_count_);
    return writer_->written_bytes() +
           static_cast<uint64_t>(static_cast<double>(compaction_.input_bytes()) * part);
}

TableJobs::TableJobs(std::string directory,
                     const EngineOptions& options,
                     Parts parts,
                     std::function<bool()> should_stop)
    : directory_(std::move(directory)),
      options_(options),
      parts_(parts),
      should_stop_(std::move(should_stop)) {}

absl::Status TableJobs::flush_oldest() {
    const auto view = parts_.view.get();
    if (view->immutable.empty()) {
        return absl::OkStatus();
    }
    const std::shared_ptr<Memtable>& memtable = view->immutable.back();
    const Memtable& next =
        view->immutable.size() > 1 ? *view->immutable[view->immutable.size() - 2] : *view->active;
    // First: with a manifest that is begun anew what earlier tries have left goes, which makes
    // room.
    STARLING_RETURN_IF_ERROR(parts_.catalog.settle());
    STARLING_RETURN_IF_ERROR(check_space(memtable->used_bytes()));
    TableWriterOptions writer = writer_options();
    writer.is_bottom = [](std::string_view) { return false; };
    // close() flushes after the gate is shut; a flush is short enough to be always finished.
    writer.should_stop = [] { return false; };
    const auto entries = memtable->new_iterator();
    // Were more blocks found in the cache since the last flush than this one writes?
    BlockCache& cache = parts_.tables.blocks();
    const uint64_t hits = cache.hits();
    WarmBlocks warm(cache, hits - hits_at_flush_ > memtable->used_bytes() / options_.block_bytes);
    hits_at_flush_ = hits;
    writer.warm = &warm;
    writer.is_streamed = !has_readers(memtable->used_bytes(), lookups_at_flush_);
    STARLING_ASSIGN_OR_RETURN(WrittenTables written,
                              write_tables(parts_.files, *entries, std::move(writer)));
    note_written(0, written);
    VersionEdit edit;
    for (TableMetadata& table : written.tables) {
        edit.added.push_back({.level = 0, .table = std::move(table)});
    }
    edit.value_files = std::move(written.value_files);
    edit.range_removals = memtable->range_removals();
    // The manifest will name the log that follows, so it has to be there.
    absl::Status status = parts_.log.make_files();
    if (status.ok()) {
        edit.log = LogStart{.number = next.log_number(),
                            .position = parts_.log.position_of(next.log_number()),
                            .flushed = memtable->last_sequence()};
        status = commit(edit);
    } else {
        STARLING_MARK(flush_finds_no_next_log);
        retire_new_files(edit);
    }
    STARLING_RETURN_IF_ERROR(status);
    parts_.view.flushed([this] { return parts_.catalog.version(); });
    parts_.log.forget_before(next.log_number());
    parts_.catalog.retire_log(memtable->log_number());
    flush_count_.fetch_add(1, std::memory_order_relaxed);
    return absl::OkStatus();
}

// What readers come back to is left in the system's cache of pages, where they find what does not
// fit into ours. Without them, pages cost more than the disk does.
bool TableJobs::has_readers(uint64_t bytes, uint64_t& lookups_before) {
    const BlockCache& cache = parts_.tables.blocks();
    const uint64_t lookups = cache.hits() + cache.misses();
    const uint64_t blocks = bytes / options_.block_bytes;
    return lookups - std::exchange(lookups_before, lookups) > blocks / lookups_per_blocks;
}

absl::Status TableJobs::move(const Compaction& compaction) {
    STARLING_RETURN_IF_ERROR(parts_.catalog.settle());
    VersionEdit edit;
    for (const TablePtr& table : compaction.upper) {
        edit.added.push_back({.level = compaction.output_level, .table = *table});
    }
    return replace(compaction, std::move(edit));
}

absl::StatusOr<std::unique_ptr<TableJobs::Merge>> TableJobs::begin_merge(Compaction compaction,
                                                                         const Damage* given_up) {
    STARLING_RETURN_IF_ERROR(parts_.catalog.settle());
    STARLING_RETURN_IF_ERROR(check_space(compaction.input_bytes()));
    std::unique_ptr<Merge> merge(new Merge(parts_.tables.blocks()));
    merge->compaction_ = std::move(compaction);
    merge->begin_ = parts_.clock.now();
    merge->version_ = parts_.catalog.version();
    const Compaction& inputs = merge->compaction_;
    for (const TableList* tables : {&inputs.upper, &inputs.lower}) {
        for (const TablePtr& table : *tables) {
            merge->entry_count_ += table->entry_count;
        }
    }
    const bool is_streamed = !has_readers(inputs.input_bytes(), lookups_at_merge_);
    const auto entries_of = [&](std::span<const TablePtr> tables, size_t piece_bytes) {
        return given_up == nullptr ? new_pass_iterator(parts_.tables,
                                                       tables,
                                                       merge->warm_.inputs(),
                                                       is_streamed ? piece_bytes : 0)
                                   : new_salvage_iterator(parts_.tables, tables, *given_up);
    };
    std::vector<std::unique_ptr<InternalIterator>> sources;
    const std::span<const TablePtr> upper(inputs.upper);
    if (inputs.level == 0) {
        // They overlap.
        for (size_t i = 0; i < upper.size(); ++i) {
            sources.push_back(entries_of(upper.subspan(i, 1), level_0_piece_bytes));
        }
    } else {
        sources.push_back(entries_of(upper, sorted_level_piece_bytes));
    }
    sources.push_back(entries_of(inputs.lower, sorted_level_piece_bytes));
    merge->entries_ = new_merging_iterator(std::move(sources));

    const uint32_t output_level = inputs.output_level;
    TableWriterOptions writer = writer_options();
    writer.table_bytes_max = options_.table_bytes;
    writer.engine.compression = compression_of(*merge->version_, output_level);
    writer.range_removals = merge->version_->shared_range_removals();
    writer.bounds = find_bounds(*merge->version_, inputs);
    writer.now = parts_.expiry_clock.now();
    writer.value_files_to_leave = inputs.value_files_to_leave;
    writer.values = &parts_.values;
    writer.warm = &merge->warm_;
    writer.is_streamed = is_streamed;
    writer.is_bottom = [version = merge->version_, output_level](std::string_view user_key) {
        for (size_t level = output_level + 1; level < level_count; ++level) {
            if (version->covers(level, user_key)) {
                return false;
            }
        }
        return true;
    };
    STARLING_MARK(compaction_merges);
    writer.should_stop = should_stop_;
    merge->writer_ = std::make_unique<TableWriter>(parts_.files, std::move(writer));
    return merge;
}

absl::Status TableJobs::finish(Merge& merge) {
    WrittenTables written = merge.writer_->take();
    const uint32_t level = merge.compaction_.output_level;
    traffic_[level].read.fetch_add(merge.compaction_.input_bytes(), std::memory_order_relaxed);
    note_written(level, written);
    VersionEdit edit;
    edit.expired_until = written.expired_until;
    edit.value_files = std::move(written.value_files);
    for (TableMetadata& table : written.tables) {
        edit.added.push_back({.level = level, .table = std::move(table)});
    }
    return replace(merge.compaction_, std::move(edit));
}

absl::Status TableJobs::remove_dead_tables(const Version& version, const ReclaimState& state) {
    VersionEdit edit = removal_of_dead_tables(version, state);
    if (edit.removed.empty()) {
        return absl::OkStatus();
    }
    STARLING_RETURN_IF_ERROR(parts_.catalog.settle());
    STARLING_RETURN_IF_ERROR(commit(std::move(edit)));
    parts_.view.compacted([this] { return parts_.catalog.version(); });
    return absl::OkStatus();
}

absl::Status TableJobs::replace(const Compaction& compaction, VersionEdit edit) {
    for (const TablePtr& table : compaction.upper) {
        edit.removed.push_back({.level = compaction.level, .number = table->number});
    }
    for (const TablePtr& table : compaction.lower) {
        edit.removed.push_back({.level = compaction.output_level, .number = table->number});
    }
    STARLING_RETURN_IF_ERROR(commit(std::move(edit)));
    parts_.view.compacted([this] { return parts_.catalog.version(); });
    compaction_count_.fetch_add(1, std::memory_order_relaxed);
    return absl::OkStatus();
}

absl::Status TableJobs::commit(VersionEdit edit) {
    if (!parts_.catalog.version()->range_removals().empty() || !edit.range_removals.empty()) {
        STARLING_ASSIGN_OR_RETURN(const auto next, parts_.catalog.version()->apply(edit));
        edit.range_removals_gone = find_finished_removals(*next);
    }
    absl::Status status = parts_.catalog.commit(edit);
    if (!status.ok()) {
        STARLING_MARK(manifest_commit_failed);
        // A restart may find the edit or not. Once a later manifest counts, its new files are of no
        // use.
        retire_new_files(edit);
    }
    return status;
}

void TableJobs::retire_new_files(const VersionEdit& edit) {
    for (const VersionEdit::Added& added : edit.added) {
        const bool moved =
            std::any_of(edit.removed.begin(), edit.removed.end(), [&](const auto& removed) {
                return removed.number == added.table.number;
            });
        if (!moved) {
            parts_.catalog.retire(table_path(directory_, added.table.number));
        }
    }
    for (const ValueFileMetadata& file : edit.value_files) {
        parts_.catalog.retire(value_file_path(directory_, file.number));
    }
}

absl::Status TableJobs::check_space(uint64_t bytes) {
    auto free = parts_.files.free_bytes(directory_);
    if (free.ok() && *free < bytes + options_.disk_reserve_bytes && parts_.log.remove_spares()) {
        STARLING_MARK(background_spares_make_room);
        free = parts_.files.free_bytes(directory_);
    }
    // Whether the answer was wrong, or could not be had, shows when writing.
    if (!free.ok() || *free >= bytes + options_.disk_reserve_bytes) {
        return absl::OkStatus();
    }
    STARLING_MARK(background_finds_no_room);
    return base::make_error(absl::StatusCode::kResourceExhausted,
                            base::reason::disk_full,
                            fmt::format("{}: {} bytes are free, {} are needed",
                                        directory_,
                                        *free,
                                        bytes + options_.disk_reserve_bytes));
}

TableWriterOptions TableJobs::writer_options() const {
    TableWriterOptions options;
    options.directory = directory_;
    options.engine = options_;
    options.snapshots = parts_.snapshots.list();
    options.next_file_number = [this] { return parts_.catalog.next_file_number(); };
    return options;
}

Compression TableJobs::compression_of(const Version& version, uint32_t level) const {
    for (uint32_t deeper = level + 1; deeper < level_count; ++deeper) {
        if (!version.level(deeper).empty()) {
            return options_.compression;
        }
    }
    return options_.deepest_compression.value_or(options_.compression);
}

void TableJobs::note_written(uint32_t level, const WrittenTables& written) {
    uint64_t bytes = 0;
    for (const TableMetadata& table : written.tables) {
        bytes += table.file_bytes;
    }
    for (const ValueFileMetadata& file : written.value_files) {
        bytes += file.file_bytes;
    }
    traffic_[level].written.fetch_add(bytes, std::memory_order_relaxed);
}

void TableJobs::remove_unused_files() {
    for (const FileName& file : parts_.catalog.remove_unused_files()) {
        switch (file.kind) {
            case FileKind::table:
                parts_.tables.forget(file.number);
                break;
            case FileKind::log:
                if (!parts_.log.keep_as_spare(file.number)) {
                    STARLING_MARK(log_removed);
                    remove_log(file.number);
                }
                break;
            default:
                parts_.values.forget(file.number);
        }
    }
}

void TableJobs::remove_log(uint64_t number) {
    std::string path = log_path(directory_, number);
    const absl::Status status = parts_.files.remove(path);
    if (!status.ok() && !absl::IsNotFound(status)) {
        STARLING_MARK(log_not_removed);
        parts_.catalog.retire(std::move(path));
    }
}

}  // namespace starling::storage::lsm
