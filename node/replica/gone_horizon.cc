#include "node/replica/gone_horizon.h"

#include <algorithm>

namespace starling::node {

void GoneHorizon::note(GroupId group,
                       base::NodeId owner,
                       uint64_t wall_ms,
                       const Frontier& minted,
                       const Frontier& seen) {
    if (!seen.contains(minted)) {
        return;
    }
    note_caught_up(group, owner, wall_ms);
}

void GoneHorizon::note_caught_up(GroupId group, base::NodeId owner, uint64_t wall_ms) {
    uint64_t& covered = covered_ms_[{group, owner}];
    covered = std::max(covered, wall_ms);
}

uint64_t GoneHorizon::forget_before(GroupId group,
                                    std::span<const base::NodeId> other_owners,
                                    uint64_t now_ms) const {
    uint64_t covered = now_ms;
    for (const base::NodeId owner : other_owners) {
        const auto found = covered_ms_.find({group, owner});
        if (found == covered_ms_.end()) {
            return 0;
        }
        covered = std::min(covered, found->second);
    }
    return covered > window_ms_ ? covered - window_ms_ : 0;
}

}  // namespace starling::node
