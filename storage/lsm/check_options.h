#pragma once

#include "absl/status/status.h"

#include "storage/options.h"

namespace starling::storage::lsm {

// invalid_argument, naming the option that makes no sense and what it may be.
absl::Status check_options(const EngineOptions& options);

}  // namespace starling::storage::lsm
