#pragma once

// The byte encoding of everything that reaches a disk: little-endian fixed integers, LEB128 varints
// and length-prefixed byte strings. Writers append to a string; a Reader takes from a view and
// turns into a failed one, for good, at the first thing that does not fit, so a decoder reads all
// its fields and asks once, at the end, whether all of them were there.

#include <cstdint>
#include <string>
#include <string_view>

namespace starling::base {

void put_u8(std::string& out, uint8_t value);
void put_u16(std::string& out, uint16_t value);
void put_u32(std::string& out, uint32_t value);
void put_u64(std::string& out, uint64_t value);
// Big-endian, so that the bytes order as the numbers do: for keys of an ordered store.
void put_u16_ordered(std::string& out, uint16_t value);
void put_u64_ordered(std::string& out, uint64_t value);
// 1 to 10 bytes, 7 bits each, least significant first.
void put_varint(std::string& out, uint64_t value);
// varint length, then the bytes.
void put_bytes(std::string& out, std::string_view bytes);

// Reads what the functions above wrote. Views it returns point into the input.
class Reader {
  public:
    explicit Reader(std::string_view input) : rest_(input) {}

    uint8_t u8();
    uint16_t u16();
    uint32_t u32();
    uint64_t u64();
    uint16_t u16_ordered();
    uint64_t u64_ordered();
    // Fails on an encoding that is longer than it need be: each number has one encoding.
    uint64_t varint();
    std::string_view bytes();
    // The next `count` bytes.
    std::string_view take(size_t count);

    // A count of elements that follow, each at least `element_size_min` (>= 1) bytes long. Fails
    // when the rest of the input cannot hold them, so a caller may reserve memory for the result.
    size_t count(size_t element_size_min);

    // True once any read did not fit. Later reads return zeros and empty views.
    bool failed() const { return failed_; }
    // All of the input was read and all of it fitted.
    bool finished() const { return !failed_ && rest_.empty(); }
    std::string_view rest() const { return rest_; }
    // For decoders that find a value out of range.
    void fail() {
        failed_ = true;
        rest_ = {};
    }

  private:
    std::string_view rest_;
    bool failed_ = false;
};

}  // namespace starling::base
