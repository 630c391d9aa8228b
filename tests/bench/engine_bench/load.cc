#include "tests/bench/engine_bench/load.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <latch>
#include <thread>

#include "tests/bench/engine_bench/machine.h"

namespace starling::bench {

namespace {

using SteadyClock = std::chrono::steady_clock;

// Looking at the clock costs as much as a fast read does.
constexpr uint64_t operations_per_look = 32;

uint64_t mix(uint64_t value) {
    value ^= value >> 30;
    value *= 0xbf58476d1ce4e5b9u;
    value ^= value >> 27;
    value *= 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

double seconds_since(SteadyClock::time_point begin) {
    return std::chrono::duration<double>(SteadyClock::now() - begin).count();
}

// `body` says how much it did. All begin together; the time ends with the last.
LoadTimes run_threads(uint32_t threads, const std::function<uint64_t(uint32_t thread)>& body) {
    std::latch ready(threads + 1);
    std::atomic<uint64_t> operations = 0;
    std::vector<std::thread> running;
    for (uint32_t thread = 0; thread < threads; ++thread) {
        running.emplace_back([&, thread] {
            ready.arrive_and_wait();
            operations += body(thread);
        });
    }
    const double cpu_before = cpu_seconds_of_process();
    const auto begin = SteadyClock::now();
    ready.arrive_and_wait();
    for (std::thread& thread : running) {
        thread.join();
    }
    return {.operations = operations,
            .seconds = seconds_since(begin),
            .cpu_seconds = cpu_seconds_of_process() - cpu_before};
}

double percentile(std::vector<uint32_t>& nanoseconds, double part) {
    if (nanoseconds.empty()) {
        return 0;
    }
    const auto place = static_cast<ptrdiff_t>(part * static_cast<double>(nanoseconds.size() - 1));
    std::nth_element(nanoseconds.begin(), nanoseconds.begin() + place, nanoseconds.end());
    return nanoseconds[static_cast<size_t>(place)] / 1e3;
}

}  // namespace

uint64_t Sequence::next() {
    state_ += 0x9e3779b97f4a7c15u;
    return mix(state_);
}

Key::Key(uint64_t number) {
    for (size_t i = key_bytes; i > 0; --i, number /= 10) {
        digits_[i - 1] = static_cast<char>('0' + number % 10);
    }
}

Values::Values(size_t value_bytes) : value_bytes_(value_bytes) {
    // Each piece of up to 100 bytes is random in its first half and repeats that in its second.
    constexpr size_t piece_bytes = 100;
    constexpr size_t bytes_wanted = 1u << 20;
    Sequence random(301);
    while (bytes_.size() < bytes_wanted + value_bytes) {
        std::string half;
        while (half.size() < piece_bytes / 2) {
            half.push_back(static_cast<char>(' ' + random.below(95)));
        }
        bytes_ += half + half;
    }
}

std::string_view Values::value(uint64_t number) const {
    const size_t places = bytes_.size() - value_bytes_;
    return std::string_view(bytes_).substr(number * value_bytes_ % places, value_bytes_);
}

Shuffle::Shuffle(uint64_t count) : count_(count) {
    half_bits_ = std::max(1u, (static_cast<uint32_t>(std::bit_width(count)) + 1) / 2);
}

// A Feistel network of four rounds.
uint64_t Shuffle::permute(uint64_t value) const {
    const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
    uint64_t left = value >> half_bits_;
    uint64_t right = value & mask;
    for (uint64_t round = 1; round <= 4; ++round) {
        left ^= mix(right + round * 0x9e3779b97f4a7c15u) & mask;
        std::swap(left, right);
    }
    return left << half_bits_ | right;
}

uint64_t Shuffle::at(uint64_t index) const {
    do {
        index = permute(index);
    } while (index >= count_);
    return index;
}

LoadTimes run_counted(uint32_t threads, uint64_t count, const Operation& operation) {
    std::atomic<uint64_t> next = 0;
    return run_threads(threads, [&](uint32_t thread) {
        uint64_t done = 0;
        for (;;) {
            const uint64_t index = next.fetch_add(1, std::memory_order_relaxed);
            if (index >= count) {
                return done;
            }
            done += operation(thread, index);
        }
    });
}

LoadTimes run_timed(uint32_t threads,
                    std::chrono::duration<double> duration,
                    const Operation& operation) {
    const auto begin = SteadyClock::now();
    return run_threads(threads, [&](uint32_t thread) {
        uint64_t done = 0;
        for (uint64_t index = 0;
             index % operations_per_look != 0 || SteadyClock::now() - begin < duration;
             ++index) {
            done += operation(thread, index);
        }
        return done;
    });
}

LoadTimes run_with_latencies(std::chrono::duration<double> duration, const Operation& operation) {
    std::vector<uint32_t> nanoseconds;
    nanoseconds.reserve(8u << 20);
    LoadTimes times;
    const double cpu_before = cpu_seconds_of_process();
    const auto begin = SteadyClock::now();
    auto now = begin;
    for (uint64_t index = 0; now - begin < duration; ++index) {
        times.operations += operation(0, index);
        const auto after = SteadyClock::now();
        nanoseconds.push_back(static_cast<uint32_t>((after - now).count()));
        now = after;
    }
    times.seconds = seconds_since(begin);
    times.cpu_seconds = cpu_seconds_of_process() - cpu_before;
    times.p50 = percentile(nanoseconds, 0.5);
    times.p99 = percentile(nanoseconds, 0.99);
    return times;
}

double median(std::vector<double> values) {
    if (values.empty()) {
        return 0;
    }
    std::sort(values.begin(), values.end());
    const size_t middle = values.size() / 2;
    return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace starling::bench
