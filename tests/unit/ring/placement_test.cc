#include "ring/placement.h"

#include <algorithm>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tests/unit/ring/fair_share_reference.h"
#include "tests/unit/ring/members.h"

namespace starling::ring {
namespace {

using testing::any_members;
using ::testing::ElementsAre;
using testing::equal_members;
using testing::loads;
using testing::partition;
using testing::same_table;

std::map<base::NodeId, std::string> zones_of(const std::vector<PlacementMember>& members) {
    std::map<base::NodeId, std::string> zones;
    for (const PlacementMember& member : members)
        zones[member.node] = member.zone;
    return zones;
}

// The same members as ring/fair_share.h names them.
std::pair<std::vector<ShareMember>, uint32_t> share_members(
    const std::vector<PlacementMember>& members) {
    std::map<std::string, uint32_t> numbers;
    std::vector<ShareMember> shares;
    for (const PlacementMember& member : members) {
        const auto number = static_cast<uint32_t>(numbers.size());
        const uint32_t zone = numbers.emplace(member.zone, number).first->second;
        shares.push_back({.weight = member.weight, .zone = zone});
    }
    return {shares, static_cast<uint32_t>(numbers.size())};
}

RC_GTEST_PROP(PlacementTest, NoNodeHoldsTwoSeatsOfAPartitionWhileThereAreEnough, ()) {
    const uint32_t seats = *rc::gen::inRange<uint32_t>(1, seats_max + 1);
    const auto members = any_members(seats, 200);
    const Placement placement = Placement::compute(members, 64, seats);
    for (uint32_t p = 0; p < 64; ++p) {
        const auto nodes = placement.seats_of(partition(p));
        RC_ASSERT(nodes.size() == seats);
        RC_ASSERT(std::set<base::NodeId>(nodes.begin(), nodes.end()).size() == seats);
    }
}

RC_GTEST_PROP(PlacementTest, ZonesAreDistinctWhereThereAreEnoughAndElseUsedEvenly, ()) {
    const uint32_t seats = *rc::gen::inRange<uint32_t>(1, seats_max + 1);
    const auto members = any_members(seats, 60);
    const auto zones = zones_of(members);
    const auto [shares, zone_count] = share_members(members);
    const uint32_t per_zone = zone_seats_max(shares, zone_count, seats);
    RC_ASSERT((zone_count < seats || per_zone == 1u));
    const Placement placement = Placement::compute(members, 64, seats);
    for (uint32_t p = 0; p < 64; ++p) {
        std::map<std::string, uint32_t> used;
        for (const base::NodeId node : placement.seats_of(partition(p))) {
            RC_ASSERT(++used[zones.at(node)] <= per_zone);
        }
    }
}

RC_GTEST_PROP(PlacementTest, LoadIsWithinOnePartitionOfWhatWeightsAndZonesAllow, ()) {
    const uint32_t seats = *rc::gen::inRange<uint32_t>(1, seats_max + 1);
    const auto members = any_members(seats, 200);
    const uint32_t partitions = *rc::gen::element<uint32_t>(1, 16, 256);
    auto held = loads(Placement::compute(members, partitions, seats));
    const auto [shares, zone_count] = share_members(members);
    const std::vector<double> fair = testing::water_filling(shares, zone_count, partitions, seats);
    for (size_t i = 0; i < members.size(); ++i) {
        RC_ASSERT(held[members[i].node] < fair[i] + 1 + 1e-6);
        RC_ASSERT(held[members[i].node] > fair[i] - 1 - 1e-6);
    }
}

RC_GTEST_PROP(PlacementTest, TheOrderInWhichMembersAreLearnedOfDoesNotMatter, ()) {
    auto members = any_members(1, 50);
    const uint32_t seats = *rc::gen::inRange<uint32_t>(1, seats_max + 1);
    const Placement placement = Placement::compute(members, 64, seats);
    std::mt19937_64 random(*rc::gen::arbitrary<uint64_t>());
    std::shuffle(members.begin(), members.end(), random);
    const Placement shuffled = Placement::compute(members, 64, seats);
    RC_ASSERT(same_table(placement, shuffled));
    for (uint32_t p = 0; p < 64; ++p) {
        RC_ASSERT(placement.preference_list(partition(p)) ==
                  shuffled.preference_list(partition(p)));
    }
}

RC_GTEST_PROP(PlacementTest, APreferenceListNamesEveryMemberOnceTheSeatsFirst, ()) {
    const auto members = any_members(1, 50);
    const uint32_t seats = *rc::gen::inRange<uint32_t>(1, seats_max + 1);
    const Placement placement = Placement::compute(members, 16, seats);
    const size_t distinct = std::min<size_t>(seats, members.size());
    for (uint32_t p = 0; p < 16; ++p) {
        const auto list = placement.preference_list(partition(p));
        RC_ASSERT(std::set<base::NodeId>(list.begin(), list.end()).size() == members.size());
        RC_ASSERT(list.size() == members.size());
        const auto nodes = placement.seats_of(partition(p));
        RC_ASSERT(std::equal(
            list.begin(), list.begin() + static_cast<ptrdiff_t>(distinct), nodes.begin()));
    }
}

TEST(PlacementTest, EveryClusterSizeFromOneTo200KeepsItsBounds) {
    const auto all = equal_members(200, 7);
    for (size_t count = 1; count <= all.size(); ++count) {
        const std::vector<PlacementMember> members(all.begin(),
                                                   all.begin() + static_cast<ptrdiff_t>(count));
        const Placement placement = Placement::compute(members, 256, 3);
        const auto held = loads(placement);
        ASSERT_EQ(held.size(), count);
        if (count < 7) continue;
        const auto zones = zones_of(members);
        for (uint32_t p = 0; p < 256; ++p) {
            std::set<std::string> used;
            for (const base::NodeId node : placement.seats_of(partition(p)))
                used.insert(zones.at(node));
            ASSERT_EQ(used.size(), 3u) << count << " members, partition " << p;
        }
    }
}

TEST(PlacementTest, WithoutMembersThereAreNoSeats) {
    const Placement empty = Placement::compute({}, 256, 3);
    EXPECT_TRUE(empty.seats_of(partition(0)).empty());
    EXPECT_TRUE(empty.preference_list(partition(0)).empty());
    EXPECT_TRUE(Placement().seats_of(partition(0)).empty());
}

TEST(PlacementTest, AClusterOfOneHoldsAllSeats) {
    const auto members = equal_members(1);
    const Placement placement = Placement::compute(members, 8, 3);
    const base::NodeId only = members[0].node;
    EXPECT_THAT(placement.seats_of(partition(5)), ElementsAre(only, only, only));
    EXPECT_THAT(placement.preference_list(partition(5)), ElementsAre(only));
}

TEST(PlacementTest, TwoMembersShareThreeSeatsAndRepeatInOrder) {
    const Placement placement = Placement::compute(equal_members(2), 256, 3);
    for (uint32_t p = 0; p < 256; ++p) {
        const auto nodes = placement.seats_of(partition(p));
        EXPECT_NE(nodes[0], nodes[1]);
        EXPECT_EQ(nodes[0], nodes[2]);
    }
    for (const auto& [node, load] : loads(placement))
        EXPECT_EQ(load, 384u);
}

TEST(PlacementTest, TheFirstSeatsLieInDistinctZonesEvenWhereAllCannot) {
    const auto members = equal_members(6, 2);
    const auto zones = zones_of(members);
    const Placement placement = Placement::compute(members, 256, 3);
    for (uint32_t p = 0; p < 256; ++p) {
        const auto nodes = placement.seats_of(partition(p));
        EXPECT_NE(zones.at(nodes[0]), zones.at(nodes[1]));
    }
}

TEST(PlacementTest, AMemberNamedTwiceCountsOnce) {
    auto members = equal_members(4);
    const Placement once = Placement::compute(members, 64, 3);
    members.push_back(members[2]);
    EXPECT_TRUE(same_table(once, Placement::compute(members, 64, 3)));
}

TEST(PlacementTest, TheFewestAndTheMostPartitionsWork) {
    const auto members = equal_members(5, 3);
    EXPECT_EQ(loads(Placement::compute(members, 1, 3)).size(), 3u);
    const auto held = loads(Placement::compute(members, 4096, 3));
    EXPECT_EQ(held.size(), 5u);
}

// Members of one cluster may run different builds: a table must never change without a new version
// of the protocol.
TEST(PlacementTest, ATableNeverChangesForTheSameMembers) {
    const Placement placement = Placement::compute(equal_members(7, 3), 256, 3);
    uint64_t digest = 0;
    for (uint32_t p = 0; p < 256; ++p) {
        for (const base::NodeId node : placement.seats_of(partition(p))) {
            digest = digest * 1'099'511'628'211 + node.raw();
        }
    }
    EXPECT_EQ(digest, 13595135919494095157u);
}

}  // namespace
}  // namespace starling::ring
