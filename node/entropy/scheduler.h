#pragma once

// When to compare which group with which other holder. Each pair of a group and a peer comes up
// every interval, jittered, and at once when something may have been missed; a few run at a time. A
// comparison begins with one small question, whether frontier and tree have equal hashes; only if
// not, this side pulls, and asks the peer to pull in turn when that lacks something.

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "node/entropy/exchange.h"
#include "node/entropy/runtime.h"
#include "node/entropy/sync_session.h"

namespace starling::node {

class Scheduler {
  public:
    explicit Scheduler(EntropyRuntime& runtime) : runtime_(runtime) {}
    ~Scheduler() { stop(); }

    void set_peers(GroupId group, const std::vector<base::NodeId>& peers);
    void kick(base::NodeId peer);
    void mark_dirty(GroupId group, base::NodeId peer);
    // The peer says that it has what this side lacks.
    void on_pull_hint(GroupId group, base::NodeId peer);
    // The peer asked whether the two are in step, and heard this.
    void on_checked_by(GroupId group, base::NodeId peer, bool is_equal);
    size_t dirty_count() const;
    void stop();

  private:
    using Key = std::pair<GroupId, base::NodeId>;
    // One comparison under way.
    struct Comparison {
        base::MonotonicTime begun;
        std::unique_ptr<Exchange> check;
        std::unique_ptr<SyncSession> session;
    };
    struct Pair {
        base::MonotonicTime due{};
        // Not known to be in step.
        bool is_dirty = true;
        bool is_pull_wanted = false;
        uint32_t failures = 0;
        std::unique_ptr<Comparison> running;
    };

    void plan(const Key& key, Pair& pair, base::Duration delay);
    base::Duration jittered(base::Duration delay);
    base::Duration backoff(const Pair& pair);
    void run_due();
    void arm();
    void compare(const Key& key);
    void check(const Key& key, Pair& pair);
    void pull(const Key& key);
    // The peer's frontier, as it was after the comparison began, is covered by ours.
    void tell_caught_up(const Key& key);
    void finish(const Key& key, bool is_equal);

    EntropyRuntime& runtime_;
    std::map<Key, Pair> pairs_;
    // The pairs that are not running.
    std::set<std::pair<base::MonotonicTime, Key>> queue_;
    uint32_t running_ = 0;
    env::TimerId timer_ = 0;
    base::MonotonicTime timer_due_{};
};

}  // namespace starling::node
