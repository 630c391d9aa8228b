#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "storage/engine.h"
#include "storage/lsm/internal_key.h"

namespace starling::storage::lsm {

// What the manifest knows of a table: enough to decide whether a key can be in it without touching
// the file.
struct TableMetadata {
    uint64_t number = 0;
    uint64_t file_bytes = 0;
    uint64_t entry_count = 0;
    uint64_t removal_count = 0;
    // Of all entries. 0 and sequence_max: unknown, of a table of format 1.
    Sequence smallest_sequence = 0;
    Sequence largest_sequence = sequence_max;
    // The latest of all entries, or `never`: some entry does not expire.
    Expiry latest_expiry = never;
    // Value files it points into, ascending, and the bytes of the records there.
    struct ValueReference {
        uint64_t file = 0;
        uint64_t bytes = 0;
    };
    std::vector<ValueReference> value_references;
    // Internal keys of the first and the last entry.
    std::string smallest;
    std::string largest;

    std::string_view smallest_user_key() const { return user_key_of(smallest); }
    std::string_view largest_user_key() const { return user_key_of(largest); }
    bool covers(std::string_view user_key) const {
        return smallest_user_key() <= user_key && user_key <= largest_user_key();
    }
    bool overlaps(std::string_view first, std::string_view last) const {
        return smallest_user_key() <= last && first <= largest_user_key();
    }
};

}  // namespace starling::storage::lsm
