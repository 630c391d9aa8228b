#include "node/replica/collector.h"

#include <algorithm>
#include <vector>

namespace starling::node {

namespace {

constexpr base::Duration interval = std::chrono::seconds(1);
// Under load what owners tell changes with each comparison.
constexpr base::Duration save_interval = std::chrono::seconds(10);
// More requests have become too old to be minted again, since the last pass: enough for another
// one, and after one that found nothing to collect.
constexpr uint64_t progress_ms = 2'000;
constexpr uint64_t progress_after_vain_pass_ms = 60'000;

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
    const std::optional<GroupId> group = next_group();
    if (!group.has_value()) return;
    last_ = group;
    is_running_ = true;
    Pass& pass = passes_[*group];
    pass.stable = store_.stable(*group);
    pass.forget_before_ms = standings_.forget_before(*group);
    store_.collect(
        *group,
        pass.forget_before_ms,
        latest_only_,
        [this, group = *group](const absl::StatusOr<ReplicaStore::Collected>& collected) {
            is_running_ = false;
            Pass& ended = passes_[group];
            // After an error as well: the disk that failed is not asked every second.
            ended.was_in_vain = !collected.ok() || collected->tombstones == 0;
            if (collected.ok()) {
                collected_ += collected->tombstones;
                ended.oldest_left_ms = collected->oldest_left_ms;
            }
            if (!is_stopped_) run();
        });
}

bool Collector::is_worthwhile(GroupId group, uint64_t forget_before_ms) const {
    if (store_.tombstone_count(group) == 0 || forget_before_ms == 0) return false;
    const auto found = passes_.find(group);
    if (found == passes_.end()) return true;
    const Pass& pass = found->second;
    if (pass.stable != store_.stable(group)) return true;
    const uint64_t progress = pass.was_in_vain ? progress_after_vain_pass_ms : progress_ms;
    return forget_before_ms >= pass.forget_before_ms + progress;
}

std::optional<GroupId> Collector::next_group() {
    std::vector<GroupId> groups = store_.groups();
    if (last_.has_value()) {
        const auto after = std::upper_bound(groups.begin(), groups.end(), *last_);
        std::rotate(groups.begin(), after, groups.end());
    }
    const auto next = std::find_if(groups.begin(), groups.end(), [this](GroupId group) {
        return store_.tombstone_count(group) > 0 &&
               is_worthwhile(group, standings_.forget_before(group));
    });
    return next == groups.end() ? std::nullopt : std::optional(*next);
}

uint64_t Collector::oldest_left_ms(GroupId group) const {
    const auto found = passes_.find(group);
    return found == passes_.end() ? 0 : found->second.oldest_left_ms;
}

}  // namespace starling::node
