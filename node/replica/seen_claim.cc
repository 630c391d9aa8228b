#include "node/replica/seen_claim.h"

#include <algorithm>

namespace starling::node {

namespace {

bool has_all(const Frontier& frontier, const Context& seen) {
    return std::ranges::all_of(seen.entries(), [&](const Context::Entry& entry) {
        return frontier.contains(Dot{.actor = entry.actor, .sequence = entry.sequence});
    });
}

bool knows(ReplicaStore& store, GroupId group) {
    const std::vector<GroupId> known = store.groups_of(group.partition);
    return std::ranges::find(known, group) != known.end();
}

}  // namespace

SeenClaim::SeenClaim(ReplicaStore& store, GroupId group, const Context& seen) : group_(group) {
    if (seen.empty() || !knows(store, group)) {
        return;
    }
    drops_ = store.drop_count(group);
    frontier_has_all_ = has_all(store.frontier(group), seen);
}

bool SeenClaim::holds(const ReplicaStore& store) const {
    return frontier_has_all_ && store.drop_count(group_) == drops_;
}

}  // namespace starling::node
