#include "client/cli/key_values.h"

#include <fmt/format.h>

#include "base/error.h"

namespace starling::client {

namespace {

// The longest that is read from standard input; nodes have a limit of their own.
constexpr size_t value_bytes_max = 64u << 20;

}  // namespace

absl::StatusOr<std::string> read_value(Terminal& terminal, const std::string& given) {
    if (given != "-") {
        return given;
    }
    std::string value;
    char block[64 << 10];
    while (terminal.in.read(block, sizeof block) || terminal.in.gcount() > 0) {
        value.append(block, static_cast<size_t>(terminal.in.gcount()));
        if (value.size() > value_bytes_max) {
            return base::make_error(
                absl::StatusCode::kInvalidArgument,
                base::reason::value_too_large,
                fmt::format("standard input: more than {} bytes", value_bytes_max));
        }
    }
    return value;
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
