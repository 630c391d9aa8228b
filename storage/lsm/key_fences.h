#pragma once

// Ascending keys, of which a search wants the first that is not before another: of the sorted
// tables of a level, their last keys. A search compares words of keys (key_word.h), which lie close
// together, and looks at a key itself only where words are equal. Never changes once it is made.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "storage/lsm/key_word.h"

namespace starling::storage::lsm {

class KeyFences {
  public:
    KeyFences() = default;
    // `key_at(index)`: the index-th of `count` user keys, each greater than the one before.
    template <typename KeyAt>
    KeyFences(size_t count, const KeyAt& key_at) {
        if (count == 0) {
            return;
        }
        const std::string_view first = key_at(0);
        prefix_ = first.substr(0, common_prefix(first, key_at(count - 1)));
        words_.reserve(count);
        for (size_t i = 0; i < count; ++i) {
            words_.push_back(key_word(key_at(i), prefix_.size()));
        }
    }

    // The first of the keys that is not before `user_key`; their count: none. REQUIRES: `key_at` as
    // in the constructor.
    template <typename KeyAt>
    size_t find(std::string_view user_key, const KeyAt& key_at) const {
        const int order = user_key.substr(0, prefix_.size()).compare(prefix_);
        if (order != 0 || words_.empty()) {
            return order < 0 ? 0 : words_.size();
        }
        const uint64_t word = key_word(user_key, prefix_.size());
        size_t index = find_word(words_, word);
        if (index == words_.size() || words_[index] != word) {
            return index;
        }
        auto last = static_cast<size_t>(
            std::upper_bound(words_.begin() + static_cast<ptrdiff_t>(index), words_.end(), word) -
            words_.begin());
        while (index < last) {
            const size_t middle = index + (last - index) / 2;
            if (key_at(middle) < user_key) {
                index = middle + 1;
            } else {
                last = middle;
            }
        }
        return index;
    }

  private:
    // All keys begin with it.
    std::string prefix_;
    std::vector<uint64_t> words_;
};

}  // namespace starling::storage::lsm
