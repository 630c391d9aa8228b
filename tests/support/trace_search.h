#pragma once

// Random search for a trace that fails, and the shortest that still does. A trace is a list of
// steps, each made of small numbers that mean something in every state, so that any sublist of a
// trace is a trace too, and a failing one can be shrunk by leaving steps out.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace starling::testing {

template <typename Step>
struct TraceSearch {
    using Trace = std::vector<Step>;

    std::function<Trace(uint64_t seed)> trace_of;
    // What is wrong after it.
    std::function<std::optional<std::string>(const Trace&)> run;
    std::function<std::string(const Step&)> describe;

    // The first of `count` seeds whose trace fails.
    std::optional<uint64_t> first_failure(uint64_t count, uint64_t first_seed = 1) const {
        for (uint64_t seed = first_seed; seed < first_seed + count; ++seed) {
            if (run(trace_of(seed))) return seed;
        }
        return std::nullopt;
    }

    // Leaves out runs of steps, then single ones, as long as the trace still fails.
    Trace shrink(Trace trace) const {
        for (bool again = true; again;) {
            again = false;
            for (size_t size = std::max<size_t>(trace.size() / 2, 1); size >= 1; size /= 2) {
                for (size_t begin = 0; begin + size <= trace.size();) {
                    Trace shorter = trace;
                    const auto from = shorter.begin() + static_cast<std::ptrdiff_t>(begin);
                    shorter.erase(from, from + static_cast<std::ptrdiff_t>(size));
                    if (run(shorter)) {
                        trace = std::move(shorter);
                        again = true;
                    } else {
                        ++begin;
                    }
                }
            }
        }
        return trace;
    }

    // REQUIRES: the trace of the seed fails.
    std::string describe_failure(uint64_t seed) const {
        const Trace shortest = shrink(trace_of(seed));
        std::string text = "seed " + std::to_string(seed) + ": " + *run(shortest) + "\n";
        for (const Step& step : shortest)
            text += "  " + describe(step) + "\n";
        return text;
    }
};

}  // namespace starling::testing
