#include "node/coordinator/clock_fence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace starling::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

class ClockFenceTest : public ::testing::Test {
  protected:
    // This node is 1; `peers` others live.
    explicit ClockFenceTest() { live(2); }

    void live(uint64_t peers) {
        view_ = {};
        view_.self = base::NodeId(1);
        for (uint64_t id = 1; id <= peers + 1; ++id) {
            view_.peers[base::NodeId(id)] = {.address = "a", .generation = 1};
        }
    }
    void die(uint64_t id) { view_.peers[base::NodeId(id)].health = PeerHealth::dead; }
    // `ahead`: of the true time, which passes with now_.
    void hear(uint64_t id, base::Duration ahead, base::Duration on_its_way = milliseconds(1)) {
        const auto told = true_time() + ahead - on_its_way;
        fence_.heard(base::NodeId(id), base::to_unix_ms(told), now_);
    }
    base::WallTime true_time() const {
        return base::WallTime(std::chrono::hours(1000) + now_.time_since_epoch());
    }
    ClockFence::Verdict judge(base::Duration own_ahead = {}) const {
        return fence_.judge(view_, now_, true_time() + own_ahead);
    }

    ClusterView view_;
    ClockFence fence_{seconds(5)};
    base::MonotonicTime now_{std::chrono::hours(7)};
};

TEST_F(ClockFenceTest, ANodeAloneIsNotFenced) {
    live(0);
    EXPECT_FALSE(judge().is_fenced);
    live(2);
    die(2);
    die(3);
    EXPECT_FALSE(judge().is_fenced) << "nobody lives that it could differ from";
}

TEST_F(ClockFenceTest, ANodeThatHasNotHeardFromItsLivePeersIsFenced) {
    EXPECT_TRUE(judge().is_fenced);
    EXPECT_EQ(judge().asked, 0u);
    hear(2, {});
    EXPECT_FALSE(judge().is_fenced);
}

TEST_F(ClockFenceTest, ADifferenceUpToTheBoundIsNoReason) {
    for (const base::Duration ahead : {milliseconds(4900), milliseconds(-4900)}) {
        hear(2, ahead);
        hear(3, ahead);
        EXPECT_FALSE(judge().is_fenced);
        // Until this is forgotten.
        now_ += 2 * ClockFence::window;
    }
    hear(2, seconds(6));
    hear(3, seconds(6));
    const auto verdict = judge();
    EXPECT_TRUE(verdict.is_fenced);
    EXPECT_EQ(verdict.ahead_ms, -5999) << "the message took a millisecond";
}

TEST_F(ClockFenceTest, OneWrongClockOfThreeFencesItsOwnNodeOnly) {
    hear(2, {});
    hear(3, minutes(10));
    EXPECT_FALSE(judge().is_fenced);
    EXPECT_EQ(judge().agreeing, 1u);
    // As the third sees it.
    EXPECT_TRUE(judge(minutes(-10)).is_fenced);
}

TEST_F(ClockFenceTest, OfTwoThatDifferBothAreFenced) {
    live(1);
    hear(2, seconds(6));
    EXPECT_TRUE(judge().is_fenced);
}

TEST_F(ClockFenceTest, OneThatIsNotAliveIsNotAsked) {
    hear(2, minutes(10));
    hear(3, {});
    die(2);
    EXPECT_EQ(judge().asked, 1u);
    EXPECT_FALSE(judge().is_fenced);
}

TEST_F(ClockFenceTest, AJumpOfItsOwnWallClockShowsAtOnce) {
    hear(2, {});
    hear(3, {});
    EXPECT_FALSE(judge().is_fenced);
    EXPECT_TRUE(judge(std::chrono::hours(24 * 3650)).is_fenced);
    EXPECT_TRUE(judge(std::chrono::hours(-999)).is_fenced);
    EXPECT_FALSE(judge().is_fenced) << "set right again";
}

TEST_F(ClockFenceTest, AMessageThatWasLongOnItsWayCountsForNothingBesideAFreshOne) {
    hear(2, {}, minutes(2));
    EXPECT_TRUE(judge().is_fenced);
    hear(2, {});
    EXPECT_FALSE(judge().is_fenced);
    hear(2, {}, minutes(2));
    EXPECT_FALSE(judge().is_fenced);
}

TEST_F(ClockFenceTest, WhatAPeerSaidIsKeptThroughOneWindowAndForgottenAfterTwo) {
    hear(2, minutes(10));
    hear(3, minutes(10));
    EXPECT_TRUE(judge().is_fenced);
    now_ += ClockFence::window;
    // Their clocks were set back; that they were ahead is remembered for this window.
    hear(2, {});
    hear(3, {});
    EXPECT_TRUE(judge().is_fenced);
    now_ += ClockFence::window;
    hear(2, {});
    hear(3, {});
    EXPECT_FALSE(judge().is_fenced);
    now_ += 2 * ClockFence::window;
    EXPECT_EQ(judge().asked, 0u) << "silent for too long";
}

TEST_F(ClockFenceTest, ATimeThatCannotBeIsAWrongClockAndNoMore) {
    fence_.heard(base::NodeId(2), UINT64_MAX, now_);
    fence_.heard(base::NodeId(3), 0, now_);
    EXPECT_TRUE(judge().is_fenced);
    hear(3, {});
    EXPECT_FALSE(judge().is_fenced);
}

TEST_F(ClockFenceTest, WhoIsNoMemberAnyMoreIsForgotten) {
    hear(2, minutes(10));
    hear(3, minutes(10));
    live(0);
    fence_.keep_members(view_);
    live(2);
    EXPECT_EQ(judge().asked, 0u);
}

TEST_F(ClockFenceTest, ARefusalIsTypedCountedAndNamesTheDifference) {
    hear(2, minutes(-1));
    hear(3, minutes(-1));
    const absl::Status refused = fence_.check(view_, now_, true_time());
    EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(base::reason_of(refused), base::reason::clock_fenced);
    EXPECT_THAT(std::string(refused.message()), ::testing::HasSubstr("60 s ahead of"));
    EXPECT_EQ(fence_.refused(), 1u);
    EXPECT_TRUE(fence_.check(view_, now_, true_time() - minutes(1)).ok());
    EXPECT_EQ(fence_.refused(), 1u);
}

}  // namespace
}  // namespace starling::node
