#include "storage/in_memory/in_memory_engine.h"

#include <atomic>
#include <optional>
#include <utility>

#include "absl/synchronization/mutex.h"

#include "base/status_macros.h"
#include "storage/bounded_iterator.h"
#include "storage/condition.h"
#include "storage/errors.h"
#include "storage/expiry_clock.h"
#include "storage/limits.h"
#include "storage/live_count.h"
#include "storage/versioned_map.h"

namespace starling::storage {

namespace {

using Map = VersionedMap<std::string>;

// What approximate_bytes() looks at before it lets others in again.
constexpr size_t keys_per_lock = 1024;

struct State {
    mutable absl::Mutex mutex;
    Map map ABSL_GUARDED_BY(mutex);
};

// Shares the state, so that one released late does not touch freed memory.
class InMemorySnapshot final : public Snapshot {
  public:
    // Without a hold: an iterator's own.
    explicit InMemorySnapshot(std::shared_ptr<State> state,
                              std::optional<LiveCount::Hold> hold = std::nullopt)
        : state_(std::move(state)), hold_(std::move(hold)) {
        absl::MutexLock lock(&state_->mutex);
        sequence_ = state_->map.take_snapshot();
    }
    ~InMemorySnapshot() override {
        absl::MutexLock lock(&state_->mutex);
        state_->map.release_snapshot(sequence_);
    }
    InMemorySnapshot(const InMemorySnapshot&) = delete;
    InMemorySnapshot& operator=(const InMemorySnapshot&) = delete;

    uint64_t sequence() const { return sequence_; }

  private:
    const std::shared_ptr<State> state_;
    const std::optional<LiveCount::Hold> hold_;
    uint64_t sequence_ = 0;
};

class InMemorySource final : public EntrySource {
  public:
    InMemorySource(std::shared_ptr<State> state, const IteratorOptions& options, Expiry now)
        : state_(std::move(state)) {
        view_.now = options.include_expired ? 0 : now;
        if (options.snapshot == nullptr) {
            own_snapshot_ = std::make_unique<InMemorySnapshot>(state_);
            view_.sequence = own_snapshot_->sequence();
        } else {
            view_.sequence = static_cast<const InMemorySnapshot*>(options.snapshot)->sequence();
        }
    }

    absl::StatusOr<std::optional<KeyedEntry>> first_from(std::string_view key,
                                                         bool beyond,
                                                         std::string_view end) override {
        absl::MutexLock lock(&state_->mutex);
        return keyed(state_->map.first_from(key, beyond, end, view_));
    }
    absl::StatusOr<std::optional<KeyedEntry>> last_before(std::optional<std::string_view> key,
                                                          std::string_view begin) override {
        absl::MutexLock lock(&state_->mutex);
        return keyed(state_->map.last_before(key, begin, view_));
    }

  private:
    static std::optional<KeyedEntry> keyed(std::optional<Map::Entry> found) {
        if (!found.has_value()) {
            return std::nullopt;
        }
        return KeyedEntry{.key = std::move(found->key),
                          .value = *std::move(found->version.payload),
                          .expiry = found->version.expiry};
    }

    const std::shared_ptr<State> state_;
    std::unique_ptr<InMemorySnapshot> own_snapshot_;
    Map::View view_;
};

class InMemoryEngine final : public Engine {
  public:
    InMemoryEngine(const env::WallClock& wall_clock, std::unique_ptr<env::FileLock> lock)
        : expiry_clock_(wall_clock, 0), lock_(std::move(lock)) {}

    absl::StatusOr<std::optional<std::string>> get(std::string_view key,
                                                   const Snapshot* snapshot) override {
        STARLING_ASSIGN_OR_RETURN(std::optional<Entry> entry, get_entry(key, snapshot));
        return entry.has_value() ? std::optional<std::string>(std::move(entry->value))
                                 : std::nullopt;
    }

    absl::StatusOr<std::optional<std::string>> get_from_memory(std::string_view key) override {
        return get(key, nullptr);
    }

    absl::StatusOr<std::optional<Entry>> get_entry(std::string_view key,
                                                   const Snapshot* snapshot) override {
        if (closed_) {
            return closed_error();
        }
        absl::MutexLock lock(&state_->mutex);
        Map::View view{.sequence = state_->map.sequence(), .now = expiry_clock_.now()};
        if (snapshot != nullptr) {
            view.sequence = static_cast<const InMemorySnapshot*>(snapshot)->sequence();
        }
        const Map::Version* version = state_->map.find(key, view);
        if (version == nullptr) {
            return std::nullopt;
        }
        return Entry{.value = *version->payload, .expiry = version->expiry};
    }

    absl::Status write(const WriteBatch& batch, WriteOptions options) override {
        return write_if({}, batch, options);
    }

    absl::Status write_if(std::span<const Condition> conditions,
                          const WriteBatch& batch,
                          WriteOptions) override {
        if (closed_) {
            return closed_error();
        }
        STARLING_RETURN_IF_ERROR(check_batch(batch));
        absl::MutexLock lock(&state_->mutex);
        Map& map = state_->map;
        const Map::View view{.sequence = map.sequence(), .now = expiry_clock_.now()};
        for (const Condition& condition : conditions) {
            const Map::Version* version = map.find(condition.key, view);
            if ((version == nullptr) != !condition.expected.has_value() ||
                (version != nullptr && *version->payload != *condition.expected)) {
                return condition_failed(condition);
            }
        }
        Applier applier(map);
        STARLING_RETURN_IF_ERROR(WriteBatch::replay(batch.representation(), applier));
        map.commit();
        user_written_bytes_.fetch_add(applier.bytes, std::memory_order_relaxed);
        return absl::OkStatus();
    }

    absl::Status sync() override { return closed_ ? closed_error() : absl::OkStatus(); }

    std::unique_ptr<Iterator> new_iterator(IteratorOptions options) override {
        if (closed_) {
            return new_refused_iterator(closed_error());
        }
        auto source = std::make_unique<InMemorySource>(state_, options, expiry_clock_.now());
        return new_bounded_iterator(std::move(source),
                                    std::move(options.lower),
                                    std::move(options.upper),
                                    live_iterators_.hold());
    }

    std::unique_ptr<Snapshot> snapshot() override {
        return std::make_unique<InMemorySnapshot>(state_, live_snapshots_.hold());
    }

    absl::Status checkpoint(const std::string& directory) override {
        return closed_ ? closed_error()
                       : absl::UnimplementedError(
                             directory +
                             ": the storage engine in_memory has no files to make a checkpoint of; "
                             "copy its entries with an iterator");
    }

    void reclaim_while_quiet() override {}
    absl::Status compact() override {
        if (closed_) {
            return closed_error();
        }
        absl::MutexLock lock(&state_->mutex);
        state_->map.drop_expired(expiry_clock_.now());
        return absl::OkStatus();
    }

    absl::StatusOr<std::vector<KeyRange>> find_damage() override {
        STARLING_RETURN_IF_ERROR(searchable());
        return std::vector<KeyRange>();
    }
    absl::StatusOr<ScrubStep> scrub(uint64_t) override {
        STARLING_RETURN_IF_ERROR(searchable());
        return ScrubStep{.bytes = 0, .is_last = true};
    }
    absl::Status give_up(std::span<const KeyRange>) override { return searchable(); }
    void end_searches() override { searches_ended_ = true; }
    absl::Status damage() const override { return absl::OkStatus(); }

    uint64_t approximate_bytes(std::string_view begin, std::string_view end) const override {
        uint64_t bytes = 0;
        std::optional<std::string> from{std::string(begin)};
        while (from.has_value()) {
            absl::MutexLock lock(&state_->mutex);
            from = state_->map.visit(
                *from, end, keys_per_lock, [&](std::string_view key, const Map::Version& version) {
                    bytes += key.size() + version.payload->size();
                });
        }
        return bytes;
    }

    WritePressure write_pressure() const override { return WritePressure::none; }
    absl::Status background_error() const override { return absl::OkStatus(); }

    EngineStatistics statistics() const override {
        EngineStatistics statistics;
        statistics.user_written_bytes = user_written_bytes_.load(std::memory_order_relaxed);
        statistics.snapshots = live_snapshots_.value();
        statistics.iterators = live_iterators_.value();
        absl::MutexLock lock(&state_->mutex);
        statistics.memory_bytes = state_->map.memory_bytes();
        return statistics;
    }

    absl::Status close() override {
        if (closed_.exchange(true)) {
            return closed_error();
        }
        lock_.reset();
        return absl::OkStatus();
    }

  private:
    absl::Status searchable() const {
        if (closed_) return closed_error();
        return searches_ended_ ? absl::CancelledError("the engine is closing") : absl::OkStatus();
    }

    struct Applier final : WriteBatch::Handler {
        explicit Applier(Map& target) : map(target) {}
        void put(std::string_view key, std::string_view value, Expiry expiry) override {
            map.put(key, std::string(value), expiry);
            bytes += key.size() + value.size();
        }
        void remove(std::string_view key) override {
            map.remove(key);
            bytes += key.size();
        }
        void remove_range(std::string_view begin, std::string_view end) override {
            map.remove_range(begin, end);
            bytes += begin.size() + end.size();
        }
        Map& map;
        uint64_t bytes = 0;
    };

    const ExpiryClock expiry_clock_;
    std::unique_ptr<env::FileLock> lock_;
    // Shared with snapshots and iterators, which may be released after the engine.
    const std::shared_ptr<State> state_ = std::make_shared<State>();
    std::atomic<uint64_t> user_written_bytes_ = 0;
    std::atomic<bool> closed_ = false;
    std::atomic<bool> searches_ended_ = false;
    const LiveCount live_snapshots_;
    const LiveCount live_iterators_;
};

}  // namespace

std::unique_ptr<Engine> make_in_memory_engine(const env::WallClock& wall_clock,
                                              std::unique_ptr<env::FileLock> lock) {
    return std::make_unique<InMemoryEngine>(wall_clock, std::move(lock));
}

}  // namespace starling::storage
