#pragma once

// JoinCore: how this node becomes a member of another cluster, without I/O.
//
//   idle -> asking            JoinRequest to the known address, again and again
//   asking -> adopting        accepted; the host makes the new cluster durable
//   adopting -> announcing    done; JoinAnnounce to one member after the other
//   announcing -> idle        a member knows us: the join is done
//   asking, adopting -> idle  refused, failed or timed out: nothing has changed
//
// Once adopted there is no way back: a join that times out while announcing tells its caller so,
// and goes on announcing; so does a node that crashed there, after its restart. Every message may
// be lost or repeated.

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"

#include "base/ids.h"
#include "base/time.h"
#include "env/transport.h"
#include "gossip/join.h"
#include "gossip/options.h"
#include "starling/peer/gossip.pb.h"

namespace starling::gossip {

class JoinCore {
  public:
    enum class State : uint8_t { idle, asking, adopting, announcing };

    struct Send {
        env::Address to;
        base::NodeId to_node;
        peer::GossipMessage message;
    };
    struct Effects {
        std::vector<Send> sends;
        // Make this durable, then call adopted().
        std::optional<JoinGrant> adopt;
        // Another member knows us.
        bool is_acknowledged = false;
        // Tell whoever asked for the join. Once per ask().
        std::optional<absl::Status> finished;
    };

    JoinCore(const GossipOptions& options, uint64_t first_nonce)
        : retry_interval_(options.join_retry_interval),
          timeout_(options.join_timeout),
          nonce_(first_nonce) {}

    // REQUIRES: idle.
    void ask(JoinOffer offer, env::Address known, base::MonotonicTime now, Effects& effects);
    void on_reply(base::NodeId from,
                  const peer::JoinReply& reply,
                  base::MonotonicTime now,
                  Effects& effects);
    // REQUIRES: adopting. After OK follows announce().
    void adopted(const absl::Status& status, Effects& effects);
    // Begins to announce to the members of `membership`. REQUIRES: idle, or adopted with OK.
    void announce(const MemberRecord& own,
                  const Membership& membership,
                  base::MonotonicTime now,
                  Effects& effects);
    void on_announced(const peer::JoinAnnounced& announced, Effects& effects);
    // `own`, `membership`: as they are now.
    void tick(const MemberRecord& own,
              const Membership& membership,
              base::MonotonicTime now,
              Effects& effects);
    // nullopt: nothing to wait for but an answer.
    std::optional<base::MonotonicTime> next_deadline() const;

    State state() const { return state_; }

  private:
    void send_request(base::MonotonicTime now, Effects& effects);
    void send_announce(const MemberRecord& own,
                       const Membership& membership,
                       base::MonotonicTime now,
                       Effects& effects);
    void finish(const absl::Status& status, Effects& effects);

    const base::Duration retry_interval_;
    const base::Duration timeout_;

    State state_ = State::idle;
    uint64_t nonce_;
    JoinOffer offer_;
    env::Address known_;
    // The member that accepted us; later the one that was asked last.
    base::NodeId contact_;
    bool is_contact_asked_ = false;
    // Somebody waits for `finished`.
    bool is_awaited_ = false;
    base::MonotonicTime give_up_at_;
    base::MonotonicTime retry_at_;
    absl::Status last_refusal_;
};

}  // namespace starling::gossip
