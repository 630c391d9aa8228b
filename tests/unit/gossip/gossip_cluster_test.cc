// Fifty nodes on a wire that loses 5 % of the messages: what the defaults promise.

#include <algorithm>

#include <gtest/gtest.h>

#include "tests/unit/gossip/test_cluster.h"

namespace starling::gossip {
namespace {

constexpr size_t fifty = 50;
constexpr uint32_t five_percent = 50'000;

class LossyClusterTest : public testing::TestWithParam<uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, LossyClusterTest, testing::Values(1, 2, 3));

TEST_P(LossyClusterTest, NoLiveNodeIsDeclaredDeadInTenMinutes) {
    TestCluster cluster(GetParam());
    cluster.loss_per_million = five_percent;
    cluster.start_members(fifty);
    cluster.run_for(10min);
    EXPECT_EQ(cluster.deaths_noticed(), 0u);
    EXPECT_TRUE(cluster.has_converged());
    EXPECT_TRUE(cluster.run_until(10s, [&] { return cluster.all_see_all_alive(); }));
    const double per_node_second = static_cast<double>(cluster.messages) / (fifty * 600.0);
    EXPECT_LT(per_node_second, 10.0);
    RecordProperty("messages_per_node_second", std::to_string(per_node_second));
}

TEST_P(LossyClusterTest, ADeadNodeIsKnownToAllWithinTenSeconds) {
    TestCluster cluster(GetParam() + 100);
    cluster.loss_per_million = five_percent;
    cluster.start_members(fifty);
    base::Duration slowest{};
    for (size_t round = 0; round < 8; ++round) {
        cluster.run_for(7s);
        TestNode& victim = cluster[round * 6];
        const env::SimTime died = cluster.scheduler.now();
        victim.crash();
        ASSERT_TRUE(
            cluster.run_until(10s, [&] { return cluster.all_hold(victim.id, Liveness::dead); }))
            << "round " << round;
        slowest = std::max(slowest, cluster.scheduler.now() - died);
        victim.start();
        ASSERT_TRUE(
            cluster.run_until(15s, [&] { return cluster.all_hold(victim.id, Liveness::alive); }));
    }
    RecordProperty("slowest_ms", std::to_string(slowest / 1ms));
}

TEST_P(LossyClusterTest, TwoHalvesFindEachOtherAfterAPartition) {
    TestCluster cluster(GetParam() + 200);
    cluster.loss_per_million = five_percent;
    cluster.start_members(fifty);
    cluster.run_for(3s);
    for (size_t a = 0; a < fifty; ++a) {
        for (size_t b = 0; b < fifty; ++b) {
            if ((a < 20) != (b < 20)) cluster.cut(cluster[a], cluster[b]);
        }
    }
    cluster.run_for(60s);
    EXPECT_EQ(cluster[0].gossip->liveness(cluster[40].id), Liveness::dead);
    EXPECT_EQ(cluster[0].gossip->liveness(cluster[19].id), Liveness::alive);
    EXPECT_EQ(cluster[40].gossip->liveness(cluster[0].id), Liveness::dead);
    // Both halves change while they do not see each other.
    cluster[0].loop->run_here([&] { ASSERT_TRUE(cluster[0].gossip->set_payload("a").ok()); });
    cluster[40].loop->run_here([&] { ASSERT_TRUE(cluster[40].gossip->set_payload("b").ok()); });
    cluster.heal();
    EXPECT_TRUE(cluster.run_until(30s, [&] { return cluster.all_see_all_alive(); }));
    EXPECT_TRUE(cluster.run_until(30s, [&] { return cluster.has_converged(); }));
}

TEST_P(LossyClusterTest, AChangeReachesAllSoon) {
    TestCluster cluster(GetParam() + 300);
    cluster.loss_per_million = five_percent;
    cluster.start_members(fifty);
    cluster.run_for(10s);
    cluster[7].loop->run_here(
        [&] { ASSERT_TRUE(cluster[7].gossip->set_payload(std::string(2000, 'x')).ok()); });
    const auto knows = [&](TestNode& node) {
        return node.gossip->find(cluster[7].id)->payload.size() == 2000;
    };
    cluster.run_for(1s);
    size_t soon = 0;
    for (size_t i = 0; i < fifty; ++i)
        soon += knows(cluster[i]);
    EXPECT_GE(soon, 45u);
    EXPECT_TRUE(cluster.run_until(30s, [&] { return cluster.has_converged(); }));
}

TEST(GossipClusterTest, AnIdleClusterOfFiveCostsLessThanTenMessagesPerNodeAndSecond) {
    TestCluster cluster(1);
    cluster.start_members(5);
    cluster.run_for(10s);
    const uint64_t messages = cluster.messages;
    const uint64_t events = cluster.scheduler.events_run();
    cluster.run_for(100s);
    const double per_node_second = static_cast<double>(cluster.messages - messages) / 500.0;
    EXPECT_LT(per_node_second, 5.0);
    EXPECT_LT(static_cast<double>(cluster.scheduler.events_run() - events) / 500.0, 10.0);
    RecordProperty("messages_per_node_second", std::to_string(per_node_second));
}

// Two nodes have joined through a third at the same moment, and that is away.
TEST(GossipClusterTest, AMemberThatDoesNotKnowOfUsIsFoundThoughItIsHeldDead) {
    TestCluster cluster(1);
    Membership all;
    Membership without_second;
    for (size_t i = 0; i < 3; ++i) {
        MemberRecord& record = cluster.add().record;
        record.state = MemberState::member;
        record.generation = 1;
        ASSERT_TRUE(is_change(all.merge(record)));
        if (i == 1) continue;
        ASSERT_TRUE(is_change(without_second.merge(record)));
    }
    TestNode& second = cluster[1];
    TestNode& third = cluster[2];
    second.persisted = all.encode_state();
    third.persisted = without_second.encode_state();
    cluster.cut(second, third);
    second.start();
    third.start();
    ASSERT_TRUE(cluster.run_until(
        60s, [&] { return second.gossip->liveness(third.id) == Liveness::dead; }));
    cluster.heal();
    EXPECT_TRUE(cluster.run_until(15s, [&] { return cluster.all_see_all_alive(); }));
    EXPECT_NE(third.gossip->find(second.id), nullptr);
}

TEST(GossipClusterTest, TheSameSeedDoesTheSame) {
    const auto digest = [] {
        TestCluster cluster(9);
        cluster.loss_per_million = five_percent;
        cluster.start_members(10);
        cluster.run_for(20s);
        cluster[3].crash();
        cluster.run_for(20s);
        return std::pair(cluster.scheduler.digest(), cluster.bytes);
    };
    EXPECT_EQ(digest(), digest());
}

}  // namespace
}  // namespace starling::gossip
