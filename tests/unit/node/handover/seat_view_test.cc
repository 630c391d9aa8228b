#include "node/handover/seat_view.h"

#include <algorithm>

#include "gtest/gtest.h"
#include "rapidcheck/gtest.h"

#include "rapidcheck.h"

namespace starling::node {
namespace {

constexpr base::NodeId a(1);
constexpr base::NodeId b(2);

HeldSeat held(uint16_t partition, uint8_t seat, uint64_t moves) {
    return {.partition = base::PartitionId(partition),
            .seat = base::SeatIndex(seat),
            .epoch = {.claim = {}, .moves = moves}};
}

TEST(SeatViewTest, TheHighestEpochHolds) {
    SeatView view(4, 3);
    EXPECT_TRUE(view.holder(base::PartitionId(1), base::SeatIndex(0)).node.is_none());
    EXPECT_EQ(view.update(a, {held(1, 0, 0), held(1, 1, 0)}).size(), 1u);
    EXPECT_EQ(view.update(b, {held(1, 0, 1)}),
              std::vector<base::PartitionId>{base::PartitionId(1)});
    EXPECT_EQ(view.holder(base::PartitionId(1), base::SeatIndex(0)).node, b);
    // A stale record of the former holder changes nothing.
    EXPECT_TRUE(view.update(a, {held(1, 0, 0), held(1, 1, 0)}).empty());
    EXPECT_EQ(view.seats_of(base::PartitionId(1), a).list(),
              std::vector<base::SeatIndex>{base::SeatIndex(1)});
    EXPECT_EQ(view.nodes_of(base::PartitionId(1), 3), (std::vector<base::NodeId>{b, a}));
    EXPECT_EQ(view.nodes_of(base::PartitionId(1), 1), std::vector<base::NodeId>{b});
}

TEST(SeatViewTest, AnEntryThatGoesAwayUncoversTheNextOne) {
    SeatView view(4, 3);
    view.update(a, {held(2, 2, 0)});
    view.update(b, {held(2, 2, 1)});
    EXPECT_EQ(view.remove(b).size(), 1u);
    EXPECT_EQ(view.holder(base::PartitionId(2), base::SeatIndex(2)).node, a);
    view.remove(a);
    EXPECT_TRUE(view.holder(base::PartitionId(2), base::SeatIndex(2)).node.is_none());
}

TEST(SeatViewTest, EntriesOutOfRangeAreLeftOut) {
    SeatView view(2, 1);
    EXPECT_TRUE(view.update(a, {held(1, 2, 0), held(2, 0, 0)}).empty());
}

RC_GTEST_PROP(SeatViewTest, TheOrderOfUpdatesDoesNotMatter, ()) {
    std::vector<std::pair<base::NodeId, std::vector<HeldSeat>>> records;
    for (uint64_t node = 1; node <= 4; ++node) {
        std::vector<HeldSeat> seats;
        for (uint16_t partition = 0; partition < 3; ++partition) {
            for (uint8_t seat = 0; seat < 2; ++seat) {
                if (*rc::gen::arbitrary<bool>()) {
                    seats.push_back(held(partition, seat, *rc::gen::inRange<uint64_t>(0, 4)));
                }
            }
        }
        records.emplace_back(base::NodeId(node), seats);
    }
    SeatView forwards(3, 2);
    SeatView backwards(3, 2);
    for (const auto& [node, seats] : records) {
        forwards.update(node, seats);
    }
    for (auto record = records.rbegin(); record != records.rend(); ++record) {
        backwards.update(record->first, {held(0, 0, 9)});
        backwards.update(record->first, record->second);
    }
    for (uint16_t partition = 0; partition < 3; ++partition) {
        const auto one = forwards.holders(base::PartitionId(partition));
        const auto other = backwards.holders(base::PartitionId(partition));
        RC_ASSERT(std::equal(one.begin(), one.end(), other.begin(), other.end()));
    }
}

}  // namespace
}  // namespace starling::node
