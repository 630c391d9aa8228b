#pragma once

// A tool's frame to a node's peer port: how `join-cluster` speaks, proved by the cluster secret.

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

#include "base/time.h"
#include "env/random.h"

namespace starling::client {

struct JoinOrder {
    // Peer addresses: of the node that is to join, and of a member.
    std::string node;
    std::string known;
    std::string secret;
    base::Duration timeout;
};

struct JoinAnswer {
    uint64_t node_id = 0;
    uint64_t cluster_id = 0;
    uint32_t member_count = 0;
    // Of the node; empty: it did not say.
    std::string client_address = {};
};

// Blocks. What the node answered; permission_denied (wrong_secret), unavailable: it was not
// reached; deadline_exceeded.
absl::StatusOr<JoinAnswer> order_join(const JoinOrder& order, env::Random& random);

}  // namespace starling::client
