#include "ring/pair_score.h"

#include <array>
#include <bit>
#include <string_view>

#include "base/hash.h"

namespace starling::ring {

namespace {

constexpr int fraction_bits = 20;
constexpr int table_bits = 8;
constexpr int pair_score_shift = pair_score_bits - 7 - fraction_bits;

// log2 of a number in [1, 2) with 31 bits after the point, to 20 bits after the point. Each
// squaring tells one more binary digit.
constexpr uint32_t log2_by_squaring(uint64_t number) {
    uint32_t logarithm = 0;
    for (int bit = 0; bit < fraction_bits; ++bit) {
        const uint64_t square = number * number;
        const uint64_t is_two_or_more = square >> 63;
        logarithm = (logarithm << 1) | static_cast<uint32_t>(is_two_or_more);
        number = square >> (31 + is_two_or_more);
    }
    return logarithm;
}

constexpr auto log2_table = [] {
    std::array<uint32_t, (1 << table_bits) + 1> table{};
    for (uint64_t i = 0; i < (1 << table_bits); ++i) {
        table[i] = log2_by_squaring((uint64_t{1} << 31) + (i << (31 - table_bits)));
    }
    table.back() = 1u << fraction_bits;
    return table;
}();

// -log2(hash / 2^64), linear between the table's entries: off by less than 2^-18.
uint64_t minus_log2(uint64_t hash) {
    hash |= 1;
    const int leading = std::countl_zero(hash);
    // What follows the leading one: the table's index, then 20 bits between two entries.
    const uint64_t fraction = (hash << leading) << 1;
    const uint64_t index = fraction >> (64 - table_bits);
    const uint64_t between = (fraction << table_bits) >> (64 - fraction_bits);
    const uint64_t step = log2_table[index + 1] - log2_table[index];
    const uint64_t logarithm = log2_table[index] + ((step * between) >> fraction_bits);
    return (static_cast<uint64_t>(leading + 1) << fraction_bits) - logarithm;
}

}  // namespace

uint64_t pair_score(base::NodeId node, uint32_t weight, base::PartitionId partition) {
    static_assert(std::endian::native == std::endian::little, "scores must agree everywhere");
    const std::array<uint64_t, 2> pair{node.raw(), partition.raw()};
    const std::string_view bytes(reinterpret_cast<const char*>(pair.data()), sizeof(pair));
    // A logarithm has 7 + 20 bits at most; the shift keeps the scores of heavy members apart.
    return (minus_log2(base::xxh3_64(bytes)) << pair_score_shift) / weight;
}

}  // namespace starling::ring
