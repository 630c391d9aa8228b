#include "gossip/probe_schedule.h"

#include <algorithm>

#include "base/check.h"

namespace starling::gossip {

void ProbeSchedule::add(base::NodeId node, Draw& draw) {
    const size_t place = position_ + draw.below(order_.size() - position_ + 1);
    order_.insert(order_.begin() + static_cast<std::ptrdiff_t>(place), node);
}

void ProbeSchedule::remove(base::NodeId node) {
    const auto found = std::ranges::find(order_, node);
    if (found == order_.end()) return;
    if (static_cast<size_t>(found - order_.begin()) < position_) --position_;
    order_.erase(found);
}

base::NodeId ProbeSchedule::next(Draw& draw) {
    STARLING_CHECK(!order_.empty());
    if (position_ == order_.size()) {
        draw.sample(order_, order_.size());
        position_ = 0;
    }
    return order_[position_++];
}

}  // namespace starling::gossip
