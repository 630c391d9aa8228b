#pragma once

// Decides when a write is acknowledged. Counts; sends nothing, waits for nothing: PutOperation does
// that.
//
// States: collecting -> acknowledged. A write is acknowledged when W distinct seats have it
// durably, on min(W, distinct holders) distinct nodes, now and when hints have been delivered. A
// stand-in's hint counts for its seat where that is allowed (sloppy quorum), once, and not beside
// the holder's own answer.

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "node/coordinator/seat_tally.h"

namespace starling::node {

struct PutCoreOptions {
    uint32_t replicas = 3;
    uint32_t acks_wanted = 2;
    // How many distinct nodes hold seats of the group.
    uint32_t holder_count = 3;
    bool count_hints = true;
};

class PutCore {
  public:
    explicit PutCore(PutCoreOptions options);

    // `node` has the write on its disk and speaks for `seats`.
    void acknowledged(base::NodeId node, SeatSet seats);
    // `stand_in` keeps the write for the holder of `seat`, on its disk.
    void hinted(base::NodeId stand_in, base::SeatIndex seat, base::NodeId holder);

    bool is_reached() const;
    // Seats that neither their holder nor a stand-in has answered for.
    SeatSet missing() const { return holders_.missing().without(hinted_seats()); }
    // Seats whose holder has not answered, hinted or not.
    SeatSet missing_holders() const { return holders_.missing(); }
    uint32_t seats_counted() const;
    uint32_t nodes_counted() const;
    uint32_t seats_hinted() const;

  private:
    struct Hint {
        base::SeatIndex seat;
        base::NodeId stand_in;
        base::NodeId holder;
    };

    // Those that no holder has answered for.
    SeatSet hinted_seats() const;

    const PutCoreOptions options_;
    const uint32_t nodes_wanted_;
    SeatTally holders_;
    // The first of each seat.
    std::vector<Hint> hints_;
};

}  // namespace starling::node
