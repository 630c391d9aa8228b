#include "node/replica/gone_horizon.h"

#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/node/version/builders.h"

namespace starling::node {
namespace {

using testing::dot;
using testing::frontier;

constexpr uint64_t window_ms = 1000;
constexpr uint64_t drift_max_ms = 100;
constexpr uint64_t now_ms = 60'000;
const GroupId here{base::PartitionId(7), 3};
const std::vector<base::NodeId> others = {base::NodeId(2), base::NodeId(3)};

struct GoneHorizonTest : ::testing::Test {
    GoneHorizon horizon{window_ms, drift_max_ms};
};

TEST_F(GoneHorizonTest, NothingIsForgottenBeforeEveryOwnerWasHeardOf) {
    horizon.note(here, others[0], 50'000, frontier({}), frontier({}), now_ms);
    EXPECT_EQ(horizon.forget_before(here, others, now_ms), 0u);
    horizon.note(here, others[1], 40'000, frontier({}), frontier({}), now_ms);
    EXPECT_EQ(horizon.forget_before(here, others, now_ms), 39'000u);
}

TEST_F(GoneHorizonTest, OfAGroupThatWasRemovedNothingIsKnownAnyMore) {
    for (const base::NodeId owner : others)
        horizon.note(here, owner, 40'000, {}, {}, now_ms);
    horizon.forget(here);
    EXPECT_EQ(horizon.forget_before(here, others, now_ms), 0u);
}

TEST_F(GoneHorizonTest, AReportOfWritesNotSeenHereDoesNotCount) {
    horizon.note(here, others[0], 50'000, frontier({dot(2, 1)}), frontier({}), now_ms);
    EXPECT_EQ(horizon.forget_before(here, {{others[0]}}, now_ms), 0u);
    horizon.note(here, others[0], 50'000, frontier({dot(2, 1)}), frontier({dot(2, 1)}), now_ms);
    EXPECT_EQ(horizon.forget_before(here, {{others[0]}}, now_ms), 49'000u);
}

TEST_F(GoneHorizonTest, ALateReportDoesNotTakeBackANewerOne) {
    horizon.note(here, others[0], 50'000, frontier({}), frontier({}), now_ms);
    horizon.note(here, others[0], 49'500, frontier({}), frontier({}), now_ms);
    EXPECT_EQ(horizon.forget_before(here, {{others[0]}}, now_ms), 49'000u);
}

TEST_F(GoneHorizonTest, AnOwnersClockAheadOfOursForgetsNoMoreThanOurOwn) {
    horizon.note(here, others[0], now_ms + drift_max_ms, frontier({}), frontier({}), now_ms);
    EXPECT_EQ(horizon.forget_before(here, {{others[0]}}, now_ms), 59'000u);
}

TEST_F(GoneHorizonTest, AReportFromFurtherInTheFutureThanClocksMayDifferDoesNotCount) {
    horizon.note(here, others[0], now_ms + drift_max_ms + 1, frontier({}), frontier({}), now_ms);
    horizon.note(here, others[0], UINT64_MAX, frontier({}), frontier({}), now_ms);
    EXPECT_EQ(horizon.forget_before(here, {{others[0]}}, now_ms), 0u);
}

TEST_F(GoneHorizonTest, AnOwnerWhoseClockWasSetBackTakesBackItsReports) {
    horizon.note(here, others[0], 50'000, frontier({}), frontier({}), now_ms);
    horizon.note(here, others[0], 20'000, frontier({dot(2, 1)}), frontier({}), now_ms);
    EXPECT_EQ(horizon.forget_before(here, {{others[0]}}, now_ms), 0u);
    horizon.note(here, others[0], 20'000, frontier({}), frontier({}), now_ms);
    EXPECT_EQ(horizon.forget_before(here, {{others[0]}}, now_ms), 19'000u);
}

TEST_F(GoneHorizonTest, AfterOurOwnClockWasSetBackEachOwnerIsHeardOfAnew) {
    // Both clocks were far ahead, then ours was set right.
    horizon.note(here, others[0], 5'000'000, frontier({}), frontier({}), 5'000'000);
    EXPECT_EQ(horizon.forget_before(here, {{others[0]}}, 5'000'000), 4'999'000u);
    EXPECT_EQ(horizon.forget_before(here, {{others[0]}}, now_ms), 0u);
    horizon.note(here, others[0], 5'000'000, frontier({}), frontier({}), now_ms);
    EXPECT_EQ(horizon.forget_before(here, {{others[0]}}, now_ms), 0u);
    horizon.note(here, others[0], 55'000, frontier({}), frontier({}), now_ms);
    EXPECT_EQ(horizon.forget_before(here, {{others[0]}}, now_ms), 54'000u);
}

TEST_F(GoneHorizonTest, AnOwnerIsPastARequestOnceItsReportLetsThatBeForgotten) {
    EXPECT_FALSE(horizon.is_past(here, others[0], 1, now_ms));
    horizon.note(here, others[0], 50'000, frontier({}), frontier({}), now_ms);
    EXPECT_TRUE(horizon.is_past(here, others[0], 48'999, now_ms));
    EXPECT_FALSE(horizon.is_past(here, others[0], 49'000, now_ms));
    EXPECT_FALSE(horizon.is_past(here, others[1], 48'999, now_ms));
    EXPECT_FALSE(horizon.is_past(here, others[0], 48'999, 49'500)) << "our clock was set back";
    EXPECT_TRUE(horizon.may_be_past(now_ms - window_ms - 1, now_ms));
    EXPECT_FALSE(horizon.may_be_past(now_ms - window_ms, now_ms));
    EXPECT_FALSE(horizon.may_be_past(now_ms + 1, now_ms));
}

TEST_F(GoneHorizonTest, GroupsAreKeptApart) {
    const GroupId other{base::PartitionId(7), 1};
    horizon.note(other, others[0], 50'000, frontier({}), frontier({}), now_ms);
    EXPECT_EQ(horizon.forget_before(here, {{others[0]}}, now_ms), 0u);
}

TEST_F(GoneHorizonTest, ALoneOwnerForgetsByItsOwnClock) {
    EXPECT_EQ(horizon.forget_before(here, {}, now_ms), 59'000u);
    EXPECT_EQ(horizon.forget_before(here, {}, window_ms), 0u);
}

}  // namespace
}  // namespace starling::node
