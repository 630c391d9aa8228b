#include "node/handover/move_plan.h"

#include <set>

#include "gtest/gtest.h"
#include "rapidcheck/gtest.h"

#include "rapidcheck.h"

namespace starling::node {
namespace {

std::vector<base::NodeId> nodes(const std::vector<uint64_t>& raw) {
    std::vector<base::NodeId> out;
    for (const uint64_t id : raw) {
        out.emplace_back(id);
    }
    return out;
}

std::vector<SeatView::Holder> holders(const std::vector<uint64_t>& raw) {
    std::vector<SeatView::Holder> out;
    for (const uint64_t id : raw) {
        out.push_back({.node = base::NodeId(id), .epoch = {}});
    }
    return out;
}

PlannedMove move(uint8_t seat, uint64_t from, uint64_t to) {
    return {base::SeatIndex(seat), base::NodeId(from), base::NodeId(to)};
}

TEST(MovePlanTest, AHolderOutsideTheTargetsGivesToTheTargetWithout) {
    EXPECT_EQ(plan_moves(nodes({4, 2, 3}), holders({1, 2, 3})),
              std::vector<PlannedMove>{move(0, 1, 4)});
    // In whatever seats the others are: nothing else moves.
    EXPECT_EQ(plan_moves(nodes({2, 3, 4}), holders({1, 2, 3})),
              std::vector<PlannedMove>{move(0, 1, 4)});
}

TEST(MovePlanTest, ANodeWithSeveralSeatsKeepsOne) {
    EXPECT_EQ(plan_moves(nodes({1, 2, 3}), holders({1, 1, 1})),
              (std::vector<PlannedMove>{move(1, 1, 2), move(2, 1, 3)}));
    // Its own by the placement, if it has it.
    EXPECT_EQ(plan_moves(nodes({2, 3, 1}), holders({1, 1, 1})),
              (std::vector<PlannedMove>{move(0, 1, 2), move(1, 1, 3)}));
    // With two members one of three seats moves.
    EXPECT_EQ(plan_moves(nodes({1, 2, 1}), holders({1, 1, 1})),
              std::vector<PlannedMove>{move(1, 1, 2)});
}

TEST(MovePlanTest, NothingMovesOnceEachTargetHasASeat) {
    EXPECT_TRUE(plan_moves(nodes({1, 2, 3}), holders({3, 1, 2})).empty());
    EXPECT_TRUE(plan_moves({}, holders({1, 1, 1})).empty());
}

TEST(MovePlanTest, ASeatInItsGapIsNobodysToGive) {
    EXPECT_EQ(plan_moves(nodes({4, 2, 3}), holders({0, 2, 5})),
              std::vector<PlannedMove>{move(2, 5, 3)});
}

RC_GTEST_PROP(MovePlanTest, NoSeatAndNoSuccessorTwiceAndTheMovesEnd, ()) {
    const auto targets =
        *rc::gen::container<std::vector<uint64_t>>(3, rc::gen::inRange<uint64_t>(1, 6));
    auto now = *rc::gen::container<std::vector<uint64_t>>(3, rc::gen::inRange<uint64_t>(1, 6));
    for (int round = 0; round < 2; ++round) {
        std::set<uint64_t> successors;
        const auto moves = plan_moves(nodes(targets), holders(now));
        for (const PlannedMove& planned : moves) {
            RC_ASSERT(now[planned.seat.raw()] == planned.from.raw());
            RC_ASSERT(successors.insert(planned.to.raw()).second);
            RC_ASSERT(std::find(now.begin(), now.end(), planned.to.raw()) == now.end());
        }
        for (const PlannedMove& planned : moves) {
            now[planned.seat.raw()] = planned.to.raw();
        }
        if (round == 1) RC_ASSERT(moves.empty());
    }
    for (const uint64_t target : targets) {
        RC_ASSERT(std::find(now.begin(), now.end(), target) != now.end());
    }
}

}  // namespace
}  // namespace starling::node
