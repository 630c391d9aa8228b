#pragma once

// The ordered set of entries of a memtable: a skip list in an arena. A node is one piece of memory:
//
//   links of levels h-1 .. 1 | link of level 0 | key size | value size | user key | tag | value
//
// 1. One thread inserts at a time; any number read meanwhile, without locks. A node is complete
// before a
//    release store links it, level 0 first, and it never changes or goes away while the list lives.
// 2. No two nodes have the same user key and tag.

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "storage/lsm/arena.h"
#include "storage/lsm/internal_key.h"

namespace starling::storage::lsm {

class SkipList {
  public:
    class Node;

    explicit SkipList(Arena& arena);
    SkipList(const SkipList&) = delete;
    SkipList& operator=(const SkipList&) = delete;

    void insert(std::string_view user_key, uint64_t tag, std::string_view value);

    // The first node at or after (user_key, tag); null: none.
    const Node* seek(std::string_view user_key, uint64_t tag) const;
    // The last node before (user_key, tag); null: none.
    const Node* seek_before(std::string_view user_key, uint64_t tag) const;
    const Node* first() const;
    const Node* last() const;

  private:
    static constexpr int height_max = 12;

    // Where in each level a node would be linked behind.
    using Places = std::array<Node*, height_max>;

    bool follows_last(std::string_view user_key, uint64_t tag) const;
    void find_places(std::string_view user_key, uint64_t tag, Places& places) const;
    Node* new_node(std::string_view user_key, uint64_t tag, std::string_view value, int height);
    int random_height();

    Arena& arena_;
    Node* const head_;
    std::atomic<int> height_ = 1;
    // Of the one inserting thread. The node inserted last, and what comes before the place behind
    // it in each level: keys that arrive in order need no search.
    Node* last_inserted_;
    Places behind_last_;
    // Of the one inserting thread. Levels need no unpredictable numbers, only spread ones.
    uint32_t random_state_ = 0x9e3779b9;
};

class SkipList::Node {
  public:
    const Node* next() const { return link(0).load(std::memory_order_acquire); }
    std::string_view user_key() const { return {bytes(), key_size_}; }
    // User key and tag.
    std::string_view internal_key() const { return {bytes(), key_size_ + tag_bytes}; }
    std::string_view value() const { return {bytes() + key_size_ + tag_bytes, value_size_}; }
    uint64_t tag() const { return tag_of(internal_key()); }

  private:
    friend class SkipList;
    using Link = std::atomic<Node*>;

    Node(uint32_t key_size, uint32_t value_size) : key_size_(key_size), value_size_(value_size) {}

    // Links of higher levels lie before the node.
    Link& link(int level) { return *(&link_0_ - level); }
    const Link& link(int level) const { return *(&link_0_ - level); }
    const char* bytes() const { return reinterpret_cast<const char*>(this + 1); }
    char* bytes() { return reinterpret_cast<char*>(this + 1); }

    Link link_0_ = nullptr;
    const uint32_t key_size_;
    const uint32_t value_size_;
};

}  // namespace starling::storage::lsm
