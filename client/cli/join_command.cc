// join-cluster.

#include <set>
#include <string>

#include <fmt/format.h>

#include "base/error.h"
#include "client/cli/commands.h"
#include "client/cli/exit_codes.h"
#include "client/cli/peer_tool.h"
#include "client/cli/secret.h"
#include "client/cli/show.h"
#include "env/posix/file_system.h"

namespace starling::client {

namespace {

// A join has the time of several tries between the nodes.
constexpr base::Duration join_timeout = std::chrono::seconds(30);

}  // namespace

int run_join_cluster(Terminal& terminal, const Arguments& arguments, Session& session) {
    if (!arguments.port.has_value() && arguments.addresses.size() != 1) {
        terminal.err
            << "starling: join-cluster: which node? -p PORT or --addr IP:PORT, its peer address\n";
        return exit_usage;
    }
    env::PosixFileSystem files;
    auto secret = find_secret(files, terminal, arguments);
    if (!secret.ok()) {
        return report(terminal, secret.status());
    }
    const auto answer =
        order_join({.node = session.addresses().front(),
                    .known = arguments.known_node,
                    .secret = *std::move(secret),
                    .timeout = arguments.is_timeout_given ? arguments.timeout : join_timeout},
                   session.random());
    if (!answer.ok()) {
        return report(terminal, answer.status());
    }
    if (arguments.output == Output::json) {
        terminal.out << dump({{"message", "Ok"},
                              {"node_id", node_id_text(answer->node_id)},
                              {"cluster_id", node_id_text(answer->cluster_id)},
                              {"member_count", answer->member_count}});
    } else {
        terminal.out << fmt::format("node {} is a member of cluster {}, one of {}\n",
                                    node_id_text(answer->node_id),
                                    node_id_text(answer->cluster_id),
                                    answer->member_count);
    }
    return exit_ok;
}

}  // namespace starling::client
