#include "node/replica/gone_horizon.h"

#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/node/version/builders.h"

namespace starling::node {
namespace {

using testing::dot;
using testing::frontier;

constexpr uint64_t window_ms = 1000;
const GroupId here{base::PartitionId(7), 3};
const std::vector<base::NodeId> others = {base::NodeId(2), base::NodeId(3)};

struct GoneHorizonTest : ::testing::Test {
    GoneHorizon horizon{window_ms};
};

TEST_F(GoneHorizonTest, NothingIsForgottenBeforeEveryOwnerWasHeardOf) {
    horizon.note(here, others[0], 50'000, frontier({}), frontier({}));
    EXPECT_EQ(horizon.forget_before(here, others, 60'000), 0u);
    horizon.note(here, others[1], 40'000, frontier({}), frontier({}));
    EXPECT_EQ(horizon.forget_before(here, others, 60'000), 39'000u);
}

TEST_F(GoneHorizonTest, AReportOfWritesNotSeenHereDoesNotCount) {
    horizon.note(here, others[0], 50'000, frontier({dot(2, 1)}), frontier({}));
    EXPECT_EQ(horizon.forget_before(here, {{others[0]}}, 60'000), 0u);
    horizon.note(here, others[0], 50'000, frontier({dot(2, 1)}), frontier({dot(2, 1)}));
    EXPECT_EQ(horizon.forget_before(here, {{others[0]}}, 60'000), 49'000u);
}

TEST_F(GoneHorizonTest, ALateReportDoesNotTakeBackANewerOne) {
    horizon.note(here, others[0], 50'000, frontier({}), frontier({}));
    horizon.note(here, others[0], 20'000, frontier({}), frontier({}));
    EXPECT_EQ(horizon.forget_before(here, {{others[0]}}, 60'000), 49'000u);
}

TEST_F(GoneHorizonTest, AnOwnersClockAheadOfOursForgetsNoMoreThanOurOwn) {
    horizon.note(here, others[0], UINT64_MAX, frontier({}), frontier({}));
    EXPECT_EQ(horizon.forget_before(here, {{others[0]}}, 60'000), 59'000u);
}

TEST_F(GoneHorizonTest, GroupsAreKeptApart) {
    const GroupId other{base::PartitionId(7), 1};
    horizon.note(other, others[0], 50'000, frontier({}), frontier({}));
    EXPECT_EQ(horizon.forget_before(here, {{others[0]}}, 60'000), 0u);
}

TEST_F(GoneHorizonTest, ALoneOwnerForgetsByItsOwnClock) {
    EXPECT_EQ(horizon.forget_before(here, {}, 60'000), 59'000u);
    EXPECT_EQ(horizon.forget_before(here, {}, window_ms), 0u);
}

}  // namespace
}  // namespace starling::node
