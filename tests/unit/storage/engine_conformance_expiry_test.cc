// Values that expire.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/storage/engine_conformance.h"

namespace starling::storage {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

class EngineExpiryTest : public EngineConformanceTest {};

STARLING_FOR_EVERY_ENGINE(EngineExpiryTest);

class DurableEngineExpiryTest : public EngineExpiryTest {};

STARLING_FOR_EVERY_DURABLE_ENGINE(DurableEngineExpiryTest);

TEST_P(EngineExpiryTest, AValueIsThereUntilItsExpiryAndAbsentFromThenOn) {
    ASSERT_TRUE(put_until("a", "1", in(seconds(10))).ok());
    const auto entry = engine->get_entry("a");
    ASSERT_TRUE(entry.ok() && entry->has_value());
    EXPECT_EQ((*entry)->value, "1");
    EXPECT_EQ((*entry)->expiry, base::to_unix_ms(in(seconds(10))));
    clock.advance(milliseconds(9999));
    EXPECT_EQ(read(*engine, "a"), "1");
    clock.advance(milliseconds(1));
    EXPECT_EQ(read(*engine, "a"), "(none)");
    EXPECT_EQ(*engine->get_entry("a"), std::nullopt);
    EXPECT_EQ(*engine->get_from_memory("a"), std::nullopt);
}

TEST_P(EngineExpiryTest, AValueWithoutExpirySaysSo) {
    ASSERT_TRUE(put(*engine, "a", "1").ok());
    EXPECT_EQ((*engine->get_entry("a"))->expiry, never);
    clock.advance(hours(24 * 365 * 100));
    EXPECT_EQ(read(*engine, "a"), "1");
}

TEST_P(EngineExpiryTest, APlainPutOverItClearsTheExpiry) {
    ASSERT_TRUE(put_until("a", "1", in(seconds(10))).ok());
    ASSERT_TRUE(put(*engine, "a", "2").ok());
    EXPECT_EQ((*engine->get_entry("a"))->expiry, never);
    clock.advance(seconds(20));
    EXPECT_EQ(read(*engine, "a"), "2");
    reopen_if_durable();
    EXPECT_EQ(read(*engine, "a"), "2");
}

TEST_P(EngineExpiryTest, AnotherExpiryReplacesTheOneBefore) {
    ASSERT_TRUE(put_until("a", "1", in(seconds(10))).ok());
    ASSERT_TRUE(put_until("a", "2", in(seconds(30))).ok());
    ASSERT_TRUE(put_until("b", "1", in(seconds(30))).ok());
    ASSERT_TRUE(put_until("b", "2", in(seconds(10))).ok());
    clock.advance(seconds(20));
    EXPECT_EQ(read(*engine, "a"), "2");
    EXPECT_EQ(read(*engine, "b"), "(none)");
}

TEST_P(EngineExpiryTest, AnExpiredValueHidesTheOneItReplaced) {
    ASSERT_TRUE(put(*engine, "a", "old").ok());
    ASSERT_TRUE(put_until("a", "new", in(seconds(1))).ok());
    clock.advance(seconds(2));
    EXPECT_EQ(read(*engine, "a"), "(none)");
    reopen_if_durable();
    EXPECT_EQ(read(*engine, "a"), "(none)");
    EXPECT_TRUE(contents(*engine)->empty());
}

TEST_P(EngineExpiryTest, WhatIsWrittenAfterTheExpiryIsThere) {
    ASSERT_TRUE(put_until("a", "1", in(seconds(1))).ok());
    clock.advance(seconds(2));
    ASSERT_TRUE(put(*engine, "a", "2").ok());
    EXPECT_EQ(read(*engine, "a"), "2");
}

TEST_P(EngineExpiryTest, ATimeThatHasPassedWhenItIsWrittenIsAbsentAtOnce) {
    ASSERT_TRUE(put(*engine, "a", "1").ok());
    ASSERT_TRUE(put_until("a", "2", in(-seconds(1))).ok());
    ASSERT_TRUE(put_until("b", "2", base::WallTime(-hours(1))).ok());
    EXPECT_EQ(read(*engine, "a"), "(none)");
    EXPECT_EQ(read(*engine, "b"), "(none)");
}

TEST_P(EngineExpiryTest, AClockThatGoesBackBringsNothingBack) {
    ASSERT_TRUE(put_until("a", "1", in(seconds(10))).ok());
    clock.advance(seconds(11));
    EXPECT_EQ(read(*engine, "a"), "(none)");
    clock.set_wall(in(-hours(1)));
    EXPECT_EQ(read(*engine, "a"), "(none)");
    EXPECT_TRUE(contents(*engine)->empty());
    const Condition absent{.key = "a", .expected = std::nullopt};
    EXPECT_TRUE(engine->write_if({&absent, 1}, WriteBatch()).ok());
}

TEST_P(EngineExpiryTest, AnIteratorJudgesByTheTimeAtWhichItWasMade) {
    ASSERT_TRUE(put_until("a", "1", in(seconds(10))).ok());
    ASSERT_TRUE(put(*engine, "b", "2").ok());
    ASSERT_TRUE(put_until("c", "3", in(seconds(10))).ok());
    const auto before = engine->new_iterator();
    clock.advance(seconds(11));
    Model seen;
    for (before->seek_to_first(); before->valid(); before->next()) {
        seen.emplace(before->key(), before->value());
        EXPECT_EQ(before->expiry() == never, before->key() == "b");
    }
    EXPECT_EQ(seen, (Model{{"a", "1"}, {"b", "2"}, {"c", "3"}}));
    EXPECT_EQ(*contents(*engine), (Model{{"b", "2"}}));
    const auto after = engine->new_iterator();
    after->seek_to_last();
    ASSERT_TRUE(after->valid());
    EXPECT_EQ(after->key(), "b");
    after->previous();
    EXPECT_FALSE(after->valid());
}

TEST_P(EngineExpiryTest, ASnapshotDoesNotHoldUpTheExpiry) {
    ASSERT_TRUE(put_until("a", "1", in(seconds(10))).ok());
    const auto snapshot = engine->snapshot();
    clock.advance(seconds(11));
    EXPECT_EQ(read(*engine, "a", snapshot.get()), "(none)");
}

TEST_P(EngineExpiryTest, AnIteratorShowsTheExpiredWhenAsked) {
    ASSERT_TRUE(put_until("a", "1", in(seconds(10))).ok());
    clock.advance(seconds(11));
    IteratorOptions options;
    options.include_expired = true;
    EXPECT_EQ(*contents(*engine, options), (Model{{"a", "1"}}));
    ASSERT_TRUE(remove(*engine, "a").ok());
    EXPECT_TRUE(contents(*engine, options)->empty());
}

TEST_P(EngineExpiryTest, CompactionDropsTheExpiredForGood) {
    for (int i = 0; i < 50; ++i) {
        ASSERT_TRUE(put(*engine, fmt::format("key{:02}", i), "below").ok());
    }
    reopen_if_durable();
    ASSERT_TRUE(put(*engine, "stays", "1").ok());
    for (int i = 0; i < 50; ++i) {
        ASSERT_TRUE(put_until(fmt::format("key{:02}", i), "v", in(seconds(10))).ok());
    }
    ASSERT_TRUE(put_until("later", "2", in(seconds(100))).ok());
    clock.advance(seconds(11));
    ASSERT_TRUE(engine->compact().ok());
    IteratorOptions options;
    options.include_expired = true;
    EXPECT_EQ(*contents(*engine, options), (Model{{"later", "2"}, {"stays", "1"}}));
    reopen_if_durable();
    EXPECT_EQ(*contents(*engine, options), (Model{{"later", "2"}, {"stays", "1"}}));
    EXPECT_EQ((*engine->get_entry("later"))->expiry,
              base::to_unix_ms(in(seconds(100) - seconds(11))));
}

TEST_P(EngineExpiryTest, CompactionLeavesWhatAnIteratorFromBeforeStillShows) {
    ASSERT_TRUE(put_until("a", "1", in(seconds(10))).ok());
    const auto before = engine->new_iterator();
    clock.advance(seconds(11));
    ASSERT_TRUE(engine->compact().ok());
    before->seek_to_first();
    ASSERT_TRUE(before->valid()) << before->status();
    EXPECT_EQ(before->value(), "1");
}

TEST_P(DurableEngineExpiryTest, ExpiriesOutliveARestart) {
    ASSERT_TRUE(put_until("a", "1", in(seconds(10))).ok());
    reopen();
    EXPECT_EQ((*engine->get_entry("a"))->expiry, base::to_unix_ms(in(seconds(10))));
    clock.advance(seconds(10));
    EXPECT_EQ(read(*engine, "a"), "(none)");
    reopen();
    EXPECT_EQ(read(*engine, "a"), "(none)");
}

}  // namespace
}  // namespace starling::storage
