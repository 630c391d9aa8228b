// What every engine does, whatever it is made of.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "tests/unit/storage/test_support.h"

namespace starling::storage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

class EngineConformanceTest : public testing::TestWithParam<std::string> {
  protected:
    EngineConformanceTest() { reopen(); }

    bool durable() const { return GetParam() != "in_memory"; }

    void reopen() {
        if (engine != nullptr) {
            EXPECT_TRUE(engine->close().ok());
            engine.reset();
        }
        auto opened = open_engine("/data", small_options(GetParam()), environment(files, workers));
        ASSERT_TRUE(opened.ok()) << opened.status();
        engine = *std::move(opened);
    }

    env::SimFileSystem files;
    QueueWorkers workers;
    std::unique_ptr<Engine> engine;
};

INSTANTIATE_TEST_SUITE_P(Engines,
                         EngineConformanceTest,
                         testing::Values("lsm", "bitcask", "in_memory"),
                         [](const auto& tested) { return tested.param; });

TEST_P(EngineConformanceTest, AValueIsReadBackUntilItIsReplacedOrRemoved) {
    EXPECT_EQ(read(*engine, "a"), "(none)");
    ASSERT_TRUE(put(*engine, "a", "1").ok());
    EXPECT_EQ(read(*engine, "a"), "1");
    ASSERT_TRUE(put(*engine, "a", "2").ok());
    EXPECT_EQ(read(*engine, "a"), "2");
    ASSERT_TRUE(remove(*engine, "a").ok());
    EXPECT_EQ(read(*engine, "a"), "(none)");
    ASSERT_TRUE(put(*engine, "a", "3").ok());
    EXPECT_EQ(read(*engine, "a"), "3");
}

TEST_P(EngineConformanceTest, MemoryAloneAnswersWhatWasJustWritten) {
    ASSERT_TRUE(put(*engine, "a", "1").ok());
    ASSERT_TRUE(remove(*engine, "b").ok());
    const auto present = engine->get_from_memory("a");
    ASSERT_TRUE(present.ok()) << present.status();
    EXPECT_EQ(*present, "1");
    const auto removed = engine->get_from_memory("b");
    ASSERT_TRUE(removed.ok()) << removed.status();
    EXPECT_EQ(*removed, std::nullopt);
}

TEST_P(EngineConformanceTest, ALaterChangeInABatchWins) {
    WriteBatch batch;
    batch.put("a", "1");
    batch.remove("a");
    batch.put("b", "1");
    batch.put("b", "2");
    batch.put("c", "1");
    batch.remove("c");
    batch.put("c", "3");
    ASSERT_TRUE(engine->write(batch).ok());
    EXPECT_EQ(read(*engine, "a"), "(none)");
    EXPECT_EQ(read(*engine, "b"), "2");
    EXPECT_EQ(read(*engine, "c"), "3");
    EXPECT_EQ(*contents(*engine), (Model{{"b", "2"}, {"c", "3"}}));
}

TEST_P(EngineConformanceTest, AnEmptyBatchChangesNothing) {
    ASSERT_TRUE(put(*engine, "a", "1").ok());
    EXPECT_TRUE(engine->write(WriteBatch()).ok());
    EXPECT_TRUE(engine->write(WriteBatch(), {.sync = true}).ok());
    EXPECT_EQ(*contents(*engine), (Model{{"a", "1"}}));
}

TEST_P(EngineConformanceTest, KeysOrderByTheirBytes) {
    const std::string nul(1, '\0');
    for (const std::string& key : {std::string("b"),
                                   std::string("a\xff"),
                                   "a" + nul,
                                   std::string("a"),
                                   std::string(),
                                   nul,
                                   std::string("\xff\xff"),
                                   "a" + nul + "b"}) {
        ASSERT_TRUE(put(*engine, key, "v").ok());
    }
    const auto iterator = engine->new_iterator();
    std::vector<std::string> keys;
    for (iterator->seek_to_first(); iterator->valid(); iterator->next()) {
        keys.emplace_back(iterator->key());
    }
    EXPECT_THAT(keys,
                ElementsAre("", nul, "a", "a" + nul, "a" + nul + "b", "a\xff", "b", "\xff\xff"));
    for (const std::string& key : keys) {
        EXPECT_EQ(read(*engine, key), "v");
    }
}

TEST_P(EngineConformanceTest, EmptyAndLargeKeysAndValuesAreKept) {
    const std::string large_key(64 << 10, 'k');
    const std::string mebibyte(1 << 20, 'm');
    const std::string largest(16 << 20, 'x');
    ASSERT_TRUE(put(*engine, "", "").ok());
    ASSERT_TRUE(put(*engine, "empty", "").ok());
    ASSERT_TRUE(put(*engine, large_key, "large").ok());
    WriteBatch batch;
    batch.put("mebibyte", mebibyte);
    ASSERT_TRUE(write_patiently(*engine, workers, batch).ok());
    batch.clear();
    batch.put("largest", largest);
    ASSERT_TRUE(write_patiently(*engine, workers, batch).ok());
    const auto check = [&] {
        EXPECT_EQ(read(*engine, ""), "");
        EXPECT_EQ(read(*engine, "empty"), "");
        EXPECT_EQ(read(*engine, large_key), "large");
        EXPECT_TRUE(read(*engine, "mebibyte") == mebibyte);
        EXPECT_TRUE(read(*engine, "largest") == largest);
        const auto iterator = engine->new_iterator();
        iterator->seek("largest");
        ASSERT_TRUE(iterator->valid());
        EXPECT_TRUE(iterator->value() == largest);
    };
    check();
    if (durable()) {
        workers.run_all();
        check();
        reopen();
        check();
    }
}

TEST_P(EngineConformanceTest, WhatExceedsALimitIsRefusedAndChangesNothing) {
    WriteBatch batch;
    batch.put("a", "1");
    batch.put(std::string((1 << 20) + 1, 'k'), "2");
    const absl::Status status = engine->write(batch);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_TRUE(contents(*engine)->empty());
}

TEST_P(EngineConformanceTest, ASnapshotDoesNotChange) {
    ASSERT_TRUE(put(*engine, "a", "1").ok());
    ASSERT_TRUE(put(*engine, "b", "1").ok());
    const auto first = engine->snapshot();
    ASSERT_TRUE(put(*engine, "a", "2").ok());
    ASSERT_TRUE(remove(*engine, "b").ok());
    ASSERT_TRUE(put(*engine, "c", "2").ok());
    auto second = engine->snapshot();
    ASSERT_TRUE(remove(*engine, "a").ok());
    EXPECT_EQ(read(*engine, "a", first.get()), "1");
    EXPECT_EQ(read(*engine, "b", first.get()), "1");
    EXPECT_EQ(read(*engine, "c", first.get()), "(none)");
    EXPECT_EQ(*contents(*engine, {.lower = "", .upper = "", .snapshot = first.get()}),
              (Model{{"a", "1"}, {"b", "1"}}));
    EXPECT_EQ(*contents(*engine, {.lower = "", .upper = "", .snapshot = second.get()}),
              (Model{{"a", "2"}, {"c", "2"}}));
    EXPECT_EQ(*contents(*engine), (Model{{"c", "2"}}));
    second.reset();
    EXPECT_EQ(read(*engine, "a", first.get()), "1");
}

TEST_P(EngineConformanceTest, AnIteratorShowsTheStateInWhichItWasMade) {
    ASSERT_TRUE(put(*engine, "a", "1").ok());
    ASSERT_TRUE(put(*engine, "b", "1").ok());
    const auto iterator = engine->new_iterator();
    ASSERT_TRUE(put(*engine, "a", "2").ok());
    ASSERT_TRUE(remove(*engine, "b").ok());
    ASSERT_TRUE(put(*engine, "ab", "2").ok());
    Model seen;
    for (iterator->seek_to_first(); iterator->valid(); iterator->next()) {
        seen.emplace(iterator->key(), iterator->value());
    }
    EXPECT_EQ(seen, (Model{{"a", "1"}, {"b", "1"}}));
}

TEST_P(EngineConformanceTest, AnIteratorTurnsAround) {
    for (const char* key : {"a", "b", "c"}) {
        ASSERT_TRUE(put(*engine, key, key).ok());
    }
    ASSERT_TRUE(put(*engine, "b", "new").ok());
    const auto iterator = engine->new_iterator();
    iterator->seek("b");
    ASSERT_TRUE(iterator->valid());
    EXPECT_EQ(iterator->value(), "new");
    iterator->previous();
    ASSERT_TRUE(iterator->valid());
    EXPECT_EQ(iterator->key(), "a");
    iterator->next();
    ASSERT_TRUE(iterator->valid());
    EXPECT_EQ(iterator->key(), "b");
    iterator->next();
    ASSERT_TRUE(iterator->valid());
    EXPECT_EQ(iterator->key(), "c");
    iterator->previous();
    iterator->previous();
    ASSERT_TRUE(iterator->valid());
    EXPECT_EQ(iterator->key(), "a");
    iterator->previous();
    EXPECT_FALSE(iterator->valid());
    EXPECT_TRUE(iterator->status().ok());
}

// A random key of few, so that overwrites, removals and bounds meet.
rc::Gen<std::string> any_key() {
    return rc::gen::apply(
        [](int a, int b) {
            return b == 0 ? std::string(1, static_cast<char>('a' + a))
                          : std::string(1, static_cast<char>('a' + a)) + static_cast<char>('a' + b);
        },
        rc::gen::inRange(0, 8),
        rc::gen::inRange(0, 4));
}

std::optional<std::pair<std::string, std::string>> at(const Iterator& iterator) {
    RC_ASSERT(iterator.status().ok());
    if (!iterator.valid()) {
        return std::nullopt;
    }
    return std::pair(std::string(iterator.key()), std::string(iterator.value()));
}

std::optional<std::pair<std::string, std::string>> at(const Model& model, Model::const_iterator i) {
    if (i == model.end()) {
        return std::nullopt;
    }
    return std::pair(i->first, i->second);
}

Model within(const Model& model, const std::string& lower, const std::string& upper) {
    Model result;
    for (const auto& [key, value] : model) {
        if (key >= lower && (upper.empty() || key < upper)) {
            result.emplace(key, value);
        }
    }
    return result;
}

// Moves an iterator and the model's at random and compares after each step.
void compare_walk(Iterator& iterator, const Model& model) {
    Model::const_iterator expected = model.end();
    const auto steps = *rc::gen::inRange(1, 12);
    for (int step = 0; step < steps; ++step) {
        const int move = *rc::gen::inRange(0, 8);
        if (move == 0) {
            iterator.seek_to_first();
            expected = model.begin();
        } else if (move == 1) {
            iterator.seek_to_last();
            expected = model.empty() ? model.end() : std::prev(model.end());
        } else if (move == 2) {
            const std::string target = *any_key();
            iterator.seek(target);
            expected = model.lower_bound(target);
        } else if (move == 3) {
            const std::string target = *any_key();
            iterator.seek_before(target);
            const auto beyond = model.lower_bound(target);
            expected = beyond == model.begin() ? model.end() : std::prev(beyond);
        } else if (expected == model.end()) {
            continue;
        } else if (move < 6) {
            iterator.next();
            ++expected;
        } else {
            iterator.previous();
            expected = expected == model.begin() ? model.end() : std::prev(expected);
        }
        RC_ASSERT(at(iterator) == at(model, expected));
    }
}

void any_write(Engine& engine, QueueWorkers& workers, Model& model) {
    WriteBatch batch;
    const int changes = *rc::gen::inRange(1, 5);
    for (int i = 0; i < changes; ++i) {
        const std::string key = *any_key();
        if (*rc::gen::inRange(0, 3) == 0) {
            batch.remove(key);
            model.erase(key);
        } else {
            // Some values are large enough that a few of them fill a memtable.
            const std::string value(*rc::gen::elementOf(std::vector<size_t>{0, 3, 50, 2000}),
                                    *rc::gen::inRange('a', 'z'));
            batch.put(key, value);
            model[key] = value;
        }
    }
    RC_ASSERT(write_patiently(engine, workers, batch).ok());
}

void check_bounded_walk(Engine& engine, const Model& model, const Snapshot* snapshot) {
    const std::string lower = *rc::gen::inRange(0, 2) == 0 ? std::string() : *any_key();
    const std::string upper = *rc::gen::inRange(0, 2) == 0 ? std::string() : *any_key();
    const auto iterator =
        engine.new_iterator({.lower = lower, .upper = upper, .snapshot = snapshot});
    compare_walk(*iterator, within(model, lower, upper));
}

TEST_P(EngineConformanceTest, RandomHistoriesAgreeWithAnOrderedMap) {
    const std::string name = GetParam();
    const bool keeps = durable();
    const bool passed = rc::check([&] {
        env::SimFileSystem disk;
        QueueWorkers jobs;
        auto engine_now = *open_engine("/data", small_options(name), environment(disk, jobs));
        Model model;
        std::vector<std::pair<std::unique_ptr<Snapshot>, Model>> snapshots;
        const int steps = *rc::gen::inRange(1, 80);
        for (int step = 0; step < steps; ++step) {
            const int action = *rc::gen::inRange(0, 20);
            if (action < 11) {
                any_write(*engine_now, jobs, model);
            } else if (action < 13) {
                jobs.run_one();
            } else if (action == 13 && snapshots.size() < 4) {
                snapshots.emplace_back(engine_now->snapshot(), model);
            } else if (action == 14 && !snapshots.empty()) {
                snapshots.erase(snapshots.begin());
            } else if (action == 15) {
                RC_ASSERT(engine_now->sync().ok());
            } else if (action == 16 && keeps) {
                snapshots.clear();
                RC_ASSERT(engine_now->close().ok());
                engine_now.reset();
                engine_now = *open_engine("/data", small_options(name), environment(disk, jobs));
            } else if (action == 17) {
                const std::string key = *any_key();
                const auto expected = model.find(key);
                RC_ASSERT(read(*engine_now, key) ==
                          (expected == model.end() ? "(none)" : expected->second));
            } else if (action == 18 && !snapshots.empty()) {
                const auto& [snapshot, then] = snapshots.back();
                check_bounded_walk(*engine_now, then, snapshot.get());
            } else {
                check_bounded_walk(*engine_now, model, nullptr);
            }
        }
        for (const auto& [snapshot, then] : snapshots) {
            RC_ASSERT(*contents(*engine_now,
                                {.lower = "", .upper = "", .snapshot = snapshot.get()}) == then);
        }
        RC_ASSERT(*contents(*engine_now) == model);
    });
    EXPECT_TRUE(passed);
}

TEST_P(EngineConformanceTest, AClosedEngineRefusesEverything) {
    ASSERT_TRUE(put(*engine, "a", "1").ok());
    ASSERT_TRUE(engine->close().ok());
    EXPECT_TRUE(absl::IsFailedPrecondition(put(*engine, "a", "2")));
    EXPECT_TRUE(absl::IsFailedPrecondition(engine->get("a").status()));
    EXPECT_TRUE(absl::IsFailedPrecondition(engine->get_from_memory("a").status()));
    EXPECT_TRUE(absl::IsFailedPrecondition(engine->sync()));
    EXPECT_TRUE(absl::IsFailedPrecondition(engine->close()));
    const auto iterator = engine->new_iterator();
    iterator->seek_to_first();
    EXPECT_FALSE(iterator->valid());
    EXPECT_TRUE(absl::IsFailedPrecondition(iterator->status()));
    engine.reset();
}

TEST_P(EngineConformanceTest, ADirectoryBelongsToOneEngineAtATime) {
    const auto second =
        open_engine("/data", small_options(GetParam()), environment(files, workers));
    EXPECT_TRUE(absl::IsFailedPrecondition(second.status())) << second.status();
    EXPECT_TRUE(put(*engine, "a", "1").ok());
    reopen();
}

TEST_P(EngineConformanceTest, ADirectoryOfAnotherEngineIsRefused) {
    ASSERT_TRUE(engine->close().ok());
    const std::string other = GetParam() == "lsm" ? "in_memory" : "lsm";
    const auto opened = open_engine("/data", small_options(other), environment(files, workers));
    EXPECT_TRUE(absl::IsFailedPrecondition(opened.status())) << opened.status();
    EXPECT_THAT(std::string(opened.status().message()), HasSubstr(GetParam()));
    // And it is not left locked.
    EXPECT_TRUE(open_engine("/data", small_options(GetParam()), environment(files, workers)).ok());
}

TEST_P(EngineConformanceTest, AnUnknownFormatIsRefused) {
    ASSERT_TRUE(engine->close().ok());
    const std::string marker = *env::read_file(files, "/data/ENGINE", 4096);
    EXPECT_THAT(marker, HasSubstr("format 2\n"));
    for (size_t i = 0; i < marker.size(); ++i) {
        ASSERT_TRUE(files.flip_bit("/data/ENGINE", i, 0).ok());
        const auto opened =
            open_engine("/data", small_options(GetParam()), environment(files, workers));
        EXPECT_FALSE(opened.ok()) << "byte " << i;
        ASSERT_TRUE(files.flip_bit("/data/ENGINE", i, 0).ok());
    }
    EXPECT_TRUE(open_engine("/data", small_options(GetParam()), environment(files, workers)).ok());
}

TEST_P(EngineConformanceTest, AnUnknownEngineIsRefused) {
    EngineOptions options = small_options("bitkeg");
    const auto opened = open_engine("/other", options, environment(files, workers));
    EXPECT_TRUE(absl::IsInvalidArgument(opened.status()));
    EXPECT_THAT(std::string(opened.status().message()), HasSubstr("bitkeg"));
    EXPECT_FALSE(*files.exists("/other"));
}

TEST_P(EngineConformanceTest, ADurableEngineKeepsItsStateOverAReopen) {
    if (!durable()) {
        GTEST_SKIP() << "keeps nothing";
    }
    for (int round = 0; round < 3; ++round) {
        ASSERT_TRUE(put(*engine, fmt::format("key{}", round), "v").ok());
        ASSERT_TRUE(remove(*engine, fmt::format("key{}", round - 1)).ok());
        reopen();
        EXPECT_EQ(*contents(*engine), (Model{{fmt::format("key{}", round), "v"}}));
    }
}

TEST_P(EngineConformanceTest, MemoryIsCounted) {
    const uint64_t before = engine->statistics().memory_bytes;
    ASSERT_TRUE(put(*engine, "a", std::string(100000, 'x')).ok());
    EXPECT_GE(engine->statistics().memory_bytes, before + 100000);
}

}  // namespace
}  // namespace starling::storage
