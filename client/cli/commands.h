#pragma once

// The commands of `starling`, each from arguments to exit code.

#include <string>
#include <vector>

#include "client/cli/arguments.h"
#include "client/cli/session.h"
#include "client/cli/terminal.h"

namespace starling::client {

int run_put(Terminal& terminal, const Arguments& arguments, Session& session);
int run_get(Terminal& terminal, const Arguments& arguments, Session& session);
int run_delete(Terminal& terminal, const Arguments& arguments, Session& session);
int run_batch(Terminal& terminal, const Arguments& arguments, Session& session);

int run_ping(Terminal& terminal, const Arguments& arguments, Session& session);
int run_status(Terminal& terminal, const Arguments& arguments, Session& session);
int run_ring(Terminal& terminal, const Arguments& arguments, Session& session);
int run_namespace_create(Terminal& terminal, const Arguments& arguments, Session& session);
int run_namespace_list(Terminal& terminal, const Arguments& arguments, Session& session);
int run_join_cluster(Terminal& terminal, const Arguments& arguments, Session& session);

int run_verify(Terminal& terminal, const Arguments& arguments, Session& session);
int run_conflicts_list(Terminal& terminal, const Arguments& arguments, Session& session);
int run_conflicts_show(Terminal& terminal, const Arguments& arguments, Session& session);
int run_conflicts_resolve(Terminal& terminal, const Arguments& arguments, Session& session);

int run_dev_up(Terminal& terminal, const Arguments& arguments, Session& session);
int run_dev_kill(Terminal& terminal, const Arguments& arguments, Session& session);
int run_dev_revive(Terminal& terminal, const Arguments& arguments, Session& session);
int run_dev_down(Terminal& terminal, const Arguments& arguments, Session& session);
int run_dev_status(Terminal& terminal, const Arguments& arguments, Session& session);

// All of `starling`: `words` are its arguments, without the program's name.
int run_starling(const std::vector<std::string>& words, Terminal& terminal);

}  // namespace starling::client
