#include "node/entropy/scheduler.h"

#include <algorithm>
#include <utility>

#include "base/mark.h"
#include "base/planted.h"
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
        if (entry->second.running) running_.erase(running_.find(entry->first.second));
        set_behind(entry->second, false);
        entry = pairs_.erase(entry);
    }
    for (const base::NodeId peer : wanted) {
        const Key key{group, peer};
        const auto [added, is_new] = pairs_.try_emplace(key);
        if (is_new) {
            ++behind_;
            plan(key, added->second, jittered(runtime_.options.retry_min));
        }
    }
    arm();
}

void Scheduler::kick(base::NodeId peer) {
    runtime_.silent_peers.erase(peer);
    for (auto& [key, pair] : pairs_) {
        if (key.second != peer) continue;
        pair.is_dirty = true;
        // What the peer took meanwhile this side may have missed.
        set_behind(pair, true);
        STARLING_MARK(entropy_kicked);
        pair.failures = 0;
        if (!pair.running) {
            plan(key, pair, jittered(runtime_.options.retry_min) - runtime_.options.retry_min / 2);
        }
    }
    arm();
}

void Scheduler::heard_again(base::NodeId peer) {
    for (auto& [key, pair] : pairs_) {
        const base::Duration delay = jittered(runtime_.options.retry_min);
        if (key.second == peer && !pair.running && pair.due > runtime_.loop.now() + delay) {
            plan(key, pair, delay);
        }
    }
    arm();
}

void Scheduler::peer_missed(GroupId group, base::NodeId peer) {
    const auto found = pairs_.find({group, peer});
    // It is compared with nobody now, and counts for nothing, or is behind until it was.
    if (found == pairs_.end()) return;
    Pair& pair = found->second;
    pair.is_dirty = true;
    const bool was_told_all = pair.missed++ == pair.missed_told;
    if (!was_told_all || pair.running) return;
    const base::MonotonicTime now = runtime_.loop.now();
    const base::MonotonicTime due = std::max(now, pair.asked_at + runtime_.options.retry_min);
    if (pair.due > due) plan(found->first, pair, due - now);
    arm();
}

void Scheduler::on_checked_by(
    GroupId group, base::NodeId peer, const Frontier& theirs, uint64_t root_hash, bool has_missed) {
    const auto found = pairs_.find({group, peer});
    if (found == pairs_.end()) return;
    Pair& pair = found->second;
    if (pair.running) {
        if (has_missed) pair.missed_here = theirs;
        return;
    }
    const Verdict verdict = judge(found->first, pair, theirs, root_hash);
    if (verdict == Verdict::unknown) return;
    pair.is_dirty = verdict != Verdict::in_step;
    if (verdict == Verdict::lacking && has_missed) {
        pull_soon(found->first, pair);
        arm();
    } else if (verdict == Verdict::lacking || verdict == Verdict::trees_differ) {
        // Not later than it would be: the peer may ask again before it is this pair's turn.
        const base::Duration delay = jittered(runtime_.options.retry_min);
        if (pair.due > runtime_.loop.now() + delay) plan(found->first, pair, delay);
        arm();
    } else if (verdict == Verdict::in_step) {
        pair.failures = 0;
        plan_next_look(found->first, pair);
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

// Asked for each read: mostly nothing is behind.
bool Scheduler::is_behind(GroupId group) const {
    if (behind_ == 0) return false;
    for (auto entry = pairs_.lower_bound({group, base::NodeId()});
         entry != pairs_.end() && entry->first.first == group;
         ++entry) {
        if (entry->second.is_behind) return true;
    }
    return false;
}

void Scheduler::set_behind(Pair& pair, bool is_behind) {
    behind_ = behind_ + (is_behind ? 1 : 0) - (pair.is_behind ? 1 : 0);
    pair.is_behind = is_behind;
}

void Scheduler::stop() {
    runtime_.loop.cancel(timer_);
    timer_ = 0;
    pairs_.clear();
    queue_.clear();
    running_.clear();
    behind_ = 0;
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

void Scheduler::plan_next_look(const Key& key, Pair& pair) {
    constexpr int turns = 32;
    const base::MonotonicTime now = runtime_.loop.now();
    const base::MonotonicTime due = now + jittered(runtime_.options.active_interval);
    const base::Duration turn =
        std::max(runtime_.options.active_interval / turns, base::Duration(1));
    const base::Duration until_turn = turn - due.time_since_epoch() % turn;
    plan(key, pair, due + until_turn - now);
}

void Scheduler::arm() {
    if (queue_.empty() || !has_room()) return;
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
    while (!queue_.empty() && has_room() && queue_.begin()->first <= runtime_.loop.now()) {
        const Key key = queue_.begin()->second;
        if (is_waited_for(key.second)) {
            STARLING_MARK(entropy_waits_for_a_silent_peer);
            Pair& pair = pairs_.at(key);
            if (!pair.lacking.has_value()) {
                set_behind(pair, false);
            }
            plan(key, pair, jittered(runtime_.options.interval));
            continue;
        }
        queue_.erase(queue_.begin());
        compare(key);
    }
    arm();
}

void Scheduler::compare(const Key& key) {
    Pair& pair = pairs_.at(key);
    const bool is_as_it_was = pair.equal_at_change == runtime_.groups.change_count(key.first);
    if (!pair.is_dirty && is_as_it_was &&
        runtime_.loop.now() - pair.equal_at < runtime_.options.interval &&
        !runtime_.host.awaits_report(key.first, key.second)) {
        return plan_next_look(key, pair);
    }
    running_.insert(key.second);
    pair.running = std::make_unique<Comparison>();
    check(key);
}

void Scheduler::check(const Key& key) {
    absl::StatusOr<GroupSummary> own = runtime_.groups.summary(key.first);
    if (!own.ok()) return finish(key, false);
    Pair& pair = pairs_.at(key);
    if (pair.lacking.has_value() && !own->frontier.contains(*pair.lacking)) {
        // Nobody has brought it meanwhile.
        if (is_pulling(key.first)) {
            STARLING_MARK(entropy_waits_for_another_pull);
            set_behind(pair, true);
            return finish(key, false);
        }
        STARLING_MARK(entropy_pulls_what_lacks);
        return pull(key, SyncSession::Mode::dots);
    }
    pair.lacking.reset();
    ++runtime_.counters.checks;
    runtime_.host.report(
        key.first,
        key.second,
        pair.running->lifeline.guard(
            [this, key, own = *std::move(own)](absl::StatusOr<peer::EntropyReport> report) {
                if (!report.ok()) return finish(key, false);
                ask(key, own, *std::move(report));
            }));
}

void Scheduler::ask(const Key& key, const GroupSummary& own, peer::EntropyReport report) {
    peer::EntropyMessage question;
    own.frontier.encode(*question.mutable_check()->mutable_frontier());
    question.mutable_check()->set_root_hash(root_hash(own.buckets));
    *question.mutable_check()->mutable_report() = std::move(report);
    Pair& pair = pairs_.at(key);
    pair.asked_at = runtime_.loop.now();
    if (pair.missed != pair.missed_told) {
        STARLING_MARK(entropy_tells_what_was_missed);
        question.mutable_check()->set_has_missed(true);
    }
    Comparison& running = *pair.running;
    running.check = std::make_unique<Exchange>(runtime_, key.second);
    running.check->ask(key.first,
                       std::move(question),
                       peer::EntropyMessage::kChecked,
                       [this, key, missed = pair.missed](const absl::Status& status,
                                                         const peer::EntropyMessage* answer) {
                           if (!status.ok()) return finish_unanswered(key, status);
                           pairs_.at(key).missed_told = missed;
                           on_answer(key, answer->checked());
                       });
}

void Scheduler::on_answer(const Key& key, const peer::EntropyChecked& checked) {
    const absl::StatusOr<Frontier> theirs = read_frontier(checked.frontier());
    if (!theirs.ok()) {
        ++runtime_.counters.malformed_messages;
        return finish(key, false);
    }
    if (checked.has_report()) {
        runtime_.host.reported(key.first, key.second, *theirs, checked.report());
        // A report may show that nothing is to be compared here for now.
        const auto still = pairs_.find(key);
        if (still == pairs_.end() || still->second.running == nullptr) {
            STARLING_MARK(entropy_comparison_ended_by_report);
            return;
        }
    }
    Pair& pair = pairs_.at(key);
    const bool did_trees_differ = pair.do_trees_differ;
    const Verdict verdict = judge(key, pair, *theirs, checked.root_hash());
    if (verdict == Verdict::trees_differ && did_trees_differ) {
        STARLING_MARK(entropy_trees_differ_under_equal_frontiers);
        return pull(key, SyncSession::Mode::thorough);
    }
    if (verdict == Verdict::in_step && STARLING_PLANTED(equal_replicas_pull)) {
        return pull(key, SyncSession::Mode::thorough);
    }
    runtime_.counters.checks_equal += verdict == Verdict::in_step ? 1 : 0;
    finish(key, verdict == Verdict::in_step);
}

Scheduler::Verdict Scheduler::judge(const Key& key,
                                    Pair& pair,
                                    const Frontier& theirs,
                                    uint64_t root_hash_there) {
    const absl::StatusOr<GroupSummary> own = runtime_.groups.summary(key.first);
    pair.do_trees_differ = false;
    if (!own.ok()) return Verdict::unknown;
    if (!own->frontier.contains(theirs)) {
        pair.lacking = theirs;
        return Verdict::lacking;
    }
    pair.lacking.reset();
    set_behind(pair, false);
    if (own->frontier != theirs) {
        STARLING_MARK(entropy_peer_is_only_behind);
        return Verdict::peer_is_behind;
    }
    pair.do_trees_differ = root_hash(own->buckets) != root_hash_there;
    if (pair.do_trees_differ) return Verdict::trees_differ;
    pair.equal_at_change = runtime_.groups.change_count(key.first);
    pair.equal_at = runtime_.loop.now();
    return Verdict::in_step;
}

void Scheduler::pull(const Key& key, SyncSession::Mode mode) {
    Pair& pair = pairs_.at(key);
    set_behind(pair, true);
    Comparison& running = *pair.running;
    running.session =
        std::make_unique<SyncSession>(runtime_,
                                      key.first,
                                      key.second,
                                      mode,
                                      [this, key, mode](const absl::StatusOr<SyncResult>&) {
                                          // It had seen all that the peer has before that began.
                                          if (mode == SyncSession::Mode::thorough)
                                              set_behind(pairs_.at(key), false);
                                          finish(key, STARLING_PLANTED(equal_replicas_pull));
                                      });
    running.session->start();
}

bool Scheduler::is_pulling(GroupId group) const {
    for (auto entry = pairs_.lower_bound({group, base::NodeId()});
         entry != pairs_.end() && entry->first.first == group;
         ++entry) {
        if (entry->second.running && entry->second.running->session) return true;
    }
    return false;
}

// Many peers may be silent: the one question to each takes nobody's place.
bool Scheduler::has_room() const {
    const auto takes_place = [this](base::NodeId peer) {
        return !runtime_.silent_peers.contains(peer) ||
               STARLING_PLANTED(silent_peer_holds_up_others);
    };
    return static_cast<size_t>(std::count_if(running_.begin(), running_.end(), takes_place)) <
           runtime_.options.sessions_max;
}

bool Scheduler::is_waited_for(base::NodeId peer) const {
    return runtime_.silent_peers.contains(peer) && running_.contains(peer) &&
           !STARLING_PLANTED(silent_peer_holds_up_others);
}

// One that says "not now" has its trees again soon.
void Scheduler::finish_unanswered(const Key& key, const absl::Status& why) {
    Pair& pair = pairs_.at(key);
    const bool cannot_say = runtime_.silent_peers.contains(key.second) || absl::IsDataLoss(why);
    if (cannot_say && !pair.lacking.has_value()) {
        set_behind(pair, false);
    } else if (pair.is_behind) {
        STARLING_MARK(entropy_stays_behind_uncompared);
    }
    finish(key, false);
}

void Scheduler::pull_soon(const Key& key, Pair& pair) {
    STARLING_MARK(entropy_has_missed_a_write);
    set_behind(pair, true);
    pair.failures = 0;
    plan(key, pair, base::Duration::zero());
}

void Scheduler::finish(const Key& key, bool is_equal) {
    Pair& pair = pairs_.at(key);
    // Ends the caller's own objects: nothing of them may be touched after this.
    const std::unique_ptr<Comparison> ended = std::move(pair.running);
    running_.erase(running_.find(key.second));
    const bool is_in_step =
        is_equal && pair.missed == pair.missed_told && !pair.missed_here.has_value();
    pair.is_dirty = !is_in_step;
    if (pair.missed_here.has_value()) {
        pair.lacking = std::exchange(pair.missed_here, std::nullopt);
        pull_soon(key, pair);
    } else if (is_in_step) {
        pair.failures = 0;
        plan_next_look(key, pair);
    } else {
        plan(key, pair, backoff(pair));
        ++pair.failures;
    }
    arm();
}

}  // namespace starling::node
