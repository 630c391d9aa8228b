#include "tests/sim/collection_watch.h"

#include <fmt/format.h>

namespace starling::sim {

namespace {

constexpr base::Duration look_again_after = std::chrono::milliseconds(200);

}  // namespace

std::optional<node::Dot> concluded_too_early(const node::Frontier& concluded,
                                             const node::Frontier& seen) {
    for (const node::Frontier::Range& range : concluded.minus(seen)) {
        const node::Dot dot{.actor = range.actor, .sequence = range.first};
        if (concluded.is_past(dot)) return dot;
    }
    return std::nullopt;
}

void CollectionWatch::look() {
    const env::SimTime now = world_.scheduler.now();
    if (now < next_look_ || world_.oracle.key_count() == 0) return;
    next_look_ = now + look_again_after;
    const Oracle::Key& key =
        world_.oracle.key(Oracle::nth_key(next_key_++ % world_.oracle.key_count()));
    look_at({.partition = key.partition, .replicas = static_cast<uint8_t>(key.replicas)});
}

void CollectionWatch::look_at(node::GroupId group) {
    for (Machine* const machine : world_.cluster.members()) {
        if (machine->is_set_back()) continue;
        const node::Frontier* const concluded = machine->node().seen_by_all(group);
        if (concluded == nullptr || concluded->seen().empty()) continue;
        for (Machine* const other : world_.cluster.members()) {
            // It has not what it had seen, and may not have noticed yet.
            if (other == machine || other->is_set_back()) continue;
            const node::Frontier* const seen = other->node().owned_frontier(group);
            if (seen == nullptr) continue;
            ++compared_;
            const std::optional<node::Dot> early = concluded_too_early(*concluded, *seen);
            if (!early) continue;
            world_.verdict.report(
                "I4",
                fmt::format("{} takes {} of partition {} as seen by all owners, and {} has not",
                            machine->name(),
                            node::to_string(*early),
                            group.partition.raw(),
                            other->name()));
            return;
        }
    }
}

}  // namespace starling::sim
