#pragma once

// What is written and read: keys, values, and threads that repeat an operation while a clock runs.

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace starling::bench {

inline constexpr size_t key_bytes = 16;

// A fixed sequence: every engine gets the same load.
class Sequence {
  public:
    explicit Sequence(uint64_t seed) : state_(seed) {}
    uint64_t next();
    uint64_t below(uint64_t bound) {
        return static_cast<uint64_t>((static_cast<unsigned __int128>(next()) * bound) >> 64);
    }

  private:
    uint64_t state_;
};

// Decimal digits, so that the order of keys is that of their numbers.
class Key {
  public:
    static Key present(uint64_t index) { return Key(2 * index); }
    // Lies between two present ones.
    static Key missing(uint64_t index) { return Key(2 * index + 1); }
    std::string_view view() const { return {digits_, key_bytes}; }

  private:
    explicit Key(uint64_t number);
    char digits_[key_bytes];
};

// Values that a compressor halves.
class Values {
  public:
    explicit Values(size_t value_bytes);
    // Valid as long as this object.
    std::string_view value(uint64_t number) const;

  private:
    const size_t value_bytes_;
    std::string bytes_;
};

// A one-to-one map of [0, count) onto itself without visible order.
class Shuffle {
  public:
    explicit Shuffle(uint64_t count);
    uint64_t at(uint64_t index) const;

  private:
    uint64_t permute(uint64_t value) const;

    const uint64_t count_;
    uint32_t half_bits_ = 1;
};

struct LoadTimes {
    uint64_t operations = 0;
    double seconds = 0;
    // Of all threads of the process.
    double cpu_seconds = 0;
    // Microseconds; 0 where single operations were not timed.
    double p50 = 0;
    double p99 = 0;
};

// One operation with number `index` of thread `thread`; returns how many things it did.
using Operation = std::function<uint64_t(uint32_t thread, uint64_t index)>;

// Numbers 0 .. count - 1, each done by the thread that is free first: all are busy to the end.
LoadTimes run_counted(uint32_t threads, uint64_t count, const Operation& operation);
// Each of `threads` goes on until `duration` is over.
LoadTimes run_timed(uint32_t threads,
                    std::chrono::duration<double> duration,
                    const Operation& operation);
// As run_timed() with one thread, and takes the time of each operation.
LoadTimes run_with_latencies(std::chrono::duration<double> duration, const Operation& operation);

double median(std::vector<double> values);

}  // namespace starling::bench
