#include "storage/lsm/arena.h"

#include <algorithm>

namespace starling::storage::lsm {

namespace {

// Blocks double up to this, so that a small memtable takes little and a large one few blocks.
constexpr size_t block_bytes_max = 512u << 10;

}  // namespace

char* Arena::allocate_slowly(size_t bytes) {
    used_bytes_.store(used_bytes_.load(std::memory_order_relaxed) + bytes,
                      std::memory_order_relaxed);
    if (bytes > block_bytes_ / 2) {
        // A block of its own wastes nothing of the current one.
        return new_block(bytes);
    }
    block_bytes_ = std::min(block_bytes_ * 2, block_bytes_max);
    char* const block = new_block(block_bytes_);
    next_ = block + bytes;
    left_ = block_bytes_ - bytes;
    return block;
}

char* Arena::new_block(size_t bytes) {
    blocks_.push_back(std::make_unique_for_overwrite<char[]>(bytes));
    memory_bytes_.store(memory_bytes() + bytes, std::memory_order_relaxed);
    return blocks_.back().get();
}

}  // namespace starling::storage::lsm
