#include "client/cli/exit_codes.h"

#include "base/error.h"
#include "client/error.h"

namespace starling::client {

int exit_code_of(const absl::Status& status) {
    if (status.ok()) {
        return exit_ok;
    }
    const std::string why = base::reason_of(status);
    if (outcome_unknown(status) || why == base::reason::quorum_not_reached ||
        why == base::reason::deadline) {
        return exit_quorum_missed;
    }
    if (why == base::reason::key_not_found) {
        return exit_not_found;
    }
    if (why == base::reason::overloaded || why == base::reason::written_too_often ||
        why == base::reason::disk_full) {
        return exit_try_later;
    }
    if (why == reason_input_unreadable) {
        return exit_no_input;
    }
    if (why == reason_session_not_saved) {
        return exit_session_not_saved;
    }
    switch (status.code()) {
        case absl::StatusCode::kDeadlineExceeded:
            return exit_quorum_missed;
        case absl::StatusCode::kUnavailable:
            return exit_unavailable;
        case absl::StatusCode::kResourceExhausted:
        case absl::StatusCode::kInvalidArgument:
        case absl::StatusCode::kNotFound:
        case absl::StatusCode::kAlreadyExists:
        case absl::StatusCode::kPermissionDenied:
        case absl::StatusCode::kUnauthenticated:
        case absl::StatusCode::kFailedPrecondition:
        case absl::StatusCode::kAborted:
        case absl::StatusCode::kOutOfRange:
        case absl::StatusCode::kUnimplemented:
            return exit_refused;
        default:
            return exit_internal;
    }
}

}  // namespace starling::client
