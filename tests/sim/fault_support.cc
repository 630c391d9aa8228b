#include "tests/sim/fault_support.h"

#include "tests/sim/disk_copy.h"

namespace starling::sim {

bool has_two_seats(Machine& machine, const RunOptions& options) {
    const auto seat_count = static_cast<uint8_t>(options.node.seat_count);
    for (uint32_t partition = 0; partition < options.node.partition_count; ++partition) {
        const auto disk = DiskCopy::open(machine, partition % options.shards);
        if (!disk.ok()) return true;
        const node::GroupId group{.partition = base::PartitionId(static_cast<uint16_t>(partition)),
                                  .replicas = seat_count};
        const auto seats = (*disk)->seats(group, machine.node().cluster(), seat_count);
        if (!seats.ok() || seats->answered_for.size() > 1) return true;
    }
    return false;
}

}  // namespace starling::sim
