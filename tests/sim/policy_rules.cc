#include "tests/sim/policy_rules.h"

#include <algorithm>

#include <fmt/format.h>

namespace starling::sim {

namespace {

// Any write of the history but `except` for which `predicate` holds.
bool any_other(const History& history,
               std::initializer_list<WriteId> except,
               const std::function<bool(WriteId, const Write&)>& predicate) {
    for (uint32_t raw = 1; raw <= history.size(); ++raw) {
        const WriteId id(raw);
        if (std::ranges::find(except, id) == except.end() && predicate(id, history.get(id)))
            return true;
    }
    return false;
}

}  // namespace

bool LastWrites::may_be_replaced_unknown(const History& history,
                                         WriteId id,
                                         SimTime answered) const {
    const SimTime since = history.get(id).started;
    return any_other(history, {id}, [&](WriteId other, const Write& write) {
        return !is_certain(other) && !write.refused && write.started <= answered &&
               write.settled >= since;
    });
}

bool LastWrites::may_be_deleted(const History& history,
                                WriteId id,
                                SimTime answered,
                                uint64_t expired_by_ms) const {
    return any_other(history, {id}, [&](WriteId other, const Write& write) {
        const bool is_absence = write.is_delete || history.may_have_expired(other, expired_by_ms);
        if (!is_absence || write.refused || write.started > answered) return false;
        return !is_certain(other) || !is_certain(id) || stamps_.at(other) > stamps_.at(id);
    });
}

bool LastWrites::may_be_forgotten(const History& history,
                                  WriteId id,
                                  SimTime by,
                                  const Clocks& clocks) const {
    return any_other(history, {}, [&](WriteId other, const Write& write) {
        const bool is_absence =
            write.is_delete || history.may_have_expired(other, clocks.expired_by_ms);
        const SimTime since = write.acknowledged == never ? write.started : write.acknowledged;
        if (!is_absence || write.refused || since >= by ||
            write.request.created_ms >= clocks.collected_before_ms) {
            return false;
        }
        return other == id || !is_certain(other) || stamps_.at(other) > stamps_.at(id);
    });
}

std::string LastWrites::judge(const History& history,
                              const Shown& shown,
                              const std::vector<WriteId>& met,
                              SimTime answered,
                              const Clocks& clocks) const {
    for (const WriteId id : met) {
        if (id == shown.id) continue;
        const Write& write = history.get(id);
        const bool has_expired = history.may_have_expired(id, clocks.expired_by_ms);
        if (shown.id.is_none()) {
            if (!write.is_delete && !has_expired &&
                !may_be_deleted(history, id, answered, clocks.expired_by_ms) &&
                !may_be_replaced_unknown(history, id, answered)) {
                return fmt::format("nothing is shown, and no delete is later than {}",
                                   history.describe(id));
            }
            continue;
        }
        if (!is_certain(id) || !is_certain(shown.id) ||
            may_be_forgotten(history, id, history.get(shown.id).started, clocks) ||
            may_be_replaced_unknown(history, id, answered)) {
            continue;
        }
        ++compared_;
        const Stamp& missed = stamps_.at(id);
        // The removal of an expired value is earlier than any other write of its time.
        const bool is_later = has_expired ? missed.time > shown.stamp.time : missed > shown.stamp;
        if (is_later) {
            return fmt::format("{} ({}) is shown, which is earlier than {} ({})",
                               history.describe(shown.id),
                               node::to_string(shown.stamp.time),
                               history.describe(id),
                               node::to_string(missed.time));
        }
    }
    return "";
}

namespace {

// May a write have replaced `lower`, which was acknowledged, by `now`? One with a context replaces
// what that has seen and nothing else, whenever it is minted: a stale one excuses nobody.
bool may_be_replaced(const History& history, WriteId id, WriteId lower, SimTime now) {
    const auto is_possible = [&](const Write& write) {
        return !write.refused && write.started <= now;
    };
    const bool has_successor =
        !history
             .find_superseder(
                 lower,
                 [&](WriteId upper) { return upper != id && is_possible(history.get(upper)); })
             .is_none();
    const SimTime since = history.get(lower).acknowledged;
    return has_successor || any_other(history, {id, lower}, [&](WriteId, const Write& write) {
               return write.replaces != Replaces::seen && is_possible(write) &&
                      write.settled >= since;
           });
}

}  // namespace

WriteId unseen_by_accepted(const History& history,
                           WriteId id,
                           SimTime now,
                           uint64_t expired_by_ms) {
    const Write& accepted = history.get(id);
    for (const WriteId lower : history.standing()) {
        const Write& value = history.get(lower);
        const bool must_be_met =
            lower != id && !value.is_delete && !history.may_have_expired(lower, expired_by_ms) &&
            value.acknowledged < accepted.started && value.strength >= accepted.meets();
        const bool was_seen = accepted.replaces == Replaces::seen && history.must_cover(id, lower);
        if (must_be_met && !was_seen && !may_be_replaced(history, id, lower, now)) return lower;
    }
    return WriteId();
}

}  // namespace starling::sim
