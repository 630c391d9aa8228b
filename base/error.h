#pragma once

// Typed errors. The absl code says what a caller does next (unavailable = try elsewhere,
// resource_exhausted = back off, deadline_exceeded = outcome unknown, aborted = conflict, data_loss
// = corruption, invalid_argument and not_found = do not try again); the reason, a stable word, says
// which error it is.

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace starling::base {

absl::Status make_error(absl::StatusCode code, std::string_view reason, std::string_view message);

// Empty when the status carries no reason.
std::string reason_of(const absl::Status& status);

// The reasons a client may meet. docs/errors.md says what to do about each.
namespace reason {
inline constexpr std::string_view invalid_request = "invalid_request";
inline constexpr std::string_view key_empty = "key_empty";
inline constexpr std::string_view key_too_large = "key_too_large";
inline constexpr std::string_view value_too_large = "value_too_large";
inline constexpr std::string_view request_too_large = "request_too_large";
inline constexpr std::string_view malformed_context = "malformed_context";
inline constexpr std::string_view forged_context = "forged_context";
inline constexpr std::string_view malformed_session = "malformed_session";
inline constexpr std::string_view forged_session = "forged_session";
inline constexpr std::string_view session_not_satisfied = "session_not_satisfied";
inline constexpr std::string_view unknown_namespace = "unknown_namespace";
inline constexpr std::string_view namespace_exists = "namespace_exists";
inline constexpr std::string_view invalid_namespace = "invalid_namespace";
inline constexpr std::string_view invalid_quorum = "invalid_quorum";
inline constexpr std::string_view invalid_request_id = "invalid_request_id";
inline constexpr std::string_view invalid_expiry = "invalid_expiry";
inline constexpr std::string_view expiry_passed = "expiry_passed";
inline constexpr std::string_view clock_drift = "clock_drift";
inline constexpr std::string_view clock_fenced = "clock_fenced";
inline constexpr std::string_view stale_context = "stale_context";
inline constexpr std::string_view unknown_sibling = "unknown_sibling";
inline constexpr std::string_view request_too_old = "request_too_old";
inline constexpr std::string_view request_superseded = "request_superseded";
inline constexpr std::string_view quorum_not_reached = "quorum_not_reached";
inline constexpr std::string_view no_owner = "no_owner";
inline constexpr std::string_view deadline = "deadline";
inline constexpr std::string_view overloaded = "overloaded";
inline constexpr std::string_view written_too_often = "written_too_often";
inline constexpr std::string_view too_many_lives = "too_many_lives";
inline constexpr std::string_view too_many_siblings = "too_many_siblings";
inline constexpr std::string_view disk_full = "disk_full";
inline constexpr std::string_view stalled = "stalled";
inline constexpr std::string_view data_loss = "data_loss";
inline constexpr std::string_view read_only = "read_only";
inline constexpr std::string_view stopping = "stopping";
inline constexpr std::string_view key_not_found = "key_not_found";
inline constexpr std::string_view wrong_cluster = "wrong_cluster";
inline constexpr std::string_view wrong_secret = "wrong_secret";
inline constexpr std::string_view already_member = "already_member";
inline constexpr std::string_view has_data = "has_data";
inline constexpr std::string_view unknown_node = "unknown_node";
inline constexpr std::string_view incompatible = "incompatible";
inline constexpr std::string_view unimplemented = "unimplemented";
}  // namespace reason

}  // namespace starling::base
