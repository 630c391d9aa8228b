#pragma once

#include "absl/status/status.h"

namespace starling::base {

// Whether a write that ends with this error may exist, or come to exist (docs/errors.md). Else it
// was refused, and leaves nothing behind. REQUIRES: !status.ok().
bool leaves_outcome_unknown(const absl::Status& status);

}  // namespace starling::base
