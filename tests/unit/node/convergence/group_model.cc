#include "tests/unit/node/convergence/group_model.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "tests/unit/node/version/builders.h"

namespace starling::node::group_model {

namespace {

using RequestSet = std::set<base::RequestId>;

std::string describe(const RequestSet& requests) {
    std::vector<uint64_t> numbers;
    for (const base::RequestId& id : requests)
        numbers.push_back(id.created_ms);
    return fmt::format("{}", numbers);
}

bool has_hidden(const Record& record) {
    return std::any_of(record.siblings.begin(), record.siblings.end(), [&](const Sibling& sibling) {
        return record.is_hidden(sibling);
    });
}

}  // namespace

Group::Group(Rules rules) : rules_(rules) {
    for (size_t i = 0; i < node_count; ++i)
        begin_life(i);
}

std::vector<base::NodeId> Group::others_of(size_t owner) const {
    std::vector<base::NodeId> others;
    for (size_t i = 0; i < node_count; ++i) {
        const bool counts = rules_.filling_is_owner ? is_owner(i) : seat_of(i).has_value();
        if (i != owner && counts) others.push_back(id_of(i));
    }
    return others;
}

std::optional<size_t> Group::seat_of(size_t node) const {
    const auto at = std::find(holders_.begin(), holders_.end(), node);
    if (at == holders_.end()) return std::nullopt;
    return static_cast<size_t>(at - holders_.begin());
}

// The start counter is durable before the first write of the life, and nothing else is lost by it.
void Group::begin_life(size_t owner) {
    Owner& self = owners_[owner];
    ++lives_;
    self.actor = {.node = id_of(owner),
                  .start = self.now.start,
                  .random = rules_.actors_are_random ? lives_ : 1};
    self.minted_count = 0;
    self.to_acknowledge.clear();
    self.knowledge = {};
    self.hints_gone.clear();
    self.hints_gone_at = 0;
    self.heard = {};
    self.covered_time = {};
    ++self.question;
    self.now.frozen[id_of(owner)] = self.now.start;
    self.disk = self.now;
    for (const auto& [node, epoch] : self.now.epochs)
        self.knowledge.note_epoch(node, epoch);
}

void Group::write_through(size_t owner) {
    owners_[owner].disk = owners_[owner].now;
}

const Record& Group::record(size_t owner, size_t key) const {
    return owners_[owner].now.records[key];
}

Reading Group::read(size_t owner, size_t key) const {
    // What a read returns is durable.
    const Record& record = owners_[owner].disk.records[key];
    Reading reading{.seen = Superseded::by_reading(record), .live = {}};
    for (const Sibling& sibling : record.siblings)
        reading.live.insert(sibling.dot);
    return reading;
}

// With all that it had replaced, at any remove.
void Group::replace(Truth& by, const Truth& replaced) {
    by.replaced.insert(replaced.request);
    by.replaced.insert(replaced.replaced.begin(), replaced.replaced.end());
}

// Its next dot will cover all of its earlier ones, so it must have them: it may have given its seat
// away and taken another in one life.
bool Group::may_mint(size_t node) const {
    const Owner& owner = owners_[node];
    const bool has_own = owner.now.frontier.seen_of(owner.actor).base == owner.minted_count;
    return owner.is_ready && seat_of(node).has_value() && (has_own || !rules_.mints_above_own);
}

void Group::put(const Put& put) {
    Owner& owner = owners_[put.owner];
    if (!may_mint(put.owner) || put.request.created_ms + request_window < now_) {
        return;
    }
    if (rules_.change_asks_index && has_lost(owner.now, put.key)) return set_aside(put.owner);
    Record& local = owner.now.records[put.key];
    const bool names = put.replaces == Replaces::seen_by_reader;
    const State& other = owners_[put.other_owner].disk;
    if (!names && is_active(put.other_owner)) {
        merge_into(put.owner, put.key, other.records[put.key], reflected_of(other, put.key));
    }
    if (const Sibling* known = local.find(put.request); known != nullptr) {
        owner.to_acknowledge.insert(known->dot);
        return send(put.owner, put.key, known->dot);
    }
    if (local.is_gone(put.request)) return;

    Truth truth{.request = put.request,
                .is_tombstone = put.is_tombstone,
                .key = put.key,
                .replaced = {},
                .seats = {}};
    if (names && !put.reading.seen.has_seen(put.request)) {
        for (const Dot& live : put.reading.live)
            replace(truth, truth_.at(live));
    }
    if (!names) {
        for (const Sibling& sibling : local.siblings) {
            if (sibling.request < put.request) replace(truth, truth_.at(sibling.dot));
        }
    }
    NewWrite write = testing::write(
        {}, put.request.created_ms, put.is_tombstone ? "" : fmt::format("w{}", now_));
    write.is_tombstone = put.is_tombstone;
    if (put.expires && !put.is_tombstone) write.expires_ms = put.request.created_ms + 4;
    mint_at(put.owner, put.key, names ? &put.reading.seen : nullptr, std::move(write), truth);
}

// Without `seen`, over all that the owner holds.
void Group::mint_at(
    size_t node, size_t key, const Superseded* seen, NewWrite write, const Truth& truth) {
    Owner& owner = owners_[node];
    Record& local = owner.now.records[key];
    const Dot dot{owner.actor, ++owner.minted_count};
    write.dot = dot;
    truth_[dot] = truth;
    local =
        seen == nullptr ? mint_over(local, std::move(write)) : mint(local, *seen, std::move(write));
    owner.now.frontier.add(dot);
    owner.now.index[dot] = key;
    owner.now.reflected.insert(dot);
    owner.to_acknowledge.insert(dot);
    tidy(node, key);
    send(node, key, dot);
}

void Group::expire(size_t node) {
    Owner& owner = owners_[node];
    if (!may_mint(node)) return;
    for (size_t key = 0; key < key_count; ++key) {
        const std::vector<Sibling> siblings = owner.now.records[key].siblings;
        for (const Sibling& sibling : siblings) {
            if (sibling.expires_ms == 0 || sibling.expires_ms > now_) continue;
            // Made of the dot, so whoever removes it makes the same.
            const base::RequestId request{.created_ms = sibling.expires_ms,
                                          .random_high = 1 + sibling.dot.actor.node.raw(),
                                          .random_low = sibling.dot.sequence};
            const Record& local = owner.now.records[key];
            if (local.find(request) != nullptr || local.is_gone(request)) continue;
            if (rules_.change_asks_index && has_lost(owner.now, key)) return set_aside(node);
            Truth truth{
                .request = request, .is_tombstone = true, .key = key, .replaced = {}, .seats = {}};
            replace(truth, truth_.at(sibling.dot));
            Superseded seen;
            seen.requests = {sibling.request};
            NewWrite write = testing::removal({}, 1);
            write.request = request;
            mint_at(node, key, &seen, std::move(write), truth);
        }
    }
}

Group::Dots Group::reflected_of(const State& state, size_t key) const {
    Dots dots;
    for (const Dot& dot : state.reflected) {
        if (truth_.at(dot).key == key) dots.insert(dot);
    }
    return dots;
}

void Group::send(size_t from, size_t key, const Dot& dot) {
    for (size_t to = 0; to < node_count; ++to) {
        if (to == from || !is_owner(to)) continue;
        messages_.push_back({.from = from,
                             .to = to,
                             .seat = seat_of(to),
                             .key = key,
                             .record = owners_[from].now.records[key],
                             .dot = dot,
                             .reflected = reflected_of(owners_[from].now, key)});
    }
}

void Group::deliver(const Message& message) {
    accept(message, false);
}

// R2, in its order.
void Group::accept(const Message& message, bool is_hint) {
    Owner& owner = owners_[message.to];
    const Frontier& frontier = owner.now.frontier;
    if (!is_active(message.to)) return;
    if (rules_.change_asks_index && has_lost(owner.now, message.key)) {
        return set_aside(message.to);
    }
    if (message.dot.actor.start < frontier.sealed_before(message.dot.actor.node)) {
        if (!rules_.refused_is_not_applied) {
            merge_into(message.to, message.key, message.record, message.reflected);
        }
        // What was refused may be reflected: then it may be acknowledged, too.
        return;
    }
    const bool is_taken_blindly =
        !rules_.absent_asks_frontier && owner.now.records[message.key].siblings.empty();
    if (!frontier.contains(message.dot) || is_taken_blindly) {
        const bool is_of_frozen =
            std::any_of(message.record.siblings.begin(),
                        message.record.siblings.end(),
                        [&](const Sibling& sibling) {
                            return has_ended(owner.now.frozen, sibling.dot.actor) &&
                                   !frontier.contains(sibling.dot);
                        });
        if (is_of_frozen && !is_hint) return;
        if (rules_.loss_is_no_deletion &&
            !accounts_for(owner.now.records[message.key], message.record, frontier)) {
            return;
        }
        merge_into(message.to, message.key, message.record, message.reflected);
    }
    owner.to_acknowledge.insert(message.dot);
}

void Group::merge_into(size_t owner, size_t key, const Record& incoming, const Dots& reflected) {
    State& state = owners_[owner].now;
    Record& local = state.records[key];
    for (const Sibling& sibling : incoming.siblings) {
        if (!state.frontier.contains(sibling.dot)) state.index[sibling.dot] = key;
    }
    if (rules_.absent_asks_frontier || !local.siblings.empty()) {
        merge(local, incoming, state.frontier);
    } else {
        join(local, incoming);
        for (const Sibling& sibling : incoming.siblings)
            state.frontier.add(sibling.dot);
    }
    state.reflected.insert(reflected.begin(), reflected.end());
    tidy(owner, key);
}

// The context goes with the last sibling.
void Group::tidy(size_t owner, size_t key) {
    Record& record = owners_[owner].now.records[key];
    if (record.siblings.empty()) record.context = {};
    if (!rules_.requests_remembered) record.gone.clear();
}

void Group::take_hint(const Message& message) {
    const bool is_of_frozen = std::any_of(
        message.record.siblings.begin(),
        message.record.siblings.end(),
        [&](const Sibling& sibling) { return has_ended(hint_holder_frozen_, sibling.dot.actor); });
    if (is_of_frozen || !message.seat.has_value()) return;
    hints_.push_back(message);
    acknowledge(*message.seat, message.dot);
}

void Group::deliver_hint(size_t index) {
    // To whoever holds the seat now.
    Message hint = hints_[index];
    hint.to = holders_[*hint.seat];
    if (!owners_[hint.to].is_ready) return;
    accept(hint, true);
    sync(hint.to);
    hints_.erase(hints_.begin() + static_cast<ptrdiff_t>(index));
}

void Group::acknowledge(size_t seat, const Dot& dot) {
    Truth& truth = truth_.at(dot);
    truth.seats.insert(seat);
    if (truth.seats.size() >= 2) acknowledged_.insert(truth.request);
}

void Group::sync(size_t owner) {
    Owner& self = owners_[owner];
    if (!self.is_ready) return;
    write_through(owner);
    const auto seat = seat_of(owner);
    if (!seat.has_value()) return;
    for (const Dot& dot : self.to_acknowledge)
        acknowledge(*seat, dot);
    self.to_acknowledge.clear();
}

void Group::crash(size_t owner) {
    Owner& self = owners_[owner];
    self.now = self.disk;
    ++self.now.start;
    begin_life(owner);
}

void Group::take_snapshot(size_t owner) {
    if (owners_[owner].is_ready) owners_[owner].snapshot = owners_[owner].disk;
}

void Group::wipe(size_t owner) {
    owners_[owner].snapshot = State{};
    roll_back(owner);
}

void Group::roll_back(size_t owner) {
    Owner& self = owners_[owner];
    if (!self.snapshot.has_value() || !self.is_ready) return;
    const State before = *self.snapshot;
    self.snapshot.reset();
    if (!seat_of(owner).has_value()) return;
    has_lost_disk_ = true;
    for (auto& [dot, truth] : truth_) {
        if (!before.reflected.contains(dot)) truth.seats.erase(*seat_of(owner));
    }
    self.now = before;
    self.is_ready = !rules_.refills;
    ++self.now.start;
    begin_life(owner);
}

void Group::lose_record(size_t owner, size_t key) {
    Owner& self = owners_[owner];
    if (!self.is_ready || !seat_of(owner).has_value()) return;
    has_lost_disk_ = true;
    for (State* state : {&self.now, &self.disk}) {
        for (const Dot& dot : reflected_of(*state, key)) {
            state->reflected.erase(dot);
            self.to_acknowledge.erase(dot);
            truth_.at(dot).seats.erase(*seat_of(owner));
        }
        state->records[key] = {};
    }
}

// Its data is not used again.
void Group::set_aside(size_t owner) {
    Owner& self = owners_[owner];
    self.is_ready = false;
    ++self.now.start;
    self.disk = self.now;
    begin_life(owner);
}

// Of the owner's data; durable at the others before one of them sends the first byte.
void Group::note_new_epoch(size_t owner) {
    Owner& self = owners_[owner];
    for (size_t i = 0; i < node_count; ++i) {
        if (i == owner || !is_owner(i)) continue;
        Owner& other = owners_[i];
        other.covered_time[owner] = 0;
        for (State* state : {&other.now, &other.disk})
            state->epochs[id_of(owner)] = self.now.epoch;
        other.knowledge.note_epoch(id_of(owner), self.now.epoch);
        self.now.epochs[id_of(i)] = other.now.epoch;
        self.knowledge.note_epoch(id_of(i), other.now.epoch);
    }
}

void Group::refill(size_t owner) {
    Owner& self = owners_[owner];
    if (self.is_ready) return;
    for (size_t i = 0; i < node_count; ++i) {
        if (i != owner && seat_of(i).has_value() && !owners_[i].is_ready) return;
    }
    // Its own past is what the others know of it.
    uint64_t epoch = self.now.epoch;
    uint32_t start = self.now.start;
    for (const Owner& other : owners_) {
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
    for (size_t i = 0; i < node_count; ++i) {
        if (i == owner || !seat_of(i).has_value()) continue;
        sync(i);
        pull(owner, i);
    }
    write_through(owner);
}

void Group::begin_move(size_t seat, size_t to) {
    Owner& self = owners_[to];
    if (move_.has_value() || is_owner(to) || !self.is_ready) return;
    move_ = Move{.seat = seat, .to = to};
    State empty;
    empty.start = self.now.start;
    empty.frozen = self.now.frozen;
    empty.epoch = self.now.epoch;
    if (rules_.fill_raises_epoch) {
        for (const Owner& other : owners_) {
            const auto known = other.disk.epochs.find(id_of(to));
            if (known != other.disk.epochs.end()) {
                empty.epoch = std::max(empty.epoch, known->second);
            }
        }
        ++empty.epoch;
    }
    self.now = empty;
    self.to_acknowledge.clear();
    self.knowledge = {};
    self.covered_time = {};
    note_new_epoch(to);
    self.disk = self.now;
}

void Group::finish_move() {
    if (!move_.has_value()) return;
    const size_t to = move_->to;
    const size_t giver = holders_[move_->seat];
    if (!owners_[to].is_ready || !owners_[giver].is_ready) return;
    // The giver is fenced: what it has now is all it ever had.
    sync(giver);
    pull(to, giver);
    if (!owners_[giver].is_ready) return;
    write_through(to);
    holders_[move_->seat] = to;
    move_.reset();
    State left;
    left.start = owners_[giver].now.start;
    left.frozen = owners_[giver].now.frozen;
    left.epoch = owners_[giver].now.epoch;
    owners_[giver].now = left;
    owners_[giver].disk = left;
    owners_[giver].to_acknowledge.clear();
    owners_[giver].snapshot.reset();
}

// A dot that not all owners have seen, and that the state claims to reflect and does not.
bool Group::is_damaged_for(const State& theirs, const Frontier& mine) const {
    return std::any_of(theirs.index.begin(), theirs.index.end(), [&](const auto& indexed) {
        const auto& [dot, key] = indexed;
        return !mine.contains(dot) && !theirs.records[key].context.covers(dot);
    });
}

bool Group::has_lost(const State& state, size_t key) const {
    return std::any_of(state.index.begin(), state.index.end(), [&](const auto& indexed) {
        return indexed.second == key && !state.records[key].context.covers(indexed.first);
    });
}

// A dot of the key that `mine` has not, live or replaced.
bool Group::brings_news(const State& theirs, size_t key, const Frontier& mine) const {
    const std::vector<Sibling>& siblings = theirs.records[key].siblings;
    return std::any_of(siblings.begin(),
                       siblings.end(),
                       [&](const Sibling& sibling) { return !mine.contains(sibling.dot); }) ||
           std::any_of(theirs.index.begin(), theirs.index.end(), [&](const auto& indexed) {
               return indexed.second == key && !mine.contains(indexed.first);
           });
}

void Group::pull(size_t to, size_t from) {
    Owner& self = owners_[to];
    if (to == from || !is_active(to) || !is_active(from)) return;
    const State theirs = owners_[from].disk;
    const Frontier before = self.now.frontier;
    if (rules_.pull_explains && is_damaged_for(theirs, before)) return set_aside(from);
    for (size_t key = 0; key < key_count; ++key) {
        if (rules_.loss_is_no_deletion &&
            !accounts_for(self.now.records[key], theirs.records[key], before)) {
            return set_aside(to);
        }
    }
    for (size_t key = 0; key < key_count; ++key) {
        if (brings_news(theirs, key, before)) {
            merge_into(to, key, theirs.records[key], reflected_of(theirs, key));
        }
    }
    for (const auto& [dot, key] : theirs.index) {
        if (!before.contains(dot)) self.now.index[dot] = key;
    }
    self.now.frontier.unite(theirs.frontier);
    self.now.reflected.insert(theirs.reflected.begin(), theirs.reflected.end());
}

void Group::exchange(size_t a, size_t b, size_t key) {
    if (a == b || !is_active(a) || !is_active(b)) return;
    const State of_a = owners_[a].disk;
    const State of_b = owners_[b].disk;
    if (rules_.loss_is_no_deletion) {
        if (!accounts_for(of_a.records[key], of_b.records[key], of_a.frontier)) return set_aside(a);
        if (!accounts_for(of_b.records[key], of_a.records[key], of_b.frontier)) return set_aside(b);
    }
    if (!of_b.records[key].siblings.empty()) {
        merge_into(a, key, of_b.records[key], reflected_of(of_b, key));
    }
    if (!of_a.records[key].siblings.empty()) {
        merge_into(b, key, of_a.records[key], reflected_of(of_a, key));
    }
}

void Group::report(size_t from, size_t to) {
    const Owner& self = owners_[from];
    if (!is_active(from) || !is_owner(to) || from == to) return;
    reports_.push_back({.from = from,
                        .to = to,
                        .report = {.epoch = self.disk.epoch,
                                   .epochs = self.disk.epochs,
                                   .frozen = self.disk.frozen,
                                   .question = self.heard[to],
                                   .frontier = self.disk.frontier},
                        .time = now_,
                        .all = self.now.frontier});
}

void Group::deliver_report(size_t index) {
    const SentReport& sent = reports_[index];
    Owner& self = owners_[sent.to];
    if (!is_active(sent.to)) return;
    self.knowledge.note(id_of(sent.from), sent.report);
    for (const auto& [node, epoch] : self.knowledge.epochs()) {
        if (node == id_of(sent.to)) continue;
        uint64_t& known = self.now.epochs[node];
        known = std::max(known, epoch);
        uint64_t& durable = self.disk.epochs[node];
        durable = std::max(durable, epoch);
    }
    // R7: nothing that exists and is not here can still come.
    const bool is_of_present_epoch = sent.report.epoch == self.knowledge.epoch_of(id_of(sent.from));
    bool is_complete = is_of_present_epoch && self.now.frontier.contains(sent.all);
    if (rules_.forget_asks_for_ended_lives) {
        // Both know of the same lives, or one may still take a message of a life that has ended.
        is_complete = is_complete && sent.report.frozen == self.now.frozen;
    }
    if (is_complete) {
        self.covered_time[sent.from] = std::max(self.covered_time[sent.from], sent.time);
    }
}

void Group::learn_start(size_t owner, size_t about) {
    Owner& self = owners_[owner];
    const uint32_t start = owners_[about].disk.start;
    for (State* state : {&self.now, &self.disk}) {
        uint32_t& known = state->frozen[id_of(about)];
        if (known < start) {
            known = start;
            // What was covered before was so without these lives.
            self.covered_time = {};
        }
    }
}

void Group::hint_holder_learns_start(size_t about) {
    uint32_t& known = hint_holder_frozen_[id_of(about)];
    known = std::max(known, owners_[about].disk.start);
}

void Group::report_hints(size_t to) {
    Owner& self = owners_[to];
    self.hints_gone.clear();
    for (const auto& [node, start] : hint_holder_frozen_) {
        const bool has_some = std::any_of(hints_.begin(), hints_.end(), [&](const Message& hint) {
            return std::any_of(hint.record.siblings.begin(),
                               hint.record.siblings.end(),
                               [&](const Sibling& sibling) {
                                   return sibling.dot.actor.node == node &&
                                          sibling.dot.actor.start < start;
                               });
        });
        if (!has_some) self.hints_gone[node] = start;
    }
    self.hints_gone_at = self.question;
    ++self.question;
}

void Group::ask_owners(size_t owner) {
    for (size_t i = 0; i < node_count; ++i)
        owners_[i].heard[owner] = owners_[owner].question;
}

void Group::seal(size_t owner) {
    Owner& self = owners_[owner];
    if (!is_active(owner) || !rules_.sealing) return;
    const Starts frozen = self.now.frozen;
    for (const auto& [node, start] : frozen) {
        if (start <= self.now.frontier.sealed_before(node)) continue;
        if (rules_.seal_on_proof) {
            const auto hints_gone = self.hints_gone.find(node);
            const bool no_hints =
                hints_gone != self.hints_gone.end() && hints_gone->second >= start;
            if (rules_.seal_asks_hint_holder && !no_hints) continue;
            const uint64_t question = rules_.seal_asks_owners_last ? self.hints_gone_at + 1 : 0;
            if (!self.knowledge.agree_on_lives(
                    node, start, question, others_of(owner), self.now.frontier)) {
                continue;
            }
        }
        self.now.frontier.seal(node, start);
        ++sealed_;
    }
}

Frontier Group::stable_of(size_t owner) const {
    const Owner& self = owners_[owner];
    std::vector<base::NodeId> others = others_of(owner);
    if (!rules_.drop_waits_for_all) {
        std::erase_if(others, [&](base::NodeId other) {
            return self.knowledge.stable(std::vector{other}, self.disk.frontier).empty();
        });
    }
    return self.knowledge.stable(others, self.disk.frontier);
}

void Group::strip(size_t owner) {
    if (!is_active(owner)) return;
    const Frontier stable = stable_of(owner);
    std::erase_if(owners_[owner].now.index,
                  [&](const auto& indexed) { return stable.is_past(indexed.first); });
    for (Record& record : owners_[owner].now.records) {
        const Context before = record.context;
        if (rules_.strip_waits_for_siblings && rules_.strip_waits_for_covered) {
            strip_context(record, stable);
        } else {
            const bool all_seen = std::all_of(
                record.siblings.begin(), record.siblings.end(), [&](const Sibling& sibling) {
                    return stable.is_past(sibling.dot);
                });
            if (rules_.strip_waits_for_siblings && !all_seen) continue;
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
}

void Group::collect(size_t owner) {
    Owner& self = owners_[owner];
    if (!is_active(owner)) return;
    const Frontier stable = stable_of(owner);
    std::erase_if(self.now.index,
                  [&](const auto& indexed) { return stable.is_past(indexed.first); });
    const uint64_t forget = rules_.requests_remembered ? forget_before(owner) : UINT64_MAX;
    for (size_t key = 0; key < key_count; ++key) {
        Record& record = self.now.records[key];
        const Context context = record.context;
        if (!rules_.drop_covers_superseded) {
            record.context = {};
            for (const Sibling& sibling : record.siblings)
                record.context.add(sibling.dot);
        }
        if (collect_tombstones(record, stable, forget)) ++collected_;
        record.context = context;
        tidy(owner, key);
    }
}

bool Group::knows_ended_lives(const Owner& owner) const {
    // Hints with dots of ended lives are nowhere.
    return std::all_of(owner.now.frozen.begin(), owner.now.frozen.end(), [&](const auto& frozen) {
        const auto at = owner.hints_gone.find(frozen.first);
        return frozen.second == 1 || (at != owner.hints_gone.end() && at->second >= frozen.second);
    });
}

uint64_t Group::forget_before(size_t owner) const {
    const Owner& self = owners_[owner];
    if (rules_.forget_asks_for_ended_lives && !knows_ended_lives(self)) return 0;
    uint64_t covered = now_;
    for (size_t i = 0; i < node_count; ++i) {
        if (i != owner && is_owner(i)) covered = std::min(covered, self.covered_time[i]);
    }
    return covered > request_window ? covered - request_window : 0;
}

void Group::forget(size_t owner) {
    Owner& self = owners_[owner];
    if (!is_active(owner)) return;
    for (Record& record : self.now.records)
        forget_requests_before(record, forget_before(owner));
}

void Group::converge_round() {
    now_ += request_window + 1;
    const auto for_each_owner = [&](auto&& act) {
        for (size_t i = 0; i < node_count; ++i) {
            if (is_owner(i)) act(i);
        }
    };
    for_each_owner([&](size_t i) { refill(i); });
    for (size_t i = hints_.size(); i > 0; --i)
        deliver_hint(i - 1);
    for (size_t about = 0; about < node_count; ++about) {
        hint_holder_learns_start(about);
        for_each_owner([&](size_t i) {
            if (i != about) learn_start(i, about);
        });
    }
    for_each_owner([&](size_t i) {
        expire(i);
        sync(i);
    });
    for (int round = 0; round < 2; ++round) {
        for_each_owner([&](size_t to) {
            for_each_owner([&](size_t from) {
                pull(to, from);
                sync(to);
            });
        });
        for_each_owner([&](size_t i) { refill(i); });
    }
    finish_move();
    for (size_t key = 0; key < key_count; ++key) {
        for_each_owner([&](size_t a) {
            for_each_owner([&](size_t b) {
                exchange(a, b, key);
                sync(a);
                sync(b);
            });
        });
    }
    for_each_owner([&](size_t i) { refill(i); });
    for_each_owner([&](size_t i) { report_hints(i); });
    for_each_owner([&](size_t i) { ask_owners(i); });
    const size_t first = reports_.size();
    for_each_owner([&](size_t from) { for_each_owner([&](size_t to) { report(from, to); }); });
    for (size_t i = first; i < reports_.size(); ++i)
        deliver_report(i);
    for_each_owner([&](size_t i) {
        seal(i);
        sync(i);
    });
    for_each_owner([&](size_t i) {
        strip(i);
        collect(i);
        forget(i);
        sync(i);
    });
}

void Group::converge() {
    // A round makes the seals of the one before known, and with them collects the rest; a disk that
    // is found to be damaged is filled in the one after.
    for (int round = 0; round < 6; ++round) {
        converge_round();
        if (round == 1 && has_lost_disk_) end_lives_with_holes();
    }
}

// A lost disk may have had the only copy of what a living node wrote before it gave its seat away:
// such a hole is closed once that life has ended.
void Group::end_lives_with_holes() {
    for (size_t i = 0; i < node_count; ++i) {
        const Owner& node = owners_[i];
        const bool has_own = node.now.frontier.seen_of(node.actor).base == node.minted_count;
        if (!is_owner(i) || !has_own) crash(i);
    }
}

std::optional<std::string> Group::violation_of_reads() const {
    for (const size_t a : holders_) {
        for (const size_t b : holders_) {
            if (a >= b || !owners_[a].is_ready || !owners_[b].is_ready) continue;
            for (size_t key = 0; key < key_count; ++key) {
                Record record = owners_[a].disk.records[key];
                join(record, owners_[b].disk.records[key]);
                Dots reflected = owners_[a].disk.reflected;
                reflected.insert(owners_[b].disk.reflected.begin(),
                                 owners_[b].disk.reflected.end());
                if (auto wrong = wrong_writes(key, reflected, record)) {
                    return fmt::format("read of {} and {}: {}",
                                       static_cast<char>('A' + a),
                                       static_cast<char>('A' + b),
                                       *wrong);
                }
            }
        }
    }
    return std::nullopt;
}

std::optional<std::string> Group::violation() const {
    if (auto differs = difference()) return differs;
    Dots reflected;
    for (const size_t holder : holders_) {
        const Dots& its = owners_[holder].now.reflected;
        reflected.insert(its.begin(), its.end());
    }
    RequestSet there;
    for (const Dot& dot : reflected)
        there.insert(truth_.at(dot).request);
    for (const base::RequestId& request : acknowledged_) {
        if (!there.contains(request)) {
            return fmt::format("acknowledged and lost: {}", request.created_ms);
        }
    }
    for (size_t key = 0; key < key_count; ++key) {
        const Record& record = owners_[holders_[0]].now.records[key];
        if (auto wrong = wrong_writes(key, reflected, record)) return wrong;
    }
    return std::nullopt;
}

std::optional<std::string> Group::difference() const {
    const State& first = owners_[holders_[0]].now;
    for (const size_t holder : holders_) {
        const State& state = owners_[holder].now;
        if (!owners_[holder].is_ready) return "an owner is not ready";
        if (state.frontier.gap_count() != 0) {
            return "a frontier has a gap: " + to_string(state.frontier);
        }
        if (state.frontier != first.frontier) return "frontiers differ";
        if (!state.index.empty()) return "the index is not empty";
        for (size_t key = 0; key < key_count; ++key) {
            const Record& record = state.records[key];
            if (record.siblings != first.records[key].siblings) return "records differ";
            for (const Sibling& sibling : record.siblings) {
                if (sibling.is_tombstone && !has_hidden(record)) {
                    return "a tombstone stays for ever";
                }
                if (sibling.expires_ms != 0) return "an expired value stays";
            }
            if (!record.gone.empty() && rules_.requests_remembered) return "ids stay for ever";
        }
    }
    return std::nullopt;
}

// What of `reflected` nothing else in it replaced should be live, and nothing more.
std::optional<std::string> Group::wrong_writes(size_t key,
                                               const Dots& reflected,
                                               const Record& record) const {
    RequestSet expected;
    RequestSet replaced;
    for (const Dot& dot : reflected) {
        const Truth& truth = truth_.at(dot);
        if (truth.key != key) continue;
        if (!truth.is_tombstone) expected.insert(truth.request);
        replaced.insert(truth.replaced.begin(), truth.replaced.end());
    }
    for (const base::RequestId& request : replaced)
        expected.erase(request);
    RequestSet live;
    for (const Sibling& sibling : record.siblings) {
        if (!sibling.is_tombstone) live.insert(sibling.request);
    }
    for (const base::RequestId& request : expected) {
        if (!live.contains(request)) {
            return fmt::format("lost: {} of {}", request.created_ms, describe(expected));
        }
    }
    for (const base::RequestId& request : live) {
        if (!expected.contains(request)) {
            return fmt::format("back: {} beside {}", request.created_ms, describe(expected));
        }
    }
    return std::nullopt;
}

}  // namespace starling::node::group_model
