// dev up, kill, revive, down, status.

#include <csignal>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>

#include <fmt/format.h>

#include "base/status_macros.h"
#include "client/cli/commands.h"
#include "client/cli/dev_cluster.h"
#include "client/cli/dev_folder.h"
#include "client/cli/dev_process.h"
#include "client/cli/exit_codes.h"
#include "client/cli/show.h"

namespace starling::client {

namespace {

constexpr uint32_t node_count_default = 3;
constexpr base::Duration serving_timeout = std::chrono::seconds(30);
constexpr base::Duration placed_timeout = std::chrono::seconds(60);
// A little more than a node gives itself.
constexpr base::Duration stop_timeout = std::chrono::seconds(15);

absl::Status wrong_use(const std::string& message) {
    return absl::FailedPreconditionError(message);
}

absl::StatusOr<DevCluster> known_cluster(const Terminal& terminal, const Arguments& arguments) {
    const std::string folder = dev_folder_path(terminal, arguments);
    auto cluster = read_dev_cluster(folder);
    if (absl::IsNotFound(cluster.status())) {
        return wrong_use(
            fmt::format("{}: no dev cluster here; `starling dev up 3` makes one", folder));
    }
    return cluster;
}

absl::StatusOr<DevCluster> wanted_cluster(const Terminal& terminal, const Arguments& arguments) {
    const std::string folder = dev_folder_path(terminal, arguments);
    auto found = read_dev_cluster(folder);
    if (absl::IsNotFound(found.status())) {
        return DevCluster{
            .folder = folder,
            .base_port = arguments.base_port == 0 ? dev_base_port : arguments.base_port,
            .node_count = arguments.node_count == 0 ? node_count_default : arguments.node_count};
    }
    STARLING_RETURN_IF_ERROR(found.status());
    if (arguments.node_count != 0 && arguments.node_count < found->node_count) {
        return wrong_use(
            fmt::format("{}: a dev cluster of {} nodes is here; end it with `starling dev down "
                        "--remove-data`, or name another --dir",
                        folder,
                        found->node_count));
    }
    if (arguments.base_port != 0 && arguments.base_port != found->base_port) {
        return wrong_use(
            fmt::format("{}: the dev cluster here has base port {}", folder, found->base_port));
    }
    found->node_count = std::max(found->node_count, arguments.node_count);
    return found;
}

absl::StatusOr<std::unique_ptr<env::FileLock>> lock_folder(env::FileSystem& files,
                                                           const std::string& folder) {
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error) {
        return absl::PermissionDeniedError(fmt::format("{}: {}", folder, error.message()));
    }
    return files.lock(folder + "/lock");
}

absl::StatusOr<std::string> starlingd_path(const Terminal& terminal) {
    return find_starlingd(terminal.executable, terminal.variable("PATH"));
}

absl::Status bring_up(Terminal& terminal, const DevCluster& cluster, Session& session) {
    STARLING_ASSIGN_OR_RETURN(const std::string starlingd, starlingd_path(terminal));
    DevNodes nodes(cluster, session);
    std::vector<uint32_t> started;
    for (uint32_t node = 1; node <= cluster.node_count; ++node) {
        if (!nodes.runs(node)) {
            STARLING_RETURN_IF_ERROR(nodes.start(node, starlingd));
            started.push_back(node);
        }
    }
    for (const uint32_t node : started) {
        STARLING_RETURN_IF_ERROR(nodes.wait_until_serving(node, serving_timeout));
    }
    for (uint32_t node = 2; node <= cluster.node_count; ++node) {
        STARLING_RETURN_IF_ERROR(nodes.join(node));
    }
    return nodes.wait_until_placed(placed_timeout);
}

void greet(Terminal& terminal, const DevCluster& cluster, base::Duration taken) {
    terminal.out << fmt::format("{} nodes are up, in {:.1f} s\n",
                                cluster.node_count,
                                std::chrono::duration<double>(taken).count());
    for (uint32_t node = 1; node <= cluster.node_count; ++node) {
        terminal.out << fmt::format("  node {}  {}\n", node, cluster.client_address(node));
    }
}

}  // namespace

int run_dev_up(Terminal& terminal, const Arguments& arguments, Session& session) {
    const base::MonotonicTime begun = session.clock().now();
    const auto cluster = wanted_cluster(terminal, arguments);
    if (!cluster.ok()) {
        return report(terminal, cluster.status());
    }
    env::PosixFileSystem files;
    const auto lock = lock_folder(files, cluster->folder);
    if (!lock.ok()) {
        return report(terminal, lock.status());
    }
    absl::Status status = write_dev_cluster(files, session.random(), *cluster);
    if (status.ok()) {
        status = bring_up(terminal, *cluster, session);
    }
    if (!status.ok()) {
        return report(terminal, status);
    }
    greet(terminal, *cluster, session.clock().now() - begun);
    return exit_ok;
}

namespace {

// A node that exists in the folder's cluster.
absl::StatusOr<DevCluster> cluster_with_node(const Terminal& terminal, const Arguments& arguments) {
    STARLING_ASSIGN_OR_RETURN(DevCluster cluster, known_cluster(terminal, arguments));
    if (arguments.node > cluster.node_count) {
        return wrong_use(fmt::format(
            "there is no node {}: the dev cluster has {}", arguments.node, cluster.node_count));
    }
    return cluster;
}

}  // namespace

int run_dev_kill(Terminal& terminal, const Arguments& arguments, Session& session) {
    const auto cluster = cluster_with_node(terminal, arguments);
    if (!cluster.ok()) {
        return report(terminal, cluster.status());
    }
    DevNodes nodes(*cluster, session);
    const int64_t pid = nodes.pid(arguments.node);
    if (pid == 0) {
        return report(terminal, wrong_use(fmt::format("node {} does not run", arguments.node)));
    }
    if (const absl::Status sent = nodes.signal(arguments.node, SIGKILL); !sent.ok()) {
        return report(terminal, sent);
    }
    if (!nodes.wait_until_ended(arguments.node, stop_timeout)) {
        return report(terminal, absl::InternalError(fmt::format("process {} does not end", pid)));
    }
    terminal.out << fmt::format("node {} is dead (SIGKILL to process {})\n", arguments.node, pid);
    return exit_ok;
}

int run_dev_revive(Terminal& terminal, const Arguments& arguments, Session& session) {
    const auto cluster = cluster_with_node(terminal, arguments);
    if (!cluster.ok()) {
        return report(terminal, cluster.status());
    }
    env::PosixFileSystem files;
    const auto lock = lock_folder(files, cluster->folder);
    if (!lock.ok()) {
        return report(terminal, lock.status());
    }
    DevNodes nodes(*cluster, session);
    if (nodes.runs(arguments.node)) {
        return report(terminal, wrong_use(fmt::format("node {} runs already", arguments.node)));
    }
    const auto starlingd = starlingd_path(terminal);
    absl::Status status = starlingd.status();
    if (status.ok()) {
        status = nodes.start(arguments.node, *starlingd);
    }
    if (status.ok()) {
        status = nodes.wait_until_serving(arguments.node, serving_timeout);
    }
    if (!status.ok()) {
        return report(terminal, status);
    }
    terminal.out << fmt::format(
        "node {} is back at {}\n", arguments.node, cluster->client_address(arguments.node));
    return exit_ok;
}

int run_dev_down(Terminal& terminal, const Arguments& arguments, Session& session) {
    const auto cluster = known_cluster(terminal, arguments);
    if (!cluster.ok()) {
        return report(terminal, cluster.status());
    }
    env::PosixFileSystem files;
    const auto lock = lock_folder(files, cluster->folder);
    if (!lock.ok()) {
        return report(terminal, lock.status());
    }
    DevNodes nodes(*cluster, session);
    for (uint32_t node = 1; node <= cluster->node_count; ++node) {
        if (const absl::Status sent = nodes.signal(node, SIGTERM); !sent.ok()) {
            return report(terminal, sent);
        }
    }
    for (uint32_t node = 1; node <= cluster->node_count; ++node) {
        if (!nodes.wait_until_ended(node, stop_timeout)) {
            return report(terminal,
                          absl::InternalError(fmt::format(
                              "node {} (process {}) does not stop", node, nodes.pid(node))));
        }
    }
    terminal.out << fmt::format("{} nodes are down\n", cluster->node_count);
    if (arguments.removes_data) {
        if (const absl::Status removed = remove_dev_cluster(*cluster); !removed.ok()) {
            return report(terminal, removed);
        }
        terminal.out << fmt::format("their data in {} is gone\n", cluster->folder);
    }
    return exit_ok;
}

int run_dev_status(Terminal& terminal, const Arguments& arguments, Session& session) {
    const auto cluster = known_cluster(terminal, arguments);
    if (!cluster.ok()) {
        return report(terminal, cluster.status());
    }
    DevNodes nodes(*cluster, session);
    nlohmann::ordered_json all = nlohmann::ordered_json::array();
    for (uint32_t node = 1; node <= cluster->node_count; ++node) {
        const int64_t pid = nodes.pid(node);
        if (arguments.output == Output::json) {
            all.push_back({{"node", node},
                           {"client_address", cluster->client_address(node)},
                           {"peer_address", cluster->peer_address(node)},
                           {"http_address", cluster->http_address(node)},
                           {"pid", pid},
                           {"folder", cluster->node_folder(node)}});
        } else {
            terminal.out << fmt::format("node {}  {}  {}\n",
                                        node,
                                        cluster->client_address(node),
                                        pid == 0 ? "does not run" : fmt::format("process {}", pid));
        }
    }
    if (arguments.output == Output::json) {
        terminal.out << dump({{"folder", cluster->folder}, {"nodes", std::move(all)}});
    }
    return exit_ok;
}

}  // namespace starling::client
