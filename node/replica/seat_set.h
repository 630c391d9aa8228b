#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "ring/limits.h"

namespace starling::node {

inline constexpr uint8_t seat_count_default = 3;
// A cluster may have as many seats as placement can fill.
inline constexpr uint8_t seat_count_max = ring::seats_max;

// A set of seats of one partition.
class SeatSet {
  public:
    constexpr SeatSet() = default;
    static SeatSet of(base::SeatIndex seat) {
        SeatSet set;
        set.add(seat);
        return set;
    }
    // Seats 0 .. count-1: those of a namespace with N = count.
    static SeatSet first(uint32_t count) { return from_bits(~uint32_t{0}).below(count); }
    // Bit s is seat s; what no seat can have is left out.
    static SeatSet from_bits(uint32_t bits) {
        SeatSet set;
        set.bits_ = bits & ((uint32_t{1} << seat_count_max) - 1);
        return set;
    }

    void add(base::SeatIndex seat) { bits_ |= uint32_t{1} << seat.raw(); }
    void merge(SeatSet other) { bits_ |= other.bits_; }
    bool contains(base::SeatIndex seat) const { return (bits_ >> seat.raw() & 1U) != 0; }
    size_t size() const { return static_cast<size_t>(std::popcount(bits_)); }
    bool empty() const { return bits_ == 0; }
    uint32_t bits() const { return bits_; }

    // Those below `count`.
    SeatSet below(uint32_t count) const {
        SeatSet out;
        out.bits_ = count >= seat_count_max ? bits_ : bits_ & ((uint32_t{1} << count) - 1);
        return out;
    }
    SeatSet without(SeatSet other) const { return from_bits(bits_ & ~other.bits_); }
    // Ascending.
    std::vector<base::SeatIndex> list() const {
        std::vector<base::SeatIndex> out;
        for (uint8_t seat = 0; seat < seat_count_max; ++seat) {
            if (contains(base::SeatIndex(seat))) {
                out.emplace_back(seat);
            }
        }
        return out;
    }
    friend bool operator==(SeatSet, SeatSet) = default;

  private:
    uint32_t bits_ = 0;
};

}  // namespace starling::node
