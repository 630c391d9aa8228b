#include "storage/lsm/block_builder.h"

#include <algorithm>
#include <cstddef>

#include "base/codec.h"

namespace starling::storage::lsm {

// Nearly all of them take one byte.
void BlockBuilder::append_sizes(size_t shared, size_t unshared, size_t value) {
    if ((shared | unshared | value) < 0x80) [[likely]] {
        const char sizes[] = {
            static_cast<char>(shared), static_cast<char>(unshared), static_cast<char>(value)};
        content_.append(sizes, sizeof(sizes));
        return;
    }
    base::put_varint(content_, shared);
    base::put_varint(content_, unshared);
    base::put_varint(content_, value);
}

void BlockBuilder::add(std::string_view key, std::string_view value) {
    size_t shared = 0;
    if (restarts_.empty() || since_restart_ == restart_interval_) {
        restarts_.push_back(static_cast<uint32_t>(content_.size()));
        since_restart_ = 0;
    } else {
        const size_t limit = std::min(key.size(), last_key_.size());
        shared = static_cast<size_t>(std::mismatch(key.begin(),
                                                   key.begin() + static_cast<std::ptrdiff_t>(limit),
                                                   last_key_.begin())
                                         .first -
                                     key.begin());
    }
    append_sizes(shared, key.size() - shared, value.size());
    content_.append(key.substr(shared));
    content_.append(value);
    last_key_.resize(shared);
    last_key_.append(key.substr(shared));
    ++since_restart_;
}

std::string_view BlockBuilder::finish() {
    for (const uint32_t restart : restarts_) {
        base::put_u32(content_, restart);
    }
    base::put_u32(content_, static_cast<uint32_t>(restarts_.size()));
    return content_;
}

void BlockBuilder::reset() {
    content_.clear();
    restarts_.clear();
    since_restart_ = 0;
    last_key_.clear();
}

}  // namespace starling::storage::lsm
