#include "client/cli/arguments.h"

#include <algorithm>
#include <map>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "client/cli/exit_codes.h"
#include "client/cli/time_arguments.h"
#include "client/cli/version.h"

namespace starling::client {

namespace {

constexpr base::Duration timeout_max = std::chrono::hours(24);
constexpr uint32_t dev_nodes_max = 20;

base::Duration duration_of(const std::string& option,
                           const std::string& text,
                           base::Duration most = timeout_max) {
    const auto duration = parse_duration(text, most);
    if (!duration.has_value()) {
        throw CLI::ValidationError(option,
                                   "expected a duration like 500ms or 2s, got '" + text + "'");
    }
    return *duration;
}

void add_common_options(CLI::App& app, Arguments& arguments) {
    auto* address = app.add_option("--addr",
                                   arguments.addresses,
                                   "IP:PORT of a node; several, separated "
                                   "by commas, are asked in turn");
    address->delimiter(',')->allow_extra_args(false);
    app.add_option("-p,--port", arguments.port, "the same as --addr 127.0.0.1:PORT")
        ->check(CLI::Range(1, 65535))
        ->excludes(address);
    app.add_option("--namespace", arguments.name_space, "the namespace of the key");
    auto* r = app.add_option("--r", arguments.read_quorum, "replicas that must answer a read");
    auto* w = app.add_option("--w", arguments.write_quorum, "replicas that must store a write");
    r->check(CLI::Range(1, 16));
    w->check(CLI::Range(1, 16));
    app.add_option(
           "--consistency", arguments.consistency, "one, quorum or all: R and W in one word")
        ->check(CLI::IsMember({"one", "quorum", "all"}))
        ->excludes(r)
        ->excludes(w);
    app.add_option_function<std::string>(
           "--request-timeout",
           [&arguments](const std::string& text) {
               arguments.timeout = duration_of("--request-timeout", text);
               arguments.is_timeout_given = true;
           },
           "how long a request may take, like 500ms or 2s (5s)")
        ->type_name("DURATION");
    app.add_option("--output", arguments.output, "text, json or raw (exact bytes)")
        ->transform(CLI::CheckedTransformer(std::map<std::string, Output>{
            {"text", Output::text}, {"json", Output::json}, {"raw", Output::raw}}))
        ->type_name("text|json|raw");
    app.add_flag("--explain", arguments.explain, "say which replicas did what, and in what time");
}

CLI::App& add_command(CLI::App& parent,
                      const std::string& name,
                      const std::string& help,
                      Arguments& arguments,
                      Command command) {
    CLI::App& sub = *parent.add_subcommand(name, help);
    sub.fallthrough();
    sub.callback([&arguments, command] { arguments.command = command; });
    return sub;
}

void add_session_option(CLI::App& sub, Arguments& arguments) {
    sub.add_option("--session",
                   arguments.session_file,
                   "FILE of a session: what it has written and read is never read older again")
        ->type_name("FILE");
}

void add_write_options(CLI::App& sub, Arguments& arguments) {
    auto* context = sub.add_option(
        "-c,--context", arguments.context, "what a get of this key returned, hexadecimal");
    sub.add_flag(
           "--blind", arguments.blind, "supersede what one replica holds, without asking others")
        ->excludes(context);
}

void add_expiry_options(CLI::App& put, Arguments& arguments) {
    auto* ttl = put.add_option_function<std::string>(
                       "--ttl",
                       [&arguments](const std::string& text) {
                           arguments.ttl = duration_of("--ttl", text, ttl_max);
                       },
                       "the value is absent after this time, like 30s, 12h or 7d")
                    ->type_name("DURATION");
    put.add_option_function<std::string>(
           "--expires",
           [&arguments](const std::string& text) {
               const auto expires_ms = parse_time_ms(text);
               if (!expires_ms.has_value()) {
                   throw CLI::ValidationError(
                       "--expires",
                       "expected a time like 2026-11-30T12:00:00Z, got '" + text + "'");
               }
               arguments.expires_ms = *expires_ms;
           },
           "the value is absent from this time on, like 2026-11-30T12:00:00Z")
        ->type_name("TIME")
        ->excludes(ttl);
}

void add_key_commands(CLI::App& app, Arguments& arguments) {
    CLI::App& put = add_command(app, "put", "write a value", arguments, Command::put);
    put.alias("set");
    put.add_option("-k,--key,KEY", arguments.key, "the key")->required();
    put.add_option("-v,--value,VALUE", arguments.value, "the value; '-': standard input")
        ->required();
    add_write_options(put, arguments);
    add_expiry_options(put, arguments);
    add_session_option(put, arguments);
    CLI::App& get = add_command(app, "get", "read a value", arguments, Command::get);
    get.add_option("-k,--key,KEY", arguments.key, "the key")->required();
    add_session_option(get, arguments);
    CLI::App& del = add_command(app, "delete", "delete a key", arguments, Command::del);
    del.alias("del")->alias("rm");
    del.add_option("-k,--key,KEY", arguments.key, "the key")->required();
    add_write_options(del, arguments);
    add_session_option(del, arguments);
    CLI::App& batch = add_command(app,
                                  "batch",
                                  "many operations, one per line, through one stream",
                                  arguments,
                                  Command::batch);
    batch.add_option("FILE", arguments.batch_file, "where the lines are; '-': standard input")
        ->required();
    add_session_option(batch, arguments);
}

void add_cluster_commands(CLI::App& app, Arguments& arguments) {
    add_command(app, "status", "the cluster, node by node", arguments, Command::status);
    add_command(app, "ring", "who holds which partitions", arguments, Command::ring);
    add_command(app, "ping", "does the node answer?", arguments, Command::ping);

    CLI::App& spaces = *app.add_subcommand("namespace", "create or list namespaces");
    spaces.require_subcommand(1)->fallthrough();
    CLI::App& create =
        add_command(spaces, "create", "create a namespace", arguments, Command::namespace_create);
    create.add_option("NAME", arguments.name_space, "its name")->required();
    create.add_option("--n", arguments.replicas, "copies of each value (3)")
        ->check(CLI::Range(1, 16));
    create.add_option("--policy", arguments.policy, "what concurrent writes become")
        ->check(CLI::IsMember({"siblings", "last_write_wins", "reject_stale"}));
    create.add_option("--durability", arguments.durability, "when a write is acknowledged")
        ->check(CLI::IsMember({"sync", "interval", "memory"}));
    add_command(spaces, "list", "list namespaces", arguments, Command::namespace_list);

    CLI::App& join = add_command(app,
                                 "join-cluster",
                                 "make a node (-p: its peer port) a member of a cluster",
                                 arguments,
                                 Command::join_cluster);
    join.add_option("--known-cluster-node", arguments.known_node, "peer address of any member")
        ->required();
    join.add_option("--secret-file", arguments.secret_file, "file of the cluster secret");
    join.add_flag("--no-wait", arguments.no_wait, "do not wait until the node is in every view");
}

void add_verify_command(CLI::App& app, Arguments& arguments) {
    CLI::App& verify =
        add_command(app, "verify", "compare all replicas of every key", arguments, Command::verify);
    verify
        .add_option("--bytes-per-second",
                    arguments.bytes_per_second,
                    "of answers, or of what nodes read for them, at most (4194304)")
        ->check(CLI::Range(uint64_t{1024}, uint64_t{1} << 40));
    verify
        .add_option_function<std::string>(
            "--settle",
            [&arguments](const std::string& text) {
                arguments.settle = duration_of("--settle", text);
            },
            "how long a write may be under way: the pause between two looks at a key (3s)")
        ->type_name("DURATION");
    verify.add_flag(
        "--read-all",
        arguments.reads_all,
        "have the replicas read all that they hold, not only what their hash trees say");
}

void add_conflict_commands(CLI::App& app, Arguments& arguments) {
    CLI::App& conflicts =
        *app.add_subcommand("conflicts", "keys that concurrent writes have left with siblings");
    conflicts.require_subcommand(1)->fallthrough();
    CLI::App& list = add_command(
        conflicts, "list", "such keys of the namespace", arguments, Command::conflicts_list);
    list.add_option("--limit", arguments.limit, "at most so many (100)")
        ->check(CLI::Range(1, 1000));
    list.add_option("--from", arguments.from, "go on where a list before has ended");
    const auto add_key = [&arguments](CLI::App& sub) {
        sub.add_option("-k,--key,KEY", arguments.key, "the key")->required();
    };
    add_key(add_command(conflicts,
                        "show",
                        "all siblings of a key, and how to resolve them",
                        arguments,
                        Command::conflicts_show));
    CLI::App& resolve = add_command(conflicts,
                                    "resolve",
                                    "replace the siblings that 'show' showed",
                                    arguments,
                                    Command::conflicts_resolve);
    add_key(resolve);
    resolve.add_option("-c,--context", arguments.context, "what 'show' showed, hexadecimal")
        ->required();
    CLI::Option_group& by = *resolve.add_option_group("by");
    by.add_option("--pick", arguments.pick, "the version whose value stays, as 'show' names it");
    by.add_option("-v,--value", arguments.value, "another value; '-': standard input");
    by.require_option(1);
}

void add_dev_commands(CLI::App& app, Arguments& arguments) {
    CLI::App& dev =
        *app.add_subcommand("dev", "a cluster of real nodes on this machine, for trying out");
    dev.require_subcommand(1)->fallthrough();
    dev.add_option(
        "--dir", arguments.dev_folder, "its folder ($STARLING_DEV_DIR, else ./starling-dev)");
    CLI::App& up = add_command(dev, "up", "start N nodes", arguments, Command::dev_up);
    up.add_option("N", arguments.node_count, "how many (3)")->check(CLI::Range(1u, dev_nodes_max));
    up.add_option("--base-port", arguments.base_port, "node I serves clients on this + I (5000)")
        ->check(CLI::Range(1024, 65000));
    const auto add_node = [&arguments](CLI::App& sub) {
        sub.add_option("I", arguments.node, "which node: 1, 2, ...")
            ->required()
            ->check(CLI::Range(1u, dev_nodes_max));
    };
    add_node(add_command(dev, "kill", "SIGKILL node I", arguments, Command::dev_kill));
    add_node(add_command(dev, "revive", "start node I again", arguments, Command::dev_revive));
    CLI::App& down = add_command(dev, "down", "stop all nodes", arguments, Command::dev_down);
    down.add_flag("--remove-data", arguments.removes_data, "and delete what they stored");
    add_command(dev, "status", "which nodes run", arguments, Command::dev_status);
}

int usage_error(Terminal& terminal, std::string message) {
    std::replace(message.begin(), message.end(), '\n', ' ');
    terminal.err << fmt::format("starling: {} (see --help)\n", message);
    return exit_usage;
}

}  // namespace

std::optional<int> parse_arguments(const std::vector<std::string>& words,
                                   Terminal& terminal,
                                   Arguments& arguments) {
    CLI::App app("Starling, a leaderless key/value database.", "starling");
    app.set_version_flag("-V,--version", fmt::format("starling {}", software_version));
    app.require_subcommand(1);
    add_common_options(app, arguments);
    add_key_commands(app, arguments);
    add_cluster_commands(app, arguments);
    add_verify_command(app, arguments);
    add_conflict_commands(app, arguments);
    add_dev_commands(app, arguments);
    try {
        app.parse(std::vector<std::string>(words.rbegin(), words.rend()));
    } catch (const CLI::ParseError& error) {
        if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
            app.exit(error, terminal.out, terminal.err);
            return exit_ok;
        }
        return usage_error(terminal, error.what());
    }
    return std::nullopt;
}

}  // namespace starling::client
