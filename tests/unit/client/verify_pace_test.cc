#include "client/cli/verify_pace.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace starling::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint64_t mib = uint64_t{1} << 20;

struct FakeClock final : env::Clock {
    base::MonotonicTime now() const override { return time; }
    base::MonotonicTime time{std::chrono::hours(1)};
};

class VerifyPaceTest : public testing::Test {
  protected:
    static v1::InspectReplicaResponse answer(size_t bytes, uint64_t bytes_read) {
        v1::InspectReplicaResponse made;
        made.set_frontier(std::string(bytes, 'f'));
        made.set_bytes_read(bytes_read);
        return made;
    }
    base::Duration passed() const { return clock.time - started; }

    FakeClock clock;
    const base::MonotonicTime started = clock.time;
    int pauses = 0;
    VerifyPace pace{mib, clock, [this](base::Duration duration) {
                        ++pauses;
                        clock.time += duration;
                    }};
};

TEST_F(VerifyPaceTest, SmallAnswersForWhichMuchWasReadComeAsSlowlyAsWhatWasRead) {
    for (int i = 0; i < 3; ++i) {
        pace.answered(answer(100, 4 * mib));
    }
    EXPECT_EQ(passed(), seconds(12));
}

TEST_F(VerifyPaceTest, LargeAnswersForWhichNothingWasReadComeAsSlowlyAsTheyAreLarge) {
    for (int i = 0; i < 3; ++i) {
        pace.answered(answer(mib, 0));
    }
    EXPECT_GE(passed(), seconds(3));
    EXPECT_LT(passed(), milliseconds(3001));
}

TEST_F(VerifyPaceTest, ShortPausesAreSavedUp) {
    pace.answered(answer(0, mib / 64));
    EXPECT_EQ(pauses, 0);
    pace.answered(answer(0, mib / 64));
    EXPECT_EQ(pauses, 1);
    EXPECT_EQ(passed(), std::chrono::microseconds(31'250));
}

TEST_F(VerifyPaceTest, TimeInWhichNothingWasAskedIsNotMadeUpFor) {
    clock.time += seconds(100);
    pace.answered(answer(0, mib));
    EXPECT_EQ(passed(), seconds(101));
}

TEST_F(VerifyPaceTest, WhatNoNodeCanHaveReadIsNotWaitedFor) {
    pace.answered(answer(0, UINT64_MAX));
    EXPECT_EQ(passed(), seconds(1 << 20));
}

}  // namespace
}  // namespace starling::client
