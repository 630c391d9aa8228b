#include "node/entropy/pace.h"

#include "gtest/gtest.h"

namespace starling::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class PaceTest : public testing::Test {
  protected:
    base::Duration delay_after(base::Duration passed) const {
        return pace_.delay(now_ + passed, base::Duration::zero(), /*do_clients_wait=*/false);
    }

    EntropyOptions options_{
        .bytes_per_second = 1000, .pause = milliseconds(100), .pause_max = seconds(2)};
    base::MonotonicTime now_{seconds(50)};
    Pace pace_{options_};
};

TEST_F(PaceTest, WhatCameIsPaidForWithTime) {
    EXPECT_EQ(delay_after(seconds(0)), seconds(0));
    pace_.brought(now_, 3000);
    EXPECT_EQ(delay_after(seconds(0)), seconds(3));
    EXPECT_EQ(delay_after(seconds(1)), seconds(2));
    EXPECT_EQ(delay_after(seconds(4)), seconds(0));
}

TEST_F(PaceTest, AnswersThatComeTogetherAreAllPaidFor) {
    pace_.brought(now_, 3000);
    pace_.brought(now_, 2000);
    EXPECT_EQ(delay_after(seconds(0)), seconds(5));
}

TEST_F(PaceTest, TimeInWhichNothingCameIsNotSaved) {
    pace_.brought(now_, 1000);
    pace_.brought(now_ + seconds(10), 1000);
    EXPECT_EQ(delay_after(seconds(10)), seconds(1));
}

TEST_F(PaceTest, WhileClientsWaitItIsPutOffForAPauseAndInTheEndAsked) {
    EXPECT_EQ(pace_.delay(now_, seconds(0), true), milliseconds(100));
    EXPECT_EQ(pace_.delay(now_, milliseconds(1999), true), milliseconds(100));
    EXPECT_EQ(pace_.delay(now_, seconds(2), true), seconds(0));
    pace_.brought(now_, 5000);
    EXPECT_EQ(pace_.delay(now_, seconds(0), true), seconds(5));
    EXPECT_EQ(pace_.delay(now_, seconds(2), true), seconds(5));
}

TEST_F(PaceTest, WithoutABudgetNothingIsPaidFor) {
    options_.bytes_per_second = 0;
    pace_.brought(now_, 1 << 30);
    EXPECT_EQ(delay_after(seconds(0)), seconds(0));
}

}  // namespace
}  // namespace starling::node
