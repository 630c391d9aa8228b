#pragma once

// What the parts of one shard's anti-entropy share.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

#include "base/ids.h"
#include "env/event_loop.h"
#include "env/random.h"
#include "node/entropy/entropy_options.h"
#include "node/entropy/pace.h"
#include "node/replica/group_access.h"
#include "starling/peer/entropy.pb.h"

namespace starling::node {

class Exchange;

class EntropyHost {
  public:
    using ReportDone = absl::AnyInvocable<void(absl::StatusOr<peer::EntropyReport>)>;
    using CountingDone = absl::AnyInvocable<void(absl::StatusOr<peer::EntropyCounting>)>;
    using HintsGoneDone = absl::AnyInvocable<void(absl::StatusOr<peer::EntropyHintsGone>)>;

    // Work that can wait should.
    virtual bool do_clients_wait() = 0;
    // May be lost. Never delivers to this node itself before it returns.
    virtual void send(base::NodeId to, peer::EntropyMessage message) = 0;
    // What this node tells `to` of itself beside a frontier of the group. `done` once all that it
    // had seen when this was called is durable.
    virtual void report(GroupId group, base::NodeId to, ReportDone done) = 0;
    // `from`, where `frontier` is durable, told this of itself.
    virtual void reported(GroupId group,
                          base::NodeId from,
                          const Frontier& frontier,
                          const peer::EntropyReport& report) = 0;
    // A report of `from` is worth a comparison of replicas that are in step.
    virtual bool awaits_report(GroupId group, base::NodeId from) = 0;
    // The answer to EntropyHintsAsk; and what a member answered.
    virtual void hints_gone(GroupId group, HintsGoneDone done) = 0;
    virtual void told_hints_gone(GroupId group,
                                 base::NodeId member,
                                 const peer::EntropyHintsGone& gone) = 0;
    virtual bool is_owner(GroupId group) = 0;
    // The seat was given to `successor`, durably, and nobody is known to have held it since.
    virtual bool is_fenced_for(base::PartitionId partition,
                               base::SeatIndex seat,
                               base::NodeId successor) = 0;
    // A peer has seen writes of the group that this owner has not, and that all owners had seen:
    // its disk has lost them. May end comparisons.
    virtual void lacks_what_all_had_seen(GroupId group) = 0;
    // The answer to EntropyRememberedAsk; and what another holder answered. None: it cannot be
    // said, and the holder is to ask again.
    virtual std::optional<peer::EntropyRemembered> remembered(
        GroupId group, base::NodeId holder, const peer::EntropyRememberedAsk& ask) = 0;
    virtual void told_remembered(GroupId group,
                                 base::NodeId holder,
                                 const peer::EntropyRemembered& remembered) = 0;
    // The answer to EntropyCountingAsk; and what another holder answered to the question with this
    // number.
    virtual void counting(GroupId group, bool checks, CountingDone done) = 0;
    virtual void told_counting(GroupId group,
                               base::NodeId holder,
                               uint64_t question,
                               const peer::EntropyCounting& counting) = 0;

  protected:
    ~EntropyHost() = default;
};

struct EntropyRuntime {
    EntropyOptions options;
    EntropyHost& host;
    GroupAccess& groups;
    env::EventLoop& loop;
    env::Random& random;
    EntropyCounters counters{};
    Pace pace{options};
    // Questions that wait for an answer, by session.
    std::map<uint64_t, Exchange*> exchanges{};
    // Have left the last question asked of them without an answer.
    std::set<base::NodeId> silent_peers{};

    void send(base::NodeId to, peer::EntropyMessage message) {
        counters.bytes_sent += message.ByteSizeLong();
        host.send(to, std::move(message));
    }
};

// Lets a callback that outlives its object do nothing.
class Lifeline {
  public:
    template <typename Function>
    auto guard(Function function) const {
        return [alive = std::weak_ptr<int>(alive_),
                function = std::move(function)](auto&&... arguments) mutable {
            if (!alive.expired()) {
                function(std::forward<decltype(arguments)>(arguments)...);
            }
        };
    }

  private:
    std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace starling::node
