#include "node/replica/gone_horizon.h"

#include <algorithm>

#include "base/mark.h"
#include "base/planted.h"

namespace starling::node {

void GoneHorizon::note(GroupId group,
                       base::NodeId owner,
                       uint64_t wall_ms,
                       const Frontier& theirs,
                       const Frontier& own,
                       uint64_t now_ms) {
    if (is_far_ahead(wall_ms, now_ms)) {
        STARLING_MARK(horizon_report_from_the_future);
        return;
    }
    Known& known = known_[{group, owner}];
    if (known.open.has_value() && own.contains(known.open->second)) {
        known.covered_ms = std::max(known.covered_ms.value_or(0), known.open->first);
        known.open.reset();
    }
    const uint64_t last_ms =
        std::max(known.covered_ms.value_or(0), known.open.has_value() ? known.open->first : 0);
    const bool was_set_back = last_ms > wall_ms && last_ms - wall_ms > window_ms_;
    if (was_set_back || is_far_ahead(last_ms, now_ms)) {
        STARLING_MARK(horizon_clock_of_owner_went_back);
        known = {};
    }
    if (own.contains(theirs)) {
        known.covered_ms = std::max(known.covered_ms.value_or(0), wall_ms);
    } else if (!known.open.has_value()) {
        STARLING_MARK(horizon_owner_is_ahead);
        known.open = {wall_ms, theirs};
    }
}

uint64_t GoneHorizon::forget_before(GroupId group,
                                    std::span<const base::NodeId> other_owners,
                                    uint64_t now_ms) const {
    uint64_t covered = now_ms;
    if (STARLING_PLANTED(tombstone_collected_by_age)) other_owners = {};
    for (const base::NodeId owner : other_owners) {
        const auto found = known_.find({group, owner});
        if (found == known_.end() || !found->second.covered_ms.has_value() ||
            is_far_ahead(*found->second.covered_ms, now_ms)) {
            STARLING_MARK(horizon_owner_not_heard);
            return 0;
        }
        covered = std::min(covered, *found->second.covered_ms);
    }
    return covered > window_ms_ ? covered - window_ms_ : 0;
}

bool GoneHorizon::is_past(GroupId group,
                          base::NodeId owner,
                          uint64_t created_ms,
                          uint64_t now_ms) const {
    const auto found = known_.find({group, owner});
    if (found == known_.end() || !found->second.covered_ms.has_value()) return false;
    const uint64_t covered_ms = *found->second.covered_ms;
    return !is_far_ahead(covered_ms, now_ms) && may_be_past(created_ms, covered_ms);
}

}  // namespace starling::node
