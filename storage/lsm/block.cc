#include "storage/lsm/block.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <string>

#include "absl/base/config.h"

#include "storage/lsm/block_memory.h"
#include "storage/lsm/internal_key.h"
#include "storage/lsm/key_word.h"

namespace starling::storage::lsm {

namespace {

uint32_t load_u32(const char* at) {
    uint32_t value;
    std::memcpy(&value, at, sizeof(value));
    return value;
}

struct EntryHeader {
    uint32_t shared = 0;
    uint32_t unshared = 0;
    uint32_t value_size = 0;
};

// Null: does not end before `end`.
const char* read_varint32(const char* at, const char* end, uint32_t& value) {
    uint64_t result = 0;
    for (int shift = 0; shift <= 28 && at < end; shift += 7) {
        const auto byte = static_cast<uint8_t>(*at++);
        result |= static_cast<uint64_t>(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            value = static_cast<uint32_t>(result);
            return result <= UINT32_MAX ? at : nullptr;
        }
    }
    return nullptr;
}

// Null: does not fit before `end`.
const char* check_entry_header(const char* at, const char* end, EntryHeader& header) {
    at = read_varint32(at, end, header.shared);
    if (at != nullptr) {
        at = read_varint32(at, end, header.unshared);
    }
    if (at != nullptr) {
        at = read_varint32(at, end, header.value_size);
    }
    if (at == nullptr ||
        static_cast<uint64_t>(end - at) < uint64_t{header.unshared} + header.value_size) {
        return nullptr;
    }
    return at;
}

// Of an entry that was checked.
inline const char* read_entry_header(const char* at, EntryHeader& header) {
    const auto shared = static_cast<uint8_t>(at[0]);
    const auto unshared = static_cast<uint8_t>(at[1]);
    const auto value_size = static_cast<uint8_t>(at[2]);
    if ((shared | unshared | value_size) < 0x80) [[likely]] {
        header = {.shared = shared, .unshared = unshared, .value_size = value_size};
        return at + 3;
    }
    if ((shared | unshared) < 0x80) {
        header.shared = shared;
        header.unshared = unshared;
        return read_varint32(at + 2, at + 7, header.value_size);
    }
    at = read_varint32(at, at + 5, header.shared);
    at = read_varint32(at, at + 5, header.unshared);
    return read_varint32(at, at + 5, header.value_size);
}

// Walks through all entries. False: something does not fit.
bool check_entries(std::string_view entries,
                   const char* restarts,
                   uint32_t restart_count,
                   std::string& last_key) {
    const char* const begin = entries.data();
    const char* const end = begin + entries.size();
    uint32_t restart = 0;
    for (const char* at = begin; at < end;) {
        const auto offset = static_cast<uint32_t>(at - begin);
        EntryHeader header;
        at = check_entry_header(at, end, header);
        if (at == nullptr || header.shared > last_key.size()) {
            return false;
        }
        if (restart < restart_count && load_u32(restarts + size_t{restart} * 4) == offset) {
            if (header.shared != 0) {
                return false;
            }
            ++restart;
        } else if (offset == 0) {
            return false;
        }
        last_key.resize(header.shared);
        last_key.append(at, header.unshared);
        if (!is_internal_key(last_key)) {
            return false;
        }
        at += header.unshared + size_t{header.value_size};
    }
    return restart == restart_count;
}

constexpr size_t restart_bytes = sizeof(uint64_t) + sizeof(uint32_t);

// A sanitizer sees what lies beyond a block, or is gone, only in memory of the general allocator.
#if defined(ABSL_HAVE_ADDRESS_SANITIZER)
constexpr bool has_own_memory = false;
#else
constexpr bool has_own_memory = true;
#endif

void* take_memory(size_t bytes) {
    return has_own_memory ? BlockMemory::shared().take(bytes) : ::operator new(bytes);
}

void give_memory_back(void* memory, size_t bytes) {
    if (has_own_memory) {
        BlockMemory::shared().give_back(memory, bytes);
    } else {
        ::operator delete(memory);
    }
}

}  // namespace

BlockPtr Block::make(std::string_view content) {
    if (content.size() < 8 || content.size() > UINT32_MAX) {
        return {};
    }
    const uint32_t count = load_u32(content.data() + content.size() - 4);
    if (count == 0 || count > content.size() / 4 - 1) {
        return {};
    }
    const std::string_view entries = content.substr(0, content.size() - 4 - size_t{count} * 4);
    const char* const restarts = entries.data() + entries.size();
    std::string last_key;
    if (!check_entries(entries, restarts, count, last_key)) {
        return {};
    }
    void* const memory = take_memory(bytes_of(count, entries.size()));
    auto* const block = new (memory) Block(count, static_cast<uint32_t>(entries.size()));
    std::memcpy(block->restarts(), restarts, size_t{count} * 4);
    std::memcpy(block->entries(), entries.data(), entries.size());
    block->index_restarts(user_key_of(last_key));
    return BlockPtr(block);
}

void Block::index_restarts(std::string_view last_user_key) {
    prefix_bytes_ =
        static_cast<uint32_t>(common_prefix(user_key_of(restart_key(0)), last_user_key));
    for (uint32_t i = 0; i < restart_count_; ++i) {
        words()[i] = key_word(user_key_of(restart_key(i)), prefix_bytes_);
    }
}

void Block::destroy(const Block* block) {
    const size_t bytes = bytes_of(block->restart_count_, block->entries_bytes_);
    block->~Block();
    give_memory_back(const_cast<Block*>(block), bytes);
}

size_t Block::bytes_of(size_t restart_count, size_t entries_bytes) {
    return sizeof(Block) + restart_count * restart_bytes + entries_bytes;
}

uint64_t Block::memory_bytes() const {
    return BlockMemory::piece_bytes(bytes_of(restart_count_, entries_bytes_));
}

std::string_view Block::restart_key(uint32_t index) const {
    EntryHeader header;
    const char* const key = read_entry_header(entries() + restarts()[index], header);
    return {key, header.unshared};
}

uint32_t Block::restart_before(std::string_view user_key, uint64_t tag) const {
    const int order =
        user_key.substr(0, prefix_bytes_).compare(restart_key(0).substr(0, prefix_bytes_));
    if (order != 0) {
        return order < 0 ? 0 : restart_count_ - 1;
    }
    const uint64_t word = key_word(user_key, prefix_bytes_);
    const auto before = [&](uint32_t index) {
        const uint64_t other = words()[index];
        if (other != word) {
            return other < word;
        }
        const std::string_view key = restart_key(index);
        return compare_entries(user_key_of(key), tag_of(key), user_key, tag) < 0;
    };
    uint32_t low = 0;
    uint32_t high = restart_count_ - 1;
    while (low < high) {
        const uint32_t middle = low + (high - low + 1) / 2;
        if (before(middle)) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

// Entries before the target are passed by their headers alone where that can be told: one that
// shares more with its predecessor than the target does lies on the same side of the target.
bool Block::find(std::string_view user_key,
                 uint64_t tag,
                 uint64_t& found_tag,
                 std::string_view& value) const {
    const char* at = entries() + restarts()[restart_before(user_key, tag)];
    const char* const end = entries() + entries_bytes_;
    // Of the entry before: how many bytes of its user key equal the target's, and its size.
    size_t matched = 0;
    size_t size_before = 0;
    while (at < end) {
        EntryHeader header;
        const char* const key = read_entry_header(at, header);
        const size_t size = size_t{header.shared} + header.unshared - tag_bytes;
        const size_t shared = std::min({size_t{header.shared}, size_before, size});
        at = key + header.unshared + header.value_size;
        size_before = size;
        if (shared > matched) {
            continue;
        }
        if (header.shared > shared) {
            // Bytes of the tag before are part of this key: seldom, and not worth doing fast.
            BlockIterator iterator;
            references_.fetch_add(1, std::memory_order_relaxed);
            iterator.reset(BlockPtr(this));
            iterator.seek(make_internal_key(user_key, tag));
            if (!iterator.valid() || user_key_of(iterator.key()) != user_key) {
                return false;
            }
            found_tag = tag_of(iterator.key());
            value = iterator.value();
            return true;
        }
        const std::string_view rest(key, size - shared);
        const std::string_view wanted = user_key.substr(shared);
        const size_t same = common_prefix(rest, wanted);
        matched = shared + same;
        if (same < rest.size()) {
            if (same == wanted.size() ||
                static_cast<uint8_t>(rest[same]) > static_cast<uint8_t>(wanted[same])) {
                return false;
            }
            continue;
        }
        if (same < wanted.size()) {
            continue;
        }
        found_tag = tag_of({key, header.unshared});
        if (found_tag <= tag) {
            value = {key + header.unshared, header.value_size};
            return true;
        }
    }
    return false;
}

void BlockIterator::go_to_restart(uint32_t index) {
    next_offset_ = block_->restarts()[index];
    key_ = {};
}

bool BlockIterator::parse_next() {
    steps_.clear();
    if (next_offset_ >= block_->entries_bytes_) {
        valid_ = false;
        return false;
    }
    const char* const entries = block_->entries();
    EntryHeader header;
    const char* const key = read_entry_header(entries + next_offset_, header);
    if (header.shared == 0) {
        key_ = {key, header.unshared};
    } else {
        const size_t size = size_t{header.shared} + header.unshared;
        if (buffer_.size() < size) [[unlikely]] {
            std::vector<char> larger(2 * size);
            std::memcpy(larger.data(), key_.data(), header.shared);
            buffer_.swap(larger);
        } else if (key_.data() != buffer_.data()) {
            std::memcpy(buffer_.data(), key_.data(), header.shared);
        }
        std::memcpy(buffer_.data() + header.shared, key, header.unshared);
        key_ = {buffer_.data(), size};
    }
    value_ = {key + header.unshared, header.value_size};
    offset_ = next_offset_;
    next_offset_ = static_cast<uint32_t>(key - entries) + header.unshared + header.value_size;
    valid_ = true;
    return true;
}

void BlockIterator::seek_to_first() {
    go_to_restart(0);
    parse_next();
}

void BlockIterator::seek_to_last() {
    decode_stretch(block_->restart_count_ - 1, block_->entries_bytes_);
}

void BlockIterator::seek(std::string_view internal_key) {
    const std::string_view user_key = user_key_of(internal_key);
    const uint64_t tag = tag_of(internal_key);
    go_to_restart(block_->restart_before(user_key, tag));
    while (parse_next() && compare_entries(user_key_of(key_), tag_of(key_), user_key, tag) < 0) {
    }
}

void BlockIterator::next() {
    parse_next();
}

void BlockIterator::previous() {
    if (step_ > 0 && !steps_.empty()) {
        --step_;
        show_step();
        return;
    }
    if (offset_ == 0) {
        valid_ = false;
        return;
    }
    const uint32_t* const begin = block_->restarts();
    const uint32_t* const reached =
        std::lower_bound(begin, begin + block_->restart_count_, offset_);
    decode_stretch(static_cast<uint32_t>(reached - begin) - 1, offset_);
}

void BlockIterator::decode_stretch(uint32_t index, uint32_t end) {
    steps_.clear();
    step_keys_.clear();
    const char* const entries = block_->entries();
    uint32_t offset = block_->restarts()[index];
    size_t begin_before = 0;
    while (offset < end) {
        EntryHeader header;
        const char* const key = read_entry_header(entries + offset, header);
        const size_t begin = step_keys_.size();
        const size_t size = size_t{header.shared} + header.unshared;
        step_keys_.resize(begin + size);
        std::memcpy(step_keys_.data() + begin, step_keys_.data() + begin_before, header.shared);
        std::memcpy(step_keys_.data() + begin + header.shared, key, header.unshared);
        const char* const value = key + header.unshared;
        const auto next = static_cast<uint32_t>(value - entries) + header.value_size;
        steps_.push_back({.offset = offset,
                          .next_offset = next,
                          .key_begin = begin,
                          .key_size = size,
                          .value = {value, header.value_size}});
        begin_before = begin;
        offset = next;
    }
    step_ = steps_.size() - 1;
    valid_ = true;
    show_step();
}

void BlockIterator::show_step() {
    const Step& step = steps_[step_];
    key_ = {step_keys_.data() + step.key_begin, step.key_size};
    value_ = step.value;
    offset_ = step.offset;
    next_offset_ = step.next_offset;
}

}  // namespace starling::storage::lsm
