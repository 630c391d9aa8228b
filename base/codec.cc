#include "base/codec.h"

#include <bit>
#include <concepts>
#include <cstring>

namespace starling::base {

namespace {

template <std::unsigned_integral T>
void append_little_endian(std::string& out, T value) {
    static_assert(std::endian::native == std::endian::little);
    char raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof(T));
    out.append(raw, sizeof(T));
}

template <std::unsigned_integral T>
T load_little_endian(std::string_view raw) {
    T value = 0;
    if (raw.size() == sizeof(T)) {
        std::memcpy(&value, raw.data(), sizeof(T));
    }
    return value;
}

}  // namespace

void put_u8(std::string& out, uint8_t value) {
    out.push_back(static_cast<char>(value));
}
void put_u16(std::string& out, uint16_t value) {
    append_little_endian(out, value);
}
void put_u32(std::string& out, uint32_t value) {
    append_little_endian(out, value);
}
void put_u64(std::string& out, uint64_t value) {
    append_little_endian(out, value);
}

void put_u16_ordered(std::string& out, uint16_t value) {
    append_little_endian(out, __builtin_bswap16(value));
}
void put_u64_ordered(std::string& out, uint64_t value) {
    append_little_endian<uint64_t>(out, __builtin_bswap64(value));
}

void put_varint(std::string& out, uint64_t value) {
    while (value >= 0x80) {
        out.push_back(static_cast<char>(value | 0x80));
        value >>= 7;
    }
    out.push_back(static_cast<char>(value));
}

void put_bytes(std::string& out, std::string_view bytes) {
    put_varint(out, bytes.size());
    out.append(bytes);
}

std::string_view Reader::take(size_t count) {
    if (failed_ || rest_.size() < count) {
        fail();
        return {};
    }
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
}

uint8_t Reader::u8() {
    return load_little_endian<uint8_t>(take(1));
}
uint16_t Reader::u16() {
    return load_little_endian<uint16_t>(take(2));
}
uint32_t Reader::u32() {
    return load_little_endian<uint32_t>(take(4));
}
uint64_t Reader::u64() {
    return load_little_endian<uint64_t>(take(8));
}
uint16_t Reader::u16_ordered() {
    return __builtin_bswap16(u16());
}
uint64_t Reader::u64_ordered() {
    return __builtin_bswap64(u64());
}

uint64_t Reader::varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        const uint8_t byte = u8();
        if (failed_) {
            return 0;
        }
        const bool overflows = shift == 63 && byte > 1;
        const bool padded = shift > 0 && byte == 0;
        if (overflows || padded) {
            fail();
            return 0;
        }
        value |= static_cast<uint64_t>(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            return value;
        }
    }
    fail();
    return 0;
}

std::string_view Reader::bytes() {
    const uint64_t size = varint();
    return take(size);
}

size_t Reader::count(size_t element_size_min) {
    const uint64_t count = varint();
    if (failed_ || count > rest_.size() / element_size_min) {
        fail();
        return 0;
    }
    return count;
}

}  // namespace starling::base
