#pragma once

// When to compare which group with which other holder. Each pair of a group and a peer comes up
// every interval, jittered, and sooner when the group has changed, something may have been missed,
// or the peer's next report may let tombstones go; a few run at a time.
//
// A comparison is one question and one answer: either side's frontier, the hash of its tree, and
// what it reports of itself (rules R5 to R7). What one side lacks may be on its way, so it looks
// again a little later, and only what is still not there is pulled, from one peer at a time: the
// next one is asked for what that one did not have. Equal frontiers under different
// trees are looked at again, too: then one of the two has lost a record.
//
// A peer that does not answer is asked one question at a time, for all of its pairs: each takes its
// time, and the few that run would soon be of silent peers only.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
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
    // It answers, and had not before.
    void heard_again(base::NodeId peer);
    void peer_missed(GroupId group, base::NodeId peer);
    // The peer asked whether the two are in step, and has this; or says that this side has missed
    // some of it.
    void on_checked_by(GroupId group,
                       base::NodeId peer,
                       const Frontier& theirs,
                       uint64_t root_hash,
                       bool has_missed);
    size_t dirty_count() const;
    bool is_behind(GroupId group) const;
    void stop();

  private:
    using Key = std::pair<GroupId, base::NodeId>;
    // One comparison under way.
    struct Comparison {
        Lifeline lifeline;
        std::unique_ptr<Exchange> check;
        std::unique_ptr<SyncSession> session;
    };
    struct Pair {
        base::MonotonicTime due{};
        // Not known to be in step.
        bool is_dirty = true;
        // The group's change_count() when the two were in step, and when that was.
        std::optional<uint64_t> equal_at_change;
        base::MonotonicTime equal_at{};
        // What the peer had seen and this side had not.
        std::optional<Frontier> lacking;
        // Writes that the peer has missed for good, and how many of them it has been told of.
        uint64_t missed = 0;
        uint64_t missed_told = 0;
        base::MonotonicTime asked_at{};
        // The peer said during a comparison that this side has missed some of this.
        std::optional<Frontier> missed_here;
        // This side may lack what the peer has: they were not compared yet, or not since one could
        // not reach the other, or this side pulls. Not where the peer cannot say what it has.
        bool is_behind = true;
        // The trees differed under equal frontiers when they were compared last.
        bool do_trees_differ = false;
        uint32_t failures = 0;
        std::unique_ptr<Comparison> running;
    };
    // unknown: what this side has cannot be said now.
    enum class Verdict : uint8_t { in_step, peer_is_behind, lacking, trees_differ, unknown };

    void plan(const Key& key, Pair& pair, base::Duration delay);
    // They are in step: it is time again together with others' time, in one turn of the loop.
    void plan_next_look(const Key& key, Pair& pair);
    base::Duration jittered(base::Duration delay);
    base::Duration backoff(const Pair& pair);
    void run_due();
    void arm();
    void compare(const Key& key);
    void check(const Key& key);
    void ask(const Key& key, const GroupSummary& own, peer::EntropyReport report);
    void on_answer(const Key& key, const peer::EntropyChecked& checked);
    // Notes what follows from what the peer has.
    Verdict judge(const Key& key, Pair& pair, const Frontier& theirs, uint64_t root_hash);
    void pull(const Key& key, SyncSession::Mode mode);
    bool is_pulling(GroupId group) const;
    // For another comparison.
    bool has_room() const;
    // Another pair waits for its answer already.
    bool is_waited_for(base::NodeId peer) const;
    // This side pulls what it lacks, without waiting whether it comes.
    void pull_soon(const Key& key, Pair& pair);
    void finish(const Key& key, bool is_equal);
    // The peer has not said what it has.
    void finish_unanswered(const Key& key, const absl::Status& why);
    void set_behind(Pair& pair, bool is_behind);

    EntropyRuntime& runtime_;
    std::map<Key, Pair> pairs_;
    // How many are behind.
    size_t behind_ = 0;

    // The pairs that are not running.
    std::set<std::pair<base::MonotonicTime, Key>> queue_;
    // With whom.
    std::multiset<base::NodeId> running_;
    env::TimerId timer_ = 0;
    base::MonotonicTime timer_due_{};
};

}  // namespace starling::node
