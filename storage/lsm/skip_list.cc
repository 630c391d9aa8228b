#include "storage/lsm/skip_list.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

namespace starling::storage::lsm {

namespace {

static_assert(std::endian::native == std::endian::little);

// As std::string_view::compare(), for keys that are short and share prefixes.
inline int compare_keys(std::string_view a, std::string_view b) {
    const size_t common = std::min(a.size(), b.size());
    size_t done = 0;
    for (; done + 8 <= common; done += 8) {
        uint64_t word_a;
        uint64_t word_b;
        std::memcpy(&word_a, a.data() + done, 8);
        std::memcpy(&word_b, b.data() + done, 8);
        if (word_a != word_b) {
            return __builtin_bswap64(word_a) < __builtin_bswap64(word_b) ? -1 : 1;
        }
    }
    for (; done < common; ++done) {
        const auto byte_a = static_cast<uint8_t>(a[done]);
        const auto byte_b = static_cast<uint8_t>(b[done]);
        if (byte_a != byte_b) {
            return byte_a < byte_b ? -1 : 1;
        }
    }
    return a.size() == b.size() ? 0 : (a.size() < b.size() ? -1 : 1);
}

inline bool is_before(const SkipList::Node& node, std::string_view user_key, uint64_t tag) {
    const int order = compare_keys(node.user_key(), user_key);
    return order != 0 ? order < 0 : node.tag() > tag;
}

}  // namespace

SkipList::SkipList(Arena& arena)
    : arena_(arena), head_(new_node({}, 0, {}, height_max)), last_inserted_(head_) {
    behind_last_.fill(head_);
}

SkipList::Node* SkipList::new_node(std::string_view user_key,
                                   uint64_t tag,
                                   std::string_view value,
                                   int height) {
    const size_t link_bytes = sizeof(Node::Link) * static_cast<size_t>(height - 1);
    char* const piece =
        arena_.allocate(link_bytes + sizeof(Node) + user_key.size() + tag_bytes + value.size());
    for (int level = 1; level < height; ++level) {
        new (piece + sizeof(Node::Link) * static_cast<size_t>(level - 1)) Node::Link(nullptr);
    }
    Node* const node = new (piece + link_bytes)
        Node(static_cast<uint32_t>(user_key.size()), static_cast<uint32_t>(value.size()));
    char* bytes = node->bytes();
    if (!user_key.empty()) {
        std::memcpy(bytes, user_key.data(), user_key.size());
    }
    std::memcpy(bytes + user_key.size(), &tag, tag_bytes);
    if (!value.empty()) {
        std::memcpy(bytes + user_key.size() + tag_bytes, value.data(), value.size());
    }
    return node;
}

int SkipList::random_height() {
    // One node in four reaches the next level: 12 levels serve 4^12 nodes.
    random_state_ ^= random_state_ << 13;
    random_state_ ^= random_state_ >> 17;
    random_state_ ^= random_state_ << 5;
    int height = 1;
    for (uint32_t bits = random_state_; height < height_max && (bits & 3) == 0; bits >>= 2) {
        ++height;
    }
    return height;
}

bool SkipList::follows_last(std::string_view user_key, uint64_t tag) const {
    if (last_inserted_ != head_ && !is_before(*last_inserted_, user_key, tag)) {
        return false;
    }
    const Node* const next = last_inserted_->link(0).load(std::memory_order_relaxed);
    return next == nullptr || !is_before(*next, user_key, tag);
}

void SkipList::find_places(std::string_view user_key, uint64_t tag, Places& places) const {
    Node* node = head_;
    const Node* compared = nullptr;
    for (int level = height_.load(std::memory_order_relaxed) - 1; level >= 0; --level) {
        for (;;) {
            Node* const next = node->link(level).load(std::memory_order_relaxed);
            // A node that was found to lie beyond on the level above need not be compared again.
            if (next == nullptr || next == compared) {
                break;
            }
            if (level > 0) {
                // Which is looked at next when this one lies beyond.
                __builtin_prefetch(node->link(level - 1).load(std::memory_order_relaxed));
            }
            if (!is_before(*next, user_key, tag)) {
                compared = next;
                break;
            }
            node = next;
        }
        places[static_cast<size_t>(level)] = node;
    }
}

void SkipList::insert(std::string_view user_key, uint64_t tag, std::string_view value) {
    const int height_now = height_.load(std::memory_order_relaxed);
    // Levels that no node has reached stay with the head.
    Places& places = behind_last_;
    if (!follows_last(user_key, tag)) {
        find_places(user_key, tag, places);
    }
    const int height = random_height();
    if (height > height_now) {
        // A reader that sees the new height early finds null links at the head and goes down.
        height_.store(height, std::memory_order_relaxed);
    }
    Node* const fresh = new_node(user_key, tag, value, height);
    for (int level = 0; level < height; ++level) {
        Node*& before = places[static_cast<size_t>(level)];
        fresh->link(level).store(before->link(level).load(std::memory_order_relaxed),
                                 std::memory_order_relaxed);
        before->link(level).store(fresh, std::memory_order_release);
        before = fresh;
    }
    last_inserted_ = fresh;
}

const SkipList::Node* SkipList::seek_before(std::string_view user_key, uint64_t tag) const {
    const Node* node = head_;
    const Node* compared = nullptr;
    for (int level = height_.load(std::memory_order_relaxed) - 1; level >= 0; --level) {
        for (;;) {
            const Node* const next = node->link(level).load(std::memory_order_acquire);
            if (next == nullptr || next == compared) {
                break;
            }
            if (!is_before(*next, user_key, tag)) {
                compared = next;
                break;
            }
            node = next;
        }
    }
    return node == head_ ? nullptr : node;
}

const SkipList::Node* SkipList::seek(std::string_view user_key, uint64_t tag) const {
    const Node* node = seek_before(user_key, tag);
    node = (node == nullptr ? head_ : node)->next();
    // Entries inserted since the descent may lie between.
    while (node != nullptr && is_before(*node, user_key, tag)) {
        node = node->next();
    }
    return node;
}

const SkipList::Node* SkipList::first() const {
    return head_->next();
}

const SkipList::Node* SkipList::last() const {
    const Node* node = head_;
    for (int level = height_.load(std::memory_order_relaxed) - 1; level >= 0; --level) {
        while (const Node* const next = node->link(level).load(std::memory_order_acquire)) {
            node = next;
        }
    }
    return node == head_ ? nullptr : node;
}

}  // namespace starling::storage::lsm
