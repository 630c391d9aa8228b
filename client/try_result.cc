#include "client/try_result.h"

#include <algorithm>
#include <chrono>

#include "absl/strings/numbers.h"
#include <fmt/format.h>

#include "base/error.h"

namespace starling::client {

namespace {

// Longer than any advice of a node.
constexpr uint32_t retry_after_ms_max = 60'000;

std::string metadata(const grpc::ClientContext& context, const char* key) {
    const auto& all = context.GetServerTrailingMetadata();
    const auto found = all.find(key);
    return found == all.end() ? std::string()
                              : std::string(found->second.data(), found->second.size());
}

base::Duration advice(uint32_t ms) {
    return std::chrono::milliseconds(std::min(ms, retry_after_ms_max));
}

// gRPC says so when a call was never given to a connection, because none could be made. Other words
// leave open how far the call came.
bool has_left(const grpc::Status& status) {
    return status.error_code() != grpc::StatusCode::UNAVAILABLE ||
           status.error_message().rfind("failed to connect to all addresses", 0) != 0;
}

// A node names its reasons; what has none comes from gRPC, on either end.
Failure transport_failure(const grpc::Status& status, const std::string& address) {
    const auto code = static_cast<absl::StatusCode>(status.error_code());
    const bool is_unavailable = code == absl::StatusCode::kUnavailable;
    const bool is_late = code == absl::StatusCode::kDeadlineExceeded;
    const bool is_refused_by_grpc = code == absl::StatusCode::kResourceExhausted ||
                                    code == absl::StatusCode::kUnimplemented ||
                                    code == absl::StatusCode::kInvalidArgument;
    return {.status =
                base::make_error(code,
                                 is_late ? base::reason::deadline : std::string_view(),
                                 is_late ? fmt::format("{}: no answer in time", address)
                                         : fmt::format("{}: {}", address, status.error_message())),
            .may_have_begun = !is_refused_by_grpc && has_left(status),
            .is_endpoint_down = is_unavailable || is_late};
}

}  // namespace

Failure to_failure(const grpc::ClientContext& context,
                   const grpc::Status& status,
                   const std::string& address) {
    const std::string why = metadata(context, "starling-reason");
    const bool is_unknown = metadata(context, "starling-outcome-unknown") == "true";
    if (why.empty()) {
        return transport_failure(status, address);
    }
    uint32_t retry_after_ms = 0;
    if (!absl::SimpleAtoi(metadata(context, "starling-retry-after-ms"), &retry_after_ms)) {
        retry_after_ms = 0;
    }
    return {.status = base::make_error(
                static_cast<absl::StatusCode>(status.error_code()), why, status.error_message()),
            .may_have_begun = is_unknown,
            .retry_after = advice(retry_after_ms)};
}

Failure to_stream_failure(const grpc::ClientContext& context,
                          const grpc::Status& status,
                          const std::string& address) {
    Failure failure = to_failure(context, status, address);
    if (absl::IsResourceExhausted(failure.status) && base::reason_of(failure.status).empty()) {
        failure.may_have_begun = true;
        failure.may_pass = true;
    }
    return failure;
}

Failure to_failure(const v1::Error& error) {
    const bool is_known =
        error.code() > 0 && error.code() <= static_cast<int>(absl::StatusCode::kUnauthenticated);
    const auto code =
        is_known ? static_cast<absl::StatusCode>(error.code()) : absl::StatusCode::kUnknown;
    return {.status = base::make_error(code, error.reason(), error.message()),
            .may_have_begun = error.outcome_unknown(),
            .retry_after = advice(error.retry_after_ms())};
}

}  // namespace starling::client
