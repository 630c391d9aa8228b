#pragma once

// Anti-entropy of one shard: compares groups with their other holders, again and again and in small
// units, and pulls what is missing; copies whole partitions for the hand-over; answers both kinds
// of questions of other nodes. Lives on the shard's loop; every call and callback there.

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

#include "base/ids.h"
#include "env/event_loop.h"
#include "env/random.h"
#include "node/entropy/entropy_options.h"
#include "node/replica/group_access.h"
#include "starling/peer/entropy.pb.h"

namespace starling::node {

class EntropyHost {
  public:
    // May be lost. Never delivers to this node itself before it returns.
    virtual void send(base::NodeId to, peer::EntropyMessage message) = 0;

  protected:
    ~EntropyHost() = default;
};

struct PartitionSyncRequest {
    base::PartitionId partition;
    base::NodeId from;
    // Only groups with more replicas than this: those of the seat of this index.
    uint8_t seat = 0;
    // True: a first copy, repeated until nearly in step. False: one complete pull of each group,
    // whose summary the peer takes after this call.
    bool is_copy = false;
};

class Entropy {
  public:
    using Done = absl::AnyInvocable<void(absl::Status)>;

    Entropy(EntropyOptions options,
            EntropyHost& host,
            GroupAccess& groups,
            env::EventLoop& loop,
            env::Random& random);
    ~Entropy();

    void on_message(base::NodeId from, const peer::EntropyMessage& message);

    // The other nodes that `group` is compared with from now on; none: it is not compared. A new
    // pair is dirty.
    void set_peers(GroupId group, std::vector<base::NodeId> peers);
    // Compare with this node at once: it is back, or hints for it were dropped.
    void kick(base::NodeId peer);
    // A write of the group may not have reached the peer.
    void mark_dirty(GroupId group, base::NodeId peer);
    // Groups that are not known to be in step with each of their peers.
    size_t dirty_count() const;

    // Pulls a partition from another node. `done` runs once, unless cancelled: OK when all is
    // durable here.
    uint64_t start_partition_sync(const PartitionSyncRequest& request, Done done);
    void cancel(uint64_t sync);

    const EntropyCounters& counters() const;
    // Ends everything under way; no callback runs afterwards.
    void stop();
};

}  // namespace starling::node
