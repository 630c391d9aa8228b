#include <algorithm>

#include "base/codec.h"
#include "storage/engine.h"

namespace starling::storage {

namespace {

constexpr uint8_t kind_put = 1;
constexpr uint8_t kind_remove = 2;
constexpr uint8_t kind_put_expiring = 3;
constexpr uint8_t kind_remove_range = 4;

// Kind and lengths, at most.
constexpr size_t change_bytes_max = 1 + 3 * 10;

// So that a change is there as a whole or not at all, also when there is no memory left.
void make_room(std::string& representation, size_t first, size_t second = 0) {
    representation.reserve(representation.size() + change_bytes_max + first + second);
}

absl::Status damaged() {
    return absl::DataLossError("a batch of changes is damaged");
}

}  // namespace

void WriteBatch::put(std::string_view key, std::string_view value) {
    make_room(representation_, key.size(), value.size());
    base::put_u8(representation_, kind_put);
    base::put_bytes(representation_, key);
    base::put_bytes(representation_, value);
    ++count_;
}

void WriteBatch::put(std::string_view key, std::string_view value, base::WallTime expiry) {
    make_room(representation_, key.size(), value.size());
    base::put_u8(representation_, kind_put_expiring);
    base::put_bytes(representation_, key);
    // A time before 1970 has passed, too; 0 would mean never.
    base::put_varint(representation_, std::max<Expiry>(base::to_unix_ms(expiry), 1));
    base::put_bytes(representation_, value);
    ++count_;
}

void WriteBatch::remove(std::string_view key) {
    make_room(representation_, key.size());
    base::put_u8(representation_, kind_remove);
    base::put_bytes(representation_, key);
    ++count_;
}

void WriteBatch::remove_range(std::string_view begin, std::string_view end) {
    make_room(representation_, begin.size(), end.size());
    base::put_u8(representation_, kind_remove_range);
    base::put_bytes(representation_, begin);
    base::put_bytes(representation_, end);
    ++count_;
    ++range_removal_count_;
}

void WriteBatch::clear() {
    representation_.clear();
    count_ = 0;
    range_removal_count_ = 0;
}

void WriteBatch::append(const WriteBatch& other) {
    representation_.append(other.representation_);
    count_ += other.count_;
    range_removal_count_ += other.range_removal_count_;
}

absl::Status WriteBatch::replay(std::string_view representation, Handler& handler) {
    base::Reader reader(representation);
    while (!reader.finished()) {
        const uint8_t kind = reader.u8();
        const std::string_view key = reader.bytes();
        Expiry expiry = never;
        if (kind == kind_put_expiring) {
            expiry = reader.varint();
        }
        const std::string_view rest = kind == kind_remove ? std::string_view() : reader.bytes();
        if (reader.failed() ||
            (kind == kind_put_expiring && (expiry == never || expiry > expiry_max))) {
            return damaged();
        }
        switch (kind) {
            case kind_put:
            case kind_put_expiring:
                handler.put(key, rest, expiry);
                break;
            case kind_remove:
                handler.remove(key);
                break;
            case kind_remove_range:
                handler.remove_range(key, rest);
                break;
            default:
                return damaged();
        }
    }
    return absl::OkStatus();
}

}  // namespace starling::storage
