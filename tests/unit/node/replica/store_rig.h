#pragma once

// A replica store on one simulated loop, with an engine whose disk, errors and syncs the test
// decides.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "env/sim/loop.h"
#include "node/replica/hint_store.h"
#include "node/replica/store.h"
#include "storage/in_memory/in_memory_engine.h"
#include "tests/unit/node/version/builders.h"
#include "tests/unit/storage/manual_clock.h"

namespace starling::node::testing {

// Keeps jobs until the test lets them run.
class HeldWorkers final : public env::Workers {
  public:
    void submit(env::Task job) override { jobs_.push_back(std::move(job)); }
    void submit_after(base::Duration, env::Task job) override { submit(std::move(job)); }
    bool run_one() {
        if (jobs_.empty()) {
            return false;
        }
        env::Task job = std::move(jobs_.front());
        jobs_.pop_front();
        job();
        return true;
    }
    bool run_last() {
        if (jobs_.empty()) {
            return false;
        }
        env::Task job = std::move(jobs_.back());
        jobs_.pop_back();
        job();
        return true;
    }
    size_t size() const { return jobs_.size(); }

  private:
    std::deque<env::Task> jobs_;
};

inline const env::WallClock& still_clock() {
    static const storage::ManualClock clock;
    return clock;
}

// Passes everything on to another engine, unless told otherwise.
class ScriptedEngine : public storage::Engine {
  public:
    explicit ScriptedEngine(std::unique_ptr<storage::Engine> engine) : engine_(std::move(engine)) {}

    absl::StatusOr<std::optional<std::string>> get(std::string_view key,
                                                   const storage::Snapshot* snapshot) override {
        ++gets;
        absl::StatusOr<std::optional<std::string>> found = engine_->get(key, snapshot);
        if (after_get != nullptr) {
            std::exchange(after_get, nullptr)();
        }
        return found;
    }
    absl::StatusOr<std::optional<std::string>> get_from_memory(std::string_view key) override {
        if (is_cold) {
            return absl::UnavailableError("on the disk");
        }
        return engine_->get_from_memory(key);
    }
    absl::StatusOr<std::optional<storage::Entry>> get_entry(
        std::string_view key, const storage::Snapshot* snapshot) override {
        return engine_->get_entry(key, snapshot);
    }
    absl::Status write_if(std::span<const storage::Condition> conditions,
                          const storage::WriteBatch& batch,
                          storage::WriteOptions options) override {
        return engine_->write_if(conditions, batch, options);
    }
    absl::Status checkpoint(const std::string& directory) override {
        return engine_->checkpoint(directory);
    }
    absl::Status compact() override { return engine_->compact(); }
    void reclaim_while_quiet() override { engine_->reclaim_while_quiet(); }
    absl::StatusOr<std::vector<storage::KeyRange>> find_damage() override {
        if (!damaged.empty()) return damaged;
        return engine_->find_damage();
    }
    absl::StatusOr<storage::ScrubStep> scrub(uint64_t bytes) override {
        return engine_->scrub(bytes);
    }
    absl::Status give_up(std::span<const storage::KeyRange> ranges) override {
        damaged.clear();
        return engine_->give_up(ranges);
    }
    void end_searches() override { engine_->end_searches(); }
    absl::Status damage() const override {
        return damaged.empty() ? engine_->damage() : absl::DataLossError("a table is damaged");
    }
    uint64_t approximate_bytes(std::string_view begin, std::string_view end) const override {
        return engine_->approximate_bytes(begin, end);
    }
    storage::WritePressure write_pressure() const override { return engine_->write_pressure(); }
    absl::Status write(const storage::WriteBatch& batch, storage::WriteOptions options) override {
        if (!write_error.ok()) {
            return write_error;
        }
        if (is_stalled && !options.urgent) {
            return absl::UnavailableError("stalled");
        }
        batches.emplace_back(batch);
        // What was just written is in memory.
        is_cold = false;
        return engine_->write(batch, options);
    }
    absl::Status sync() override {
        ++syncs;
        return sync_error.ok() ? engine_->sync() : sync_error;
    }
    std::unique_ptr<storage::Iterator> new_iterator(storage::IteratorOptions options) override {
        return engine_->new_iterator(std::move(options));
    }
    std::unique_ptr<storage::Snapshot> snapshot() override { return engine_->snapshot(); }
    absl::Status background_error() const override { return engine_->background_error(); }
    storage::EngineStatistics statistics() const override { return engine_->statistics(); }
    absl::Status close() override { return engine_->close(); }

    // Reads need the disk, until the next write.
    bool is_cold = false;
    // As where damage has stopped merging: urgent writes only.
    bool is_stalled = false;
    // Until it is given up. What it takes with it the test removes.
    std::vector<storage::KeyRange> damaged;
    absl::Status write_error;
    absl::Status sync_error;
    // Once, between what a read found and its answer.
    std::function<void()> after_get;
    size_t gets = 0;
    size_t syncs = 0;
    std::vector<storage::WriteBatch> batches;

  private:
    std::unique_ptr<storage::Engine> engine_;
};

struct StoreRig {
    explicit StoreRig(std::unique_ptr<storage::Engine> inner =
                          storage::make_in_memory_engine(still_clock(), nullptr))
        : engine(std::move(inner)) {
        EXPECT_TRUE(store.load().ok());
        settle();
    }

    // Runs jobs and tasks until there are none.
    void settle() {
        do {
            while (scheduler.run_one()) {
            }
        } while (workers.run_one());
    }
    // Runs tasks, not jobs.
    void run_tasks() {
        while (scheduler.run_one()) {
        }
    }

    // A new write by node `writer` that supersedes what is here.
    Dot write(GroupId id, const std::string& key, uint64_t writer, const std::string& value) {
        const Dot dot = next_dot(id, writer);
        store.update(
            id,
            key,
            [&, dot](Record& record, Frontier& frontier) {
                record = mint(record,
                              Superseded::by_reading(record),
                              testing::write(dot, ++requests_, value));
                frontier.add(dot);
                return absl::OkStatus();
            },
            nullptr,
            [](const absl::Status&) {});
        return dot;
    }
    Dot next_dot(GroupId id, uint64_t writer) { return dot(writer, ++minted_[{id, writer}]); }

    absl::StatusOr<Record> read(GroupId id, const std::string& key) {
        absl::StatusOr<Record> found = absl::UnknownError("no answer");
        store.read(id, key, [&](absl::StatusOr<Record> record) { found = std::move(record); });
        settle();
        return found;
    }

    env::SimScheduler scheduler;
    env::SimProcess process{scheduler, "node", env::SimRandom(1)};
    env::SimLoop loop{process};
    HeldWorkers workers;
    ScriptedEngine engine;
    ReplicaStore store{loop, workers, engine};

  private:
    std::map<std::pair<GroupId, uint64_t>, uint64_t> minted_;
    uint64_t requests_ = 0;
};

inline GroupId group(uint16_t partition, uint8_t replicas = 3) {
    return {base::PartitionId(partition), replicas};
}

inline std::string key(const std::string& name) {
    return group_key(base::default_namespace_id, name);
}

}  // namespace starling::node::testing
