#include <bit>

#include "base/check.h"
#include "base/hash.h"
#include "ring/placement.h"

namespace starling::ring {

base::PartitionId partition_of(std::string_view routing_key, uint32_t partition_count) {
    STARLING_CHECK(std::has_single_bit(partition_count) && partition_count <= partition_count_max);
    const int bits = std::countr_zero(partition_count);
    // Shifting by all 64 bits would not be defined.
    const uint64_t top = bits == 0 ? 0 : base::xxh3_64(routing_key) >> (64 - bits);
    return base::PartitionId(static_cast<uint16_t>(top));
}

}  // namespace starling::ring
