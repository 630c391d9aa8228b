#include "node/replica/tombstone_counts.h"

namespace starling::node {

namespace {

constexpr uint64_t ms_per_second = 1000;

}  // namespace

void TombstoneCounts::add(uint64_t created_ms) {
    const uint64_t second = created_ms / ms_per_second;
    ++count_;
    ++(second < old_before_s_ ? old_count_ : young_[second]);
}

void TombstoneCounts::remove(uint64_t created_ms) {
    --count_;
    const auto young = young_.find(created_ms / ms_per_second);
    if (young == young_.end()) {
        --old_count_;
    } else if (--young->second == 0) {
        young_.erase(young);
    }
}

void TombstoneCounts::add_from_start(uint64_t count) {
    count_ += count;
    old_count_ += count;
}

void TombstoneCounts::set_old_before(uint64_t created_ms) {
    old_before_s_ = created_ms / ms_per_second;
    const auto end = young_.lower_bound(old_before_s_);
    for (auto second = young_.begin(); second != end; ++second) {
        old_count_ += second->second;
    }
    young_.erase(young_.begin(), end);
}

}  // namespace starling::node
