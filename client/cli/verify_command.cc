// verify: are all replicas of every key equal?

#include <ctime>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"
#include <fmt/format.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "client/cli/commands.h"
#include "client/cli/exit_codes.h"
#include "client/cli/pause.h"
#include "client/cli/show.h"
#include "client/cli/verifier.h"
#include "client/cli/verify_pace.h"

namespace starling::client {

namespace {

using nlohmann::ordered_json;

constexpr int exit_different = 1;
constexpr int exit_unchecked = 2;

constexpr base::Duration node_try_timeout = std::chrono::seconds(10);
constexpr uint32_t node_tries_max = 3;

// Asks the nodes of the cluster, each at its client address, at a pace.
class Nodes final : public ReplicaSource {
  public:
    Nodes(Session& session, AdminClient& first, uint64_t bytes_per_second)
        : session_(session),
          first_(first),
          pace_(bytes_per_second, session.clock(), client::pause) {}

    absl::Status learn_addresses() {
        STARLING_ASSIGN_OR_RETURN(const v1::StatusResponse status, first_.status());
        for (const v1::Member& member : status.members()) {
            addresses_[member.node_id()] = member.client_address();
        }
        return absl::OkStatus();
    }
    const NodeNames& names() const { return addresses_; }

    absl::StatusOr<v1::RingResponse> ring() override { return first_.ring(); }

    absl::StatusOr<v1::InspectReplicaResponse> inspect(
        uint64_t node, const v1::InspectReplicaRequest& request) override {
        STARLING_ASSIGN_OR_RETURN(AdminClient* const client, client_of(node));
        const auto answer = client->inspect_replica(request);
        if (answer.ok()) {
            pace_.answered(*answer);
        }
        return answer;
    }

    void pause(base::Duration duration) override { client::pause(duration); }

  private:
    absl::StatusOr<AdminClient*> client_of(uint64_t node) {
        std::unique_ptr<AdminClient>& client = clients_[node];
        if (client == nullptr) {
            const auto address = addresses_.find(node);
            if (address == addresses_.end()) {
                STARLING_RETURN_IF_ERROR(learn_addresses());
            }
            if (!addresses_.contains(node)) {
                return absl::UnavailableError("no member has this id");
            }
            STARLING_ASSIGN_OR_RETURN(
                client, session_.admin_of(addresses_[node], node_try_timeout, node_tries_max));
        }
        return client.get();
    }

    Session& session_;
    AdminClient& first_;
    VerifyPace pace_;
    NodeNames addresses_;
    std::map<uint64_t, std::unique_ptr<AdminClient>> clients_;
};

std::string seconds_text(base::WallTime time) {
    const auto seconds = static_cast<std::time_t>(base::to_unix_ms(time) / 1000);
    std::tm utc{};
    ::gmtime_r(&seconds, &utc);
    char text[32];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return text;
}

std::string version_text(const v1::InspectedVersion& version) {
    return fmt::format(
        "{:x}.{}:{} {}{}",
        version.dot().node_id(),
        version.dot().start(),
        version.dot().sequence(),
        version.is_tombstone()
            ? "delete"
            : fmt::format("{} B, {:016x}", version.value_bytes(), version.value_hash()),
        version.is_hidden() ? ", hidden" : "");
}

std::string node_text(uint64_t node, const NodeNames& names) {
    const auto name = names.find(node);
    return node_id_text(node) + (name == names.end() ? "" : fmt::format(" ({})", name->second));
}

std::string copy_text(const Copy& copy, const NodeNames& names) {
    std::string text;
    for (const v1::InspectedVersion& version : copy.state.versions()) {
        text += (text.empty() ? "" : "; ") + version_text(version);
    }
    if (text.empty()) {
        text = "nothing";
    } else if (copy.state.digest() != 0) {
        text = fmt::format("digest {:016x}: {}", copy.state.digest(), text);
    }
    if (!copy.state.reflects_seen()) {
        text += " (lacks a write that another one has)";
    }
    return fmt::format("    {}  {}\n", node_text(copy.node, names), text);
}

std::string behind_text(const BehindReplica& behind, const NodeNames& names) {
    std::vector<std::string> others;
    others.reserve(behind.others.size());
    for (const uint64_t other : behind.others) {
        others.push_back(node_text(other, names));
    }
    return fmt::format("partition {}, N = {}: {} lacks writes that {} {}\n",
                       behind.partition,
                       behind.replicas,
                       node_text(behind.node, names),
                       absl::StrJoin(others, " and "),
                       others.size() == 1 ? "has" : "have");
}

ordered_json behind_json(const BehindReplica& behind, const NodeNames& names) {
    ordered_json others = ordered_json::array();
    for (const uint64_t other : behind.others) {
        others.push_back(node_id_text(other));
    }
    const auto name = names.find(behind.node);
    return {{"partition", behind.partition},
            {"n", behind.replicas},
            {"node_id", node_id_text(behind.node)},
            {"address", name == names.end() ? "" : name->second},
            {"lacks_writes_of", std::move(others)}};
}

ordered_json copy_json(const Copy& copy, const NodeNames& names) {
    ordered_json versions = ordered_json::array();
    for (const v1::InspectedVersion& version : copy.state.versions()) {
        versions.push_back({{"dot", to_json(version.dot())},
                            {"wall_ms", version.time().wall_ms()},
                            {"is_tombstone", version.is_tombstone()},
                            {"is_hidden", version.is_hidden()},
                            {"value_bytes", version.value_bytes()},
                            {"value_hash", fmt::format("{:016x}", version.value_hash())}});
    }
    const auto name = names.find(copy.node);
    return {{"node_id", node_id_text(copy.node)},
            {"address", name == names.end() ? "" : name->second},
            {"digest", fmt::format("{:016x}", copy.state.digest())},
            {"lacks_a_write", !copy.state.reflects_seen()},
            {"versions", std::move(versions)}};
}

std::string copies_text(const std::vector<v1::Namespace>& spaces) {
    std::set<uint32_t> sizes;
    for (const v1::Namespace& space : spaces) {
        sizes.insert(space.replicas());
    }
    return fmt::format("{}", fmt::join(sizes, " or "));
}

std::string show(const VerifyReport& found,
                 const std::vector<v1::Namespace>& spaces,
                 const std::string& as_of,
                 const NodeNames& names) {
    std::string text;
    for (const Difference& difference : found.differences) {
        text += fmt::format("partition {}, namespace {}, key {}\n",
                            difference.partition,
                            difference.name_space,
                            absl::CHexEscape(difference.key));
        for (const Copy& copy : difference.copies) {
            text += copy_text(copy, names);
        }
    }
    if (found.difference_count > found.differences.size()) {
        text += fmt::format("the first {} of {} keys that differ are listed\n",
                            found.differences.size(),
                            found.difference_count);
    }
    for (const BehindReplica& behind : found.behind) {
        text += behind_text(behind, names);
    }
    for (const std::string& line : found.unchecked) {
        text += fmt::format("not checked: {}\n", line);
    }
    if (found.unchecked_count > found.unchecked.size()) {
        text += fmt::format("not checked: and {} more\n",
                            found.unchecked_count - found.unchecked.size());
    }
    if (found.is_equal()) {
        return text + fmt::format("every key has {} identical copies as of {}\n",
                                  copies_text(spaces),
                                  as_of);
    }
    if (found.groups_short > 0) {
        text += fmt::format("{} of {} replica groups have fewer than {} copies, the least {}\n",
                            found.groups_short,
                            found.groups,
                            copies_text(spaces),
                            found.copies_min);
    }
    if (!found.is_different()) {
        return text + fmt::format("no difference found as of {}\n", as_of);
    }
    if (!found.behind.empty()) {
        text += fmt::format(
            "{} replicas lack writes that others have as of {}\n", found.behind.size(), as_of);
    }
    return found.difference_count == 0
               ? text
               : text + fmt::format("{} keys differ as of {}\n", found.difference_count, as_of);
}

std::string show_json(const VerifyReport& found, const std::string& as_of, const NodeNames& names) {
    ordered_json differences = ordered_json::array();
    for (const Difference& difference : found.differences) {
        ordered_json copies = ordered_json::array();
        for (const Copy& copy : difference.copies) {
            copies.push_back(copy_json(copy, names));
        }
        differences.push_back({{"partition", difference.partition},
                               {"namespace", difference.name_space},
                               {"key", difference.key},
                               {"key_hex", to_hex(difference.key)},
                               {"copies", std::move(copies)}});
    }
    ordered_json behind = ordered_json::array();
    for (const BehindReplica& replica : found.behind) {
        behind.push_back(behind_json(replica, names));
    }
    return dump({{"result",
                  found.is_different() ? "different"
                  : found.is_equal()   ? "equal"
                                       : "unchecked"},
                 {"as_of", as_of},
                 {"groups", found.groups},
                 {"groups_short_of_copies", found.groups_short},
                 {"keys_looked_at", found.keys_looked_at},
                 {"difference_count", found.difference_count},
                 {"differences", std::move(differences)},
                 {"replicas_behind", std::move(behind)},
                 {"unchecked_count", found.unchecked_count},
                 {"unchecked", found.unchecked}});
}

absl::StatusOr<std::vector<v1::Namespace>> namespaces_to_verify(AdminClient& admin,
                                                                const std::string& wanted) {
    STARLING_ASSIGN_OR_RETURN(const v1::ListNamespacesResponse all, admin.list_namespaces());
    std::vector<v1::Namespace> chosen;
    for (const v1::Namespace& space : all.namespaces()) {
        if (wanted.empty() || space.name() == wanted) {
            chosen.push_back(space);
        }
    }
    if (chosen.empty()) {
        return base::make_error(absl::StatusCode::kNotFound,
                                base::reason::unknown_namespace,
                                fmt::format("namespace '{}' does not exist", wanted));
    }
    return chosen;
}

}  // namespace

int run_verify(Terminal& terminal, const Arguments& arguments, Session& session) {
    const auto admin = session.admin();
    if (!admin.ok()) {
        return report_usage(terminal, admin.status());
    }
    const auto cannot = [&terminal](const absl::Status& why) {
        report(terminal, why);
        return exit_unchecked;
    };
    const auto spaces = namespaces_to_verify(**admin, arguments.name_space);
    if (!spaces.ok()) {
        return cannot(spaces.status());
    }
    Nodes nodes(session, **admin, arguments.bytes_per_second);
    if (const absl::Status status = nodes.learn_addresses(); !status.ok()) {
        return cannot(status);
    }
    Verifier verifier(
        {.namespaces = *spaces, .settle = arguments.settle, .reads_all = arguments.reads_all},
        nodes,
        session.wall_clock());
    const auto found = verifier.run();
    if (!found.ok()) {
        return cannot(found.status());
    }
    const std::string as_of = seconds_text(found->as_of);
    terminal.out << (arguments.output == Output::json
                         ? show_json(*found, as_of, nodes.names())
                         : show(*found, *spaces, as_of, nodes.names()));
    if (found->is_different()) {
        return exit_different;
    }
    return found->is_equal() ? exit_ok : exit_unchecked;
}

}  // namespace starling::client
