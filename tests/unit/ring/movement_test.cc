// How much a change of the members moves, beside the least that any placement with the same loads
// would move.

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tests/unit/ring/members.h"

namespace starling::ring {
namespace {

using testing::equal_members;
using testing::moved;
using testing::must_move;

struct Movement {
    uint32_t moved = 0;
    uint32_t least = 0;
    double ratio() const { return static_cast<double>(moved) / least; }
};

Movement grow(size_t from, size_t to, size_t zone_count, uint32_t partitions) {
    const auto all = equal_members(to, zone_count);
    Movement total;
    for (size_t count = from; count < to; ++count) {
        const std::span<const PlacementMember> members(all);
        const Placement before = Placement::compute(members.first(count), partitions, 3);
        const Placement after = Placement::compute(members.first(count + 1), partitions, 3);
        total.moved += moved(before, after);
        total.least += must_move(before, after);
    }
    return total;
}

TEST(MovementTest, GrowingFromOneToThreeMovesJustWhatTheNewMembersTake) {
    EXPECT_EQ(grow(1, 3, 1, 256).moved, grow(1, 3, 1, 256).least);
}

TEST(MovementTest, GrowingToTwentyMovesLittleMoreThanTheLeast) {
    EXPECT_LE(grow(3, 20, 1, 256).ratio(), 1.3);
    EXPECT_LE(grow(3, 20, 3, 256).ratio(), 1.2);
    EXPECT_LE(grow(3, 20, 1, 1024).ratio(), 1.15);
}

TEST(MovementTest, EachJoinOfASmallClusterIsNearTheLeast) {
    for (size_t count = 3; count < 10; ++count) {
        EXPECT_LE(grow(count, count + 1, 1, 256).ratio(), 1.5) << count;
        EXPECT_LE(grow(count, count + 1, 3, 256).ratio(), 1.5) << count;
    }
}

TEST(MovementTest, LosingAMemberMovesItsSeatsAndFewOthers) {
    const auto all = equal_members(10, 1);
    for (size_t lost = 0; lost < all.size(); ++lost) {
        auto members = all;
        const Placement before = Placement::compute(members, 256, 3);
        members.erase(members.begin() + static_cast<ptrdiff_t>(lost));
        const Placement after = Placement::compute(members, 256, 3);
        EXPECT_LE(moved(before, after), must_move(before, after) * 3 / 2) << lost;
    }
}

TEST(MovementTest, AHeavierWeightMovesSeatsToThatMemberOnly) {
    auto members = equal_members(6, 1);
    const Placement before = Placement::compute(members, 256, 3);
    members[2].weight = 150;
    const Placement after = Placement::compute(members, 256, 3);
    EXPECT_LE(moved(before, after), must_move(before, after) * 3 / 2);
}

TEST(MovementTest, TheSameMembersMoveNothing) {
    const auto members = equal_members(9, 3);
    const Placement once = Placement::compute(members, 256, 3);
    const Placement again = Placement::compute(members, 256, 3);
    EXPECT_EQ(moved(once, again), 0u);
}

}  // namespace
}  // namespace starling::ring
