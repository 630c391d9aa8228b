#include "node/doors/call_context.h"

#include <utility>

#include <fmt/format.h>
#include <grpc/support/time.h>

#include "base/error.h"
#include "node/doors/error_detail.h"

namespace starling::node {

absl::Status limit_deadline(const grpc::CallbackServerContext& call, base::Duration& deadline) {
    const gpr_timespec end = call.raw_deadline();
    if (gpr_time_cmp(end, gpr_inf_future(end.clock_type)) == 0) {
        return absl::OkStatus();
    }
    const gpr_timespec left = gpr_time_sub(end, gpr_now(end.clock_type));
    const base::Duration own = std::chrono::seconds(std::min<int64_t>(left.tv_sec, 1'000'000)) +
                               std::chrono::nanoseconds(left.tv_nsec);
    if (own <= base::Duration::zero()) {
        return base::make_error(absl::StatusCode::kDeadlineExceeded,
                                base::reason::deadline,
                                "the deadline had passed before the request was begun");
    }
    if (deadline == base::Duration::zero() || own < deadline) {
        deadline = own;
    }
    return absl::OkStatus();
}

absl::Status stopping_error() {
    return base::make_error(absl::StatusCode::kUnavailable,
                            base::reason::stopping,
                            "this node is stopping; ask another one");
}

absl::Status abandoned_error() {
    return absl::UnavailableError("the node stopped before it had the outcome");
}

grpc::Status to_grpc_status(grpc::CallbackServerContext& call,
                            const absl::Status& status,
                            bool is_write) {
    const ErrorDetail detail = to_detail(status, is_write);
    if (!detail.reason.empty()) {
        call.AddTrailingMetadata("starling-reason", detail.reason);
    }
    if (detail.outcome_unknown) {
        call.AddTrailingMetadata("starling-outcome-unknown", "true");
    }
    if (detail.retry_after_ms != 0) {
        call.AddTrailingMetadata("starling-retry-after-ms",
                                 fmt::format("{}", detail.retry_after_ms));
    }
    return {static_cast<grpc::StatusCode>(detail.code), detail.message};
}

}  // namespace starling::node
