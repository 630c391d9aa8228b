#pragma once

// Errors as the library's callers see them: an absl::Status whose code says what to do next, with a
// reason (base/error.h) where a node said one. docs/errors.md lists the reasons.

#include "absl/status/status.h"

namespace starling::client {

// Whether the write may exist, or come to exist, although it failed. Trying it again with the same
// request id is safe.
bool outcome_unknown(const absl::Status& status);

// REQUIRES: !status.ok().
absl::Status with_outcome_unknown(absl::Status status);

// Whether no node could be reached at all.
bool is_unreachable(const absl::Status& status);

}  // namespace starling::client
