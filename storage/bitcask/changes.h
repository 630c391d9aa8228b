#pragma once

// The changes of a batch one by one, with the place of each value: what the key directory is made
// of. Pure functions over bytes.

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "storage/engine.h"

namespace starling::storage::bitcask {

// Where a value lies, and what it is known by.
struct Location {
    uint64_t file = 0;
    uint64_t offset = 0;
    uint32_t size = 0;
    // value_checksum().
    uint32_t checksum = 0;

    friend bool operator==(const Location&, const Location&) = default;
};

enum class ChangeType : uint8_t { put = 1, remove = 2, remove_range = 3 };

struct Change {
    ChangeType type = ChangeType::put;
    uint64_t sequence = 0;
    std::string_view key;
    // Of a range.
    std::string_view end;
    Expiry expiry = never;
    // Of the value of a put; of the others, only the file.
    Location location;
    // The change as it stands in its batch; empty when it comes from a hint.
    std::string_view encoded;
};

// Of the key, too: a value that another key's location points to is damage.
uint32_t value_checksum(std::string_view key, std::string_view value);

// The changes of a batch whose first has sequence `first`, and which stands at `offset` of `file`.
// The views point into `batch`. data_loss.
absl::StatusOr<std::vector<Change>> changes_of(std::string_view batch,
                                               uint64_t first,
                                               uint64_t file,
                                               uint64_t offset);

}  // namespace starling::storage::bitcask
