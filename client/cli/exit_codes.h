#pragma once

// What `starling` tells whoever called it; docs/cli.md has the table. From 64 on as in sysexits.h.

#include <string_view>

#include "absl/status/status.h"

namespace starling::client {

inline constexpr int exit_ok = 0;
inline constexpr int exit_not_found = 1;
// Quorum or deadline missed. A write's outcome is unknown.
inline constexpr int exit_quorum_missed = 2;
inline constexpr int exit_usage = 64;
// Refused: trying the same again is no use.
inline constexpr int exit_refused = 65;
// What it was given to read cannot be read to its end.
inline constexpr int exit_no_input = 66;
inline constexpr int exit_unavailable = 69;
inline constexpr int exit_internal = 70;
// The command has done its work, but its session was not saved.
inline constexpr int exit_session_not_saved = 74;
// Overloaded or full, or the key takes no more writes for now: try again later.
inline constexpr int exit_try_later = 75;

// The reasons that only the command line has, beside those of base/error.h.
inline constexpr std::string_view reason_input_unreadable = "input_unreadable";
inline constexpr std::string_view reason_session_not_saved = "session_not_saved";

int exit_code_of(const absl::Status& status);

}  // namespace starling::client
