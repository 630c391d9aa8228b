// The successor's side of a move: accept one offer, copy, take the last difference from the fenced
// giver, hold.

#include <algorithm>

#include "base/mark.h"
#include "base/planted.h"
#include "node/handover/move_core.h"

namespace starling::node {

// One seat of a partition per node, as long as another could take it; and no copy into what is
// being dropped.
bool MoveCore::may_fill(base::SeatIndex seat) const {
    if (is_drop_under_way_ || is_drop_wanted_) return false;
    for (size_t other = 0; other < durable_.size(); ++other) {
        if (other == at(seat)) continue;
        for (const SeatState state : {durable_[other].state, staged_[other].state}) {
            if (state == SeatState::filling || state == SeatState::holding) return false;
        }
    }
    return std::find(targets_.begin(), targets_.end(), config_.self) != targets_.end();
}

void MoveCore::on_offer(base::NodeId from, const MoveMessage& message) {
    const base::SeatIndex seat = message.seat;
    const SeatRecord& now = durable_[at(seat)];
    const bool is_repeat = now.epoch == message.epoch && now.peer == from &&
                           (now.state == SeatState::filling || now.state == SeatState::declined);
    if (is_repeat) {
        STARLING_MARK(move_offer_repeated);
        return wants_to_speak(seat);
    }
    const bool is_old = now.highest && message.epoch <= *now.highest;
    const bool is_lower_fill = now.state == SeatState::filling && message.epoch <= now.epoch;
    if (is_old || is_lower_fill || now.state == SeatState::holding || !may_fill(seat)) {
        STARLING_MARK(move_offer_not_taken);
        return refuse(from, message);
    }
    stage(seat,
          {.state = SeatState::filling,
           .epoch = message.epoch,
           .peer = from,
           .highest = now.highest});
}

void MoveCore::refuse(base::NodeId to, const MoveMessage& offer) {
    send(to, MoveKind::refuse, offer.seat, offer.epoch);
    for (const base::SeatIndex held : counts().list()) {
        send(to, MoveKind::held, held, durable_[at(held)].epoch);
    }
}

void MoveCore::continue_fill(base::SeatIndex seat) {
    Seat& volatile_part = seats_[at(seat)];
    const SeatRecord& now = durable_[at(seat)];
    if (volatile_part.job) return;
    if (STARLING_PLANTED(counts_before_ready)) {
        // Neither copy nor difference: the seat counts as soon as the giver is out of the way.
        if (volatile_part.is_fenced) return hold(seat);
        volatile_part.is_nearly = true;
        return wants_to_speak(seat);
    }
    if (!volatile_part.is_fenced) {
        if (!volatile_part.is_nearly) {
            start_job(seat, SyncKind::copy, now.peer, now.epoch);
        }
        return;
    }
    if (!config_.rules.is_synced_before_holding) return hold(seat);
    base::NodeId from = now.peer;
    if (!config_.rules.is_difference_from_giver) {
        const auto other =
            std::find_if(known_.begin(), known_.end(), [&](const SeatView::Holder& holder) {
                return !holder.node.is_none() && holder.node != now.peer;
            });
        from = other == known_.end() ? now.peer : other->node;
    }
    start_job(seat, SyncKind::difference, from, now.epoch);
}

void MoveCore::on_fenced(base::NodeId from, const MoveMessage& message) {
    const base::SeatIndex seat = message.seat;
    const SeatRecord& now = durable_[at(seat)];
    if (now.epoch == message.epoch && now.peer == from) {
        if (now.state == SeatState::declined) {
            STARLING_MARK(move_fenced_for_declined);
            return wants_to_speak(seat);
        }
        if (now.state == SeatState::filling) {
            if (seats_[at(seat)].is_fenced) {
                STARLING_MARK(move_fenced_repeated);
                return;
            }
            end_job(seat);
            seats_[at(seat)].is_fenced = true;
            return continue_fill(seat);
        }
    }
    if (now.state == SeatState::holding && now.epoch < message.epoch) {
        STARLING_MARK(move_fenced_at_a_later_epoch);
        // Its disk was set back to before it gave the seat to this giver.
        return note_holder(seat, {.node = from, .epoch = message.epoch});
    }
    if (now.state == SeatState::holding) {
        STARLING_MARK(move_fenced_told_again_after_hold);
        return send(from, MoveKind::held, seat, now.epoch);
    }
    if (now.highest && *now.highest >= message.epoch) {
        if (!config_.rules.is_declined_remembered) {
            send(from, MoveKind::declined, seat, message.epoch);
        }
        return;
    }
    if (now.state == SeatState::filling && now.epoch >= message.epoch) return;
    STARLING_MARK(move_fenced_for_a_forgotten_offer);
    // Forgotten here, by a late word that there was no such offer; but the giver is bound to this
    // node.
    if (is_drop_under_way_ || is_drop_wanted_) return;
    // What it has may be nowhere else, and it stands still for a while only. The giver repeats it.
    if (now.state == SeatState::fenced && targets_.empty()) return;
    if (may_fill(seat)) {
        stage(seat,
              {.state = SeatState::filling,
               .epoch = message.epoch,
               .peer = from,
               .highest = now.highest});
    } else {
        STARLING_MARK(move_declines_fenced_seat);
        stage(seat,
              {.state = SeatState::declined,
               .epoch = message.epoch,
               .peer = from,
               .highest = message.epoch});
    }
}

void MoveCore::on_withdrawn(base::NodeId from, const MoveMessage& message) {
    const SeatRecord& now = durable_[at(message.seat)];
    if (now.state == SeatState::filling && now.epoch == message.epoch && now.peer == from &&
        !seats_[at(message.seat)].is_fenced) {
        STARLING_MARK(move_fill_withdrawn);
        stage(message.seat, {.highest = now.highest});
    }
}

void MoveCore::hold(base::SeatIndex seat) {
    const Epoch next = durable_[at(seat)].epoch.after(1);
    const SeatRecord holding{.state = SeatState::holding, .epoch = next, .highest = next};
    if (config_.rules.is_hold_durable) {
        stage(seat, holding);
    } else {
        assume(seat, holding);
    }
}

void MoveCore::decline(base::SeatIndex seat) {
    const SeatRecord& now = durable_[at(seat)];
    stage(
        seat,
        {.state = SeatState::declined, .epoch = now.epoch, .peer = now.peer, .highest = now.epoch});
}

// The answer counts only if this node still holds the seat when all is here: what it has then
// passes on with the seat, from giver to successor.
void MoveCore::on_compare(base::NodeId from, const MoveMessage& message) {
    // Nothing comes to a partition that stands still.
    if (targets_.empty()) return;
    const SeatRecord& now = durable_[at(message.seat)];
    if (now.state == SeatState::holding && now.epoch > message.epoch &&
        !seats_[at(message.seat)].job) {
        STARLING_MARK(move_compares_with_rolled_back_giver);
        start_job(message.seat, SyncKind::compare, from, message.epoch);
    }
}

}  // namespace starling::node
