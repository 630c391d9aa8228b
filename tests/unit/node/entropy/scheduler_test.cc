#include "node/entropy/scheduler.h"

#include <algorithm>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "tests/unit/node/entropy/rig.h"

namespace starling::node {
namespace {

struct SchedulerTest : EntropyTest {};

TEST_F(SchedulerTest, AGroupIsDirtyUntilItWasFoundEqualAndAgainAfterAKick) {
    make(2, 3);
    write_somewhere();
    watch_all();
    EXPECT_EQ(replicas_[0]->entropy.dirty_count(), 1u);
    loop_.run_for(seconds(10));
    EXPECT_EQ(replicas_[0]->entropy.dirty_count(), 0u);
    network_.loss = 1;
    replicas_[0]->entropy.kick(replicas_[1]->self);
    loop_.run_for(seconds(10));
    EXPECT_EQ(replicas_[0]->entropy.dirty_count(), 1u);
    network_.loss = 0;
    loop_.run_for(seconds(10));
    EXPECT_EQ(replicas_[0]->entropy.dirty_count(), 0u);
    replicas_[0]->entropy.kick(replicas_[1]->self);
    EXPECT_EQ(replicas_[0]->entropy.dirty_count(), 1u);
    replicas_[0]->entropy.set_peers(group_a, {});
    EXPECT_EQ(replicas_[0]->entropy.dirty_count(), 0u);
}

TEST_F(SchedulerTest, AReplicaIsBehindUntilItWasComparedAndWhileItPulls) {
    options_.request_timeout = seconds(1);
    make(2, 3);
    replicas_[1]->groups.write(
        group_a, random_key(), replicas_[1]->actor(), std::string(400, 'v'), false);
    EXPECT_FALSE(replicas_[0]->entropy.is_behind(group_a));
    watch_all();
    EXPECT_TRUE(replicas_[0]->entropy.is_behind(group_a));
    ASSERT_TRUE(loop_.run_until([&] { return are_equal(); }, seconds(10)));
    EXPECT_TRUE(replicas_[0]->entropy.is_behind(group_a)) << "not compared again yet";
    EXPECT_FALSE(replicas_[1]->entropy.is_behind(group_a));
    loop_.run_for(seconds(10));
    EXPECT_FALSE(replicas_[0]->entropy.is_behind(group_a));

    // What was written now may be on its way at the first look, and is missing at the second.
    replicas_[1]->groups.write(group_a, random_key(), replicas_[1]->actor(), "w", false);
    ASSERT_TRUE(
        loop_.run_until([&] { return replicas_[0]->entropy.is_behind(group_a); }, seconds(10)));
    EXPECT_FALSE(are_equal());
    loop_.run_for(seconds(10));
    EXPECT_FALSE(replicas_[0]->entropy.is_behind(group_a));
    EXPECT_TRUE(are_equal());
}

TEST_F(SchedulerTest, WhoIsToldThatItMissedAWriteIsBehindAtOnceUntilItHasIt) {
    make(2, 3);
    watch_all();
    loop_.run_for(seconds(10));
    replicas_[1]->groups.write(group_a, random_key(), replicas_[1]->actor(), "w", false);
    replicas_[1]->entropy.peer_missed(group_a, replicas_[0]->self);
    EXPECT_EQ(replicas_[1]->entropy.dirty_count(), 1u);
    ASSERT_TRUE(loop_.run_until([&] { return replicas_[0]->entropy.is_behind(group_a); },
                                milliseconds(20)));
    EXPECT_FALSE(replicas_[1]->entropy.is_behind(group_a));
    ASSERT_TRUE(loop_.run_until([&] { return are_equal(); }, milliseconds(100)));
    loop_.run_for(seconds(10));
    EXPECT_FALSE(replicas_[0]->entropy.is_behind(group_a));
    EXPECT_EQ(replicas_[1]->entropy.dirty_count(), 0u);
}

// Of a thousand writes that are missed at once it is told once, and again of what came later.
TEST_F(SchedulerTest, WhatIsMissedOftenIsToldInOneComparisonInHalfASecond) {
    make(2, 3);
    watch_all();
    loop_.run_for(seconds(10));
    const uint64_t checks_before = replicas_[1]->entropy.counters().checks;
    for (int i = 0; i < 1000; ++i) {
        replicas_[1]->groups.write(group_a, random_key(), replicas_[1]->actor(), "w", false);
        replicas_[1]->entropy.peer_missed(group_a, replicas_[0]->self);
        loop_.run_for(milliseconds(2));
    }
    EXPECT_LE(replicas_[1]->entropy.counters().checks - checks_before, 8u);
    loop_.run_for(seconds(10));
    EXPECT_TRUE(are_equal());
    EXPECT_FALSE(replicas_[0]->entropy.is_behind(group_a));
}

TEST_F(SchedulerTest, WhatWasMissedIsToldUntilItIsHeardAndNotAgain) {
    make(2, 3);
    watch_all();
    loop_.run_for(seconds(10));
    size_t told = 0;
    bool is_heard = false;
    replicas_[0]->filter = [&](const peer::EntropyMessage& message) {
        if (message.check().has_missed()) ++told;
        return is_heard;
    };
    replicas_[1]->groups.write(group_a, random_key(), replicas_[1]->actor(), "w", false);
    replicas_[1]->entropy.peer_missed(group_a, replicas_[0]->self);
    loop_.run_for(seconds(30));
    const size_t told_in_vain = told;
    EXPECT_GT(told_in_vain, 3u);
    is_heard = true;
    loop_.run_for(seconds(60));
    EXPECT_GT(told, told_in_vain);
    EXPECT_TRUE(are_equal());
    const size_t told_before = told;
    loop_.run_for(seconds(60));
    EXPECT_EQ(told, told_before);
    EXPECT_EQ(replicas_[1]->entropy.dirty_count(), 0u);
}

// It compares the two itself, and its answer is on its way when the write is missed.
TEST_F(SchedulerTest, WhatItMissesDuringAComparisonIsPulledAfterIt) {
    for (uint64_t seed = 1; seed <= 20; ++seed) {
        SCOPED_TRACE(seed);
        make(2, seed);
        watch_all();
        loop_.run_for(seconds(10));
        bool is_missed = false;
        replicas_[1]->filter = [&](const peer::EntropyMessage& message) {
            if (!message.has_check() || std::exchange(is_missed, true)) return true;
            loop_.post([this] {
                replicas_[1]->groups.write(
                    group_a, random_key(), replicas_[1]->actor(), "w", false);
                replicas_[1]->entropy.peer_missed(group_a, replicas_[0]->self);
            });
            return true;
        };
        replicas_[0]->entropy.kick(replicas_[1]->self);
        ASSERT_TRUE(loop_.run_until([&] { return is_missed && !are_equal(); }, seconds(10)));
        EXPECT_TRUE(loop_.run_until([&] { return are_equal(); }, milliseconds(700)));
        loop_.run_for(seconds(10));
        EXPECT_FALSE(replicas_[0]->entropy.is_behind(group_a));
    }
}

// After a crash the trees are counted anew, which may take minutes.
TEST_F(SchedulerTest, AReplicaIsBehindAsLongAsATreeToCompareIsMissing) {
    for (const size_t rebuilding : {size_t{0}, size_t{1}}) {
        SCOPED_TRACE(rebuilding);
        make(2, 3);
        replicas_[1]->groups.write(group_a, random_key(), replicas_[1]->actor(), "v", false);
        replicas_[rebuilding]->groups.has_tree = false;
        watch_all();
        loop_.run_for(seconds(20));
        EXPECT_TRUE(replicas_[0]->entropy.is_behind(group_a));
        replicas_[rebuilding]->groups.has_tree = true;
        ASSERT_TRUE(loop_.run_until([&] { return !replicas_[0]->entropy.is_behind(group_a); },
                                    seconds(20)));
        EXPECT_TRUE(are_equal());
    }
}

TEST_F(SchedulerTest, NobodyWaitsForAPeerWhoseDataIsDamaged) {
    make(2, 3);
    write_somewhere();
    replicas_[1]->groups.is_damaged = true;
    watch_all();
    EXPECT_TRUE(replicas_[0]->entropy.is_behind(group_a));
    loop_.run_for(seconds(10));
    EXPECT_FALSE(replicas_[0]->entropy.is_behind(group_a));
}

// A link was cut for a while: nobody was restarted, and what was taken meanwhile is on one side.
TEST_F(SchedulerTest, AReplicaIsBehindAPeerThatIsBackUntilTheyWereCompared) {
    make(2, 3);
    write_somewhere();
    watch_all();
    loop_.run_for(seconds(10));
    network_.loss = 1;
    replicas_[1]->groups.write(group_a, random_key(), replicas_[1]->actor(), "w", false);
    loop_.run_for(seconds(10));
    EXPECT_FALSE(replicas_[0]->entropy.is_behind(group_a));
    network_.loss = 0;
    replicas_[0]->entropy.kick(replicas_[1]->self);
    EXPECT_TRUE(replicas_[0]->entropy.is_behind(group_a));
    ASSERT_TRUE(
        loop_.run_until([&] { return !replicas_[0]->entropy.is_behind(group_a); }, seconds(10)));
    EXPECT_TRUE(are_equal());
}

TEST_F(SchedulerTest, NobodyStaysBehindAPeerThatIsSilentOrGone) {
    make(2, 3);
    write_somewhere();
    network_.loss = 1;
    watch_all();
    EXPECT_TRUE(replicas_[0]->entropy.is_behind(group_a));
    loop_.run_for(seconds(10));
    EXPECT_FALSE(replicas_[0]->entropy.is_behind(group_a));
    replicas_[0]->entropy.set_peers(group_a, {});
    watch_all();
    EXPECT_TRUE(replicas_[0]->entropy.is_behind(group_a));
    replicas_[0]->entropy.set_peers(group_a, {});
    EXPECT_FALSE(replicas_[0]->entropy.is_behind(group_a));
}

// More of them than comparisons run at once.
TEST_F(SchedulerTest, PeersThatAreSilentHoldUpNoComparisonWithOthers) {
    options_.request_timeout = seconds(2);
    make(2 + options_.sessions_max, 5);
    std::vector<GroupId> groups;
    for (uint16_t partition = 0; partition < 60; ++partition) {
        groups.push_back({.partition = base::PartitionId(partition), .replicas = 3});
    }
    const std::span silent(replicas_.begin() + 2, replicas_.end());
    for (const auto& replica : silent) {
        replica->filter = [](const peer::EntropyMessage&) { return false; };
    }
    for (const GroupId group : groups) {
        for (const auto& replica : replicas_) {
            std::vector<base::NodeId> others;
            for (const auto& other : replicas_) {
                if (other != replica) others.push_back(other->self);
            }
            replica->entropy.set_peers(group, others);
        }
    }
    loop_.run_for(seconds(60));
    for (const GroupId group : groups) {
        EXPECT_FALSE(replicas_[1]->entropy.is_behind(group)) << "no answer is to be waited for";
        replicas_[0]->groups.write(group, random_key(), replicas_[0]->actor(), "v", false);
    }
    const auto has_all = [&](EntropyReplica& replica) {
        return std::ranges::all_of(groups, [&](GroupId group) {
            return replica.groups.groups[group].frontier ==
                   replicas_[0]->groups.groups[group].frontier;
        });
    };
    EXPECT_TRUE(loop_.run_until([&] { return has_all(*replicas_[1]); }, seconds(10)));
    for (const auto& replica : silent) {
        EXPECT_FALSE(has_all(*replica));
        replica->filter = nullptr;
    }
    for (const auto& replica : silent) {
        EXPECT_TRUE(loop_.run_until([&] { return has_all(*replica); }, seconds(60)));
    }
}

TEST_F(SchedulerTest, ReplicasInStepAreComparedOftenWhileAReportIsAwaited) {
    options_.interval = seconds(60);
    make(2, 8);
    write_somewhere();
    watch_all();
    loop_.run_for(seconds(10));
    const auto checks_in_a_minute = [&] {
        const uint64_t before = replicas_[0]->entropy.counters().checks;
        loop_.run_for(seconds(60));
        return replicas_[0]->entropy.counters().checks - before;
    };
    EXPECT_LE(checks_in_a_minute(), 2u);
    replicas_[0]->are_reports_awaited = true;
    EXPECT_GE(checks_in_a_minute(), 14u);
    replicas_[0]->are_reports_awaited = false;
    EXPECT_LE(checks_in_a_minute(), 2u);
}

TEST_F(SchedulerTest, ManyGroupsInStepAreLookedAtInFewTurnsOfTheLoop) {
    options_.interval = seconds(600);
    make(2, 8);
    constexpr uint16_t groups = 1000;
    for (uint16_t partition = 0; partition < groups; ++partition) {
        const GroupId group{.partition = base::PartitionId(partition), .replicas = 3};
        replicas_[0]->entropy.set_peers(group, {replicas_[1]->self});
        replicas_[1]->entropy.set_peers(group, {replicas_[0]->self});
    }
    loop_.run_for(seconds(60));
    std::set<base::MonotonicTime> turns;
    uint64_t looks = 0;
    replicas_[0]->on_look = [&] {
        turns.insert(loop_.now());
        ++looks;
    };
    loop_.run_for(seconds(30));
    EXPECT_GE(looks, 8 * groups);
    EXPECT_LE(turns.size(), 330u);
    EXPECT_GE(turns.size(), 300u) << "nor all at once";
}

}  // namespace
}  // namespace starling::node
