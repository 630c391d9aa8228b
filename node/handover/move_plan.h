#pragma once

// Which seats should pass from whom to whom: a pure function of the placement's targets and the
// known holders. Only a hint: nodes with different knowledge may plan differently, and the protocol
// bears that.

#include <span>
#include <vector>

#include "base/ids.h"
#include "node/handover/seat.h"
#include "node/handover/seat_view.h"

namespace starling::node {

struct PlannedMove {
    base::SeatIndex seat;
    base::NodeId from;
    base::NodeId to;
    friend bool operator==(const PlannedMove&, const PlannedMove&) = default;
};

// The targets that hold no seat, ascending, each once. `targets` and `holders` are by seat.
std::vector<base::NodeId> targets_without_seat(std::span<const base::NodeId> targets,
                                               std::span<const SeatView::Holder> holders);

// Seats of holders outside the targets, and all but one of the seats of a target with several, go
// to the targets without a seat: to the seat's own target where that is one of them, else paired by
// order of seat and of node id. At most one move per seat and per successor; ordered by seat.
std::vector<PlannedMove> plan_moves(std::span<const base::NodeId> targets,
                                    std::span<const SeatView::Holder> holders);

}  // namespace starling::node
