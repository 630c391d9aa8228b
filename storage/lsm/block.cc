#include "storage/lsm/block.h"

#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "storage/lsm/internal_key.h"

namespace starling::storage::lsm {

namespace {

uint32_t load_u32(const char* at) {
    uint32_t value;
    std::memcpy(&value, at, sizeof(value));
    return value;
}

// Faster than base::Reader for the one-byte lengths that nearly all entries have.
const char* read_varint32(const char* at, const char* end, uint32_t& value) {
    if (at < end && (static_cast<uint8_t>(*at) & 0x80) == 0) [[likely]] {
        value = static_cast<uint8_t>(*at);
        return at + 1;
    }
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

struct EntryHeader {
    uint32_t shared = 0;
    uint32_t unshared = 0;
    uint32_t value_size = 0;
};

// Null: does not fit before `end`.
const char* read_entry_header(const char* at, const char* end, EntryHeader& header) {
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

}  // namespace

Block::Block(std::string content, std::string where, uint32_t restart_count, size_t entries_end)
    : content_(std::move(content)),
      where_(std::move(where)),
      restart_count_(restart_count),
      entries_end_(entries_end) {}

absl::StatusOr<std::shared_ptr<const Block>> Block::make(std::string content, std::string where) {
    const auto damaged = [&where] {
        return absl::DataLossError(fmt::format("{}: a block is damaged", where));
    };
    if (content.size() < 8) {
        return damaged();
    }
    const uint32_t count = load_u32(content.data() + content.size() - 4);
    if (count == 0 || count > content.size() / 4 - 1) {
        return damaged();
    }
    const size_t entries_end = content.size() - 4 - size_t{count} * 4;
    return std::shared_ptr<const Block>(
        new Block(std::move(content), std::move(where), count, entries_end));
}

uint32_t Block::restart(uint32_t index) const {
    return load_u32(content_.data() + entries_end_ + size_t{index} * 4);
}

void BlockIterator::damaged() {
    valid_ = false;
    status_ = absl::DataLossError(fmt::format("{}: a block is damaged", block_->where_));
}

void BlockIterator::go_to_restart(uint32_t index) {
    restart_index_ = index;
    next_offset_ = block_->restart(index);
    key_.clear();
}

bool BlockIterator::parse_next() {
    valid_ = false;
    if (next_offset_ >= block_->entries_end_) {
        if (next_offset_ > block_->entries_end_) {
            damaged();
        }
        return false;
    }
    const char* const begin = block_->content_.data();
    EntryHeader header;
    const char* const key =
        read_entry_header(begin + next_offset_, begin + block_->entries_end_, header);
    if (key == nullptr || header.shared > key_.size()) {
        damaged();
        return false;
    }
    key_.resize(header.shared);
    key_.append(key, header.unshared);
    if (!is_internal_key(key_)) {
        damaged();
        return false;
    }
    value_ = {key + header.unshared, header.value_size};
    offset_ = next_offset_;
    next_offset_ = static_cast<size_t>(key - begin) + header.unshared + header.value_size;
    while (restart_index_ + 1 < block_->restart_count_ &&
           block_->restart(restart_index_ + 1) <= offset_) {
        ++restart_index_;
    }
    valid_ = true;
    return true;
}

bool BlockIterator::restart_key(uint32_t index, std::string_view& key) {
    const uint32_t offset = block_->restart(index);
    const char* const begin = block_->content_.data();
    EntryHeader header;
    if (offset >= block_->entries_end_) {
        damaged();
        return false;
    }
    const char* const at = read_entry_header(begin + offset, begin + block_->entries_end_, header);
    if (at == nullptr || header.shared != 0 || !is_internal_key({at, header.unshared})) {
        damaged();
        return false;
    }
    key = {at, header.unshared};
    return true;
}

void BlockIterator::seek_to_first() {
    status_ = absl::OkStatus();
    go_to_restart(0);
    parse_next();
}

void BlockIterator::seek_to_last() {
    status_ = absl::OkStatus();
    go_to_restart(block_->restart_count_ - 1);
    while (parse_next() && next_offset_ < block_->entries_end_) {
    }
}

void BlockIterator::seek(std::string_view internal_key) {
    status_ = absl::OkStatus();
    valid_ = false;
    uint32_t low = 0;
    uint32_t high = block_->restart_count_ - 1;
    // The last restart point before the target.
    while (low < high) {
        const uint32_t middle = low + (high - low + 1) / 2;
        std::string_view key;
        if (!restart_key(middle, key)) {
            return;
        }
        if (compare_internal(key, internal_key) < 0) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    go_to_restart(low);
    while (parse_next() && compare_internal(key_, internal_key) < 0) {
    }
}

void BlockIterator::next() {
    parse_next();
}

void BlockIterator::previous() {
    const size_t before = offset_;
    uint32_t index = restart_index_;
    while (block_->restart(index) >= before) {
        if (index == 0) {
            valid_ = false;
            return;
        }
        --index;
    }
    go_to_restart(index);
    while (parse_next() && next_offset_ < before) {
    }
}

}  // namespace starling::storage::lsm
