#include "node/replica/wire.h"

#include "base/error.h"

namespace starling::node::wire {

void set_dot(peer::ProtoDot& out, const Dot& dot) {
    out.mutable_actor()->set_node(dot.actor.node.raw());
    out.mutable_actor()->set_start(dot.actor.start);
    out.mutable_actor()->set_random(dot.actor.random);
    out.set_sequence(dot.sequence);
}

Dot get_dot(const peer::ProtoDot& in) {
    return {.actor = {.node = base::NodeId(in.actor().node()),
                      .start = in.actor().start(),
                      .random = in.actor().random()},
            .sequence = in.sequence()};
}

void set_request(peer::ProtoRequestId& out, const base::RequestId& request) {
    out.set_created_ms(request.created_ms);
    out.set_random_high(request.random_high);
    out.set_random_low(request.random_low);
}

base::RequestId get_request(const peer::ProtoRequestId& in) {
    return {.created_ms = in.created_ms(),
            .random_high = in.random_high(),
            .random_low = in.random_low()};
}

void set_refusal(peer::Refusal& out, const absl::Status& status) {
    out.set_code(static_cast<int>(status.code()));
    out.set_reason(base::reason_of(status));
    out.set_message(std::string(status.message()));
}

absl::Status get_refusal(const peer::Refusal& in) {
    const bool is_error_code =
        in.code() > 0 && in.code() <= static_cast<int>(absl::StatusCode::kUnauthenticated);
    return base::make_error(
        is_error_code ? static_cast<absl::StatusCode>(in.code()) : absl::StatusCode::kUnknown,
        in.reason(),
        in.message());
}

std::string encode(const Record& record) {
    std::string out;
    encode_record(out, record);
    return out;
}

std::string encode(const Frontier& frontier) {
    std::string out;
    frontier.encode(out);
    return out;
}

absl::StatusOr<Context> decode_context(std::string_view bytes) {
    if (bytes.empty()) {
        return Context{};
    }
    base::Reader in(bytes);
    Context context = Context::decode(in);
    if (!in.finished()) {
        return absl::InvalidArgumentError("not a context");
    }
    return context;
}

absl::StatusOr<Frontier> decode_frontier(std::string_view bytes) {
    base::Reader in(bytes);
    Frontier frontier = Frontier::decode(in);
    if (!in.finished()) {
        return absl::InvalidArgumentError("not a frontier");
    }
    return frontier;
}

}  // namespace starling::node::wire
