#include "node/replica/collector.h"

#include <algorithm>
#include <vector>

namespace starling::node {

namespace {

constexpr base::Duration interval = std::chrono::seconds(1);
// Under load what owners tell changes with each comparison.
constexpr base::Duration save_interval = std::chrono::seconds(10);
// So many more requests have become too old to be minted again since the last pass: enough for
// another one; and for one that looks at what was left, too.
constexpr uint64_t progress_ms = 2'000;
constexpr uint64_t whole_progress_ms = 60'000;

}  // namespace

void Collector::start() {
    timer_ = loop_.schedule_after(interval, [this] {
        for (const GroupId group : store_.groups()) {
            standings_.look_at_own(group);
        }
        if (loop_.now() >= save_at_) {
            standings_.save_memory();
            save_at_ = loop_.now() + save_interval;
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
    if (plan.from_ms == 0) {
        passes.whole_before_ms = plan.forget_before_ms;
        passes.oldest_left_ms = 0;
        passes.next_goes_ms = UINT64_MAX;
    }
    store_.collect(
        plan.group,
        plan.from_ms,
        plan.forget_before_ms,
        latest_only_,
        [this, group = plan.group](const absl::StatusOr<ReplicaStore::Collected>& collected) {
            is_running_ = false;
            Passes& ended = passes_[group];
            ended.has_failed = !collected.ok();
            if (collected.ok()) {
                collected_ += collected->tombstones;
                ended.next_goes_ms = std::min(ended.next_goes_ms, collected->next_goes_ms);
                // Those before were older.
                if (ended.oldest_left_ms == 0) ended.oldest_left_ms = collected->oldest_left_ms;
            }
            if (!is_stopped_) run();
        });
}

// From 0 on where what was left may go now, from where the last pass ended where what was too young
// then may.
std::optional<uint64_t> Collector::worthwhile_from(GroupId group, uint64_t forget_before_ms) const {
    if (store_.tombstone_count(group) == 0 || forget_before_ms == 0) return std::nullopt;
    const auto found = passes_.find(group);
    if (found == passes_.end()) return 0;
    const Passes& passes = found->second;
    if (passes.stable != store_.stable(group) ||
        forget_before_ms >= passes.whole_before_ms + whole_progress_ms) {
        return 0;
    }
    // A disk that failed is not asked every second.
    if (passes.has_failed || forget_before_ms < passes.forget_before_ms + progress_ms) {
        return std::nullopt;
    }
    if (forget_before_ms >= passes.next_goes_ms) return 0;
    if (store_.newest_tombstone_ms(group) < passes.forget_before_ms) return std::nullopt;
    return passes.forget_before_ms;
}

std::optional<Collector::Plan> Collector::next_plan() {
    std::vector<GroupId> groups = store_.groups();
    if (last_.has_value()) {
        const auto after = std::upper_bound(groups.begin(), groups.end(), *last_);
        std::rotate(groups.begin(), after, groups.end());
    }
    for (const GroupId group : groups) {
        if (store_.tombstone_count(group) == 0) continue;
        const uint64_t forget_before_ms = standings_.forget_before(group);
        const std::optional<uint64_t> from_ms = worthwhile_from(group, forget_before_ms);
        if (from_ms.has_value()) return Plan{group, *from_ms, forget_before_ms};
    }
    return std::nullopt;
}

uint64_t Collector::oldest_left_ms(GroupId group) const {
    const auto found = passes_.find(group);
    return found == passes_.end() ? 0 : found->second.oldest_left_ms;
}

}  // namespace starling::node
