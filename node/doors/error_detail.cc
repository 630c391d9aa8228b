#include "node/doors/error_detail.h"

#include "base/check.h"
#include "base/error.h"

namespace starling::node {

namespace {

namespace reason = base::reason;

// A status without a reason comes from a fault of ours, so nothing is known of how far the write
// came, unless its code says that it was refused before it began.
bool may_have_begun(absl::StatusCode code) {
    switch (code) {
        case absl::StatusCode::kInvalidArgument:
        case absl::StatusCode::kNotFound:
        case absl::StatusCode::kAlreadyExists:
        case absl::StatusCode::kPermissionDenied:
        case absl::StatusCode::kUnauthenticated:
        case absl::StatusCode::kFailedPrecondition:
        case absl::StatusCode::kOutOfRange:
        case absl::StatusCode::kUnimplemented:
        case absl::StatusCode::kResourceExhausted:
            return false;
        default:
            return true;
    }
}

bool leaves_outcome_unknown(absl::StatusCode code, const std::string& why) {
    if (why.empty()) {
        return may_have_begun(code);
    }
    return why == reason::deadline || why == reason::quorum_not_reached ||
           why == reason::request_too_old;
}

uint32_t advice_ms(const std::string& why) {
    if (why == reason::overloaded) {
        return 100;
    }
    if (why == reason::written_too_often) {
        return 1000;
    }
    if (why == reason::no_owner || why == reason::quorum_not_reached) {
        return 250;
    }
    if (why == reason::disk_full) {
        return 5000;
    }
    return 0;
}

}  // namespace

ErrorDetail to_detail(const absl::Status& status, bool is_write) {
    STARLING_CHECK(!status.ok());
    std::string why = base::reason_of(status);
    const bool unknown = is_write && leaves_outcome_unknown(status.code(), why);
    const uint32_t retry_after_ms = advice_ms(why);
    return {.code = status.code(),
            .reason = std::move(why),
            .message = std::string(status.message()),
            .outcome_unknown = unknown,
            .retry_after_ms = retry_after_ms};
}

}  // namespace starling::node
