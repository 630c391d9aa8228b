#include "storage/lsm/skip_list.h"

#include <cstring>
#include <new>

namespace starling::storage::lsm {

SkipList::SkipList(Arena& arena) : arena_(arena), head_(new_node({}, 0, {}, height_max)) {}

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

void SkipList::insert(std::string_view user_key, uint64_t tag, std::string_view value) {
    Node* previous[height_max];
    const int height_now = height_.load(std::memory_order_relaxed);
    Node* node = head_;
    const Node* compared = nullptr;
    for (int level = height_now - 1; level >= 0; --level) {
        for (;;) {
            Node* const next = node->link(level).load(std::memory_order_relaxed);
            // A node that was found to lie beyond on the level above need not be compared again.
            if (next == nullptr || next == compared) {
                break;
            }
            if (compare_entries(next->user_key(), next->tag(), user_key, tag) >= 0) {
                compared = next;
                break;
            }
            node = next;
        }
        previous[level] = node;
    }
    const int height = random_height();
    for (int level = height_now; level < height; ++level) {
        previous[level] = head_;
    }
    if (height > height_now) {
        // A reader that sees the new height early finds null links at the head and goes down.
        height_.store(height, std::memory_order_relaxed);
    }
    Node* const fresh = new_node(user_key, tag, value, height);
    for (int level = 0; level < height; ++level) {
        fresh->link(level).store(previous[level]->link(level).load(std::memory_order_relaxed),
                                 std::memory_order_relaxed);
        previous[level]->link(level).store(fresh, std::memory_order_release);
    }
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
            if (compare_entries(next->user_key(), next->tag(), user_key, tag) >= 0) {
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
    while (node != nullptr && compare_entries(node->user_key(), node->tag(), user_key, tag) < 0) {
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
