// The mixture of EloqStore's stress test against a model in memory, with crashes, failing
// operations and restarts at random: 30 put, 40 get, 10 delete, 5 scan, 10 batch put, 4 batch get,
// 1 restart; keys of 1 to 100 bytes, values of 1 byte to 32 KiB; now and
// then a removed range, a compaction, a snapshot that is read later. All of it follows from a seed.
//
// STARLING_STRESS_STEPS (default 4,000) says how many steps each engine takes.

#include <algorithm>
#include <array>
#include <cstdlib>

#include <gtest/gtest.h>

#include "base/hash.h"
#include "tests/unit/storage/test_support.h"

namespace starling::storage {
namespace {

constexpr size_t key_count = 400;

uint64_t step_count() {
    const char* const text = std::getenv("STARLING_STRESS_STEPS");
    return text == nullptr ? 4000 : std::strtoull(text, nullptr, 10);
}

// A map and a sum over its entries, which does not depend on their order.
class SummedModel {
  public:
    void put(const std::string& key, const std::string& value) {
        remove(key);
        sum_ += digest(key, value);
        entries_[key] = value;
    }
    void remove(const std::string& key) {
        if (const auto found = entries_.find(key); found != entries_.end()) {
            sum_ -= digest(key, found->second);
            entries_.erase(found);
        }
    }
    void remove_range(const std::string& begin, const std::string& end) {
        for (auto entry = entries_.lower_bound(begin);
             entry != entries_.end() && entry->first < end;) {
            sum_ -= digest(entry->first, entry->second);
            entry = entries_.erase(entry);
        }
    }
    const Model& entries() const { return entries_; }
    uint64_t sum() const { return sum_; }

  private:
    static uint64_t digest(const std::string& key, const std::string& value) {
        return base::xxh3_64(key + '\0' + value);
    }

    Model entries_;
    uint64_t sum_ = 0;
};

// Of a key: nullopt removes it, and all keys up to `end` where that is not empty.
struct KeyChange {
    std::string key;
    std::optional<std::string> value;
    std::string end = {};
};
// One batch as the model understands it.
using Changes = std::vector<KeyChange>;

class Stress {
  public:
    Stress(const std::string& engine, uint64_t seed)
        : random_(seed), options_(small_options(engine)) {
        options_.memory_bytes_max = 256 << 10;
        options_.table_bytes = 64 << 10;
        options_.level_bytes_base = 128 << 10;
        options_.separate_value_bytes = 8 << 10;
        options_.value_file_bytes = 256 << 10;
        for (size_t i = 0; i < key_count; ++i) {
            std::string key = fmt::format("{:x}", base::xxh3_64(fmt::format("{} {}", seed, i)));
            keys_.push_back(key + std::string(random_.below(100 - key.size()), 'k'));
        }
        open();
    }

    void run(uint64_t steps) {
        for (uint64_t i = 0; i < steps && !testing::Test::HasFatalFailure(); ++i) {
            step();
            // Background work goes on between the steps, more or less.
            if (random_.below(3) == 0) {
                workers_.run_one();
            }
        }
    }

    uint64_t restarts() const { return restarts_; }
    uint64_t crashes() const { return crashes_; }
    uint64_t failures() const { return failures_; }

  private:
    const std::string& random_key() { return keys_[random_.below(keys_.size())]; }
    std::string random_value() {
        const size_t bytes_max = size_t{1} << random_.below(16);
        return std::string(1 + random_.below(bytes_max),
                           static_cast<char>('a' + random_.below(26)));
    }

    void step() {
        const uint64_t dice = random_.below(1000);
        if (random_.below(50) == 0) {
            seldom();
        } else if (dice < 300) {
            write({{.key = random_key(), .value = random_value()}});
        } else if (dice < 700) {
            get(random_key());
        } else if (dice < 800) {
            write({{.key = random_key(), .value = std::nullopt}});
        } else if (dice < 850) {
            scan();
        } else if (dice < 950) {
            Changes changes;
            for (uint64_t n = 2 + random_.below(8); n > 0; --n) {
                changes.push_back({.key = random_key(), .value = random_value()});
            }
            write(changes);
        } else if (dice < 990) {
            for (int n = 0; n < 5; ++n) {
                get(random_key());
            }
        } else if (dice < 993) {
            restart_in_order();
        } else if (dice < 997) {
            crash();
        } else {
            fail_something();
        }
        if (random_.below(20) == 0) {
            sync();
        }
    }

    void seldom() {
        switch (random_.below(4)) {
            case 0: {
                const std::string& one = random_key();
                const std::string& other = random_key();
                const auto& [begin, end] = std::minmax(one, other);
                if (begin < end && random_.below(3) == 0) {
                    write({{.key = begin, .value = std::nullopt, .end = end},
                           {.key = begin, .value = random_value()}});
                }
                break;
            }
            case 1:
                if (const absl::Status status = engine_->compact(); !status.ok()) {
                    ASSERT_FALSE(engine_->background_error().ok()) << status;
                    crash();
                }
                break;
            case 2:
                snapshot_ = engine_->snapshot();
                snapshot_model_ = model_.entries();
                break;
            default:
                look_at_snapshot();
        }
    }

    void look_at_snapshot() {
        if (snapshot_ == nullptr) {
            return;
        }
        IteratorOptions options;
        options.snapshot = snapshot_.get();
        const auto found = contents(*engine_, std::move(options));
        if (found.ok()) {
            ASSERT_TRUE(*found == snapshot_model_) << "a snapshot has changed";
        } else {
            ASSERT_TRUE(absl::IsUnavailable(found.status())) << found.status();
        }
        snapshot_.reset();
    }

    void write(const Changes& changes) {
        WriteBatch batch;
        for (const auto& [key, value, end] : changes) {
            if (!end.empty()) {
                batch.remove_range(key, end);
            } else if (value.has_value()) {
                batch.put(key, *value);
            } else {
                batch.remove(key);
            }
        }
        const absl::Status status = write_patiently(*engine_, workers_, batch);
        if (status.ok()) {
            apply(model_, changes);
            unsynced_.push_back(changes);
        } else if (!absl::IsUnavailable(status)) {
            // Read-only since an I/O error.
            ASSERT_FALSE(engine_->background_error().ok()) << status;
            crash();
        }
    }

    void sync() {
        if (engine_->sync().ok()) {
            for (const Changes& changes : unsynced_) {
                apply(durable_, changes);
            }
            unsynced_.clear();
        }
    }

    void get(const std::string& key) {
        const auto value = engine_->get(key);
        const auto expected = model_.entries().find(key);
        if (!value.ok()) {
            ASSERT_TRUE(absl::IsUnavailable(value.status())) << value.status();
            return;
        }
        ASSERT_EQ(value->has_value(), expected != model_.entries().end()) << key;
        if (value->has_value()) {
            ASSERT_EQ(**value, expected->second) << key;
        }
    }

    void scan() {
        const std::string& from = random_key();
        const bool backward = random_.below(2) == 0;
        const auto iterator = engine_->new_iterator();
        if (backward) {
            auto expected = model_.entries().lower_bound(from);
            for (iterator->seek_before(from); iterator->valid(); iterator->previous()) {
                ASSERT_NE(expected, model_.entries().begin());
                --expected;
                ASSERT_EQ(iterator->key(), expected->first);
                ASSERT_EQ(iterator->value(), expected->second);
            }
            ASSERT_TRUE(expected == model_.entries().begin() || !iterator->status().ok());
        } else {
            auto expected = model_.entries().lower_bound(from);
            for (iterator->seek(from); iterator->valid(); iterator->next(), ++expected) {
                ASSERT_NE(expected, model_.entries().end());
                ASSERT_EQ(iterator->key(), expected->first);
                ASSERT_EQ(iterator->value(), expected->second);
            }
            ASSERT_TRUE(expected == model_.entries().end() || !iterator->status().ok());
        }
        ASSERT_FALSE(absl::IsDataLoss(iterator->status())) << iterator->status();
    }

    void restart_in_order() {
        files_.faults().clear();
        snapshot_.reset();
        if (engine_->close().ok()) {
            durable_ = model_;
            unsynced_.clear();
        }
        end_process();
        open();
        recover();
        ++restarts_;
    }

    void crash() {
        end_process();
        constexpr std::array modes = {
            env::CrashMode::lost, env::CrashMode::kept, env::CrashMode::torn};
        files_.crash(modes[random_.below(modes.size())], random_);
        open();
        recover();
        ++crashes_;
    }

    // The next operations of the disk fail, once or until the next crash.
    void fail_something() {
        files_.faults().fail_nth(1 + random_.below(20), random_.below(2) == 0);
        ++failures_;
    }

    void end_process() {
        snapshot_.reset();
        engine_.reset();
        workers_.drop_all();
    }

    void open() {
        files_.faults().clear();
        auto opened = open_engine("/data", options_, environment(files_, workers_));
        ASSERT_TRUE(opened.ok()) << opened.status();
        engine_ = *std::move(opened);
    }

    // The state must be what was durable and some of the batches after it, in order.
    void recover() {
        ASSERT_NE(engine_, nullptr);
        const auto found = contents(*engine_);
        ASSERT_TRUE(found.ok()) << found.status();
        SummedModel summed;
        for (const auto& [key, value] : *found) {
            summed.put(key, value);
        }
        size_t survived = 0;
        while (durable_.sum() != summed.sum() && survived < unsynced_.size()) {
            apply(durable_, unsynced_[survived]);
            ++survived;
        }
        ASSERT_TRUE(durable_.entries() == *found)
            << "no prefix of " << unsynced_.size() << " batches after what was durable";
        model_ = durable_;
        unsynced_.clear();
        // Recovery writes what it found into tables of its own.
        ASSERT_TRUE(engine_->sync().ok());
    }

    static void apply(SummedModel& model, const Changes& changes) {
        for (const auto& [key, value, end] : changes) {
            if (!end.empty()) {
                model.remove_range(key, end);
            } else if (value.has_value()) {
                model.put(key, *value);
            } else {
                model.remove(key);
            }
        }
    }

    env::SimRandom random_;
    EngineOptions options_;
    env::SimFileSystem files_;
    QueueWorkers workers_;
    std::unique_ptr<Engine> engine_;
    std::vector<std::string> keys_;
    SummedModel model_;
    SummedModel durable_;
    std::vector<Changes> unsynced_;
    std::unique_ptr<Snapshot> snapshot_;
    Model snapshot_model_;
    uint64_t restarts_ = 0;
    uint64_t crashes_ = 0;
    uint64_t failures_ = 0;
};

class StressTest : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Engines,
                         StressTest,
                         testing::Values("lsm", "bitcask"),
                         [](const auto& tested) { return tested.param; });

TEST_P(StressTest, WhateverHappensTheContentIsWhatTheModelAllows) {
    constexpr uint64_t steps_per_life = 4000;
    const uint64_t lives = (step_count() + steps_per_life - 1) / steps_per_life;
    for (uint64_t seed = 1; seed <= lives; ++seed) {
        SCOPED_TRACE(fmt::format("seed {}", seed));
        Stress stress(GetParam(), seed);
        stress.run(steps_per_life);
        ASSERT_FALSE(HasFatalFailure());
        EXPECT_GT(stress.restarts(), 0u);
        EXPECT_GT(stress.crashes(), 0u);
        EXPECT_GT(stress.failures(), 0u);
    }
}

}  // namespace
}  // namespace starling::storage
