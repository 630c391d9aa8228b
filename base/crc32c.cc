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

constexpr std::array<uint32_t, 256> byte_table = make_table();

constexpr uint32_t step(uint32_t crc, uint8_t byte) {
    return byte_table[(crc ^ byte) & 0xff] ^ (crc >> 8);
}

uint32_t extend_portable(uint32_t crc, std::string_view bytes) {
    for (const char c : bytes) {
        crc = step(crc, static_cast<uint8_t>(c));
    }
    return crc;
}

// The instruction takes a word per cycle, but three cycles until the next may follow it: three
// stretches side by side keep it busy. Their checksums are joined by what as many zeros would do to
// a register, which is linear in its bits: a table for each of its bytes.
constexpr size_t stretch_bytes = 256;
using ZerosTable = std::array<std::array<uint32_t, 256>, 4>;

constexpr ZerosTable make_zeros_table() {
    std::array<uint32_t, 32> of_bit{};
    for (uint32_t bit = 0; bit < 32; ++bit) {
        uint32_t crc = uint32_t{1} << bit;
        for (size_t i = 0; i < stretch_bytes; ++i) {
            crc = step(crc, 0);
        }
        of_bit[bit] = crc;
    }
    ZerosTable table{};
    for (uint32_t place = 0; place < 4; ++place) {
        for (uint32_t byte = 0; byte < 256; ++byte) {
            for (uint32_t bit = 0; bit < 8; ++bit) {
                if ((byte >> bit & 1) != 0) {
                    table[place][byte] ^= of_bit[place * 8 + bit];
                }
            }
        }
    }
    return table;
}

uint32_t append_zeros(uint64_t crc) {
    static constexpr ZerosTable table = make_zeros_table();
    return table[0][crc & 0xff] ^ table[1][crc >> 8 & 0xff] ^ table[2][crc >> 16 & 0xff] ^
           table[3][crc >> 24 & 0xff];
}

__attribute__((target("sse4.2"))) uint64_t take_word(uint64_t crc, const char* at) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    return _mm_crc32_u64(crc, word);
}

__attribute__((target("sse4.2"))) uint32_t extend_sse42(uint32_t crc, std::string_view bytes) {
    const char* position = bytes.data();
    size_t left = bytes.size();
    uint64_t wide = crc;
    for (; left >= 3 * stretch_bytes; left -= 3 * stretch_bytes, position += 3 * stretch_bytes) {
        uint64_t second = 0;
        uint64_t third = 0;
        for (size_t i = 0; i < stretch_bytes; i += 8) {
            wide = take_word(wide, position + i);
            second = take_word(second, position + stretch_bytes + i);
            third = take_word(third, position + 2 * stretch_bytes + i);
        }
        wide = append_zeros(append_zeros(wide) ^ second) ^ third;
    }
    for (; left >= 8; left -= 8, position += 8) {
        wide = take_word(wide, position);
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
