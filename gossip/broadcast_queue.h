#pragma once

// The liveness news that this node still passes on, by riding on its other messages (SWIM's
// infection-style dissemination, section 4.1). One update per member, the newest; those sent least
// often go first; each is sent a bounded number of times, which grows with the logarithm of the
// cluster and reaches everybody with high probability.

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "gossip/liveness.h"

namespace starling::gossip {

struct LivenessClaim {
    base::NodeId node;
    Incarnation incarnation;
    Liveness liveness = Liveness::alive;
    base::NodeId accuser;

    friend bool operator==(const LivenessClaim&, const LivenessClaim&) = default;
};

class BroadcastQueue {
  public:
    // Replaces an earlier claim about the node.
    void add(const LivenessClaim& claim);
    void remove(base::NodeId node);
    void clear() { entries_.clear(); }
    bool empty() const { return entries_.empty(); }

    // Appends up to `count` claims and counts them as sent once; forgets those sent `send_limit`
    // times.
    void take(size_t count, uint32_t send_limit, std::vector<LivenessClaim>& out);

  private:
    struct Entry {
        LivenessClaim claim;
        uint32_t sent = 0;
    };
    // Fewest sent first; of equals the one added first.
    std::vector<Entry> entries_;
};

}  // namespace starling::gossip
