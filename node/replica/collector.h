#pragma once

// Collects the tombstones of a shard (rule R5 of docs/causality.md), group after group, where there
// are some that may have become collectable: in a whole pass where those that were left before may
// be among them, else in one over those that were too young before. Each second, when it looks, it
// has the standings draw their own conclusions and keep what they were told, too. Each minute the
// engine may merge away what was removed, where nobody writes. Owned by the shard's loop.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/container/btree_map.h"

#include "base/time.h"
#include "env/event_loop.h"
#include "node/replica/standing.h"
#include "node/replica/store.h"

namespace starling::node {

class Collector {
  public:
    Collector(env::EventLoop& loop,
              ReplicaStore& store,
              Standings& standings,
              ReplicaStore::LatestOnly latest_only)
        : loop_(loop), store_(store), standings_(standings), latest_only_(std::move(latest_only)) {}
    ~Collector() { stop(); }

    void start();
    void stop();

    uint64_t collected() const { return collected_; }
    struct Waiting {
        // Those that are overdue (Standings) in the groups that wait for the node.
        uint64_t tombstones = 0;
        // When the request was created (Unix ms) for which one of them has waited longest.
        uint64_t since_ms = UINT64_MAX;

        void add(const Waiting& more) {
            tombstones += more.tombstones;
            since_ms = std::min(since_ms, more.since_ms);
        }
    };
    using WaitingFor = absl::btree_map<base::NodeId, Waiting>;
    WaitingFor waiting() const;
    // The group's data is removed here.
    void forget_group(GroupId group) { passes_.erase(group); }

  private:
    // What the passes over a group have seen.
    struct Passes {
        // In the last one.
        Frontier stable;
        uint64_t forget_before_ms = 0;
        // For what has only aged the next one comes then at the earliest.
        base::MonotonicTime rests_until{};
        // It failed, and is to be repeated then.
        std::optional<base::MonotonicTime> retry_at;
        // In the last that looked at all.
        uint64_t whole_before_ms = 0;
        ReplicaStore::Left left;
    };
    struct Plan {
        GroupId group;
        // It looks at all tombstones that are old enough, and else at those whose requests were
        // created from `from_ms` on.
        bool is_whole = true;
        uint64_t from_ms = 0;
        uint64_t forget_before_ms = 0;
    };

    void run();
    void run_pass(const Plan& plan);
    void note(Passes& passes,
              const Plan& plan,
              const absl::StatusOr<ReplicaStore::Collected>& collected);
    // None: there is nothing to be done for any.
    std::optional<Plan> next_plan();
    std::optional<Plan> plan_for(GroupId group) const;

    env::EventLoop& loop_;
    ReplicaStore& store_;
    Standings& standings_;
    const ReplicaStore::LatestOnly latest_only_;
    env::TimerId timer_ = 0;
    base::MonotonicTime save_at_{};
    base::MonotonicTime reclaim_at_{};
    bool is_running_ = false;
    bool is_stopped_ = false;
    absl::btree_map<GroupId, Passes> passes_;
    std::optional<GroupId> last_;
    uint64_t collected_ = 0;
};

}  // namespace starling::node
