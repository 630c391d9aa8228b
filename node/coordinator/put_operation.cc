#include "node/coordinator/put_operation.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/mark.h"
#include "base/planted.h"
#include "base/status_macros.h"
#include "node/coordinator/conflict_policy.h"
#include "node/replica/wire.h"

namespace starling::node {

namespace {

uint32_t distinct_holders(const CoordinatorContext& context, GroupId group) {
    return static_cast<uint32_t>(context.view->holders_of(group.partition, group.replicas).size());
}

uint32_t live_value_count(const Record& record) {
    return static_cast<uint32_t>(std::count_if(record.siblings.begin(),
                                               record.siblings.end(),
                                               [](const Sibling& s) { return !s.is_tombstone; }));
}

bool contains(const std::vector<base::NodeId>& nodes, base::NodeId node) {
    return std::find(nodes.begin(), nodes.end(), node) != nodes.end();
}

}  // namespace

PutOperation::PutOperation(CoordinatorContext& context,
                           uint64_t id,
                           GroupId group,
                           base::Duration deadline,
                           PutPlan plan,
                           KvService::PutCallback done)
    : Operation(context, id, group, deadline),
      plan_(std::move(plan)),
      done_(std::move(done)),
      exchanged_(group.replicas),
      core_({.replicas = group.replicas,
             .acks_wanted = plan_.acks_wanted,
             .holder_count = distinct_holders(context, group),
             .count_hints = plan_.count_hints}) {}

void PutOperation::start() {
    arm_timer();
    holders_ = context_.view->holders_of(group_.partition, group_.replicas);
    context_.view->sort_for_asking(holders_);
    if (asks_before_minting(
            plan_.name_space.policy, plan_.superseded.has_value(), plan_.request.blind)) {
        begin_exchange();
    } else {
        begin_mint();
    }
}

void PutOperation::begin_exchange() {
    exchanged_.add(self(), context_.host.held_seats(group_.partition));
    context_.replica.read(group_,
                          plan_.group_key,
                          [op = shared_as<PutOperation>()](absl::StatusOr<Replica::Answer> local) {
                              // It waits for a sync; the others may have been enough meanwhile.
                              if (op->is_finished() || op->phase_ != Phase::exchanging) {
                                  return;
                              }
                              if (!local.ok()) {
                                  STARLING_MARK(put_own_record_unreadable);
                                  op->fail_unwritten(local.status());
                                  return;
                              }
                              const bool absent = local->record == Record{};
                              op->local_digest_ =
                                  absent ? 0 : record_digest(op->plan_.group_key, local->record);
                              op->mint_when_exchanged();
                              if (op->phase_ == Phase::exchanging) {
                                  for (const base::NodeId node : op->holders_) {
                                      op->ask_for_record(node);
                                  }
                              }
                          });
}

void PutOperation::ask_for_record(base::NodeId node) {
    if (node == self()) {
        return;
    }
    outcomes_.asked(node);
    peer::ReplicaMessage message = new_message();
    message.mutable_read()->set_key(plan_.group_key);
    message.mutable_read()->set_digest(local_digest_);
    send(node, std::move(message));
}

void PutOperation::on_read_reply(base::NodeId from, const peer::ReadReply& reply) {
    if (phase_ != Phase::exchanging) {
        return;
    }
    if (reply.has_refusal()) {
        STARLING_MARK(put_exchange_refused);
        outcomes_.set(from, ReplicaState::refused, {}, elapsed(), reply.refusal().message());
        return;
    }
    if (!reply.same() && !reply.record().empty()) {
        absl::StatusOr<Record> record = decode_record(reply.record());
        if (!record.ok()) {
            STARLING_MARK(put_exchanged_record_undecodable);
            return;
        }
        join(exchanged_record_, *record);
    }
    exchanged_.add(from, SeatSet::from_bits(reply.seats()));
    mint_when_exchanged();
}

// So many that one of them has each write that was acknowledged with the namespace's W, or with
// this one's where that is lower.
uint32_t PutOperation::exchange_wanted() const {
    return group_.replicas - std::min(plan_.acks_wanted, plan_.name_space.write_quorum) + 1;
}

void PutOperation::mint_when_exchanged() {
    if (phase_ == Phase::exchanging && exchanged_.seats() >= exchange_wanted()) {
        begin_mint();
    }
}

void PutOperation::begin_mint() {
    phase_ = Phase::minting;
    context_.store.update(
        group_,
        plan_.group_key,
        [op = shared_as<PutOperation>()](Record& local, Frontier& frontier) {
            if (op->is_finished()) {
                STARLING_MARK(put_over_before_mint);
                return absl::CancelledError();
            }
            return op->change_record(local, frontier);
        },
        [op = shared_as<PutOperation>()] {
            if (!op->is_repeat_) {
                // Only now: of a batch that the engine refused nothing is left, and its sequence
                // would be a gap in the frontier for ever.
                op->context_.store.use_sequence(op->group_);
            }
            op->begin_collect();
        },
        [op = shared_as<PutOperation>()](absl::Status status) {
            if (op->is_finished()) {
                return;
            }
            if (!status.ok()) {
                op->on_local_failure(std::move(status));
                return;
            }
            const SeatSet seats = op->context_.host.held_seats(op->group_.partition);
            op->outcomes_.set(op->self(), ReplicaState::durable, seats, op->elapsed());
            op->core_.acknowledged(op->self(), seats);
            op->is_durable_ = true;
            op->send_what_waited();
            op->after_answer();
        });
}

void PutOperation::on_local_failure(absl::Status status) {
    if (phase_ != Phase::minting) {
        STARLING_MARK(put_own_sync_failed);
        // It is on its way to the others already, and they may yet be enough.
        outcomes_.set(self(), ReplicaState::refused, {}, elapsed(), std::string(status.message()));
        return;
    }
    STARLING_MARK(put_not_minted);
    fail_unwritten(std::move(status));
}

// Another node may have the record that is damaged here.
void PutOperation::fail_unwritten(absl::Status status) {
    if (absl::IsDataLoss(status) && base::reason_of(status).empty()) {
        status =
            base::make_error(status.code(), base::reason::data_loss, std::string(status.message()));
    }
    fail(std::move(status));
}

absl::Status PutOperation::change_record(Record& local, Frontier& frontier) {
    if (context_.host.held_seats(group_.partition).below(group_.replicas).empty()) {
        STARLING_MARK(put_seat_given_away_before_mint);
        return base::make_error(absl::StatusCode::kUnavailable,
                                base::reason::no_owner,
                                "this node has given its seat of the partition away");
    }
    merge(local, std::exchange(exchanged_record_, {}), frontier);
    base::RequestId request = plan_.request.request;
    if (STARLING_PLANTED(retry_makes_new_dot)) {
        request.random_low ^= self().raw();
    }
    result_ = plan_.superseded.value_or(Superseded{});
    const Sibling* known = local.find(request);
    if (known != nullptr || local.is_gone(request)) {
        is_repeat_ = true;
        if (known != nullptr) {
            STARLING_MARK(put_repeats_a_live_write);
            dot_ = known->dot;
            time_ = known->time;
            see_what_it_hides(local);
        } else {
            STARLING_MARK(put_repeats_a_superseded_write);
        }
    } else {
        const Superseded superseded =
            plan_.superseded.has_value() ? *plan_.superseded : Superseded::by_reading(local);
        if (std::binary_search(superseded.requests.begin(), superseded.requests.end(), request)) {
            STARLING_MARK(put_context_has_seen_the_request);
            return base::make_error(absl::StatusCode::kInvalidArgument,
                                    base::reason::invalid_request_id,
                                    "the context of the request has seen the request itself");
        }
        STARLING_RETURN_IF_ERROR(check_has_own_writes(context_, group_, frontier));
        STARLING_RETURN_IF_ERROR(check_room_for_own_life(context_, frontier));
        // It has aged since it was admitted, and what would know it may be forgotten meanwhile.
        if (absl::Status status = check_request_age(context_, request); !status.ok()) {
            STARLING_MARK(put_aged_before_mint);
            return status;
        }
        STARLING_RETURN_IF_ERROR(check_not_expired());
        const absl::StatusOr<HybridTime> time = time_by_policy(local);
        if (!time.ok()) {
            return time.status();
        }
        context_.replica.forget_old_requests(group_, local);
        if (local.gone.size() >= context_.options.gone_max) {
            STARLING_MARK(put_key_written_too_often);
            return base::make_error(absl::StatusCode::kResourceExhausted,
                                    base::reason::written_too_often,
                                    "this key was written more often than its record can remember "
                                    "until its holders have heard of one another");
        }
        NewWrite write{
            .dot = {.actor = context_.actor, .sequence = context_.store.upcoming_sequence(group_)},
            .request = request,
            .time = *time,
            .expires_ms = plan_.request.expires_ms,
            .is_tombstone = plan_.request.is_delete,
            .value = std::move(plan_.request.value)};
        dot_ = write.dot;
        time_ = write.time;
        Record minted = plan_.superseded.has_value()
                            ? mint(local, *plan_.superseded, std::move(write))
                            : mint_over(local, std::move(write));
        if (!plan_.request.is_delete && live_value_count(minted) > plan_.name_space.siblings_max) {
            STARLING_MARK(put_too_many_siblings);
            return base::make_error(
                absl::StatusCode::kResourceExhausted,
                base::reason::too_many_siblings,
                fmt::format("the key has {} siblings already: read it and write with that context",
                            plan_.name_space.siblings_max));
        }
        if (minted.siblings.size() > context_.options.record_siblings_max) {
            STARLING_MARK(put_too_many_deletes_beside_one_another);
            return base::make_error(
                absl::StatusCode::kResourceExhausted,
                base::reason::too_many_siblings,
                fmt::format("the key has {} values and deletes that no write has replaced: read it "
                            "and write with that context",
                            context_.options.record_siblings_max));
        }
        frontier.add(*dot_);
        local = std::move(minted);
        result_ = superseded;
    }
    // The client has seen its own write and what that replaced, not the siblings that happen to be
    // here: a context with the dot would cover earlier dots of the same actor, so the request's id
    // stands for it.
    if (local.siblings.size() == 1 && local.siblings.front().request == request) {
        result_ = Superseded::by_reading(local);
    } else {
        result_.merge({.context = {}, .requests = {plan_.request.request}});
    }
    note_for_session(local);
    record_bytes_ = wire::encode(local);
    if (!is_repeat_ && local.siblings.size() > 1 &&
        record_bytes_.size() > context_.options.record_bytes_max) {
        STARLING_MARK(put_siblings_too_large);
        return base::make_error(
            absl::StatusCode::kResourceExhausted,
            base::reason::too_many_siblings,
            fmt::format("the key's {} siblings would take {} bytes, {} are allowed: read it and "
                        "write with that context",
                        local.siblings.size(),
                        record_bytes_.size(),
                        context_.options.record_bytes_max));
    }
    if (!is_repeat_) {
        context_.replica.conflicts().written(plan_.name_space.id, local);
    }
    return absl::OkStatus();
}

// The write's dot; of a repeat whose write is superseded already, and has no dot any more, all that
// this record reflects: what superseded it is in there.
void PutOperation::note_for_session(const Record& record) {
    if (dot_.has_value()) {
        seen_by_session_.add(*dot_);
    } else {
        seen_by_session_ = record.context;
    }
}

absl::Status PutOperation::check_not_expired() const {
    const uint64_t expires_ms = plan_.request.expires_ms;
    const uint64_t now_ms = base::to_unix_ms(context_.wall_clock.wall_now());
    if (expires_ms == 0 || expires_ms > now_ms) {
        return absl::OkStatus();
    }
    STARLING_MARK(put_expired_before_mint);
    return base::make_error(
        absl::StatusCode::kFailedPrecondition,
        base::reason::expiry_passed,
        fmt::format("the value has expired {} ms ago by this node's clock", now_ms - expires_ms));
}

// The time that a new write over `local` gets, or why the namespace's policy refuses it.
absl::StatusOr<HybridTime> PutOperation::time_by_policy(const Record& local) {
    const base::WallTime wall = context_.wall_clock.wall_now();
    switch (plan_.name_space.policy) {
        case ConflictPolicy::siblings:
            break;
        case ConflictPolicy::last_write_wins:
            STARLING_RETURN_IF_ERROR(
                context_.clock_fence.check(*context_.view, context_.loop.now(), wall));
            return time_over(local, wall);
        case ConflictPolicy::reject_stale:
            STARLING_RETURN_IF_ERROR(
                check_not_stale(local, plan_.superseded, base::to_unix_ms(wall)));
            break;
    }
    return context_.hybrid_clock.tick(wall);
}

// A repeat's client has seen what its first try hid, as that one's answer would have said.
void PutOperation::see_what_it_hides(const Record& record) {
    const base::RequestId& request = plan_.request.request;
    for (const Sibling& sibling : record.siblings) {
        if (std::binary_search(sibling.hidden_by.begin(), sibling.hidden_by.end(), request)) {
            STARLING_MARK(put_repeat_sees_what_it_hid);
            result_.merge({.context = {}, .requests = {sibling.request}});
        }
    }
}

void PutOperation::begin_collect() {
    phase_ = Phase::collecting;
    outcomes_.asked(self());
    send_writes();
}

void PutOperation::send_writes() {
    for (const base::NodeId node : holders_) {
        send_write(node);
    }
    for (const base::NodeId node :
         context_.view->awaited_holders(group_.partition, group_.replicas)) {
        STARLING_MARK(put_sent_to_awaited_holder);
        send_write(node);
    }
}

// A crash may take from here what is not durable yet, all that is in the record. A new write's
// message may bring that elsewhere and is refused once the crash is known; what a hint or the
// answer to a repeat brings is taken for the state of an owner (S29 of docs/causality.md).
void PutOperation::send_what_waited() {
    if (is_repeat_) {
        send_writes();
    }
    place_hints(/*only_dead=*/true);
}

void PutOperation::send_write(base::NodeId node) {
    if (node == self() || node.is_none() || (is_repeat_ && !is_durable_)) {
        return;
    }
    outcomes_.asked(node);
    peer::ReplicaMessage message = new_message();
    peer::WriteRequest& write = *message.mutable_write();
    write.set_key(plan_.group_key);
    write.set_record(record_bytes_);
    // A repeat sends the record as it is now, which its first dot does not stand for.
    if (dot_.has_value() && !is_repeat_) {
        wire::set_dot(*write.mutable_dot(), *dot_);
    }
    send(node, std::move(message));
}

void PutOperation::on_reply(base::NodeId from, const peer::ReplicaMessage& message) {
    if (message.has_read_reply()) {
        on_read_reply(from, message.read_reply());
    } else if (message.has_write_reply()) {
        on_write_reply(from, message.write_reply());
    } else if (message.has_hint_reply()) {
        on_hint_reply(from, message.hint_reply());
    }
}

void PutOperation::on_write_reply(base::NodeId from, const peer::WriteReply& reply) {
    if (phase_ != Phase::collecting && phase_ != Phase::lingering) {
        return;
    }
    if (reply.has_refusal()) {
        STARLING_MARK(put_write_refused);
        outcomes_.set(from, ReplicaState::refused, {}, elapsed(), reply.refusal().message());
        return;
    }
    const auto seats = SeatSet::from_bits(reply.seats());
    outcomes_.set(from, ReplicaState::durable, seats, elapsed());
    core_.acknowledged(from, seats);
    after_answer();
}

void PutOperation::on_hint_reply(base::NodeId from, const peer::HintReply& reply) {
    if (phase_ != Phase::collecting && phase_ != Phase::lingering) {
        return;
    }
    if (reply.seat() >= group_.replicas || !contains(stand_ins_used_, from)) {
        return;
    }
    const base::SeatIndex seat(static_cast<uint8_t>(reply.seat()));
    if (reply.has_refusal()) {
        STARLING_MARK(put_stand_in_refused);
        outcomes_.set(from, ReplicaState::refused, {}, elapsed(), reply.refusal().message());
        if (core_.missing().contains(seat)) {
            STARLING_MARK(put_next_stand_in_after_refusal);
            place_hint(seat);  // Another one may have room.
        }
        return;
    }
    const base::NodeId holder = context_.view->holder(group_.partition, seat);
    outcomes_.set(
        from, ReplicaState::hinted, SeatSet::of(seat), elapsed(), "for " + base::to_string(holder));
    STARLING_MARK(put_hint_counted);
    core_.hinted(from, seat, holder);
    after_answer();
}

void PutOperation::after_answer() {
    // Who answered first may have given up its data since, and counts again (damage_healer.h).
    if (time_left() <= base::Duration::zero()) {
        STARLING_MARK(put_answered_after_deadline);
        return;
    }
    if (phase_ == Phase::collecting && core_.is_reached()) {
        acknowledge();
    }
    if (phase_ == Phase::lingering && core_.missing().empty()) {
        finish();
    }
}

void PutOperation::on_view_changed() {
    for (const base::NodeId node : context_.view->holders_of(group_.partition, group_.replicas)) {
        if (contains(holders_, node)) {
            continue;
        }
        STARLING_MARK(put_new_holder_in_view);
        holders_.push_back(node);
        if (phase_ == Phase::exchanging) {
            STARLING_MARK(put_new_holder_asked);
            ask_for_record(node);
        } else if (phase_ == Phase::collecting || phase_ == Phase::lingering) {
            STARLING_MARK(put_new_holder_written_to);
            send_write(node);
        }
    }
}

void PutOperation::send_missing_writes() {
    std::vector<base::NodeId> missing;
    for (const base::SeatIndex seat : core_.missing_holders().list()) {
        const base::NodeId node = context_.view->holder(group_.partition, seat);
        if (!contains(missing, node)) missing.push_back(node);
    }
    context_.view->sort_for_asking(missing);
    for (const base::NodeId node : missing) {
        send_write(node);
    }
}

void PutOperation::on_tick() {
    switch (phase_) {
        case Phase::exchanging:
            STARLING_MARK(put_exchange_asked_again);
            context_.view->sort_for_asking(holders_);
            for (const base::NodeId node : holders_) {
                ask_for_record(node);
            }
            return;
        case Phase::minting:
            STARLING_MARK(put_slow_to_mint);
            return;
        case Phase::collecting:
            STARLING_MARK(put_write_sent_again);
            send_missing_writes();
            if (!is_durable_) {
                STARLING_MARK(put_own_sync_is_slow);
                return;
            }
            // A stand-in that is as silent as the holder is given up for the next one.
            hints_placed_ = hints_placed_.without(core_.missing());
            place_hints(/*only_dead=*/false);
            return;
        case Phase::lingering: {
            const size_t asked = stand_ins_used_.size();
            hints_placed_ = hints_placed_.without(core_.missing());
            place_hints(/*only_dead=*/false);
            // A stand-in that was asked only now may refuse.
            if (stand_ins_used_.size() == asked) {
                finish();
            } else {
                STARLING_MARK(put_lingers_for_a_stand_in);
            }
            return;
        }
    }
}

void PutOperation::place_hints(bool only_dead) {
    if (!dot_.has_value()) {
        STARLING_MARK(put_superseded_repeat_needs_no_hint);
        return;  // A repeated request that is superseded: its successor has hints of its own.
    }
    for (const base::SeatIndex seat : core_.missing_holders().without(hints_placed_).list()) {
        const base::NodeId holder = context_.view->holder(group_.partition, seat);
        const bool is_elsewhere = !holder.is_none() && holder != self();
        if (is_elsewhere && !(only_dead && context_.view->is_alive(holder))) {
            hints_placed_.add(seat);
            place_hint(seat);
        }
    }
}

void PutOperation::place_hint(base::SeatIndex seat) {
    if (plan_.count_hints && is_durable_) {
        for (const base::NodeId node :
             context_.view->stand_ins(group_.partition, group_.replicas)) {
            if (contains(stand_ins_used_, node) || node == self()) {
                continue;
            }
            STARLING_MARK(put_hint_sent_to_stand_in);
            stand_ins_used_.push_back(node);
            outcomes_.asked(node);
            peer::ReplicaMessage message = new_message();
            message.mutable_hint()->set_seat(seat.raw());
            peer::WriteRequest& write = *message.mutable_hint()->mutable_write();
            write.set_key(plan_.group_key);
            write.set_record(record_bytes_);
            wire::set_dot(*write.mutable_dot(), *dot_);
            send(node, std::move(message));
            return;
        }
    }
    keep_reference(seat);
}

void PutOperation::keep_references() {
    if (!dot_.has_value()) return;
    for (const base::SeatIndex seat : core_.missing().list()) {
        const base::NodeId holder = context_.view->holder(group_.partition, seat);
        if (!holder.is_none() && holder != self()) keep_reference(seat);
    }
}

void PutOperation::keep_reference(base::SeatIndex seat) {
    STARLING_MARK(put_keeps_reference_as_hint);
    // For what a spent budget refuses here the holder has to ask.
    context_.hints.keep(
        {.group = group_, .seat = seat, .dot = *dot_, .key = plan_.group_key},
        {},
        [&host = context_.host,
         group = group_,
         holder = context_.view->holder(group_.partition, seat)](const absl::Status& status) {
            if (!status.ok()) host.missed(group, holder);
        });
}

void PutOperation::acknowledge() {
    phase_ = Phase::lingering;
    PutResult result;
    result.dot = dot_.value_or(Dot{});
    result.time = time_;
    result.is_repeat = is_repeat_;
    result.context = context_.sealer.seal(plan_.name_space.id, plan_.request.key, result_);
    result.receipt = make_receipt();
    if (plan_.session.has_value()) {
        seen_by_session_.merge(*plan_.session);
        result.session =
            context_.sessions.seal(plan_.name_space.id, plan_.request.key, seen_by_session_);
    }
    reply(done_, std::move(result));
}

Receipt PutOperation::make_receipt() const {
    Receipt receipt;
    receipt.coordinator = self();
    receipt.partition = group_.partition;
    receipt.replicas_total = group_.replicas;
    receipt.quorum = plan_.acks_wanted;
    receipt.seats_answered = core_.seats_counted();
    receipt.nodes_answered = core_.nodes_counted();
    receipt.seats_hinted = core_.seats_hinted();
    receipt.elapsed = elapsed();
    if (plan_.request.options.explain) {
        receipt.replicas = outcomes_.all();
    }
    return receipt;
}

void PutOperation::on_deadline() {
    if (phase_ == Phase::lingering) {
        STARLING_MARK(put_lingers_to_its_deadline);
        keep_references();
        finish();
        return;
    }
    if (phase_ == Phase::exchanging) {
        STARLING_MARK(put_nothing_written_in_time);
        fail(base::make_error(
            absl::StatusCode::kUnavailable,
            base::reason::quorum_not_reached,
            fmt::format(
                "nothing was written: {} of the {} seats that the put asks first answered in time",
                exchanged_.seats(),
                exchange_wanted())));
        return;
    }
    STARLING_MARK(put_outcome_unknown_at_deadline);
    keep_references();
    fail(base::make_error(
        absl::StatusCode::kDeadlineExceeded,
        base::reason::quorum_not_reached,
        fmt::format("{} of {} seats (on {} nodes) have the write; the outcome is unknown",
                    core_.seats_counted(),
                    plan_.acks_wanted,
                    core_.nodes_counted())));
}

void PutOperation::abandon(const absl::Status& why) {
    if (phase_ == Phase::lingering) {
        STARLING_MARK(put_abandoned_while_lingering);
        keep_references();
        finish();
    } else {
        STARLING_MARK(put_abandoned);
        fail(phase_ == Phase::exchanging ? why : outcome_unknown(why));
    }
}

void PutOperation::fail(absl::Status status) {
    finish();
    reply(done_, std::move(status));
}

}  // namespace starling::node
