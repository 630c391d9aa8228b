#include "gossip/broadcast_queue.h"

#include <algorithm>

namespace starling::gossip {

void BroadcastQueue::add(const LivenessClaim& claim) {
    remove(claim.node);
    const auto first_sent =
        std::ranges::find_if(entries_, [](const Entry& entry) { return entry.sent > 0; });
    entries_.insert(first_sent, Entry{claim, 0});
}

void BroadcastQueue::remove(base::NodeId node) {
    std::erase_if(entries_, [node](const Entry& entry) { return entry.claim.node == node; });
}

void BroadcastQueue::take(size_t count, uint32_t send_limit, std::vector<LivenessClaim>& out) {
    if (entries_.empty()) return;
    const size_t taken = std::min(count, entries_.size());
    for (size_t i = 0; i < taken; ++i) {
        out.push_back(entries_[i].claim);
        ++entries_[i].sent;
    }
    std::erase_if(entries_, [send_limit](const Entry& entry) { return entry.sent >= send_limit; });
    std::ranges::stable_sort(entries_, {}, &Entry::sent);
}

}  // namespace starling::gossip
