#include "storage/lsm/lsm_engine.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "storage/limits.h"
#include "storage/lsm/background.h"
#include "storage/lsm/merging_iterator.h"
#include "storage/lsm/read_view.h"
#include "storage/lsm/recovery.h"
#include "storage/lsm/snapshot_list.h"
#include "storage/lsm/user_iterator.h"

namespace starling::storage::lsm {

namespace {

// One memtable takes writes, the others wait for their flush.
constexpr uint64_t memtable_count = 4;
// What is written to the file at once while nobody asks for a sync.
constexpr uint64_t log_write_bytes = 256u << 10;
// More than this waits only when the disk does not keep up.
constexpr uint64_t log_buffer_bytes_max = 16u << 20;

absl::Status closed_error() {
    return absl::FailedPreconditionError("the storage engine is closed");
}

absl::Status disk_full_error(std::string_view what) {
    return base::make_error(absl::StatusCode::kResourceExhausted,
                            base::reason::disk_full,
                            fmt::format("the disk is full: {}", what));
}

absl::Status stalled_error(std::string_view what) {
    return absl::UnavailableError(fmt::format("stalled: {}", what));
}

class LsmEngine final : public Engine {
  public:
    LsmEngine(const std::string& directory,
              const EngineOptions& options,
              env::FileSystem& files,
              env::Workers& workers,
              std::unique_ptr<env::FileLock> lock,
              Recovered recovered);
    ~LsmEngine() override { background_.stop(); }

    absl::StatusOr<std::optional<std::string>> get(std::string_view key,
                                                   const Snapshot* snapshot) override;
    absl::StatusOr<std::optional<std::string>> get_from_memory(std::string_view key) override;
    absl::Status write(const WriteBatch& batch, WriteOptions options) override;
    absl::Status sync() override;
    std::unique_ptr<Iterator> new_iterator(IteratorOptions options) override;
    std::unique_ptr<Snapshot> snapshot() override;
    absl::Status background_error() const override;
    EngineStatistics statistics() const override;
    absl::Status close() override;

    void begin_background_work() { background_.schedule(); }

  private:
    absl::StatusOr<std::optional<std::string>> read(std::string_view key,
                                                    Sequence sequence,
                                                    const ReadView& view,
                                                    ReadMode mode);
    absl::Status admit_write();
    absl::Status apply(const WriteBatch& batch, bool& rotated);
    absl::Status make_room(bool& rotated) ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);
    absl::Status refused() const;
    absl::Status note(absl::Status status);

    // Constant after construction.
    const EngineOptions options_;
    const uint64_t memtable_bytes_;

    std::unique_ptr<env::FileLock> lock_;
    BlockCache blocks_;
    TableCache tables_;
    const std::unique_ptr<Catalog> catalog_;
    const std::unique_ptr<Log> log_;
    // Shared with snapshots, which may be released late.
    const std::shared_ptr<SnapshotList> snapshots_ = std::make_shared<SnapshotList>();
    CurrentView view_;
    Background background_;

    // What readers may see.
    std::atomic<Sequence> last_sequence_;
    std::atomic<bool> closed_ = false;

    absl::Mutex write_mutex_;
    // The view's active memtable.
    Memtable* active_ ABSL_GUARDED_BY(write_mutex_);
};

LsmEngine::LsmEngine(const std::string& directory,
                     const EngineOptions& options,
                     env::FileSystem& files,
                     env::Workers& workers,
                     std::unique_ptr<env::FileLock> lock,
                     Recovered recovered)
    : options_(options),
      memtable_bytes_(options.memory_bytes_max / memtable_count),
      lock_(std::move(lock)),
      blocks_(options.block_cache_bytes, options.block_cache_policy, options.block_bytes),
      tables_(files, directory, blocks_, options.open_tables_max),
      catalog_(std::move(recovered.catalog)),
      log_(std::move(recovered.log)),
      view_(ReadView{.active = std::make_shared<Memtable>(recovered.log_number),
                     .immutable = {},
                     .version = catalog_->version()}),
      background_(directory,
                  options,
                  {.files = files,
                   .workers = workers,
                   .catalog = *catalog_,
                   .log = *log_,
                   .tables = tables_,
                   .view = view_,
                   .snapshots = *snapshots_}),
      last_sequence_(recovered.last_sequence),
      active_(view_.get()->active.get()) {}

absl::Status LsmEngine::refused() const {
    const absl::Status error = background_.error();
    return base::make_error(
        absl::StatusCode::kFailedPrecondition,
        base::reason::read_only,
        fmt::format("the storage engine is read-only since an error: {}", error.ToString()));
}

// An error of the log is final, but for a full disk.
absl::Status LsmEngine::note(absl::Status status) {
    if (status.ok() || absl::IsResourceExhausted(status)) {
        return status;
    }
    background_.set_error(status);
    return refused();
}

absl::Status LsmEngine::admit_write() {
    if (closed_.load(std::memory_order_acquire)) {
        return closed_error();
    }
    if (background_.has_error()) {
        return refused();
    }
    if (log_->disk_full() || log_->buffered_bytes() > log_buffer_bytes_max) {
        STARLING_RETURN_IF_ERROR(note(log_->write_out_if_idle()));
        if (log_->disk_full()) {
            return disk_full_error("the log cannot grow");
        }
        if (log_->buffered_bytes() > log_buffer_bytes_max) {
            return stalled_error("the log is being synced");
        }
    }
    return absl::OkStatus();
}

absl::Status LsmEngine::write(const WriteBatch& batch, WriteOptions options) {
    STARLING_RETURN_IF_ERROR(admit_write());
    STARLING_RETURN_IF_ERROR(check_batch(batch));
    bool rotated = false;
    const absl::Status status = batch.empty() ? absl::OkStatus() : apply(batch, rotated);
    if (rotated || background_.disk_full() || !status.ok()) {
        background_.schedule();
    }
    STARLING_RETURN_IF_ERROR(status);
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

absl::Status LsmEngine::apply(const WriteBatch& batch, bool& rotated) {
    struct Adder final : WriteBatch::Handler {
        Adder(Memtable& target, Sequence last) : memtable(target), sequence(last) {}
        void put(std::string_view key, std::string_view value) override {
            memtable.add(++sequence, ChangeKind::put, key, value);
        }
        void remove(std::string_view key) override {
            memtable.add(++sequence, ChangeKind::remove, key, {});
        }
        Memtable& memtable;
        Sequence sequence;
    };
    absl::MutexLock lock(&write_mutex_);
    STARLING_RETURN_IF_ERROR(make_room(rotated));
    const Sequence last = last_sequence_.load(std::memory_order_relaxed);
    log_->append(last + 1, batch.representation());
    Adder adder(*active_, last);
    STARLING_CHECK(WriteBatch::replay(batch.representation(), adder).ok());
    last_sequence_.store(adder.sequence, std::memory_order_release);
    return absl::OkStatus();
}

absl::Status LsmEngine::make_room(bool& rotated) {
    if (active_->used_bytes() < memtable_bytes_) {
        return absl::OkStatus();
    }
    const auto view = view_.get();
    const bool memory_full = view->immutable.size() + 1 >= memtable_count;
    const bool level_0_full =
        view->version->level(0).size() + view->immutable.size() >= options_.level_0_tables_stall;
    if (memory_full || level_0_full) {
        if (background_.disk_full()) {
            return disk_full_error("memtables cannot be flushed");
        }
        return stalled_error(memory_full ? "memtables wait for their flush"
                                         : "tables wait for compaction");
    }
    const uint64_t number = catalog_->next_file_number();
    auto next = std::make_shared<Memtable>(number);
    active_ = next.get();
    log_->roll(number);
    view_.rotate(std::move(next));
    rotated = true;
    return absl::OkStatus();
}

absl::Status LsmEngine::sync() {
    if (closed_.load(std::memory_order_acquire)) {
        return closed_error();
    }
    if (background_.has_error()) {
        return refused();
    }
    return note(log_->sync());
}

absl::StatusOr<std::optional<std::string>> LsmEngine::get(std::string_view key,
                                                          const Snapshot* snapshot) {
    if (closed_.load(std::memory_order_acquire)) {
        return closed_error();
    }
    // The view first: a compaction may drop what only an older sequence sees, but not from this
    // view.
    const auto view = view_.get();
    const Sequence sequence = snapshot == nullptr
                                  ? last_sequence_.load(std::memory_order_acquire)
                                  : static_cast<const LsmSnapshot*>(snapshot)->sequence();
    return read(key, sequence, *view, ReadMode::cached);
}

absl::StatusOr<std::optional<std::string>> LsmEngine::get_from_memory(std::string_view key) {
    if (closed_.load(std::memory_order_acquire)) {
        return closed_error();
    }
    const auto view = view_.get();
    return read(key, last_sequence_.load(std::memory_order_acquire), *view, ReadMode::memory_only);
}

absl::StatusOr<std::optional<std::string>> LsmEngine::read(std::string_view key,
                                                           Sequence sequence,
                                                           const ReadView& view,
                                                           ReadMode mode) {
    std::string_view in_memory;
    Lookup found = view.active->get(key, sequence, in_memory);
    for (size_t i = 0; found == Lookup::absent && i < view.immutable.size(); ++i) {
        found = view.immutable[i]->get(key, sequence, in_memory);
    }
    if (found == Lookup::found) {
        return std::optional<std::string>(in_memory);
    }
    if (found == Lookup::removed) {
        return std::nullopt;
    }
    std::string value;
    STARLING_ASSIGN_OR_RETURN(found,
                              view.version->get(tables_, LookupKey(key, sequence), mode, value));
    return found == Lookup::found ? std::optional<std::string>(std::move(value)) : std::nullopt;
}

std::unique_ptr<Iterator> LsmEngine::new_iterator(IteratorOptions options) {
    if (closed_.load(std::memory_order_acquire)) {
        return new_failed_iterator(closed_error());
    }
    auto view = view_.get();
    const Sequence sequence = options.snapshot == nullptr
                                  ? last_sequence_.load(std::memory_order_acquire)
                                  : static_cast<const LsmSnapshot*>(options.snapshot)->sequence();
    std::vector<std::unique_ptr<InternalIterator>> sources;
    // What is added from now on is newer than `sequence`.
    if (!view->active->empty()) {
        sources.push_back(view->active->new_iterator());
    }
    for (const auto& memtable : view->immutable) {
        sources.push_back(memtable->new_iterator());
    }
    view->version->add_iterators(tables_, sources);
    return new_user_iterator(
        std::move(view), new_merging_iterator(std::move(sources)), std::move(options), sequence);
}

std::unique_ptr<Snapshot> LsmEngine::snapshot() {
    return std::make_unique<LsmSnapshot>(snapshots_, last_sequence_);
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
    statistics.disk_bytes =
        view->version->table_bytes() + statistics.log_bytes + catalog_->manifest_bytes();
    statistics.flushes = background_.flush_count();
    statistics.compactions = background_.compaction_count();
    statistics.syncs = log_->sync_count();
    statistics.block_cache_hits = blocks_.hits();
    statistics.block_cache_misses = blocks_.misses();
    return statistics;
}

absl::Status LsmEngine::close() {
    if (closed_.exchange(true)) {
        return closed_error();
    }
    background_.stop();
    absl::Status status = background_.has_error() ? refused() : note(log_->sync());
    if (status.ok()) {
        absl::MutexLock lock(&write_mutex_);
        if (!active_->empty()) {
            const uint64_t number = catalog_->next_file_number();
            auto next = std::make_shared<Memtable>(number);
            active_ = next.get();
            log_->roll(number);
            view_.rotate(std::move(next));
        }
    }
    if (status.ok()) {
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

absl::Status check_options(const EngineOptions& options) {
    const auto require = [](bool holds, std::string_view what) {
        return holds ? absl::OkStatus()
                     : absl::InvalidArgumentError(fmt::format("storage options: {}", what));
    };
    STARLING_RETURN_IF_ERROR(
        require(options.memory_bytes_max >= 16384, "memory_bytes_max must be at least 16384"));
    STARLING_RETURN_IF_ERROR(
        require(options.block_bytes >= 64 && options.block_bytes <= (16u << 20),
                "block_bytes must be between 64 and 16 MiB"));
    STARLING_RETURN_IF_ERROR(
        require(options.table_bytes >= 1024, "table_bytes must be at least 1024"));
    STARLING_RETURN_IF_ERROR(require(options.level_bytes_base >= options.table_bytes,
                                     "level_bytes_base must be at least table_bytes"));
    STARLING_RETURN_IF_ERROR(require(
        options.level_0_tables_compact >= 1 &&
            options.level_0_tables_stall > options.level_0_tables_compact,
        "level_0_tables_stall must be above level_0_tables_compact, which must be positive"));
    STARLING_RETURN_IF_ERROR(
        require(options.filter_bits_per_key <= 64, "filter_bits_per_key must be at most 64"));
    return require(options.open_tables_max >= 1, "open_tables_max must be positive");
}

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> open_lsm_engine(const std::string& directory,
                                                        const EngineOptions& options,
                                                        env::FileSystem& files,
                                                        env::Workers& workers,
                                                        std::unique_ptr<env::FileLock> lock) {
    STARLING_RETURN_IF_ERROR(check_options(options));
    STARLING_ASSIGN_OR_RETURN(
        Recovered recovered,
        recover(files, directory, options, options.memory_bytes_max / memtable_count));
    auto engine = std::make_unique<LsmEngine>(
        directory, options, files, workers, std::move(lock), std::move(recovered));
    engine->begin_background_work();
    return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace starling::storage::lsm
