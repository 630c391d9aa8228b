#include "storage/in_memory/in_memory_engine.h"

#include <atomic>
#include <utility>

#include "absl/synchronization/mutex.h"

#include "base/status_macros.h"
#include "storage/in_memory/versioned_map.h"
#include "storage/limits.h"

namespace starling::storage {

namespace {

absl::Status closed_error() {
    return absl::FailedPreconditionError("the storage engine is closed");
}

struct State {
    absl::Mutex mutex;
    VersionedMap map ABSL_GUARDED_BY(mutex);
};

// Shares the state, so that one released late does not touch freed memory.
class InMemorySnapshot final : public Snapshot {
  public:
    explicit InMemorySnapshot(std::shared_ptr<State> state) : state_(std::move(state)) {
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
    uint64_t sequence_ = 0;
};

// Holds a copy of the entry it stands on, and finds the next one by key.
class InMemoryIterator final : public Iterator {
  public:
    InMemoryIterator(std::shared_ptr<State> state, IteratorOptions options)
        : state_(std::move(state)), options_(std::move(options)) {
        if (options_.snapshot == nullptr) {
            own_snapshot_ = std::make_unique<InMemorySnapshot>(state_);
            sequence_ = own_snapshot_->sequence();
        } else {
            sequence_ = static_cast<const InMemorySnapshot*>(options_.snapshot)->sequence();
        }
    }

    bool valid() const override { return entry_.has_value(); }
    void seek_to_first() override { forward(options_.lower, false); }
    void seek_to_last() override {
        backward(options_.upper.empty() ? std::nullopt
                                        : std::optional<std::string_view>(options_.upper));
    }
    void seek(std::string_view target) override {
        forward(std::max(target, std::string_view(options_.lower)), false);
    }
    void seek_before(std::string_view target) override {
        backward(options_.upper.empty() ? target
                                        : std::min(target, std::string_view(options_.upper)));
    }
    void next() override { forward(entry_->key, true); }
    void previous() override { backward(entry_->key); }
    std::string_view key() const override { return entry_->key; }
    std::string_view value() const override { return entry_->value; }
    Expiry expiry() const override { return never; }
    absl::Status status() const override { return absl::OkStatus(); }

  private:
    // GCC 12 takes the plain assignment of an empty optional for a use of its value.
    void take(std::optional<VersionedMap::Entry> found) {
        entry_.reset();
        if (found.has_value()) {
            entry_.emplace(*std::move(found));
        }
    }
    void forward(std::string_view key, bool beyond) {
        absl::MutexLock lock(&state_->mutex);
        auto found = state_->map.first_from(key, beyond, sequence_);
        if (found.has_value() && !options_.upper.empty() && found->key >= options_.upper) {
            found.reset();
        }
        take(std::move(found));
    }
    void backward(std::optional<std::string_view> key) {
        absl::MutexLock lock(&state_->mutex);
        auto found = state_->map.last_before(key, sequence_);
        if (found.has_value() && found->key < options_.lower) {
            found.reset();
        }
        take(std::move(found));
    }

    const std::shared_ptr<State> state_;
    const IteratorOptions options_;
    std::unique_ptr<InMemorySnapshot> own_snapshot_;
    uint64_t sequence_ = 0;
    std::optional<VersionedMap::Entry> entry_;
};

class ClosedIterator final : public Iterator {
  public:
    bool valid() const override { return false; }
    void seek_to_first() override {}
    void seek_to_last() override {}
    void seek(std::string_view) override {}
    void seek_before(std::string_view) override {}
    void next() override {}
    void previous() override {}
    std::string_view key() const override { return {}; }
    std::string_view value() const override { return {}; }
    Expiry expiry() const override { return never; }
    absl::Status status() const override { return closed_error(); }
};

class InMemoryEngine final : public Engine {
  public:
    InMemoryEngine(const env::WallClock& wall_clock, std::unique_ptr<env::FileLock> lock)
        : wall_clock_(wall_clock), lock_(std::move(lock)) {}

    absl::StatusOr<std::optional<std::string>> get(std::string_view key,
                                                   const Snapshot* snapshot) override {
        if (closed_) {
            return closed_error();
        }
        absl::MutexLock lock(&state_->mutex);
        const uint64_t sequence = snapshot == nullptr
                                      ? state_->map.sequence()
                                      : static_cast<const InMemorySnapshot*>(snapshot)->sequence();
        const std::string* value = state_->map.find(key, sequence);
        return value == nullptr ? std::nullopt : std::optional<std::string>(*value);
    }

    absl::StatusOr<std::optional<std::string>> get_from_memory(std::string_view key) override {
        return get(key, nullptr);
    }

    absl::StatusOr<std::optional<Entry>> get_entry(std::string_view, const Snapshot*) override {
        return absl::UnimplementedError("get_entry");
    }
    absl::Status write_if(std::span<const Condition>, const WriteBatch&, WriteOptions) override {
        return absl::UnimplementedError("write_if");
    }
    absl::Status checkpoint(const std::string&) override {
        return absl::UnimplementedError("checkpoint");
    }
    absl::Status compact() override { return absl::OkStatus(); }
    uint64_t approximate_bytes(std::string_view, std::string_view) const override { return 0; }
    WritePressure write_pressure() const override { return WritePressure::none; }

    absl::Status write(const WriteBatch& batch, WriteOptions) override {
        if (closed_) {
            return closed_error();
        }
        STARLING_RETURN_IF_ERROR(check_batch(batch));
        absl::MutexLock lock(&state_->mutex);
        Applier applier(state_->map);
        STARLING_RETURN_IF_ERROR(WriteBatch::replay(batch.representation(), applier));
        state_->map.commit();
        return absl::OkStatus();
    }

    absl::Status sync() override { return closed_ ? closed_error() : absl::OkStatus(); }

    std::unique_ptr<Iterator> new_iterator(IteratorOptions options) override {
        if (closed_) {
            return std::make_unique<ClosedIterator>();
        }
        return std::make_unique<InMemoryIterator>(state_, std::move(options));
    }

    std::unique_ptr<Snapshot> snapshot() override {
        return std::make_unique<InMemorySnapshot>(state_);
    }

    absl::Status background_error() const override { return absl::OkStatus(); }

    EngineStatistics statistics() const override {
        absl::MutexLock lock(&state_->mutex);
        EngineStatistics statistics;
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
    struct Applier final : WriteBatch::Handler {
        explicit Applier(VersionedMap& target) : map(target) {}
        void put(std::string_view key, std::string_view value, Expiry) override {
            map.apply(key, value);
        }
        void remove_range(std::string_view, std::string_view) override {}
        void remove(std::string_view key) override { map.apply(key, std::nullopt); }
        VersionedMap& map;
    };

    const env::WallClock& wall_clock_;
    std::unique_ptr<env::FileLock> lock_;
    // Shared with snapshots and iterators, which may be released after the engine.
    const std::shared_ptr<State> state_ = std::make_shared<State>();
    std::atomic<bool> closed_ = false;
};

}  // namespace

std::unique_ptr<Engine> make_in_memory_engine(const env::WallClock& wall_clock,
                                              std::unique_ptr<env::FileLock> lock) {
    return std::make_unique<InMemoryEngine>(wall_clock, std::move(lock));
}

}  // namespace starling::storage
