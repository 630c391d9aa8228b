#include "storage/lsm/lsm_engine.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"
#include "base/mark.h"
#include "base/status_macros.h"
#include "storage/bounded_iterator.h"
#include "storage/condition.h"
#include "storage/errors.h"
#include "storage/expiry_clock.h"
#include "storage/limits.h"
#include "storage/live_count.h"
#include "storage/lsm/background.h"
#include "storage/lsm/check_options.h"
#include "storage/lsm/checkpoint.h"
#include "storage/lsm/memtable_adder.h"
#include "storage/lsm/merging_iterator.h"
#include "storage/lsm/read_view.h"
#include "storage/lsm/recovery.h"
#include "storage/lsm/snapshot_list.h"
#include "storage/lsm/user_iterator.h"

namespace starling::storage::lsm {

namespace {

// What is written to the file at once while nobody asks for a sync.
constexpr uint64_t log_write_bytes = 256u << 10;
constexpr size_t value_files_open_max = 64;
// Range removals that tables, or memtables, still hold entries of.
constexpr size_t range_removals_wait_max = 1024;

class LsmEngine final : public Engine {
  public:
    LsmEngine(const std::string& directory,
              const EngineOptions& options,
              EngineEnvironment environment,
              std::unique_ptr<env::FileLock> lock,
              Recovered recovered);
    ~LsmEngine() override { background_.stop(); }

    absl::StatusOr<std::optional<std::string>> get(std::string_view key,
                                                   const Snapshot* snapshot) noexcept override;
    absl::StatusOr<std::optional<std::string>> get_from_memory(
        std::string_view key) noexcept override;
    absl::StatusOr<std::optional<Entry>> get_entry(std::string_view key,
                                                   const Snapshot* snapshot) noexcept override;
    absl::Status write(const WriteBatch& batch, WriteOptions options) noexcept override;
    absl::Status write_if(std::span<const Condition> conditions,
                          const WriteBatch& batch,
                          WriteOptions options) noexcept override;
    absl::Status sync() noexcept override;
    std::unique_ptr<Iterator> new_iterator(IteratorOptions options) noexcept override;
    std::unique_ptr<Snapshot> snapshot() noexcept override;
    absl::Status checkpoint(const std::string& directory) noexcept override;
    absl::Status compact() noexcept override;
    void reclaim_while_quiet() noexcept override;
    absl::StatusOr<std::vector<KeyRange>> find_damage() noexcept override;
    absl::StatusOr<ScrubStep> scrub(uint64_t bytes) noexcept override;
    absl::Status give_up(std::span<const KeyRange> ranges) noexcept override;
    void end_searches() noexcept override { background_.end_searches(); }
    absl::Status damage() const override { return background_.damage(); }
    uint64_t approximate_bytes(std::string_view begin, std::string_view end) const override {
        return view_.get()->version->approximate_bytes(tables_, begin, end);
    }
    WritePressure write_pressure() const override;
    absl::Status background_error() const override;
    EngineStatistics statistics() const override;
    absl::Status close() noexcept override;

    void begin_background_work() { background_.schedule(); }

  private:
    // What a read looks at.
    struct ReadPoint {
        std::shared_ptr<const ReadView> view;
        Sequence sequence = 0;
    };

    ReadPoint read_point() const;
    ReadPoint read_point(const Snapshot* snapshot) const;
    absl::StatusOr<std::optional<Entry>> read(std::string_view key,
                                              const ReadPoint& point,
                                              ReadMode mode);
    absl::Status try_write(const WriteBatch& batch, WriteOptions options);
    absl::Status try_write_if(std::span<const Condition> conditions,
                              const WriteBatch& batch,
                              WriteOptions options);
    absl::Status note_stall(absl::Status status);
    absl::Status admit_write();
    absl::Status finish_write(const absl::Status& applied, bool rotated, WriteOptions options);
    absl::Status apply(const WriteBatch& batch, bool is_urgent, bool& rotated)
        ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);
    absl::Status check_conditions(std::span<const Condition> conditions, const ReadPoint& point);
    bool unchanged_since(const ReadPoint& point, std::span<const Condition> conditions) const
        ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);
    absl::Status make_room(const WriteBatch& batch, bool is_urgent, bool& rotated)
        ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);
    size_t level_0_tables(const ReadView& view) const;
    void rotate() ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);
    absl::Status refused() const;
    absl::Status note(absl::Status status);

    // Constant after construction.
    const EngineOptions options_;
    const uint64_t memtable_bytes_;
    // More than this waits only when the disk does not keep up.
    const uint64_t log_buffer_bytes_max_;
    const std::string directory_;
    env::FileSystem& files_;
    const env::Clock& clock_;
    const ExpiryClock expiry_clock_;

    std::unique_ptr<env::FileLock> lock_;
    BlockCache blocks_;
    mutable TableCache tables_;
    ValueFiles values_;
    const std::unique_ptr<Catalog> catalog_;
    const std::unique_ptr<Log> log_;
    // Shared with snapshots, which may be released late.
    const std::shared_ptr<SnapshotList> snapshots_ = std::make_shared<SnapshotList>();
    const LiveCount live_snapshots_;
    const LiveCount live_iterators_;
    CurrentView view_;
    Background background_;

    // What readers may see.
    std::atomic<Sequence> last_sequence_;
    // Of the newest range removal; written before last_sequence_ reaches it.
    std::atomic<Sequence> last_range_removal_ = 0;
    std::atomic<bool> closed_ = false;

    // Written under write_mutex_.
    std::atomic<uint64_t> user_written_bytes_ = 0;
    std::atomic<uint64_t> stalls_ = 0;
    std::atomic<base::Duration::rep> stall_time_ = 0;
    // Since the clock's begin; -1: writes are taken.
    std::atomic<base::Duration::rep> stalled_since_ = -1;

    absl::Mutex write_mutex_;
    // The view's active memtable.
    Memtable* active_ ABSL_GUARDED_BY(write_mutex_);
    uint64_t flushes_when_last_quiet_ ABSL_GUARDED_BY(write_mutex_) = 0;
};

LsmEngine::LsmEngine(const std::string& directory,
                     const EngineOptions& options,
                     EngineEnvironment environment,
                     std::unique_ptr<env::FileLock> lock,
                     Recovered recovered)
    : options_(options),
      memtable_bytes_(options.memory_bytes_max / options.memtables_max),
      log_buffer_bytes_max_(log_buffer_bytes_max(options.memory_bytes_max)),
      directory_(directory),
      files_(environment.files),
      clock_(environment.clock),
      expiry_clock_(environment.wall_clock, recovered.catalog->version()->expired_until()),
      lock_(std::move(lock)),
      blocks_(options.block_cache_bytes, options.block_cache_policy, options.block_bytes),
      tables_(environment.files, directory, blocks_, options),
      values_(environment.files, directory, value_files_open_max),
      catalog_(std::move(recovered.catalog)),
      log_(std::move(recovered.log)),
      view_(recovered.memtables.front(), catalog_->version()),
      background_(directory,
                  options,
                  {.files = environment.files,
                   .catalog = *catalog_,
                   .log = *log_,
                   .tables = tables_,
                   .values = values_,
                   .view = view_,
                   .snapshots = *snapshots_,
                   .expiry_clock = expiry_clock_,
                   .clock = environment.clock},
                  environment.workers,
                  std::move(recovered.damage)),
      last_sequence_(recovered.last_sequence),
      active_(recovered.memtables.back().get()) {
    for (size_t i = 0; i < recovered.memtables.size(); ++i) {
        if (i > 0) {
            view_.rotate(recovered.memtables[i]);
        }
        if (const auto& removals = recovered.memtables[i]->range_removals(); !removals.empty()) {
            view_.remove_ranges(removals);
        }
    }
}

absl::Status LsmEngine::refused() const {
    return read_only_since(background_.error());
}

// An error of the log is final, but for a full disk.
absl::Status LsmEngine::note(absl::Status status) {
    if (status.ok()) {
        return status;
    }
    if (absl::IsResourceExhausted(status)) {
        STARLING_MARK(engine_disk_full_at_sync);
        return disk_full_error(std::string(status.message()));
    }
    STARLING_MARK(engine_log_error);
    background_.set_error(status);
    return refused();
}

absl::Status LsmEngine::admit_write() {
    if (closed_.load(std::memory_order_acquire)) {
        return closed_error();
    }
    if (background_.has_error()) {
        STARLING_MARK(engine_write_refused_read_only);
        return refused();
    }
    if (log_->disk_full() || log_->buffered_bytes() > log_buffer_bytes_max_) {
        STARLING_RETURN_IF_ERROR(note(log_->write_out_if_idle()));
        if (log_->disk_full()) {
            STARLING_MARK(engine_log_cannot_grow);
            return disk_full_error(fmt::format("{}: the log cannot grow", directory_));
        }
        if (log_->buffered_bytes() > log_buffer_bytes_max_) {
            STARLING_MARK(engine_stalled_by_log);
            return stalled_error("the log is being synced");
        }
    }
    return absl::OkStatus();
}

absl::Status LsmEngine::write(const WriteBatch& batch, WriteOptions options) noexcept {
    return note_stall(try_write(batch, options));
}

absl::Status LsmEngine::write_if(std::span<const Condition> conditions,
                                 const WriteBatch& batch,
                                 WriteOptions options) noexcept {
    return note_stall(try_write_if(conditions, batch, options));
}

// Counts refusals, and the time from the first of a row to the next write that is taken.
absl::Status LsmEngine::note_stall(absl::Status status) {
    constexpr base::Duration::rep not_stalled = -1;
    base::Duration::rep since = stalled_since_.load(std::memory_order_relaxed);
    if (status.ok()) {
        if (since != not_stalled && stalled_since_.compare_exchange_strong(since, not_stalled)) {
            stall_time_.fetch_add(clock_.now().time_since_epoch().count() - since,
                                  std::memory_order_relaxed);
        }
    } else if (absl::IsUnavailable(status) || absl::IsResourceExhausted(status)) {
        stalls_.fetch_add(1, std::memory_order_relaxed);
        since = not_stalled;
        STARLING_MARK(engine_stalled);
        stalled_since_.compare_exchange_strong(since, clock_.now().time_since_epoch().count());
    }
    return status;
}

absl::Status LsmEngine::try_write(const WriteBatch& batch, WriteOptions options) {
    STARLING_RETURN_IF_ERROR(admit_write());
    STARLING_RETURN_IF_ERROR(check_batch(batch));
    bool rotated = false;
    absl::Status status;
    if (!batch.empty()) {
        absl::MutexLock lock(&write_mutex_);
        status = apply(batch, options.urgent, rotated);
    }
    return finish_write(status, rotated, options);
}

absl::Status LsmEngine::try_write_if(std::span<const Condition> conditions,
                                     const WriteBatch& batch,
                                     WriteOptions options) {
    STARLING_RETURN_IF_ERROR(admit_write());
    STARLING_RETURN_IF_ERROR(check_batch(batch));
    bool rotated = false;
    absl::Status status;
    for (;;) {
        // The disk is read without the lock; under it, memory tells whether that still holds.
        const ReadPoint point = read_point();
        STARLING_RETURN_IF_ERROR(check_conditions(conditions, point));
        absl::MutexLock lock(&write_mutex_);
        if (unchanged_since(point, conditions)) {
            status = batch.empty() ? absl::OkStatus() : apply(batch, options.urgent, rotated);
            break;
        }
    }
    return finish_write(status, rotated, options);
}

absl::Status LsmEngine::check_conditions(std::span<const Condition> conditions,
                                         const ReadPoint& point) {
    for (const Condition& condition : conditions) {
        STARLING_ASSIGN_OR_RETURN(const std::optional<Entry> entry,
                                  read(condition.key, point, ReadMode::cached));
        const bool holds = entry.has_value() == condition.expected.has_value() &&
                           (!entry.has_value() || entry->value == *condition.expected);
        if (!holds) {
            return condition_failed(condition);
        }
    }
    return absl::OkStatus();
}

// False also when memory no longer holds all that was written since.
bool LsmEngine::unchanged_since(const ReadPoint& point,
                                std::span<const Condition> conditions) const {
    const auto view = view_.get();
    std::vector<const Memtable*> newer = {view->active.get()};
    for (auto memtable = view->immutable.begin();
         newer.back() != point.view->active.get() && memtable != view->immutable.end();
         ++memtable) {
        newer.push_back(memtable->get());
    }
    if (newer.back() != point.view->active.get()) {
        return false;
    }
    FoundEntry found;
    return std::all_of(conditions.begin(), conditions.end(), [&](const Condition& condition) {
        const bool changed = std::any_of(newer.begin(), newer.end(), [&](const Memtable* memtable) {
            return memtable->get(condition.key, sequence_max, found) &&
                   sequence_of_tag(found.tag) > point.sequence;
        });
        return !changed && view->range_removals->first_after(condition.key, point.sequence) == 0;
    });
}

absl::Status LsmEngine::finish_write(const absl::Status& applied,
                                     bool rotated,
                                     WriteOptions options) {
    if (rotated || background_.disk_full() || !applied.ok()) {
        background_.schedule();
    }
    STARLING_RETURN_IF_ERROR(applied);
    if (options.sync) {
        return sync();
    }
    if (log_->buffered_bytes() >= log_write_bytes) {
        STARLING_MARK(engine_writes_log_out_unasked);
        // The batch is visible, so it was not refused. What the file does not take is the matter of
        // the next sync, which fails; a full disk is the next write's, this one is in the memory of
        // the log.
        note(log_->write_out_if_idle()).IgnoreError();
    }
    return absl::OkStatus();
}

absl::Status LsmEngine::apply(const WriteBatch& batch, bool is_urgent, bool& rotated) {
    STARLING_RETURN_IF_ERROR(make_room(batch, is_urgent, rotated));
    const size_t range_removals_before = active_->range_removals().size();
    const Sequence last = last_sequence_.load(std::memory_order_relaxed);
    log_->append(last + 1, batch.representation());
    MemtableAdder adder(*active_, last);
    STARLING_CHECK(WriteBatch::replay(batch.representation(), adder).ok());
    const std::span<const RangeRemoval> removals(active_->range_removals());
    if (removals.size() > range_removals_before) {
        view_.remove_ranges(removals.subspan(range_removals_before));
        last_range_removal_.store(removals.back().sequence, std::memory_order_relaxed);
    }
    last_sequence_.store(adder.sequence(), std::memory_order_release);
    user_written_bytes_.store(user_written_bytes_.load(std::memory_order_relaxed) + adder.bytes(),
                              std::memory_order_relaxed);
    return absl::OkStatus();
}

// With those that memtables which wait become.
size_t LsmEngine::level_0_tables(const ReadView& view) const {
    const size_t per_memtable = options_.table_border.empty() ? 1 : 2;
    return view.version->level(0).size() + per_memtable * view.immutable.size();
}

absl::Status LsmEngine::make_room(const WriteBatch& batch, bool is_urgent, bool& rotated) {
    const auto view = view_.get();
    if (batch.range_removal_count() > 0 &&
        view->range_removals->list().size() >= range_removals_wait_max) {
        return stalled_error("removed ranges wait for compaction, or for snapshots that see them");
    }
    if (active_->used_bytes() < memtable_bytes_ &&
        active_->range_removals().size() < engine_range_removals_max) {
        return absl::OkStatus();
    }
    const bool memory_full = view->immutable.size() + 1 >= options_.memtables_max;
    const bool level_0_full = !is_urgent && level_0_tables(*view) >= options_.level_0_tables_stall;
    if (memory_full || level_0_full) {
        if (background_.disk_full()) {
            STARLING_MARK(engine_disk_full_for_flush);
            return disk_full_error(fmt::format("{}: memtables cannot be flushed", directory_));
        }
        if (memory_full) {
            STARLING_MARK(engine_stalled_by_flush);
            return stalled_error("memtables wait for their flush");
        }
        STARLING_MARK(engine_stalled_by_level_0);
        return stalled_error("tables wait for compaction");
    }
    STARLING_MARK(engine_memtable_rotated);
    rotate();
    rotated = true;
    return absl::OkStatus();
}

void LsmEngine::rotate() {
    const uint64_t number = catalog_->next_file_number();
    auto next = std::make_shared<Memtable>(number);
    active_ = next.get();
    log_->roll(number);
    view_.rotate(std::move(next));
}

absl::Status LsmEngine::sync() noexcept {
    if (closed_.load(std::memory_order_acquire)) {
        return closed_error();
    }
    if (background_.has_error()) {
        STARLING_MARK(engine_sync_refused_read_only);
        return refused();
    }
    return note(log_->sync());
}

// The view first: a compaction may drop what only an older sequence sees, but not from this view.
// Yet a view from before a range removal does not go with a sequence from after it.
LsmEngine::ReadPoint LsmEngine::read_point() const {
    for (;;) {
        ReadPoint point{.view = view_.get(),
                        .sequence = last_sequence_.load(std::memory_order_acquire)};
        if (last_range_removal_.load(std::memory_order_relaxed) <= point.view->last_range_removal)
            [[likely]] {
            return point;
        }
    }
}

LsmEngine::ReadPoint LsmEngine::read_point(const Snapshot* snapshot) const {
    ReadPoint point = read_point();
    if (snapshot != nullptr) {
        point.sequence = static_cast<const LsmSnapshot*>(snapshot)->sequence();
    }
    return point;
}

absl::StatusOr<std::optional<std::string>> LsmEngine::get(std::string_view key,
                                                          const Snapshot* snapshot) noexcept {
    STARLING_ASSIGN_OR_RETURN(std::optional<Entry> entry, get_entry(key, snapshot));
    return entry.has_value() ? std::optional<std::string>(std::move(entry->value)) : std::nullopt;
}

absl::StatusOr<std::optional<Entry>> LsmEngine::get_entry(std::string_view key,
                                                          const Snapshot* snapshot) noexcept {
    if (closed_.load(std::memory_order_acquire)) {
        return closed_error();
    }
    return read(key, read_point(snapshot), ReadMode::cached);
}

absl::StatusOr<std::optional<std::string>> LsmEngine::get_from_memory(
    std::string_view key) noexcept {
    if (closed_.load(std::memory_order_acquire)) {
        return closed_error();
    }
    STARLING_ASSIGN_OR_RETURN(std::optional<Entry> entry,
                              read(key, read_point(), ReadMode::memory_only));
    return entry.has_value() ? std::optional<std::string>(std::move(entry->value)) : std::nullopt;
}

absl::StatusOr<std::optional<Entry>> LsmEngine::read(std::string_view key,
                                                     const ReadPoint& point,
                                                     ReadMode mode) {
    const ReadView& view = *point.view;
    FoundEntry found;
    bool present = view.active->get(key, point.sequence, found);
    for (size_t i = 0; !present && i < view.immutable.size(); ++i) {
        present = view.immutable[i]->get(key, point.sequence, found);
    }
    if (!present) {
        STARLING_ASSIGN_OR_RETURN(
            present, view.version->get(tables_, LookupKey(key, point.sequence), mode, found));
    }
    const ChangeKind kind = kind_of_tag(found.tag);
    if (!present || kind == ChangeKind::remove ||
        view.range_removals->hides(key, sequence_of_tag(found.tag), point.sequence)) {
        return std::nullopt;
    }
    if (kind == ChangeKind::put) [[likely]] {
        return Entry{.value = std::move(found.value)};
    }
    const auto value = view_value(kind, found.value);
    if (!value.has_value()) {
        return absl::DataLossError("a value is not what its kind says");
    }
    if (expiry_clock_.has_passed(value->expiry)) {
        return std::nullopt;
    }
    if (value->is_separate) {
        if (mode == ReadMode::memory_only) {
            return absl::UnavailableError("not in memory");
        }
        STARLING_ASSIGN_OR_RETURN(std::string separate,
                                  values_.read(*decode_value_pointer(value->value)));
        return Entry{.value = std::move(separate), .expiry = value->expiry};
    }
    return Entry{.value = std::string(value->value), .expiry = value->expiry};
}

std::unique_ptr<Iterator> LsmEngine::new_iterator(IteratorOptions options) noexcept {
    if (closed_.load(std::memory_order_acquire)) {
        return new_refused_iterator(closed_error());
    }
    auto [view, sequence] = read_point(options.snapshot);
    std::vector<std::unique_ptr<InternalIterator>> sources;
    // What is added from now on is newer than `sequence`.
    if (view->active->has_entries()) {
        sources.push_back(view->active->new_iterator());
    }
    for (const auto& memtable : view->immutable) {
        sources.push_back(memtable->new_iterator());
    }
    view->version->add_iterators(
        tables_, options_.kinds_apart ? std::string_view(options.upper) : "", sources);
    return new_user_iterator(std::move(view),
                             new_merging_iterator(std::move(sources)),
                             std::move(options),
                             sequence,
                             expiry_clock_.now(),
                             values_,
                             live_iterators_.hold());
}

std::unique_ptr<Snapshot> LsmEngine::snapshot() noexcept {
    return std::make_unique<LsmSnapshot>(snapshots_, last_sequence_, live_snapshots_.hold());
}

absl::Status LsmEngine::checkpoint(const std::string& directory) noexcept {
    STARLING_RETURN_IF_ERROR(sync());
    return make_checkpoint(files_, directory_, directory, *catalog_, *log_);
}

absl::Status LsmEngine::compact() noexcept {
    if (closed_.load(std::memory_order_acquire)) {
        return closed_error();
    }
    if (background_.has_error()) {
        return refused();
    }
    {
        absl::MutexLock lock(&write_mutex_);
        if (!active_->empty()) {
            rotate();
        }
    }
    absl::Status status = background_.compact_everything();
    if (absl::IsCancelled(status)) {
        return closed_error();
    }
    const bool met_damage = absl::IsDataLoss(status) && !background_.damage().ok();
    if (!status.ok() && !absl::IsResourceExhausted(status) && !met_damage) {
        background_.set_error(status);
        return refused();
    }
    return status;
}

void LsmEngine::reclaim_while_quiet() noexcept {
    if (closed_.load(std::memory_order_acquire) || background_.has_error()) return;
    const uint64_t flushes = background_.jobs().flush_count();
    {
        absl::MutexLock lock(&write_mutex_);
        if (std::exchange(flushes_when_last_quiet_, flushes) != flushes) return;
        if (active_->is_mostly_removals()) {
            STARLING_MARK(engine_flushes_removals_while_quiet);
            rotate();
            // That is nobody's writing.
            ++flushes_when_last_quiet_;
        }
    }
    background_.reclaim_removed();
    background_.remove_unused_soon();
}

absl::StatusOr<std::vector<KeyRange>> LsmEngine::find_damage() noexcept {
    if (closed_.load(std::memory_order_acquire)) {
        return closed_error();
    }
    return background_.find_damage();
}

absl::StatusOr<ScrubStep> LsmEngine::scrub(uint64_t bytes) noexcept {
    if (closed_.load(std::memory_order_acquire)) {
        return closed_error();
    }
    return background_.scrub(bytes);
}

absl::Status LsmEngine::give_up(std::span<const KeyRange> ranges) noexcept {
    if (closed_.load(std::memory_order_acquire)) {
        return closed_error();
    }
    if (background_.has_error()) {
        return refused();
    }
    absl::Status status = background_.give_up(ranges);
    return !status.ok() && background_.has_error() ? refused() : status;
}

// The larger part of what may wait for memtables, for level 0, or for the log.
WritePressure LsmEngine::write_pressure() const {
    const auto view = view_.get();
    const size_t waiting = view->immutable.size();
    const size_t waiting_max = options_.memtables_max - 1;
    const size_t level_0 = level_0_tables(*view);
    const size_t level_0_rising =
        (options_.level_0_tables_compact + options_.level_0_tables_stall) / 2;
    const uint64_t log_bytes = log_->buffered_bytes();
    if (waiting >= waiting_max || level_0 >= options_.level_0_tables_stall ||
        log_bytes > log_buffer_bytes_max_ || log_->disk_full() || background_.disk_full() ||
        background_.has_error()) {
        return WritePressure::refusing;
    }
    const bool rises = waiting * 2 >= waiting_max || level_0 > level_0_rising ||
                       log_bytes > log_buffer_bytes_max_ / 2;
    return rises ? WritePressure::rising : WritePressure::none;
}

absl::Status LsmEngine::background_error() const {
    return background_.error();
}

EngineStatistics LsmEngine::statistics() const {
    const auto view = view_.get();
    EngineStatistics statistics;
    statistics.memory_bytes = view->active->memory_bytes() + blocks_.memory_bytes() +
                              tables_.memory_bytes() + log_->buffered_bytes();
    for (const auto& memtable : view->immutable) {
        statistics.memory_bytes += memtable->memory_bytes();
    }
    statistics.log_bytes = log_->size();
    statistics.disk_bytes = view->version->table_bytes() + statistics.log_bytes +
                            log_->spare_bytes() + catalog_->manifest_bytes();
    for (const Version::ValueFile& file : view->version->value_files()) {
        statistics.value_file_bytes += file.file_bytes;
        statistics.value_file_garbage_bytes += file.file_bytes - file.live_bytes;
    }
    statistics.disk_bytes += statistics.value_file_bytes;
    statistics.user_written_bytes = user_written_bytes_.load(std::memory_order_relaxed);
    statistics.disk_written_bytes = log_->written_bytes();
    for (uint32_t level = 0; level < level_count; ++level) {
        statistics.levels.push_back({.tables = view->version->level(level).size(),
                                     .bytes = view->version->level_bytes(level),
                                     .read_bytes = background_.jobs().read_bytes(level),
                                     .written_bytes = background_.jobs().written_bytes(level)});
        statistics.disk_written_bytes += statistics.levels.back().written_bytes;
    }
    statistics.stalls = stalls_.load(std::memory_order_relaxed);
    statistics.stall_time = base::Duration(stall_time_.load(std::memory_order_relaxed));
    statistics.snapshots = live_snapshots_.value();
    statistics.iterators = live_iterators_.value();
    statistics.flushes = background_.jobs().flush_count();
    statistics.compactions = background_.jobs().compaction_count();
    statistics.syncs = log_->sync_count();
    statistics.block_cache_hits = blocks_.hits();
    statistics.block_cache_misses = blocks_.misses();
    return statistics;
}

absl::Status LsmEngine::close() noexcept {
    if (closed_.exchange(true)) {
        return closed_error();
    }
    background_.stop();
    if (options_.read_only) {
        lock_.reset();
        return absl::OkStatus();
    }
    absl::Status status = background_.has_error() ? refused() : note(log_->sync());
    if (status.ok()) {
        absl::MutexLock lock(&write_mutex_);
        if (!active_->empty()) {
            rotate();
        }
    }
    if (status.ok()) {
        STARLING_MARK(engine_closed_in_order);
        // Everything is durable in the log already: a full disk only makes the next start slower.
        status = background_.flush_all();
        if (absl::IsResourceExhausted(status)) {
            status = absl::OkStatus();
        }
    }
    log_->close();
    lock_.reset();
    return status;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> open_lsm_engine(const std::string& directory,
                                                        const EngineOptions& options,
                                                        EngineEnvironment environment,
                                                        std::unique_ptr<env::FileLock> lock) {
    STARLING_RETURN_IF_ERROR(check_options(options));
    STARLING_ASSIGN_OR_RETURN(Recovered recovered,
                              recover(environment.files,
                                      directory,
                                      options,
                                      options.memory_bytes_max / options.memtables_max));
    auto engine = std::make_unique<LsmEngine>(
        directory, options, environment, std::move(lock), std::move(recovered));
    if (!options.read_only) {
        engine->begin_background_work();
    }
    return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace starling::storage::lsm
