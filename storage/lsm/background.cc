#include "storage/lsm/background.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "storage/lsm/file_names.h"
#include "storage/lsm/merging_iterator.h"

namespace starling::storage::lsm {

Background::Background(std::string directory, const EngineOptions& options, Parts parts)
    : directory_(std::move(directory)), options_(options), parts_(parts), picker_(options) {}

void Background::schedule() {
    if (has_error() || gate_->shut()) {
        return;
    }
    bool flush = false;
    bool compaction = false;
    {
        const auto view = parts_.view.get();
        absl::MutexLock lock(&mutex_);
        flush = !flush_under_way_ && !view->immutable.empty();
        compaction = !compaction_under_way_ && !must_wait(*view->version) &&
                     (picker_.pick(*view->version).has_value() || can_reclaim(*view->version));
        flush_under_way_ = flush_under_way_ || flush;
        compaction_under_way_ = compaction_under_way_ || compaction;
    }
    if (flush) {
        submit(&Background::flush_job);
    }
    if (compaction) {
        submit(&Background::compaction_job);
    }
}

bool Background::wants_schedule() const {
    return put_off_.load(std::memory_order_relaxed) &&
           parts_.clock.now().time_since_epoch().count() >=
               paid_at_.load(std::memory_order_relaxed);
}

bool Background::must_wait(const Version& version) const {
    const size_t urgent = (options_.level_0_tables_compact + options_.level_0_tables_stall) / 2;
    return put_off_.load(std::memory_order_relaxed) && !wants_schedule() &&
           version.level(0).size() < urgent;
}

uint64_t Background::traffic_bytes() const {
    uint64_t bytes = 0;
    for (uint32_t level = 1; level < level_count; ++level) {
        bytes += read_bytes(level) + written_bytes(level);
    }
    return bytes;
}

// No worker sleeps for the limit: what moved is paid for with the time until the next compaction.
void Background::pay_for(uint64_t bytes, base::MonotonicTime begin) {
    if (options_.compaction_bytes_per_second == 0) {
        return;
    }
    const double seconds =
        static_cast<double>(bytes) / static_cast<double>(options_.compaction_bytes_per_second);
    const base::MonotonicTime end =
        begin + std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(seconds));
    paid_at_.store(end.time_since_epoch().count(), std::memory_order_relaxed);
    put_off_.store(bytes > 0, std::memory_order_relaxed);
}

void Background::note_written(uint32_t level, const WrittenTables& written) {
    uint64_t bytes = 0;
    for (const TableMetadata& table : written.tables) {
        bytes += table.file_bytes;
    }
    for (const ValueFileMetadata& file : written.value_files) {
        bytes += file.file_bytes;
    }
    traffic_[level].written.fetch_add(bytes, std::memory_order_relaxed);
}

Compression Background::compression_of(const Version& version, uint32_t level) const {
    for (uint32_t deeper = level + 1; deeper < level_count; ++deeper) {
        if (!version.level(deeper).empty()) {
            return options_.compression;
        }
    }
    return options_.deepest_compression.value_or(options_.compression);
}

void Background::submit(void (Background::*work)()) {
    parts_.workers.submit([gate = gate_, this, work]() noexcept {
        if (gate->enter()) {
            (this->*work)();
            gate->leave();
        }
    });
}

void Background::stop() {
    gate_->close();
}

void Background::flush_job() {
    absl::Status status;
    {
        absl::MutexLock one_at_a_time(&flush_mutex_);
        status = flush_oldest();
    }
    {
        absl::MutexLock lock(&mutex_);
        flush_under_way_ = false;
    }
    conclude(status);
}

void Background::compaction_job() {
    absl::Status status;
    {
        absl::MutexLock one_at_a_time(&compaction_mutex_);
        const base::MonotonicTime begin = parts_.clock.now();
        const uint64_t before = traffic_bytes();
        status = compact_what_is_due();
        pay_for(traffic_bytes() - before, begin);
    }
    {
        absl::MutexLock lock(&mutex_);
        compaction_under_way_ = false;
    }
    conclude(status);
}

absl::Status Background::compact_what_is_due() {
    const auto version = parts_.catalog.version();
    if (can_reclaim(*version)) {
        STARLING_RETURN_IF_ERROR(remove_dead_tables(*version));
    }
    const auto current = parts_.catalog.version();
    std::optional<Compaction> compaction;
    {
        absl::MutexLock lock(&mutex_);
        compaction = picker_.pick(*current);
    }
    if (!compaction.has_value()) {
        auto rewrite = pick_range_compaction(*current, reclaim_state());
        if (!rewrite.has_value()) {
            rewrite = pick_value_compaction(*current);
        }
        return rewrite.has_value() ? compact(*rewrite) : absl::OkStatus();
    }
    STARLING_RETURN_IF_ERROR(compact(*compaction));
    absl::MutexLock lock(&mutex_);
    picker_.done(*compaction);
    return absl::OkStatus();
}

ReclaimState Background::reclaim_state() const {
    return {.snapshots = parts_.snapshots.list(), .now = parts_.expiry_clock.now()};
}

bool Background::can_reclaim(const Version& version) const {
    const ReclaimState state = reclaim_state();
    return !find_dead_tables(version, state).empty() ||
           pick_range_compaction(version, state).has_value() ||
           pick_value_compaction(version).has_value();
}

absl::Status Background::remove_dead_tables(const Version& version) {
    const ReclaimState state = reclaim_state();
    VersionEdit edit;
    edit.removed = find_dead_tables(version, state);
    if (edit.removed.empty()) {
        return absl::OkStatus();
    }
    for (const VersionEdit::Removed& removed : edit.removed) {
        const TableList& tables = version.level(removed.level);
        const auto table = std::find_if(tables.begin(), tables.end(), [&](const TablePtr& found) {
            return found->number == removed.number;
        });
        if ((*table)->latest_expiry <= state.now) {
            edit.expired_until = std::max(edit.expired_until, (*table)->latest_expiry);
        }
    }
    STARLING_RETURN_IF_ERROR(parts_.catalog.settle());
    STARLING_RETURN_IF_ERROR(commit(std::move(edit)));
    parts_.view.compacted([this] { return parts_.catalog.version(); });
    return absl::OkStatus();
}

// What the end of a job means for the engine.
void Background::conclude(const absl::Status& status) {
    if (status.ok()) {
        disk_full_.store(false, std::memory_order_relaxed);
        remove_unused_files();
        schedule();
    } else if (absl::IsResourceExhausted(status)) {
        disk_full_.store(true, std::memory_order_relaxed);
        // What a failed job left behind takes the space that the next try needs.
        remove_unused_files();
    } else if (!absl::IsCancelled(status)) {
        set_error(status);
    }
}

absl::Status Background::flush_all() {
    absl::MutexLock one_at_a_time(&flush_mutex_);
    while (!has_error() && !parts_.view.get()->immutable.empty()) {
        STARLING_RETURN_IF_ERROR(flush_oldest());
    }
    remove_unused_files();
    return error();
}

absl::Status Background::compact_everything() {
    if (!gate_->enter()) {
        return absl::CancelledError("the engine is closing");
    }
    absl::Status status = flush_all();
    if (status.ok()) {
        absl::MutexLock one_at_a_time(&compaction_mutex_);
        status = compact_all_levels();
    }
    if (status.ok()) {
        remove_unused_files();
        // Who asks for this wants the disk back.
        parts_.log.remove_spares();
    }
    gate_->leave();
    return status;
}

absl::Status Background::compact_all_levels() {
    STARLING_RETURN_IF_ERROR(remove_dead_tables(*parts_.catalog.version()));
    const uint64_t first_new = parts_.catalog.next_file_number();
    const auto before = parts_.catalog.version();
    uint32_t deepest = 1;
    for (uint32_t level = 1; level < level_count; ++level) {
        deepest = before->level(level).empty() ? deepest : level;
    }
    for (uint32_t level = 0; level < deepest; ++level) {
        // Level 0 at once, then table by table: each needs room for itself and what it meets below.
        for (;;) {
            const auto version = parts_.catalog.version();
            const TableList& tables = version->level(level);
            if (tables.empty()) {
                break;
            }
            STARLING_RETURN_IF_ERROR(compact(
                compaction_of(*version, level, level == 0 ? tables : TableList{tables.front()})));
        }
    }
    for (const TablePtr& table : TableList(parts_.catalog.version()->level(deepest))) {
        if (table->number < first_new) {
            STARLING_RETURN_IF_ERROR(compact({.level = deepest,
                                              .upper = {table},
                                              .lower = {},
                                              .in_place = true,
                                              .value_files_to_leave = {}}));
        }
    }
    return absl::OkStatus();
}

absl::Status Background::flush_oldest() {
    const auto view = parts_.view.get();
    if (view->immutable.empty()) {
        return absl::OkStatus();
    }
    const std::shared_ptr<Memtable>& memtable = view->immutable.back();
    const Memtable& next =
        view->immutable.size() > 1 ? *view->immutable[view->immutable.size() - 2] : *view->active;
    STARLING_RETURN_IF_ERROR(check_space(memtable->used_bytes()));
    STARLING_RETURN_IF_ERROR(parts_.catalog.settle());
    TableWriterOptions writer = writer_options();
    writer.is_bottom = [](std::string_view) { return false; };
    // close() flushes after the gate is shut; a flush is short enough to be always finished.
    writer.should_stop = [] { return false; };
    const auto entries = memtable->new_iterator();
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
        retire_new_files(edit);
    }
    STARLING_RETURN_IF_ERROR(status);
    parts_.view.flushed([this] { return parts_.catalog.version(); });
    parts_.log.forget_before(next.log_number());
    parts_.catalog.retire_log(memtable->log_number());
    flush_count_.fetch_add(1, std::memory_order_relaxed);
    return absl::OkStatus();
}

absl::Status Background::compact(const Compaction& compaction) {
    STARLING_RETURN_IF_ERROR(parts_.catalog.settle());
    VersionEdit edit;
    if (compaction.is_move()) {
        for (const TablePtr& table : compaction.upper) {
            edit.added.push_back({.level = compaction.output_level(), .table = *table});
        }
    } else {
        STARLING_ASSIGN_OR_RETURN(edit, merge(compaction));
    }
    for (const TablePtr& table : compaction.upper) {
        edit.removed.push_back({.level = compaction.level, .number = table->number});
    }
    for (const TablePtr& table : compaction.lower) {
        edit.removed.push_back({.level = compaction.output_level(), .number = table->number});
    }
    STARLING_RETURN_IF_ERROR(commit(std::move(edit)));
    parts_.view.compacted([this] { return parts_.catalog.version(); });
    compaction_count_.fetch_add(1, std::memory_order_relaxed);
    return absl::OkStatus();
}

absl::StatusOr<VersionEdit> Background::merge(const Compaction& compaction) {
    STARLING_RETURN_IF_ERROR(check_space(compaction.input_bytes()));
    std::vector<std::unique_ptr<InternalIterator>> inputs;
    const std::span<const TablePtr> upper(compaction.upper);
    // Tables of level 0 overlap.
    const size_t together = compaction.level == 0 ? 1 : upper.size();
    for (size_t i = 0; i < upper.size(); i += together) {
        inputs.push_back(
            new_level_iterator(parts_.tables, upper.subspan(i, together), ReadMode::once));
    }
    inputs.push_back(new_level_iterator(parts_.tables, compaction.lower, ReadMode::once));
    const auto entries = new_merging_iterator(std::move(inputs));

    const auto version = parts_.catalog.version();
    TableWriterOptions writer = writer_options();
    writer.table_bytes_max = options_.table_bytes;
    writer.engine.compression = compression_of(*version, compaction.output_level());
    writer.range_removals = version->shared_range_removals();
    writer.bounds = find_bounds(*version, compaction);
    writer.now = parts_.expiry_clock.now();
    writer.value_files_to_leave = compaction.value_files_to_leave;
    writer.values = &parts_.values;
    writer.is_bottom = [&](std::string_view user_key) {
        for (size_t level = compaction.output_level() + 1; level < level_count; ++level) {
            if (version->covers(level, user_key)) {
                return false;
            }
        }
        return true;
    };
    writer.should_stop = [&] { return gate_->shut(); };
    STARLING_ASSIGN_OR_RETURN(WrittenTables written,
                              write_tables(parts_.files, *entries, std::move(writer)));
    traffic_[compaction.output_level()].read.fetch_add(compaction.input_bytes(),
                                                       std::memory_order_relaxed);
    note_written(compaction.output_level(), written);
    VersionEdit edit;
    edit.expired_until = written.expired_until;
    edit.value_files = std::move(written.value_files);
    for (TableMetadata& table : written.tables) {
        edit.added.push_back({.level = compaction.output_level(), .table = std::move(table)});
    }
    return edit;
}

absl::Status Background::commit(VersionEdit edit) {
    if (!parts_.catalog.version()->range_removals().empty() || !edit.range_removals.empty()) {
        STARLING_ASSIGN_OR_RETURN(const auto next, parts_.catalog.version()->apply(edit));
        edit.range_removals_gone = find_finished_removals(*next);
    }
    absl::Status status = parts_.catalog.commit(edit);
    if (!status.ok()) {
        // A restart may find the edit or not. Once a later manifest counts, its new files are of no
        // use.
        retire_new_files(edit);
    }
    return status;
}

void Background::retire_new_files(const VersionEdit& edit) {
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

TableWriterOptions Background::writer_options() {
    TableWriterOptions options;
    options.directory = directory_;
    options.engine = options_;
    options.snapshots = parts_.snapshots.list();
    options.next_file_number = [this] { return parts_.catalog.next_file_number(); };
    return options;
}

absl::Status Background::check_space(uint64_t bytes) {
    auto free = parts_.files.free_bytes(directory_);
    if (free.ok() && *free < bytes + options_.disk_reserve_bytes && parts_.log.remove_spares()) {
        free = parts_.files.free_bytes(directory_);
    }
    // Whether the answer was wrong, or could not be had, shows when writing.
    if (!free.ok() || *free >= bytes + options_.disk_reserve_bytes) {
        return absl::OkStatus();
    }
    return base::make_error(absl::StatusCode::kResourceExhausted,
                            base::reason::disk_full,
                            fmt::format("{}: {} bytes are free, {} are needed",
                                        directory_,
                                        *free,
                                        bytes + options_.disk_reserve_bytes));
}

void Background::remove_unused_files() {
    for (const FileName& file : parts_.catalog.remove_unused_files()) {
        switch (file.kind) {
            case FileKind::table:
                parts_.tables.forget(file.number);
                break;
            case FileKind::log:
                if (!parts_.log.keep_as_spare(file.number)) {
                    remove_log(file.number);
                }
                break;
            default:
                parts_.values.forget(file.number);
        }
    }
}

void Background::remove_log(uint64_t number) {
    std::string path = log_path(directory_, number);
    const absl::Status status = parts_.files.remove(path);
    if (!status.ok() && !absl::IsNotFound(status)) {
        parts_.catalog.retire(std::move(path));
    }
}

absl::Status Background::error() const {
    absl::MutexLock lock(&mutex_);
    return error_;
}

void Background::set_error(const absl::Status& status) {
    absl::MutexLock lock(&mutex_);
    if (error_.ok()) {
        error_ = status;
        has_error_.store(true, std::memory_order_release);
    }
}

}  // namespace starling::storage::lsm
