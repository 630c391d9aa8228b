#include "base/hash.h"

#include <xxhash.h>

namespace starling::base {

uint64_t xxh3_64(std::string_view bytes) {
    return XXH3_64bits(bytes.data(), bytes.size());
}

uint64_t xxh3_64(std::string_view bytes, uint64_t seed) {
    return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

absl::uint128 xxh3_128(std::string_view bytes, uint64_t seed) {
    const XXH128_hash_t hash = XXH3_128bits_withSeed(bytes.data(), bytes.size(), seed);
    return absl::MakeUint128(hash.high64, hash.low64);
}

}  // namespace starling::base
