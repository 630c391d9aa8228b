#include "storage/lsm/table_index.h"

#include <algorithm>

#include "storage/lsm/internal_key.h"
#include "storage/lsm/key_word.h"

namespace starling::storage::lsm {

std::optional<TableIndex> TableIndex::make(BlockPtr block, uint64_t blocks_end) {
    TableIndex index;
    uint64_t next_offset = 0;
    BlockIterator entry(std::move(block));
    for (entry.seek_to_first(); entry.valid(); entry.next()) {
        BlockHandle handle;
        if (!decode_block_handle(entry.value(), handle) || !lies_before(handle, blocks_end) ||
            handle.offset < next_offset || !is_internal_key(entry.key()) ||
            (index.block_count() > 0 &&
             compare_internal(index.last_key(index.block_count() - 1), entry.key()) >= 0)) {
            return std::nullopt;
        }
        next_offset = handle.offset + handle.size + block_trailer_bytes;
        static_assert(block_bytes_max <= UINT32_MAX);
        index.keys_.append(entry.key());
        index.places_.push_back({.offset = handle.offset,
                                 .size = static_cast<uint32_t>(handle.size),
                                 .key_end = static_cast<uint32_t>(index.keys_.size())});
    }
    if (index.block_count() == 0) {
        return std::nullopt;
    }
    index.keys_.shrink_to_fit();
    index.places_.shrink_to_fit();
    const size_t count = index.block_count();
    index.prefix_bytes_ =
        common_prefix(user_key_of(index.last_key(0)), user_key_of(index.last_key(count - 1)));
    index.words_.reserve(count);
    for (size_t i = 0; i < count; ++i) {
        index.words_.push_back(key_word(user_key_of(index.last_key(i)), index.prefix_bytes_));
    }
    return index;
}

std::string_view TableIndex::last_key(size_t index) const {
    const size_t begin = index == 0 ? 0 : places_[index - 1].key_end;
    return std::string_view(keys_).substr(begin, places_[index].key_end - begin);
}

size_t TableIndex::find(std::string_view user_key, uint64_t tag) const {
    const int order =
        user_key.substr(0, prefix_bytes_).compare(last_key(0).substr(0, prefix_bytes_));
    if (order != 0) {
        return order < 0 ? 0 : block_count();
    }
    const uint64_t word = key_word(user_key, prefix_bytes_);
    size_t index = find_word(words_, word);
    // Usually none or one has the same word.
    auto last = index;
    if (index < block_count() && words_[index] == word) {
        last = static_cast<size_t>(
            std::upper_bound(words_.begin() + static_cast<ptrdiff_t>(index), words_.end(), word) -
            words_.begin());
    }
    while (index < last) {
        const size_t middle = index + (last - index) / 2;
        const std::string_view key = last_key(middle);
        if (compare_entries(user_key_of(key), tag_of(key), user_key, tag) < 0) {
            index = middle + 1;
        } else {
            last = middle;
        }
    }
    return index;
}

uint64_t TableIndex::memory_bytes() const {
    return sizeof(TableIndex) + words_.capacity() * sizeof(uint64_t) +
           places_.capacity() * sizeof(Place) + keys_.capacity();
}

}  // namespace starling::storage::lsm
