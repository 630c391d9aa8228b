#include "node/server/damage_healer.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/mark.h"
#include "base/planted.h"
#include "node/server/set_back_guard.h"

namespace starling::node {

DamageHealer::DamageHealer(Host& host,
                           env::EventLoop& loop,
                           env::Random& random,
                           base::Duration request_max)
    : host_(host), loop_(loop), random_(random), wait_(request_max + request_max / 4) {}

void DamageHealer::start(const std::set<base::PartitionId>& marked) {
    marked_ = marked;
    // Numbers of an earlier life answer nothing that is asked now.
    question_ = random_.next_id();
    if (!marked_.empty()) {
        STARLING_MARK(damage_healing_resumed_after_restart);
        find();
    }
    tick();
}

void DamageHealer::stop() {
    is_stopped_ = true;
    loop_.cancel(timer_);
    timer_ = 0;
    is_busy_ = false;
    lifeline_ = {};
}

void DamageHealer::tick() {
    if (is_stopped_) return;
    timer_ = loop_.schedule_after(interval, [this] { tick(); });
    if (is_busy_) return;
    switch (phase_) {
        case Phase::idle:
            if (loop_.now() < rest_until_) return;
            forget_refilled();
            if (!host_.has_met_damage() && marked_.empty() && !owes_epoch_) return;
            if (!waits_for_givers()) find();
            return;
        case Phase::waiting:
            if (!have_all_enough_givers()) {
                STARLING_MARK(damage_healing_loses_givers);
                return back_off("too few of the other holders are left");
            }
            if (loop_.now() >= suspended_at_ + wait_) {
                begin_asking(Phase::asking_again);
            }
            return;
        case Phase::asking:
        case Phase::asking_again:
        case Phase::asking_last:
            if (loop_.now() >= asking_since_ + patience) {
                STARLING_MARK(damage_healing_waits_for_holders);
                return back_off("too few of the other holders answer, or they lag");
            }
            return ask();
        default:
            return;
    }
}

void DamageHealer::find() {
    if (phase_ == Phase::idle) phase_ = Phase::finding;
    waits_for_.clear();
    is_busy_ = true;
    host_.find_damage(lifeline_.guard([this](absl::StatusOr<Damage> found) {
        is_busy_ = false;
        if (!found.ok()) {
            STARLING_MARK(damage_not_found_out);
            return back_off(found.status());
        }
        on_found(*std::move(found));
    }));
}

void DamageHealer::forget_refilled() {
    std::erase_if(marked_, [this](base::PartitionId partition) {
        if (host_.is_refilling(partition)) return false;
        STARLING_MARK(damaged_partition_was_refilled_meanwhile);
        return true;
    });
}

void DamageHealer::on_found(Damage damage) {
    forget_refilled();
    if (phase_ == Phase::finding_again) {
        for (const base::PartitionId partition : damage.partitions) {
            if (!suspended_.contains(partition) && !marked_.contains(partition)) {
                STARLING_MARK(damage_grew_meanwhile);
                return back_off("more was found damaged meanwhile");
            }
        }
        std::erase_if(suspended_, [&](base::PartitionId partition) {
            if (damage.partitions.contains(partition)) return false;
            STARLING_MARK(damage_of_a_partition_was_passing);
            host_.resume(partition);
            return true;
        });
    }
    damage_ = std::move(damage);
    if (damage_.empty() && marked_.empty() && !owes_epoch_) {
        STARLING_MARK(damage_was_passing);
        back_off("all can be read again");
        is_busy_ = true;
        // Nothing, but the engine may remember that it met some.
        host_.give_up({}, lifeline_.guard([this](const absl::Status& status) {
            is_busy_ = false;
            if (!status.ok()) return;
            reported_at_ = {};
            tries_in_vain_ = 0;
            host_.damage_is_gone();
        }));
        return;
    }
    for (const base::PartitionId partition : damage_.partitions) {
        if (!host_.is_refilling(partition)) continue;
        STARLING_MARK(damage_met_while_refilling);
        marked_.insert(partition);
    }
    if (phase_ == Phase::finding_again) return ask_once_more();
    std::erase_if(damage_.partitions,
                  [this](auto partition) { return marked_.contains(partition); });
    if (reported_at_ == base::MonotonicTime{}) {
        reported_at_ = loop_.now();
        host_.log(
            "error",
            fmt::format("data on this node's disk is damaged: {} ranges of keys, of {} partitions",
                        damage_.ranges.size(),
                        damage_.partitions.size()));
    }
    if (damage_.partitions.empty()) {
        if (damage_.may_wait && marked_.empty() && !owes_epoch_ &&
            loop_.now() < reported_at_ + wait_) {
            STARLING_MARK(damage_may_pass);
            return back_off("it may pass");
        }
        return give_up_all();
    }
    for (const base::PartitionId partition : damage_.partitions) {
        if (host_.is_settled(partition)) continue;
        host_.let_go(partition);
        // Where it would not be healed all the same, it may as well move.
        if (host_.is_filling(partition) || has_enough_givers(partition)) host_.give_way(partition);
    }
    for (const base::PartitionId partition : damage_.partitions) {
        if (!host_.is_settled(partition)) {
            STARLING_MARK(damage_healing_put_off);
            return back_off("a partition is moving");
        }
        if (!has_enough_givers(partition)) waits_for_.insert(partition);
    }
    if (!waits_for_.empty()) {
        STARLING_MARK(damage_healing_waits_for_givers);
        waits_until_ = loop_.now() + look_again_after;
        return back_off("too few of the other holders are there");
    }
    suspend_all();
    begin_asking(Phase::asking);
}

bool DamageHealer::waits_for_givers() const {
    return marked_.empty() && loop_.now() < waits_until_ &&
           std::ranges::any_of(
               waits_for_,
               [this](base::PartitionId partition) {
                   return host_.is_settled(partition) && !has_enough_givers(partition);
               });
}

bool DamageHealer::has_enough_givers(base::PartitionId partition) const {
    const auto givers = host_.givers(partition);
    return !givers.empty() && std::ranges::all_of(givers, [this](const auto& entry) {
        const auto& [group, holders] = entry;
        const auto dead = static_cast<size_t>(std::ranges::count_if(
            holders, [this](base::NodeId holder) { return host_.is_dead(holder); }));
        const size_t left = holders.size() - dead;
        return left > 0 && left >= SetBackGuard::wanted_of(group, holders.size());
    });
}

void DamageHealer::suspend_all() {
    for (const base::PartitionId partition : damage_.partitions) {
        host_.suspend(partition);
        suspended_.insert(partition);
    }
    suspended_at_ = loop_.now();
}

// To read a disk may take hours, here and at the others: what they said may be true no more.
void DamageHealer::ask_once_more() {
    if (suspended_.empty()) return give_up_all();
    if (!have_all_enough_givers()) {
        STARLING_MARK(damage_healing_loses_givers_while_reading);
        return back_off("too few of the other holders are left");
    }
    begin_asking(Phase::asking_last);
}

bool DamageHealer::have_all_enough_givers() const {
    return std::ranges::all_of(suspended_,
                               [this](auto partition) { return has_enough_givers(partition); });
}

// Each time anew: what was answered before may be true no more.
void DamageHealer::begin_asking(Phase phase) {
    phase_ = phase;
    asking_since_ = loop_.now();
    ++question_;
    answers_.clear();
    ask();
}

void DamageHealer::ask() {
    std::map<base::NodeId, size_t> asked;
    for (const base::PartitionId partition : suspended_) {
        for (const auto& [group, holders] : host_.givers(partition)) {
            for (const base::NodeId holder : holders) {
                if (answers_[group].contains(holder) || host_.is_dead(holder)) continue;
                if (asked[holder]++ >= asked_of_one_max) continue;
                host_.ask_counting(group, holder, question_, phase_ == Phase::asking_again);
            }
        }
    }
}

void DamageHealer::told_counting(
    GroupId group, base::NodeId holder, uint64_t question, bool counts, Frontier frontier) {
    const bool is_asking =
        phase_ == Phase::asking || phase_ == Phase::asking_again || phase_ == Phase::asking_last;
    if (!is_asking || is_busy_ || question != question_ || !suspended_.contains(group.partition)) {
        return;
    }
    if (!counts) {
        STARLING_MARK(damage_healing_gives_way);
        return back_off("another holder does not count either");
    }
    answers_[group][holder] = std::move(frontier);
    asking_since_ = loop_.now();
    if (!is_answered()) return;
    if (phase_ == Phase::asking) {
        phase_ = Phase::waiting;
    } else {
        hand_over();
    }
}

void DamageHealer::told_checking(uint64_t question) {
    if (phase_ == Phase::asking_again && question == question_) asking_since_ = loop_.now();
}

bool DamageHealer::is_answered() const {
    for (const base::PartitionId partition : suspended_) {
        const auto givers = host_.givers(partition);
        if (givers.empty()) return false;
        for (const auto& [group, holders] : givers) {
            const auto answers = answers_.find(group);
            size_t count = 0;
            for (const base::NodeId holder : holders) {
                const bool is_there = answers != answers_.end() && answers->second.contains(holder);
                count += is_there ? 1U : 0U;
            }
            if (count == 0 || count < SetBackGuard::wanted_of(group, holders.size())) return false;
        }
    }
    return true;
}

void DamageHealer::hand_over() {
    struct Pending {
        size_t left = 0;
        size_t unshared = 0;
        absl::Status status;
    };
    auto pending = std::make_shared<Pending>();
    pending->left = answers_.size();
    is_busy_ = true;
    for (const auto& [group, answers] : answers_) {
        Frontier others;
        for (const auto& [holder, frontier] : answers) {
            others.unite(frontier);
        }
        host_.hand_over_unshared(
            group, others, lifeline_.guard([this, pending](const absl::StatusOr<size_t>& unshared) {
                pending->status.Update(unshared.status());
                pending->unshared += unshared.value_or(0);
                if (--pending->left > 0) return;
                is_busy_ = false;
                if (!pending->status.ok()) return back_off(pending->status);
                if (pending->unshared > 0) {
                    STARLING_MARK(damage_healing_hands_over_first);
                    return hand_over_later();
                }
                handing_over_since_ = {};
                if (phase_ == Phase::asking_last) return give_up_all();
                phase_ = Phase::finding_again;
                find();
            }));
    }
}

// For as long as it takes them to take what was handed over, and no longer than patience.
void DamageHealer::hand_over_later() {
    const base::MonotonicTime since = std::exchange(handing_over_since_, loop_.now());
    if (since != base::MonotonicTime{}) handing_over_since_ = since;
    if (loop_.now() >= handing_over_since_ + patience) {
        STARLING_MARK(damage_healing_hands_over_in_vain);
        return back_off("the other holders do not take what they lack");
    }
    phase_ = Phase::waiting;
}

void DamageHealer::give_up_all() {
    const size_t marked = marked_.size();
    forget_refilled();
    if (marked_.size() < marked) return back_off("a partition was refilled meanwhile");
    phase_ = Phase::giving_up;
    is_busy_ = true;
    std::set<base::PartitionId> all = marked_;
    all.insert(suspended_.begin(), suspended_.end());
    auto done = lifeline_.guard([this](const absl::Status& status) {
        is_busy_ = false;
        if (!status.ok()) {
            STARLING_MARK(damage_not_given_up);
            return back_off(status);
        }
        empty_next();
    });
    host_.mark(all, lifeline_.guard([this, all, done](const absl::Status& status) mutable {
        std::erase_if(suspended_, [this](base::PartitionId partition) {
            if (!host_.is_refilling(partition)) return false;
            marked_.insert(partition);
            return true;
        });
        if (!status.ok()) {
            STARLING_MARK(damage_not_marked);
            return done(status);
        }
        marked_ = all;
        suspended_.clear();
        owes_epoch_ = true;
        host_.give_up(damage_.ranges, std::move(done));
    }));
}

void DamageHealer::empty_next() {
    if (marked_.empty()) return begin_refill();
    const base::PartitionId partition = *marked_.begin();
    is_busy_ = true;
    host_.empty(partition, lifeline_.guard([this, partition](const absl::Status& status) {
        is_busy_ = false;
        if (!status.ok()) {
            STARLING_MARK(damaged_partition_not_emptied);
            return back_off(status);
        }
        marked_.erase(partition);
        emptied_.insert(partition);
        empty_next();
    }));
}

// What was said in the old epoch spoke of data that is gone.
void DamageHealer::begin_refill() {
    is_busy_ = true;
    host_.begin_epoch(lifeline_.guard([this](const absl::Status& status) {
        is_busy_ = false;
        if (!status.ok()) {
            STARLING_MARK(damage_epoch_not_begun);
            // They are empty; that is harmless to do again.
            marked_ = std::exchange(emptied_, {});
            return back_off(status);
        }
        owes_epoch_ = false;
        host_.log("warning",
                  fmt::format("what was damaged is given up; {} partitions are refilled",
                              emptied_.size()));
        phase_ = Phase::idle;
        handing_over_since_ = {};
        damage_ = {};
        reported_at_ = {};
        tries_in_vain_ = 0;
        host_.damage_is_gone();
        for (const base::PartitionId partition : std::exchange(emptied_, {})) {
            host_.refill(partition);
        }
    }));
}

void DamageHealer::back_off(const absl::Status& status) {
    back_off(std::string(status.message()));
}

// What is marked stays so, and is not looked at again before it is emptied.
void DamageHealer::back_off(const std::string& why) {
    host_.log("warning", fmt::format("damaged data is not given up now: {}", why));
    for (const base::PartitionId partition : std::exchange(suspended_, {})) {
        host_.resume(partition);
    }
    phase_ = Phase::idle;
    handing_over_since_ = {};
    const auto spread = static_cast<uint64_t>((rest_max - rest_min) / std::chrono::milliseconds(1));
    const base::Duration rest = rest_min + std::chrono::milliseconds(random_.next() % (spread + 1));
    // What is marked counts no more until it is emptied and refilled.
    tries_in_vain_ = marked_.empty() ? std::min(tries_in_vain_ + 1, rest_factor_max) : 1;
    rest_until_ = loop_.now() + tries_in_vain_ * rest;
}

}  // namespace starling::node
