#pragma once

// What every call of the gRPC door shares. One per door; outlives all calls.

#include <atomic>
#include <chrono>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include <grpcpp/server_context.h>

#include "base/time.h"
#include "node/api.h"
#include "node/doors/admission.h"
#include "node/doors/door_metrics.h"
#include "node/doors/options.h"
#include "node/doors/request_ids.h"

namespace starling::node {

struct CallContext {
    KvService& kv;
    AdminService& admin;
    RequestIds& request_ids;
    DoorMetrics& metrics;
    Admission& admission;
    const GrpcDoorOptions& options;
    base::NodeId node;
    std::string version;
    std::function<bool()> is_ready;
    std::atomic<bool> is_stopping{false};
};

using SteadyTime = std::chrono::steady_clock::time_point;

// Lowers `deadline` (0 = the node's default) to what is left of the call's own. deadline_exceeded
// when nothing is.
absl::Status limit_deadline(const grpc::CallbackServerContext& call, base::Duration& deadline);

absl::Status stopping_error();
// For a call whose callback the node destroyed without running it.
absl::Status abandoned_error();

// Also puts the reason and its companions into the call's trailing metadata.
grpc::Status to_grpc_status(grpc::CallbackServerContext& call,
                            const absl::Status& status,
                            bool is_write);

}  // namespace starling::node
