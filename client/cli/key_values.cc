#include "client/cli/key_values.h"

#include <fmt/format.h>

#include "base/error.h"
#include "client/cli/input.h"

namespace starling::client {

namespace {

// The longest that is read from standard input; nodes have a limit of their own.
constexpr size_t value_bytes_max = 64u << 20;

}  // namespace

absl::StatusOr<std::string> read_value(Terminal& terminal, const std::string& given) {
    if (given != "-") {
        return given;
    }
    return Input(terminal.in, "standard input").read_all(value_bytes_max);
}

absl::StatusOr<std::string> parse_context(const std::string& hex) {
    std::string bytes;
    if (!from_hex(hex, bytes)) {
        return base::make_error(absl::StatusCode::kInvalidArgument,
                                base::reason::malformed_context,
                                "context: not hexadecimal");
    }
    return bytes;
}

NodeNames node_names(Session& session) {
    NodeNames names;
    const auto admin = session.admin();
    if (!admin.ok()) {
        return names;
    }
    const auto status = (*admin)->status();
    if (status.ok()) {
        for (const v1::Member& member : status->members()) {
            names[member.node_id()] = member.client_address();
        }
    }
    return names;
}

}  // namespace starling::client
