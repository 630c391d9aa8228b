#include "node/replica/collector.h"

#include <algorithm>
#include <vector>

#include "base/mark.h"

namespace starling::node {

namespace {

constexpr base::Duration interval = std::chrono::seconds(1);
// Under load what owners tell changes with each comparison.
constexpr base::Duration save_interval = std::chrono::seconds(10);
constexpr base::Duration reclaim_interval = std::chrono::seconds(30);
// When so many more requests have become too old to be minted again, all that was left is looked at
// once more, for whatever reason it was left.
constexpr uint64_t whole_progress_ms = 60'000;
// Some tombstone is always just old enough where many are made.
constexpr base::Duration rest = std::chrono::seconds(2);
// A disk that failed is not asked every second.
constexpr base::Duration retry_after = std::chrono::seconds(60);

}  // namespace

void Collector::start() {
    timer_ = loop_.schedule_after(interval, [this] {
        standings_.note_starts_again();
        store_.set_tombstones_old_before(standings_.overdue_before_ms());
        for (const GroupId group : store_.groups()) {
            standings_.look_at_own(group);
        }
        if (loop_.now() >= save_at_) {
            standings_.save_memory();
            save_at_ = loop_.now() + save_interval;
        }
        if (loop_.now() >= reclaim_at_) {
            store_.engine().reclaim_while_quiet();
            reclaim_at_ = loop_.now() + reclaim_interval;
        }
        run();
        start();
    });
}

void Collector::stop() {
    is_stopped_ = true;
    loop_.cancel(timer_);
}

void Collector::run() {
    if (is_running_) return;
    if (const std::optional<Plan> plan = next_plan(); plan.has_value()) run_pass(*plan);
}

void Collector::run_pass(const Plan& plan) {
    last_ = plan.group;
    is_running_ = true;
    Passes& passes = passes_[plan.group];
    passes.stable = store_.stable(plan.group);
    passes.forget_before_ms = plan.forget_before_ms;
    passes.rests_until = loop_.now() + rest;
    store_.collect(plan.group,
                   plan.from_ms,
                   plan.forget_before_ms,
                   latest_only_,
                   [this, plan](const absl::StatusOr<ReplicaStore::Collected>& collected) {
                       is_running_ = false;
                       collected_ += collected.ok() ? collected->tombstones : 0;
                       // Else its data was removed meanwhile.
                       if (const auto ended = passes_.find(plan.group); ended != passes_.end()) {
                           note(ended->second, plan, collected);
                       }
                       if (!is_stopped_) run();
                   });
}

void Collector::note(Passes& passes,
                     const Plan& plan,
                     const absl::StatusOr<ReplicaStore::Collected>& collected) {
    passes.retry_at.reset();
    if (!collected.ok()) {
        STARLING_MARK(collect_failed);
        passes.retry_at = loop_.now() + retry_after;
    } else if (plan.is_whole) {
        passes.whole_before_ms = plan.forget_before_ms;
        passes.left = collected->left;
    } else {
        passes.left.add(collected->left);
    }
}

std::optional<Collector::Plan> Collector::plan_for(GroupId group) const {
    if (store_.tombstone_count(group) == 0) return std::nullopt;
    const uint64_t forget_before_ms = standings_.forget_before(group);
    if (forget_before_ms == 0) return std::nullopt;
    const Plan whole{.group = group, .forget_before_ms = forget_before_ms};
    const auto found = passes_.find(group);
    if (found == passes_.end()) return whole;
    const Passes& passes = found->second;
    if (passes.retry_at.has_value()) {
        return loop_.now() < *passes.retry_at ? std::nullopt : std::optional(whole);
    }
    if (passes.stable != store_.stable(group) || forget_before_ms < passes.forget_before_ms) {
        return whole;
    }
    if (loop_.now() < passes.rests_until) return std::nullopt;
    if (forget_before_ms > passes.left.next_goes_ms ||
        forget_before_ms >= passes.whole_before_ms + whole_progress_ms) {
        return whole;
    }
    const uint64_t next_ms = store_.next_tombstone_ms(group);
    if (next_ms >= forget_before_ms) return std::nullopt;
    return Plan{.group = group,
                .is_whole = false,
                .from_ms = next_ms,
                .forget_before_ms = forget_before_ms};
}

std::optional<Collector::Plan> Collector::next_plan() {
    std::vector<GroupId> groups = store_.groups();
    if (last_.has_value()) {
        const auto after = std::upper_bound(groups.begin(), groups.end(), *last_);
        std::rotate(groups.begin(), after, groups.end());
    }
    for (const GroupId group : groups) {
        if (const std::optional<Plan> plan = plan_for(group); plan.has_value()) return plan;
    }
    return std::nullopt;
}

Collector::WaitingFor Collector::waiting() const {
    WaitingFor waiting;
    for (const GroupId group : store_.groups()) {
        Waiting here{.tombstones = store_.old_tombstone_count(group)};
        if (here.tombstones == 0) continue;
        const auto passes = passes_.find(group);
        const ReplicaStore::Left left =
            passes == passes_.end() ? ReplicaStore::Left{} : passes->second.left;
        uint64_t latest_ms = 0;
        for (const uint64_t created_ms :
             {store_.next_tombstone_ms(group), left.oldest_unseen_ms, left.next_goes_ms}) {
            // 0: of remains that remember no request.
            if (created_ms == 0 || !standings_.is_overdue(created_ms)) continue;
            here.since_ms = std::min(here.since_ms, created_ms);
            latest_ms = std::max(latest_ms, created_ms);
        }
        if (latest_ms == 0) continue;
        for (const base::NodeId node : standings_.waited_for(group, left.unseen, latest_ms)) {
            waiting[node].add(here);
        }
    }
    return waiting;
}

}  // namespace starling::node
