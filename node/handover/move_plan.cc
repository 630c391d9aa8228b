#include "node/handover/move_plan.h"

#include <algorithm>
#include <map>
#include <set>

namespace starling::node {

namespace {

// The seat that a holder which is a target keeps: its own by the placement, else its lowest.
std::map<base::NodeId, size_t> kept_seats(std::span<const base::NodeId> targets,
                                          std::span<const SeatView::Holder> holders) {
    const std::set<base::NodeId> wanted(targets.begin(), targets.end());
    std::map<base::NodeId, size_t> kept;
    for (size_t seat = 0; seat < holders.size(); ++seat) {
        const base::NodeId node = holders[seat].node;
        if (node.is_none() || !wanted.contains(node)) continue;
        const bool is_own_target = seat < targets.size() && targets[seat] == node;
        const auto [entry, is_first] = kept.try_emplace(node, seat);
        if (!is_first && is_own_target && targets[entry->second] != node) {
            entry->second = seat;
        }
    }
    return kept;
}

}  // namespace

std::vector<base::NodeId> targets_without_seat(std::span<const base::NodeId> targets,
                                               std::span<const SeatView::Holder> holders) {
    std::set<base::NodeId> lacking(targets.begin(), targets.end());
    lacking.erase(base::NodeId());
    for (const SeatView::Holder& holder : holders) {
        lacking.erase(holder.node);
    }
    return {lacking.begin(), lacking.end()};
}

std::vector<PlannedMove> plan_moves(std::span<const base::NodeId> targets,
                                    std::span<const SeatView::Holder> holders) {
    std::vector<base::NodeId> lacking = targets_without_seat(targets, holders);
    const std::map<base::NodeId, size_t> kept = kept_seats(targets, holders);
    std::vector<PlannedMove> moves;
    std::vector<size_t> unpaired;
    for (size_t seat = 0; seat < holders.size(); ++seat) {
        const base::NodeId node = holders[seat].node;
        const auto keeper = kept.find(node);
        if (node.is_none() || (keeper != kept.end() && keeper->second == seat)) continue;
        const auto own = seat < targets.size()
                             ? std::find(lacking.begin(), lacking.end(), targets[seat])
                             : lacking.end();
        if (own == lacking.end()) {
            unpaired.push_back(seat);
            continue;
        }
        moves.push_back({base::SeatIndex(static_cast<uint8_t>(seat)), node, *own});
        lacking.erase(own);
    }
    for (size_t i = 0; i < std::min(unpaired.size(), lacking.size()); ++i) {
        moves.push_back({base::SeatIndex(static_cast<uint8_t>(unpaired[i])),
                         holders[unpaired[i]].node,
                         lacking[i]});
    }
    std::sort(moves.begin(), moves.end(), [](const PlannedMove& a, const PlannedMove& b) {
        return a.seat < b.seat;
    });
    return moves;
}

}  // namespace starling::node
