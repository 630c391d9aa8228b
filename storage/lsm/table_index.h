#pragma once

// The index of an open table, decoded: where each block lies and the last key in it. A search
// compares words of keys (key_word.h), which lie close together. Never changes.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/lsm/block.h"
#include "storage/lsm/table_format.h"

namespace starling::storage::lsm {

class TableIndex {
  public:
    // nullopt: the block is no index of blocks that lie before `blocks_end`, one behind the other,
    // with keys in ascending order.
    static std::optional<TableIndex> make(BlockPtr block, uint64_t blocks_end);

    size_t block_count() const { return places_.size(); }
    // The first block that may hold an entry at or after (user_key, tag); block_count(): none.
    size_t find(std::string_view user_key, uint64_t tag) const;
    BlockHandle handle(size_t index) const {
        return {.offset = places_[index].offset, .size = places_[index].size};
    }
    // An internal key.
    std::string_view last_key(size_t index) const;
    uint64_t memory_bytes() const;

  private:
    struct Place {
        uint64_t offset;
        uint32_t size;
        uint32_t key_end;
    };

    // Of the last keys of all blocks: so many bytes do they begin with in common, and what follows.
    size_t prefix_bytes_ = 0;
    std::vector<uint64_t> words_;
    std::vector<Place> places_;
    std::string keys_;
};

}  // namespace starling::storage::lsm
