#pragma once

// Inside the engine each change of a key is an entry of its own: its *internal key* is the user's
// key followed by eight bytes, little-endian: sequence << 8 | kind. Entries order by user key, then
// newest first, so the first entry at or after (key, sequence) is what a reader at that sequence
// sees.

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/check.h"
#include "storage/log/log_start.h"

namespace starling::storage::lsm {

enum class ChangeKind : uint8_t {
    remove = 0,
    put = 1,
    // The value follows its expiry, 8 bytes.
    put_expiring = 2,
    // The value lies in a value file; a pointer to it stands in its place.
    put_separate = 3,
};
inline constexpr uint8_t change_kind_max = 3;

inline constexpr size_t tag_bytes = 8;

constexpr uint64_t make_tag(Sequence sequence, ChangeKind kind) {
    return sequence << 8 | static_cast<uint64_t>(kind);
}
// The tag that orders before all entries of a key that a reader at `sequence` may see, or equals
// the first.
constexpr uint64_t seek_tag(Sequence sequence) {
    return sequence << 8 | 0xff;
}

constexpr Sequence sequence_of_tag(uint64_t tag) {
    return tag >> 8;
}
constexpr ChangeKind kind_of_tag(uint64_t tag) {
    return static_cast<ChangeKind>(tag & 0xff);
}

// REQUIRES of what follows: internal keys, so at least 8 bytes; decoders check that.
inline std::string_view user_key_of(std::string_view internal_key) {
    return internal_key.substr(0, internal_key.size() - tag_bytes);
}
inline uint64_t tag_of(std::string_view internal_key) {
    uint64_t tag;
    std::memcpy(&tag, internal_key.data() + internal_key.size() - tag_bytes, tag_bytes);
    return tag;
}

inline void append_tag(std::string& out, uint64_t tag) {
    char raw[tag_bytes];
    std::memcpy(raw, &tag, tag_bytes);
    out.append(raw, tag_bytes);
}
inline void append_internal_key(std::string& out, std::string_view user_key, uint64_t tag) {
    out.append(user_key);
    append_tag(out, tag);
}
inline std::string make_internal_key(std::string_view user_key, uint64_t tag) {
    std::string key;
    key.reserve(user_key.size() + tag_bytes);
    append_internal_key(key, user_key, tag);
    return key;
}

// Negative, 0 or positive.
inline int compare_entries(std::string_view user_key_a,
                           uint64_t tag_a,
                           std::string_view user_key_b,
                           uint64_t tag_b) {
    const int order = user_key_a.compare(user_key_b);
    if (order != 0) {
        return order;
    }
    return tag_a == tag_b ? 0 : (tag_a > tag_b ? -1 : 1);
}
inline int compare_internal(std::string_view a, std::string_view b) {
    return compare_entries(user_key_of(a), tag_of(a), user_key_of(b), tag_of(b));
}

// Bytes from a file: an internal key with a known kind.
inline bool is_internal_key(std::string_view bytes) {
    return bytes.size() >= tag_bytes && (tag_of(bytes) & 0xff) <= change_kind_max;
}

}  // namespace starling::storage::lsm
