#include "ring/fair_share.h"

#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tests/unit/ring/fair_share_reference.h"

namespace starling::ring {
namespace {

using ::testing::ElementsAre;

std::vector<uint32_t> quotas(std::vector<ShareMember> members,
                             uint32_t zone_count,
                             uint32_t seats) {
    return seat_quotas(members, zone_count, 256, seats);
}

TEST(FairShareTest, FollowsTheWeights) {
    EXPECT_THAT(quotas({{100, 0}, {100, 0}, {200, 0}}, 1, 1), ElementsAre(64, 64, 128));
}

TEST(FairShareTest, NoMemberHoldsTwoSeatsOfAPartitionHoweverHeavyItIs) {
    EXPECT_THAT(quotas({{1, 0}, {1'000'000, 0}, {3, 0}}, 1, 2), ElementsAre(64, 256, 192));
    EXPECT_THAT(quotas({{1, 0}, {1'000'000, 0}, {3, 0}}, 1, 3), ElementsAre(256, 256, 256));
}

TEST(FairShareTest, ASmallZoneHoldsASeatOfEachPartitionWhereZonesMustDiffer) {
    EXPECT_THAT(quotas({{100, 0}, {100, 1}, {100, 2}, {100, 2}}, 3, 3),
                ElementsAre(256, 256, 128, 128));
}

TEST(FairShareTest, AZoneAtItsBoundLeavesTheRestToTheOthers) {
    // Three of five members are in zone 0, which may hold only a third.
    EXPECT_THAT(quotas({{100, 0}, {100, 0}, {100, 0}, {100, 1}, {100, 2}, {100, 3}}, 4, 3),
                ElementsAre(85, 85, 85, 171, 171, 171));
}

TEST(FairShareTest, TwoZonesShareThreeSeatsTwoAtMostInEach) {
    const std::vector<ShareMember> members = {{100, 0}, {100, 1}, {100, 1}, {100, 1}};
    EXPECT_EQ(zone_seats_max(members, 2, 3), 2u);
    EXPECT_THAT(quotas(members, 2, 3), ElementsAre(256, 171, 171, 170));
}

RC_GTEST_PROP(FairShareTest, EachQuotaIsTheShareThatWaterFillingGivesRoundedUpOrDown, ()) {
    const uint32_t seats = *rc::gen::inRange<uint32_t>(1, 8);
    const size_t count = *rc::gen::inRange<size_t>(seats, 201);
    const uint32_t zone_count = *rc::gen::inRange<uint32_t>(1, 12);
    const uint32_t weight_max = *rc::gen::element<uint32_t>(1, 3, 100, 100'000);
    std::vector<ShareMember> members(count);
    for (ShareMember& member : members) {
        member.weight = *rc::gen::inRange<uint32_t>(1, weight_max + 1);
        member.zone = *rc::gen::inRange<uint32_t>(0, zone_count);
    }
    const uint32_t partitions = *rc::gen::element<uint32_t>(1, 8, 256);
    const std::vector<uint32_t> made = seat_quotas(members, zone_count, partitions, seats);
    const std::vector<double> exact =
        testing::water_filling(members, zone_count, partitions, seats);
    RC_ASSERT(std::accumulate(made.begin(), made.end(), 0u) == partitions * seats);
    for (size_t i = 0; i < count; ++i) {
        RC_ASSERT(made[i] < exact[i] + 1 + 1e-6);
        RC_ASSERT(made[i] > exact[i] - 1 - 1e-6);
        RC_ASSERT(made[i] <= partitions);
    }
}

}  // namespace
}  // namespace starling::ring
