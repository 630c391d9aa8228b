#include "base/write_outcome.h"

#include <string>

#include "base/check.h"
#include "base/error.h"

namespace starling::base {

namespace {

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

}  // namespace

bool leaves_outcome_unknown(const absl::Status& status) {
    STARLING_CHECK(!status.ok());
    const std::string why = reason_of(status);
    if (why.empty()) return may_have_begun(status.code());
    return why == reason::deadline || why == reason::quorum_not_reached ||
           why == reason::request_too_old;
}

}  // namespace starling::base
