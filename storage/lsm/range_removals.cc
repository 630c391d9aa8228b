#include "storage/lsm/range_removals.h"

#include <algorithm>
#include <set>
#include <utility>

namespace starling::storage::lsm {

RangeRemovals::RangeRemovals(std::vector<RangeRemoval> removals) : removals_(std::move(removals)) {
    std::sort(removals_.begin(), removals_.end(), [](const RangeRemoval& a, const RangeRemoval& b) {
        return a.sequence < b.sequence;
    });
    std::set<std::string, std::less<>> bounds;
    for (const RangeRemoval& removal : removals_) {
        bounds.insert(removal.begin);
        if (!removal.end.empty()) {
            bounds.insert(removal.end);
        }
    }
    pieces_.reserve(bounds.size());
    for (const std::string& begin : bounds) {
        Piece piece{.begin = begin, .sequences = {}};
        for (const RangeRemoval& removal : removals_) {
            if (removal.covers(begin)) {
                piece.sequences.push_back(removal.sequence);
            }
        }
        pieces_.push_back(std::move(piece));
    }
}

Sequence RangeRemovals::first_after(std::string_view key, Sequence sequence) const {
    const auto beyond = std::upper_bound(
        pieces_.begin(), pieces_.end(), key, [](std::string_view searched, const Piece& piece) {
            return searched < piece.begin;
        });
    if (beyond == pieces_.begin()) {
        return 0;
    }
    const std::vector<Sequence>& sequences = std::prev(beyond)->sequences;
    const auto found = std::upper_bound(sequences.begin(), sequences.end(), sequence);
    return found == sequences.end() ? 0 : *found;
}

}  // namespace starling::storage::lsm
