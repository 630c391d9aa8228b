#pragma once

// The bounds of a table. The one place where they stand: what is configured, stored or sent is
// checked against these.

#include <cstdint>

namespace starling::ring {

inline constexpr uint32_t partition_count_default = 256;
inline constexpr uint32_t partition_count_max = 32768;
inline constexpr uint32_t seats_max = 7;

}  // namespace starling::ring
