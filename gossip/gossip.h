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
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

#include "base/ids.h"
#include "env/event_loop.h"
#include "env/random.h"
#include "env/transport.h"
#include "gossip/delta.h"
#include "gossip/draw.h"
#include "gossip/join.h"
#include "gossip/join_core.h"
#include "gossip/liveness.h"
#include "gossip/loop_timer.h"
#include "gossip/member.h"
#include "gossip/membership.h"
#include "gossip/options.h"
#include "gossip/swim_core.h"
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
    // Called once per process, and again for a later generation than was seen so far.
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
    // REQUIRES: stopped, or the loop runs nothing any more.
    ~Gossip();
    Gossip(const Gossip&) = delete;
    Gossip& operator=(const Gossip&) = delete;

    // `own`: with a generation that no start of this node has had. `restored`: what persist() last
    // got; a record of our own in it must be of an earlier generation, else identity_conflict()
    // follows. Announces ourselves to all known members; restored records are not reported again.
    // An own record that is `joining` in a cluster with others becomes `member` as soon as one of
    // them knows us. REQUIRES: valid record, not started.
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
    void on_join_message(base::NodeId from, const peer::GossipMessage& message);
    void on_swim(base::NodeId from, const peer::SwimMessage& message);
    void on_delta(base::NodeId from, const peer::StateDelta& delta);
    void on_sync_start(base::NodeId from, const peer::SyncStart& start);
    void on_sync_digest(base::NodeId from, const peer::SyncDigest& digest);
    void on_join_request(const peer::JoinRequest& request);
    void on_join_announce(const peer::JoinAnnounce& announce);
    // A removed node is told so, and nothing else.
    void answer_removed(base::NodeId from, const peer::GossipMessage& message);

    // Brings failure detector, disk, neighbours and host up to date with what a merge has changed.
    void take_in(StateChanges changes, bool pass_on);
    void watch(const MemberRecord& record, SwimCore::Effects& effects);
    void check_identity(const MemberRecord& seen);
    void own_changed();
    bool is_removed() const;
    absl::Status admit(const JoinOffer& offer) const;
    KnownJoiner known_joiner(const MemberRecord& record) const;

    void run(SwimCore::Effects& effects);
    void run(JoinCore::Effects effects);
    void adopt(JoinGrant grant);
    void adopted(const absl::Status& status, JoinGrant grant);

    void send_to(base::NodeId node, peer::GossipMessage message);
    void send(const env::Address& to, base::NodeId to_node, peer::GossipMessage message);
    void send_deltas(const env::Address& to, base::NodeId to_node, DeltaWriter& writer);
    void start_exchange(const env::Address& to, base::NodeId to_node);
    // Members other than ourselves, `count` of them at random, that are not held dead, or that are.
    std::vector<base::NodeId> random_others(size_t count, bool are_dead = false);

    void push_soon();
    void push_now();
    void exchange_now();
    void persist_soon();
    void persist_now();
    void arm_swim();
    void arm_exchange();
    void arm_join();

    // Constant after construction.
    const GossipOptions options_;
    env::EventLoop& loop_;
    GossipHost& host_;

    // Owned by the loop thread.
    bool started_ = false;
    Draw draw_;
    ClusterIdentity cluster_;
    MemberRecord own_;
    Membership membership_;
    std::optional<SwimCore> swim_;
    JoinCore join_;
    JoinCallback join_callback_;
    // A node that we have accepted may still be adopting our cluster: we do not leave it meanwhile.
    base::MonotonicTime granted_until_ = base::MonotonicTime::min();
    // The latest that identity_conflict() was told; 0: none.
    uint32_t conflict_generation_ = 0;
    GossipStats stats_;

    // What the next push carries.
    std::set<base::NodeId> push_records_;
    std::set<base::NodeId> push_certificates_;
    std::set<std::string> push_items_;
    base::MonotonicTime last_push_ = base::MonotonicTime::min();
    bool is_dirty_ = false;

    LoopTimer swim_timer_;
    LoopTimer exchange_timer_;
    LoopTimer push_timer_;
    LoopTimer persist_timer_;
    LoopTimer join_timer_;
    SwimCore::Effects effects_;
    // Lets an adoption that ends after stop() find out.
    std::shared_ptr<bool> life_;
};

}  // namespace starling::gossip
