#include "storage/lsm/range_removals.h"

#include <algorithm>
#include <utility>

namespace starling::storage::lsm {

RangeRemovals::RangeRemovals(std::vector<RangeRemoval> removals) : removals_(std::move(removals)) {
    std::sort(removals_.begin(), removals_.end(), [](const RangeRemoval& a, const RangeRemoval& b) {
        return a.sequence < b.sequence;
    });
}

Sequence RangeRemovals::first_after(std::string_view key, Sequence sequence) const {
    const auto newer = std::upper_bound(
        removals_.begin(),
        removals_.end(),
        sequence,
        [](Sequence searched, const RangeRemoval& removal) { return searched < removal.sequence; });
    const auto found = std::find_if(
        newer, removals_.end(), [&](const RangeRemoval& removal) { return removal.covers(key); });
    return found == removals_.end() ? 0 : found->sequence;
}

}  // namespace starling::storage::lsm
