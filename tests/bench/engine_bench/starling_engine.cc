#include <atomic>
#include <chrono>
#include <thread>

#include <fmt/format.h>

#include "env/posix/clock.h"
#include "env/posix/file_system.h"
#include "env/posix/workers.h"
#include "storage/open.h"
#include "tests/bench/engine_bench/engine_under_test.h"

namespace starling::bench {

namespace {

using SteadyClock = std::chrono::steady_clock;

void check(const absl::Status& status, std::string_view what) {
    if (!status.ok()) {
        fail(fmt::format("{}: {}", what, status.ToString()));
    }
}

storage::EngineOptions options_of(const std::string& engine, const EngineSettings& settings) {
    storage::EngineOptions options;
    options.engine = engine;
    options.memory_bytes_max = settings.write_buffer_bytes;
    options.block_cache_bytes = settings.cache_bytes;
    options.block_bytes = settings.block_bytes;
    options.filter_bits_per_key = settings.filter_bits_per_key;
    options.direct_reads = settings.direct_reads;
    options.compression =
        settings.compression == "none" ? storage::Compression::none : storage::Compression::lz4;
    return options;
}

class StarlingEngine final : public EngineUnderTest {
  public:
    StarlingEngine(const std::string& engine, const EngineSettings& settings) {
        auto opened = storage::open_engine(
            settings.directory,
            options_of(engine, settings),
            {.files = files_, .workers = workers_, .clock = clock_, .wall_clock = wall_clock_});
        check(opened.status(), "open");
        engine_ = *std::move(opened);
    }
    ~StarlingEngine() override {
        check(engine_->close(), "close");
        engine_.reset();
        workers_.stop(env::PosixWorkers::Queued::drop);
    }

    void put(std::string_view key, std::string_view value, Durability durability) override {
        thread_local storage::WriteBatch batch;
        batch.clear();
        batch.put(key, value);
        const storage::WriteOptions options{.sync = durability == Durability::synced};
        absl::Status status = engine_->write(batch, options);
        if (absl::IsUnavailable(status)) {
            const auto begin = SteadyClock::now();
            do {
                std::this_thread::sleep_for(std::chrono::microseconds(20));
                status = engine_->write(batch, options);
            } while (absl::IsUnavailable(status));
            stall_nanoseconds_.fetch_add((SteadyClock::now() - begin).count());
        }
        check(status, "put");
    }

    bool get(std::string_view key, std::string& value) override {
        auto found = engine_->get(key);
        check(found.status(), "get");
        if (!found->has_value()) {
            return false;
        }
        value = *std::move(*found);
        return true;
    }

    uint64_t scan(std::string_view from, uint64_t limit, Direction direction) override {
        const auto iterator = engine_->new_iterator();
        uint64_t count = 0;
        if (direction == Direction::forward) {
            for (iterator->seek(from); count < limit && iterator->valid(); iterator->next()) {
                touch(iterator->key(), iterator->value());
                ++count;
            }
        } else {
            for (iterator->seek_to_last(); count < limit && iterator->valid();
                 iterator->previous()) {
                touch(iterator->key(), iterator->value());
                ++count;
            }
        }
        check(iterator->status(), "scan");
        return count;
    }

    double stall_seconds() const override {
        return static_cast<double>(stall_nanoseconds_.load()) / 1e9;
    }

  private:
    env::PosixFileSystem files_;
    env::PosixClock clock_;
    env::PosixWallClock wall_clock_;
    // One flush and one compaction run beside the load, as in the peers.
    env::PosixWorkers workers_{2};
    std::unique_ptr<storage::Engine> engine_;
    std::atomic<int64_t> stall_nanoseconds_ = 0;
};

}  // namespace

std::unique_ptr<EngineUnderTest> open_starling(const std::string& engine,
                                               const EngineSettings& settings) {
    return std::make_unique<StarlingEngine>(engine, settings);
}

}  // namespace starling::bench
