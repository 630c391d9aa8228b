#include "storage/lsm/background.h"

#include <utility>

#include "absl/cleanup/cleanup.h"

#include "base/mark.h"
#include "base/status_macros.h"

namespace starling::storage::lsm {

namespace {

absl::Status closing() {
    return absl::CancelledError("the engine is closing");
}

// Each opening takes a few numbers.
uint64_t scattered(uint64_t number) {
    return (number * 0x9E3779B97F4A7C15u) >> 32;
}

}  // namespace

Background::Background(std::string directory,
                       const EngineOptions& options,
                       TableJobs::Parts parts,
                       env::Workers& workers,
                       absl::Status damage)
    : directory_(std::move(directory)),
      options_(options),
      parts_(parts),
      workers_(workers),
      pace_(options.compaction_bytes_per_second),
      jobs_(directory_, options, parts, [gate = gate_] { return gate->shut(); }),
      scrub_(parts_.files, directory_, parts_.tables, scattered(parts_.catalog.file_numbers_end())),
      seen_damage_(std::move(damage)),
      picker_(options) {}

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
                                ? picker_.pick(version).has_value() || can_reclaim(version) ||
                                      pick_removed(version).has_value()
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

void Background::submit_flush() {
    workers_.submit([gate = gate_, this]() noexcept {
        if (gate->enter()) {
            flush_job();
            gate->leave();
        }
    });
}

void Background::submit_compaction(base::Duration delay, uint64_t ticket) {
    workers_.submit_after(delay, [gate = gate_, this, ticket]() noexcept {
        if (gate->enter()) {
            compaction_job(ticket);
            gate->leave();
        }
    });
}

void Background::stop() {
    gate_->close();
    {
        absl::MutexLock lock(&scrub_mutex_);
        scrub_.close_file();
    }
    absl::MutexLock one_at_a_time(&compaction_mutex_);
    abandon();
}

void Background::flush_job() {
    absl::Status status;
    {
        absl::MutexLock one_at_a_time(&flush_mutex_);
        status = jobs_.flush_oldest();
    }
    {
        absl::MutexLock lock(&mutex_);
        flush_under_way_ = false;
        reclaims_removed_ = false;
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
    if (stands_still()) {
        STARLING_MARK(compaction_stands_still_for_damage);
        abandon();
        return Pause();
    }
    if (merge_ == nullptr) {
        const auto version = parts_.catalog.version();
        if (can_reclaim(*version)) {
            STARLING_RETURN_IF_ERROR(jobs_.remove_dead_tables(*version, reclaim_state()));
        }
        std::optional<Picked> picked = pick();
        if (!picked.has_value()) {
            return Pause();
        }
        if (picked->compaction.is_move()) {
            STARLING_MARK(compaction_only_moves);
            STARLING_RETURN_IF_ERROR(jobs_.move(picked->compaction));
            if (picked->in_turn) {
                note_turn(picked->compaction);
            }
            return Pause();
        }
        merge_is_in_turn_ = picked->in_turn;
        STARLING_ASSIGN_OR_RETURN(merge_, jobs_.begin_merge(std::move(picked->compaction)));
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
    if (!rewrite.has_value()) {
        absl::MutexLock lock(&mutex_);
        rewrite = pick_removed(*version);
        if (rewrite.has_value()) STARLING_MARK(compaction_of_removals_while_quiet);
    }
    return rewrite.has_value() ? std::optional(Picked{.compaction = *std::move(rewrite)})
                               : std::nullopt;
}

void Background::reclaim_removed() {
    {
        absl::MutexLock lock(&mutex_);
        reclaims_removed_ = true;
    }
    schedule();
}

void Background::remove_unused_soon() {
    if (has_error() || !parts_.catalog.may_have_unused_files()) return;
    workers_.submit([gate = gate_, this]() noexcept {
        if (!gate->enter()) return;
        jobs_.remove_unused_files();
        gate->leave();
    });
}

std::optional<Compaction> Background::pick_removed(const Version& version) {
    if (!reclaims_removed_) return std::nullopt;
    auto picked = pick_removal_compaction(version, reclaim_state());
    reclaims_removed_ = picked.has_value();
    return picked;
}

void Background::note_turn(const Compaction& compaction) {
    absl::MutexLock lock(&mutex_);
    picker_.done(compaction);
}

absl::StatusOr<Background::Pause> Background::go_on() {
    TableJobs::Merge& merge = *merge_;
    for (;;) {
        const uint64_t step_end = merge.traffic_bytes() + pace_.step_bytes();
        const absl::StatusOr<bool> done =
            merge.run([&] { return pace_.is_limited() && merge.traffic_bytes() >= step_end; });
        if (met_damage(done.status())) {
            abandon();
            return Pause();
        }
        STARLING_RETURN_IF_ERROR(done.status());
        if (*done) {
            break;
        }
        const base::Duration delay =
            pace_.paid_at(merge.begin(), merge.traffic_bytes()) - parts_.clock.now();
        if (delay > base::Duration::zero() && !is_urgent(*parts_.catalog.version())) {
            STARLING_MARK(compaction_paused);
            return Pause(delay);
        }
    }
    const std::unique_ptr<TableJobs::Merge> finished = std::move(merge_);
    const uint64_t bytes = finished->traffic_bytes();
    STARLING_RETURN_IF_ERROR(jobs_.finish(*finished));
    if (merge_is_in_turn_) {
        note_turn(finished->compaction());
    }
    if (pace_.is_limited()) {
        absl::MutexLock lock(&mutex_);
        paid_at_ = pace_.paid_at(finished->begin(), bytes);
    }
    return Pause();
}

void Background::abandon() {
    if (merge_ != nullptr) {
        merge_->abandon();
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

// What the end of a job means for the engine.
void Background::conclude(const absl::Status& status) {
    if (status.ok()) {
        disk_full_.store(false, std::memory_order_relaxed);
        jobs_.remove_unused_files();
        schedule();
    } else if (absl::IsResourceExhausted(status)) {
        STARLING_MARK(background_disk_full);
        disk_full_.store(true, std::memory_order_relaxed);
        // What a failed job left behind takes the space that the next try needs.
        jobs_.remove_unused_files();
    } else if (!absl::IsCancelled(status)) {
        STARLING_MARK(background_error);
        set_error(status);
    }
}

absl::Status Background::flush_all() {
    absl::MutexLock one_at_a_time(&flush_mutex_);
    while (!has_error() && !parts_.view.get()->immutable.empty()) {
        STARLING_RETURN_IF_ERROR(jobs_.flush_oldest());
    }
    jobs_.remove_unused_files();
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
        // A compaction of everything meets what scrub() has met.
        status = damage();
        if (status.ok()) {
            status = compact_all_levels();
        }
    }
    if (status.ok()) {
        jobs_.remove_unused_files();
        // Who asks for this wants the disk back.
        parts_.log.remove_spares();
    }
    return status;
}

absl::StatusOr<std::vector<KeyRange>> Background::find_damage() {
    if (gate_->shut_to_searches() || !gate_->enter()) {
        return closing();
    }
    const absl::Cleanup leave = [this] { gate_->leave(); };
    STARLING_ASSIGN_OR_RETURN(const Damage damage, look_for_damage());
    return damage.ranges();
}

absl::StatusOr<ScrubStep> Background::scrub(uint64_t bytes) {
    if (gate_->shut_to_searches() || !gate_->enter()) {
        return closing();
    }
    const absl::Cleanup leave = [this] { gate_->leave(); };
    absl::MutexLock one_at_a_time(&scrub_mutex_);
    const auto version = parts_.catalog.version();
    auto step = scrub_.read_on(*version, bytes, [this] { return gate_->shut_to_searches(); });
    if (absl::IsDataLoss(step.status())) {
        absl::MutexLock lock(&mutex_);
        seen_damage_.Update(step.status());
    }
    return step;
}

absl::StatusOr<Damage> Background::look_for_damage() {
    // Who holds the version keeps its files.
    const auto version = parts_.catalog.version();
    return lsm::find_damage(parts_.files, directory_, parts_.tables, *version, [this] {
        return gate_->shut_to_searches();
    });
}

absl::Status Background::give_up(std::span<const KeyRange> ranges) {
    if (gate_->shut_to_searches() || !gate_->enter()) {
        return closing();
    }
    const absl::Cleanup leave = [this] { gate_->leave(); };
    absl::Status status;
    {
        // What is given up is not met again by a step that began before.
        absl::MutexLock no_scrub(&scrub_mutex_);
        absl::MutexLock one_at_a_time(&compaction_mutex_);
        abandon();
        STARLING_ASSIGN_OR_RETURN(const Damage found, look_for_damage());
        STARLING_RETURN_IF_ERROR(found.check_within(ranges));
        status = repair(found);
    }
    if (status.ok()) {
        STARLING_MARK(damage_given_up);
        jobs_.remove_unused_files();
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
                                  jobs_.begin_merge(*std::move(compaction), &damage));
        STARLING_RETURN_IF_ERROR(complete(*merge));
    }
    absl::MutexLock lock(&mutex_);
    damage_ = absl::OkStatus();
    seen_damage_ = absl::OkStatus();
    return absl::OkStatus();
}

absl::Status Background::compact_all_levels() {
    STARLING_RETURN_IF_ERROR(jobs_.remove_dead_tables(*parts_.catalog.version(), reclaim_state()));
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

absl::Status Background::compact(Compaction compaction) {
    if (compaction.is_move()) {
        return jobs_.move(compaction);
    }
    STARLING_ASSIGN_OR_RETURN(const auto merge, jobs_.begin_merge(std::move(compaction)));
    return complete(*merge);
}

absl::Status Background::complete(TableJobs::Merge& merge) {
    const auto done = merge.run([] { return false; });
    if (!done.ok()) {
        met_damage(done.status());
        merge.abandon();
        return done.status();
    }
    return jobs_.finish(merge);
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
    return damage_.ok() ? seen_damage_ : damage_;
}

bool Background::stands_still() const {
    absl::MutexLock lock(&mutex_);
    return !damage_.ok();
}

bool Background::met_damage(const absl::Status& status) {
    if (!absl::IsDataLoss(status)) {
        return false;
    }
    STARLING_MARK(compaction_met_damage);
    absl::MutexLock lock(&mutex_);
    damage_.Update(status);
    return true;
}

}  // namespace starling::storage::lsm
