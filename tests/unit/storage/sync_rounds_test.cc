#include "storage/log/sync_rounds.h"

#include <gtest/gtest.h>

namespace starling::storage {
namespace {

using Part = SyncRounds::Part;

class SyncRoundsTest : public testing::Test {
  protected:
    // Of callers that come while somebody leads; how many of them were told to lead.
    int join(int callers) {
        int leaders = 0;
        for (int i = 0; i < callers; ++i) {
            const Part part = rounds.join();
            EXPECT_NE(part, Part::called);
            leaders += part == Part::leader;
        }
        return leaders;
    }
    // A round that is led by the one that joined first, or that was called.
    void lead(int others) {
        ASSERT_EQ(rounds.gather(), 0u);
        EXPECT_EQ(join(others), 0);
        rounds.close();
    }
    // One caller leads a round, while `others` come for the next.
    void lead_one_while_others_come(int others) {
        ASSERT_EQ(rounds.join(), Part::called);
        lead(0);
        join(others);
        EXPECT_EQ(rounds.end().calls_leader, others > 0);
    }
    // What a leader waits for in vain; true: it waited.
    bool gather_in_vain() {
        const bool waits = rounds.gather() > 0;
        if (waits) {
            EXPECT_TRUE(rounds.end_gather(rounds.forming()));
        }
        return waits;
    }

    SyncRounds rounds;
};

TEST_F(SyncRoundsTest, ALoneCallerWaitsForNobody) {
    for (int i = 0; i < 10; ++i) {
        ASSERT_EQ(rounds.join(), Part::called);
        ASSERT_EQ(rounds.gather(), 0u);
        rounds.close();
        const auto end = rounds.end();
        EXPECT_FALSE(end.calls_leader);
        EXPECT_FALSE(end.has_sleepers);
    }
}

TEST_F(SyncRoundsTest, WhoComesWhileARoundIsSyncedBelongsToTheNext) {
    ASSERT_EQ(rounds.join(), Part::called);
    ASSERT_EQ(rounds.forming(), 0u);
    lead(2);
    EXPECT_EQ(rounds.forming(), 1u);
    join(1);
    const auto end = rounds.end();
    EXPECT_TRUE(end.calls_leader);
    EXPECT_TRUE(end.has_sleepers);
}

TEST_F(SyncRoundsTest, ALeaderWaitsForThoseWhomTheLastRoundReleasedAndTheLastOfThemLeads) {
    ASSERT_EQ(rounds.join(), Part::called);
    lead(2);
    join(3);
    rounds.end();
    // Three were released; of those that came meanwhile one was called, two wait for it.
    EXPECT_EQ(rounds.gather(), 3u);
    EXPECT_EQ(join(2), 0);
    EXPECT_EQ(join(1), 1);
    EXPECT_FALSE(rounds.end_gather(rounds.forming())) << "two would lead";
    rounds.close();
    EXPECT_TRUE(rounds.end().has_sleepers) << "the one that was called sleeps";
}

TEST_F(SyncRoundsTest, WhoHasComeBackAlreadyIsNotWaitedFor) {
    ASSERT_EQ(rounds.join(), Part::called);
    lead(2);
    join(1);
    rounds.end();
    join(2);
    EXPECT_EQ(rounds.gather(), 1u);
}

TEST_F(SyncRoundsTest, WithoutAFollowerTheFirstToComeBackWaitsForTheOthers) {
    ASSERT_EQ(rounds.join(), Part::called);
    lead(3);
    rounds.end();
    ASSERT_EQ(rounds.join(), Part::called);
    EXPECT_EQ(rounds.gather(), 3u);
}

TEST_F(SyncRoundsTest, ALeaderThatWokeTooLateLeadsNoLaterRound) {
    lead_one_while_others_come(1);
    ASSERT_EQ(rounds.gather(), 1u);
    const SyncRounds::Round slept_through = rounds.forming();
    EXPECT_EQ(join(1), 1);
    rounds.close();
    join(2);
    rounds.end();
    ASSERT_GT(rounds.gather(), 0u);
    EXPECT_FALSE(rounds.end_gather(slept_through));
    EXPECT_TRUE(rounds.end_gather(rounds.forming()));
}

TEST_F(SyncRoundsTest, WhereTheReleasedDoNotComeBackMostRoundsBeginAtOnce) {
    constexpr int round_count = 1000;
    int waits = 0;
    for (int i = 0; i < round_count; ++i) {
        lead_one_while_others_come(1);
        waits += gather_in_vain();
        rounds.close();
        rounds.end();
    }
    EXPECT_GT(waits, 0);
    EXPECT_LT(waits, round_count / 20);
}

TEST_F(SyncRoundsTest, TheReleasedAreWaitedForAgainOnceTheyCome) {
    const auto rounds_until_a_leader_waits = [&] {
        for (int count = 2;; count += 2) {
            lead_one_while_others_come(1);
            const bool waits = gather_in_vain();
            rounds.close();
            rounds.end();
            if (waits) {
                return count;
            }
        }
    };
    int longest_pause = 0;
    for (int i = 0; i < 20; ++i) {
        longest_pause = rounds_until_a_leader_waits();
    }
    EXPECT_GT(longest_pause, 20);
    ASSERT_EQ(rounds.join(), Part::called);
    lead(1);
    for (int i = 0; i < 200; ++i) {
        rounds.end();
        ASSERT_EQ(rounds.join(), Part::called);
        const bool waits = rounds.gather() > 0;
        EXPECT_TRUE(waits || i < longest_pause) << i;
        EXPECT_EQ(join(1), waits ? 1 : 0);
        rounds.close();
    }
    rounds.end();
    ASSERT_EQ(rounds.join(), Part::called);
    EXPECT_TRUE(gather_in_vain());
    rounds.close();
    rounds.end();
    EXPECT_LT(rounds_until_a_leader_waits(), 10);
}

TEST_F(SyncRoundsTest, AFewThatStayAwayDoNotEndTheWaiting) {
    ASSERT_EQ(rounds.join(), Part::called);
    lead(9);
    rounds.end();
    for (int i = 0; i < 10; ++i) {
        ASSERT_EQ(rounds.join(), Part::called);
        ASSERT_EQ(rounds.gather(), 9u) << i;
        // One of them stays away; another comes while the round is synced.
        join(8);
        EXPECT_TRUE(rounds.end_gather(rounds.forming()));
        rounds.close();
        join(1);
        ASSERT_TRUE(rounds.end().calls_leader);
        ASSERT_EQ(rounds.gather(), 9u);
        join(9);
        rounds.close();
        rounds.end();
    }
}

}  // namespace
}  // namespace starling::storage
