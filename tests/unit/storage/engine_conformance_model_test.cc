// Random histories of everything an engine does, compared with an ordered map.

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "tests/unit/storage/engine_conformance.h"

namespace starling::storage {
namespace {

struct Held {
    std::string value;
    Expiry expiry = never;

    friend bool operator==(const Held&, const Held&) = default;
};
// With what has expired.
using History = std::map<std::string, Held>;
using Shown = std::optional<std::pair<std::string, Held>>;

History alive(const History& history, Expiry now) {
    History result;
    for (const auto& [key, held] : history) {
        if (held.expiry == never || held.expiry > now) {
            result.emplace(key, held);
        }
    }
    return result;
}

History within(const History& history, const std::string& lower, const std::string& upper) {
    History result;
    for (const auto& [key, held] : history) {
        if (key >= lower && (upper.empty() || key < upper)) {
            result.emplace(key, held);
        }
    }
    return result;
}

// A random key of few, so that overwrites, removals and bounds meet.
std::string any_key() {
    std::string key(1, static_cast<char>('a' + *rc::gen::inRange(0, 8)));
    const int more = *rc::gen::inRange(0, 4);
    return more == 0 ? key : key + static_cast<char>('a' + more);
}
std::string any_bound() {
    return *rc::gen::inRange(0, 2) == 0 ? std::string() : any_key();
}

Shown at(const Iterator& iterator) {
    RC_ASSERT(iterator.status().ok());
    if (!iterator.valid()) {
        return std::nullopt;
    }
    return Shown({std::string(iterator.key()),
                  {.value = std::string(iterator.value()), .expiry = iterator.expiry()}});
}

Shown at(const History& history, History::const_iterator position) {
    return position == history.end() ? std::nullopt : Shown(*position);
}

// Moves an iterator and the map's at random and compares after each step.
void compare_walk(Iterator& iterator, const History& history) {
    auto expected = history.end();
    const auto before = [&](History::const_iterator position) {
        return position == history.begin() ? history.end() : std::prev(position);
    };
    const int steps = *rc::gen::inRange(1, 12);
    for (int step = 0; step < steps; ++step) {
        const int move = *rc::gen::inRange(0, 8);
        if (move == 0) {
            iterator.seek_to_first();
            expected = history.begin();
        } else if (move == 1) {
            iterator.seek_to_last();
            expected = before(history.end());
        } else if (move == 2) {
            const std::string target = any_key();
            iterator.seek(target);
            expected = history.lower_bound(target);
        } else if (move == 3) {
            const std::string target = any_key();
            iterator.seek_before(target);
            expected = before(history.lower_bound(target));
        } else if (expected == history.end()) {
            continue;
        } else if (move < 6) {
            iterator.next();
            ++expected;
        } else {
            iterator.previous();
            expected = before(expected);
        }
        RC_ASSERT(at(iterator) == at(history, expected));
    }
}

// One engine on a disk of its own, and what it should hold.
class ModelRun {
  public:
    explicit ModelRun(const std::string& name) : options_(small_options(name)) { open(); }

    void step(int action) {
        // The engine looks at the clock when, and only when, the model does.
        engine_->new_iterator().reset();
        now();
        if (action < 11) {
            write();
        } else if (action < 14) {
            write_if();
        } else if (action < 16) {
            workers_.run_one();
        } else if (action < 18 && snapshots_.size() < 4) {
            snapshots_.emplace_back(engine_->snapshot(), history_);
        } else if (action == 18 && !snapshots_.empty()) {
            const auto which = *rc::gen::inRange<size_t>(0, snapshots_.size());
            snapshots_.erase(snapshots_.begin() + static_cast<std::ptrdiff_t>(which));
        } else if (action == 19) {
            RC_ASSERT(engine_->sync().ok());
            engine_->reclaim_while_quiet();
        } else if (action == 20) {
            reopen();
        } else if (action == 21) {
            clock_.advance(std::chrono::milliseconds(*rc::gen::inRange(0, 8)));
        } else if (action == 22) {
            // It may go back as far as it likes.
            clock_.set_wall(clock_.wall_now() - std::chrono::milliseconds(3));
        } else if (action == 23) {
            RC_ASSERT(engine_->compact().ok());
        } else if (action < 26) {
            read_one();
        } else if (action == 26 && !snapshots_.empty()) {
            const auto& [snapshot, then] = snapshots_.back();
            walk(then, snapshot.get());
        } else if (action == 27) {
            walk_while_writing();
        } else {
            walk(history_, nullptr);
        }
    }

    void check_all() {
        for (const auto& [snapshot, then] : snapshots_) {
            RC_ASSERT(everything(snapshot.get()) == alive(then, now()));
        }
        RC_ASSERT(everything(nullptr) == alive(history_, now()));
    }

  private:
    void open() {
        engine_ = *open_engine(
            "/data",
            options_,
            {.files = disk_, .workers = workers_, .clock = clock_, .wall_clock = clock_});
    }
    void reopen() {
        if (options_.engine == "in_memory") {
            return;
        }
        snapshots_.clear();
        RC_ASSERT(engine_->close().ok());
        engine_.reset();
        // What had expired may have been dropped, and need not: it is absent only as long as the
        // clock does not go back behind it.
        history_ = alive(history_, now());
        clock_.set_wall(std::max(clock_.wall_now(), latest_));
        open();
    }

    // The latest time the engine was shown.
    Expiry now() {
        latest_ = std::max(latest_, clock_.wall_now());
        return base::to_unix_ms(latest_);
    }

    WriteBatch any_batch(History& after) {
        WriteBatch batch;
        const int changes = *rc::gen::inRange(1, 5);
        for (int i = 0; i < changes; ++i) {
            const int kind = *rc::gen::inRange(0, 9);
            const std::string key = any_key();
            if (kind < 2) {
                batch.remove(key);
                after.erase(key);
            } else if (kind == 2) {
                const std::string end = any_bound();
                batch.remove_range(key, end);
                if (end.empty() || key < end) {
                    after.erase(after.lower_bound(key),
                                end.empty() ? after.end() : after.lower_bound(end));
                }
            } else {
                // Some values are large enough that a few of them fill a file.
                const std::string value(*rc::gen::elementOf(std::vector<size_t>{0, 3, 50, 2000}),
                                        *rc::gen::inRange('a', 'z'));
                if (kind < 5) {
                    const auto expiry =
                        clock_.wall_now() + std::chrono::milliseconds(*rc::gen::inRange(0, 12));
                    batch.put(key, value, expiry);
                    after[key] = {.value = value, .expiry = base::to_unix_ms(expiry)};
                } else {
                    batch.put(key, value);
                    after[key] = {.value = value, .expiry = never};
                }
            }
        }
        return batch;
    }

    void write() {
        const WriteBatch batch = any_batch(history_);
        RC_ASSERT(write_patiently(*engine_, workers_, batch).ok());
    }

    void write_if() {
        History after = history_;
        const WriteBatch batch = any_batch(after);
        const History shown = alive(history_, now());
        std::vector<Condition> conditions;
        bool holds = true;
        const int count = *rc::gen::inRange(1, 3);
        for (int i = 0; i < count; ++i) {
            Condition& condition = conditions.emplace_back();
            condition.key = any_key();
            const auto held = shown.find(condition.key);
            if (held != shown.end() && *rc::gen::inRange(0, 4) != 0) {
                condition.expected = held->second.value;
            } else if (*rc::gen::inRange(0, 3) == 0) {
                condition.expected = "something else";
            }
            holds = holds && condition.expected.has_value() == (held != shown.end()) &&
                    (held == shown.end() || *condition.expected == held->second.value);
        }
        absl::Status status = engine_->write_if(conditions, batch);
        while (absl::IsUnavailable(status) && workers_.run_one()) {
            status = engine_->write_if(conditions, batch);
        }
        if (holds) {
            RC_ASSERT(status.ok());
            history_ = std::move(after);
        } else {
            RC_ASSERT(absl::IsAborted(status));
        }
    }

    void read_one() {
        const std::string key = any_key();
        const History shown = alive(history_, now());
        const auto held = shown.find(key);
        const auto entry = engine_->get_entry(key);
        RC_ASSERT(entry.ok());
        RC_ASSERT(entry->has_value() == (held != shown.end()));
        if (entry->has_value()) {
            RC_ASSERT((*entry)->value == held->second.value);
            RC_ASSERT((*entry)->expiry == held->second.expiry);
        }
    }

    void walk(const History& history, const Snapshot* snapshot) {
        const std::string lower = any_bound();
        const std::string upper = any_bound();
        const History shown = within(alive(history, now()), lower, upper);
        const auto iterator =
            engine_->new_iterator({.lower = lower, .upper = upper, .snapshot = snapshot});
        compare_walk(*iterator, shown);
    }

    void walk_while_writing() {
        const History shown = alive(history_, now());
        const auto iterator = engine_->new_iterator();
        write();
        workers_.run_one();
        clock_.advance(std::chrono::milliseconds(2));
        RC_ASSERT(engine_->compact().ok());
        compare_walk(*iterator, shown);
    }

    History everything(const Snapshot* snapshot) {
        History found;
        const auto iterator =
            engine_->new_iterator({.lower = "", .upper = "", .snapshot = snapshot});
        for (iterator->seek_to_first(); iterator->valid(); iterator->next()) {
            found.insert(*at(*iterator));
        }
        RC_ASSERT(iterator->status().ok());
        return found;
    }

    const EngineOptions options_;
    env::SimFileSystem disk_;
    QueueWorkers workers_;
    ManualClock clock_;
    base::WallTime latest_{};
    std::unique_ptr<Engine> engine_;
    History history_;
    std::vector<std::pair<std::unique_ptr<Snapshot>, History>> snapshots_;
};

class EngineModelTest : public testing::TestWithParam<std::string> {};

STARLING_FOR_EVERY_ENGINE(EngineModelTest);

TEST_P(EngineModelTest, RandomHistoriesAgreeWithAnOrderedMap) {
    const std::string name = GetParam();
    const bool passed = rc::check([&] {
        ModelRun run(name);
        const int steps = *rc::gen::inRange(1, 120);
        for (int step = 0; step < steps; ++step) {
            run.step(*rc::gen::inRange(0, 30));
        }
        run.check_all();
    });
    EXPECT_TRUE(passed);
}

}  // namespace
}  // namespace starling::storage
