#include "gossip/gossip.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/unit/gossip/test_cluster.h"

namespace starling::gossip {
namespace {

// Calls into a node as its own loop would.
template <typename Body>
void on(TestNode& node, Body body) {
    node.loop->run_here([&] { body(*node.gossip); });
}

std::optional<absl::Status> join(TestCluster& cluster,
                                 TestNode& node,
                                 const env::Address& address,
                                 base::Duration limit = 25s) {
    std::optional<absl::Status> result;
    on(node, [&](Gossip& gossip) {
        gossip.join(address, [&result](absl::Status status) { result = std::move(status); });
    });
    cluster.run_until(limit, [&] { return result.has_value(); });
    return result;
}

// A node that is a cluster of one.
TestNode& add_single(TestCluster& cluster) {
    TestNode& node = cluster.add();
    node.identity.id = base::ClusterId(1000 + node.id.raw());
    node.record.state = MemberState::member;
    node.start();
    return node;
}

TEST(GossipTest, AChangeOfOnesOwnRecordReachesAllMembersAtOnce) {
    TestCluster cluster(1);
    cluster.start_members(5);
    cluster.run_for(1s);
    on(cluster[0], [](Gossip& gossip) { ASSERT_TRUE(gossip.set_payload("seats").ok()); });
    cluster.run_for(50ms);
    for (size_t i = 0; i < 5; ++i) {
        EXPECT_EQ(cluster[i].gossip->find(cluster[0].id)->payload, "seats");
        EXPECT_EQ(cluster[i].changed.back().payload, "seats");
    }
}

TEST(GossipTest, AnUnchangedRecordIsNotSpread) {
    TestCluster cluster(1);
    cluster.start_members(3);
    cluster.run_for(1s);
    on(cluster[0], [](Gossip& gossip) {
        ASSERT_TRUE(gossip.set_payload("x").ok());
        const uint64_t version = gossip.own().version;
        ASSERT_TRUE(gossip.set_payload("x").ok());
        EXPECT_EQ(gossip.own().version, version);
    });
}

TEST(GossipTest, ARecordThatBreaksALimitIsRefusedAndChangesNothing) {
    TestCluster cluster(1);
    cluster.start_members(1);
    on(cluster[0], [](Gossip& gossip) {
        const MemberRecord before = gossip.own();
        EXPECT_TRUE(absl::IsInvalidArgument(
            gossip.set_payload(std::string(member_payload_bytes_max + 1, 'x'))));
        EXPECT_EQ(gossip.own(), before);
    });
}

TEST(GossipTest, AnItemReachesAllAndTheHighestVersionHolds) {
    TestCluster cluster(2);
    cluster.start_members(4);
    cluster.run_for(1s);
    on(cluster[0], [](Gossip& gossip) { ASSERT_TRUE(gossip.set_item("ns/a", 2, "two").ok()); });
    on(cluster[1], [](Gossip& gossip) { ASSERT_TRUE(gossip.set_item("ns/a", 1, "one").ok()); });
    cluster.run_for(1s);
    for (size_t i = 0; i < 4; ++i) {
        EXPECT_EQ(cluster[i].gossip->find_item("ns/a")->value, "two");
        EXPECT_EQ(cluster[i].items.back(), "ns/a");
    }
}

TEST(GossipTest, AMissedChangeIsHealedByTheFullExchange) {
    TestCluster cluster(3);
    cluster.start_members(4);
    cluster.run_for(1s);
    for (size_t i = 1; i < 4; ++i)
        cluster.cut(cluster[0], cluster[i]);
    on(cluster[0], [](Gossip& gossip) {
        ASSERT_TRUE(gossip.set_payload("late").ok());
        ASSERT_TRUE(gossip.set_item("k", 1, "v").ok());
    });
    cluster.run_for(500ms);
    EXPECT_EQ(cluster[1].gossip->find(cluster[0].id)->payload, "");
    cluster.heal();
    EXPECT_TRUE(cluster.run_until(20s, [&] { return cluster.has_converged(); }));
    EXPECT_EQ(cluster[3].gossip->find(cluster[0].id)->payload, "late");
    EXPECT_EQ(cluster[3].gossip->find_item("k")->value, "v");
}

TEST(GossipTest, ADeadNodeIsNoticedAndNoticedWhenItIsBack) {
    TestCluster cluster(4);
    cluster.start_members(5);
    cluster.run_for(2s);
    cluster[2].crash();
    EXPECT_TRUE(
        cluster.run_until(10s, [&] { return cluster.all_hold(cluster[2].id, Liveness::dead); }));
    cluster[2].start();
    EXPECT_TRUE(
        cluster.run_until(3s, [&] { return cluster.all_hold(cluster[2].id, Liveness::alive); }));
    EXPECT_EQ(cluster[0].gossip->find(cluster[2].id)->generation, 3u);
}

TEST(GossipTest, TwoNodesNoticeEachOthersDeathAndReturn) {
    TestCluster cluster(5);
    cluster.start_members(2);
    cluster.run_for(2s);
    cluster[1].crash();
    EXPECT_TRUE(
        cluster.run_until(10s, [&] { return cluster.all_hold(cluster[1].id, Liveness::dead); }));
    cluster[1].start();
    EXPECT_TRUE(cluster.run_until(5s, [&] { return cluster.all_see_all_alive(); }));
}

TEST(GossipTest, APausedNodeRefutesItsDeathAndAccusesNobody) {
    TestCluster cluster(6);
    cluster.start_members(6);
    cluster.run_for(3s);
    TestNode& sleeper = cluster[1];
    sleeper.process.pause();
    EXPECT_TRUE(cluster.run_until(15s, [&] {
        for (size_t i = 0; i < 6; ++i) {
            if (i != 1 && cluster[i].gossip->liveness(sleeper.id) != Liveness::dead) return false;
        }
        return true;
    }));
    cluster.run_for(60s);
    sleeper.process.resume();
    EXPECT_TRUE(cluster.run_until(10s, [&] { return cluster.all_see_all_alive(); }));
    for (const auto& event : sleeper.liveness)
        EXPECT_NE(event.liveness, Liveness::dead);
    EXPECT_GE(sleeper.gossip->stats().refutations, 1u);
}

TEST(GossipTest, AShortPauseKillsNobody) {
    TestCluster cluster(7);
    cluster.start_members(6);
    cluster.run_for(3s);
    for (int round = 0; round < 10; ++round) {
        cluster[1].process.pause();
        cluster.run_for(1500ms);
        cluster[1].process.resume();
        cluster.run_for(10s);
    }
    EXPECT_EQ(cluster.deaths_noticed(), 0u);
}

TEST(GossipTest, AOneWayLinkBetweenTwoNodesKillsNobody) {
    TestCluster cluster(8);
    cluster.start_members(6);
    cluster.run_for(2s);
    cluster.cut(cluster[0], cluster[1]);
    cluster.run_for(5min);
    EXPECT_EQ(cluster.deaths_noticed(), 0u);
}

TEST(GossipTest, ANodeThatNobodyHearsIsDeadUntilItIsHeardAgain) {
    TestCluster cluster(9);
    cluster.start_members(6);
    cluster.run_for(2s);
    for (size_t i = 1; i < 6; ++i)
        cluster.cut(cluster[0], cluster[i]);
    EXPECT_TRUE(
        cluster.run_until(15s, [&] { return cluster.all_hold(cluster[0].id, Liveness::dead); }));
    cluster.run_for(60s);
    cluster.heal();
    EXPECT_TRUE(cluster.run_until(30s, [&] { return cluster.all_see_all_alive(); }));
}

TEST(GossipTest, LivenessNeverChangesTheRecords) {
    TestCluster cluster(10);
    cluster.start_members(4);
    cluster.run_for(5s);
    const uint64_t hash = cluster[0].gossip->membership().hash();
    cluster[3].crash();
    cluster.run_for(60s);
    EXPECT_EQ(cluster[0].gossip->liveness(cluster[3].id), Liveness::dead);
    EXPECT_EQ(cluster[0].gossip->membership().hash(), hash);
}

TEST(GossipTest, ACertificateCannotBeUndoneByTheNodeThatComesBack) {
    TestCluster cluster(11);
    cluster.start_members(4);
    cluster.run_for(2s);
    cluster[3].crash();
    cluster.run_for(10s);
    on(cluster[0], [&](Gossip& gossip) {
        EXPECT_TRUE(gossip.certify_death(cluster[3].id, 5).ok());
        EXPECT_EQ(base::reason_of(gossip.certify_death(base::NodeId(99), 5)),
                  base::reason::unknown_node);
        EXPECT_FALSE(gossip.certify_death(cluster[0].id, 5).ok());
    });
    cluster.run_for(1s);
    cluster[3].start();
    cluster.run_for(60s);
    for (size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(cluster[i].gossip->find(cluster[3].id), nullptr);
        ASSERT_EQ(cluster[i].removed.size(), 1u);
        EXPECT_EQ(cluster[i].removed[0], (DeathCertificate{cluster[3].id, cluster[0].id, 5}));
    }
    ASSERT_FALSE(cluster[3].removed.empty());
    EXPECT_EQ(cluster[3].removed[0].node, cluster[3].id);
    on(cluster[3], [](Gossip& gossip) {
        EXPECT_EQ(base::reason_of(gossip.set_payload("still here")), reason_removed);
    });
    const uint64_t sent = cluster[3].gossip->stats().messages_sent;
    cluster.run_for(60s);
    EXPECT_EQ(cluster[3].gossip->stats().messages_sent, sent) << "a removed node falls silent";
}

TEST(GossipTest, ACertificateSurvivesTheRestartOfAll) {
    TestCluster cluster(12);
    cluster.start_members(3);
    cluster.run_for(1s);
    cluster[2].crash();
    on(cluster[0],
       [&](Gossip& gossip) { ASSERT_TRUE(gossip.certify_death(cluster[2].id, 5).ok()); });
    cluster.run_for(1s);
    for (size_t i : {0u, 1u})
        cluster[i].crash();
    for (size_t i : {2u, 0u, 1u})
        cluster[i].start();
    cluster.run_for(20s);
    EXPECT_TRUE(cluster[1].gossip->is_certified_dead(cluster[2].id));
    EXPECT_EQ(cluster[1].gossip->find(cluster[2].id), nullptr);
}

TEST(GossipTest, MembershipSurvivesAPowerLossOfAllNodes) {
    TestCluster cluster(13);
    cluster.start_members(5);
    on(cluster[1], [](Gossip& gossip) { ASSERT_TRUE(gossip.set_item("ns", 1, "default").ok()); });
    cluster.run_for(2s);
    for (size_t i = 0; i < 5; ++i)
        cluster[i].crash();
    for (size_t i = 0; i < 5; ++i)
        cluster[i].start();
    EXPECT_TRUE(cluster.run_until(20s, [&] { return cluster.has_converged(); }));
    EXPECT_EQ(cluster[4].gossip->members().size(), 5u);
    EXPECT_EQ(cluster[4].gossip->find_item("ns")->value, "default");
    EXPECT_TRUE(cluster.run_until(10s, [&] { return cluster.all_see_all_alive(); }));
}

TEST(GossipTest, ANodeThatComesBackUnderAnotherAddressIsFound) {
    TestCluster cluster(14);
    cluster.start_members(4);
    cluster.run_for(2s);
    cluster[0].crash();
    cluster.run_for(20s);
    cluster[0].restart_at("10.1.1.1:4000");
    EXPECT_TRUE(cluster.run_until(10s, [&] { return cluster.all_see_all_alive(); }));
    for (size_t i = 1; i < 4; ++i) {
        EXPECT_EQ(cluster[i].gossip->find(cluster[0].id)->peer_address, "10.1.1.1:4000");
    }
}

TEST(GossipTest, NodesThatAllMovedFindEachOtherThroughASeed) {
    TestCluster cluster(15);
    cluster.start_members(3);
    cluster.run_for(2s);
    for (size_t i = 0; i < 3; ++i)
        cluster[i].crash();
    for (size_t i = 0; i < 3; ++i) {
        cluster[i].options.seeds = {"10.2.0.1:4000"};
        cluster[i].restart_at(fmt::format("10.2.0.{}:4000", i + 1));
    }
    EXPECT_TRUE(cluster.run_until(
        120s, [&] { return cluster.has_converged() && cluster.all_see_all_alive(); }));
    EXPECT_EQ(cluster[2].gossip->find(cluster[1].id)->peer_address, "10.2.0.2:4000");
}

TEST(GossipTest, ACloneOfANodeIsReportedToBoth) {
    TestCluster cluster(16);
    cluster.start_members(3);
    cluster.run_for(2s);
    // What a process with the same disk would say, from elsewhere.
    MemberRecord clone = cluster[0].gossip->own();
    clone.peer_address = "10.9.9.9:4000";
    peer::GossipMessage message;
    message.mutable_delta()->add_records(encode(clone));
    on(cluster[1], [&](Gossip& gossip) { gossip.on_message(cluster[2].id, message); });
    EXPECT_EQ(cluster[1].gossip->stats().record_conflicts, 1u);
    EXPECT_TRUE(cluster.run_until(30s, [&] { return !cluster[0].conflicts.empty(); }));
    cluster.run_for(30s);
    EXPECT_EQ(cluster[0].conflicts.size(), 1u);
    EXPECT_EQ(cluster[0].gossip->own().peer_address, cluster[0].record.peer_address);
}

TEST(GossipTest, ARolledBackDiskIsAnIdentityConflict) {
    TestCluster cluster(17);
    cluster.start_members(3);
    cluster.run_for(1s);
    for (int i = 0; i < 3; ++i) {
        cluster[0].crash();
        cluster[0].start();
        cluster.run_for(1s);
    }
    cluster[0].crash();
    cluster[0].record.generation = 1;
    cluster[0].persisted = cluster[1].persisted;
    cluster[0].start();
    EXPECT_TRUE(cluster.run_until(10s, [&] { return !cluster[0].conflicts.empty(); }));
    EXPECT_EQ(cluster[1].gossip->find(cluster[0].id)->generation, 5u);
}

// Peers may lag: the first one asked knows less than the second.
TEST(GossipTest, AnIdentityConflictIsReportedAgainForALaterGeneration) {
    TestCluster cluster(19);
    cluster.start_members(2);
    cluster.run_for(1s);
    const auto hear_of = [&](uint32_t generation) {
        MemberRecord later = cluster[0].gossip->own();
        later.generation = generation;
        peer::GossipMessage message;
        message.mutable_delta()->add_records(encode(later));
        on(cluster[0], [&](Gossip& gossip) { gossip.on_message(cluster[1].id, message); });
    };
    for (const uint32_t generation : {3u, 3u, 7u, 5u})
        hear_of(generation);
    ASSERT_EQ(cluster[0].conflicts.size(), 2u);
    EXPECT_EQ(cluster[0].conflicts[0].generation, 3u);
    EXPECT_EQ(cluster[0].conflicts[1].generation, 7u);
}

TEST(GossipTest, NobodyElseCanOverwriteARecordWithAnOlderOne) {
    TestCluster cluster(18);
    cluster.start_members(3);
    cluster.run_for(1s);
    on(cluster[0], [](Gossip& gossip) { ASSERT_TRUE(gossip.set_payload("new").ok()); });
    cluster.run_for(1s);
    MemberRecord old = cluster[0].gossip->own();
    old.version -= 1;
    old.payload = "old";
    peer::GossipMessage message;
    message.mutable_delta()->add_records(encode(old));
    on(cluster[1], [&](Gossip& gossip) { gossip.on_message(cluster[2].id, message); });
    EXPECT_EQ(cluster[1].gossip->find(cluster[0].id)->payload, "new");
}

TEST(GossipTest, MalformedMessagesChangeNothingAndAreCounted) {
    TestCluster cluster(19);
    cluster.start_members(3);
    cluster.run_for(1s);
    const uint64_t hash = cluster[0].gossip->membership().hash();
    std::vector<peer::GossipMessage> messages(7);
    messages[0].mutable_delta()->add_records("nonsense");
    messages[1].mutable_sync_start();
    messages[2].mutable_sync_digest();
    messages[3].mutable_join_request()->set_record("nonsense");
    messages[4].mutable_join_announce()->set_record("nonsense");
    auto& item = *messages[5].mutable_delta()->add_items();
    item.set_key(std::string(item_key_bytes_max + 1, 'k'));
    // messages[6] has no body at all.
    for (const auto& message : messages) {
        on(cluster[0], [&](Gossip& gossip) { gossip.on_message(cluster[1].id, message); });
    }
    EXPECT_EQ(cluster[0].gossip->stats().messages_malformed, messages.size());
    EXPECT_EQ(cluster[0].gossip->membership().hash(), hash);
}

TEST(GossipTest, DamagedMessagesBringNobodyDown) {
    TestCluster cluster(21);
    cluster.start_members(4);
    env::SimRandom random(4711);
    cluster.damage = [&](std::string& content) {
        if (content.empty() || !random.chance(300'000)) return;
        if (random.chance(200'000)) content.resize(random.below(content.size()));
        for (uint64_t i = random.below(4); i > 0 && !content.empty(); --i) {
            content[random.below(content.size())] = static_cast<char>(random.below(256));
        }
    };
    for (int i = 0; i < 200; ++i) {
        on(cluster[random.below(4)], [&](Gossip& gossip) {
            if (gossip.is_certified_dead(gossip.own().id)) return;
            ASSERT_TRUE(gossip.set_payload(std::string(random.below(50), 'p')).ok());
            ASSERT_TRUE(gossip.set_item("k" + std::to_string(i % 7), 1, "v").ok());
        });
        cluster.run_for(1s);
    }
    uint64_t refused = 0;
    for (size_t i = 0; i < 4; ++i) {
        const Membership& state = cluster[i].gossip->membership();
        refused += cluster[i].gossip->stats().messages_malformed;
        EXPECT_EQ(Membership::decode_state(state.encode_state()).value(), state);
    }
    EXPECT_GT(refused, 0u);
}

TEST(GossipTest, AStoppedGossipCallsNobody) {
    TestCluster cluster(20);
    cluster.start_members(2);
    cluster.run_for(1s);
    on(cluster[0], [](Gossip& gossip) { gossip.stop(); });
    const uint64_t sent = cluster[0].gossip->stats().messages_sent;
    const size_t changed = cluster[0].changed.size();
    on(cluster[1], [](Gossip& gossip) { ASSERT_TRUE(gossip.set_payload("x").ok()); });
    cluster.run_for(30s);
    EXPECT_EQ(cluster[0].gossip->stats().messages_sent, sent);
    EXPECT_EQ(cluster[0].changed.size(), changed);
    EXPECT_TRUE(cluster[0].liveness.empty());
}

TEST(GossipJoinTest, ASingleNodeJoinsThroughOneAddress) {
    TestCluster cluster(30);
    cluster.start_members(3);
    TestNode& joiner = add_single(cluster);
    on(cluster[0], [](Gossip& gossip) { ASSERT_TRUE(gossip.set_item("ns", 1, "x").ok()); });
    cluster.run_for(1s);
    const auto result = join(cluster, joiner, cluster[1].record.peer_address);
    ASSERT_TRUE(result.has_value());
    ASSERT_TRUE(result->ok()) << *result;
    EXPECT_EQ(joiner.identity, TestCluster::identity());
    EXPECT_EQ(joiner.gossip->cluster(), TestCluster::identity());
    cluster.run_for(100ms);
    for (size_t i = 0; i < 4; ++i) {
        EXPECT_EQ(cluster[i].gossip->find(joiner.id)->state, MemberState::member);
    }
    EXPECT_TRUE(cluster.has_converged());
    EXPECT_EQ(joiner.gossip->find_item("ns")->value, "x");
    EXPECT_TRUE(cluster.all_see_all_alive());
    EXPECT_FALSE(joiner.gossip->joining());
}

TEST(GossipJoinTest, AJoinSucceedsOnALossyWireAndWhileAMemberIsDown) {
    for (uint64_t seed = 1; seed <= 20; ++seed) {
        TestCluster cluster(seed);
        cluster.loss_per_million = 200'000;
        cluster.start_members(3);
        TestNode& joiner = add_single(cluster);
        cluster[2].crash();
        const auto result = join(cluster, joiner, cluster[1].record.peer_address);
        ASSERT_TRUE(result.has_value() && result->ok()) << seed;
        EXPECT_TRUE(cluster.run_until(30s, [&] { return cluster.has_converged(); }));
        EXPECT_EQ(cluster[0].gossip->find(joiner.id)->state, MemberState::member);
    }
}

TEST(GossipJoinTest, ManyNodesJoinAtOnce) {
    TestCluster cluster(31);
    TestNode& first = add_single(cluster);
    std::vector<absl::Status> results;
    for (int i = 0; i < 10; ++i)
        add_single(cluster);
    cluster.run_for(1s);
    for (size_t i = 1; i <= 10; ++i) {
        on(cluster[i], [&](Gossip& gossip) {
            gossip.join(first.record.peer_address,
                        [&results](const absl::Status& status) { results.push_back(status); });
        });
    }
    cluster.run_for(5s);
    ASSERT_EQ(results.size(), 10u);
    for (const absl::Status& status : results)
        EXPECT_TRUE(status.ok()) << status;
    EXPECT_TRUE(cluster.run_until(15s, [&] { return cluster.has_converged(); }));
    EXPECT_EQ(first.gossip->members().size(), 11u);
}

TEST(GossipJoinTest, ASecondJoinIsRefused) {
    TestCluster cluster(32);
    cluster.start_members(2);
    TestNode& other = add_single(cluster);
    const auto result = join(cluster, cluster[0], other.record.peer_address);
    EXPECT_EQ(base::reason_of(*result), base::reason::already_member);
}

TEST(GossipJoinTest, ANodeWithDataIsRefused) {
    TestCluster cluster(33);
    cluster.start_members(2);
    TestNode& joiner = add_single(cluster);
    joiner.has_data = true;
    const auto result = join(cluster, joiner, cluster[0].record.peer_address);
    EXPECT_EQ(base::reason_of(*result), base::reason::has_data);
    EXPECT_EQ(joiner.gossip->members().size(), 1u);
}

TEST(GossipJoinTest, AnotherClusterNameIsRefusedByTheMemberThatIsAsked) {
    TestCluster cluster(34);
    cluster.start_members(2);
    TestNode& joiner = cluster.add();
    joiner.identity = {base::ClusterId(5), "gaggle", 256, 3};
    joiner.record.state = MemberState::member;
    joiner.start();
    const auto result = join(cluster, joiner, cluster[0].record.peer_address);
    EXPECT_EQ(base::reason_of(*result), base::reason::wrong_cluster);
    EXPECT_EQ(joiner.identity.name, "gaggle");
    EXPECT_EQ(cluster[0].gossip->members().size(), 2u);
}

TEST(GossipJoinTest, ANodeCannotJoinItself) {
    TestCluster cluster(40);
    TestNode& joiner = add_single(cluster);
    const auto direct = join(cluster, joiner, joiner.record.peer_address);
    EXPECT_TRUE(absl::IsInvalidArgument(*direct));
    // Through another name of the same address.
    cluster.add_alias("localhost:4000", joiner.record.peer_address);
    const auto alias = join(cluster, joiner, "localhost:4000");
    EXPECT_TRUE(absl::IsInvalidArgument(*alias));
    EXPECT_FALSE(joiner.gossip->joining());
}

TEST(GossipJoinTest, NobodyAtTheAddressIsATimeOut) {
    TestCluster cluster(35);
    TestNode& joiner = add_single(cluster);
    const auto result = join(cluster, joiner, "10.99.0.1:4000");
    ASSERT_TRUE(result.has_value());
    EXPECT_TRUE(absl::IsDeadlineExceeded(*result));
    EXPECT_FALSE(joiner.gossip->joining());
}

TEST(GossipJoinTest, AnAdoptionThatFailsLeavesTheNodeWhereItWas) {
    TestCluster cluster(36);
    cluster.start_members(2);
    TestNode& joiner = add_single(cluster);
    joiner.adopt_result = absl::ResourceExhaustedError("the disk is full");
    const auto result = join(cluster, joiner, cluster[0].record.peer_address);
    EXPECT_TRUE(absl::IsResourceExhausted(*result));
    EXPECT_EQ(joiner.gossip->members().size(), 1u);
    cluster.run_for(10s);
    EXPECT_EQ(cluster[0].gossip->find(joiner.id), nullptr);
    joiner.adopt_result = absl::OkStatus();
    EXPECT_TRUE(join(cluster, joiner, cluster[0].record.peer_address)->ok());
}

TEST(GossipJoinTest, ANodeThatCrashedAfterAdoptionAnnouncesItselfAfterItsRestart) {
    TestCluster cluster(37);
    cluster.start_members(3);
    TestNode& joiner = add_single(cluster);
    joiner.fails_after_adoption = true;
    on(joiner, [&](Gossip& gossip) {
        gossip.join(cluster[0].record.peer_address, [](const absl::Status&) {});
    });
    cluster.run_for(1s);
    ASSERT_EQ(joiner.identity, TestCluster::identity());
    ASSERT_EQ(cluster[0].gossip->find(joiner.id), nullptr);
    joiner.crash();
    joiner.record.state = MemberState::joining;
    joiner.start();
    EXPECT_TRUE(cluster.run_until(10s, [&] {
        const MemberRecord* known = cluster[2].gossip->find(joiner.id);
        return known != nullptr && known->state == MemberState::member;
    }));
}

TEST(GossipJoinTest, TwoSingleNodesThatJoinEachOtherDoNotSwapClusters) {
    TestCluster cluster(38);
    TestNode& a = add_single(cluster);
    TestNode& b = add_single(cluster);
    const base::ClusterId cluster_a = a.identity.id;
    const base::ClusterId cluster_b = b.identity.id;
    int ended = 0;
    on(a, [&](Gossip& g) { g.join(b.record.peer_address, [&](const absl::Status&) { ++ended; }); });
    on(b, [&](Gossip& g) { g.join(a.record.peer_address, [&](const absl::Status&) { ++ended; }); });
    cluster.run_for(30s);
    EXPECT_EQ(ended, 2);
    EXPECT_FALSE(a.identity.id == cluster_b && b.identity.id == cluster_a);
    EXPECT_FALSE(a.gossip->joining());
    EXPECT_FALSE(b.gossip->joining());
}

TEST(GossipJoinTest, StoppingEndsAJoin) {
    TestCluster cluster(39);
    TestNode& joiner = add_single(cluster);
    std::optional<absl::Status> result;
    on(joiner, [&](Gossip& gossip) {
        gossip.join("10.99.0.1:4000", [&](const absl::Status& status) { result = status; });
        gossip.stop();
    });
    ASSERT_TRUE(result.has_value());
    EXPECT_TRUE(absl::IsCancelled(*result));
}

}  // namespace
}  // namespace starling::gossip
