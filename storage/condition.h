#pragma once

#include "absl/status/status.h"

#include "storage/engine.h"

namespace starling::storage {

// aborted, naming the key and what it should have held; what it does hold is not told.
absl::Status condition_failed(const Condition& condition);

}  // namespace starling::storage
