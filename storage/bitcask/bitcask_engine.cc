#include "storage/bitcask/bitcask_engine.h"

#include <atomic>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "storage/bitcask/appender.h"
#include "storage/bitcask/maintenance.h"
#include "storage/bitcask/recovery.h"
#include "storage/bitcask/value_reader.h"
#include "storage/bounded_iterator.h"
#include "storage/condition.h"
#include "storage/errors.h"
#include "storage/limits.h"
#include "storage/live_count.h"

namespace starling::storage::bitcask {

namespace {

// What is written to the file at once while nobody asks for a sync.
constexpr uint64_t log_write_bytes = 256u << 10;

using Found = KeyDirectory::Found;

// Shares the directory, so that one released late does not touch freed memory.
class BitcaskSnapshot final : public Snapshot {
  public:
    // Without a hold: an iterator's own.
    explicit BitcaskSnapshot(std::shared_ptr<KeyDirectory> keys,
                             std::optional<LiveCount::Hold> hold = std::nullopt)
        : keys_(std::move(keys)), sequence_(keys_->take_snapshot()), hold_(std::move(hold)) {}
    ~BitcaskSnapshot() override { keys_->release_snapshot(sequence_); }
    BitcaskSnapshot(const BitcaskSnapshot&) = delete;
    BitcaskSnapshot& operator=(const BitcaskSnapshot&) = delete;

    Sequence sequence() const { return sequence_; }

  private:
    const std::shared_ptr<KeyDirectory> keys_;
    const Sequence sequence_;
    const std::optional<LiveCount::Hold> hold_;
};

absl::StatusOr<std::string> value_of(const Found& found, ValueReader& values) {
    if (found.recent != nullptr) {
        return found.recent_value();
    }
    return values.read(found.key, found.location);
}

class BitcaskSource final : public EntrySource {
  public:
    BitcaskSource(std::shared_ptr<KeyDirectory> keys,
                  std::shared_ptr<ValueReader> values,
                  const IteratorOptions& options,
                  Expiry now)
        : keys_(std::move(keys)),
          values_(std::move(values)),
          now_(options.include_expired ? 0 : now) {
        if (options.snapshot == nullptr) {
            own_snapshot_ = std::make_unique<BitcaskSnapshot>(keys_);
            sequence_ = own_snapshot_->sequence();
        } else {
            sequence_ = static_cast<const BitcaskSnapshot*>(options.snapshot)->sequence();
        }
    }

    absl::StatusOr<std::optional<KeyedEntry>> first_from(std::string_view key,
                                                         bool beyond,
                                                         std::string_view end) override {
        return with_value(keys_->first_from(key, beyond, end, sequence_, now_));
    }
    absl::StatusOr<std::optional<KeyedEntry>> last_before(std::optional<std::string_view> key,
                                                          std::string_view begin) override {
        return with_value(keys_->last_before(key, begin, sequence_, now_));
    }

  private:
    absl::StatusOr<std::optional<KeyedEntry>> with_value(std::optional<Found> found) {
        if (!found.has_value()) {
            return std::nullopt;
        }
        STARLING_ASSIGN_OR_RETURN(std::string value, value_of(*found, *values_));
        return KeyedEntry{
            .key = std::move(found->key), .value = std::move(value), .expiry = found->expiry};
    }

    const std::shared_ptr<KeyDirectory> keys_;
    const std::shared_ptr<ValueReader> values_;
    const Expiry now_;
    std::unique_ptr<BitcaskSnapshot> own_snapshot_;
    Sequence sequence_ = 0;
};

uint64_t user_bytes(std::span<const Change> changes) {
    uint64_t bytes = 0;
    for (const Change& change : changes) {
        bytes += change.key.size() + change.end.size() + change.location.size;
    }
    return bytes;
}

class BitcaskEngine final : public Engine {
  public:
    BitcaskEngine(const std::string& directory,
                  const EngineOptions& options,
                  EngineEnvironment environment,
                  std::unique_ptr<env::FileLock> lock,
                  Recovered recovered)
        : directory_(directory),
          read_only_(options.read_only),
          log_buffer_bytes_max_(log_buffer_bytes_max(options.memory_bytes_max)),
          expiry_clock_(environment.wall_clock, 0),
          lock_(std::move(lock)),
          keys_(std::move(recovered.keys)),
          values_(
              std::make_shared<ValueReader>(environment.files, directory, options.open_tables_max)),
          log_(std::move(recovered.log)),
          appender_(*log_, *keys_, options.bitcask_file_bytes, recovered.list.log.number),
          maintenance_(directory,
                       options,
                       {.files = environment.files,
                        .workers = environment.workers,
                        .log = *log_,
                        .keys = *keys_,
                        .appender = appender_,
                        .values = *values_,
                        .expiry_clock = expiry_clock_},
                       std::move(recovered.list)) {}
    ~BitcaskEngine() override { maintenance_.stop(); }

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
    std::unique_ptr<Snapshot> snapshot() noexcept override {
        return std::make_unique<BitcaskSnapshot>(keys_, live_snapshots_.hold());
    }
    absl::Status checkpoint(const std::string& directory) noexcept override;
    absl::Status compact() noexcept override;
    // Garbage is merged away as it grows; what remains are files that readers held meanwhile.
    void reclaim_while_quiet() noexcept override { maintenance_.schedule(); }
    absl::StatusOr<std::vector<KeyRange>> find_damage() noexcept override;
    absl::StatusOr<ScrubStep> scrub(uint64_t bytes) noexcept override;
    absl::Status give_up(std::span<const KeyRange> ranges) noexcept override;
    void end_searches() noexcept override { maintenance_.end_searches(); }
    absl::Status damage() const override { return maintenance_.damage(); }
    uint64_t approximate_bytes(std::string_view begin, std::string_view end) const override {
        return keys_->approximate_bytes(begin, end);
    }
    WritePressure write_pressure() const override;
    absl::Status background_error() const override { return maintenance_.error(); }
    EngineStatistics statistics() const override;
    absl::Status close() noexcept override;

    void begin_background_work() { maintenance_.schedule(); }

  private:
    // Of a key that a condition names: the change that made what it holds; 0: it is absent.
    using Seen = std::vector<Sequence>;

    absl::Status usable() const;
    absl::Status refused() const;
    absl::Status note(absl::Status status);
    absl::Status admit_write();
    absl::Status finish_write(bool rolled, WriteOptions options);
    absl::StatusOr<Seen> check_conditions(std::span<const Condition> conditions);
    bool unchanged(std::span<const Condition> conditions, const Seen& seen) const;

    const std::string directory_;
    const bool read_only_;
    // More than this waits only when the disk does not keep up.
    const uint64_t log_buffer_bytes_max_;
    const ExpiryClock expiry_clock_;
    std::unique_ptr<env::FileLock> lock_;
    // Shared with snapshots and iterators, which may be released after the engine.
    const std::shared_ptr<KeyDirectory> keys_;
    const std::shared_ptr<ValueReader> values_;
    const std::unique_ptr<Log> log_;
    Appender appender_;
    Maintenance maintenance_;

    std::atomic<bool> closed_ = false;
    std::atomic<uint64_t> user_written_bytes_ = 0;
    std::atomic<uint64_t> log_written_bytes_ = 0;
    const LiveCount live_snapshots_;
    const LiveCount live_iterators_;
};

absl::Status BitcaskEngine::refused() const {
    return read_only_since(maintenance_.error());
}

absl::Status BitcaskEngine::usable() const {
    if (closed_.load(std::memory_order_acquire)) {
        return closed_error();
    }
    return maintenance_.has_error() ? refused() : absl::OkStatus();
}

// An error of the log is final, but for a full disk.
absl::Status BitcaskEngine::note(absl::Status status) {
    if (status.ok()) {
        return status;
    }
    if (absl::IsResourceExhausted(status)) {
        return disk_full_error(std::string(status.message()));
    }
    maintenance_.set_error(status);
    return refused();
}

absl::Status BitcaskEngine::admit_write() {
    STARLING_RETURN_IF_ERROR(usable());
    if (log_->disk_full() || log_->buffered_bytes() > log_buffer_bytes_max_) {
        STARLING_RETURN_IF_ERROR(note(log_->write_out_if_idle()));
        if (log_->disk_full()) {
            return disk_full_error(fmt::format("{}: the data file cannot grow", directory_));
        }
        if (log_->buffered_bytes() > log_buffer_bytes_max_) {
            return stalled_error("the data file is being synced");
        }
    }
    return absl::OkStatus();
}

absl::Status BitcaskEngine::write(const WriteBatch& batch, WriteOptions options) noexcept {
    return write_if({}, batch, options);
}

absl::Status BitcaskEngine::write_if(std::span<const Condition> conditions,
                                     const WriteBatch& batch,
                                     WriteOptions options) noexcept {
    STARLING_RETURN_IF_ERROR(admit_write());
    STARLING_RETURN_IF_ERROR(check_batch(batch));
    STARLING_ASSIGN_OR_RETURN(const std::vector<Change> changes,
                              changes_of(batch.representation(), 0, 0, 0));
    Appender::Outcome outcome;
    while (!outcome.applied) {
        // Values are read without the lock; under it, the directory tells whether they still hold.
        STARLING_ASSIGN_OR_RETURN(const Seen seen, check_conditions(conditions));
        outcome = appender_.append(batch, changes, [&] { return unchanged(conditions, seen); });
    }
    if (!batch.empty()) {
        user_written_bytes_.fetch_add(user_bytes(changes), std::memory_order_relaxed);
        log_written_bytes_.fetch_add(batch.byte_size() + record_header_bytes,
                                     std::memory_order_relaxed);
    }
    return finish_write(outcome.rolled, options);
}

absl::StatusOr<BitcaskEngine::Seen> BitcaskEngine::check_conditions(
    std::span<const Condition> conditions) {
    Seen seen;
    for (const Condition& condition : conditions) {
        const auto found = keys_->find(condition.key, std::nullopt, expiry_clock_.now());
        bool holds = found.has_value() == condition.expected.has_value();
        if (holds && found.has_value()) {
            holds = found->location.size == condition.expected->size();
            if (holds) {
                STARLING_ASSIGN_OR_RETURN(const std::string value, value_of(*found, *values_));
                holds = value == *condition.expected;
            }
        }
        if (!holds) {
            return condition_failed(condition);
        }
        seen.push_back(found.has_value() ? found->sequence : 0);
    }
    return seen;
}

bool BitcaskEngine::unchanged(std::span<const Condition> conditions, const Seen& seen) const {
    for (size_t i = 0; i < conditions.size(); ++i) {
        const auto found = keys_->find(conditions[i].key, std::nullopt, expiry_clock_.now());
        if ((found.has_value() ? found->sequence : 0) != seen[i]) {
            return false;
        }
    }
    return true;
}

absl::Status BitcaskEngine::finish_write(bool rolled, WriteOptions options) {
    if (rolled || maintenance_.disk_full()) {
        maintenance_.schedule();
    } else {
        maintenance_.schedule_if_due();
    }
    if (options.sync) {
        return sync();
    }
    if (log_->buffered_bytes() >= log_write_bytes) {
        // The batch is visible, so it was not refused. What the file does not take is the matter of
        // the next sync, which fails; a full disk is the next write's, this one is in the memory of
        // the log.
        note(log_->write_out_if_idle()).IgnoreError();
    }
    return absl::OkStatus();
}

absl::Status BitcaskEngine::sync() noexcept {
    STARLING_RETURN_IF_ERROR(usable());
    return note(log_->sync());
}

absl::StatusOr<std::optional<Entry>> BitcaskEngine::get_entry(std::string_view key,
                                                              const Snapshot* snapshot) noexcept {
    if (closed_.load(std::memory_order_acquire)) {
        return closed_error();
    }
    const auto at =
        snapshot == nullptr
            ? std::nullopt
            : KeyDirectory::At(static_cast<const BitcaskSnapshot*>(snapshot)->sequence());
    const auto found = keys_->find(key, at, expiry_clock_.now());
    if (!found.has_value()) {
        return std::nullopt;
    }
    STARLING_ASSIGN_OR_RETURN(std::string value, value_of(*found, *values_));
    return Entry{.value = std::move(value), .expiry = found->expiry};
}

absl::StatusOr<std::optional<std::string>> BitcaskEngine::get(std::string_view key,
                                                              const Snapshot* snapshot) noexcept {
    STARLING_ASSIGN_OR_RETURN(std::optional<Entry> entry, get_entry(key, snapshot));
    return entry.has_value() ? std::optional<std::string>(std::move(entry->value)) : std::nullopt;
}

absl::StatusOr<std::optional<std::string>> BitcaskEngine::get_from_memory(
    std::string_view key) noexcept {
    if (closed_.load(std::memory_order_acquire)) {
        return closed_error();
    }
    const auto found = keys_->find(key, std::nullopt, expiry_clock_.now());
    if (!found.has_value()) {
        return std::nullopt;
    }
    if (found->recent == nullptr) {
        return absl::UnavailableError("the value is on the disk");
    }
    return found->recent_value();
}

std::unique_ptr<Iterator> BitcaskEngine::new_iterator(IteratorOptions options) noexcept {
    if (closed_.load(std::memory_order_acquire)) {
        return new_refused_iterator(closed_error());
    }
    auto source = std::make_unique<BitcaskSource>(keys_, values_, options, expiry_clock_.now());
    return new_bounded_iterator(std::move(source),
                                std::move(options.lower),
                                std::move(options.upper),
                                live_iterators_.hold());
}

absl::Status BitcaskEngine::checkpoint(const std::string& directory) noexcept {
    STARLING_RETURN_IF_ERROR(usable());
    return maintenance_.checkpoint(directory);
}

absl::Status BitcaskEngine::compact() noexcept {
    STARLING_RETURN_IF_ERROR(usable());
    return maintenance_.compact();
}

absl::StatusOr<std::vector<KeyRange>> BitcaskEngine::find_damage() noexcept {
    if (closed_.load(std::memory_order_acquire)) {
        return closed_error();
    }
    return maintenance_.find_damage();
}

absl::StatusOr<ScrubStep> BitcaskEngine::scrub(uint64_t bytes) noexcept {
    if (closed_.load(std::memory_order_acquire)) {
        return closed_error();
    }
    return maintenance_.scrub(bytes);
}

absl::Status BitcaskEngine::give_up(std::span<const KeyRange> ranges) noexcept {
    STARLING_RETURN_IF_ERROR(usable());
    absl::Status status = maintenance_.give_up(ranges);
    return !status.ok() && maintenance_.has_error() ? refused() : status;
}

WritePressure BitcaskEngine::write_pressure() const {
    if (maintenance_.has_error() || log_->disk_full() ||
        log_->buffered_bytes() > log_buffer_bytes_max_) {
        return WritePressure::refusing;
    }
    return log_->buffered_bytes() > log_buffer_bytes_max_ / 2 ? WritePressure::rising
                                                              : WritePressure::none;
}

EngineStatistics BitcaskEngine::statistics() const {
    const KeyDirectory::Sizes sizes = keys_->sizes();
    EngineStatistics statistics;
    statistics.memory_bytes = sizes.memory_bytes + log_->buffered_bytes();
    statistics.disk_bytes = sizes.file_bytes;
    statistics.log_bytes = log_->size();
    statistics.snapshots = live_snapshots_.value();
    statistics.iterators = live_iterators_.value();
    statistics.flushes = maintenance_.completed_count();
    statistics.compactions = maintenance_.merge_count();
    statistics.syncs = log_->sync_count();
    statistics.user_written_bytes = user_written_bytes_.load(std::memory_order_relaxed);
    statistics.disk_written_bytes =
        log_written_bytes_.load(std::memory_order_relaxed) + maintenance_.merged_bytes();
    statistics.live_bytes = sizes.file_bytes - sizes.stale_bytes;
    statistics.value_file_bytes = sizes.file_bytes;
    statistics.value_file_garbage_bytes = sizes.stale_bytes;
    return statistics;
}

absl::Status BitcaskEngine::close() noexcept {
    if (closed_.exchange(true)) {
        return closed_error();
    }
    maintenance_.stop();
    if (read_only_) {
        lock_.reset();
        return absl::OkStatus();
    }
    absl::Status status = maintenance_.has_error() ? refused() : note(log_->sync());
    if (status.ok()) {
        // Everything is durable in the log already: what fails here only makes the next start
        // slower, if the disk is full.
        appender_.roll();
        status = maintenance_.complete();
        if (absl::IsResourceExhausted(status)) {
            status = absl::OkStatus();
        }
    }
    maintenance_.remove_unused_files();
    log_->close();
    lock_.reset();
    return status;
}

absl::Status check_options(const EngineOptions& options) {
    // A file is read as a whole, and may end with a batch that goes beyond the limit.
    if (options.bitcask_file_bytes < 1024 || options.bitcask_file_bytes > (uint64_t{3} << 30)) {
        return absl::InvalidArgumentError(
            "storage options: bitcask_file_bytes must be between 1024 and 3 GiB");
    }
    if (options.open_tables_max < 1) {
        return absl::InvalidArgumentError("storage options: open_tables_max must be positive");
    }
    return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> open_bitcask_engine(const std::string& directory,
                                                            const EngineOptions& options,
                                                            EngineEnvironment environment,
                                                            std::unique_ptr<env::FileLock> lock) {
    STARLING_RETURN_IF_ERROR(check_options(options));
    STARLING_ASSIGN_OR_RETURN(Recovered recovered, recover(environment.files, directory, options));
    auto engine = std::make_unique<BitcaskEngine>(
        directory, options, environment, std::move(lock), std::move(recovered));
    if (!options.read_only) {
        engine->begin_background_work();
    }
    return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace starling::storage::bitcask
