#include "client/cli/terminal.h"

#include <algorithm>
#include <string>

#include <fmt/format.h>

#include "base/error.h"
#include "client/cli/exit_codes.h"
#include "client/error.h"

namespace starling::client {

int report(Terminal& terminal, const absl::Status& status) {
    std::string message(status.message());
    std::replace(message.begin(), message.end(), '\n', ' ');
    const std::string why = base::reason_of(status);
    terminal.err << fmt::format("starling: {}{}{}\n",
                                outcome_unknown(status) ? "outcome unknown: " : "",
                                message,
                                why.empty() ? "" : fmt::format(" [{}]", why));
    return exit_code_of(status);
}

int report_usage(Terminal& terminal, const absl::Status& status) {
    report(terminal, status);
    return exit_usage;
}

}  // namespace starling::client
