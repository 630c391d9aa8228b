// conflicts list, show, resolve.

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "client/cli/commands.h"
#include "client/cli/conflict_list.h"
#include "client/cli/exit_codes.h"
#include "client/cli/key_values.h"
#include "client/cli/request_options.h"
#include "client/cli/show.h"

namespace starling::client {

namespace {

using nlohmann::ordered_json;

// What a page reads of a node's disk it reads in less, where the disk is not at its end.
constexpr base::Duration page_try_timeout = std::chrono::seconds(5);
constexpr uint32_t page_tries = 2;

// Of a value that is shown to people; --output json shows all of it.
constexpr size_t shown_bytes_max = 1024;

absl::StatusOr<ConflictList> list(const Arguments& arguments,
                                  Session& session,
                                  AdminClient& admin) {
    ConflictListOptions options{.name_space = arguments.name_space,
                                .from = {},
                                .limit = arguments.limit,
                                .partition_count = 0};
    if (!arguments.from.empty()) {
        STARLING_ASSIGN_OR_RETURN(options.from, parse_position(arguments.from));
    }
    STARLING_ASSIGN_OR_RETURN(const v1::StatusResponse status, admin.status());
    options.partition_count = status.partition_count();
    if (options.from.partition >= options.partition_count) {
        return base::make_error(absl::StatusCode::kInvalidArgument,
                                base::reason::invalid_request,
                                fmt::format("--from: partition {} is none of this cluster's {}",
                                            options.from.partition,
                                            options.partition_count));
    }
    std::vector<std::unique_ptr<AdminClient>> clients;
    std::vector<AskForConflicts> nodes;
    for (const v1::Member& member : status.members()) {
        if (member.liveness() == "dead" || member.state() == "left") {
            continue;
        }
        STARLING_ASSIGN_OR_RETURN(
            auto client, session.admin_of(member.client_address(), page_try_timeout, page_tries));
        nodes.emplace_back([node = client.get()](const v1::ListConflictsRequest& request) {
            return node->list_conflicts(request);
        });
        clients.push_back(std::move(client));
    }
    ConflictList found = list_conflicts(options, nodes);
    for (const absl::Status& failure : found.failures) {
        // No node will answer it better.
        if (absl::IsInvalidArgument(failure) || absl::IsNotFound(failure)) {
            return failure;
        }
    }
    return found;
}

void show_list(Terminal& terminal, const ConflictList& found) {
    for (const v1::Conflict& conflict : found.conflicts) {
        terminal.out << fmt::format("{}\t{} siblings\t{} bytes\tlatest {}\n",
                                    printable(conflict.key()),
                                    conflict.siblings(),
                                    conflict.value_bytes(),
                                    time_text(conflict.latest_ms()));
    }
    if (found.next.has_value()) {
        terminal.err << fmt::format("starling: there are more: go on with --from {}\n",
                                    to_string(*found.next));
    }
}

ordered_json list_json(const ConflictList& found) {
    ordered_json conflicts = ordered_json::array();
    for (const v1::Conflict& conflict : found.conflicts) {
        ordered_json json = bytes_json("key", conflict.key());
        json["partition"] = conflict.partition();
        json["siblings"] = conflict.siblings();
        json["value_bytes"] = conflict.value_bytes();
        json["latest_ms"] = conflict.latest_ms();
        conflicts.push_back(std::move(json));
    }
    ordered_json json = {{"conflicts", std::move(conflicts)},
                         {"partitions_missing", found.partitions_missing},
                         {"next", nullptr}};
    if (found.next.has_value()) {
        json["next"] = to_string(*found.next);
    }
    return json;
}

void show_sibling(Terminal& terminal, const v1::Value& value, const NodeNames& names) {
    terminal.out << fmt::format("  {}\n", dot_name(value.dot()))
                 << fmt::format("    written      {} .{}, through {}\n",
                                time_text(value.time().wall_ms()),
                                value.time().logical(),
                                name_of(value.dot().node_id(), names));
    if (value.expires_ms() != 0) {
        terminal.out << fmt::format("    expires      {}\n", time_text(value.expires_ms()));
    }
    terminal.out << fmt::format("    size         {} bytes\n", value.value().size())
                 << fmt::format(
                        "    value        {}{}\n",
                        printable(value.value().substr(0, shown_bytes_max)),
                        value.value().size() > shown_bytes_max ? " ... (json: all of it)" : "");
}

int show_siblings(Terminal& terminal,
                  const Arguments& arguments,
                  Session& session,
                  const v1::GetResponse& answer) {
    if (arguments.output == Output::json) {
        ordered_json siblings = ordered_json::array();
        for (const v1::Value& value : answer.values()) {
            ordered_json json = to_json(value);
            json["name"] = dot_name(value.dot());
            json["bytes"] = value.value().size();
            siblings.push_back(std::move(json));
        }
        terminal.out << dump(
            {{"siblings", std::move(siblings)}, {"context", to_hex(answer.context())}});
    } else if (!answer.values().empty()) {
        const NodeNames names = node_names(session);
        terminal.out << fmt::format("{}: {} {}\n",
                                    printable(arguments.key),
                                    answer.values_size(),
                                    answer.values_size() == 1 ? "value" : "siblings");
        for (const v1::Value& value : answer.values()) {
            show_sibling(terminal, value, names);
        }
        terminal.out << fmt::format("context {}\n", to_hex(answer.context()));
        if (answer.values_size() > 1) {
            terminal.err << "starling: to resolve them: conflicts resolve KEY -c CONTEXT, with "
                            "--pick VERSION or --value VALUE\n";
        }
    }
    if (answer.values().empty()) {
        terminal.err << "starling: Key not found\n";
        return exit_not_found;
    }
    return exit_ok;
}

// The version that `arguments.pick` names, as it is now.
absl::StatusOr<v1::Value> picked_value(const Arguments& arguments,
                                       Session& session,
                                       Client& client) {
    if (!is_dot_name(*arguments.pick)) {
        return base::make_error(absl::StatusCode::kInvalidArgument,
                                base::reason::invalid_request,
                                fmt::format("--pick: '{}' is not how 'conflicts show' names a "
                                            "version (NODE.START.RANDOM:WRITE)",
                                            printable(*arguments.pick)));
    }
    STARLING_ASSIGN_OR_RETURN(const RequestOptions options,
                              request_options(arguments, arguments.read_quorum, session));
    STARLING_ASSIGN_OR_RETURN(const v1::GetResponse answer, client.get(arguments.key, options));
    for (const v1::Value& value : answer.values()) {
        if (dot_name(value.dot()) == *arguments.pick) {
            return value;
        }
    }
    return base::make_error(absl::StatusCode::kNotFound,
                            base::reason::unknown_sibling,
                            fmt::format("the key has {} values, and none of them is version {}: "
                                        "'conflicts show' says what there is now",
                                        answer.values_size(),
                                        *arguments.pick));
}

absl::Status resolve(Terminal& terminal,
                     const Arguments& arguments,
                     Session& session,
                     Client& client) {
    WriteOptions options;
    STARLING_ASSIGN_OR_RETURN(options.context, parse_context(*arguments.context));
    if (options.context->empty()) {
        return base::make_error(absl::StatusCode::kInvalidArgument,
                                base::reason::malformed_context,
                                "context: empty, which has seen no sibling and would resolve none: "
                                "'conflicts show' prints the one to use");
    }
    std::string value;
    if (arguments.pick.has_value()) {
        STARLING_ASSIGN_OR_RETURN(v1::Value picked, picked_value(arguments, session, client));
        value = std::move(*picked.mutable_value());
        // Picked as it is: what would expire does so still.
        options.expires_ms = picked.expires_ms();
    } else {
        STARLING_ASSIGN_OR_RETURN(value, read_value(terminal, arguments.value));
    }
    STARLING_ASSIGN_OR_RETURN(options.request,
                              request_options(arguments, arguments.write_quorum, session));
    return client.put(arguments.key, std::move(value), options).status();
}

}  // namespace

int run_conflicts_list(Terminal& terminal, const Arguments& arguments, Session& session) {
    const auto admin = session.admin();
    if (!admin.ok()) {
        return report_usage(terminal, admin.status());
    }
    const absl::StatusOr<ConflictList> found = list(arguments, session, **admin);
    if (!found.ok()) {
        return report(terminal, found.status());
    }
    if (arguments.output == Output::json) {
        terminal.out << dump(list_json(*found));
    } else {
        show_list(terminal, *found);
    }
    if (found->partitions_missing > 0) {
        return report(
            terminal,
            base::make_error(
                absl::StatusCode::kUnavailable,
                base::reason::no_owner,
                fmt::format(
                    "the list is not complete: of {} partitions no holder "
                    "answered{}",
                    found->partitions_missing,
                    found->failures.empty()
                        ? std::string()
                        : fmt::format(" ({})", std::string(found->failures.front().message())))));
    }
    return exit_ok;
}

int run_conflicts_show(Terminal& terminal, const Arguments& arguments, Session& session) {
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
    return show_siblings(terminal, arguments, session, *answer);
}

int run_conflicts_resolve(Terminal& terminal, const Arguments& arguments, Session& session) {
    const auto client = session.client();
    if (!client.ok()) {
        return report_usage(terminal, client.status());
    }
    const absl::Status status = resolve(terminal, arguments, session, **client);
    return status.ok() ? exit_ok : report(terminal, status);
}

}  // namespace starling::client
