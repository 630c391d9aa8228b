#pragma once

// Memory that is taken in small pieces and given back all at once. One thread allocates; any thread
// may ask how much was taken.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace starling::storage::lsm {

class Arena {
  public:
    Arena() = default;
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;

    // Aligned for pointers.
    char* allocate(size_t bytes) {
        const size_t rounded = (bytes + alignment - 1) & ~(alignment - 1);
        if (rounded > left_) [[unlikely]] {
            return allocate_slowly(rounded);
        }
        char* const piece = next_;
        next_ += rounded;
        left_ -= rounded;
        used_bytes_.store(used_bytes_.load(std::memory_order_relaxed) + rounded,
                          std::memory_order_relaxed);
        return piece;
    }

    // Handed out, and taken from the system.
    uint64_t used_bytes() const { return used_bytes_.load(std::memory_order_relaxed); }
    uint64_t memory_bytes() const { return memory_bytes_.load(std::memory_order_relaxed); }

  private:
    static constexpr size_t alignment = alignof(void*);

    char* allocate_slowly(size_t bytes);
    char* new_block(size_t bytes);

    char* next_ = nullptr;
    size_t left_ = 0;
    size_t block_bytes_ = 2048;
    std::vector<std::unique_ptr<char[]>> blocks_;
    std::atomic<uint64_t> used_bytes_ = 0;
    std::atomic<uint64_t> memory_bytes_ = 0;
};

}  // namespace starling::storage::lsm
