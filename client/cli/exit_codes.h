#pragma once

// What `starling` tells whoever called it; docs/cli.md has the table. From 64 on as in sysexits.h.

#include "absl/status/status.h"

namespace starling::client {

inline constexpr int exit_ok = 0;
inline constexpr int exit_not_found = 1;
// Quorum or deadline missed. A write's outcome is unknown.
inline constexpr int exit_quorum_missed = 2;
inline constexpr int exit_usage = 64;
// Refused: trying the same again is no use.
inline constexpr int exit_refused = 65;
inline constexpr int exit_unavailable = 69;
inline constexpr int exit_internal = 70;
// Overloaded or full, or the key takes no more writes for now: try again later.
inline constexpr int exit_try_later = 75;

int exit_code_of(const absl::Status& status);

}  // namespace starling::client
