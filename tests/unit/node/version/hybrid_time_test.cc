#include "node/version/hybrid_time.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace starling::node {
namespace {

base::WallTime at_ms(int64_t ms) {
    return base::WallTime(std::chrono::milliseconds(ms));
}

TEST(HybridClockTest, FollowsTheWallClock) {
    HybridClock clock;
    EXPECT_EQ(clock.tick(at_ms(1000)), (HybridTime{1000, 0}));
    EXPECT_EQ(clock.tick(at_ms(1000)), (HybridTime{1000, 1}));
    EXPECT_EQ(clock.tick(at_ms(1001)), (HybridTime{1001, 0}));
}

TEST(HybridClockTest, DoesNotGoBackWhenTheWallClockDoes) {
    HybridClock clock;
    const HybridTime before = clock.tick(at_ms(5000));
    EXPECT_EQ(clock.tick(at_ms(10)), (HybridTime{5000, 1}));
    EXPECT_LT(before, clock.tick(at_ms(-7)));
}

TEST(TimeAfterTest, IsTheClocksUnlessWhatWasSeenIsAsLate) {
    EXPECT_EQ(time_after({}, at_ms(1000)), (HybridTime{1000, 0}));
    EXPECT_EQ(time_after({999, 9}, at_ms(1000)), (HybridTime{1000, 0}));
    EXPECT_EQ(time_after({1000, 0}, at_ms(1000)), (HybridTime{1000, 1}));
    EXPECT_EQ(time_after({5000, 3}, at_ms(1000)), (HybridTime{5000, 4}));
    EXPECT_EQ(time_after({5000, UINT32_MAX}, at_ms(1000)), (HybridTime{5001, 0}));
}

RC_GTEST_PROP(HybridClockTest, NeverRepeatsATimeHoweverTheWallClockJumps, ()) {
    HybridClock clock;
    HybridTime last = clock.tick(at_ms(0));
    const auto steps =
        *rc::gen::container<std::vector<int64_t>>(rc::gen::inRange<int64_t>(0, 10000));
    for (const int64_t now_ms : steps) {
        const HybridTime next = clock.tick(at_ms(now_ms));
        RC_ASSERT(last < next);
        last = next;
    }
}

}  // namespace
}  // namespace starling::node
