#include "node/server/lost_writes.h"

#include <fmt/format.h>

#include "base/mark.h"

namespace starling::node {

void LostWrites::start() {
    timer_ = loop_.schedule_after(interval, [this] { look(); });
}

void LostWrites::look() {
    for (const GroupId group : store_.groups()) {
        const Frontier* const frontier = host_.owned_frontier(group);
        if (frontier == nullptr ||
            frontier->seen_of(self_).base + 1 >= store_.upcoming_sequence(group)) {
            lacking_.erase(group);
            continue;
        }
        const auto [since, is_new] = lacking_.try_emplace(group, loop_.now());
        if (loop_.now() - since->second < patience) continue;
        STARLING_MARK(own_write_is_lost);
        // Once: what this life has lost ends with it.
        host_.want_new_life(
            fmt::format("the only copy of a write of this node was lost, of partition {}",
                        base::to_string(group.partition)));
        return;
    }
    start();
}

}  // namespace starling::node
