#pragma once

// SwimCore: who is alive? The failure detector of SWIM (Das, Gupta, Motivala, "SWIM: Scalable
// Weakly-consistent Infection-style Process Group Membership Protocol", 2002), with the three
// extensions of Lifeguard (Dadgar, Phillips, Currey, 2017): probes, suspicions and the suspect
// itself take this node's own health and the number of accusers into account. A core without I/O:
// messages and time go in, messages and changes come out.
//
// One probe at a time:
//
//   ping -> ack                                         alive
//        -> (probe_timeout) ask k helpers -> ack        alive
//                                         -> (end of the interval) suspect
//
// A member's liveness, at one incarnation:
//
//   alive -> suspect   a probe failed, or somebody says so
//   suspect -> dead    the suspicion's timeout, or somebody says so
//   any -> alive       the member itself said so at a higher incarnation, or a newer generation of
//   it started
//
// Invariants:
// 1. Only a node itself raises its incarnation; claims about another generation than the one on
// record are ignored,
//    so nobody can claim what the accused cannot refute.
// 2. A dead member is still pinged now and then, and the ping carries the claim that it is dead: so
// it refutes
//    when it is back, and two halves of a healed network find each other.
// 3. Time in which this node itself did not run (a tick that comes much too late) counts for
// nobody's timeout.

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"

#include "base/ids.h"
#include "base/time.h"
#include "gossip/awareness.h"
#include "gossip/broadcast_queue.h"
#include "gossip/draw.h"
#include "gossip/liveness.h"
#include "gossip/options.h"
#include "gossip/probe_schedule.h"
#include "gossip/suspicion.h"
#include "starling/peer/gossip.pb.h"

namespace starling::gossip {

using LivenessUpdates = google::protobuf::RepeatedPtrField<peer::LivenessUpdate>;

class SwimCore {
  public:
    struct Send {
        base::NodeId to;
        peer::SwimMessage message;
    };
    struct Change {
        base::NodeId node;
        Liveness liveness = Liveness::alive;
        Liveness was = Liveness::alive;
    };
    struct Effects {
        std::vector<Send> sends;
        std::vector<Change> changes;

        void clear() {
            sends.clear();
            changes.clear();
        }
    };

    // All random choices follow from `seed`.
    SwimCore(const SwimOptions& options,
             base::NodeId self,
             uint32_t generation,
             uint64_t seed,
             base::MonotonicTime now);

    // A member is there, at this generation. A new one, and one of a newer generation, is alive; an
    // older generation is ignored. REQUIRES: not self.
    void set_member(base::NodeId node, uint32_t generation, Effects& effects);
    void remove_member(base::NodeId node);
    void set_record_version(uint64_t version) { record_version_ = version; }

    // False: a field out of bounds; nothing was done. A sender that is no member is ignored.
    bool on_message(base::NodeId from,
                    const peer::SwimMessage& message,
                    base::MonotonicTime now,
                    Effects& effects);
    // What a full exchange brought. False as above.
    bool on_updates(base::NodeId from,
                    const LivenessUpdates& updates,
                    base::MonotonicTime now,
                    Effects& effects);
    // Does all that is due.
    void tick(base::MonotonicTime now, Effects& effects);
    // When tick() is to be called next, at the latest.
    base::MonotonicTime next_deadline() const;

    // All members that are not alive, for a full exchange.
    void append_claims(LivenessUpdates& out) const;
    // What `theirs`, the claims of another node, gets wrong or misses; sends nothing when all is
    // right.
    void answer_claims(base::NodeId to, const LivenessUpdates& theirs, Effects& effects);

    // An unknown node is dead, self is alive.
    Liveness liveness(base::NodeId node) const;
    Incarnation incarnation() const { return incarnation_; }
    uint32_t awareness() const { return awareness_.score(); }
    uint64_t refutations() const { return refutations_; }
    size_t member_count() const { return peers_.size() + 1; }

  private:
    struct Peer {
        Incarnation incarnation;
        Liveness liveness = Liveness::alive;
        std::optional<Suspicion> suspicion;
    };
    using Peers = absl::btree_map<base::NodeId, Peer>;
    struct Probe {
        base::NodeId target;
        uint64_t sequence = 0;
        base::MonotonicTime direct_deadline;
        base::MonotonicTime final_deadline;
        bool is_indirect = false;
        uint32_t helpers_asked = 0;
        // Those that have sent no nack yet.
        std::vector<base::NodeId> helpers;
    };
    // A ping that we send for another node.
    struct Relay {
        base::NodeId asker;
        uint64_t asker_sequence = 0;
        base::NodeId target;
        uint64_t sequence = 0;
        base::MonotonicTime deadline;
        base::MonotonicTime forget_at;
        bool nack_sent = false;
    };

    void on_ping(base::NodeId from, const peer::SwimMessage& message, Effects& effects);
    void on_ack(base::NodeId from, const peer::SwimMessage& message, Effects& effects);
    void on_nack(base::NodeId from, const peer::SwimMessage& message);
    void on_ping_request(base::NodeId from,
                         const peer::SwimMessage& message,
                         base::MonotonicTime now,
                         Effects& effects);

    void apply(const LivenessClaim& claim, base::MonotonicTime now, Effects& effects);
    void apply_to_self(const LivenessClaim& claim, base::MonotonicTime now);
    void set_alive(base::NodeId node, Peer& peer, Incarnation incarnation, Effects& effects);
    void set_suspect(Peer& peer,
                     const LivenessClaim& claim,
                     base::MonotonicTime now,
                     Effects& effects);
    void set_dead(Peer& peer,
                  const LivenessClaim& claim,
                  base::MonotonicTime now,
                  Effects& effects);
    // Queues news; it begins to leave at the next tick.
    void spread(const LivenessClaim& claim, base::MonotonicTime now);

    void count_pause(base::MonotonicTime now);
    void run_relays(base::MonotonicTime now, Effects& effects);
    void run_probe(base::MonotonicTime now, Effects& effects);
    void ask_helpers(Effects& effects);
    void fail_probe(base::MonotonicTime now, Effects& effects);
    void start_probe(base::MonotonicTime now, Effects& effects);
    void run_suspicions(base::MonotonicTime now, Effects& effects);
    void run_dead_probe(base::MonotonicTime now, Effects& effects);
    void run_spread(base::MonotonicTime now, Effects& effects);

    void send(base::NodeId to,
              peer::SwimMessage::Kind kind,
              uint64_t sequence,
              base::NodeId target,
              Effects& effects);
    std::vector<base::NodeId> random_live_peers(size_t count, base::NodeId except);
    uint32_t send_limit() const;
    LivenessClaim claim_about(base::NodeId node, const Peer& peer) const;

    // Constant after construction.
    const SwimOptions options_;
    const base::NodeId self_;

    Incarnation incarnation_;
    uint64_t record_version_ = 0;
    Draw draw_;
    Awareness awareness_;
    uint64_t sequence_;
    uint64_t refutations_ = 0;
    Peers peers_;
    absl::btree_set<base::NodeId> suspects_;
    absl::btree_set<base::NodeId> dead_;
    ProbeSchedule schedule_;
    // A suspect that the next probe goes to, out of turn.
    base::NodeId to_verify_;
    BroadcastQueue queue_;
    std::optional<Probe> probe_;
    std::vector<Relay> relays_;
    base::MonotonicTime next_probe_at_;
    base::MonotonicTime next_dead_probe_at_;
    base::MonotonicTime next_spread_at_;
    // The last member held dead that was pinged.
    base::NodeId last_dead_probed_;
    // Scratch, kept for its memory.
    std::vector<LivenessClaim> outgoing_;
};

}  // namespace starling::gossip
