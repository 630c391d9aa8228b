#pragma once

// What the commands about keys share: where a value and a context come from, and what nodes are
// called.

#include <string>

#include "absl/status/statusor.h"

#include "client/cli/session.h"
#include "client/cli/show.h"
#include "client/cli/terminal.h"

namespace starling::client {

// `given`; "-": all of standard input. invalid_argument: more than 64 MiB. input_unreadable.
absl::StatusOr<std::string> read_value(Terminal& terminal, const std::string& given);

// invalid_argument, malformed_context: not hexadecimal.
absl::StatusOr<std::string> parse_context(const std::string& hex);

// For people; without an answer the nodes are shown by their ids.
NodeNames node_names(Session& session);

}  // namespace starling::client
