#pragma once

// The log: one line per event on standard error, as text or as JSON. Lines are handed to a thread
// of the log's own, so that a loop never waits for whoever reads them; when it falls 8192 lines
// behind, the oldest are dropped.

#include <string_view>

#include "node/daemon/config.h"

namespace starling::node {

void start_logging(LogFormat format, std::string_view level);
// Writes what is queued.
void stop_logging();

// `severity`: "debug", "info", "warning" or "error". Any thread.
void log_line(std::string_view severity, std::string_view line);

// {"time":...,"level":...,"message":...}, with the message escaped; for the tests too.
std::string to_json_line(std::string_view time, std::string_view level, std::string_view message);

}  // namespace starling::node
