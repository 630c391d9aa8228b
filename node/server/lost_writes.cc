#include "node/server/lost_writes.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "base/mark.h"

namespace starling::node {

void LostWrites::start() {
    timer_ = loop_.schedule_after(interval, [this] { look(); });
}

void LostWrites::look() {
    const std::vector<GroupId> groups = store_.groups();
    absl::erase_if(lacking_, [&groups](const auto& entry) {
        return !std::binary_search(groups.begin(), groups.end(), entry.first);
    });
    for (const GroupId group : groups) {
        const Frontier* const frontier = host_.owned_frontier(group);
        if (frontier == nullptr ||
            frontier->seen_of(self_).base + 1 >= store_.upcoming_sequence(group)) {
            lacking_.erase(group);
            continue;
        }
        const auto [until, is_new] = lacking_.try_emplace(group);
        if (is_new) {
            const auto more = random_.below(static_cast<uint64_t>(patience.count()));
            until->second = loop_.now() + patience + base::Duration(static_cast<int64_t>(more));
        }
        if (loop_.now() < until->second || !host_.can_be_spared()) continue;
        STARLING_MARK(own_write_is_lost);
        lacking_.erase(until);
        host_.want_new_life(
            fmt::format("the only copy of a write of this node was lost, of partition {}",
                        base::to_string(group.partition)));
        break;
    }
    start();
}

}  // namespace starling::node
