#include "storage/lsm/block_builder.h"

#include <algorithm>

#include "base/codec.h"

namespace starling::storage::lsm {

void BlockBuilder::add(std::string_view key, std::string_view value) {
    size_t shared = 0;
    if (restarts_.empty() || since_restart_ == restart_interval_) {
        restarts_.push_back(static_cast<uint32_t>(content_.size()));
        since_restart_ = 0;
    } else {
        const size_t limit = std::min(key.size(), last_key_.size());
        while (shared < limit && key[shared] == last_key_[shared]) {
            ++shared;
        }
    }
    base::put_varint(content_, shared);
    base::put_varint(content_, key.size() - shared);
    base::put_varint(content_, value.size());
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
