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

struct ValueView {
    std::string_view value;
    Expiry expiry = never;
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

// nullopt: too short to be what `kind` says. REQUIRES: not a removal.
inline std::optional<ValueView> view_value(ChangeKind kind, std::string_view stored) {
    if (kind == ChangeKind::put) {
        return ValueView{.value = stored};
    }
    if (stored.size() < expiry_bytes) {
        return std::nullopt;
    }
    ValueView view{.value = stored.substr(expiry_bytes)};
    std::memcpy(&view.expiry, stored.data(), expiry_bytes);
    return view;
}

}  // namespace starling::storage::lsm
