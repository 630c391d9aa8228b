#pragma once

// A blocked Bloom filter over user keys: each key sets seven bits of one 64-byte line, so a
// question costs one cache miss. At 10 bits per key about 1 % of absent keys pass.
//
// Content: lines of 64 bytes. Line = high 32 bits of XXH3-64(key) * line count >> 32; the bits are
// seven nine-bit pieces of a remix of the hash.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace starling::storage::lsm {

class BloomFilterBuilder {
  public:
    explicit BloomFilterBuilder(uint32_t bits_per_key) : bits_per_key_(bits_per_key) {}

    // A key that equals the one before is counted once.
    void add(std::string_view user_key);
    // Empty when there are no keys or no bits.
    std::string finish() const;

  private:
    const uint32_t bits_per_key_;
    std::vector<uint64_t> hashes_;
};

uint64_t bloom_hash(std::string_view user_key);
// False: the key is not among those the filter was built from. An empty or malformed filter knows
// nothing.
bool bloom_may_contain(std::string_view filter, uint64_t hash);

}  // namespace starling::storage::lsm
