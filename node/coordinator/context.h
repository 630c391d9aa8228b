#pragma once

// What the operations of one shard's coordinator work with.

#include <functional>
#include <vector>

#include "env/event_loop.h"
#include "env/random.h"
#include "node/api.h"
#include "node/coordinator/clock_fence.h"
#include "node/coordinator/cluster_view.h"
#include "node/coordinator/latency_watch.h"
#include "node/coordinator/options.h"
#include "node/replica/replica.h"
#include "node/version/context_token.h"
#include "node/version/hybrid_time.h"
#include "node/version/session_token.h"

namespace starling::node {

struct CoordinatorContext {
    // Constant after construction.
    CoordinatorOptions options;
    Actor actor;
    env::EventLoop& loop;
    env::Random& random;
    const env::WallClock& wall_clock;
    ReplicaStore& store;
    HintStore& hints;
    Replica& replica;
    ReplicaHost& host;
    HybridClock& hybrid_clock;
    ClockFence& clock_fence;
    LatencyWatch& latency;
    const ContextSealer& sealer;
    const SessionSealer& sessions;

    // Called by an operation that has nothing more to do, which whoever called it keeps alive
    // meanwhile.
    std::function<void(uint64_t operation)> retire;

    // The latest; replaced by Coordinator::set_view.
    ClusterViewPtr view;

    const PeerView* find_peer(base::NodeId node) const {
        const auto found = view->peers.find(node);
        return found == view->peers.end() ? nullptr : &found->second;
    }
};

// request_too_old: the request is older than the window, so that an earlier try of it may be
// forgotten already.
absl::Status check_request_age(const CoordinatorContext& context, const base::RequestId& request);

// Before a mint for a group of which this node has seen `frontier`: no_owner while it lacks writes
// of its own, since the new dot will cover all that this life wrote of the key.
absl::Status check_has_own_writes(const CoordinatorContext& context,
                                  GroupId group,
                                  const Frontier& frontier);
// Likewise: too_many_lives where it would be the first write of this life, and the frontier keeps
// as many lives apart as it may.
absl::Status check_room_for_own_life(const CoordinatorContext& context, const Frontier& frontier);

// The fate of each node an operation asked, for the receipt.
class OutcomeList {
  public:
    void asked(base::NodeId node);
    void set(base::NodeId node,
             ReplicaState state,
             SeatSet seats,
             base::Duration elapsed,
             std::string detail = {});
    // Has not answered, if it was asked at all.
    bool is_late(base::NodeId node) const;
    const std::vector<ReplicaOutcome>& all() const { return outcomes_; }

  private:
    std::vector<ReplicaOutcome> outcomes_;
};

}  // namespace starling::node
