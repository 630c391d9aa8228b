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
#include "node/entropy/partition_sync.h"
#include "node/entropy/responder.h"
#include "node/entropy/runtime.h"
#include "node/entropy/scheduler.h"
#include "node/replica/group_access.h"
#include "starling/peer/entropy.pb.h"

namespace starling::node {

class Entropy {
  public:
    using Done = absl::AnyInvocable<void(absl::Status)>;

    Entropy(EntropyOptions options,
            EntropyHost& host,
            GroupAccess& groups,
            env::EventLoop& loop,
            env::Random& random);
    ~Entropy();

    // A message of a partition of this shard.
    void on_message(base::NodeId from, const peer::EntropyMessage& message);

    // The other nodes that `group` is compared with from now on; none: it is not compared. A new
    // pair is dirty.
    void set_peers(GroupId group, const std::vector<base::NodeId>& peers);
    // Compare with this node at once: it is back. Until then this side may be behind it.
    void kick(base::NodeId peer);
    // A holder of the group lacks a write that is here, and nobody keeps a hint of it: it is told,
    // so that it is behind until it has pulled that.
    void peer_missed(GroupId group, base::NodeId peer);
    // Asks a member for what EntropyHost::told_hints_gone() is told. May be lost.
    void ask_hints(GroupId group, base::NodeId member);
    // Asks a holder for what EntropyHost::told_remembered() is told. May be lost.
    void ask_remembered(GroupId group, base::NodeId holder, peer::EntropyRememberedAsk known);
    // Asks a holder for what EntropyHost::told_counting() is told, with the question's number. May
    // be lost.
    void ask_counting(GroupId group, base::NodeId holder, uint64_t number, bool checks);
    // Groups that are not known to be in step with each of their peers.
    size_t dirty_count() const { return scheduler_.dirty_count(); }

    // Whether its replica here may lack what another holder has and nobody brings: since the node
    // began until it was compared, and while what it lacks is pulled.
    bool is_behind(GroupId group) const { return scheduler_.is_behind(group); }

    // Pulls a partition from another node. `done` runs once, never before this returns, unless
    // cancelled: OK when all is durable here.
    uint64_t start_partition_sync(const PartitionSyncRequest& request, Done done);
    void cancel(uint64_t sync);
    // All of the partition end with this error.
    void end_syncs(base::PartitionId partition, const absl::Status& status);
    // Those that refill it, after this returns.
    void end_refills(base::PartitionId partition, const absl::Status& status);

    const EntropyCounters& counters() const { return runtime_.counters; }
    // Ends everything under way; no callback runs afterwards, and messages are ignored.
    void stop();

  private:
    void ask(GroupId group, base::NodeId node, peer::EntropyMessage question);

    EntropyRuntime runtime_;
    Responder responder_;
    Scheduler scheduler_;
    std::map<uint64_t, std::unique_ptr<PartitionSync>> syncs_;
    uint64_t last_sync_ = 0;
    bool is_stopped_ = false;
};

}  // namespace starling::node
