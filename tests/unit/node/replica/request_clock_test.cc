#include "node/replica/request_clock.h"

#include <chrono>

#include <gtest/gtest.h>

namespace starling::node {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr base::Duration ten_years = hours(24 * 3653);
constexpr base::Duration hold = seconds(30);
constexpr base::Duration drift_max = seconds(5);

struct RequestClockTest : ::testing::Test {
    // True time goes on by `span`.
    void pass(base::Duration span) {
        now += span;
        wall += span;
    }
    uint64_t read() { return clock.now_ms(now, wall); }
    uint64_t wall_ms() const { return base::to_unix_ms(wall); }

    RequestClock clock{{.hold = hold, .drift_max = drift_max}};
    base::MonotonicTime now{};
    base::WallTime wall{hours(24 * 365 * 50)};
};

TEST_F(RequestClockTest, ItFollowsTheWallClockForwardAtOnce) {
    EXPECT_EQ(read(), wall_ms());
    wall += hours(5);
    EXPECT_EQ(read(), wall_ms());
    EXPECT_EQ(clock.floor_ms(), 0u);
    EXPECT_EQ(clock.behind_ms(), 0u);
}

TEST_F(RequestClockTest, AStepBackIsWaitedForAndNeverSeen) {
    uint64_t last = read();
    wall -= seconds(20);
    for (int i = 0; i < 40; ++i) {
        const uint64_t next = read();
        EXPECT_GE(next, last);
        last = next;
        pass(seconds(1));
    }
    EXPECT_EQ(read(), wall_ms());
    EXPECT_EQ(clock.floor_ms(), 0u);
    EXPECT_EQ(clock.steps_back(), 0u);
}

TEST_F(RequestClockTest, AClockThatFlipsBetweenTwoReadingsStaysAtTheGreater) {
    uint64_t last = read();
    for (int i = 0; i < 1000; ++i) {
        pass(milliseconds(500));
        wall += i % 2 == 0 ? base::Duration(seconds(20)) : base::Duration(-seconds(20));
        const uint64_t next = read();
        EXPECT_GE(next, last);
        last = next;
    }
    EXPECT_EQ(clock.steps_back(), 0u);
}

TEST_F(RequestClockTest, TenYearsAheadAndBackCostAWhileAndAreForgotten) {
    read();
    wall += ten_years;
    read();
    pass(hours(1));
    const uint64_t ahead = read();
    wall -= ten_years;
    EXPECT_EQ(read(), ahead) << "nobody knows yet which of the two is right";
    EXPECT_GT(clock.behind_ms(), 0u);
    pass(hold - milliseconds(1));
    EXPECT_EQ(read(), ahead);
    pass(milliseconds(1));
    EXPECT_EQ(read(), wall_ms());
    EXPECT_EQ(clock.behind_ms(), 0u);
    EXPECT_EQ(clock.steps_back(), 1u);
    // What the hour in the future made others forget was created before this.
    EXPECT_EQ(clock.floor_ms(), wall_ms() + 10'000);
    pass(seconds(10));
    EXPECT_EQ(read(), clock.floor_ms()) << "new requests are taken again";
}

TEST_F(RequestClockTest, AClockSetBackInTwoStepsIsFollowedTwice) {
    read();
    wall += ten_years;
    read();
    wall -= ten_years / 2;
    read();
    pass(hold);
    EXPECT_EQ(read(), wall_ms());
    wall -= ten_years / 2;
    read();
    pass(hold);
    EXPECT_EQ(read(), wall_ms());
    EXPECT_EQ(clock.floor_ms(), wall_ms() + 10'000) << "not the floor of the first step";
}

TEST_F(RequestClockTest, AClockBeforeTheEpochIsAtTheEpoch) {
    wall = base::WallTime(-seconds(5));
    EXPECT_EQ(read(), 0u);
}

}  // namespace
}  // namespace starling::node
