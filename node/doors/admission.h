#pragma once

// How much a door holds at once: requests handed to the node and results not yet sent, counted and
// in bytes. What does not fit is refused, so a flood costs a refusal each and no memory.
//
// Thread-safe.

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"

namespace starling::node {

class Admission {
  public:
    struct Options {
        size_t requests_max = 0;
        size_t bytes_max = 0;
    };
    explicit Admission(Options options) : options_(options) {}

    // resource_exhausted (overloaded), naming the limit; then nothing is held. A request that is
    // alone is always admitted, whatever its size. After OK the caller gives back the request and
    // its bytes.
    absl::Status admit(size_t bytes);
    // More bytes for an admitted request: its result. Never refused; the next request feels it.
    void grow(size_t bytes) { bytes_.fetch_add(bytes, std::memory_order_relaxed); }
    void release(size_t bytes);

    size_t requests() const { return requests_.load(std::memory_order_acquire); }
    size_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
    uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }

  private:
    absl::Status refuse(size_t bytes, const char* what, size_t limit);

    const Options options_;
    std::atomic<size_t> requests_{0};
    std::atomic<size_t> bytes_{0};
    std::atomic<uint64_t> refused_{0};
};

}  // namespace starling::node
