// The small parts of the failure detector.

#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include "gossip/awareness.h"
#include "gossip/broadcast_queue.h"
#include "gossip/options.h"
#include "gossip/probe_schedule.h"
#include "gossip/suspicion.h"

namespace starling::gossip {
namespace {

using namespace std::chrono_literals;

const base::MonotonicTime start{};

base::NodeId node(uint64_t id) {
    return base::NodeId(id);
}

TEST(AwarenessTest, TheScoreStaysInItsBoundsAndStretchesTimeouts) {
    Awareness awareness(8);
    EXPECT_EQ(awareness.scale(1s), 1s);
    awareness.improve();
    EXPECT_EQ(awareness.score(), 0u);
    awareness.worsen(3);
    EXPECT_EQ(awareness.scale(1s), 4s);
    awareness.worsen(UINT32_MAX);
    EXPECT_EQ(awareness.score(), 8u);
    awareness.improve();
    EXPECT_EQ(awareness.score(), 7u);
}

TEST(SuspicionTest, IndependentAccusersShortenItDownToTheShortest) {
    Suspicion suspicion(
        start, node(1), {.shortest = 2s, .longest = 10s, .confirmations_wanted = 2});
    EXPECT_EQ(suspicion.deadline(), start + 10s);
    EXPECT_TRUE(suspicion.confirm(node(2)));
    EXPECT_LT(suspicion.deadline(), start + 6s);
    EXPECT_GT(suspicion.deadline(), start + 2s);
    EXPECT_TRUE(suspicion.confirm(node(3)));
    EXPECT_EQ(suspicion.deadline(), start + 2s);
    EXPECT_FALSE(suspicion.confirm(node(4)));
}

TEST(SuspicionTest, TheSameAccuserCountsOnce) {
    Suspicion suspicion(
        start, node(1), {.shortest = 2s, .longest = 10s, .confirmations_wanted = 2});
    EXPECT_FALSE(suspicion.confirm(node(1)));
    EXPECT_TRUE(suspicion.confirm(node(2)));
    EXPECT_FALSE(suspicion.confirm(node(2)));
}

TEST(SuspicionTest, WithoutPossibleConfirmationItIsShortAtOnce) {
    const auto timeouts = suspicion_timeouts(SwimOptions(), 2);
    EXPECT_EQ(timeouts.confirmations_wanted, 0u);
    EXPECT_EQ(Suspicion(start, node(1), timeouts).deadline(), start + timeouts.shortest);
}

TEST(SuspicionTest, TimeoutsGrowWithTheLogarithmOfTheCluster) {
    const auto small = suspicion_timeouts(SwimOptions(), 5);
    const auto large = suspicion_timeouts(SwimOptions(), 100);
    EXPECT_NEAR(static_cast<double>(large.shortest / 1ms),
                2.0 * static_cast<double>(small.shortest / 1ms),
                2.0);
    EXPECT_EQ(large.confirmations_wanted, SwimOptions().suspicion_confirmations);
}

TEST(SuspicionTest, APauseOfItsHolderDoesNotCount) {
    Suspicion suspicion(start, node(1), {.shortest = 2s, .longest = 2s, .confirmations_wanted = 0});
    suspicion.shift(60s);
    EXPECT_EQ(suspicion.deadline(), start + 62s);
}

TEST(ProbeScheduleTest, EachMemberIsProbedOncePerRound) {
    Draw draw(1);
    ProbeSchedule schedule;
    for (uint64_t id = 1; id <= 20; ++id)
        schedule.add(node(id), draw);
    for (int round = 0; round < 5; ++round) {
        std::set<base::NodeId> probed;
        for (int i = 0; i < 20; ++i)
            probed.insert(schedule.next(draw));
        EXPECT_EQ(probed.size(), 20u);
    }
}

TEST(ProbeScheduleTest, RoundsAreShuffled) {
    Draw draw(1);
    ProbeSchedule schedule;
    for (uint64_t id = 1; id <= 20; ++id)
        schedule.add(node(id), draw);
    const auto round = [&] {
        std::vector<base::NodeId> order;
        for (int i = 0; i < 20; ++i)
            order.push_back(schedule.next(draw));
        return order;
    };
    EXPECT_NE(round(), round());
}

TEST(ProbeScheduleTest, ComingsAndGoingsDoNotDisturbTheRound) {
    Draw draw(1);
    ProbeSchedule schedule;
    for (uint64_t id = 1; id <= 10; ++id)
        schedule.add(node(id), draw);
    std::multiset<base::NodeId> probed;
    for (int i = 0; i < 5; ++i)
        probed.insert(schedule.next(draw));
    const base::NodeId gone = *probed.begin();
    schedule.remove(gone);
    schedule.remove(node(99));
    schedule.add(node(11), draw);
    for (int i = 0; i < 6; ++i)
        probed.insert(schedule.next(draw));
    for (uint64_t id = 1; id <= 11; ++id)
        EXPECT_EQ(probed.count(node(id)), 1u) << id;
}

LivenessClaim claim(uint64_t id, uint64_t incarnation) {
    return {.node = node(id),
            .incarnation = Incarnation(incarnation),
            .liveness = Liveness::suspect,
            .accuser = node(99)};
}

TEST(BroadcastQueueTest, AClaimIsSentABoundedNumberOfTimes) {
    BroadcastQueue queue;
    queue.add(claim(1, 1));
    std::vector<LivenessClaim> out;
    for (int i = 0; i < 10; ++i)
        queue.take(5, 3, out);
    EXPECT_EQ(out.size(), 3u);
    EXPECT_TRUE(queue.empty());
}

TEST(BroadcastQueueTest, TheNewestClaimAboutANodeReplacesTheOld) {
    BroadcastQueue queue;
    queue.add(claim(1, 1));
    queue.add(claim(1, 2));
    std::vector<LivenessClaim> out;
    queue.take(5, 3, out);
    ASSERT_EQ(out.size(), 1u);
    EXPECT_EQ(out[0], claim(1, 2));
}

TEST(BroadcastQueueTest, WhatWasSentLeastOftenGoesFirst) {
    BroadcastQueue queue;
    queue.add(claim(1, 1));
    queue.add(claim(2, 1));
    std::vector<LivenessClaim> out;
    queue.take(1, 9, out);
    queue.take(1, 9, out);
    queue.add(claim(3, 1));
    queue.take(1, 9, out);
    ASSERT_EQ(out.size(), 3u);
    EXPECT_EQ(out[0].node, node(1));
    EXPECT_EQ(out[1].node, node(2));
    EXPECT_EQ(out[2].node, node(3));
}

TEST(BroadcastQueueTest, ARemovedNodeIsNoNews) {
    BroadcastQueue queue;
    queue.add(claim(1, 1));
    queue.remove(node(1));
    EXPECT_TRUE(queue.empty());
}

}  // namespace
}  // namespace starling::gossip
