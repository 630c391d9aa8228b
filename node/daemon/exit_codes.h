#pragma once

// What starlingd tells whoever started it; docs/errors.md has the table.

namespace starling::node {

inline constexpr int exit_ok = 0;
// The node could not start or serve: address in use, data locked or damaged, other engine, no
// secret.
inline constexpr int exit_failed = 1;
// Told to stop, and not done within the deadline. The data is as after a crash: nothing
// acknowledged is lost.
inline constexpr int exit_stop_overdue = 2;
// EX_USAGE and EX_CONFIG of sysexits.h.
inline constexpr int exit_usage = 64;
inline constexpr int exit_config = 78;

}  // namespace starling::node
