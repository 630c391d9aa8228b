#pragma once

// Which of the blocks that are written take a place in the cache: those of a merge whose entries
// came from blocks that had one, and those of a flush while there are readers. Else each flush and
// each merge would send readers to the disk for what they had in memory.

#include <cstdint>
#include <string_view>
#include <utility>

#include "storage/lsm/block_cache.h"
#include "storage/lsm/table.h"

namespace starling::storage::lsm {

class WarmBlocks {
  public:
    // `is_warm`: what follows from no block.
    explicit WarmBlocks(BlockCache& cache, bool is_warm = false)
        : cache_(cache), is_warm_(is_warm) {}

    // For the iterators that are merged.
    ReadTally& inputs() { return inputs_; }

    // A block with this content follows from what the inputs have come through since the last one.
    void written(uint64_t file_number, uint64_t offset, std::string_view content) {
        const uint64_t found = inputs_.found - before_.found;
        const uint64_t read = inputs_.read - before_.read;
        before_ = inputs_;
        if (found + read > 0) {
            is_warm_ = found >= read;
        }
        if (!is_warm_) {
            return;
        }
        if (BlockPtr block = Block::make(content)) {
            cache_.insert(file_number, offset, std::move(block));
        }
    }

  private:
    BlockCache& cache_;
    ReadTally inputs_;
    ReadTally before_;
    bool is_warm_;
};

}  // namespace starling::storage::lsm
