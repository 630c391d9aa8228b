#pragma once

// The bytes of something that must not grow without end: a queue, requests in progress. What does
// not fit is refused, and counted. A piece larger than the whole limit would be refused for ever,
// so one such piece at a time is taken beside the others: what is held stays below the limit and
// the largest piece together. Thread-safe.

#include <atomic>
#include <cstdint>

#include "base/check.h"

namespace starling::base {

class ByteLimit {
  public:
    explicit ByteLimit(uint64_t bytes_max) : bytes_max_(bytes_max) {}
    ByteLimit(const ByteLimit&) = delete;
    ByteLimit& operator=(const ByteLimit&) = delete;

    // False: there is no room, and nothing was taken. After true the caller gives the same bytes
    // back, once.
    bool take(uint64_t bytes) {
        const bool taken = bytes > bytes_max_ ? take_large(bytes) : take_small(bytes);
        if (!taken) {
            refused_.fetch_add(1, std::memory_order_relaxed);
        }
        return taken;
    }
    void give_back(uint64_t bytes) {
        std::atomic<uint64_t>& held = bytes > bytes_max_ ? large_ : small_;
        STARLING_CHECK(held.fetch_sub(bytes, std::memory_order_relaxed) >= bytes);
    }

    uint64_t bytes() const {
        return small_.load(std::memory_order_relaxed) + large_.load(std::memory_order_relaxed);
    }
    uint64_t bytes_max() const { return bytes_max_; }
    uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }

  private:
    bool take_large(uint64_t bytes) {
        uint64_t none = 0;
        return large_.compare_exchange_strong(none, bytes, std::memory_order_relaxed);
    }
    bool take_small(uint64_t bytes) {
        uint64_t held = small_.load(std::memory_order_relaxed);
        do {
            if (held > bytes_max_ - bytes) {
                return false;
            }
        } while (!small_.compare_exchange_weak(held, held + bytes, std::memory_order_relaxed));
        return true;
    }

    const uint64_t bytes_max_;
    std::atomic<uint64_t> small_ = 0;
    // The piece above the limit; 0 when there is none.
    std::atomic<uint64_t> large_ = 0;
    std::atomic<uint64_t> refused_ = 0;
};

}  // namespace starling::base
