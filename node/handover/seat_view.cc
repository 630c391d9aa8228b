#include "node/handover/seat_view.h"

#include <algorithm>
#include <tuple>

#include "base/check.h"

namespace starling::node {

namespace {

bool is_before(const HeldSeat& a, const HeldSeat& b) {
    return std::tie(a.partition, a.seat) < std::tie(b.partition, b.seat);
}

}  // namespace

SeatView::SeatView(uint32_t partition_count, uint8_t seat_count)
    : partition_count_(partition_count),
      seat_count_(seat_count),
      table_(size_t{partition_count} * seat_count) {}

SeatView::Holder& SeatView::slot(const HeldSeat& held) {
    return table_[size_t{held.partition.raw()} * seat_count_ + held.seat.raw()];
}

// By scanning all records: only when an entry that was the highest goes away. Of equal epochs,
// which no two nodes ever have, the lower node id.
SeatView::Holder SeatView::best_of(base::PartitionId partition, base::SeatIndex seat) const {
    Holder best;
    const HeldSeat wanted{.partition = partition, .seat = seat, .epoch = {}};
    for (const auto& [node, held] : held_) {
        const auto found = std::lower_bound(held.begin(), held.end(), wanted, is_before);
        if (found == held.end() || is_before(wanted, *found)) continue;
        if (best.node.is_none() || found->epoch > best.epoch) {
            best = {.node = node, .epoch = found->epoch};
        }
    }
    return best;
}

std::vector<base::PartitionId> SeatView::update(base::NodeId node, std::vector<HeldSeat> held) {
    std::erase_if(held, [&](const HeldSeat& entry) {
        return entry.partition.raw() >= partition_count_ || entry.seat.raw() >= seat_count_;
    });
    const std::vector<HeldSeat> before = std::exchange(held_[node], std::move(held));
    const std::vector<HeldSeat>& now = held_[node];
    std::vector<HeldSeat> touched;
    std::set_symmetric_difference(
        before.begin(), before.end(), now.begin(), now.end(), std::back_inserter(touched));
    std::vector<base::PartitionId> changed;
    for (const HeldSeat& entry : touched) {
        Holder& current = slot(entry);
        const Holder best = best_of(entry.partition, entry.seat);
        if (best == current) continue;
        current = best;
        if (changed.empty() || changed.back() != entry.partition) {
            changed.push_back(entry.partition);
        }
    }
    if (now.empty()) {
        held_.erase(node);
    }
    return changed;
}

const SeatView::Holder& SeatView::holder(base::PartitionId partition, base::SeatIndex seat) const {
    STARLING_CHECK(seat.raw() < seat_count_);
    return holders(partition)[seat.raw()];
}

std::span<const SeatView::Holder> SeatView::holders(base::PartitionId partition) const {
    STARLING_CHECK(partition.raw() < partition_count_);
    return {table_.data() + size_t{partition.raw()} * seat_count_, seat_count_};
}

SeatSet SeatView::seats_of(base::PartitionId partition, base::NodeId node) const {
    SeatSet seats;
    const auto all = holders(partition);
    for (uint8_t seat = 0; seat < seat_count_; ++seat) {
        if (all[seat].node == node && !node.is_none()) {
            seats.add(base::SeatIndex(seat));
        }
    }
    return seats;
}

std::vector<base::NodeId> SeatView::nodes_of(base::PartitionId partition, uint32_t replicas) const {
    std::vector<base::NodeId> nodes;
    for (const Holder& holder : holders(partition).first(std::min<size_t>(replicas, seat_count_))) {
        if (!holder.node.is_none() &&
            std::find(nodes.begin(), nodes.end(), holder.node) == nodes.end()) {
            nodes.push_back(holder.node);
        }
    }
    return nodes;
}

}  // namespace starling::node
