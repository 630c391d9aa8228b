#pragma once

// The refusals that all engines give alike.

#include <string_view>

#include "absl/status/status.h"

namespace starling::storage {

absl::Status closed_error();
// resource_exhausted, reason disk_full.
absl::Status disk_full_error(std::string_view what);
// The caller tries again later.
absl::Status stalled_error(std::string_view what);
// failed_precondition, reason read_only.
absl::Status read_only_since(const absl::Status& error);
// Says of damage that keeps `directory` from being opened what to do about it; other errors stay as
// they are.
absl::Status with_remedy(const absl::Status& error, std::string_view directory);

}  // namespace starling::storage
