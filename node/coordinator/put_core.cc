#include "node/coordinator/put_core.h"

#include <algorithm>

#include "base/check.h"
#include "base/planted.h"

namespace starling::node {

PutCore::PutCore(PutCoreOptions options)
    : options_(options),
      nodes_wanted_(std::min(options.acks_wanted, options.holder_count)),
      holders_(options.replicas) {
    STARLING_CHECK(options.acks_wanted >= 1 && options.acks_wanted <= options.replicas);
}

void PutCore::acknowledged(base::NodeId node, SeatSet seats) {
    if (STARLING_PLANTED(duplicate_ack_counts) && !holders_.missing().empty()) {
        // Answers are counted, not seats.
        seats = SeatSet::of(holders_.missing().list().front());
    }
    holders_.add(node, seats);
}

void PutCore::hinted(base::NodeId stand_in, base::SeatIndex seat, base::NodeId holder) {
    const auto is_of_seat = [&](const Hint& hint) { return hint.seat == seat; };
    if (seat.raw() < options_.replicas && std::ranges::none_of(hints_, is_of_seat)) {
        hints_.push_back({.seat = seat, .stand_in = stand_in, .holder = holder});
    }
}

SeatSet PutCore::hinted_seats() const {
    SeatSet seats;
    for (const Hint& hint : hints_)
        seats.add(hint.seat);
    return seats.without(holders_.answered());
}

bool PutCore::is_reached() const {
    if (STARLING_PLANTED(ack_at_w_minus_1)) {
        return seats_counted() + 1 >= options_.acks_wanted;
    }
    if (STARLING_PLANTED(put_waits_for_all) && !holders_.missing().empty()) {
        return false;
    }
    return seats_counted() >= options_.acks_wanted &&
           (nodes_counted() >= nodes_wanted_ || STARLING_PLANTED(duplicate_ack_counts));
}

uint32_t PutCore::seats_counted() const {
    return holders_.seats() + seats_hinted();
}

// A hint that is delivered goes, and is no copy beside its holder's: two of one holder are one.
uint32_t PutCore::nodes_counted() const {
    if (hints_.empty() || !options_.count_hints) return holders_.nodes();
    std::vector<base::NodeId> now = holders_.on();
    std::vector<base::NodeId> delivered = now;
    const auto add = [](std::vector<base::NodeId>& nodes, base::NodeId node) {
        if (std::ranges::find(nodes, node) == nodes.end()) nodes.push_back(node);
    };
    const SeatSet hinted = hinted_seats();
    for (const Hint& hint : hints_) {
        if (!hinted.contains(hint.seat)) continue;
        add(now, hint.stand_in);
        add(delivered, hint.holder);
    }
    return static_cast<uint32_t>(std::min(now.size(), delivered.size()));
}

uint32_t PutCore::seats_hinted() const {
    return options_.count_hints ? static_cast<uint32_t>(hinted_seats().size()) : 0;
}

}  // namespace starling::node
