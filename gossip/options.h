#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "base/time.h"
#include "env/transport.h"

namespace starling::gossip {

// Of the failure detector. With the defaults 50 nodes at 5 % message loss declare no live node
// dead, and all know of a dead one within 10 s.
struct SwimOptions {
    // One member is probed per interval. In a large cluster a dead node meets its first probe after
    // t with the chance 1 - exp(-t / interval): with this one all but one in 10,000 within 7.5 s,
    // which leaves the time to be sure.
    base::Duration probe_interval = std::chrono::milliseconds(800);
    // How long a direct ping, and a helper's ping, may take.
    base::Duration probe_timeout = std::chrono::milliseconds(400);
    // k: helpers asked when a direct ping stays unanswered.
    uint32_t indirect_probes = 3;
    // A suspicion with all confirmations lasts multiplier * max(1, log10 n) * probe_interval ...
    double suspicion_multiplier = 2.0;
    // ... and one without any this many times as long.
    double suspicion_max_factor = 4.0;
    // Independent accusers, beyond the first, that bring a suspicion down to its minimum.
    uint32_t suspicion_confirmations = 2;
    // Lifeguard's S: the worst score of local health; timeouts stretch up to (this + 1) times.
    uint32_t awareness_max = 8;
    // An update is sent multiplier * ceil(log10(n + 1)) times by each node.
    uint32_t retransmit_multiplier = 4;
    // While there are updates to spread, this often, to so many members.
    base::Duration spread_interval = std::chrono::milliseconds(200);
    uint32_t spread_fanout = 3;
    // One of the members held dead is pinged per interval, to notice that it is back.
    base::Duration dead_probe_interval = std::chrono::seconds(2);
    uint32_t updates_per_message_max = 32;
};

struct GossipOptions {
    SwimOptions swim;
    // Full exchange with a random member.
    base::Duration exchange_interval = std::chrono::seconds(5);
    // Changes are pushed to all members of a cluster up to this size, else to ln n +
    // push_fanout_extra random ones, which pass them on.
    uint32_t push_to_all_max = 32;
    uint32_t push_fanout_extra = 3;
    // Changes of our own that follow each other faster than this leave together.
    base::Duration push_interval = std::chrono::milliseconds(20);
    // At least so long between two calls of GossipHost::persist.
    base::Duration persist_interval = std::chrono::milliseconds(100);
    // A delta is cut into messages of about this size; a single record may exceed it.
    size_t message_bytes_target = 1u << 20;
    // How often an unanswered join message is sent again, and when a join is given up.
    base::Duration join_retry_interval = std::chrono::milliseconds(500);
    base::Duration join_timeout = std::chrono::seconds(20);
    // Asked when no member answers: after a start at which all addresses have changed.
    std::vector<env::Address> seeds;
};

}  // namespace starling::gossip
