#include "base/codec.h"
#include "storage/engine.h"

namespace starling::storage {

namespace {

constexpr uint8_t kind_put = 1;
constexpr uint8_t kind_remove = 2;

}  // namespace

void WriteBatch::put(std::string_view key, std::string_view value) {
    base::put_u8(representation_, kind_put);
    base::put_bytes(representation_, key);
    base::put_bytes(representation_, value);
    ++count_;
}

void WriteBatch::remove(std::string_view key) {
    base::put_u8(representation_, kind_remove);
    base::put_bytes(representation_, key);
    ++count_;
}

void WriteBatch::clear() {
    representation_.clear();
    count_ = 0;
}

void WriteBatch::append(const WriteBatch& other) {
    representation_.append(other.representation_);
    count_ += other.count_;
}

absl::Status WriteBatch::replay(std::string_view representation, Handler& handler) {
    base::Reader reader(representation);
    while (!reader.finished()) {
        const uint8_t kind = reader.u8();
        const std::string_view key = reader.bytes();
        const std::string_view value = kind == kind_put ? reader.bytes() : std::string_view();
        if (reader.failed() || (kind != kind_put && kind != kind_remove)) {
            return absl::DataLossError("a batch of changes is damaged");
        }
        if (kind == kind_put) {
            handler.put(key, value);
        } else {
            handler.remove(key);
        }
    }
    return absl::OkStatus();
}

}  // namespace starling::storage
