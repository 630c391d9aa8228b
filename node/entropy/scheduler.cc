#include "node/entropy/scheduler.h"

#include <algorithm>

#include "base/mark.h"
#include "node/entropy/records.h"

namespace starling::node {

void Scheduler::set_peers(GroupId group, const std::vector<base::NodeId>& peers) {
    const std::set<base::NodeId> wanted(peers.begin(), peers.end());
    auto entry = pairs_.lower_bound({group, base::NodeId()});
    while (entry != pairs_.end() && entry->first.first == group) {
        if (wanted.contains(entry->first.second)) {
            ++entry;
            continue;
        }
        queue_.erase({entry->second.due, entry->first});
        running_ -= entry->second.running ? 1u : 0u;
        entry = pairs_.erase(entry);
    }
    for (const base::NodeId peer : wanted) {
        const Key key{group, peer};
        const auto [added, is_new] = pairs_.try_emplace(key);
        if (is_new) {
            plan(key, added->second, jittered(runtime_.options.retry_min));
        }
    }
    arm();
}

void Scheduler::kick(base::NodeId peer) {
    for (auto& [key, pair] : pairs_) {
        if (key.second != peer) continue;
        pair.is_dirty = true;
        STARLING_MARK(entropy_kicked);
        pair.failures = 0;
        if (!pair.running) {
            plan(key, pair, jittered(runtime_.options.retry_min) - runtime_.options.retry_min / 2);
        }
    }
    arm();
}

void Scheduler::mark_dirty(GroupId group, base::NodeId peer) {
    const auto found = pairs_.find({group, peer});
    if (found == pairs_.end()) return;
    found->second.is_dirty = true;
    const base::Duration delay = jittered(runtime_.options.retry_min);
    if (!found->second.running && found->second.due > runtime_.loop.now() + delay) {
        plan(found->first, found->second, delay);
        arm();
    }
}

void Scheduler::on_pull_hint(GroupId group, base::NodeId peer) {
    const auto found = pairs_.find({group, peer});
    if (found == pairs_.end()) return;
    found->second.is_dirty = true;
    STARLING_MARK(entropy_told_to_pull);
    found->second.is_pull_wanted = true;
    if (!found->second.running) {
        plan(found->first, found->second, base::Duration::zero());
        arm();
    }
}

void Scheduler::on_checked_by(GroupId group, base::NodeId peer, bool is_equal) {
    const auto found = pairs_.find({group, peer});
    if (found == pairs_.end()) return;
    Pair& pair = found->second;
    pair.is_dirty = !is_equal;
    if (is_equal && !pair.running) {
        pair.failures = 0;
        pair.is_pull_wanted = false;
        plan(found->first, pair, jittered(runtime_.options.interval));
    }
}

size_t Scheduler::dirty_count() const {
    size_t groups = 0;
    const GroupId* last = nullptr;
    for (const auto& [key, pair] : pairs_) {
        if (!pair.is_dirty || (last != nullptr && *last == key.first)) continue;
        last = &key.first;
        ++groups;
    }
    return groups;
}

void Scheduler::stop() {
    runtime_.loop.cancel(timer_);
    timer_ = 0;
    pairs_.clear();
    queue_.clear();
    running_ = 0;
}

base::Duration Scheduler::jittered(base::Duration delay) {
    const auto spread = static_cast<uint64_t>(std::max<int64_t>(delay.count() / 2, 1));
    return delay * 3 / 4 + base::Duration(static_cast<int64_t>(runtime_.random.below(spread)));
}

base::Duration Scheduler::backoff(const Pair& pair) {
    base::Duration delay = runtime_.options.retry_min;
    for (uint32_t i = 0; i < pair.failures && delay < runtime_.options.interval; ++i) {
        delay *= 2;
    }
    return jittered(std::min(delay, runtime_.options.interval));
}

void Scheduler::plan(const Key& key, Pair& pair, base::Duration delay) {
    queue_.erase({pair.due, key});
    pair.due = runtime_.loop.now() + delay;
    queue_.insert({pair.due, key});
}

void Scheduler::arm() {
    if (queue_.empty() || running_ >= runtime_.options.sessions_max) return;
    const base::MonotonicTime due = queue_.begin()->first;
    if (timer_ != 0 && timer_due_ <= due) return;
    runtime_.loop.cancel(timer_);
    timer_due_ = due;
    timer_ = runtime_.loop.schedule_after(due - runtime_.loop.now(), [this] {
        timer_ = 0;
        run_due();
    });
}

void Scheduler::run_due() {
    while (!queue_.empty() && running_ < runtime_.options.sessions_max &&
           queue_.begin()->first <= runtime_.loop.now()) {
        const Key key = queue_.begin()->second;
        queue_.erase(queue_.begin());
        compare(key);
    }
    arm();
}

void Scheduler::compare(const Key& key) {
    Pair& pair = pairs_.at(key);
    ++running_;
    pair.running = std::make_unique<Comparison>();
    pair.running->begun = runtime_.loop.now();
    if (std::exchange(pair.is_pull_wanted, false)) return pull(key);
    check(key, pair);
}

void Scheduler::check(const Key& key, Pair& pair) {
    const absl::StatusOr<GroupSummary> own = runtime_.groups.summary(key.first);
    if (!own.ok()) return finish(key, false);
    ++runtime_.counters.checks;
    const SummaryHashes hashes = hashes_of(*own);
    peer::EntropyMessage question;
    question.mutable_check()->set_frontier_hash(hashes.frontier);
    question.mutable_check()->set_root_hash(hashes.root);
    pair.running->check = std::make_unique<Exchange>(runtime_, key.second);
    pair.running->check->ask(
        key.first,
        std::move(question),
        peer::EntropyMessage::kChecked,
        [this, key](const absl::Status& status, const peer::EntropyMessage* answer) {
            if (!status.ok()) return finish(key, false);
            if (!answer->checked().is_equal()) return pull(key);
            ++runtime_.counters.checks_equal;
            tell_caught_up(key);
            finish(key, true);
        });
}

void Scheduler::pull(const Key& key) {
    Comparison& running = *pairs_.at(key).running;
    running.session =
        std::make_unique<SyncSession>(runtime_,
                                      key.first,
                                      key.second,
                                      SyncSession::Mode::hasty,
                                      [this, key](absl::StatusOr<SyncResult> result) {
                                          if (result.ok()) tell_caught_up(key);
                                          if (result.ok() && result->is_peer_behind) {
                                              STARLING_MARK(entropy_tells_peer_to_pull);
                                              peer::EntropyMessage hint;
                                              hint.set_partition(key.first.partition.raw());
                                              hint.set_replicas(key.first.replicas);
                                              hint.mutable_pull_hint();
                                              runtime_.host.send(key.second, std::move(hint));
                                          }
                                          finish(key, false);
                                      });
    running.session->start();
}

void Scheduler::tell_caught_up(const Key& key) {
    const base::Duration ago = runtime_.loop.now() - pairs_.at(key).running->begun;
    runtime_.host.caught_up_with(key.first, key.second, ago);
}

void Scheduler::finish(const Key& key, bool is_equal) {
    Pair& pair = pairs_.at(key);
    // Ends the caller's own objects: nothing of them may be touched after this.
    const std::unique_ptr<Comparison> ended = std::move(pair.running);
    --running_;
    pair.is_dirty = !is_equal;
    if (pair.is_pull_wanted) {
        plan(key, pair, base::Duration::zero());
    } else if (is_equal) {
        pair.failures = 0;
        plan(key, pair, jittered(runtime_.options.interval));
    } else {
        plan(key, pair, backoff(pair));
        ++pair.failures;
    }
    arm();
}

}  // namespace starling::node
