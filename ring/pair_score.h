#pragma once

// How much a partition wants a member: rendezvous hashing with weights (Schindelhauer and
// Schomaker, 2005). The score is -log(u) / weight for a number u in (0, 1] that is random to each
// pair; the member with the least score is the best, and each is the best with a probability in
// proportion to its weight. In fixed point: floating-point logarithms differ between machines.

#include <cstdint>

#include "base/ids.h"

namespace starling::ring {

// A score is less than 2^pair_score_bits.
inline constexpr int pair_score_bits = 40;

// REQUIRES: weight >= 1.
uint64_t pair_score(base::NodeId node, uint32_t weight, base::PartitionId partition);

}  // namespace starling::ring
