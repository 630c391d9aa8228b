#include "client/cli/commands.h"

namespace starling::client {

namespace {

int run_command(Terminal& terminal, const Arguments& arguments, Session& session) {
    switch (arguments.command) {
        case Command::put:
            return run_put(terminal, arguments, session);
        case Command::get:
            return run_get(terminal, arguments, session);
        case Command::del:
            return run_delete(terminal, arguments, session);
        case Command::batch:
            return run_batch(terminal, arguments, session);
        case Command::status:
            return run_status(terminal, arguments, session);
        case Command::ring:
            return run_ring(terminal, arguments, session);
        case Command::ping:
            return run_ping(terminal, arguments, session);
        case Command::namespace_create:
            return run_namespace_create(terminal, arguments, session);
        case Command::namespace_list:
            return run_namespace_list(terminal, arguments, session);
        case Command::join_cluster:
            return run_join_cluster(terminal, arguments, session);
        case Command::verify:
            return run_verify(terminal, arguments, session);
        case Command::dev_up:
            return run_dev_up(terminal, arguments, session);
        case Command::dev_kill:
            return run_dev_kill(terminal, arguments, session);
        case Command::dev_revive:
            return run_dev_revive(terminal, arguments, session);
        case Command::dev_down:
            return run_dev_down(terminal, arguments, session);
        case Command::dev_status:
            return run_dev_status(terminal, arguments, session);
        case Command::conflicts_list:
            return run_conflicts_list(terminal, arguments, session);
        case Command::conflicts_show:
            return run_conflicts_show(terminal, arguments, session);
        case Command::conflicts_resolve:
            return run_conflicts_resolve(terminal, arguments, session);
    }
    return 70;
}

}  // namespace

int run_starling(const std::vector<std::string>& words, Terminal& terminal) {
    Arguments arguments;
    if (const auto code = parse_arguments(words, terminal, arguments); code.has_value()) {
        return *code;
    }
    Session session(terminal, arguments);
    return run_command(terminal, arguments, session);
}

}  // namespace starling::client
