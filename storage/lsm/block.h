#pragma once

// A block in memory, and the way through its entries. Content comes from a file: its checksum was
// right, yet nothing in it is trusted to lie within bounds before make() has looked at all of it;
// afterwards nobody needs to look again. A block never changes; any number of threads read it.

#include <atomic>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace starling::storage::lsm {

class Block;

// Shares a block. The count is part of the block, which is one piece of memory: a read that finds a
// block in the cache waits for that memory once.
class BlockPtr {
  public:
    BlockPtr() = default;
    BlockPtr(const BlockPtr& other);
    BlockPtr(BlockPtr&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
    BlockPtr& operator=(BlockPtr other) noexcept {
        std::swap(block_, other.block_);
        return *this;
    }
    ~BlockPtr();

    const Block* get() const { return block_; }
    const Block* operator->() const { return block_; }
    const Block& operator*() const { return *block_; }
    explicit operator bool() const { return block_ != nullptr; }

  private:
    friend class Block;
    // Takes over the one reference that a new block has.
    explicit BlockPtr(const Block* block) : block_(block) {}

    const Block* block_ = nullptr;
};

class Block {
  public:
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;

    // Null: the content is damaged.
    static BlockPtr make(std::string_view content);

    // The newest entry of `user_key` whose tag is not above `tag`; false: there is none.
    bool find(std::string_view user_key,
              uint64_t tag,
              uint64_t& found_tag,
              std::string_view& value) const;

    uint64_t memory_bytes() const;

  private:
    friend class BlockIterator;
    friend class BlockPtr;

    Block(uint32_t restart_count, uint32_t entries_bytes)
        : restart_count_(restart_count), entries_bytes_(entries_bytes) {}
    ~Block() = default;

    void index_restarts(std::string_view last_user_key);
    static void destroy(const Block* block);
    static size_t bytes_of(size_t restart_count, size_t entries_bytes);

    // Behind the object lie the restart points' words, their offsets, and the entries.
    uint64_t* words() { return reinterpret_cast<uint64_t*>(this + 1); }
    const uint64_t* words() const { return reinterpret_cast<const uint64_t*>(this + 1); }
    uint32_t* restarts() { return reinterpret_cast<uint32_t*>(words() + restart_count_); }
    const uint32_t* restarts() const {
        return reinterpret_cast<const uint32_t*>(words() + restart_count_);
    }
    char* entries() { return reinterpret_cast<char*>(restarts() + restart_count_); }
    const char* entries() const {
        return reinterpret_cast<const char*>(restarts() + restart_count_);
    }

    std::string_view restart_key(uint32_t index) const;
    // The last restart point before an internal key, or the first one.
    uint32_t restart_before(std::string_view user_key, uint64_t tag) const;

    mutable std::atomic<uint32_t> references_ = 1;
    const uint32_t restart_count_;
    const uint32_t entries_bytes_;
    // So many bytes do the user keys of all entries begin with.
    uint32_t prefix_bytes_ = 0;
};

// Not virtual: this is the inner loop of every scan. A default-constructed one is not valid.
class BlockIterator {
  public:
    BlockIterator() = default;
    // Shares the block with the cache, which may drop it meanwhile.
    explicit BlockIterator(BlockPtr block) : block_(std::move(block)) {}
    BlockIterator(const BlockIterator&) = delete;
    BlockIterator& operator=(const BlockIterator&) = delete;

    // Goes on to another block, keeping its buffers.
    void reset(BlockPtr block) {
        block_ = std::move(block);
        valid_ = false;
    }

    bool valid() const { return valid_; }
    void seek_to_first();
    void seek_to_last();
    void seek(std::string_view internal_key);
    void next();
    void previous();
    std::string_view key() const { return key_; }
    std::string_view value() const { return value_; }

  private:
    // An entry of the stretch between two restart points, decoded to go through it backward.
    struct Step {
        uint32_t offset;
        uint32_t next_offset;
        size_t key_begin;
        size_t key_size;
        std::string_view value;
    };

    void go_to_restart(uint32_t index);
    // Reads the entry at next_offset_.
    bool parse_next();
    // Decodes the entries from a restart point up to `end`, and stands on the last of them.
    void decode_stretch(uint32_t index, uint32_t end);
    void show_step();

    BlockPtr block_;
    bool valid_ = false;
    uint32_t offset_ = 0;
    uint32_t next_offset_ = 0;
    // Into the block where the key is whole there, else into one of the two buffers.
    std::string_view key_;
    std::string_view value_;
    std::vector<char> buffer_;
    // Of these the one shown, while going backward.
    size_t step_ = 0;
    std::vector<Step> steps_;
    std::vector<char> step_keys_;
};

inline BlockPtr::BlockPtr(const BlockPtr& other) : block_(other.block_) {
    if (block_ != nullptr) {
        block_->references_.fetch_add(1, std::memory_order_relaxed);
    }
}

inline BlockPtr::~BlockPtr() {
    if (block_ != nullptr && block_->references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
        Block::destroy(block_);
    }
}

}  // namespace starling::storage::lsm
