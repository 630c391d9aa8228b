#include "node/version/hybrid_time.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace starling::node {
namespace {

constexpr base::Duration drift_max = std::chrono::milliseconds(500);

base::WallTime at_ms(int64_t ms) {
    return base::WallTime(std::chrono::milliseconds(ms));
}

TEST(HybridClockTest, FollowsTheWallClock) {
    HybridClock clock(drift_max);
    EXPECT_EQ(clock.tick(at_ms(1000)), (HybridTime{1000, 0}));
    EXPECT_EQ(clock.tick(at_ms(1000)), (HybridTime{1000, 1}));
    EXPECT_EQ(clock.tick(at_ms(1001)), (HybridTime{1001, 0}));
}

TEST(HybridClockTest, DoesNotGoBackWhenTheWallClockDoes) {
    HybridClock clock(drift_max);
    const HybridTime before = clock.tick(at_ms(5000));
    EXPECT_EQ(clock.tick(at_ms(10)), (HybridTime{5000, 1}));
    EXPECT_LT(before, clock.tick(at_ms(-7)));
}

TEST(HybridClockTest, OrdersAnEventAfterWhatItHeardOf) {
    HybridClock clock(drift_max);
    EXPECT_TRUE(clock.observe({1400, 7}, at_ms(1000)).ok());
    EXPECT_EQ(clock.tick(at_ms(1000)), (HybridTime{1400, 8}));
}

TEST(HybridClockTest, RefusesAClockFarAheadAndStaysAsItWas) {
    HybridClock clock(drift_max);
    EXPECT_TRUE(clock.observe({1500, 0}, at_ms(1000)).ok());
    const absl::Status refused = clock.observe({1501, 0}, at_ms(1000));
    EXPECT_EQ(refused.code(), absl::StatusCode::kOutOfRange);
    EXPECT_EQ(clock.observe({UINT64_MAX, 0}, at_ms(1000)).code(), absl::StatusCode::kOutOfRange);
    EXPECT_EQ(clock.tick(at_ms(1000)), (HybridTime{1500, 1}));
}

TEST(HybridClockTest, AFullLogicalPartBorrowsAMillisecond) {
    HybridClock clock(drift_max);
    EXPECT_TRUE(clock.observe({1000, UINT32_MAX}, at_ms(1000)).ok());
    EXPECT_EQ(clock.tick(at_ms(1000)), (HybridTime{1001, 0}));
}

TEST(TimeAfterTest, IsTheClocksUnlessWhatWasSeenIsAsLate) {
    EXPECT_EQ(time_after({}, at_ms(1000)), (HybridTime{1000, 0}));
    EXPECT_EQ(time_after({999, 9}, at_ms(1000)), (HybridTime{1000, 0}));
    EXPECT_EQ(time_after({1000, 0}, at_ms(1000)), (HybridTime{1000, 1}));
    EXPECT_EQ(time_after({5000, 3}, at_ms(1000)), (HybridTime{5000, 4}));
    EXPECT_EQ(time_after({5000, UINT32_MAX}, at_ms(1000)), (HybridTime{5001, 0}));
}

RC_GTEST_PROP(HybridClockTest, NeverRepeatsATimeHoweverTheWallClockJumps, ()) {
    HybridClock clock(drift_max);
    HybridTime last = clock.tick(at_ms(0));
    const auto steps = *rc::gen::container<std::vector<std::pair<int64_t, int64_t>>>(
        rc::gen::pair(rc::gen::inRange<int64_t>(0, 10000), rc::gen::inRange<int64_t>(0, 12000)));
    for (const auto& [now_ms, remote_ms] : steps) {
        const HybridTime remote{static_cast<uint64_t>(remote_ms), 3};
        const bool heard = clock.observe(remote, at_ms(now_ms)).ok();
        RC_ASSERT(heard == (remote_ms - now_ms <= 500));
        const HybridTime next = clock.tick(at_ms(now_ms));
        RC_ASSERT(last < next);
        if (heard) RC_ASSERT(remote < next);
        last = next;
    }
}

}  // namespace
}  // namespace starling::node
