#pragma once

// What a command has of the world outside: streams, environment, and where it is. main() gives the
// real one, tests another.

#include <functional>
#include <istream>
#include <ostream>
#include <string>

#include "absl/status/status.h"

namespace starling::client {

struct Terminal {
    std::istream& in;
    std::ostream& out;
    // One line per error.
    std::ostream& err;
    // Empty: not set.
    std::function<std::string(const char*)> variable;
    // An absolute path.
    std::string working_directory;
    // Of this program; empty: unknown.
    std::string executable;
};

// Says what went wrong; returns the exit code.
int report(Terminal& terminal, const absl::Status& status);
// The same for what was found wrong with an option before anybody was asked.
int report_usage(Terminal& terminal, const absl::Status& status);

}  // namespace starling::client
