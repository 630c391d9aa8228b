#include <utility>

#include "base/error.h"
#include "node/doors/convert.h"

namespace starling::node {

namespace {

absl::Status invalid(const std::string& message) {
    return base::make_error(
        absl::StatusCode::kInvalidArgument, base::reason::invalid_request, message);
}

}  // namespace

absl::StatusOr<InspectRequest> take_inspect(v1::InspectReplicaRequest& message) {
    if (message.partition() > UINT16_MAX) {
        return invalid("partition: beyond any there is");
    }
    InspectRequest request{
        .partition = base::PartitionId(static_cast<uint16_t>(message.partition())),
        .replicas = message.replicas()};
    request.buckets = std::move(*message.mutable_buckets());
    request.after = std::move(*message.mutable_after());
    for (v1::InspectedKeyQuestion& asked : *message.mutable_keys()) {
        InspectRequest::Key& key = request.keys.emplace_back();
        key.key = std::move(*asked.mutable_key());
        for (const v1::Dot& dot : asked.seen()) {
            if (dot.sequence() == 0) {
                return invalid("keys.seen: a sequence is at least 1");
            }
            key.seen.push_back({.actor = {.node = base::NodeId(dot.node_id()),
                                          .start = dot.start(),
                                          .random = dot.random()},
                                .sequence = dot.sequence()});
        }
    }
    for (std::string& frontier : *message.mutable_frontiers()) {
        request.frontiers.push_back(std::move(frontier));
    }
    return request;
}

void fill(v1::InspectReplicaResponse& message, InspectResult&& result) {
    message.mutable_buckets()->Assign(result.buckets.begin(), result.buckets.end());
    for (InspectedKey& key : result.keys) {
        v1::InspectedKey& out = *message.add_keys();
        out.set_key(std::move(key.key));
        out.set_digest(key.digest);
        for (const Dot& dot : key.context) {
            fill(*out.add_context(), dot);
        }
        for (const InspectedVersion& version : key.versions) {
            v1::InspectedVersion& described = *out.add_versions();
            fill(*described.mutable_dot(), version.dot);
            fill(*described.mutable_time(), version.time);
            described.set_is_tombstone(version.is_tombstone);
            described.set_is_hidden(version.is_hidden);
            described.set_value_bytes(version.value_bytes);
            described.set_value_hash(version.value_hash);
        }
        out.set_reflects_seen(key.reflects_seen);
    }
    message.set_up_to(std::move(result.up_to));
    message.set_frontier(std::move(result.frontier));
    message.set_bytes_read(result.bytes_read);
    message.mutable_has_seen()->Assign(result.has_seen.begin(), result.has_seen.end());
}

}  // namespace starling::node
