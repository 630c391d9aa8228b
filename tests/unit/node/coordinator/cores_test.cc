#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "node/coordinator/get_core.h"
#include "node/coordinator/put_core.h"
#include "node/coordinator/seat_tally.h"
#include "tests/unit/node/version/builders.h"

namespace starling::node {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr base::NodeId a{1};
constexpr base::NodeId b{2};
constexpr base::NodeId c{3};
constexpr base::NodeId d{4};

SeatSet seats(std::initializer_list<uint8_t> list) {
    SeatSet set;
    for (const uint8_t seat : list) {
        set.add(base::SeatIndex(seat));
    }
    return set;
}

TEST(SeatTallyTest, CountsSeatsAndTheNodesTheyAreOn) {
    SeatTally tally(3);
    tally.add(a, seats({0, 1}));
    EXPECT_EQ(tally.seats(), 2u);
    EXPECT_EQ(tally.nodes(), 1u);
    tally.add(b, seats({2}));
    EXPECT_EQ(tally.seats(), 3u);
    EXPECT_EQ(tally.nodes(), 2u);
    EXPECT_TRUE(tally.missing().empty());
}

TEST(SeatTallyTest, TwoAnswersForOneSeatAreOne) {
    SeatTally tally(3);
    tally.add(a, seats({0}));
    tally.add(a, seats({0}));
    tally.add(b, seats({0}));
    EXPECT_EQ(tally.seats(), 1u);
    EXPECT_EQ(tally.nodes(), 1u) << "the seat moved: still one copy that counts";
}

TEST(SeatTallyTest, SeatsBeyondNAndNoSeatsCountForNothing) {
    SeatTally tally(3);
    tally.add(a, seats({3, 15}));
    tally.add(b, {});
    EXPECT_EQ(tally.seats(), 0u);
    EXPECT_EQ(tally.nodes(), 0u);
    EXPECT_EQ(tally.missing(), seats({0, 1, 2}));
}

TEST(SeatSetTest, BitsThatNoSeatHasAreLeftOut) {
    EXPECT_EQ(SeatSet::from_bits(UINT32_MAX).size(), size_t{seat_count_max});
    EXPECT_EQ(SeatSet::first(3).bits(), 7u);
    EXPECT_EQ(SeatSet::first(seat_count_max).size(), size_t{seat_count_max});
    EXPECT_EQ(seats({0, 2}).without(seats({2})), seats({0}));
    EXPECT_THAT(seats({5, 1}).list(), ElementsAre(base::SeatIndex(1), base::SeatIndex(5)));
}

TEST(PutCoreTest, ADuplicateAckDoesNotCountTwice) {
    PutCore core({});
    core.acknowledged(a, seats({0}));
    core.acknowledged(a, seats({0}));
    EXPECT_FALSE(core.is_reached());
    EXPECT_EQ(core.seats_counted(), 1u);
    core.acknowledged(b, seats({1}));
    EXPECT_TRUE(core.is_reached());
}

TEST(PutCoreTest, SeveralSeatsOfOneNodeAreNotEnoughWhereThereAreOtherNodes) {
    PutCore core({.replicas = 3, .acks_wanted = 2, .holder_count = 2, .count_hints = true});
    core.acknowledged(a, seats({0, 1}));
    EXPECT_EQ(core.seats_counted(), 2u);
    EXPECT_FALSE(core.is_reached());
    core.acknowledged(b, seats({2}));
    EXPECT_TRUE(core.is_reached());
}

TEST(PutCoreTest, ALoneNodeWithAllSeatsReachesAnyQuorum) {
    PutCore core({.replicas = 3, .acks_wanted = 3, .holder_count = 1, .count_hints = true});
    core.acknowledged(a, seats({0, 1, 2}));
    EXPECT_TRUE(core.is_reached());
}

TEST(PutCoreTest, AHintCountsForItsSeatOnceAndNotBesideTheHolder) {
    PutCore core({});
    core.hinted(d, base::SeatIndex(2), c);
    core.hinted(d, base::SeatIndex(2), c);
    EXPECT_EQ(core.seats_counted(), 1u);
    EXPECT_EQ(core.seats_hinted(), 1u);
    core.acknowledged(c, seats({2}));
    EXPECT_EQ(core.seats_counted(), 1u);
    EXPECT_EQ(core.nodes_counted(), 1u) << "holder and stand-in of one seat are one copy";
    EXPECT_EQ(core.seats_hinted(), 0u);
    core.acknowledged(a, seats({0}));
    EXPECT_TRUE(core.is_reached());
}

TEST(PutCoreTest, AStandInAndTheHolderThatAnswersAfterItAreOneNode) {
    PutCore core({.replicas = 3, .acks_wanted = 2, .holder_count = 2, .count_hints = true});
    core.hinted(d, base::SeatIndex(0), a);
    core.acknowledged(a, seats({0, 1}));
    EXPECT_EQ(core.seats_counted(), 2u);
    EXPECT_EQ(core.nodes_counted(), 1u) << "the hint is delivered and goes";
    EXPECT_FALSE(core.is_reached());
    core.acknowledged(b, seats({2}));
    EXPECT_TRUE(core.is_reached());
}

TEST(PutCoreTest, HintsForTwoSeatsOfOneHolderAreOneNode) {
    constexpr base::NodeId e{5};
    PutCore core({.replicas = 3, .acks_wanted = 2, .holder_count = 2, .count_hints = true});
    core.hinted(d, base::SeatIndex(0), a);
    core.hinted(e, base::SeatIndex(1), a);
    EXPECT_EQ(core.seats_hinted(), 2u);
    EXPECT_EQ(core.nodes_counted(), 1u);
    EXPECT_FALSE(core.is_reached());
    core.hinted(d, base::SeatIndex(2), b);
    EXPECT_EQ(core.nodes_counted(), 2u);
    EXPECT_TRUE(core.is_reached());
    core.acknowledged(b, seats({2}));
    EXPECT_EQ(core.nodes_counted(), 2u);
}

TEST(PutCoreTest, HintsDoNotCountInAStrictQuorum) {
    PutCore core({.replicas = 3, .acks_wanted = 2, .holder_count = 3, .count_hints = false});
    core.acknowledged(a, seats({0}));
    core.hinted(d, base::SeatIndex(1), b);
    EXPECT_FALSE(core.is_reached());
    EXPECT_EQ(core.seats_counted(), 1u);
    EXPECT_EQ(core.seats_hinted(), 0u);
    core.acknowledged(b, seats({1}));
    EXPECT_TRUE(core.is_reached());
}

TEST(PutCoreTest, AHolderThatNeverAnsweredIsMissingAlsoWhenHinted) {
    PutCore core({});
    core.acknowledged(a, seats({0}));
    core.hinted(d, base::SeatIndex(2), c);
    EXPECT_EQ(core.missing(), seats({1}));
    EXPECT_EQ(core.missing_holders(), seats({1, 2}));
}

struct GetCoreTest : ::testing::Test {
    static uint64_t digest(const Record& record) {
        return record == Record{} ? 0 : record_digest("key", record);
    }
    uint64_t result_digest() const { return digest(core.result()); }

    const Record old = mint({}, {}, testing::write(testing::dot(1, 1), 1, "old"));
    const Record fresh =
        mint(old, Superseded::by_reading(old), testing::write(testing::dot(1, 2), 2, "fresh"));
    GetCore core{{.replicas = 3, .answers_wanted = 2}};
};

TEST_F(GetCoreTest, EqualAnswersOfAQuorumSettleTheRead) {
    core.answered(a, seats({0}), old, digest(old));
    EXPECT_FALSE(core.is_reached());
    core.answered(b, seats({1}), old, digest(old));
    EXPECT_TRUE(core.is_reached());
    EXPECT_TRUE(core.is_settled(result_digest()));
    EXPECT_THAT(core.stale(result_digest()), IsEmpty());
    EXPECT_FALSE(core.all_answered());
}

TEST_F(GetCoreTest, AnswersThatDifferSettleOnlyWhenEnoughSeatsHoldTheResult) {
    core.answered(a, seats({0}), old, digest(old));
    core.answered(b, seats({1}), fresh, digest(fresh));
    EXPECT_TRUE(core.is_reached());
    EXPECT_EQ(testing::values(core.result()), testing::values(fresh));
    EXPECT_FALSE(core.is_settled(result_digest()));
    EXPECT_THAT(core.stale(result_digest()), ElementsAre(a));
    core.repaired(a, digest(old));
    EXPECT_FALSE(core.is_settled(result_digest())) << "repaired with an earlier result";
    core.repaired(a, result_digest());
    EXPECT_TRUE(core.is_settled(result_digest()));
}

TEST_F(GetCoreTest, AThirdAnswerThatAgreesSettlesAsARepairDoes) {
    core.answered(a, seats({0}), old, digest(old));
    core.answered(b, seats({1}), fresh, digest(fresh));
    core.answered(c, seats({2}), fresh, digest(fresh));
    EXPECT_TRUE(core.is_settled(result_digest()));
    EXPECT_TRUE(core.all_answered());
    EXPECT_THAT(core.stale(result_digest()), ElementsAre(a));
}

TEST_F(GetCoreTest, TwoAnswersForOneSeatAreOne) {
    core.answered(a, seats({0}), old, digest(old));
    core.answered(b, seats({0}), old, digest(old));
    EXPECT_FALSE(core.is_reached());
    EXPECT_EQ(core.seats_counted(), 1u);
}

TEST_F(GetCoreTest, AbsentEverywhereIsAnAnswer) {
    core.answered(a, seats({0}), {}, 0);
    core.answered(b, seats({1}), {}, 0);
    EXPECT_TRUE(core.is_settled(result_digest()));
    EXPECT_EQ(core.result(), Record{});
}

struct GetCoreOfOneTest : GetCoreTest {
    GetCore one{{.replicas = 3, .answers_wanted = 1}};
};

TEST_F(GetCoreOfOneTest, AnAnswerFromBehindWaitsForABetterOne) {
    one.answered(a, seats({0}), old, digest(old), /*is_behind=*/true);
    EXPECT_FALSE(one.is_reached());
    one.answered(b, seats({1}), fresh, digest(fresh));
    EXPECT_TRUE(one.is_reached());
    EXPECT_EQ(testing::values(one.result()), testing::values(fresh));
}

TEST_F(GetCoreOfOneTest, WhereAllAreBehindTheirAnswersCount) {
    one.answered(a, seats({0}), old, digest(old), true);
    one.answered(b, seats({1}), old, digest(old), true);
    EXPECT_FALSE(one.is_reached());
    one.answered(c, seats({2}), old, digest(old), true);
    EXPECT_TRUE(one.is_reached());
}

TEST_F(GetCoreOfOneTest, WhereNoBetterOneCanComeItCounts) {
    one.answered(a, seats({0}), old, digest(old), true);
    one.wait_no_longer();
    EXPECT_TRUE(one.is_reached());
}

TEST_F(GetCoreTest, AQuorumOfSeveralCountsThoseBehindToo) {
    core.answered(a, seats({0}), old, digest(old), true);
    core.answered(b, seats({1}), old, digest(old), true);
    EXPECT_TRUE(core.is_reached());
}

TEST(GetCoreMinorityTest, AReadOfLessThanAMajoritySettlesAtOnce) {
    GetCore core({.replicas = 3, .answers_wanted = 1});
    const Record record = mint({}, {}, testing::write(testing::dot(1, 1), 1, "value"));
    core.answered(a, seats({0}), record, record_digest("key", record));
    EXPECT_TRUE(core.is_reached());
    EXPECT_TRUE(core.is_settled(record_digest("key", record)));
}

TEST(GetCoreMinorityTest, SiblingsThatNoReplicaHasBesideEachOtherAreNotSettled) {
    GetCore core({.replicas = 5, .answers_wanted = 2});
    const Record one = mint({}, {}, testing::write(testing::dot(1, 1), 1, "one"));
    const Record other = mint({}, {}, testing::write(testing::dot(2, 1), 2, "other"));
    core.answered(a, seats({0}), one, record_digest("key", one));
    core.answered(b, seats({1}), other, record_digest("key", other));
    const uint64_t both = record_digest("key", core.result());
    EXPECT_TRUE(core.is_reached());
    EXPECT_FALSE(core.is_settled(both));
    GetCore hurried = core;
    core.repaired(a, both);
    EXPECT_TRUE(core.is_settled(both));
    hurried.wait_no_longer();
    EXPECT_TRUE(hurried.is_settled(both));
}

}  // namespace
}  // namespace starling::node
