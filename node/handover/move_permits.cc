// Permits: at most one seat of a partition is without a counting node at any moment, because a
// giver needs the leave of a majority of the seats and a seat gives one at a time. They protect no
// acknowledged write; they keep two unfinished moves from taking a quorum away for ever.

#include <algorithm>

#include "base/mark.h"
#include "node/handover/move_core.h"

namespace starling::node {

std::optional<base::SeatIndex> MoveCore::asking_seat() const {
    for (size_t seat = 0; seat < seats_.size(); ++seat) {
        if (seats_[seat].offer && seats_[seat].offer->phase == Offer::Phase::asking) {
            return index(seat);
        }
    }
    return std::nullopt;
}

bool MoveCore::has_open_permit(base::SeatIndex seat) const {
    const std::optional<Permit>& permit = durable_[at(seat)].permit;
    return permit && permit != seats_[at(seat)].released && !is_over(permit->seat, permit->epoch);
}

void MoveCore::start_asking(base::SeatIndex seat) {
    if (!config_.rules.is_permit_needed) return fence(seat);
    if (const auto other = asking_seat()) {
        if (*other < seat) {
            STARLING_MARK(move_permit_lower_seat_asks_first);
            return;
        }
        STARLING_MARK(move_permit_higher_seat_stops_asking);
        stop_asking(*other);
    }
    if (has_open_permit(seat)) {
        STARLING_MARK(move_own_permit_is_open);
        return;
    }
    Offer& offer = *seats_[at(seat)].offer;
    offer.phase = Offer::Phase::asking;
    offer.attempt = ++last_attempt_;
    offer.grants = {};
    for (size_t own = 0; own < seats_.size(); ++own) {
        if (counts().contains(index(own)) && is_settled(index(own)) &&
            !has_open_permit(index(own))) {
            offer.grants.add(index(own));
        }
    }
    seats_[at(seat)].repetition = 0;
    wants_to_speak(seat);
    effects_.timers.push_back({.seat = seat, .timer = MoveTimer::patience});
    fence_with_majority(seat);
}

void MoveCore::ask(base::SeatIndex seat) {
    const Offer& offer = *seats_[at(seat)].offer;
    for (size_t other = 0; other < known_.size(); ++other) {
        if (offer.grants.contains(index(other))) continue;
        send_permit(known_[other].node,
                    MoveKind::permit_ask,
                    index(other),
                    seat,
                    durable_[at(seat)].epoch,
                    offer.attempt);
    }
}

void MoveCore::stop_asking(base::SeatIndex seat) {
    Offer& offer = *seats_[at(seat)].offer;
    for (size_t other = 0; other < known_.size(); ++other) {
        send_permit(known_[other].node,
                    MoveKind::permit_withdraw,
                    index(other),
                    seat,
                    durable_[at(seat)].epoch,
                    offer.attempt);
    }
    offer.phase = Offer::Phase::accepted;
    offer.grants = {};
    effects_.timers.push_back({.seat = seat, .timer = MoveTimer::patience});
}

void MoveCore::fence_with_majority(base::SeatIndex seat) {
    // It stands still: what is here may lack something.
    if (targets_.empty()) return;
    const Offer& offer = *seats_[at(seat)].offer;
    if (offer.grants.size() * 2 <= seats_.size()) return;
    for (const base::SeatIndex granting : offer.grants.list()) {
        // An own seat whose state is just being written: when that is done, this is tried again.
        STARLING_MARK(move_majority_waits_for_own_write);
        if (!is_settled(granting)) return;
    }
    fence(seat);
}

void MoveCore::on_permit_ask(base::NodeId from, const MoveMessage& message) {
    const base::SeatIndex own = message.granting_seat;
    if (own == message.seat || !is_settled(own) || is_over(message.seat, message.epoch)) return;
    // It stands still, and may count for nothing.
    if (targets_.empty()) return;
    SeatRecord record = durable_[at(own)];
    if (record.state != SeatState::holding) return;
    const Permit wanted{
        .seat = message.seat, .epoch = message.epoch, .giver = from, .attempt = message.attempt};
    if (record.permit == wanted && has_open_permit(own)) {
        STARLING_MARK(move_permit_asked_again);
        return wants_to_speak(own);
    }
    if (has_open_permit(own)) {
        const Permit& given = *record.permit;
        const bool is_same_move =
            given.seat == wanted.seat && given.epoch == wanted.epoch && given.giver == wanted.giver;
        if (!is_same_move || given.attempt > wanted.attempt) {
            STARLING_MARK(move_permit_given_to_another);
            return;
        }
    }
    if (const auto asking = asking_seat()) {
        // The lower seat goes first.
        if (*asking < message.seat) {
            STARLING_MARK(move_permit_refused_lower_asks);
            return;
        }
        STARLING_MARK(move_stops_asking_for_lower);
        stop_asking(*asking);
    }
    record.permit = wanted;
    stage(own, std::move(record));
}

void MoveCore::on_permit_grant(base::NodeId from, const MoveMessage& message) {
    const base::SeatIndex seat = message.seat;
    const SeatRecord& now = durable_[at(seat)];
    std::optional<Offer>& offer = seats_[at(seat)].offer;
    const bool is_asking = now.state == SeatState::holding && now.epoch == message.epoch && offer &&
                           offer->phase == Offer::Phase::asking;
    if (is_asking && offer->attempt == message.attempt) {
        offer->grants.add(message.granting_seat);
        return fence_with_majority(seat);
    }
    // The gap it was given for is open.
    if (now.state == SeatState::fenced && now.epoch == message.epoch) return;
    STARLING_MARK(move_permit_came_too_late);
    send_permit(from,
                MoveKind::permit_withdraw,
                message.granting_seat,
                seat,
                message.epoch,
                message.attempt);
}

void MoveCore::on_permit_withdraw(base::NodeId from, const MoveMessage& message) {
    const std::optional<Permit>& given = durable_[at(message.granting_seat)].permit;
    if (!given || !is_settled(message.granting_seat)) return;
    if (given->seat == message.seat && given->epoch == message.epoch && given->giver == from &&
        given->attempt <= message.attempt) {
        STARLING_MARK(move_permit_withdrawn);
        seats_[at(message.granting_seat)].released = given;
    }
}

void MoveCore::send_permit(base::NodeId to,
                           MoveKind kind,
                           base::SeatIndex granting_seat,
                           base::SeatIndex seat,
                           const Epoch& epoch,
                           uint64_t attempt) {
    if (to == config_.self || to.is_none() || granting_seat == seat) return;
    effects_.sends.push_back({.to = to,
                              .message = {.kind = kind,
                                          .seat = seat,
                                          .epoch = epoch,
                                          .granting_seat = granting_seat,
                                          .attempt = attempt}});
}

}  // namespace starling::node
