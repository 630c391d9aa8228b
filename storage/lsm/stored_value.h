#pragma once

// How a value lies in memtables and tables, by the kind of its change (docs/formats/table.md).

#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "storage/engine.h"
#include "storage/lsm/internal_key.h"

namespace starling::storage::lsm {

inline constexpr size_t expiry_bytes = 8;

// What a source holds of a key: the newest change that a reader may see.
struct FoundEntry {
    uint64_t tag = 0;
    // As stored.
    std::string value;
};

// Checksum and size, before each value in a value file.
inline constexpr size_t value_record_bytes = 8;

// Where a separate value is.
struct ValuePointer {
    Expiry expiry = never;
    uint64_t file = 0;
    uint64_t offset = 0;
    uint32_t size = 0;

    uint64_t record_bytes() const { return value_record_bytes + size; }
};
inline constexpr size_t value_pointer_bytes = 28;

inline std::string encode_value_pointer(const ValuePointer& pointer) {
    std::string stored(value_pointer_bytes, '\0');
    std::memcpy(stored.data(), &pointer.expiry, 8);
    std::memcpy(stored.data() + 8, &pointer.file, 8);
    std::memcpy(stored.data() + 16, &pointer.offset, 8);
    std::memcpy(stored.data() + 24, &pointer.size, 4);
    return stored;
}

inline std::optional<ValuePointer> decode_value_pointer(std::string_view stored) {
    if (stored.size() != value_pointer_bytes) {
        return std::nullopt;
    }
    ValuePointer pointer;
    std::memcpy(&pointer.expiry, stored.data(), 8);
    std::memcpy(&pointer.file, stored.data() + 8, 8);
    std::memcpy(&pointer.offset, stored.data() + 16, 8);
    std::memcpy(&pointer.size, stored.data() + 24, 4);
    return pointer;
}

struct ValueView {
    // Of a separate value: its pointer.
    std::string_view value;
    Expiry expiry = never;
    bool is_separate = false;
};

inline ChangeKind put_kind(Expiry expiry) {
    return expiry == never ? ChangeKind::put : ChangeKind::put_expiring;
}

inline std::string with_expiry(std::string_view value, Expiry expiry) {
    std::string stored(expiry_bytes, '\0');
    std::memcpy(stored.data(), &expiry, expiry_bytes);
    stored.append(value);
    return stored;
}

// nullopt: not of a size to be what `kind` says, or an expiry that none can be. REQUIRES: not a
// removal.
inline std::optional<ValueView> view_value(ChangeKind kind, std::string_view stored) {
    if (kind == ChangeKind::put) {
        return ValueView{.value = stored};
    }
    const bool is_separate = kind == ChangeKind::put_separate;
    if (stored.size() < expiry_bytes || (is_separate && stored.size() != value_pointer_bytes)) {
        return std::nullopt;
    }
    ValueView view{.value = is_separate ? stored : stored.substr(expiry_bytes),
                   .is_separate = is_separate};
    std::memcpy(&view.expiry, stored.data(), expiry_bytes);
    if (view.expiry > expiry_max) {
        return std::nullopt;
    }
    return view;
}

}  // namespace starling::storage::lsm
