#include "node/doors/convert.h"

#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/status_macros.h"

namespace starling::node {

namespace {

namespace reason = base::reason;

// A deadline beyond it means the node's largest anyway; keeps the conversion to nanoseconds from
// overflowing.
constexpr uint32_t deadline_ms_max = 24u * 60 * 60 * 1000;

absl::Status invalid(std::string_view why, const std::string& message) {
    return base::make_error(absl::StatusCode::kInvalidArgument, why, message);
}

absl::Status check_key(const std::string& key, const RequestLimits& limits) {
    if (key.empty()) {
        return invalid(reason::key_empty, "key: must not be empty");
    }
    if (key.size() > limits.key_bytes_max) {
        return invalid(
            reason::key_too_large,
            fmt::format("key: {} bytes, the limit is {}", key.size(), limits.key_bytes_max));
    }
    return absl::OkStatus();
}

absl::StatusOr<RequestOptions> take_options(v1::RequestOptions& message,
                                            const RequestLimits& limits) {
    RequestOptions options;
    if (!message.namespace_().empty()) {
        if (message.namespace_().size() > limits.namespace_bytes_max) {
            return invalid(reason::invalid_namespace,
                           fmt::format("options.namespace: {} bytes, the limit is {}",
                                       message.namespace_().size(),
                                       limits.namespace_bytes_max));
        }
        options.name_space = std::move(*message.mutable_namespace_());
    }
    options.quorum = message.quorum();
    options.deadline =
        std::chrono::milliseconds(std::min<uint32_t>(message.deadline_ms(), deadline_ms_max));
    if (message.has_sloppy()) {
        options.sloppy = message.sloppy();
    }
    options.explain = message.explain();
    return options;
}

// Of a put, a get and a delete.
template <typename Message>
absl::StatusOr<std::optional<std::string>> take_session(Message& message,
                                                        const RequestLimits& limits) {
    if (!message.has_session()) {
        return std::optional<std::string>();
    }
    if (message.session().size() > limits.session_bytes_max) {
        return invalid(reason::malformed_session,
                       fmt::format("session: {} bytes, the limit is {}",
                                   message.session().size(),
                                   limits.session_bytes_max));
    }
    return std::optional<std::string>(std::move(*message.mutable_session()));
}

absl::StatusOr<base::RequestId> request_id_of(const v1::RequestId& message) {
    if (message.created_ms() == 0 || (message.random_high() == 0 && message.random_low() == 0)) {
        return invalid(
            reason::invalid_request_id,
            "request_id: created_ms must be Unix milliseconds and the random part not 0");
    }
    return base::RequestId{.created_ms = message.created_ms(),
                           .random_high = message.random_high(),
                           .random_low = message.random_low()};
}

// What a put and a delete have in common.
template <typename Message>
absl::StatusOr<PutRequest> take_write(Message& message,
                                      const RequestLimits& limits,
                                      RequestIds& request_ids) {
    PutRequest request;
    STARLING_RETURN_IF_ERROR(check_key(message.key(), limits));
    if (message.has_options()) {
        STARLING_ASSIGN_OR_RETURN(request.options,
                                  take_options(*message.mutable_options(), limits));
    }
    if (message.has_context()) {
        if (message.context().size() > limits.context_bytes_max) {
            return invalid(reason::malformed_context,
                           fmt::format("context: {} bytes, longer than any that was issued",
                                       message.context().size()));
        }
        if (message.blind()) {
            return invalid(reason::invalid_request,
                           "blind: means 'without a context', but a context is given");
        }
        request.context = std::move(*message.mutable_context());
    }
    request.blind = message.blind();
    if (message.has_request_id()) {
        STARLING_ASSIGN_OR_RETURN(request.request, request_id_of(message.request_id()));
    } else {
        request.request = request_ids.draw();
    }
    STARLING_ASSIGN_OR_RETURN(request.session, take_session(message, limits));
    request.key = std::move(*message.mutable_key());
    return request;
}

uint64_t to_us(base::Duration duration) {
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
    return us < 0 ? 0 : static_cast<uint64_t>(us);
}

v1::ReplicaState to_proto(ReplicaState state) {
    switch (state) {
        case ReplicaState::durable:
            return v1::REPLICA_STATE_DURABLE;
        case ReplicaState::hinted:
            return v1::REPLICA_STATE_HINTED;
        case ReplicaState::answered:
            return v1::REPLICA_STATE_ANSWERED;
        case ReplicaState::stale:
            return v1::REPLICA_STATE_STALE;
        case ReplicaState::refused:
            return v1::REPLICA_STATE_REFUSED;
        case ReplicaState::late:
            return v1::REPLICA_STATE_LATE;
    }
    return v1::REPLICA_STATE_UNSPECIFIED;
}

void fill(v1::Receipt& message, Receipt&& receipt) {
    message.set_coordinator(receipt.coordinator.raw());
    message.set_partition(receipt.partition.raw());
    message.set_replicas_total(receipt.replicas_total);
    message.set_quorum(receipt.quorum);
    message.set_seats_answered(receipt.seats_answered);
    message.set_nodes_answered(receipt.nodes_answered);
    message.set_seats_hinted(receipt.seats_hinted);
    if (receipt.forwarded_by.has_value()) {
        message.set_forwarded_by(receipt.forwarded_by->raw());
    }
    message.set_repairs_sent(receipt.repairs_sent);
    message.set_elapsed_us(to_us(receipt.elapsed));
    for (ReplicaOutcome& outcome : receipt.replicas) {
        v1::ReplicaOutcome& out = *message.add_replicas();
        out.set_node_id(outcome.node.raw());
        for (const base::SeatIndex seat : outcome.seats) {
            out.add_seats(seat.raw());
        }
        out.set_state(to_proto(outcome.state));
        out.set_detail(std::move(outcome.detail));
        out.set_elapsed_us(to_us(outcome.elapsed));
    }
}

}  // namespace

void fill(v1::Dot& message, const Dot& dot) {
    message.set_node_id(dot.actor.node.raw());
    message.set_start(dot.actor.start);
    message.set_random(dot.actor.random);
    message.set_sequence(dot.sequence);
}

void fill(v1::HybridTime& message, HybridTime time) {
    message.set_wall_ms(time.wall_ms);
    message.set_logical(time.logical);
}

absl::StatusOr<PutRequest> take_put(v1::PutRequest& message,
                                    const RequestLimits& limits,
                                    RequestIds& request_ids) {
    if (message.value().size() > limits.value_bytes_max) {
        return invalid(reason::value_too_large,
                       fmt::format("value: {} bytes, the limit is {}",
                                   message.value().size(),
                                   limits.value_bytes_max));
    }
    STARLING_ASSIGN_OR_RETURN(PutRequest request, take_write(message, limits, request_ids));
    request.value = std::move(*message.mutable_value());
    request.expires_ms = message.expires_ms();
    return request;
}

absl::StatusOr<PutRequest> take_delete(v1::DeleteRequest& message,
                                       const RequestLimits& limits,
                                       RequestIds& request_ids) {
    STARLING_ASSIGN_OR_RETURN(PutRequest request, take_write(message, limits, request_ids));
    request.is_delete = true;
    return request;
}

absl::StatusOr<GetRequest> take_get(v1::GetRequest& message, const RequestLimits& limits) {
    GetRequest request;
    STARLING_RETURN_IF_ERROR(check_key(message.key(), limits));
    if (message.has_options()) {
        STARLING_ASSIGN_OR_RETURN(request.options,
                                  take_options(*message.mutable_options(), limits));
    }
    STARLING_ASSIGN_OR_RETURN(request.session, take_session(message, limits));
    request.key = std::move(*message.mutable_key());
    return request;
}

void fill(v1::WriteResponse& message, PutResult&& result) {
    fill(*message.mutable_dot(), result.dot);
    fill(*message.mutable_time(), result.time);
    message.set_is_repeat(result.is_repeat);
    message.set_context(std::move(result.context));
    fill(*message.mutable_receipt(), std::move(result.receipt));
    message.set_session(std::move(result.session));
}

void fill(v1::GetResponse& message, GetResult&& result) {
    for (SiblingValue& sibling : result.values) {
        v1::Value& out = *message.add_values();
        out.set_value(std::move(sibling.value));
        fill(*out.mutable_dot(), sibling.dot);
        fill(*out.mutable_time(), sibling.time);
        out.set_expires_ms(sibling.expires_ms);
    }
    message.set_context(std::move(result.context));
    fill(*message.mutable_receipt(), std::move(result.receipt));
    message.set_session(std::move(result.session));
}

void fill(v1::Error& message, ErrorDetail&& error) {
    message.set_code(static_cast<int32_t>(error.code));
    message.set_reason(std::move(error.reason));
    message.set_message(std::move(error.message));
    message.set_outcome_unknown(error.outcome_unknown);
    message.set_retry_after_ms(error.retry_after_ms);
}

size_t payload_bytes(const PutRequest& request) {
    return request.key.size() + request.value.size() +
           (request.context.has_value() ? request.context->size() : 0) +
           (request.session.has_value() ? request.session->size() : 0);
}

size_t payload_bytes(const GetRequest& request) {
    return request.key.size() + (request.session.has_value() ? request.session->size() : 0);
}

size_t payload_bytes(const PutResult& result) {
    return result.context.size() + result.session.size();
}

size_t payload_bytes(const GetResult& result) {
    size_t bytes = result.context.size() + result.session.size();
    for (const SiblingValue& sibling : result.values) {
        bytes += sibling.value.size();
    }
    return bytes;
}

}  // namespace starling::node
