// Who holds the seats, who knows it, and how one passes from its giver to its successor
// (docs/handover.md).

#include <algorithm>
#include <map>

#include "tests/unit/node/convergence/group_change.h"
#include "tests/unit/node/convergence/group_model.h"

namespace starling::node::group_model {

std::optional<size_t> Group::seat_of(size_t node) const {
    const auto at = std::find_if(
        seats_.begin(), seats_.end(), [&](const Seat& seat) { return seat.holder == node; });
    if (at == seats_.end()) return std::nullopt;
    return static_cast<size_t>(at - seats_.begin());
}

uint64_t Group::tenure_of(size_t seat, uint64_t epoch) const {
    constexpr uint64_t epochs_max = 1 << 16;
    return rules_.tenures ? 1 + seat * epochs_max + epoch : 1;
}

uint64_t Group::own_tenure(size_t node) const {
    const auto seat = seat_of(node);
    return seat.has_value() ? tenure_of(*seat, seats_[*seat].epoch) : 0;
}

// As Shard::other_owners().
std::optional<std::vector<Owner>> Group::other_owners(size_t node) const {
    const auto own = seat_of(node);
    if (!own.has_value()) return std::nullopt;
    std::map<size_t, uint64_t> tenures;
    for (size_t seat = 0; seat < seat_count; ++seat) {
        if (seat == own) continue;
        const Seat& known = members_[node].view[seat];
        if (!known.holder.has_value() || *known.holder == node) return std::nullopt;
        // In an old view one node may have two: then none has reported as who holds both.
        uint64_t& tenure = tenures[*known.holder];
        tenure = rules_.tenures ? tenure * 31 + tenure_of(seat, known.epoch) : 1;
    }
    std::vector<Owner> owners;
    for (const auto& [holder, tenure] : tenures)
        owners.push_back({.node = id_of(holder), .tenure = tenure});
    return owners;
}

void Group::learn_seat(size_t node, size_t seat) {
    members_[node].view[seat] = seats_[seat];
}

void Group::set_holder(size_t seat, std::optional<size_t> holder, uint64_t epoch) {
    const std::optional<size_t> before = seats_[seat].holder;
    seats_[seat] = {.holder = holder, .epoch = epoch};
    if (before.has_value()) learn_seat(*before, seat);
    if (holder.has_value()) learn_seat(*holder, seat);
}

// What is not of the group alone stays.
void Group::drop_data(size_t node) {
    Member& self = members_[node];
    State left;
    left.start = self.now.start;
    left.frozen = self.now.frozen;
    left.epoch = self.now.epoch;
    left.epochs = self.now.epochs;
    self.now = left;
    self.disk = left;
    self.snapshot.reset();
    self.acks.clear();
    self.standing.reset();
    if (!rules_.questions_are_new) self.last_question = 0;
    self.stable = {};
    self.forget_before = 0;
    self.is_ready = true;
}

void Group::begin_move(size_t seat, size_t to) {
    const std::optional<size_t> giver = seats_[seat].holder;
    if (move_.has_value() || !giver.has_value() || seat_of(to).has_value()) return;
    move_ = Move{.seat = seat, .giver = *giver, .to = to};
    drop_data(to);
}

// Of the giver's records; they are not claimed yet.
void Group::copy(bool first_key, bool second_key) {
    if (!move_.has_value() || !members_[move_->giver].is_ready) return;
    if (rules_.copies_are_durable) sync(move_->giver);
    const State theirs = members_[move_->giver].now;
    State& state = members_[move_->to].now;
    for (size_t key = 0; key < key_count; ++key) {
        if (!(key == 0 ? first_key : second_key)) continue;
        const Frontier before = state.frontier;
        change(move_->to, key, [&](Record& local, Frontier& frontier) {
            Frontier unclaimed = frontier;
            merge(local, theirs.records[key], unclaimed);
        });
        reflect(state, before, reflected_of(theirs, key));
    }
}

void Group::take_from_giver(size_t dots_max) {
    const size_t to = move_->to;
    const State theirs = members_[move_->giver].now;
    State& state = members_[to].now;
    const Frontier seen = state.frontier;
    if (!merge_missing(to, theirs, dots_max)) return;
    for (size_t key = 0; key < key_count && rules_.fill_names_tombstones; ++key) {
        const Record& record = theirs.records[key];
        const bool is_new = std::ranges::any_of(record.siblings, [&](const Sibling& sibling) {
            return sibling.is_tombstone && !seen.contains(sibling.dot);
        });
        if (is_new) merge_into(to, key, record, reflected_of(theirs, key));
    }
    for (size_t key = 0; key < key_count; ++key) {
        if (leaf_digest("", state.records[key]) == leaf_digest("", theirs.records[key])) continue;
        const Frontier before = state.frontier;
        change(to, key, [&](Record& local, Frontier& frontier) {
            if (rules_.fill_takes_givers_word) {
                take_over(local, theirs.records[key], theirs.frontier, frontier);
            } else {
                merge(local, theirs.records[key], frontier);
            }
        });
        if (rules_.fill_takes_givers_word) {
            std::erase_if(state.reflected, [&](const Dot& dot) {
                const Truth& truth = truth_.at(dot);
                return truth.key == key && !truth.is_tombstone && theirs.frontier.contains(dot);
            });
        }
    }
    unite(to, theirs.frontier);
    state.reflected.insert(theirs.reflected.begin(), theirs.reflected.end());
}

void Group::fill(size_t dots_max) {
    if (!move_.has_value() || !members_[move_->giver].is_ready) return;
    // Its word is taken for what the successor has, too.
    const std::optional<Dot> lost = unexplained(members_[move_->giver].now, Frontier());
    if (lost.has_value() && rules_.pull_explains) {
        note_unexplained(*lost);
        const size_t giver = move_->giver;
        abort_move();
        return set_aside(giver);
    }
    take_from_giver(dots_max);
}

void Group::fence() {
    if (!move_.has_value() || move_->is_fenced || !members_[move_->giver].is_ready) return;
    // All that it acknowledged before is on its disk with this.
    sync(move_->giver);
    move_->is_fenced = true;
    members_[move_->giver].snapshot.reset();
    set_holder(move_->seat, std::nullopt, seats_[move_->seat].epoch);
}

void Group::finish_move() {
    if (!move_.has_value()) return;
    fence();
    if (!move_->is_fenced) return;
    fill();
    if (!move_.has_value()) return;
    const Move done = *move_;
    move_.reset();
    members_[done.to].acks.clear();
    write_through(done.to);
    set_holder(done.seat, done.to, seats_[done.seat].epoch + 1);
    drop_data(done.giver);
}

void Group::abort_move() {
    if (!move_.has_value()) return;
    const Move ended = *move_;
    move_.reset();
    drop_data(ended.to);
    if (ended.is_fenced) set_holder(ended.seat, ended.giver, seats_[ended.seat].epoch + 2);
}

}  // namespace starling::node::group_model
