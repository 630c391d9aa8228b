// What members tell one another, and what they conclude: as Standings, Collector and ReplicaStore
// do it, on the same pure parts.

#include <algorithm>

#include "node/version/collection.h"
#include "tests/unit/node/convergence/group_change.h"
#include "tests/unit/node/convergence/group_model.h"

namespace starling::node::group_model {

namespace {

constexpr GroupId the_group{.partition = base::PartitionId(0), .replicas = seat_count};

std::vector<base::NodeId> nodes_of(const std::vector<Owner>& owners) {
    std::vector<base::NodeId> nodes;
    for (const Owner& owner : owners)
        nodes.push_back(owner.node);
    return nodes;
}

}  // namespace

GroupStanding& Group::standing_of(size_t node) {
    Member& self = members_[node];
    if (!self.standing.has_value()) {
        self.standing.emplace(++self.last_question);
        for (const auto& [owner, epoch] : self.now.epochs)
            self.standing->note_epoch(owner, epoch);
    }
    return *self.standing;
}

void Group::report(size_t from, size_t to) {
    if (!is_owner(from) || from == to) return;
    // It is sent once what it says is durable.
    sync(from);
    const State& state = members_[from].now;
    GroupStanding& standing = standing_of(from);
    standing.note_durable(state.frontier);
    reports_.push_back({.from = from,
                        .to = to,
                        .report = {.tenure = own_tenure(from),
                                   .wall_ms = now_,
                                   .asks = standing.question(),
                                   .known = {.epoch = state.epoch,
                                             .epochs = state.epochs,
                                             .frozen = state.frozen,
                                             .question = standing.heard(id_of(to)),
                                             .frontier = state.frontier}}});
}

void Group::deliver_report(size_t index) {
    SentReport sent = reports_[index];
    Member& self = members_[sent.to];
    const base::NodeId from = id_of(sent.from);
    if (!is_owner(sent.to)) return;
    const std::optional<std::vector<Owner>> owners = other_owners(sent.to);
    if (!owners.has_value() || !GroupStanding::counts(*owners, from, sent.report)) return;
    if (!rules_.seal_asks_owners_last) sent.report.known.question = UINT64_MAX;
    if (standing_of(sent.to).note_report(from, sent.report)) self.horizon.forget(the_group, from);
    for (const auto& [node, start] : sent.report.known.frozen)
        note_start(sent.to, node, start);
    std::map<base::NodeId, uint64_t> epochs = sent.report.known.epochs;
    epochs[from] = std::max(epochs[from], sent.report.known.epoch);
    epochs.erase(id_of(sent.to));
    for (const auto& [node, epoch] : epochs) {
        for (State* state : {&self.now, &self.disk}) {
            uint64_t& known = state->epochs[node];
            known = std::max(known, epoch);
        }
    }
    const bool knows_same_lives =
        sent.report.known.frozen == self.now.frozen || !rules_.forget_asks_for_ended_lives;
    const bool follows_hints = sent.report.known.question >= standing_of(sent.to).counts_from() ||
                               !rules_.words_follow_hints;
    if (knows_same_lives && follows_hints && sent.report.known.epoch == self.now.epochs[from]) {
        self.horizon.note(the_group,
                          from,
                          sent.report.wall_ms,
                          sent.report.known.frontier,
                          self.now.frontier,
                          now_);
    }
    advance(sent.to);
}

void Group::note_start(size_t node, base::NodeId about, uint32_t start) {
    Member& self = members_[node];
    const auto known = self.now.frozen.find(about);
    if (start <= 1 || (known != self.now.frozen.end() && known->second >= start)) return;
    self.now.frozen[about] = start;
    // What was found complete may have been so without these lives.
    self.horizon.clear();
}

void Group::learn_start(size_t node, size_t about) {
    note_start(node, id_of(about), members_[about].now.start);
}

bool Group::has_hint_of(size_t node, base::NodeId of, uint32_t before) const {
    const bool has_unclaimed = !holds_seat(node) && rules_.who_fills_is_asked &&
                               !members_[node].now.frontier.seen_before(of, before).empty();
    if (has_unclaimed) return true;
    const std::vector<Message>& hints = members_[node].hints;
    return std::any_of(hints.begin(), hints.end(), [&](const Message& hint) {
        return std::any_of(hint.brings.begin(), hint.brings.end(), [&](const Dot& dot) {
            return dot.actor.node == of && dot.actor.start < before;
        });
    });
}

void Group::tell_hints(size_t from, size_t to) {
    if (from == to) return;
    // What it will take no more must be on its disk before it says so.
    sync(from);
    Starts gone = members_[from].now.frozen;
    std::erase_if(
        gone, [&](const auto& frozen) { return has_hint_of(from, frozen.first, frozen.second); });
    standing_of(to).note_hints_gone(id_of(from), gone);
    advance(to);
}

std::vector<base::NodeId> Group::other_members(size_t node) const {
    std::vector<base::NodeId> members;
    for (size_t i = 0; i < node_count; ++i) {
        if (i != node) members.push_back(id_of(i));
    }
    return members;
}

void Group::talk(std::optional<size_t> without) {
    const auto for_each_pair = [&](auto&& act) {
        for (size_t from = 0; from < node_count; ++from) {
            for (size_t to = 0; to < node_count; ++to) {
                if (from != to && from != without && to != without) act(from, to);
            }
        }
    };
    for (size_t node = 0; node < node_count; ++node) {
        for (size_t seat = 0; seat < seat_count; ++seat) {
            if (node != without) learn_seat(node, seat);
        }
    }
    for_each_pair([&](size_t from, size_t to) { learn_start(to, from); });
    for_each_pair([&](size_t from, size_t to) { tell_hints(from, to); });
    for_each_pair([&](size_t from, size_t to) {
        const size_t count = reports_.size();
        report(from, to);
        if (reports_.size() > count) deliver_report(count);
    });
}

// As Standings::advance().
void Group::advance(size_t node) {
    Member& self = members_[node];
    std::optional<std::vector<Owner>> owners = other_owners(node);
    if (!owners.has_value() || !self.is_ready) return;
    GroupStanding& standing = standing_of(node);
    if (!rules_.drop_waits_for_all) {
        std::erase_if(*owners,
                      [&](const Owner& owner) { return !standing.knows_all(std::vector{owner}); });
    }
    if (!standing.knows_all(*owners)) return;
    const std::vector<base::NodeId> others = nodes_of(*owners);
    // What leaves the index is looked for first: no one asks for it after that.
    for (size_t key = 0; key < key_count; ++key) {
        if (rules_.change_asks_index && has_lost(self.now, key)) return set_aside(node);
    }
    seal(node, others);
    const Frontier stable = standing.stable(others);
    for (const Frontier::Range& range : stable.minus(self.stable)) {
        for (uint64_t sequence = range.first; sequence <= range.last; ++sequence)
            self.now.index.erase({range.actor, sequence});
    }
    self.stable = stable;
}

void Group::seal(size_t node, const std::vector<base::NodeId>& others) {
    if (!rules_.sealing) return;
    Member& self = members_[node];
    Frontier frontier = self.now.frontier;
    if (rules_.seal_on_proof) {
        const std::vector<base::NodeId> members =
            rules_.seal_asks_members ? other_members(node) : std::vector<base::NodeId>{};
        GroupStanding& standing = standing_of(node);
        const uint64_t counted_from = standing.counts_from();
        standing.seal({.frozen = self.now.frozen,
                       .other_members = members,
                       .other_owners = others,
                       .has_hint =
                           [&](base::NodeId of, uint32_t before) {
                               return rules_.seal_asks_members && has_hint_of(node, of, before);
                           }},
                      self.last_question,
                      frontier);
        if (standing.counts_from() != counted_from && rules_.words_follow_hints)
            self.horizon.forget(the_group);
    } else {
        for (const auto& [ended, start] : self.now.frozen)
            frontier.seal(ended, start);
    }
    if (frontier == self.now.frontier) return;
    unite(node, frontier);
    ++sealed_;
}

void Group::strip_record(Record& record, const Frontier& stable) {
    const Context before = record.context;
    if (rules_.strip_waits_for_siblings && rules_.strip_waits_for_covered) {
        strip_context(record, stable);
    } else {
        const bool all_seen = std::all_of(
            record.siblings.begin(), record.siblings.end(), [&](const Sibling& sibling) {
                return stable.is_past(sibling.dot);
            });
        if (rules_.strip_waits_for_siblings && !all_seen) return;
        Context needed;
        for (const Context::Entry& entry : record.context.entries()) {
            const Dot dot{entry.actor, entry.sequence};
            if (rules_.strip_waits_for_covered && !stable.is_past(dot)) needed.add(dot);
        }
        for (const Sibling& sibling : record.siblings)
            needed.add(sibling.dot);
        record.context = needed;
    }
    if (record.context != before) ++stripped_;
}

void Group::strip(size_t owner) {
    if (!is_owner(owner)) return;
    for (size_t key = 0; key < key_count; ++key)
        change(owner, key, [](Record&, Frontier&) {});
}

// As ReplicaStore::collect().
void Group::collect(size_t owner) {
    Member& self = members_[owner];
    if (!is_owner(owner)) return;
    if (rules_.requests_remembered) self.forget_before = forget_before(owner);
    const uint64_t forget = rules_.requests_remembered ? self.forget_before : UINT64_MAX;
    for (size_t key = 0; key < key_count; ++key) {
        const std::vector<Sibling>& siblings = self.now.records[key].siblings;
        if (std::none_of(siblings.begin(), siblings.end(), [&](const Sibling& sibling) {
                return sibling.is_tombstone && sibling.request.created_ms < forget &&
                       self.stable.is_past(sibling.dot);
            })) {
            continue;
        }
        change(owner, key, [&](Record& record, Frontier&) {
            forget_requests_before(record, forget);
            if (!record.gone.empty()) return;
            const Context context = record.context;
            if (!rules_.drop_covers_superseded) {
                record.context = {};
                for (const Sibling& sibling : record.siblings)
                    record.context.add(sibling.dot);
            }
            if (collect_tombstones(record, self.stable, forget)) ++collected_;
            const bool is_forgotten = record.siblings.empty() && !rules_.drop_covers_superseded;
            record.context = is_forgotten ? Context{} : context;
        });
    }
}

uint64_t Group::forget_before(size_t node) const {
    const Member& self = members_[node];
    const std::optional<std::vector<Owner>> owners = other_owners(node);
    const bool is_resolved =
        self.standing.value_or(GroupStanding(0)).is_resolved(self.now.frozen, self.now.frontier);
    if (!owners.has_value() || (rules_.forget_asks_for_ended_lives && !is_resolved)) return 0;
    return self.horizon.forget_before(the_group, nodes_of(*owners), now_);
}

void Group::forget(size_t owner) {
    if (!is_owner(owner)) return;
    const uint64_t before = forget_before(owner);
    for (size_t key = 0; key < key_count; ++key) {
        change(
            owner, key, [&](Record& record, Frontier&) { forget_requests_before(record, before); });
    }
}

}  // namespace starling::node::group_model
