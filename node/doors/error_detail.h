#pragma once

// A status as a client is told it: see proto/starling/v1/error.proto and docs/errors.md.

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace starling::node {

struct ErrorDetail {
    absl::StatusCode code = absl::StatusCode::kUnknown;
    std::string reason;
    std::string message;
    bool outcome_unknown = false;
    // 0 = no advice.
    uint32_t retry_after_ms = 0;
};

// REQUIRES: !status.ok(). `is_write`: only a write's outcome can be unknown.
ErrorDetail to_detail(const absl::Status& status, bool is_write);

}  // namespace starling::node
