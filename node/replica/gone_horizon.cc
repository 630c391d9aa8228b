#include "node/replica/gone_horizon.h"

#include <algorithm>

#include "base/mark.h"

namespace starling::node {

void GoneHorizon::note(GroupId group,
                       base::NodeId owner,
                       uint64_t wall_ms,
                       const Frontier& minted,
                       const Frontier& seen,
                       uint64_t now_ms) {
    if (is_far_ahead(wall_ms, now_ms)) {
        STARLING_MARK(horizon_report_from_the_future);
        return;
    }
    const auto known = covered_ms_.find({group, owner});
    if (known != covered_ms_.end()) {
        const bool was_set_back = known->second > wall_ms && known->second - wall_ms > window_ms_;
        if (was_set_back || is_far_ahead(known->second, now_ms)) {
            STARLING_MARK(horizon_clock_of_owner_went_back);
            covered_ms_.erase(known);
        }
    }
    if (seen.contains(minted)) {
        note_caught_up(group, owner, wall_ms);
    }
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
        if (found == covered_ms_.end() || is_far_ahead(found->second, now_ms)) {
            STARLING_MARK(horizon_owner_not_heard);
            return 0;
        }
        covered = std::min(covered, found->second);
    }
    return covered > window_ms_ ? covered - window_ms_ : 0;
}

}  // namespace starling::node
