#pragma once

// Between the public messages and node/api.h. Requests are untrusted: what does not fit is refused
// here with a typed error that names the field, before the node sees it. Keys, values and contexts
// are moved, never copied, so a request message is used up.

#include <vector>

#include "absl/status/statusor.h"

#include "node/api.h"
#include "node/doors/error_detail.h"
#include "node/doors/options.h"
#include "node/doors/request_ids.h"
#include "starling/v1/admin.pb.h"
#include "starling/v1/kv.pb.h"

namespace starling::node {

absl::StatusOr<PutRequest> take_put(v1::PutRequest& message,
                                    const RequestLimits& limits,
                                    RequestIds& request_ids);
absl::StatusOr<PutRequest> take_delete(v1::DeleteRequest& message,
                                       const RequestLimits& limits,
                                       RequestIds& request_ids);
absl::StatusOr<GetRequest> take_get(v1::GetRequest& message, const RequestLimits& limits);

void fill(v1::WriteResponse& message, PutResult&& result);
void fill(v1::GetResponse& message, GetResult&& result);
void fill(v1::Error& message, ErrorDetail&& error);

absl::StatusOr<NamespaceInfo> to_namespace(const v1::Namespace& message,
                                           const RequestLimits& limits);
void fill(v1::Namespace& message, const NamespaceInfo& info);
void fill(v1::StatusResponse& message, const StatusReport& report);
// invalid_request names the field.
absl::StatusOr<InspectRequest> take_inspect(v1::InspectReplicaRequest& message);
void fill(v1::InspectReplicaResponse& message, InspectResult&& result);
void fill(v1::Dot& message, const Dot& dot);
void fill(v1::HybridTime& message, HybridTime time);
void fill(v1::RingResponse& message, const std::vector<RingPartition>& partitions);

absl::StatusOr<ConflictQuery> to_conflict_query(const v1::ListConflictsRequest& message,
                                                const RequestLimits& limits);
void fill(v1::ListConflictsResponse& message, ConflictPage&& page);

// Bytes of the payload: what a request or a result holds of memory.
size_t payload_bytes(const PutRequest& request);
size_t payload_bytes(const GetRequest& request);
size_t payload_bytes(const PutResult& result);
size_t payload_bytes(const GetResult& result);

}  // namespace starling::node
