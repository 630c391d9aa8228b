// What owners take of one another, as they find it in each other's memory.

#include <algorithm>

#include "tests/unit/node/convergence/group_change.h"
#include "tests/unit/node/convergence/group_model.h"

namespace starling::node::group_model {

// A dot that not all owners are known to have seen, and that the state claims to reflect and does
// not.
std::optional<Dot> Group::unexplained(const State& theirs, const Frontier& mine) const {
    for (const auto& [dot, key] : theirs.index) {
        if (!mine.contains(dot) && !theirs.records[key].context.covers(dot)) return dot;
    }
    return std::nullopt;
}

// An owner that never lost anything must not take itself for damaged.
void Group::note_unexplained(const Dot& dot) {
    if (!rules_.disks_fail) wrong_ = "taken for lost: " + to_string(dot);
}

// The records of the dots that this one lacks, and a claim to these dots. False: there are more.
bool Group::merge_missing(size_t to, const State& theirs, size_t dots_max) {
    State& state = members_[to].now;
    const Frontier before = state.frontier;
    std::set<size_t> keys;
    std::vector<Dot> dots;
    for (const auto& [dot, key] : theirs.index) {
        if (before.contains(dot)) continue;
        if (dots.size() == dots_max) break;
        dots.push_back(dot);
        keys.insert(key);
        state.index[dot] = key;
    }
    if (!rules_.pages_are_merged_whole && dots.size() == dots_max) keys.erase(*keys.rbegin());
    for (const size_t key : keys)
        merge_into(to, key, theirs.records[key], reflected_of(theirs, key));
    for (const Dot& dot : dots)
        state.frontier.add(dot);
    return dots.size() < dots_max;
}

void Group::unite(size_t to, const Frontier& theirs) {
    State& state = members_[to].now;
    const Frontier before = state.frontier;
    state.frontier.unite(theirs);
    std::erase_if(state.index, [&](const auto& indexed) {
        const Actor& actor = indexed.first.actor;
        return actor.start < state.frontier.sealed_before(actor.node) &&
               before.contains(indexed.first);
    });
}

void Group::pull(size_t to, size_t from, size_t dots_max) {
    if (to == from || !is_owner(to) || !stores(from)) return;
    const State theirs = members_[from].now;
    const Frontier& mine = members_[to].now.frontier;
    if (const auto dot = unexplained(theirs, mine); dot.has_value() && rules_.pull_explains) {
        note_unexplained(*dot);
        return set_aside(from);
    }
    for (size_t key = 0; key < key_count; ++key) {
        if (rules_.loss_is_no_deletion &&
            !accounts_for(members_[to].now.records[key], theirs.records[key], mine)) {
            // Who is filled may hold what was replaced by a tombstone that was collected since.
            if (!is_owner(from) && rules_.only_owners_show_losses) return;
            return set_aside(to);
        }
    }
    if (!merge_missing(to, theirs, dots_max)) return;
    unite(to, theirs.frontier);
    // Who is filled reflects more than its frontier says.
    for (const Dot& dot : theirs.reflected) {
        if (theirs.frontier.contains(dot)) members_[to].now.reflected.insert(dot);
    }
}

void Group::exchange(size_t to, size_t from, size_t key) {
    if (to == from || !is_owner(to) || !is_owner(from)) return;
    const State theirs = members_[from].now;
    if (theirs.records[key] == Record{}) return;
    const State& mine = members_[to].now;
    if (rules_.loss_is_no_deletion &&
        !accounts_for(mine.records[key], theirs.records[key], mine.frontier)) {
        return set_aside(to);
    }
    merge_into(to, key, theirs.records[key], reflected_of(theirs, key));
}

// A reader's coordinator has joined two answers.
void Group::repair(size_t to, size_t a, size_t b, size_t key) {
    if (!is_owner(a) || !is_owner(b)) return;
    Record record = members_[a].disk.records[key];
    join(record, members_[b].disk.records[key]);
    Dots reflected = reflected_of(members_[a].disk, key);
    reflected.merge(reflected_of(members_[b].disk, key));
    messages_.push_back({.from = a,
                         .by = members_[a].actor,
                         .to = to,
                         .seat = seat_of(to),
                         .key = key,
                         .record = record,
                         .dot = std::nullopt,
                         .reflected = reflected});
}

}  // namespace starling::node::group_model
