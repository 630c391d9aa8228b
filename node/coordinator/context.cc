#include "node/coordinator/context.h"

#include <algorithm>
#include <utility>

namespace starling::node {

void OutcomeList::asked(base::NodeId node) {
    const bool known =
        std::any_of(outcomes_.begin(), outcomes_.end(), [&](const ReplicaOutcome& outcome) {
            return outcome.node == node;
        });
    if (!known) {
        outcomes_.emplace_back().node = node;
    }
}

void OutcomeList::set(base::NodeId node,
                      ReplicaState state,
                      SeatSet seats,
                      base::Duration elapsed,
                      std::string detail) {
    asked(node);
    for (ReplicaOutcome& outcome : outcomes_) {
        if (outcome.node == node) {
            outcome.state = state;
            outcome.seats = seats.list();
            outcome.elapsed = elapsed;
            outcome.detail = std::move(detail);
            return;
        }
    }
}

}  // namespace starling::node
