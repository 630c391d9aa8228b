// ping, status, ring, namespace.

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "client/cli/commands.h"
#include "client/cli/exit_codes.h"
#include "client/cli/show.h"

namespace starling::client {

namespace {

using nlohmann::ordered_json;

// A member that is asked beside the first one may be down.
constexpr base::Duration member_deadline = std::chrono::seconds(1);

struct ClusterStatus {
    v1::StatusResponse first;
    // By member, what it says of itself; absent: it does not answer.
    std::map<uint64_t, v1::StatusResponse> nodes;

    struct Totals {
        uint64_t hints = 0;
        uint64_t dirty = 0;
        uint64_t filling = 0;
        uint64_t silent = 0;
    };
    Totals totals() const {
        Totals sum;
        for (const v1::Member& member : first.members()) {
            const auto node = nodes.find(member.node_id());
            if (node == nodes.end()) {
                ++sum.silent;
                continue;
            }
            sum.hints += node->second.hints();
            sum.dirty += node->second.groups_dirty();
            sum.filling += node->second.seats_filling();
        }
        return sum;
    }
};

// By the node that is waited for: of all replicas together, and on how many nodes they are.
struct Waiting {
    v1::TombstonesWaiting sum;
    size_t nodes = 0;
};
std::map<uint64_t, Waiting> tombstones_waiting(const ClusterStatus& cluster) {
    std::map<uint64_t, Waiting> waiting;
    for (const auto& [id, node] : cluster.nodes) {
        for (const v1::TombstonesWaiting& one : node.tombstones_waiting()) {
            auto& [sum, nodes] = waiting[one.node_id()];
            sum.set_node_id(one.node_id());
            if (!one.client_address().empty()) sum.set_client_address(one.client_address());
            sum.set_tombstones(sum.tombstones() + one.tombstones());
            sum.set_waiting_ms(std::max(sum.waiting_ms(), one.waiting_ms()));
            ++nodes;
        }
    }
    return waiting;
}

absl::StatusOr<ClusterStatus> ask_all(Session& session, AdminClient& admin) {
    auto first = admin.status();
    if (!first.ok()) {
        return first.status();
    }
    ClusterStatus cluster{.first = *std::move(first), .nodes = {}};
    cluster.nodes[cluster.first.node_id()] = cluster.first;
    for (const v1::Member& member : cluster.first.members()) {
        if (member.node_id() == cluster.first.node_id() || member.liveness() == "dead" ||
            member.state() == "left") {
            continue;
        }
        const auto one = session.admin_of(member.client_address(), member_deadline, 1);
        auto answer = one.ok() ? (*one)->status() : one.status();
        if (answer.ok() && answer->node_id() == member.node_id()) {
            cluster.nodes[member.node_id()] = *std::move(answer);
        }
    }
    return cluster;
}

std::string show_members(const ClusterStatus& cluster) {
    std::string text =
        fmt::format("  {:<16}  {:<21}  {:<21}  {:<8}  {:<8}  {:>5}  {:>9}  {:>6}  {:>5}\n",
                    "node",
                    "clients",
                    "peers",
                    "state",
                    "liveness",
                    "seats",
                    "records",
                    "hints",
                    "dirty");
    for (const v1::Member& member : cluster.first.members()) {
        const auto node = cluster.nodes.find(member.node_id());
        const auto number = [&](uint64_t (*field)(const v1::StatusResponse&)) {
            return node == cluster.nodes.end() ? "-" : std::to_string(field(node->second));
        };
        text += fmt::format(
            "  {:<16}  {:<21}  {:<21}  {:<8}  {:<8}  {:>5}  {:>9}  {:>6}  {:>5}\n",
            node_id_text(member.node_id()),
            member.client_address(),
            member.peer_address(),
            member.state(),
            member.liveness(),
            member.seats_held(),
            number([](const v1::StatusResponse& s) { return s.records(); }),
            number([](const v1::StatusResponse& s) { return s.hints(); }),
            number([](const v1::StatusResponse& s) -> uint64_t { return s.groups_dirty(); }));
    }
    return text;
}

std::string show_status(const ClusterStatus& cluster) {
    const v1::StatusResponse& first = cluster.first;
    const ClusterStatus::Totals totals = cluster.totals();
    std::string text = fmt::format("cluster {} ({}), {} members, version {}\n",
                                   first.cluster_name(),
                                   node_id_text(first.cluster_id()),
                                   first.members_size(),
                                   first.version());
    text += show_members(cluster);
    if (first.partitions_short_of_copies() == 0) {
        text += fmt::format("all {} partitions on {} live nodes or more\n",
                            first.partition_count(),
                            first.seat_count());
    } else {
        text += fmt::format("{} of {} partitions on fewer than {} live nodes, the least on {}\n",
                            first.partitions_short_of_copies(),
                            first.partition_count(),
                            first.seat_count(),
                            first.copies_min());
    }
    text += fmt::format(
        "hints {}, dirty ranges {}, seats filling {}{}\n",
        totals.hints,
        totals.dirty,
        totals.filling,
        totals.silent == 0
            ? ""
            : fmt::format("; {} nodes do not answer and are not counted", totals.silent));
    for (const auto& [id, waiting] : tombstones_waiting(cluster)) {
        const std::string& address = waiting.sum.client_address();
        text += fmt::format("tombstones waiting for {}: {} on {} nodes, the oldest for {}\n",
                            name_of(id, address.empty() ? NodeNames{} : NodeNames{{id, address}}),
                            waiting.sum.tombstones(),
                            waiting.nodes,
                            span_text(waiting.sum.waiting_ms()));
    }
    for (const auto& [id, node] : cluster.nodes) {
        for (const std::string& warning : node.warnings()) {
            text += fmt::format("warning of {}: {}\n", node_id_text(id), warning);
        }
    }
    return text;
}

std::string status_json(const ClusterStatus& cluster) {
    const ClusterStatus::Totals totals = cluster.totals();
    ordered_json nodes = ordered_json::array();
    for (const auto& [id, node] : cluster.nodes) {
        nodes.push_back(to_json(node));
    }
    ordered_json waiting = ordered_json::array();
    for (const auto& [id, one] : tombstones_waiting(cluster)) {
        waiting.push_back(to_json(one.sum));
    }
    return dump({{"cluster_id", node_id_text(cluster.first.cluster_id())},
                 {"cluster_name", cluster.first.cluster_name()},
                 {"member_count", cluster.first.members_size()},
                 {"partitions_short_of_copies", cluster.first.partitions_short_of_copies()},
                 {"copies_min", cluster.first.copies_min()},
                 {"hints", totals.hints},
                 {"groups_dirty", totals.dirty},
                 {"seats_filling", totals.filling},
                 {"nodes_silent", totals.silent},
                 {"tombstones_waiting", std::move(waiting)},
                 {"nodes", std::move(nodes)}});
}

std::string holders_text(const google::protobuf::RepeatedField<uint64_t>& nodes) {
    std::string text;
    for (const uint64_t node : nodes) {
        text += fmt::format(" {}", node == 0 ? std::string(16, '-') : node_id_text(node));
    }
    return text;
}

ordered_json ids_json(const google::protobuf::RepeatedField<uint64_t>& nodes) {
    ordered_json ids = ordered_json::array();
    for (const uint64_t node : nodes) {
        ids.push_back(node == 0 ? ordered_json() : ordered_json(node_id_text(node)));
    }
    return ids;
}

v1::ConflictPolicy policy_of(const std::string& text) {
    if (text == "last_write_wins") {
        return v1::CONFLICT_POLICY_LAST_WRITE_WINS;
    }
    return text == "reject_stale" ? v1::CONFLICT_POLICY_REJECT_STALE
                                  : v1::CONFLICT_POLICY_UNSPECIFIED;
}

v1::Durability durability_of(const std::string& text) {
    if (text == "interval") {
        return v1::DURABILITY_INTERVAL;
    }
    return text == "memory" ? v1::DURABILITY_MEMORY : v1::DURABILITY_UNSPECIFIED;
}

std::string show_namespace(const v1::Namespace& space) {
    const ordered_json json = to_json(space);
    return fmt::format("{}  n={} r={} w={} {} {}\n",
                       space.name(),
                       space.replicas(),
                       space.read_quorum(),
                       space.write_quorum(),
                       json["policy"].get<std::string>(),
                       json["durability"].get<std::string>());
}

}  // namespace

int run_ping(Terminal& terminal, const Arguments& arguments, Session& session) {
    const auto admin = session.admin();
    if (!admin.ok()) {
        return report_usage(terminal, admin.status());
    }
    const auto answer = (*admin)->ping();
    if (!answer.ok()) {
        return report(terminal, answer.status());
    }
    if (arguments.output == Output::json) {
        terminal.out << dump({{"message", answer->message()},
                              {"node_id", node_id_text(answer->node_id())},
                              {"version", answer->version()},
                              {"is_ready", answer->is_ready()}});
    } else {
        terminal.out << answer->message() << '\n';
    }
    return exit_ok;
}

int run_status(Terminal& terminal, const Arguments& arguments, Session& session) {
    const auto admin = session.admin();
    if (!admin.ok()) {
        return report_usage(terminal, admin.status());
    }
    const auto cluster = ask_all(session, **admin);
    if (!cluster.ok()) {
        return report(terminal, cluster.status());
    }
    terminal.out << (arguments.output == Output::json ? status_json(*cluster)
                                                      : show_status(*cluster));
    return exit_ok;
}

int run_ring(Terminal& terminal, const Arguments& arguments, Session& session) {
    const auto admin = session.admin();
    if (!admin.ok()) {
        return report_usage(terminal, admin.status());
    }
    const auto ring = (*admin)->ring();
    if (!ring.ok()) {
        return report(terminal, ring.status());
    }
    ordered_json partitions = ordered_json::array();
    for (const v1::RingPartition& partition : ring->partitions()) {
        if (arguments.output == Output::json) {
            partitions.push_back({{"partition", partition.partition()},
                                  {"holders", ids_json(partition.holders())},
                                  {"targets", ids_json(partition.targets())}});
            continue;
        }
        const std::string holders = holders_text(partition.holders());
        const std::string targets = holders_text(partition.targets());
        terminal.out << fmt::format("{:>5} {}{}\n",
                                    partition.partition(),
                                    holders,
                                    targets == holders ? "" : fmt::format("  ->{}", targets));
    }
    if (arguments.output == Output::json) {
        terminal.out << dump({{"partitions", std::move(partitions)}});
    }
    return exit_ok;
}

int run_namespace_create(Terminal& terminal, const Arguments& arguments, Session& session) {
    const auto admin = session.admin();
    if (!admin.ok()) {
        return report_usage(terminal, admin.status());
    }
    v1::Namespace wanted;
    wanted.set_name(arguments.name_space);
    wanted.set_replicas(arguments.replicas);
    wanted.set_read_quorum(arguments.read_quorum);
    wanted.set_write_quorum(arguments.write_quorum);
    wanted.set_policy(policy_of(arguments.policy));
    wanted.set_durability(durability_of(arguments.durability));
    const auto made = (*admin)->create_namespace(wanted);
    if (!made.ok()) {
        return report(terminal, made.status());
    }
    terminal.out << (arguments.output == Output::json ? dump(to_json(*made))
                                                      : show_namespace(*made));
    return exit_ok;
}

int run_namespace_list(Terminal& terminal, const Arguments& arguments, Session& session) {
    const auto admin = session.admin();
    if (!admin.ok()) {
        return report_usage(terminal, admin.status());
    }
    const auto spaces = (*admin)->list_namespaces();
    if (!spaces.ok()) {
        return report(terminal, spaces.status());
    }
    ordered_json all = ordered_json::array();
    for (const v1::Namespace& space : spaces->namespaces()) {
        if (arguments.output == Output::json) {
            all.push_back(to_json(space));
        } else {
            terminal.out << show_namespace(space);
        }
    }
    if (arguments.output == Output::json) {
        terminal.out << dump({{"namespaces", std::move(all)}});
    }
    return exit_ok;
}

}  // namespace starling::client
