#pragma once

// A block in memory, and the way through its entries. Content comes from a file: its checksum was
// right, yet nothing in it is trusted to lie within bounds. A block never changes; any number of
// threads read it.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace starling::storage::lsm {

class Block {
  public:
    // data_loss: the restart points do not fit. `where` names file and offset in errors.
    static absl::StatusOr<std::shared_ptr<const Block>> make(std::string content,
                                                             std::string where);

    uint64_t memory_bytes() const { return content_.capacity() + sizeof(Block); }

  private:
    friend class BlockIterator;

    Block(std::string content, std::string where, uint32_t restart_count, size_t entries_end);

    uint32_t restart(uint32_t index) const;

    const std::string content_;
    const std::string where_;
    const uint32_t restart_count_;
    const size_t entries_end_;
};

// Not virtual: searching an index is the inner loop of every read. Damage ends the iteration with a
// data_loss status. A default-constructed one is not valid.
class BlockIterator {
  public:
    BlockIterator() = default;
    // Shares the block with the cache, which may drop it meanwhile.
    explicit BlockIterator(std::shared_ptr<const Block> block) : block_(std::move(block)) {}

    bool valid() const { return valid_; }
    void seek_to_first();
    void seek_to_last();
    void seek(std::string_view internal_key);
    void next();
    void previous();
    std::string_view key() const { return key_; }
    std::string_view value() const { return value_; }
    const absl::Status& status() const { return status_; }

  private:
    void go_to_restart(uint32_t index);
    // Reads the entry at next_offset_.
    bool parse_next();
    bool restart_key(uint32_t index, std::string_view& key);
    void damaged();

    std::shared_ptr<const Block> block_;
    bool valid_ = false;
    size_t offset_ = 0;
    size_t next_offset_ = 0;
    // The restart point at or before the entry.
    uint32_t restart_index_ = 0;
    std::string key_;
    std::string_view value_;
    absl::Status status_;
};

}  // namespace starling::storage::lsm
