#pragma once

// Between the version types and their messages. What comes from a peer is checked here.

#include "absl/status/statusor.h"

#include "base/ids.h"
#include "node/version/dot.h"
#include "node/version/frontier.h"
#include "node/version/record.h"
#include "starling/peer/replica.pb.h"

namespace starling::node::wire {

void set_dot(peer::ProtoDot& out, const Dot& dot);
Dot get_dot(const peer::ProtoDot& in);
void set_request(peer::ProtoRequestId& out, const base::RequestId& request);
base::RequestId get_request(const peer::ProtoRequestId& in);

void set_refusal(peer::Refusal& out, const absl::Status& status);
// Never OK, whatever the peer put in.
absl::Status get_refusal(const peer::Refusal& in);

std::string encode(const Record& record);
std::string encode(const Frontier& frontier);
// invalid_argument when the bytes are not one context, one frontier. No bytes are an empty context.
absl::StatusOr<Context> decode_context(std::string_view bytes);
absl::StatusOr<Frontier> decode_frontier(std::string_view bytes);

}  // namespace starling::node::wire
