#pragma once

// XXH3. The one of 64 bits decides where data goes: partitions, ring points, hash-tree leaves.

#include <cstdint>
#include <string_view>

#include "absl/numeric/int128.h"

namespace starling::base {

uint64_t xxh3_64(std::string_view bytes);
uint64_t xxh3_64(std::string_view bytes, uint64_t seed);
// For bytes that must not be taken for others by chance.
absl::uint128 xxh3_128(std::string_view bytes, uint64_t seed);

}  // namespace starling::base
