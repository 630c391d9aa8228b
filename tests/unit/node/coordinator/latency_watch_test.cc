#include "node/coordinator/latency_watch.h"

#include "gtest/gtest.h"

namespace starling::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class LatencyWatchTest : public testing::Test {
  protected:
    void answer(int count, base::Duration took) {
        for (int i = 0; i < count; ++i) {
            watch_.answered(now_, took);
        }
    }
    bool do_clients_wait() { return watch_.do_clients_wait(now_); }

    base::MonotonicTime now_{seconds(100)};
    LatencyWatch watch_{milliseconds(100)};
};

TEST_F(LatencyWatchTest, NobodyWaitsWhereNobodyAsks) {
    EXPECT_FALSE(do_clients_wait());
}

TEST_F(LatencyWatchTest, MoreThanOneInTwentyHasToBeSlow) {
    answer(95, milliseconds(100));
    answer(5, milliseconds(101));
    EXPECT_FALSE(do_clients_wait());
    answer(1, milliseconds(101));
    EXPECT_TRUE(do_clients_wait());
}

TEST_F(LatencyWatchTest, TheWindowBeforeStillCounts) {
    answer(1, seconds(1));
    now_ += LatencyWatch::window;
    answer(100, milliseconds(1));
    EXPECT_TRUE(do_clients_wait());
    now_ += LatencyWatch::window;
    answer(1, milliseconds(1));
    EXPECT_FALSE(do_clients_wait());
}

TEST_F(LatencyWatchTest, WhatWasLongAgoIsForgotten) {
    answer(1, seconds(1));
    now_ += 2 * LatencyWatch::window;
    EXPECT_FALSE(do_clients_wait());
}

}  // namespace
}  // namespace starling::node
