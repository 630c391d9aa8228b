#include "node/server/set_back_guard.h"

#include <algorithm>
#include <utility>

#include "base/mark.h"
#include "base/planted.h"

namespace starling::node {

size_t SetBackGuard::wanted_of(GroupId group, size_t others) {
    const size_t majority = group.replicas / 2 + 1;
    return std::min<size_t>(others, group.replicas - majority + 1);
}

void SetBackGuard::watch(const std::vector<base::PartitionId>& held,
                         const std::set<base::PartitionId>& set_back) {
    is_watching_ = true;
    patient_until_ = loop_.now() + patience;
    takes_from_ = loop_.now() + request_max_ + request_max_ / 4;
    for (const base::PartitionId partition : held) {
        Watched& watched = watched_[partition];
        if (set_back.contains(partition)) {
            STARLING_MARK(set_back_refill_resumed_after_restart);
            begin_refill(partition, watched);
        }
        host_.verdict_changed(partition);
    }
    tick();
}

void SetBackGuard::begin_refill(base::PartitionId partition, Watched& watched) {
    if (watched.is_refilling) return;
    watched.is_refilling = true;
    ++refilling_count_;
    host_.verdict_changed(partition);
}

void SetBackGuard::holders_changed() {
    if (!is_watching_) return;
    watch_new_groups();
    tick();
}

void SetBackGuard::stop() {
    loop_.cancel(timer_);
    timer_ = 0;
    is_watching_ = false;
}

void SetBackGuard::refill_emptied(base::PartitionId partition) {
    Watched& watched = watched_[partition];
    if (!watched.is_refilling) {
        watched.is_refilling = true;
        ++refilling_count_;
    }
    watched.is_emptied = true;
    ++watched.round;
    watched.taken.clear();
    suspended_.erase(partition);
    if (STARLING_PLANTED(emptied_counts)) return end_refill(partition);
    if (!watched.is_busy) refill(partition);
    arm();
}

bool SetBackGuard::is_refilling(base::PartitionId partition) const {
    const auto watched = watched_.find(partition);
    return watched != watched_.end() && watched->second.is_refilling;
}

size_t SetBackGuard::waiting_count() const {
    const auto waiting = std::count_if(watched_.begin(), watched_.end(), [this](const auto& entry) {
        const auto& [partition, watched] = entry;
        if (suspended_.contains(partition)) return false;
        return watched.is_refilling || (is_patient() && !is_confirmed(partition, watched));
    });
    return suspended_.size() + static_cast<size_t>(waiting);
}

bool SetBackGuard::may_compare(GroupId group, base::NodeId holder) const {
    const auto watched = watched_.find(group.partition);
    if (watched == watched_.end()) {
        const auto cleared = cleared_.find(group.partition);
        return cleared == cleared_.end() || cleared->second.contains(group);
    }
    if (watched->second.is_refilling) return false;
    const auto confirmed = watched->second.confirmed.find(group);
    return confirmed != watched->second.confirmed.end() && confirmed->second.contains(holder);
}

bool SetBackGuard::counts(base::PartitionId partition) const {
    if (suspended_.contains(partition)) return false;
    const auto watched = watched_.find(partition);
    if (watched == watched_.end()) return true;
    if (watched->second.is_refilling) return false;
    return !is_patient() || is_confirmed(partition, watched->second);
}

bool SetBackGuard::knows_holders(GroupId group, const std::vector<base::NodeId>& holders) const {
    const bool holds_all = holders.empty() && group.replicas > 1;
    if (holds_all && is_patient() && host_.has_other_members()) return false;
    return host_.are_holders_known(group);
}

bool SetBackGuard::is_confirmed(base::PartitionId partition, const Watched& watched) const {
    const auto groups = host_.other_holders(partition);
    // Given away meanwhile, or the holders are not known yet.
    if (groups.empty()) return !is_patient();
    return std::all_of(groups.begin(), groups.end(), [&](const auto& entry) {
        const auto& [group, holders] = entry;
        const auto confirmed = watched.confirmed.find(group);
        const size_t count = confirmed == watched.confirmed.end() ? 0 : confirmed->second.size();
        return knows_holders(group, holders) && count >= wanted_of(group, holders.size());
    });
}

bool SetBackGuard::is_confirmed_by_all(base::PartitionId partition, const Watched& watched) const {
    const auto groups = host_.other_holders(partition);
    if (groups.empty()) return !is_patient();
    return std::all_of(groups.begin(), groups.end(), [&](const auto& entry) {
        const auto& [group, holders] = entry;
        if (!knows_holders(group, holders)) return false;
        const auto confirmed = watched.confirmed.find(group);
        return std::all_of(holders.begin(), holders.end(), [&](base::NodeId holder) {
            return confirmed != watched.confirmed.end() && confirmed->second.contains(holder);
        });
    });
}

void SetBackGuard::clear(base::PartitionId partition) {
    watched_.erase(partition);
    std::set<GroupId>& cleared = cleared_[partition];
    for (const auto& [group, holders] : host_.other_holders(partition)) {
        cleared.insert(group);
    }
    host_.verdict_changed(partition);
}

void SetBackGuard::watch_new_groups() {
    for (const auto& [partition, cleared] : cleared_) {
        const auto groups = host_.other_holders(partition);
        const bool has_new = std::any_of(groups.begin(), groups.end(), [&](const auto& entry) {
            return !cleared.contains(entry.first);
        });
        if (!has_new) continue;
        const auto [entry, is_new] = watched_.try_emplace(partition);
        if (!is_new) continue;
        STARLING_MARK(set_back_group_known_later);
        for (const auto& [group, holders] : groups) {
            if (cleared.contains(group)) {
                entry->second.confirmed[group].insert(holders.begin(), holders.end());
            }
        }
    }
}

void SetBackGuard::end_patience() {
    if (is_patient() || std::exchange(has_patience_ended_, true)) return;
    for (const auto& [partition, watched] : watched_) {
        host_.verdict_changed(partition);
    }
}

void SetBackGuard::tick() {
    end_patience();
    begin_epoch();
    std::vector<base::PartitionId> partitions;
    for (const auto& [partition, watched] : watched_) {
        partitions.push_back(partition);
    }
    for (const base::PartitionId partition : partitions) {
        Watched& watched = watched_.at(partition);
        if (watched.is_refilling) {
            if (!watched.is_busy) refill(partition);
        } else if (is_confirmed_by_all(partition, watched)) {
            clear(partition);
        } else {
            ask_holders(partition, watched);
        }
    }
    arm();
}

void SetBackGuard::ask_holders(base::PartitionId partition, Watched& watched) {
    for (const auto& [group, holders] : host_.other_holders(partition)) {
        for (const base::NodeId holder : holders) {
            if (!watched.confirmed[group].contains(holder)) {
                host_.ask_remembered(group, holder);
            }
        }
    }
}

void SetBackGuard::arm() {
    loop_.cancel(timer_);
    timer_ = 0;
    if (!is_watching_) return;
    if (watched_.empty() && !noticed_epoch_.has_value()) return;
    const bool is_urgent = is_patient() || refilling_count_ > 0;
    timer_ = loop_.schedule_after(is_urgent ? interval : interval_after_patience, [this] {
        timer_ = 0;
        tick();
    });
}

void SetBackGuard::told(GroupId group, base::NodeId holder, uint64_t epoch, bool is_here) {
    if (!is_watching_) return;
    const auto entry = watched_.find(group.partition);
    if (entry == watched_.end()) return told_epoch(epoch);
    const auto groups = host_.other_holders(group.partition);
    const auto holders = groups.find(group);
    if (holders == groups.end() ||
        std::find(holders->second.begin(), holders->second.end(), holder) ==
            holders->second.end()) {
        STARLING_MARK(remembered_by_no_holder);
        return;
    }
    Watched& watched = entry->second;
    if (epoch > host_.epoch() || watched.is_refilling) return told_epoch(epoch);
    if (is_here || STARLING_PLANTED(set_back_unnoticed)) {
        watched.confirmed[group].insert(holder);
        if (is_confirmed_by_all(group.partition, watched)) {
            clear(group.partition);
        } else {
            host_.verdict_changed(group.partition);
        }
        return;
    }
    STARLING_MARK(disk_was_set_back);
    begin_refill_of_all(epoch);
}

void SetBackGuard::told_missing(base::PartitionId partition) {
    if (!is_watching_ || is_refilling(partition) || suspended_.contains(partition)) return;
    STARLING_MARK(set_back_shows_in_a_comparison);
    watched_[partition];
    begin_refill_of_all(host_.epoch());
}

bool SetBackGuard::take_up(base::PartitionId partition) {
    if (!is_watching_) return false;
    STARLING_MARK(set_back_to_before_a_seat);
    watched_[partition];
    begin_refill_of_all(host_.epoch());
    return true;
}

void SetBackGuard::told_epoch(uint64_t epoch) {
    if (!is_watching_ || epoch <= std::max(host_.epoch(), noticed_epoch_.value_or(0))) return;
    STARLING_MARK(set_back_shows_by_epoch);
    begin_refill_of_all(epoch);
}

void SetBackGuard::begin_refill_of_all(uint64_t epoch) {
    for (auto& [partition, watched] : watched_) {
        begin_refill(partition, watched);
        watched.taken.clear();
        ++watched.round;
    }
    noticed_epoch_ = std::max(noticed_epoch_.value_or(0), epoch);
    begin_epoch();
    arm();
}

void SetBackGuard::begin_epoch() {
    if (!noticed_epoch_.has_value() || is_beginning_epoch_) return;
    std::set<base::PartitionId> set_back;
    for (const auto& [partition, watched] : watched_) {
        if (watched.is_refilling) set_back.insert(partition);
    }
    is_beginning_epoch_ = true;
    const uint64_t told = *std::exchange(noticed_epoch_, std::nullopt);
    host_.begin_epoch_after(told, set_back, [this, told](const absl::Status& status) {
        is_beginning_epoch_ = false;
        if (!is_watching_) return;
        if (status.ok()) return tick();
        // With the next tick again.
        noticed_epoch_ = std::max(noticed_epoch_.value_or(0), told);
        arm();
    });
}

void SetBackGuard::refill(base::PartitionId partition) {
    Watched& watched = watched_.at(partition);
    if (!is_watching_) return;
    // What is suspended may be damaged, and emptied soon.
    if (suspended_.contains(partition)) return;
    if (noticed_epoch_.has_value() || is_beginning_epoch_ || loop_.now() < takes_from_) return;
    const auto groups = host_.other_holders(partition);
    // Of groups that have not come from enough holders yet.
    std::set<base::NodeId> holders;
    for (const auto& [group, others] : groups) {
        const auto taken = static_cast<size_t>(
            std::count_if(others.begin(), others.end(), [&](base::NodeId holder) {
                return watched.taken.contains(holder);
            }));
        if (taken < wanted_of(group, others.size())) holders.insert(others.begin(), others.end());
    }
    // It may hold a seat that no namespace uses, or have given it away.
    const bool may_end_without = !watched.is_emptied || !host_.holds_seat(partition);
    const bool has_nothing_to_refill =
        groups.empty() && may_end_without && !is_patient() && !host_.has_groups(partition);
    if ((!groups.empty() && holders.empty()) || has_nothing_to_refill) {
        end_refill(partition);
        return;
    }
    const auto next = std::find_if(holders.begin(), holders.end(), [&](base::NodeId holder) {
        return !watched.taken.contains(holder) && !watched.failed.contains(holder);
    });
    if (next == holders.end()) {
        STARLING_MARK(set_back_refill_pauses);
        // Until the next tick.
        watched.failed.clear();
        return;
    }
    watched.is_busy = true;
    host_.take_over(
        partition,
        *next,
        [this, partition, from = *next, round = watched.round](const absl::Status& status) {
            end_step(partition, [from, round, is_taken = status.ok()](Watched& at) {
                if (round != at.round) return;
                (is_taken ? at.taken : at.failed).insert(from);
            });
        });
}

void SetBackGuard::end_refill(base::PartitionId partition) {
    Watched& watched = watched_.at(partition);
    watched.is_busy = true;
    host_.unmark(partition, [this, partition, round = watched.round](const absl::Status& status) {
        const auto entry = watched_.find(partition);
        if (entry == watched_.end()) return;
        entry->second.is_busy = false;
        // Else it is tried again with the next tick.
        if (!status.ok()) return;
        if (entry->second.round != round) {
            STARLING_MARK(set_back_refill_begins_anew_at_its_end);
            return;
        }
        if (entry->second.is_emptied) {
            STARLING_MARK(damaged_partition_refilled);
        } else {
            STARLING_MARK(set_back_partition_refilled);
        }
        --refilling_count_;
        clear(partition);
    });
}

void SetBackGuard::end_step(base::PartitionId partition, absl::AnyInvocable<void(Watched&)> note) {
    const auto entry = watched_.find(partition);
    if (entry == watched_.end()) return;
    entry->second.is_busy = false;
    note(entry->second);
    refill(partition);
}

}  // namespace starling::node
