#include "storage/lsm/background.h"

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include <fmt/format.h>

#include "base/error.h"
#include "base/mark.h"
#include "base/status_macros.h"
#include "storage/lsm/file_names.h"
#include "storage/lsm/merging_iterator.h"
#include "storage/lsm/salvage_iterator.h"

namespace starling::storage::lsm {

namespace {

absl::Status closing() {
    return absl::CancelledError("the engine is closing");
}

}  // namespace

struct Background::Merge {
    explicit Merge(BlockCache& cache) : warm(cache) {}

    Picked picked;
    base::MonotonicTime begin;
    // That the inputs are of.
    std::shared_ptr<const Version> version;
    uint64_t entry_count = 0;
    WarmBlocks warm;
    std::unique_ptr<InternalIterator> entries;
    std::unique_ptr<TableWriter> writer;

    // Read and written so far; at the end all of it.
    uint64_t traffic_bytes() const {
        const double part =
            static_cast<double>(writer->entries_read()) / static_cast<double>(entry_count);
        return writer->written_bytes() +
               static_cast<uint64_t>(static_cast<double>(picked.compaction.input_bytes()) * part);
    }
};

Background::Background(std::string directory, const EngineOptions& options, Parts parts)
    : directory_(std::move(directory)),
      options_(options),
      parts_(parts),
      pace_(options.compaction_bytes_per_second),
      scrub_(parts_.files, directory_, parts_.tables),
      picker_(options) {}

Background::~Background() = default;

void Background::schedule() {
    if (has_error() || gate_->shut()) {
        return;
    }
    bool flush = false;
    bool compaction = false;
    base::Duration delay{0};
    uint64_t ticket = 0;
    {
        const auto view = parts_.view.get();
        const Version& version = *view->version;
        absl::MutexLock lock(&mutex_);
        flush = !flush_under_way_ && !view->immutable.empty();
        flush_under_way_ = flush_under_way_ || flush;
        const bool urgent = is_urgent(version);
        const bool is_due = compaction_state_ == CompactionState::idle
                                ? picker_.pick(version).has_value() || can_reclaim(version)
                                : compaction_state_ == CompactionState::waiting && urgent;
        compaction = is_due && damage_.ok();
        if (compaction) {
            delay = urgent ? base::Duration::zero() : paid_at_ - parts_.clock.now();
            compaction_state_ = delay > base::Duration::zero() ? CompactionState::waiting
                                                               : CompactionState::submitted;
            ticket = ++compaction_ticket_;
        }
    }
    if (flush) {
        submit_flush();
    }
    if (compaction) {
        submit_compaction(delay, ticket);
    }
}

bool Background::is_urgent(const Version& version) const {
    const size_t urgent = (options_.level_0_tables_compact + options_.level_0_tables_stall) / 2;
    return version.level(0).size() >= urgent;
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

void Background::submit_flush() {
    parts_.workers.submit([gate = gate_, this]() noexcept {
        if (gate->enter()) {
            flush_job();
            gate->leave();
        }
    });
}

void Background::submit_compaction(base::Duration delay, uint64_t ticket) {
    parts_.workers.submit_after(delay, [gate = gate_, this, ticket]() noexcept {
        if (gate->enter()) {
            compaction_job(ticket);
            gate->leave();
        }
    });
}

void Background::stop() {
    gate_->close();
    absl::MutexLock one_at_a_time(&compaction_mutex_);
    abandon();
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

void Background::compaction_job(uint64_t ticket) {
    {
        absl::MutexLock lock(&mutex_);
        if (ticket != compaction_ticket_) {
            STARLING_MARK(compaction_overtaken_by_urgent_one);
            return;
        }
        compaction_state_ = CompactionState::submitted;
    }
    absl::StatusOr<Pause> pause = Pause();
    {
        absl::MutexLock one_at_a_time(&compaction_mutex_);
        pause = compact_what_is_due();
    }
    const bool waits = pause.ok() && pause->has_value();
    uint64_t next_ticket = 0;
    {
        absl::MutexLock lock(&mutex_);
        compaction_state_ = waits ? CompactionState::waiting : CompactionState::idle;
        next_ticket = ++compaction_ticket_;
    }
    if (waits) {
        submit_compaction(**pause, next_ticket);
        // Level 0 may have grown while this was neither waiting nor able to see it.
        schedule();
    } else {
        conclude(pause.status());
    }
}

// One step of a compaction, the first one or another; all of it without a rate limit.
absl::StatusOr<Background::Pause> Background::compact_what_is_due() {
    if (has_error()) {
        STARLING_MARK(compaction_ended_by_error);
        abandon();
        return Pause();
    }
    if (!damage().ok()) {
        STARLING_MARK(compaction_stands_still_for_damage);
        abandon();
        return Pause();
    }
    if (merge_ == nullptr) {
        const auto version = parts_.catalog.version();
        if (can_reclaim(*version)) {
            STARLING_RETURN_IF_ERROR(remove_dead_tables(*version));
        }
        std::optional<Picked> picked = pick();
        if (!picked.has_value()) {
            return Pause();
        }
        if (picked->compaction.is_move()) {
            STARLING_MARK(compaction_only_moves);
            STARLING_RETURN_IF_ERROR(move(picked->compaction));
            note_turn(*picked);
            return Pause();
        }
        STARLING_ASSIGN_OR_RETURN(merge_, begin_merge(*std::move(picked)));
    }
    absl::StatusOr<Pause> pause = go_on();
    if (!pause.ok()) {
        STARLING_MARK(compaction_abandoned);
        abandon();
    }
    return pause;
}

std::optional<Background::Picked> Background::pick() {
    const auto version = parts_.catalog.version();
    {
        absl::MutexLock lock(&mutex_);
        if (auto compaction = picker_.pick(*version); compaction.has_value()) {
            return Picked{.compaction = *std::move(compaction), .in_turn = true};
        }
    }
    auto rewrite = pick_range_compaction(*version, reclaim_state());
    if (!rewrite.has_value()) {
        rewrite = pick_value_compaction(*version);
    }
    return rewrite.has_value() ? std::optional(Picked{.compaction = *std::move(rewrite)})
                               : std::nullopt;
}

void Background::note_turn(const Picked& picked) {
    if (picked.in_turn) {
        absl::MutexLock lock(&mutex_);
        picker_.done(picked.compaction);
    }
}

absl::StatusOr<Background::Pause> Background::go_on() {
    Merge& merge = *merge_;
    for (;;) {
        const uint64_t step_end = merge.traffic_bytes() + pace_.step_bytes();
        const absl::StatusOr<bool> done = merge.writer->run(*merge.entries, [&] {
            return pace_.is_limited() && merge.traffic_bytes() >= step_end;
        });
        if (met_damage(done.status())) {
            abandon();
            return Pause();
        }
        STARLING_RETURN_IF_ERROR(done.status());
        if (*done) {
            break;
        }
        const base::Duration delay =
            pace_.paid_at(merge.begin, merge.traffic_bytes()) - parts_.clock.now();
        if (delay > base::Duration::zero() && !is_urgent(*parts_.catalog.version())) {
            STARLING_MARK(compaction_paused);
            return Pause(delay);
        }
    }
    const std::unique_ptr<Merge> finished = std::move(merge_);
    const uint64_t bytes = finished->traffic_bytes();
    STARLING_RETURN_IF_ERROR(finish(*finished));
    note_turn(finished->picked);
    if (pace_.is_limited()) {
        absl::MutexLock lock(&mutex_);
        paid_at_ = pace_.paid_at(finished->begin, bytes);
    }
    return Pause();
}

void Background::abandon() {
    if (merge_ != nullptr) {
        merge_->writer->remove();
        merge_.reset();
    }
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
    VersionEdit edit = removal_of_dead_tables(version, reclaim_state());
    if (edit.removed.empty()) {
        return absl::OkStatus();
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
        STARLING_MARK(background_disk_full);
        disk_full_.store(true, std::memory_order_relaxed);
        // What a failed job left behind takes the space that the next try needs.
        remove_unused_files();
    } else if (!absl::IsCancelled(status)) {
        STARLING_MARK(background_error);
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
        return closing();
    }
    const absl::Cleanup leave = [this] { gate_->leave(); };
    absl::Status status = flush_all();
    if (status.ok()) {
        absl::MutexLock one_at_a_time(&compaction_mutex_);
        abandon();
        status = damage();
        if (status.ok()) {
            status = compact_all_levels();
        }
    }
    if (status.ok()) {
        remove_unused_files();
        // Who asks for this wants the disk back.
        parts_.log.remove_spares();
    }
    return status;
}

absl::StatusOr<std::vector<KeyRange>> Background::find_damage() {
    if (!gate_->enter()) {
        return closing();
    }
    const absl::Cleanup leave = [this] { gate_->leave(); };
    STARLING_ASSIGN_OR_RETURN(const Damage damage, look_for_damage());
    return damage.ranges();
}

absl::StatusOr<ScrubStep> Background::scrub(uint64_t bytes) {
    if (!gate_->enter()) {
        return closing();
    }
    const absl::Cleanup leave = [this] { gate_->leave(); };
    absl::MutexLock lock(&scrub_mutex_);
    const auto version = parts_.catalog.version();
    auto step = scrub_.read_on(*version, bytes, [this] { return gate_->shut(); });
    met_damage(step.status());
    return step;
}

absl::StatusOr<Damage> Background::look_for_damage() {
    // Who holds the version keeps its files.
    const auto version = parts_.catalog.version();
    return lsm::find_damage(
        parts_.files, directory_, parts_.tables, *version, [this] { return gate_->shut(); });
}

absl::Status Background::give_up(std::span<const KeyRange> ranges) {
    if (!gate_->enter()) {
        return closing();
    }
    const absl::Cleanup leave = [this] { gate_->leave(); };
    absl::Status status;
    {
        absl::MutexLock one_at_a_time(&compaction_mutex_);
        abandon();
        STARLING_ASSIGN_OR_RETURN(const Damage found, look_for_damage());
        STARLING_RETURN_IF_ERROR(found.check_within(ranges));
        status = repair(found);
    }
    if (status.ok()) {
        STARLING_MARK(damage_given_up);
        remove_unused_files();
        schedule();
    } else if (!absl::IsResourceExhausted(status) && !absl::IsCancelled(status) &&
               !absl::IsDataLoss(status)) {
        set_error(status);
    }
    return status;
}

absl::Status Background::repair(const Damage& damage) {
    while (auto compaction = pick_repair(*parts_.catalog.version(), damage)) {
        STARLING_ASSIGN_OR_RETURN(const auto merge,
                                  begin_merge({.compaction = *std::move(compaction)}, &damage));
        STARLING_RETURN_IF_ERROR(complete(*merge));
    }
    absl::MutexLock lock(&mutex_);
    damage_ = absl::OkStatus();
    return absl::OkStatus();
}

absl::Status Background::compact_all_levels() {
    STARLING_RETURN_IF_ERROR(remove_dead_tables(*parts_.catalog.version()));
    const uint64_t first_new = parts_.catalog.next_file_number();
    const auto before = parts_.catalog.version();
    uint32_t deepest = level_count - 1;
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
            STARLING_RETURN_IF_ERROR(compact(compaction_in_place(deepest, table)));
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
    // Were more blocks found in the cache since the last flush than this one writes?
    BlockCache& cache = parts_.tables.blocks();
    const uint64_t hits = cache.hits();
    WarmBlocks warm(cache, hits - hits_at_flush_ > memtable->used_bytes() / options_.block_bytes);
    hits_at_flush_ = hits;
    writer.warm = &warm;
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

absl::Status Background::compact(Compaction compaction) {
    if (compaction.is_move()) {
        return move(compaction);
    }
    STARLING_ASSIGN_OR_RETURN(const auto merge, begin_merge({.compaction = std::move(compaction)}));
    return complete(*merge);
}

absl::Status Background::complete(Merge& merge) {
    const auto done = merge.writer->run(*merge.entries, [] { return false; });
    if (!done.ok()) {
        met_damage(done.status());
        merge.writer->remove();
        return done.status();
    }
    return finish(merge);
}

absl::Status Background::move(const Compaction& compaction) {
    STARLING_RETURN_IF_ERROR(parts_.catalog.settle());
    VersionEdit edit;
    for (const TablePtr& table : compaction.upper) {
        edit.added.push_back({.level = compaction.output_level, .table = *table});
    }
    return replace(compaction, std::move(edit));
}

absl::StatusOr<std::unique_ptr<Background::Merge>> Background::begin_merge(Picked picked,
                                                                           const Damage* given_up) {
    STARLING_RETURN_IF_ERROR(parts_.catalog.settle());
    STARLING_RETURN_IF_ERROR(check_space(picked.compaction.input_bytes()));
    auto merge = std::make_unique<Merge>(parts_.tables.blocks());
    merge->picked = std::move(picked);
    merge->begin = parts_.clock.now();
    merge->version = parts_.catalog.version();
    const Compaction& inputs = merge->picked.compaction;
    for (const TableList* tables : {&inputs.upper, &inputs.lower}) {
        for (const TablePtr& table : *tables) {
            merge->entry_count += table->entry_count;
        }
    }
    const auto entries_of = [&](std::span<const TablePtr> tables) {
        return given_up == nullptr
                   ? new_level_iterator(
                         parts_.tables, tables, ReadMode::once, &merge->warm.inputs())
                   : new_salvage_iterator(parts_.tables, tables, *given_up);
    };
    std::vector<std::unique_ptr<InternalIterator>> sources;
    const std::span<const TablePtr> upper(inputs.upper);
    // Tables of level 0 overlap.
    const size_t together = inputs.level == 0 ? 1 : upper.size();
    for (size_t i = 0; i < upper.size(); i += together) {
        sources.push_back(entries_of(upper.subspan(i, together)));
    }
    sources.push_back(entries_of(inputs.lower));
    merge->entries = new_merging_iterator(std::move(sources));

    const uint32_t output_level = inputs.output_level;
    TableWriterOptions writer = writer_options();
    writer.table_bytes_max = options_.table_bytes;
    writer.engine.compression = compression_of(*merge->version, output_level);
    writer.range_removals = merge->version->shared_range_removals();
    writer.bounds = find_bounds(*merge->version, inputs);
    writer.now = parts_.expiry_clock.now();
    writer.value_files_to_leave = inputs.value_files_to_leave;
    writer.values = &parts_.values;
    writer.warm = &merge->warm;
    writer.is_bottom = [version = merge->version, output_level](std::string_view user_key) {
        for (size_t level = output_level + 1; level < level_count; ++level) {
            if (version->covers(level, user_key)) {
                return false;
            }
        }
        return true;
    };
    STARLING_MARK(compaction_merges);
    writer.should_stop = [this] { return gate_->shut(); };
    merge->writer = std::make_unique<TableWriter>(parts_.files, std::move(writer));
    return merge;
}

// REQUIRES: its writer is done.
absl::Status Background::finish(Merge& merge) {
    WrittenTables written = merge.writer->take();
    const uint32_t level = merge.picked.compaction.output_level;
    traffic_[level].read.fetch_add(merge.picked.compaction.input_bytes(),
                                   std::memory_order_relaxed);
    note_written(level, written);
    VersionEdit edit;
    edit.expired_until = written.expired_until;
    edit.value_files = std::move(written.value_files);
    for (TableMetadata& table : written.tables) {
        edit.added.push_back({.level = level, .table = std::move(table)});
    }
    return replace(merge.picked.compaction, std::move(edit));
}

absl::Status Background::replace(const Compaction& compaction, VersionEdit edit) {
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

absl::Status Background::commit(VersionEdit edit) {
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

void Background::remove_unused_files() {
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

void Background::remove_log(uint64_t number) {
    std::string path = log_path(directory_, number);
    const absl::Status status = parts_.files.remove(path);
    if (!status.ok() && !absl::IsNotFound(status)) {
        STARLING_MARK(log_not_removed);
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

absl::Status Background::damage() const {
    absl::MutexLock lock(&mutex_);
    return damage_;
}

bool Background::met_damage(const absl::Status& status) {
    if (!absl::IsDataLoss(status)) {
        return false;
    }
    STARLING_MARK(damage_stops_merging);
    absl::MutexLock lock(&mutex_);
    if (damage_.ok()) {
        damage_ = status;
    }
    return true;
}

}  // namespace starling::storage::lsm
