// What every engine does, whatever it is made of.

#include "tests/unit/storage/engine_conformance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace starling::storage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

STARLING_FOR_EVERY_ENGINE(EngineConformanceTest);

class DurableEngineConformanceTest : public EngineConformanceTest {};

STARLING_FOR_EVERY_DURABLE_ENGINE(DurableEngineConformanceTest);

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

TEST_P(EngineConformanceTest, SnapshotsAndIteratorsAreCountedUntilTheyAreReleased) {
    const auto count = [this] {
        const EngineStatistics statistics = engine->statistics();
        return std::pair(statistics.snapshots, statistics.iterators);
    };
    EXPECT_EQ(count(), std::pair(0ul, 0ul));
    auto first = engine->snapshot();
    const auto second = engine->snapshot();
    auto iterator = engine->new_iterator();
    const auto of_snapshot =
        engine->new_iterator({.lower = "", .upper = "", .snapshot = second.get()});
    EXPECT_EQ(count(), std::pair(2ul, 2ul));
    iterator.reset();
    EXPECT_EQ(count(), std::pair(2ul, 1ul));
    first.reset();
    EXPECT_EQ(count(), std::pair(1ul, 1ul));
}

TEST_P(EngineConformanceTest, AClosedEngineRefusesEverything) {
    ASSERT_TRUE(put(*engine, "a", "1").ok());
    ASSERT_TRUE(engine->close().ok());
    EXPECT_TRUE(absl::IsFailedPrecondition(put(*engine, "a", "2")));
    EXPECT_TRUE(absl::IsFailedPrecondition(engine->get("a").status()));
    EXPECT_TRUE(absl::IsFailedPrecondition(engine->get_from_memory("a").status()));
    EXPECT_TRUE(absl::IsFailedPrecondition(engine->sync()));
    EXPECT_TRUE(absl::IsFailedPrecondition(engine->get_entry("a").status()));
    EXPECT_TRUE(absl::IsFailedPrecondition(engine->write_if({}, WriteBatch())));
    EXPECT_TRUE(absl::IsFailedPrecondition(engine->checkpoint("/copy")));
    EXPECT_TRUE(absl::IsFailedPrecondition(engine->compact()));
    EXPECT_TRUE(absl::IsFailedPrecondition(engine->close()));
    const auto iterator = engine->new_iterator();
    iterator->seek_to_first();
    EXPECT_FALSE(iterator->valid());
    EXPECT_TRUE(absl::IsFailedPrecondition(iterator->status()));
    engine.reset();
}

TEST_P(EngineConformanceTest, ADirectoryBelongsToOneEngineAtATime) {
    const auto second = open_engine("/data", small_options(GetParam()), world());
    EXPECT_TRUE(absl::IsFailedPrecondition(second.status())) << second.status();
    EXPECT_TRUE(put(*engine, "a", "1").ok());
    reopen();
}

TEST_P(EngineConformanceTest, ADirectoryOfAnotherEngineIsRefused) {
    ASSERT_TRUE(engine->close().ok());
    for (const std::string other : {"lsm", "bitcask", "in_memory"}) {
        if (other == GetParam()) {
            continue;
        }
        const auto opened = open_engine("/data", small_options(other), world());
        EXPECT_TRUE(absl::IsFailedPrecondition(opened.status())) << opened.status();
        EXPECT_THAT(std::string(opened.status().message()), HasSubstr(GetParam()));
        EXPECT_THAT(std::string(opened.status().message()), HasSubstr(other));
    }
    // And it is not left locked.
    EXPECT_TRUE(open_engine("/data", small_options(GetParam()), world()).ok());
}

TEST_P(EngineConformanceTest, AnUnknownFormatIsRefused) {
    ASSERT_TRUE(engine->close().ok());
    const std::string marker = *env::read_file(files, "/data/ENGINE", 4096);
    EXPECT_THAT(marker, HasSubstr("format 2\n"));
    for (size_t i = 0; i < marker.size(); ++i) {
        ASSERT_TRUE(files.flip_bit("/data/ENGINE", i, 0).ok());
        const auto opened = open_engine("/data", small_options(GetParam()), world());
        EXPECT_FALSE(opened.ok()) << "byte " << i;
        ASSERT_TRUE(files.flip_bit("/data/ENGINE", i, 0).ok());
    }
    EXPECT_TRUE(open_engine("/data", small_options(GetParam()), world()).ok());
}

TEST_P(EngineConformanceTest, AnUnknownEngineIsRefused) {
    EngineOptions options = small_options("bitkeg");
    const auto opened = open_engine("/other", options, world());
    EXPECT_TRUE(absl::IsInvalidArgument(opened.status()));
    EXPECT_THAT(std::string(opened.status().message()), HasSubstr("bitkeg"));
    EXPECT_FALSE(*files.exists("/other"));
}

TEST_P(DurableEngineConformanceTest, ADurableEngineKeepsItsStateOverAReopen) {
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
