#pragma once

// Who is known to hold which seat: for each seat the entry with the highest epoch among all member
// records this node has. The cluster part makes the views of coordinators from one, each shard's
// mover has another; whether the node asked still counts it says itself. Not thread-safe.

#include <map>
#include <span>
#include <vector>

#include "base/ids.h"
#include "node/handover/seat.h"

namespace starling::node {

class SeatView {
  public:
    // `node` is none where nobody is known to hold the seat.
    struct Holder {
        base::NodeId node;
        Epoch epoch;
        friend bool operator==(const Holder&, const Holder&) = default;
    };

    SeatView(uint32_t partition_count, uint8_t seat_count);

    // Replaces what is known from `node`'s member record. Entries out of range are left out.
    // Returns the partitions of which a holder changed, ascending. `held` is ordered by partition
    // and seat.
    std::vector<base::PartitionId> update(base::NodeId node, std::vector<HeldSeat> held);
    std::vector<base::PartitionId> remove(base::NodeId node) { return update(node, {}); }

    const Holder& holder(base::PartitionId partition, base::SeatIndex seat) const;
    // By seat, `seat_count` of them.
    std::span<const Holder> holders(base::PartitionId partition) const;
    // The seats of `partition` that `node` is the known holder of.
    SeatSet seats_of(base::PartitionId partition, base::NodeId node) const;
    // Distinct holders of the seats below `replicas`, by seat.
    std::vector<base::NodeId> nodes_of(base::PartitionId partition, uint32_t replicas) const;

    uint32_t partition_count() const { return partition_count_; }
    uint8_t seat_count() const { return seat_count_; }

  private:
    Holder& slot(const HeldSeat& held);
    Holder best_of(base::PartitionId partition, base::SeatIndex seat) const;

    const uint32_t partition_count_;
    const uint8_t seat_count_;
    std::map<base::NodeId, std::vector<HeldSeat>> held_;
    // partition_count_ * seat_count_
    std::vector<Holder> table_;
};

}  // namespace starling::node
