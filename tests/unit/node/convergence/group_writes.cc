// Clients' reads and writes, their messages, and hints of these.

#include <algorithm>

#include <fmt/format.h>

#include "node/version/expiry.h"
#include "tests/unit/node/convergence/group_change.h"
#include "tests/unit/node/convergence/group_model.h"
#include "tests/unit/node/version/builders.h"

namespace starling::node::group_model {

Reading Group::read(size_t owner, size_t key) const {
    if (!is_owner(owner)) return {};
    // What a read returns is durable.
    const State& disk = members_[owner].disk;
    const Record& record = disk.records[key];
    Reading reading{.seen = Superseded::by_reading(record), .live = {}};
    for (const Sibling& sibling : record.siblings)
        reading.live.merge(mintings_of(disk, sibling));
    return reading;
}

// A request that was minted twice has replaced what each of its dots did.
Group::Dots Group::mintings_of(const State& state, const Sibling& sibling) const {
    Dots dots{sibling.dot};
    for (const Dot& dot : state.reflected) {
        if (truth_.at(dot).request == sibling.request) dots.insert(dot);
    }
    return dots;
}

// With all that it had replaced, at any remove.
void Group::replace(Truth& by, const Truth& replaced) {
    by.replaced.insert(replaced.request);
    by.replaced.insert(replaced.replaced.begin(), replaced.replaced.end());
}

// Its next dot will cover all of its earlier ones, so it must have them: it may have given its seat
// away and taken another in one life.
bool Group::may_mint(size_t node) const {
    const Member& self = members_[node];
    const bool has_own = self.now.frontier.seen_of(self.actor).base == self.minted_count;
    return is_owner(node) && (has_own || !rules_.mints_above_own);
}

void Group::put(const Put& put) {
    Member& owner = members_[put.owner];
    if (!is_owner(put.owner) || put.request.created_ms + request_window < now_) return;
    if (rules_.change_asks_index && has_lost(owner.now, put.key)) return set_aside(put.owner);
    const bool names = put.replaces == Replaces::seen_by_reader;
    if (!names && put.other_owner != put.owner && is_owner(put.other_owner)) {
        const State& other = members_[put.other_owner].disk;
        if (rules_.loss_is_no_deletion &&
            !accounts_for(owner.now.records[put.key], other.records[put.key], owner.now.frontier)) {
            return set_aside(put.owner);
        }
        merge_into(put.owner, put.key, other.records[put.key], reflected_of(other, put.key));
    }
    const Record& local = owner.now.records[put.key];
    if (const Sibling* known = local.find(put.request); known != nullptr) {
        const Dot dot = known->dot;
        owner.acks.push_back({.dot = dot, .from = put.owner, .by = owner.actor});
        return send(put.owner, put.key, dot, /*is_repeat=*/true);
    }
    if (local.is_gone(put.request)) {
        return send(put.owner, put.key, std::nullopt, /*is_repeat=*/true);
    }
    if (!may_mint(put.owner) || (names && put.reading.seen.has_seen(put.request))) return;

    NewWrite write = testing::write(
        {}, put.request.created_ms, put.is_tombstone ? "" : fmt::format("w{}", now_));
    write.is_tombstone = put.is_tombstone;
    if (put.expires && !put.is_tombstone) write.expires_ms = put.request.created_ms + lifetime;
    Truth truth{.request = put.request,
                .is_tombstone = put.is_tombstone,
                .expires_ms = write.expires_ms,
                .key = put.key,
                .replaced = {},
                .seats = {}};
    if (names) {
        for (const Dot& live : put.reading.live)
            replace(truth, truth_.at(live));
    } else {
        for (const Sibling& sibling : local.siblings) {
            if (!(sibling.request < put.request)) continue;
            for (const Dot& dot : mintings_of(owner.now, sibling))
                replace(truth, truth_.at(dot));
        }
    }
    mint_at(put.owner, put.key, truth, [&](const Record& held, const Dot& dot) {
        write.dot = dot;
        return names ? mint(held, put.reading.seen, write) : mint_over(held, write);
    });
}

void Group::mint_at(size_t node, size_t key, const Truth& truth, const Mint& mint_write) {
    Member& owner = members_[node];
    const Dot dot{owner.actor, ++owner.minted_count};
    truth_[dot] = truth;
    owner.now.reflected.insert(dot);
    owner.acks.push_back({.dot = dot, .from = node, .by = owner.actor});
    change(node, key, [&](Record& local, Frontier& frontier) {
        forget_requests_before(local, forget_before(node));
        local = mint_write(local, dot);
        frontier.add(dot);
    });
    send(node, key, dot, /*is_repeat=*/false);
}

void Group::expire(size_t node) {
    const State& state = members_[node].now;
    for (size_t key = 0; key < key_count; ++key) {
        const std::vector<Sibling> siblings = state.records[key].siblings;
        for (const Sibling& sibling : siblings) {
            if (!may_mint(node) || !has_expired(sibling, now_)) continue;
            if (rules_.change_asks_index && has_lost(state, key)) return set_aside(node);
            remove(node, key, sibling);
        }
    }
}

// As ExpirySweep::mint(). All that it may take is the request of the value, with what that had
// replaced.
void Group::remove(size_t node, size_t key, const Sibling& value) {
    const State& state = members_[node].now;
    const Record& local = state.records[key];
    if (rules_.hiding_values_stay && hides_another(local, value.request)) return;
    Truth truth{.request = removal_request(value.request),
                .is_tombstone = true,
                .expires_ms = value.expires_ms,
                .key = key,
                .replaced = {},
                .seats = {}};
    if (local.find(truth.request) != nullptr || local.is_gone(truth.request)) return;
    for (const Dot& dot : mintings_of(state, value))
        replace(truth, truth_.at(dot));
    const std::set<base::RequestId> shown_before = shown(local);
    mint_at(node, key, truth, [&](const Record& held, const Dot& dot) {
        if (rules_.removals_name_no_dot) return mint_removal(held, value, dot);
        Context named;
        named.add(value.dot);
        Record left = held;
        std::erase_if(left.siblings, [&](const Sibling& sibling) {
            return sibling.dot != value.dot && named.covers(sibling.dot);
        });
        return mint_removal(left, value, dot);
    });
    for (const base::RequestId& request : shown(local)) {
        if (shown_before.contains(request)) continue;
        wrong_ = fmt::format("shown after a removal: {}", request.created_ms);
    }
}

// To a reader of the siblings.
std::set<base::RequestId> Group::shown(const Record& record) const {
    std::set<base::RequestId> requests;
    for (const Sibling& sibling : record.siblings) {
        if (!sibling.is_tombstone && !record.is_hidden(sibling) && !has_expired(sibling, now_)) {
            requests.insert(sibling.request);
        }
    }
    return requests;
}

Group::Dots Group::reflected_of(const State& state, size_t key) const {
    Dots dots;
    for (const Dot& dot : state.reflected) {
        if (truth_.at(dot).key == key) dots.insert(dot);
    }
    return dots;
}

// What a state takes of a record that reflects `dots`: not the values that its frontier refused.
void Group::reflect(State& state, const Frontier& before, const Dots& dots) const {
    for (const Dot& dot : dots) {
        if (!before.contains(dot) || truth_.at(dot).is_tombstone) state.reflected.insert(dot);
    }
}

void Group::merge_into(size_t node, size_t key, const Record& incoming, const Dots& reflected) {
    State& state = members_[node].now;
    const Frontier before = state.frontier;
    change(node, key, [&](Record& local, Frontier& frontier) {
        if (rules_.absent_asks_frontier || !local.siblings.empty()) {
            merge(local, incoming, frontier);
        } else {
            join(local, incoming);
            for (const Sibling& sibling : incoming.siblings)
                frontier.add(sibling.dot);
        }
    });
    reflect(state, before, reflected);
}

// To the holders of whom it knows, and to who takes over a seat.
void Group::send(size_t from, size_t key, std::optional<Dot> dot, bool is_repeat) {
    const Member& self = members_[from];
    for (size_t to = 0; to < node_count; ++to) {
        const auto seat = std::find_if(self.view.begin(), self.view.end(), [&](const Seat& known) {
            return known.holder == to;
        });
        const bool is_holder = seat != self.view.end();
        if (to == from || (!is_holder && !is_filling(to))) continue;
        messages_.push_back(
            {.from = from,
             .by = self.actor,
             .to = to,
             .seat = is_holder ? std::optional(static_cast<size_t>(seat - self.view.begin()))
                               : std::nullopt,
             .key = key,
             .record = self.now.records[key],
             .dot = dot,
             .is_repeat = is_repeat,
             .reflected = reflected_of(self.now, key)});
    }
}

void Group::deliver(const Message& message) {
    if (message.is_repeat && rules_.only_messages_are_early && !message.is_durable) return;
    accept(message, /*is_hint=*/false);
}

// R2. False: refused.
bool Group::accept(const Message& message, bool is_hint) {
    Member& self = members_[message.to];
    if (!stores(message.to)) return false;
    if (rules_.change_asks_index && has_lost(self.now, message.key)) {
        set_aside(message.to);
        return false;
    }
    const bool names_write = message.dot.has_value() && (is_hint || !message.is_repeat);
    const Carrier carrier{.dot = names_write ? message.dot : std::nullopt, .is_hint = is_hint};
    Record& local = self.now.records[message.key];
    Record judged = message.record;
    std::erase_if(judged.siblings, [&](const Sibling& sibling) {
        return is_hint && sibling.dot != message.dot && message.brings.contains(sibling.dot);
    });
    const Reception reception = receive(carrier, local, judged, self.now.frozen, self.now.frontier);
    const bool is_taken_blindly = !rules_.absent_asks_frontier && local.siblings.empty();
    const bool was_seen = reception.kind == Reception::Kind::seen_before;
    // What is old as an owner's state changes nothing, unless something was lost here.
    const bool asks_account =
        names_write ? rules_.unaccounted_is_refused : rules_.loss_is_no_deletion;
    const bool waits_for_others = is_hint && !rules_.hints_bring_their_life &&
                                  std::ranges::any_of(judged.siblings, [&](const Sibling& sibling) {
                                      return sibling.dot != message.dot &&
                                             has_ended(self.now.frozen, sibling.dot.actor) &&
                                             !self.now.frontier.contains(sibling.dot);
                                  });
    const bool is_refused =
        waits_for_others || reception.kind == Reception::Kind::of_ended_life ||
        (asks_account && !was_seen && !accounts_for(local, message.record, self.now.frontier));
    if ((!was_seen && !is_refused) || is_taken_blindly || !rules_.refused_is_not_applied) {
        merge_into(message.to, message.key, message.record, message.reflected);
        forget_requests_before(local, forget_before(message.to));
    }
    if (is_refused) return false;
    if (message.dot.has_value()) {
        self.acks.push_back({.dot = *message.dot, .from = message.from, .by = message.by});
    }
    return true;
}

void Group::take_hint(size_t keeper, const Message& message) {
    Member& self = members_[keeper];
    if (keeper == message.from || !message.seat.has_value() || !message.dot.has_value() ||
        (rules_.only_messages_are_early && !message.is_durable)) {
        return;
    }
    Message hint = message;
    hint.brings = {*message.dot};
    if (rules_.hints_bring_all) {
        for (const Sibling& sibling : message.record.siblings)
            hint.brings.insert(sibling.dot);
    }
    if (std::any_of(hint.brings.begin(), hint.brings.end(), [&](const Dot& dot) {
            return has_ended(self.now.frozen, dot.actor);
        })) {
        return;
    }
    sync(keeper);
    acknowledge(*message.seat, {.dot = *message.dot, .from = message.from, .by = message.by});
    self.hints.push_back(std::move(hint));
}

void Group::deliver_hint(size_t keeper, size_t index) {
    std::vector<Message>& hints = members_[keeper].hints;
    // To whoever holds the seat now.
    Message hint = hints[index];
    const std::optional<size_t> holder = members_[keeper].view[*hint.seat].holder;
    if (!holder.has_value() || seat_of(*holder) != hint.seat) return;
    hint.to = *holder;
    if (!accept(hint, /*is_hint=*/true)) return;
    sync(hint.to);
    hints.erase(hints.begin() + static_cast<std::ptrdiff_t>(index));
}

// Of a life that has ended nobody counts the answers any more.
void Group::acknowledge(size_t seat, const Ack& ack) {
    if (members_[ack.from].actor != ack.by) return;
    Truth& truth = truth_.at(ack.dot);
    truth.seats.insert(seat);
    if (truth.seats.size() >= 2) acknowledged_.insert(truth.request);
}

void Group::sync(size_t owner) {
    Member& self = members_[owner];
    if (!self.is_ready) return;
    write_through(owner);
    for (Message& message : messages_)
        message.is_durable = message.is_durable || message.by == self.actor;
    const std::vector<Ack> acks = std::exchange(self.acks, {});
    const auto seat = seat_of(owner);
    if (!seat.has_value()) return;
    for (const Ack& ack : acks)
        acknowledge(*seat, ack);
}

}  // namespace starling::node::group_model
