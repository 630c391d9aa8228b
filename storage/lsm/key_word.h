#pragma once

// Searching compares eight bytes of a key at once, as one number that lies in an array of its own:
// most steps of a search then touch neither the key nor a function call.

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace starling::storage::lsm {

static_assert(std::endian::native == std::endian::little);

// The eight bytes of `user_key` after its first `skip`, the first one highest, zeros where the key
// ends. Keys that agree in their first `skip` bytes order as their words do, unless those are
// equal.
inline uint64_t key_word(std::string_view user_key, size_t skip) {
    uint64_t word = 0;
    if (user_key.size() >= skip + sizeof(word)) [[likely]] {
        std::memcpy(&word, user_key.data() + skip, sizeof(word));
    } else if (user_key.size() > skip) {
        std::memcpy(&word, user_key.data() + skip, user_key.size() - skip);
    }
    return __builtin_bswap64(word);
}

// The first of ascending words that is not below `word`; their count: none. REQUIRES: not empty.
inline size_t find_word(std::span<const uint64_t> words, uint64_t word) {
    // The step is chosen without a jump, which no processor could foresee.
    const uint64_t* base = words.data();
    for (size_t count = words.size(); count > 1;) {
        const size_t half = count / 2;
        base = base[half - 1] < word ? base + half : base;
        count -= half;
    }
    return static_cast<size_t>(base - words.data()) + (*base < word ? 1 : 0);
}

inline size_t common_prefix(std::string_view a, std::string_view b) {
    const size_t limit = a.size() < b.size() ? a.size() : b.size();
    size_t size = 0;
    while (size < limit && a[size] == b[size]) {
        ++size;
    }
    return size;
}

}  // namespace starling::storage::lsm
