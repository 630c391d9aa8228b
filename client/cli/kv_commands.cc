// put, get, delete.

#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/status_macros.h"
#include "client/cli/commands.h"
#include "client/cli/exit_codes.h"
#include "client/cli/key_values.h"
#include "client/cli/request_options.h"
#include "client/cli/show.h"

namespace starling::client {

namespace {

absl::StatusOr<WriteOptions> write_options(const Arguments& arguments, Session& session) {
    WriteOptions options;
    STARLING_ASSIGN_OR_RETURN(options.request,
                              request_options(arguments, arguments.write_quorum, session));
    options.blind = arguments.blind;
    options.ttl = arguments.ttl;
    options.expires_ms = arguments.expires_ms;
    if (arguments.context.has_value()) {
        STARLING_ASSIGN_OR_RETURN(options.context, parse_context(*arguments.context));
    }
    return options;
}

int show_write(Terminal& terminal,
               const Arguments& arguments,
               Session& session,
               const absl::StatusOr<v1::WriteResponse>& answer) {
    if (!answer.ok()) {
        return report(terminal, answer.status());
    }
    if (arguments.output == Output::json) {
        terminal.out << dump({{"message", "Ok"},
                              {"context", to_hex(answer->context())},
                              {"dot", to_json(answer->dot())},
                              {"is_repeat", answer->is_repeat()},
                              {"receipt", to_json(answer->receipt())}});
    } else if (arguments.explain) {
        const NodeNames names = node_names(session);
        terminal.err << fmt::format("  write        {}\n",
                                    show_dot(answer->dot(), answer->time(), names))
                     << show_receipt(answer->receipt(), names);
    }
    return exit_ok;
}

void show_values(Terminal& terminal, const Arguments& arguments, const v1::GetResponse& answer) {
    if (answer.values_size() > 1) {
        terminal.err << fmt::format(
            "starling: {} siblings, from concurrent writes; to resolve them, put "
            "with -c {}\n",
            answer.values_size(),
            to_hex(answer.context()));
    }
    for (const v1::Value& value : answer.values()) {
        terminal.out << value.value();
        if (arguments.output == Output::text || answer.values_size() > 1) {
            terminal.out << '\n';
        }
    }
}

void explain_read(Terminal& terminal, Session& session, const v1::GetResponse& answer) {
    const NodeNames names = node_names(session);
    terminal.out.flush();
    for (const v1::Value& value : answer.values()) {
        terminal.err << fmt::format("  write        {}\n",
                                    show_dot(value.dot(), value.time(), names));
        if (value.expires_ms() != 0) {
            terminal.err << fmt::format("  expires      {}\n", time_text(value.expires_ms()));
        }
    }
    terminal.err << show_receipt(answer.receipt(), names);
}

int show_read(Terminal& terminal,
              const Arguments& arguments,
              Session& session,
              const v1::GetResponse& answer) {
    if (arguments.output == Output::json) {
        nlohmann::ordered_json values = nlohmann::ordered_json::array();
        for (const v1::Value& value : answer.values()) {
            values.push_back(to_json(value));
        }
        terminal.out << dump({{"values", std::move(values)},
                              {"context", to_hex(answer.context())},
                              {"receipt", to_json(answer.receipt())}});
    } else {
        show_values(terminal, arguments, answer);
        if (arguments.explain) {
            explain_read(terminal, session, answer);
        }
    }
    if (answer.values().empty()) {
        terminal.err << "starling: Key not found\n";
        return exit_not_found;
    }
    return exit_ok;
}

}  // namespace

int run_put(Terminal& terminal, const Arguments& arguments, Session& session) {
    auto value = read_value(terminal, arguments.value);
    if (!value.ok()) {
        return report(terminal, value.status());
    }
    const auto client = session.client();
    if (!client.ok()) {
        return report_usage(terminal, client.status());
    }
    const auto options = write_options(arguments, session);
    if (!options.ok()) {
        return report(terminal, options.status());
    }
    const auto answer = (*client)->put(arguments.key, *std::move(value), *options);
    return session.keep(**client, show_write(terminal, arguments, session, answer));
}

int run_delete(Terminal& terminal, const Arguments& arguments, Session& session) {
    const auto client = session.client();
    if (!client.ok()) {
        return report_usage(terminal, client.status());
    }
    const auto options = write_options(arguments, session);
    if (!options.ok()) {
        return report(terminal, options.status());
    }
    const auto answer = (*client)->del(arguments.key, *options);
    return session.keep(**client, show_write(terminal, arguments, session, answer));
}

int run_get(Terminal& terminal, const Arguments& arguments, Session& session) {
    const auto client = session.client();
    if (!client.ok()) {
        return report_usage(terminal, client.status());
    }
    const auto options = request_options(arguments, arguments.read_quorum, session);
    if (!options.ok()) {
        return report(terminal, options.status());
    }
    const auto answer = (*client)->get(arguments.key, *options);
    if (!answer.ok()) {
        return report(terminal, answer.status());
    }
    return session.keep(**client, show_read(terminal, arguments, session, *answer));
}

}  // namespace starling::client
