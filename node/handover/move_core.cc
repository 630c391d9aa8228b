#include "node/handover/move_core.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/codec.h"
#include "base/mark.h"
#include "base/planted.h"

namespace starling::node {

MoveCore::MoveCore(Config config)
    : config_(config),
      durable_(config.seat_count),
      staged_(config.seat_count),
      seats_(config.seat_count),
      known_(config.seat_count),
      last_attempt_(uint64_t{config.generation} << 32) {
    STARLING_CHECK(config.seat_count > 0 && config.seat_count <= seat_count_max);
    STARLING_CHECK(!config.self.is_none());
}

void MoveCore::restore(SeatRecords records) {
    STARLING_CHECK(records.size() == config_.seat_count);
    durable_ = std::move(records);
    staged_ = durable_;
    for (size_t seat = 0; seat < durable_.size(); ++seat) {
        if (durable_[seat].state == SeatState::holding) {
            known_[seat] = {.node = config_.self, .epoch = durable_[seat].epoch};
            effects_.seats_changed = true;
        }
        wants_to_speak(index(seat));
    }
    react_all();
    if (may_have_leftovers()) {
        STARLING_MARK(move_start_looks_for_leftovers);
        drop_unneeded();
    }
}

// A drop may have been cut off by the end of the last life.
bool MoveCore::may_have_leftovers() const {
    const uint8_t lowest = lowest_active_seat();
    return lowest == seat_count_max ||
           std::any_of(durable_.begin(), durable_.begin() + lowest, [](const SeatRecord& record) {
               return record.highest.has_value();
           });
}

void MoveCore::found() {
    for (size_t seat = 0; seat < durable_.size(); ++seat) {
        STARLING_CHECK(staged_[seat] == SeatRecord{});
        stage(index(seat), {.state = SeatState::holding, .highest = Epoch{}});
    }
}

void MoveCore::set_targets(std::vector<base::NodeId> targets) {
    if (targets == targets_) return;
    targets_ = std::move(targets);
    react_all();
}

void MoveCore::note_holder(base::SeatIndex seat, const SeatView::Holder& holder) {
    if (at(seat) >= known_.size() || holder.node.is_none()) return;
    note_giver_holds(seat, holder);
    SeatView::Holder& known = known_[at(seat)];
    if (!known.node.is_none() && holder.epoch <= known.epoch) return;
    known = holder;
    seats_[at(seat)].repetition = 0;
    wants_to_speak(seat);
    react_all();
}

void MoveCore::receive(base::NodeId from, const MoveMessage& message) {
    if (at(message.seat) >= seats_.size() || at(message.granting_seat) >= seats_.size()) return;
    if (from == config_.self || from.is_none()) return;
    if (message.kind == MoveKind::held) {
        note_holder(message.seat, {.node = from, .epoch = message.epoch});
        return;
    }
    if (!is_settled(message.seat)) return;
    switch (message.kind) {
        case MoveKind::offer:
            return on_offer(from, message);
        case MoveKind::accept:
        case MoveKind::nearly:
            return on_progress(from, message);
        case MoveKind::refuse:
            return on_refuse(from, message);
        case MoveKind::withdrawn:
            return on_withdrawn(from, message);
        case MoveKind::permit_ask:
            return on_permit_ask(from, message);
        case MoveKind::permit_grant:
            return on_permit_grant(from, message);
        case MoveKind::permit_withdraw:
            return on_permit_withdraw(from, message);
        case MoveKind::fenced:
            return on_fenced(from, message);
        case MoveKind::declined:
            return on_declined(from, message);
        case MoveKind::compare:
            return on_compare(from, message);
        case MoveKind::compared:
            return on_compared(message);
        case MoveKind::held_by_you:
            return on_held_by_you(message);
        case MoveKind::held:
        case MoveKind::alive:
            return;
    }
}

void MoveCore::persisted(bool is_ok) {
    STARLING_CHECK(writing_.has_value());
    if (!is_ok) {
        STARLING_MARK(move_state_not_stored);
        // It may be on the disk all the same: what was about to be said stays unsaid, what was
        // about to end stays ended, and the write is repeated.
        writing_.reset();
        has_write_failed_ = true;
        for (size_t seat = 0; seat < seats_.size(); ++seat) {
            arm(index(seat));
        }
        return;
    }
    const SeatRecords before = std::exchange(durable_, *std::exchange(writing_, std::nullopt));
    for (size_t seat = 0; seat < durable_.size(); ++seat) {
        if (durable_[seat] != before[seat]) {
            entered(index(seat), before[seat]);
        }
    }
    react_all();
    if (const auto asking = asking_seat()) {
        fence_with_majority(*asking);
    }
}

void MoveCore::stage(base::SeatIndex seat, SeatRecord record) {
    STARLING_CHECK(is_settled(seat));
    const SeatRecord& now = durable_[at(seat)];
    if (record.state != now.state || record.epoch != now.epoch || record.peer != now.peer) {
        end_job(seat);
        seats_[at(seat)].is_nearly = false;
        seats_[at(seat)].is_fenced = false;
    }
    staged_[at(seat)] = std::move(record);
}

void MoveCore::assume(base::SeatIndex seat, SeatRecord record) {
    const SeatRecord before = durable_[at(seat)];
    stage(seat, record);
    durable_[at(seat)] = std::move(record);
    if (writing_) {
        (*writing_)[at(seat)] = durable_[at(seat)];
    }
    entered(seat, before);
}

void MoveCore::entered(base::SeatIndex seat, const SeatRecord& before) {
    const SeatRecord& now = durable_[at(seat)];
    seats_[at(seat)].repetition = 0;
    seats_[at(seat)].is_taken_up = false;
    wants_to_speak(seat);
    const bool is_holding = now.state == SeatState::holding;
    if (now.state == before.state && now.epoch == before.epoch && now.peer == before.peer) {
        return;
    }
    if (is_holding || before.state == SeatState::holding) {
        effects_.seats_changed = true;
    }
    if (is_holding) {
        // What was taken up may be known to be held later by now.
        if (!is_over(seat, now.epoch)) {
            known_[at(seat)] = {.node = config_.self, .epoch = now.epoch};
        }
        tell_held(seat, before.peer);
    }
    if (!needs_data(now)) {
        drop_unneeded();
    }
}

// A giver that fenced the seat does not hold it: either this news is older, and it says again that
// it is fenced, or its disk was set back to before that, and it has no difference to give.
void MoveCore::note_giver_holds(base::SeatIndex seat, const SeatView::Holder& holder) {
    const SeatRecord& now = durable_[at(seat)];
    if (now.state != SeatState::filling || !is_settled(seat) || !seats_[at(seat)].is_fenced ||
        holder.node != now.peer || holder.epoch != now.epoch) {
        return;
    }
    STARLING_MARK(move_giver_says_it_holds);
    end_job(seat);
    seats_[at(seat)].is_fenced = false;
    seats_[at(seat)].repetition = 0;
    wants_to_speak(seat);
    continue_fill(seat);
}

// Each epoch at which this node held the seat was on its disk before others heard of it (invariant
// 1), so one above the highest there shows that the disk was set back. Whoever gives a seat away
// keeps the epoch at which it did.
void MoveCore::on_held_by_you(const MoveMessage& message) {
    const SeatRecord& now = durable_[at(message.seat)];
    if (now.highest && message.epoch <= *now.highest) return;
    if (is_over(message.seat, message.epoch)) return;
    // Nothing is taken over into what is being dropped.
    if (is_drop_under_way_ || is_drop_wanted_) return;
    STARLING_MARK(move_takes_up_what_others_remember);
    end_offer(message.seat, false);
    stage(message.seat,
          {.state = SeatState::holding,
           .epoch = message.epoch,
           .highest = message.epoch,
           .permit = now.permit});
    seats_[at(message.seat)].is_taken_up = true;
}

void MoveCore::react_all() {
    for (size_t seat = 0; seat < seats_.size(); ++seat) {
        react(index(seat));
    }
}

void MoveCore::react(base::SeatIndex seat) {
    if (!is_settled(seat)) return;
    const SeatRecord& now = durable_[at(seat)];
    const bool is_past = is_held_elsewhere(seat);
    switch (now.state) {
        case SeatState::holding:
            if (is_past) {
                STARLING_MARK(move_seat_is_held_elsewhere_at_later_epoch);
                // Somebody holds it at a later epoch although this node never gave it: the disk
                // went back in time, or the seat was taken over. Never count again; go the way of a
                // giver.
                end_offer(seat, false);
                stage(seat,
                      {.state = SeatState::fenced,
                       .epoch = now.epoch,
                       .peer = known_[at(seat)].node,
                       .highest = now.highest});
                return;
            }
            return consider_offer(seat);
        case SeatState::filling:
            if (is_past) {
                STARLING_MARK(move_fill_overtaken);
                return stage(seat, {.highest = now.highest});
            }
            return continue_fill(seat);
        case SeatState::declined:
            if (is_past) {
                STARLING_MARK(move_declined_overtaken);
                stage(seat, {.highest = now.highest});
            }
            return;
        case SeatState::fenced:
            if (STARLING_PLANTED(source_drops_before_comparison)) {
                stage(seat, {.highest = now.highest});
            }
            return;
        case SeatState::none:
            return;
    }
}

void MoveCore::speak(base::SeatIndex seat) {
    if (!is_settled(seat)) return;
    const SeatRecord& now = durable_[at(seat)];
    switch (now.state) {
        case SeatState::holding:
            return speak_as_holder(seat);
        case SeatState::fenced:
            if (is_held_elsewhere(seat)) {
                STARLING_MARK(move_fenced_asks_holder_to_compare);
                return send(known_[at(seat)].node, MoveKind::compare, seat, now.epoch);
            }
            return send(now.peer, MoveKind::fenced, seat, now.epoch);
        case SeatState::filling:
            return send(now.peer,
                        seats_[at(seat)].is_nearly ? MoveKind::nearly : MoveKind::accept,
                        seat,
                        now.epoch);
        case SeatState::declined:
            return send(now.peer, MoveKind::declined, seat, now.epoch);
        case SeatState::none:
            return;
    }
}

void MoveCore::speak_as_holder(base::SeatIndex seat) {
    const SeatRecord& now = durable_[at(seat)];
    if (now.permit && now.permit->giver != config_.self && has_open_permit(seat)) {
        send_permit(now.permit->giver,
                    MoveKind::permit_grant,
                    seat,
                    now.permit->seat,
                    now.permit->epoch,
                    now.permit->attempt);
    }
    const std::optional<Offer>& offer = seats_[at(seat)].offer;
    if (!offer) return;
    if (offer->phase == Offer::Phase::offered) {
        send(offer->to, MoveKind::offer, seat, now.epoch);
    } else if (offer->phase == Offer::Phase::asking) {
        ask(seat);
    }
}

bool MoveCore::needs_retry(base::SeatIndex seat) const {
    if (!is_settled(seat)) return has_write_failed_;
    const Seat& volatile_part = seats_[at(seat)];
    switch (durable_[at(seat)].state) {
        case SeatState::filling:
        case SeatState::fenced:
        case SeatState::declined:
            return true;
        case SeatState::holding:
            return volatile_part.offer || volatile_part.is_resting || has_open_permit(seat);
        case SeatState::none:
            return is_drop_wanted_;
    }
    return false;
}

void MoveCore::arm(base::SeatIndex seat) {
    if (needs_retry(seat)) {
        effects_.timers.push_back(
            {.seat = seat, .timer = MoveTimer::retry, .repetition = seats_[at(seat)].repetition});
    }
}

void MoveCore::timer(base::SeatIndex seat, MoveTimer timer) {
    if (at(seat) >= seats_.size()) return;
    Seat& volatile_part = seats_[at(seat)];
    if (timer == MoveTimer::retry) {
        has_write_failed_ = false;
        volatile_part.is_resting = false;
        ++volatile_part.repetition;
        if (is_drop_wanted_ && !is_drop_put_off()) {
            drop_unneeded();
        }
        wants_to_speak(seat);
        react(seat);
        return;
    }
    if (!volatile_part.offer || !is_settled(seat)) return;
    if (volatile_part.offer->phase == Offer::Phase::asking) {
        STARLING_MARK(move_asked_too_long);
        stop_asking(seat);
        // It has to show again that it lives.
        volatile_part.offer->is_nearly = false;
    } else {
        STARLING_MARK(move_offer_got_no_answer);
        end_offer(seat, true);
    }
}

void MoveCore::end_moves() {
    for (size_t seat = 0; seat < durable_.size(); ++seat) {
        if (!is_settled(index(seat))) continue;
        if (seats_[seat].offer) {
            STARLING_MARK(move_offer_withdrawn);
            send(seats_[seat].offer->to, MoveKind::withdrawn, index(seat), durable_[seat].epoch);
            end_offer(index(seat), true);
        } else if (durable_[seat].state == SeatState::filling) {
            STARLING_MARK(move_fill_declined);
            decline(index(seat));
        }
    }
}

void MoveCore::let_go() {
    for (size_t seat = 0; seat < durable_.size(); ++seat) {
        if (durable_[seat].state == SeatState::fenced && is_settled(index(seat)) &&
            is_held_elsewhere(index(seat))) {
            STARLING_MARK(move_fenced_lets_go_uncompared);
            stage(index(seat), {.highest = durable_[seat].highest});
        }
    }
}

void MoveCore::sync_finished(uint64_t job, SyncOutcome outcome) {
    const auto found = std::find_if(seats_.begin(), seats_.end(), [&](const Seat& seat) {
        return seat.job && seat.job->id == job;
    });
    if (found == seats_.end()) {
        STARLING_MARK(move_sync_of_ended_job);
        return;
    }
    const base::SeatIndex seat = index(static_cast<size_t>(found - seats_.begin()));
    const Job done = *std::exchange(found->job, std::nullopt);
    // Every change of state ends the seat's job, so this one belongs to the present state.
    STARLING_CHECK(is_settled(seat) || durable_[at(seat)].state == SeatState::holding);
    if (outcome == SyncOutcome::unreadable && done.kind == SyncKind::difference) {
        // The giver is bound to this node, and cannot heal its disk before it has the seat back.
        STARLING_MARK(move_declines_what_cannot_be_read);
        return decline(seat);
    }
    if (outcome != SyncOutcome::done) {
        STARLING_MARK(move_sync_failed);
        arm(seat);
        return;
    }
    switch (done.kind) {
        case SyncKind::copy:
            found->is_nearly = true;
            found->repetition = 0;
            return wants_to_speak(seat);
        case SyncKind::difference:
            return hold(seat);
        case SyncKind::compare:
            if (counts().contains(seat)) {
                send(done.from, MoveKind::compared, seat, done.epoch);
            }
            return;
    }
}

void MoveCore::dropped(bool is_ok) {
    is_drop_under_way_ = false;
    if (!is_ok) {
        STARLING_MARK(move_drop_failed);
        is_drop_wanted_ = true;
        for (size_t seat = 0; seat < seats_.size(); ++seat) {
            arm(index(seat));
        }
    } else if (is_drop_wanted_) {
        STARLING_MARK(move_drop_wanted_meanwhile);
        drop_unneeded();
    }
}

void MoveCore::drop_unneeded() {
    const uint8_t lowest = lowest_active_seat();
    is_drop_wanted_ = is_drop_under_way_ && lowest > 0;
    if (is_drop_under_way_ || lowest == 0) return;
    is_drop_under_way_ = true;
    effects_.drop_groups_up_to = lowest;
}

uint8_t MoveCore::lowest_active_seat() const {
    for (size_t seat = 0; seat < durable_.size(); ++seat) {
        if (needs_data(durable_[seat]) || needs_data(staged_[seat])) {
            return static_cast<uint8_t>(seat);
        }
    }
    return seat_count_max;
}

bool MoveCore::is_fenced_for(base::SeatIndex seat, base::NodeId successor) const {
    if (at(seat) >= durable_.size()) return false;
    const SeatRecord& now = durable_[at(seat)];
    return now.state == SeatState::fenced && now.peer == successor && is_settled(seat) &&
           !is_held_elsewhere(seat);
}

bool MoveCore::is_held_elsewhere(base::SeatIndex seat) const {
    return is_over(seat, durable_[at(seat)].epoch) && known_[at(seat)].node != config_.self;
}

bool MoveCore::is_over(base::SeatIndex seat, const Epoch& epoch) const {
    return !known_[at(seat)].node.is_none() && known_[at(seat)].epoch > epoch;
}

void MoveCore::start_job(base::SeatIndex seat,
                         SyncKind kind,
                         base::NodeId from,
                         const Epoch& epoch) {
    STARLING_CHECK(!seats_[at(seat)].job.has_value());
    seats_[at(seat)].job = Job{.id = ++last_job_, .kind = kind, .from = from, .epoch = epoch};
    effects_.syncs.push_back({.job = last_job_, .seat = seat, .kind = kind, .from = from});
}

void MoveCore::end_job(base::SeatIndex seat) {
    std::optional<Job>& job = seats_[at(seat)].job;
    if (!job) return;
    const auto fresh = std::find_if(effects_.syncs.begin(),
                                    effects_.syncs.end(),
                                    [&](const StartSync& sync) { return sync.job == job->id; });
    if (fresh != effects_.syncs.end()) {
        STARLING_MARK(move_job_ended_before_it_began);
        effects_.syncs.erase(fresh);
    } else {
        STARLING_MARK(move_job_cancelled);
        effects_.cancelled_syncs.push_back(job->id);
    }
    job.reset();
}

void MoveCore::send(base::NodeId to, MoveKind kind, base::SeatIndex seat, const Epoch& epoch) {
    if (to == config_.self || to.is_none()) return;
    effects_.sends.push_back({.to = to, .message = {.kind = kind, .seat = seat, .epoch = epoch}});
}

void MoveCore::tell_held(base::SeatIndex seat, base::NodeId giver) {
    std::set<base::NodeId> to(targets_.begin(), targets_.end());
    to.insert(giver);
    for (const SeatView::Holder& holder : known_) {
        to.insert(holder.node);
    }
    for (const base::NodeId node : to) {
        send(node, MoveKind::held, seat, durable_[at(seat)].epoch);
    }
}

MoveEffects MoveCore::take_effects() {
    for (size_t seat = 0; seat < seats_.size(); ++seat) {
        if (std::exchange(seats_[seat].wants_to_speak, false)) {
            speak(index(seat));
            arm(index(seat));
        }
    }
    if (!writing_ && !has_write_failed_ && staged_ != durable_) {
        writing_ = staged_;
        effects_.persist = staged_;
        effects_.takes_up = std::ranges::any_of(seats_, &Seat::is_taken_up) &&
                            !STARLING_PLANTED(taken_up_unrefilled);
    }
    return std::exchange(effects_, {});
}

SeatSet MoveCore::counts() const {
    SeatSet seats;
    for (size_t seat = 0; seat < durable_.size(); ++seat) {
        const SeatState now = durable_[seat].state;
        const bool is_counting = now == SeatState::holding &&
                                 staged_[seat].state == SeatState::holding &&
                                 !seats_[seat].is_taken_up;
        if (is_counting || (STARLING_PLANTED(fenced_still_answers) && now == SeatState::fenced)) {
            seats.add(index(seat));
        }
    }
    return seats;
}

bool MoveCore::stores(uint32_t replicas) const {
    for (size_t seat = 0; seat < std::min<size_t>(replicas, durable_.size()); ++seat) {
        const SeatState now = durable_[seat].state;
        if (now == SeatState::holding || now == SeatState::filling) return true;
    }
    return false;
}

size_t MoveCore::count_of(SeatState state) const {
    return static_cast<size_t>(
        std::count_if(durable_.begin(), durable_.end(), [&](const SeatRecord& record) {
            return record.state == state;
        }));
}

// Who has declined a seat has no use for what was filled for it, and must not fill it, or another
// one, on top of that: damage may have been given up in it.
bool MoveCore::needs_data(const SeatRecord& record) {
    return record.state != SeatState::none && record.state != SeatState::declined;
}

bool MoveCore::is_at_rest() const {
    if (is_drop_under_way_ || (is_drop_wanted_ && !is_drop_put_off())) return false;
    for (size_t seat = 0; seat < seats_.size(); ++seat) {
        const SeatState state = durable_[seat].state;
        if (state == SeatState::filling || state == SeatState::fenced || !is_settled(index(seat)) ||
            seats_[seat].offer || seats_[seat].job) {
            return false;
        }
    }
    return true;
}

std::string MoveCore::fingerprint() const {
    const base::ClusterId any_cluster(1);
    std::string out = encode_seat_records(any_cluster, durable_);
    out += encode_seat_records(any_cluster, staged_);
    base::put_u8(out, writing_ ? 1 : 0);
    if (writing_) {
        out += encode_seat_records(any_cluster, *writing_);
    }
    base::put_u8(out, has_write_failed_ ? 1 : 0);
    base::put_u8(out, is_drop_under_way_ ? 1 : 0);
    base::put_u8(out, is_drop_wanted_ ? 1 : 0);
    base::put_varint(out, last_attempt_);
    for (const Seat& seat : seats_) {
        base::put_u8(out,
                     static_cast<uint8_t>((seat.is_nearly ? 1 : 0) | (seat.is_fenced ? 2 : 0) |
                                          (seat.is_resting ? 4 : 0) | (seat.offer ? 8 : 0) |
                                          (seat.job ? 16 : 0) | (seat.released ? 32 : 0) |
                                          (seat.is_taken_up ? 64 : 0)));
        base::put_varint(out, seat.turn);
        if (seat.offer) {
            base::put_u64(out, seat.offer->to.raw());
            base::put_u8(out, static_cast<uint8_t>(seat.offer->phase));
            base::put_u8(out, seat.offer->is_nearly ? 1 : 0);
            for (const base::SeatIndex grant : seat.offer->grants.list()) {
                base::put_u8(out, grant.raw());
            }
            base::put_varint(out, seat.offer->attempt);
        }
        if (seat.job) {
            base::put_u8(out, static_cast<uint8_t>(seat.job->kind));
            base::put_u64(out, seat.job->from.raw());
            base::put_varint(out, seat.job->epoch.moves);
        }
        if (seat.released) {
            base::put_varint(out, seat.released->attempt);
        }
    }
    for (const SeatView::Holder& holder : known_) {
        base::put_u64(out, holder.node.raw());
        base::put_varint(out, holder.epoch.moves);
    }
    for (const base::NodeId target : targets_) {
        base::put_u64(out, target.raw());
    }
    return out;
}

}  // namespace starling::node
