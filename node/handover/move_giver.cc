// The holder's side of a move: to whom to offer, when to fence, when to take back, when to let go.

#include <algorithm>

#include "base/mark.h"
#include "node/handover/move_core.h"

namespace starling::node {

void MoveCore::consider_offer(base::SeatIndex seat) {
    Seat& volatile_part = seats_[at(seat)];
    if (targets_.empty()) return;
    if (volatile_part.offer && !is_wanted(seat, volatile_part.offer->to)) {
        STARLING_MARK(move_offer_no_longer_wanted);
        end_offer(seat, false);
    }
    if (volatile_part.offer) {
        const Offer& offer = *volatile_part.offer;
        if (offer.phase == Offer::Phase::accepted && offer.is_nearly) {
            start_asking(seat);
        }
        return;
    }
    if (volatile_part.is_resting) return;
    if (const auto to = choose_successor(seat)) {
        make_offer(seat, *to, Offer::Phase::offered);
    }
}

// The planned successor; after refusals one of the others that lack a seat, in turn.
std::optional<base::NodeId> MoveCore::choose_successor(base::SeatIndex seat) const {
    for (const PlannedMove& move : plan_moves(targets_, known_)) {
        if (move.seat != seat || move.from != config_.self) continue;
        const std::vector<base::NodeId> lacking = targets_without_seat(targets_, known_);
        const auto planned = std::find(lacking.begin(), lacking.end(), move.to) - lacking.begin();
        const size_t turn = static_cast<size_t>(planned) + seats_[at(seat)].turn;
        const base::NodeId to = lacking[turn % lacking.size()];
        return is_offered_another(seat, to) ? move.to : to;
    }
    return std::nullopt;
}

bool MoveCore::is_offered_another(base::SeatIndex seat, base::NodeId node) const {
    for (size_t other = 0; other < seats_.size(); ++other) {
        if (other != at(seat) && seats_[other].offer && seats_[other].offer->to == node)
            return true;
    }
    return false;
}

bool MoveCore::is_wanted(base::SeatIndex seat, base::NodeId to) const {
    const std::vector<PlannedMove> moves = plan_moves(targets_, known_);
    const bool is_to_move = std::any_of(moves.begin(), moves.end(), [&](const PlannedMove& move) {
        return move.seat == seat && move.from == config_.self;
    });
    const std::vector<base::NodeId> lacking = targets_without_seat(targets_, known_);
    return is_to_move && std::find(lacking.begin(), lacking.end(), to) != lacking.end();
}

void MoveCore::make_offer(base::SeatIndex seat, base::NodeId to, Offer::Phase phase) {
    seats_[at(seat)].offer = Offer{.to = to, .phase = phase};
    wants_to_speak(seat);
    effects_.timers.push_back({.seat = seat, .timer = MoveTimer::patience});
}

void MoveCore::end_offer(base::SeatIndex seat, bool is_refused) {
    Seat& volatile_part = seats_[at(seat)];
    if (!volatile_part.offer) return;
    if (volatile_part.offer->phase == Offer::Phase::asking) {
        STARLING_MARK(move_offer_ended_while_asking);
        stop_asking(seat);
    }
    volatile_part.offer.reset();
    if (is_refused) {
        const size_t others = targets_without_seat(targets_, known_).size();
        volatile_part.turn =
            others == 0 ? 0 : (volatile_part.turn + 1) % static_cast<uint32_t>(others);
        volatile_part.is_resting = true;
        ++volatile_part.repetition;
        arm(seat);
    }
}

// The successor fills, or has nearly all: it says so again and again, which also shows that it
// lives.
void MoveCore::on_progress(base::NodeId from, const MoveMessage& message) {
    const base::SeatIndex seat = message.seat;
    const SeatRecord& now = durable_[at(seat)];
    const bool is_named = now.peer == from || !config_.rules.is_fence_exclusive;
    if (now.state == SeatState::fenced && now.epoch == message.epoch && is_held_elsewhere(seat)) {
        return tell_forgotten(seat, from);
    }
    if (now.state == SeatState::fenced && now.epoch == message.epoch && is_named) {
        return send(from, MoveKind::fenced, seat, now.epoch);
    }
    if (now.state != SeatState::holding || now.epoch != message.epoch) {
        if (now.highest && *now.highest >= message.epoch) {
            send(from, MoveKind::withdrawn, seat, message.epoch);
        } else {
            // An offer is made by a holder: this disk has forgotten that it was one.
            on_held_by_you(message);
        }
        return;
    }
    if (targets_.empty()) return;
    std::optional<Offer>& offer = seats_[at(seat)].offer;
    const bool is_free = !offer || offer->phase == Offer::Phase::offered;
    if (offer && offer->to == from) {
        if (offer->phase == Offer::Phase::offered) {
            offer->phase = Offer::Phase::accepted;
        }
    } else if (is_free && is_wanted(seat, from) && !is_offered_another(seat, from)) {
        // An offer of before a restart, which the successor remembers and this node does not.
        STARLING_MARK(move_accepted_after_giver_forgot);
        make_offer(seat, from, Offer::Phase::accepted);
    } else {
        STARLING_MARK(move_progress_of_no_offer);
        // It may have heard of a fence that this disk has forgotten.
        send(from, MoveKind::held, seat, now.epoch);
        return send(from, MoveKind::withdrawn, seat, message.epoch);
    }
    if (offer->phase != Offer::Phase::accepted) return;
    effects_.timers.push_back({.seat = seat, .timer = MoveTimer::patience});
    if (message.kind == MoveKind::nearly) {
        offer->is_nearly = true;
        start_asking(seat);
    }
}

// A successor that has not held the seat yet, or declines it: it did hold it, and its disk has
// forgotten that, or what it said came late.
void MoveCore::tell_forgotten(base::SeatIndex seat, base::NodeId successor) {
    const SeatView::Holder& known = known_[at(seat)];
    if (known.node == successor) send(successor, MoveKind::held_by_you, seat, known.epoch);
}

void MoveCore::on_refuse(base::NodeId from, const MoveMessage& message) {
    const std::optional<Offer>& offer = seats_[at(message.seat)].offer;
    const SeatRecord& now = durable_[at(message.seat)];
    if (now.state == SeatState::holding && now.epoch == message.epoch && offer &&
        offer->to == from) {
        STARLING_MARK(move_offer_refused);
        end_offer(message.seat, true);
    }
}

void MoveCore::fence(base::SeatIndex seat) {
    const Offer offer = *seats_[at(seat)].offer;
    const SeatRecord& now = durable_[at(seat)];
    seats_[at(seat)].offer.reset();
    // The permits this node gives itself go to the disk together with the fence they are for.
    for (const base::SeatIndex granting : offer.grants.list()) {
        SeatRecord own = durable_[at(granting)];
        if (granting == seat || own.state != SeatState::holding) continue;
        own.permit = Permit{
            .seat = seat, .epoch = now.epoch, .giver = config_.self, .attempt = offer.attempt};
        stage(granting, std::move(own));
    }
    const SeatRecord fenced{
        .state = SeatState::fenced, .epoch = now.epoch, .peer = offer.to, .highest = now.highest};
    if (config_.rules.is_fence_durable) {
        stage(seat, fenced);
    } else {
        assume(seat, fenced);
    }
}

// The successor has it on disk that it will never hold at epoch.after(1): the one thing that undoes
// a fence. An offer not yet fenced is closed the same way: the raised epoch lets the successor
// forget.
void MoveCore::on_declined(base::NodeId from, const MoveMessage& message) {
    const SeatRecord& now = durable_[at(message.seat)];
    if (now.epoch != message.epoch) return;
    if (is_held_elsewhere(message.seat)) return tell_forgotten(message.seat, from);
    const bool is_taken_back = now.state == SeatState::fenced && now.peer == from;
    if (!is_taken_back && now.state != SeatState::holding) return;
    end_offer(message.seat, true);
    if (is_taken_back) {
        STARLING_MARK(move_fence_taken_back);
    }
    const Epoch next = now.epoch.after(2);
    stage(message.seat,
          {.state = SeatState::holding, .epoch = next, .highest = next, .permit = now.permit});
}

void MoveCore::on_compared(const MoveMessage& message) {
    const SeatRecord& now = durable_[at(message.seat)];
    if (now.state == SeatState::fenced && now.epoch == message.epoch) {
        STARLING_MARK(move_rolled_back_seat_compared);
        stage(message.seat, {.highest = now.highest});
    }
}

}  // namespace starling::node
