#pragma once

// What the storage tests share: workers that run jobs when told to, a small engine's options, and
// short ways to write and read.

#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "env/event_loop.h"
#include "env/sim/file_system.h"
#include "env/sim/random.h"
#include "storage/engine.h"
#include "storage/open.h"
#include "tests/unit/storage/manual_clock.h"

namespace starling::storage {

// Keeps jobs until a test lets them run.
class QueueWorkers final : public env::Workers {
  public:
    void submit(env::Task job) override { jobs_.push_back(std::move(job)); }
    void submit_after(base::Duration delay, env::Task job) override {
        if (delay <= base::Duration::zero()) {
            submit(std::move(job));
        } else {
            delayed_.emplace(passed_ + delay, std::move(job));
        }
    }
    // Time goes by: jobs whose delay is over are submitted.
    void pass(base::Duration time) {
        passed_ += time;
        while (!delayed_.empty() && delayed_.begin()->first <= passed_) {
            jobs_.push_back(std::move(delayed_.begin()->second));
            delayed_.erase(delayed_.begin());
        }
    }
    // Until the next delayed job is due; nullopt: none is delayed.
    std::optional<base::Duration> next_delay() const {
        return delayed_.empty() ? std::nullopt : std::optional(delayed_.begin()->first - passed_);
    }

    bool run_one() {
        if (jobs_.empty()) {
            return false;
        }
        env::Task job = std::move(jobs_.front());
        jobs_.pop_front();
        job();
        return true;
    }
    void run_all() {
        while (run_one()) {
        }
    }
    size_t size() const { return jobs_.size(); }
    void drop_all() {
        jobs_.clear();
        delayed_.clear();
    }

  private:
    std::deque<env::Task> jobs_;
    // By when they are due, on the line of passed_.
    std::multimap<base::Duration, env::Task> delayed_;
    base::Duration passed_{0};
};

using Model = std::map<std::string, std::string>;

// A test that goes through many like cases takes every `nth` of them, and all of them when
// STARLING_EXHAUSTIVE is set, or every `nth_then` where all would take days.
inline uint64_t every(uint64_t nth, uint64_t nth_then = 1) {
    return std::getenv("STARLING_EXHAUSTIVE") == nullptr ? nth : nth_then;
}

// Memtables, tables, levels and files of values so small that a few hundred writes go through all
// of them.
inline EngineOptions small_options(const std::string& engine = "lsm") {
    EngineOptions options;
    options.engine = engine;
    options.memory_bytes_max = 4 * 4096;
    options.block_cache_bytes = 16 * 4096;
    options.block_bytes = 256;
    options.table_bytes = 2048;
    options.level_bytes_base = 4096;
    options.separate_value_bytes = 600;
    options.value_file_bytes = 4096;
    options.open_tables_max = 4;
    options.bitcask_file_bytes = 4096;
    options.bitcask_stale_bytes_max = 4096;
    return options;
}

inline WriteBatch put_of(std::string_view key, std::string_view value) {
    WriteBatch batch;
    batch.put(key, value);
    return batch;
}

inline absl::Status put(Engine& engine, std::string_view key, std::string_view value) {
    return engine.write(put_of(key, value));
}

inline absl::Status remove(Engine& engine, std::string_view key) {
    WriteBatch batch;
    batch.remove(key);
    return engine.write(batch);
}

// The value, "(none)" or the error.
inline std::string read(Engine& engine, std::string_view key, const Snapshot* snapshot = nullptr) {
    const auto value = engine.get(key, snapshot);
    if (!value.ok()) {
        return value.status().ToString();
    }
    return value->value_or("(none)");
}

inline absl::StatusOr<Model> contents(Engine& engine, IteratorOptions options = {}) {
    Model model;
    const auto iterator = engine.new_iterator(std::move(options));
    for (iterator->seek_to_first(); iterator->valid(); iterator->next()) {
        model.emplace(iterator->key(), iterator->value());
    }
    if (!iterator->status().ok()) {
        return iterator->status();
    }
    return model;
}

// Writes until it is not stalled, letting jobs run.
inline absl::Status write_patiently(Engine& engine,
                                    QueueWorkers& workers,
                                    const WriteBatch& batch) {
    absl::Status status = engine.write(batch);
    while (absl::IsUnavailable(status) && workers.run_one()) {
        status = engine.write(batch);
    }
    return status;
}

// Overwrites `keys` keys in turn, `count` times.
inline void overwrite(
    Engine& engine, QueueWorkers& workers, Model& model, int count, int keys, size_t value_bytes) {
    for (int i = 0; i < count; ++i) {
        const std::string key = fmt::format("key{:03}", i % keys);
        const std::string value = fmt::format("{:04}", i) + std::string(value_bytes, 'v');
        ASSERT_TRUE(write_patiently(engine, workers, put_of(key, value)).ok());
        model[key] = value;
    }
}

// What `model` becomes by the batch.
inline Model after_batch(Model model, const WriteBatch& batch) {
    struct Apply final : WriteBatch::Handler {
        explicit Apply(Model& target) : model(target) {}
        void put(std::string_view key, std::string_view value, Expiry) override {
            model[std::string(key)] = std::string(value);
        }
        void remove(std::string_view key) override { model.erase(std::string(key)); }
        void remove_range(std::string_view begin, std::string_view end) override {
            model.erase(model.lower_bound(std::string(begin)),
                        end.empty() ? model.end() : model.lower_bound(std::string(end)));
        }
        Model& model;
    } apply(model);
    EXPECT_TRUE(WriteBatch::replay(batch.representation(), apply).ok());
    return model;
}

}  // namespace starling::storage
