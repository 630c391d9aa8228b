#include "node/coordinator/put_core.h"

#include <algorithm>

#include "base/check.h"
#include "base/planted.h"

namespace starling::node {

PutCore::PutCore(PutCoreOptions options)
    : options_(options),
      nodes_wanted_(std::min(options.acks_wanted, options.holder_count)),
      holders_(options.replicas),
      all_(options.replicas) {
    STARLING_CHECK(options.acks_wanted >= 1 && options.acks_wanted <= options.replicas);
}

void PutCore::acknowledged(base::NodeId node, SeatSet seats) {
    if (STARLING_PLANTED(duplicate_ack_counts) && !holders_.missing().empty()) {
        // Answers are counted, not seats.
        seats = SeatSet::of(holders_.missing().list().front());
    }
    holders_.add(node, seats);
    all_.add(node, seats);
}

void PutCore::hinted(base::NodeId stand_in, base::SeatIndex seat) {
    all_.add(stand_in, SeatSet::of(seat));
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

SeatSet PutCore::missing() const {
    return all_.missing();
}

uint32_t PutCore::seats_counted() const {
    return (options_.count_hints ? all_ : holders_).seats();
}

uint32_t PutCore::nodes_counted() const {
    return (options_.count_hints ? all_ : holders_).nodes();
}

uint32_t PutCore::seats_hinted() const {
    return seats_counted() - holders_.seats();
}

}  // namespace starling::node
