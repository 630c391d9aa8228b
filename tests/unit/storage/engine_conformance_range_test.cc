// Ordered reading: bounds, prefixes, pages, the nearest key below.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/storage/engine_conformance.h"

namespace starling::storage {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class EngineRangeTest : public EngineConformanceTest {
  protected:
    std::vector<std::string> forward(const std::string& lower, const std::string& upper) {
        const auto iterator = engine->new_iterator({.lower = lower, .upper = upper});
        std::vector<std::string> keys;
        for (iterator->seek_to_first(); iterator->valid(); iterator->next()) {
            keys.emplace_back(iterator->key());
        }
        EXPECT_TRUE(iterator->status().ok()) << iterator->status();
        return keys;
    }
    std::vector<std::string> backward(const std::string& lower, const std::string& upper) {
        const auto iterator = engine->new_iterator({.lower = lower, .upper = upper});
        std::vector<std::string> keys;
        for (iterator->seek_to_last(); iterator->valid(); iterator->previous()) {
            keys.emplace_back(iterator->key());
        }
        EXPECT_TRUE(iterator->status().ok()) << iterator->status();
        return keys;
    }
    void put_numbers(int count) {
        for (int i = 0; i < count; ++i) {
            WriteBatch batch;
            batch.put(fmt::format("key{:06}", i), fmt::format("value{}", i));
            ASSERT_TRUE(write_patiently(*engine, workers, batch).ok());
        }
    }
};

STARLING_FOR_EVERY_ENGINE(EngineRangeTest);

TEST_P(EngineRangeTest, BoundsHoldBothWays) {
    for (const char* key : {"a", "b", "c", "d"}) {
        ASSERT_TRUE(put(*engine, key, "v").ok());
    }
    EXPECT_THAT(forward("b", "d"), ElementsAre("b", "c"));
    EXPECT_THAT(backward("b", "d"), ElementsAre("c", "b"));
    EXPECT_THAT(forward("bb", ""), ElementsAre("c", "d"));
    EXPECT_THAT(backward("", "bb"), ElementsAre("b", "a"));
    EXPECT_THAT(forward("b", "b"), IsEmpty());
    EXPECT_THAT(backward("d", "b"), IsEmpty());
    EXPECT_THAT(forward("e", ""), IsEmpty());
    EXPECT_THAT(backward("e", ""), IsEmpty());
}

TEST_P(EngineRangeTest, SeeksDoNotLeaveTheBounds) {
    for (const char* key : {"a", "b", "c", "d"}) {
        ASSERT_TRUE(put(*engine, key, "v").ok());
    }
    const auto iterator = engine->new_iterator({.lower = "b", .upper = "d"});
    iterator->seek("a");
    ASSERT_TRUE(iterator->valid());
    EXPECT_EQ(iterator->key(), "b");
    iterator->previous();
    EXPECT_FALSE(iterator->valid());
    iterator->seek("d");
    EXPECT_FALSE(iterator->valid());
    iterator->seek_before("z");
    ASSERT_TRUE(iterator->valid());
    EXPECT_EQ(iterator->key(), "c");
    iterator->next();
    EXPECT_FALSE(iterator->valid());
    iterator->seek_before("b");
    EXPECT_FALSE(iterator->valid());
}

TEST_P(EngineRangeTest, APrefixIsTheRangeUpToTheNextOne) {
    for (const std::string key : {"fo", "foo", "foo\x01", "foo\xff", "foo\xff\xff", "fop", "g"}) {
        ASSERT_TRUE(put(*engine, key, "v").ok());
    }
    EXPECT_THAT(forward("foo", "fop"), ElementsAre("foo", "foo\x01", "foo\xff", "foo\xff\xff"));
    EXPECT_THAT(backward("foo", "fop"), ElementsAre("foo\xff\xff", "foo\xff", "foo\x01", "foo"));
}

TEST_P(EngineRangeTest, AHundredOfAThousandKeysAreReadInOrder) {
    put_numbers(1000);
    workers.run_all();
    for (int round = 0; round < 2; ++round) {
        const auto found = contents(*engine, {.lower = "key000450", .upper = "key000550"});
        ASSERT_TRUE(found.ok()) << found.status();
        ASSERT_EQ(found->size(), 100u);
        EXPECT_EQ(found->begin()->second, "value450");
        EXPECT_EQ(found->rbegin()->second, "value549");
        const auto keys = backward("key000450", "key000550");
        EXPECT_EQ(keys.size(), 100u);
        EXPECT_TRUE(std::is_sorted(keys.rbegin(), keys.rend()));
        EXPECT_EQ(contents(*engine)->size(), 1000u);
        reopen_if_durable();
    }
}

TEST_P(EngineRangeTest, TheNearestKeyBelowIsFound) {
    for (const char* key : {"b", "d", "f"}) {
        ASSERT_TRUE(put(*engine, key, key).ok());
    }
    ASSERT_TRUE(remove(*engine, "d").ok());
    const auto iterator = engine->new_iterator();
    // At or below: before the next possible key.
    const auto floor = [&](std::string key) {
        iterator->seek_before(key + std::string(1, '\0'));
        return iterator->valid() ? std::string(iterator->key()) : "(none)";
    };
    EXPECT_EQ(floor("f"), "f");
    EXPECT_EQ(floor("e"), "b");
    EXPECT_EQ(floor("d"), "b");
    EXPECT_EQ(floor("b"), "b");
    EXPECT_EQ(floor("a"), "(none)");
    EXPECT_EQ(floor("z"), "f");
}

TEST_P(EngineRangeTest, PagesOfAScanJoinWithoutGapsOrRepetitions) {
    put_numbers(107);
    const auto snapshot = engine->snapshot();
    std::vector<std::string> keys;
    std::string from;
    for (bool more = true; more;) {
        const auto iterator =
            engine->new_iterator({.lower = from, .upper = "", .snapshot = snapshot.get()});
        iterator->seek_to_first();
        for (int i = 0; i < 10 && iterator->valid(); ++i, iterator->next()) {
            keys.emplace_back(iterator->key());
        }
        more = iterator->valid();
        if (more) {
            from = iterator->key();
            // What is written between two pages belongs to neither.
            ASSERT_TRUE(put(*engine, from + "x", "new").ok());
            ASSERT_TRUE(remove(*engine, from).ok());
        }
    }
    EXPECT_EQ(keys.size(), 107u);
    EXPECT_TRUE(std::is_sorted(keys.begin(), keys.end()));
    EXPECT_EQ(std::adjacent_find(keys.begin(), keys.end()), keys.end());
}

TEST_P(EngineRangeTest, AScanWithoutAnyKeyEndsAtOnce) {
    EXPECT_THAT(forward("", ""), IsEmpty());
    EXPECT_THAT(backward("", ""), IsEmpty());
    put_numbers(50);
    WriteBatch batch;
    for (int i = 0; i < 50; ++i) {
        batch.remove(fmt::format("key{:06}", i));
    }
    ASSERT_TRUE(write_patiently(*engine, workers, batch).ok());
    EXPECT_THAT(forward("", ""), IsEmpty());
    EXPECT_THAT(backward("", ""), IsEmpty());
}

TEST_P(EngineRangeTest, AnIteratorMayOutliveALotOfWriting) {
    put_numbers(200);
    const auto iterator = engine->new_iterator();
    iterator->seek("key000100");
    for (int round = 0; round < 5; ++round) {
        for (int i = 0; i < 200; ++i) {
            WriteBatch batch;
            batch.put(fmt::format("key{:06}", i), std::string(100, 'n'));
            ASSERT_TRUE(write_patiently(*engine, workers, batch).ok());
        }
        workers.run_all();
    }
    ASSERT_TRUE(engine->compact().ok());
    int i = 100;
    for (; iterator->valid(); iterator->next(), ++i) {
        ASSERT_EQ(iterator->value(), fmt::format("value{}", i));
    }
    EXPECT_TRUE(iterator->status().ok()) << iterator->status();
    EXPECT_EQ(i, 200);
}

}  // namespace
}  // namespace starling::storage
