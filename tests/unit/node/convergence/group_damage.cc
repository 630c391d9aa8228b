// Processes that end, and disks that lose what they had.

#include <algorithm>

#include "tests/unit/node/convergence/group_model.h"

namespace starling::node::group_model {

// The start counter is durable before the first write of the life, and nothing else is lost by it.
void Group::begin_life(size_t node) {
    constexpr unsigned questions_per_life_bits = 32;
    Member& self = members_[node];
    ++lives_;
    self.actor = {.node = id_of(node),
                  .start = self.now.start,
                  .random = rules_.actors_are_random ? lives_ : 1};
    self.minted_count = 0;
    self.acks.clear();
    self.last_question =
        rules_.questions_are_new ? uint64_t{self.now.start} << questions_per_life_bits : 0;
    self.standing.reset();
    self.horizon.clear();
    self.stable = {};
    self.forget_before = 0;
    note_start(node, id_of(node), self.now.start);
    write_through(node);
}

void Group::crash(size_t node) {
    Member& self = members_[node];
    self.now = self.disk;
    ++self.now.start;
    begin_life(node);
}

void Group::take_snapshot(size_t owner) {
    if (is_owner(owner)) members_[owner].snapshot = members_[owner].disk;
}

void Group::wipe(size_t owner) {
    if (!rules_.disks_fail || !is_owner(owner)) return;
    members_[owner].snapshot = State{};
    roll_back(owner);
}

// Of the group's data, and of the start counter. Hints, and what the member has heard of others,
// are on another disk: with these lost as well W = 2 copies might be.
void Group::roll_back(size_t owner) {
    Member& self = members_[owner];
    if (!rules_.disks_fail || !self.snapshot.has_value() || !is_owner(owner)) return;
    State before = *self.snapshot;
    self.snapshot.reset();
    before.frozen = self.now.frozen;
    has_lost_disk_ = true;
    for (auto& [dot, truth] : truth_) {
        if (!before.reflected.contains(dot)) truth.seats.erase(*seat_of(owner));
    }
    self.now = before;
    self.is_ready = !rules_.refills;
    ++self.now.start;
    begin_life(owner);
}

// Not one that holds what this life wrote and all have seen: its next write of the key would cover
// that, and nothing here could tell.
void Group::lose_record(size_t owner, size_t key) {
    Member& self = members_[owner];
    if (!rules_.disks_fail || !is_owner(owner)) return;
    for (const Dot& dot : reflected_of(self.now, key)) {
        if (dot.actor == self.actor && !self.now.index.contains(dot)) return;
    }
    has_lost_disk_ = true;
    for (State* state : {&self.now, &self.disk}) {
        for (const Dot& dot : reflected_of(*state, key)) {
            state->reflected.erase(dot);
            std::erase_if(self.acks, [&](const Ack& ack) { return ack.dot == dot; });
            truth_.at(dot).seats.erase(*seat_of(owner));
        }
        state->records[key] = {};
    }
}

bool Group::has_lost(const State& state, size_t key) const {
    return std::any_of(state.index.begin(), state.index.end(), [&](const auto& indexed) {
        return indexed.second == key && !state.records[key].context.covers(indexed.first);
    });
}

// Its data is not used again.
void Group::set_aside(size_t node) {
    if (!rules_.disks_fail) return;
    if (is_filling(node)) return drop_data(node);
    Member& self = members_[node];
    self.is_ready = false;
    ++self.now.start;
    begin_life(node);
}

// Of the owner's data; durable at the others before one of them sends the first byte.
void Group::note_new_epoch(size_t owner) {
    constexpr GroupId the_group{.partition = base::PartitionId(0), .replicas = seat_count};
    Member& self = members_[owner];
    for (size_t i = 0; i < node_count; ++i) {
        if (i == owner || !holds_seat(i)) continue;
        Member& other = members_[i];
        other.horizon.forget(the_group, id_of(owner));
        other.stable = {};
        for (State* state : {&other.now, &other.disk})
            state->epochs[id_of(owner)] = self.now.epoch;
        standing_of(i).note_epoch(id_of(owner), self.now.epoch);
        self.now.epochs[id_of(i)] = other.now.epoch;
        standing_of(owner).note_epoch(id_of(i), other.now.epoch);
    }
}

void Group::take_all(size_t to, const State& theirs) {
    for (size_t key = 0; key < key_count; ++key)
        merge_into(to, key, theirs.records[key], reflected_of(theirs, key));
    merge_missing(to, theirs);
    unite(to, theirs.frontier);
    members_[to].now.reflected.insert(theirs.reflected.begin(), theirs.reflected.end());
}

void Group::refill(size_t owner) {
    Member& self = members_[owner];
    if (self.is_ready || !holds_seat(owner)) return;
    for (const Seat& seat : seats_) {
        if (!seat.holder.has_value() || (seat.holder != owner && !is_owner(*seat.holder))) return;
    }
    // Its own past is what the others know of it.
    uint64_t epoch = self.now.epoch;
    uint32_t start = std::max(self.now.start, self.now.frozen[id_of(owner)]);
    for (const Member& other : members_) {
        if (&other == &self) continue;
        const auto known = other.disk.epochs.find(id_of(owner));
        if (known != other.disk.epochs.end()) epoch = std::max(epoch, known->second);
        for (const Frontier::Seen& seen : other.now.frontier.seen()) {
            if (seen.actor.node == id_of(owner)) start = std::max(start, seen.actor.start);
        }
        const auto frozen = other.now.frozen.find(id_of(owner));
        if (frozen != other.now.frozen.end()) start = std::max(start, frozen->second);
    }
    const Starts frozen = self.now.frozen;
    self.now = State{};
    self.now.frozen = frozen;
    self.now.epoch = epoch + 1;
    self.now.start = start + 1;
    begin_life(owner);
    if (rules_.epochs) note_new_epoch(owner);
    self.is_ready = true;
    for (const Seat& seat : seats_) {
        const size_t from = *seat.holder;
        if (from == owner) continue;
        sync(from);
        const State theirs = members_[from].now;
        if (rules_.pull_explains && unexplained(theirs, self.now.frontier).has_value()) {
            set_aside(from);
            continue;
        }
        take_all(owner, theirs);
    }
    write_through(owner);
}

}  // namespace starling::node::group_model
