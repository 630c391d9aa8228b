#pragma once

// The random choices of a core: a sequence that follows from its seed alone, so that a core is a
// function of its inputs (splitmix64; Steele, Lea, Flood, 2014). Fit for choosing whom to ask, not
// for ids.

#include <cstdint>
#include <utility>
#include <vector>

namespace starling::gossip {

class Draw {
  public:
    explicit Draw(uint64_t seed) : state_(seed) {}

    uint64_t next() {
        state_ += 0x9e3779b97f4a7c15;
        uint64_t z = state_;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
    }

    // Uniform in [0, bound). REQUIRES: bound > 0.
    uint64_t below(uint64_t bound) {
        return static_cast<uint64_t>((static_cast<unsigned __int128>(next()) * bound) >> 64);
    }

    // Moves `count` random elements to the front, in random order, and drops the others.
    template <typename T>
    void sample(std::vector<T>& elements, size_t count) {
        count = count < elements.size() ? count : elements.size();
        for (size_t i = 0; i < count; ++i) {
            std::swap(elements[i], elements[i + below(elements.size() - i)]);
        }
        elements.resize(count);
    }

  private:
    uint64_t state_;
};

}  // namespace starling::gossip
