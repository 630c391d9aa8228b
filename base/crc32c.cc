#include "base/crc32c.h"

#include <array>
#include <cstring>

#include <nmmintrin.h>

namespace starling::base {

namespace {

constexpr std::array<uint32_t, 256> make_table() {
    constexpr uint32_t reversed_polynomial = 0x82f63b78;
    std::array<uint32_t, 256> table{};
    for (uint32_t i = 0; i < 256; ++i) {
        uint32_t value = i;
        for (int bit = 0; bit < 8; ++bit) {
            value = (value >> 1) ^ ((value & 1) != 0 ? reversed_polynomial : 0);
        }
        table[i] = value;
    }
    return table;
}

uint32_t extend_portable(uint32_t crc, std::string_view bytes) {
    static constexpr std::array<uint32_t, 256> table = make_table();
    for (const char c : bytes) {
        crc = table[(crc ^ static_cast<uint8_t>(c)) & 0xff] ^ (crc >> 8);
    }
    return crc;
}

__attribute__((target("sse4.2"))) uint32_t extend_sse42(uint32_t crc, std::string_view bytes) {
    const char* position = bytes.data();
    size_t left = bytes.size();
    uint64_t wide = crc;
    for (; left >= 8; left -= 8, position += 8) {
        uint64_t word;
        std::memcpy(&word, position, 8);
        wide = _mm_crc32_u64(wide, word);
    }
    auto narrow = static_cast<uint32_t>(wide);
    for (; left > 0; --left, ++position) {
        narrow = _mm_crc32_u8(narrow, static_cast<uint8_t>(*position));
    }
    return narrow;
}

}  // namespace

uint32_t crc32c_extend(uint32_t crc, std::string_view bytes) {
    static const bool has_sse42 = __builtin_cpu_supports("sse4.2") != 0;
    return ~(has_sse42 ? extend_sse42(~crc, bytes) : extend_portable(~crc, bytes));
}

}  // namespace starling::base
