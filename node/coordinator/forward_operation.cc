#include "node/coordinator/forward_operation.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/mark.h"
#include "node/replica/wire.h"

namespace starling::node {

namespace {

enum SloppyChoice : uint32_t { as_namespace = 0, strict = 1, sloppy = 2 };

// Whether another holder may do better: this one has no seat, or a wrong clock, or a disk that
// takes no writes or has lost the record, or it stops. Nothing was written there.
bool may_try_elsewhere(const absl::Status& status) {
    const std::string why = base::reason_of(status);
    if (why == base::reason::disk_full || why == base::reason::read_only ||
        absl::IsDataLoss(status)) {
        return true;
    }
    return absl::IsUnavailable(status) && why != base::reason::quorum_not_reached;
}

// A holder that stopped in the middle of it, or met its deadline.
bool may_have_written(const absl::Status& status) {
    return absl::IsDeadlineExceeded(status) ||
           base::reason_of(status) == base::reason::quorum_not_reached;
}

}  // namespace

peer::ForwardRequest to_message(const PutRequest& request, base::Duration time_left) {
    peer::ForwardRequest message;
    message.set_name_space(request.options.name_space);
    message.set_key(request.key);
    message.set_value(request.value);
    message.set_is_delete(request.is_delete);
    message.set_expires_ms(request.expires_ms);
    message.set_has_context(request.context.has_value());
    message.set_context(request.context.value_or(""));
    message.set_blind(request.blind);
    wire::set_request(*message.mutable_request(), request.request);
    message.set_quorum(request.options.quorum);
    message.set_deadline_ns(static_cast<uint64_t>(std::max<int64_t>(1, time_left.count())));
    message.set_sloppy(!request.options.sloppy.has_value() ? as_namespace
                       : *request.options.sloppy           ? sloppy
                                                           : strict);
    message.set_explain(request.options.explain);
    message.set_has_session(request.session.has_value());
    message.set_session(request.session.value_or(""));
    return message;
}

PutRequest from_message(const peer::ForwardRequest& message) {
    PutRequest request;
    request.options.name_space = message.name_space();
    request.options.quorum = message.quorum();
    request.options.deadline =
        base::Duration(static_cast<int64_t>(std::min<uint64_t>(message.deadline_ns(), INT64_MAX)));
    if (message.sloppy() != as_namespace) {
        request.options.sloppy = message.sloppy() == sloppy;
    }
    request.options.explain = message.explain();
    request.key = message.key();
    request.value = message.value();
    request.is_delete = message.is_delete();
    request.expires_ms = message.expires_ms();
    if (message.has_context()) {
        request.context = message.context();
    }
    request.blind = message.blind();
    request.request = wire::get_request(message.request());
    if (message.has_session()) {
        request.session = message.session();
    }
    return request;
}

peer::ForwardReply to_message(const absl::StatusOr<PutResult>& result) {
    peer::ForwardReply reply;
    if (!result.ok()) {
        wire::set_refusal(*reply.mutable_refusal(), result.status());
        return reply;
    }
    wire::set_dot(*reply.mutable_dot(), result->dot);
    reply.set_time_wall_ms(result->time.wall_ms);
    reply.set_time_logical(result->time.logical);
    reply.set_is_repeat(result->is_repeat);
    reply.set_context(result->context);
    reply.set_session(result->session);
    const Receipt& receipt = result->receipt;
    reply.set_replicas_total(receipt.replicas_total);
    reply.set_quorum(receipt.quorum);
    reply.set_seats_answered(receipt.seats_answered);
    reply.set_nodes_answered(receipt.nodes_answered);
    reply.set_seats_hinted(receipt.seats_hinted);
    reply.set_elapsed_ns(static_cast<uint64_t>(receipt.elapsed.count()));
    for (const ReplicaOutcome& outcome : receipt.replicas) {
        peer::ForwardReply::Outcome& out = *reply.add_outcomes();
        out.set_node(outcome.node.raw());
        SeatSet seats;
        for (const base::SeatIndex seat : outcome.seats) {
            seats.add(seat);
        }
        out.set_seats(seats.bits());
        out.set_state(static_cast<uint32_t>(outcome.state));
        out.set_detail(outcome.detail);
        out.set_elapsed_ns(static_cast<uint64_t>(outcome.elapsed.count()));
    }
    return reply;
}

absl::StatusOr<PutResult> from_message(const peer::ForwardReply& reply,
                                       base::NodeId coordinator,
                                       base::PartitionId partition) {
    if (reply.has_refusal()) {
        return wire::get_refusal(reply.refusal());
    }
    PutResult result;
    result.dot = wire::get_dot(reply.dot());
    result.time = {.wall_ms = reply.time_wall_ms(), .logical = reply.time_logical()};
    result.is_repeat = reply.is_repeat();
    result.context = reply.context();
    result.session = reply.session();
    Receipt& receipt = result.receipt;
    receipt.coordinator = coordinator;
    receipt.partition = partition;
    receipt.replicas_total = reply.replicas_total();
    receipt.quorum = reply.quorum();
    receipt.seats_answered = reply.seats_answered();
    receipt.nodes_answered = reply.nodes_answered();
    receipt.seats_hinted = reply.seats_hinted();
    receipt.elapsed = base::Duration(static_cast<int64_t>(reply.elapsed_ns()));
    for (const peer::ForwardReply::Outcome& outcome : reply.outcomes()) {
        receipt.replicas.push_back(
            {.node = base::NodeId(outcome.node()),
             .seats = SeatSet::from_bits(outcome.seats()).list(),
             .state = outcome.state() <= static_cast<uint32_t>(ReplicaState::late)
                          ? static_cast<ReplicaState>(outcome.state())
                          : ReplicaState::late,
             .detail = outcome.detail(),
             .elapsed = base::Duration(static_cast<int64_t>(outcome.elapsed_ns()))});
    }
    return result;
}

ForwardOperation::ForwardOperation(CoordinatorContext& context,
                                   uint64_t id,
                                   GroupId group,
                                   base::Duration deadline,
                                   PutRequest request,
                                   KvService::PutCallback done)
    : Operation(context, id, group, deadline),
      request_(std::move(request)),
      done_(std::move(done)) {}

void ForwardOperation::start() {
    arm_timer();
    try_next();
}

void ForwardOperation::try_next() {
    const std::vector<base::NodeId> holders =
        context_.view->holders_of(group_.partition, group_.replicas);
    base::NodeId chosen;
    for (const bool want_alive : {true, false}) {
        for (const base::NodeId node : holders) {
            const bool tried = std::find(tried_.begin(), tried_.end(), node) != tried_.end();
            if (chosen.is_none() && !tried && node != self() &&
                context_.view->is_alive(node) == want_alive) {
                chosen = node;
            }
        }
    }
    if (chosen.is_none()) {
        STARLING_MARK(forward_all_holders_tried);
        // Another round begins with the next tick.
        tried_.clear();
        return;
    }
    if (!context_.view->is_alive(chosen)) {
        STARLING_MARK(forward_to_dead_holder);
    }
    tried_.push_back(chosen);
    may_have_begun_ = true;
    // What goes beyond the last number stays unanswered.
    if (attempts_ < UINT8_MAX) ++attempts_;
    unanswered_.push_back({.to = chosen, .attempt = attempts_});
    peer::ReplicaMessage message = new_message(attempts_);
    *message.mutable_forward() = to_message(request_, time_left());
    send(chosen, std::move(message));
}

void ForwardOperation::on_reply(base::NodeId from, const peer::ReplicaMessage& message) {
    if (!message.has_forward_reply() || is_finished()) {
        return;
    }
    absl::StatusOr<PutResult> result =
        from_message(message.forward_reply(), from, group_.partition);
    const auto asked = std::ranges::find_if(unanswered_, [&](const Question& question) {
        return question.to == from && message.operation() == (id() | question.attempt);
    });
    if (asked != unanswered_.end()) {
        if (asked->attempt < UINT8_MAX) unanswered_.erase(asked);
    } else if (!result.ok() && !may_have_written(result.status())) {
        STARLING_MARK(forward_refused_again);
        return;
    }
    if (!result.ok() && may_try_elsewhere(result.status())) {
        STARLING_MARK(forward_refused_tries_elsewhere);
        last_refusal_ = result.status();
        try_next();
        return;
    }
    if (!result.ok() && may_have_written(result.status())) {
        open_outcome_ = result.status();
    }
    if (!result.ok() && !absl::IsDeadlineExceeded(result.status()) && !unanswered_.empty()) {
        STARLING_MARK(forward_refused_waits_for_another);
        // A refusal says that nothing was written; another holder may have done so.
        last_refusal_ = result.status();
        return;
    }
    if (!result.ok() && !open_outcome_.ok()) {
        result = open_outcome_;
    }
    if (result.ok()) {
        result->receipt.forwarded_by = self();
        result->receipt.elapsed = elapsed();
    }
    end(std::move(result));
}

void ForwardOperation::on_tick() {
    STARLING_MARK(forward_silent_tries_next);
    try_next();
}

void ForwardOperation::on_deadline() {
    if (!may_have_begun_) {
        STARLING_MARK(forward_found_no_owner);
        end(base::make_error(
            absl::StatusCode::kUnavailable,
            base::reason::no_owner,
            "no node is known to hold a seat of the key's partition; nothing was written"));
        return;
    }
    if (unanswered_.empty() && open_outcome_.ok()) {
        STARLING_MARK(forward_refused_by_all_until_deadline);
        // Each has said that it wrote nothing.
        end(last_refusal_);
        return;
    }
    STARLING_MARK(forward_outcome_unknown_at_deadline);
    end(base::make_error(
        absl::StatusCode::kDeadlineExceeded,
        base::reason::deadline,
        "no holder of the key's partition answered in time; the outcome is unknown" +
            (last_refusal_.ok() ? std::string()
                                : " (last answer: " + std::string(last_refusal_.message()) + ")")));
}

void ForwardOperation::abandon(const absl::Status& why) {
    STARLING_MARK(forward_abandoned);
    end(may_have_begun_ ? outcome_unknown(why) : why);
}

void ForwardOperation::end(absl::StatusOr<PutResult> result) {
    finish();
    reply(done_, std::move(result));
}

}  // namespace starling::node
