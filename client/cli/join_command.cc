// join-cluster.

#include <algorithm>
#include <string>

#include <fmt/format.h>

#include "base/error.h"
#include "client/cli/commands.h"
#include "client/cli/exit_codes.h"
#include "client/cli/pause.h"
#include "client/cli/peer_tool.h"
#include "client/cli/secret.h"
#include "client/cli/show.h"
#include "env/posix/file_system.h"

namespace starling::client {

namespace {

// A join has the time of several tries between the nodes.
constexpr base::Duration join_timeout = std::chrono::seconds(30);
constexpr base::Duration question_timeout = std::chrono::seconds(1);
constexpr base::Duration look_interval = std::chrono::milliseconds(50);

// Whether each member that lives has the node among its members.
bool is_in_every_view(Session& session, const JoinAnswer& joined) {
    const auto ask = [&session](const std::string& address) -> absl::StatusOr<v1::StatusResponse> {
        const auto admin = session.admin_of(address, question_timeout, 1);
        return admin.ok() ? (*admin)->status() : admin.status();
    };
    const auto own = ask(joined.client_address);
    if (!own.ok() || own->members_size() < 2) {
        return false;
    }
    for (const v1::Member& member : own->members()) {
        if (member.liveness() == "dead" || member.state() == "left") {
            continue;
        }
        const auto view = ask(member.client_address());
        const auto knows = [&joined](const v1::Member& other) {
            return other.node_id() == joined.node_id;
        };
        if (!view.ok() || std::none_of(view->members().begin(), view->members().end(), knows)) {
            return false;
        }
    }
    return true;
}

absl::Status wait_for_views(Session& session, const JoinAnswer& joined) {
    if (joined.client_address.empty()) {
        return absl::OkStatus();
    }
    const base::MonotonicTime give_up_at = session.clock().now() + join_timeout;
    while (!is_in_every_view(session, joined)) {
        if (session.clock().now() >= give_up_at) {
            return base::make_error(absl::StatusCode::kDeadlineExceeded,
                                    base::reason::deadline,
                                    fmt::format("node {} has joined, but some members do not say "
                                                "so yet; see `starling status --addr {}`",
                                                node_id_text(joined.node_id),
                                                joined.client_address));
        }
        pause(look_interval);
    }
    return absl::OkStatus();
}

}  // namespace

int run_join_cluster(Terminal& terminal, const Arguments& arguments, Session& session) {
    if (!arguments.port.has_value() && arguments.addresses.size() != 1) {
        terminal.err
            << "starling: join-cluster: which node? -p PORT or --addr IP:PORT, its peer address\n";
        return exit_usage;
    }
    const auto addresses = session.addresses();
    if (!addresses.ok()) {
        return report_usage(terminal, addresses.status());
    }
    env::PosixFileSystem files;
    auto secret = find_secret(files, terminal, arguments, addresses->front());
    if (!secret.ok()) {
        return report(terminal, secret.status());
    }
    const auto answer =
        order_join({.node = addresses->front(),
                    .known = arguments.known_node,
                    .secret = *std::move(secret),
                    .timeout = arguments.is_timeout_given ? arguments.timeout : join_timeout},
                   session.random());
    if (!answer.ok()) {
        return report(terminal, answer.status());
    }
    if (!arguments.no_wait) {
        if (const absl::Status seen = wait_for_views(session, *answer); !seen.ok()) {
            return report(terminal, seen);
        }
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
