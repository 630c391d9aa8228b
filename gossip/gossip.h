#pragma once

// Gossip: the shell that runs membership, failure detection and joining of one node on one loop. It
// arms the timers, sends the messages and tells its host what has changed; the decisions are made
// by SwimCore (who is alive), Membership (who there is) and JoinCore (how to become a member).
//
// Loop thread only. Nothing is called back before start() and nothing after stop(). The host may
// call back into Gossip from any of its callbacks.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

#include "base/ids.h"
#include "env/event_loop.h"
#include "env/random.h"
#include "env/transport.h"
#include "gossip/join.h"
#include "gossip/liveness.h"
#include "gossip/member.h"
#include "gossip/membership.h"
#include "gossip/options.h"
#include "starling/peer/gossip.pb.h"

namespace starling::gossip {

// What gossip asks of the node it runs in.
class GossipHost {
  public:
    using AdoptDone = absl::AnyInvocable<void(absl::Status)>;

    // Wraps the message into an envelope for `to_node` (none: whoever listens there) and sends it;
    // may drop it.
    virtual void send(const env::Address& to,
                      base::NodeId to_node,
                      peer::GossipMessage message) = 0;

    // A record is new or newer, our own included.
    virtual void member_changed(const MemberRecord& record) = 0;
    // An administrator removed the node: its record is gone, for good. For our own id: we were
    // removed.
    virtual void member_removed(const DeathCertificate& certificate) = 0;
    // Never called for our own id. A member starts as alive.
    virtual void liveness_changed(base::NodeId node, Liveness liveness) = 0;
    virtual void item_changed(const std::string& key) = 0;

    // To be written durably, in the order of the calls, for the next start()
    // (Membership::decode_state).
    virtual void persist(std::string state) = 0;

    // Somebody else runs, or ran, under our identity: a record of ours that we did not write, of a
    // generation or version that we have not reached, or of our own version with other content.
    // Called once per process.
    virtual void identity_conflict(const MemberRecord& seen) = 0;

    // For an offer to join another cluster: is there anything that joining would lose?
    virtual bool holds_data() = 0;
    // We are accepted. Make `grant.cluster` and the membership state durably ours, use the new
    // cluster id in envelopes from now on, then call `done`; with an error, nothing must have
    // changed.
    virtual void adopt_cluster(const JoinGrant& grant, AdoptDone done) = 0;

  protected:
    ~GossipHost() = default;
};

struct GossipStats {
    // Messages of peers with a field out of bounds: dropped.
    uint64_t messages_malformed = 0;
    uint64_t messages_received = 0;
    uint64_t messages_sent = 0;
    // Records of one version with different content: a cloned disk somewhere.
    uint64_t record_conflicts = 0;
    // Records of removed nodes: refused.
    uint64_t dead_refused = 0;
    // Suspicions of ourselves that we refuted.
    uint64_t refutations = 0;
    // Lifeguard's score, 0 = healthy.
    uint32_t awareness = 0;
};

class Gossip {
  public:
    using JoinCallback = absl::AnyInvocable<void(absl::Status)>;

    Gossip(GossipOptions options, env::EventLoop& loop, env::Random& random, GossipHost& host);
    ~Gossip();
    Gossip(const Gossip&) = delete;
    Gossip& operator=(const Gossip&) = delete;

    // `own`: with a generation that no start of this node has had. `restored`: what persist() last
    // got; a record of our own in it must be of an earlier generation, else identity_conflict()
    // follows. Announces ourselves to all known members. REQUIRES: valid record, not started.
    void start(ClusterIdentity cluster, MemberRecord own, Membership restored);
    // Cancels everything; a join under way ends with `cancelled`. Idempotent.
    void stop();
    bool started() const;

    // A message from `from` (none: a tool or a node that is not of this cluster), the envelope
    // checked already. REQUIRES: for a message that crosses_clusters(): none of the envelope is to
    // be trusted but the secret. JoinCluster is the node's to answer: call join(), then send
    // make_join_done().
    void on_message(base::NodeId from, const peer::GossipMessage& message);

    // Changes our own record, raises its version and spreads it. `change` must not touch id,
    // generation or version. invalid_argument (and nothing changed) when the result is not valid.
    absl::Status update_own(const std::function<void(MemberRecord&)>& change);
    // invalid_argument: too long. An equal payload is no change.
    absl::Status set_payload(std::string payload);
    // Spreads it. OK also when a higher (version, value) is there already. resource_exhausted: a
    // limit.
    absl::Status set_item(std::string_view key, uint64_t version, std::string value);
    // Removes a node for good. not_found with reason unknown_node; failed_precondition for our own
    // id.
    absl::Status certify_death(base::NodeId node, uint64_t now_ms);

    // Joins the cluster known at `address`; `done` once: OK when we have adopted it and another
    // member knows us; else why not (check_join's reasons; deadline_exceeded: no answer;
    // unavailable: busy).
    void join(const env::Address& address, JoinCallback done);
    bool joining() const;

    const ClusterIdentity& cluster() const;
    const MemberRecord& own() const;
    // Records (our own included), certificates, items.
    const Membership& membership() const;
    // Copies, sorted by id, our own included.
    std::vector<MemberRecord> members() const;
    // nullptr: unknown, or removed. Valid until the next event.
    const MemberRecord* find(base::NodeId node) const;
    const SharedItem* find_item(std::string_view key) const;
    // Our own id is alive; an unknown one dead.
    Liveness liveness(base::NodeId node) const;
    bool is_certified_dead(base::NodeId node) const;
    GossipStats stats() const;

  private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace starling::gossip
