#include "node/daemon/arguments.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/status_macros.h"
#include "node/daemon/exit_codes.h"
#include "node/server/version.h"

namespace starling::node {

std::optional<int> parse_arguments(int argc, const char* const* argv, Arguments& arguments) {
    CLI::App app("One node of Starling, a leaderless key/value database.", "starlingd");
    app.add_option("--config-path",
                   arguments.config_path,
                   "TOML file; without one: standalone on 127.0.0.1:4000");
    app.add_option(
        "--addr", arguments.client_address, "IP:PORT to serve clients on; port 0 = any free one");
    app.add_option("--peer-addr", arguments.peer_address, "IP:PORT for the other nodes");
    app.add_option(
        "--http-addr", arguments.http_address, "IP:PORT for /metrics, /healthz, /readyz, /status");
    app.add_option("--engine", arguments.engine, "lsm, bitcask (or kvs), or in_memory");
    app.add_option("--data-dir", arguments.data_dir, "directory of the node's data");
    app.add_option("--encryption-key-file",
                   arguments.encryption_key_file,
                   "file of the master key that encrypts the data at rest");
    app.add_option("--log-format", arguments.log_format, "text or json");
    app.add_option("--log-level", arguments.log_level, "debug, info, warning or error");
    app.set_version_flag("-V,--version", fmt::format("starlingd {}", software_version));
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? exit_ok : exit_usage;
    }
    return std::nullopt;
}

absl::StatusOr<Config> make_config(const Arguments& arguments, const std::string& text) {
    Config config;
    config.node.data_directory = "./starling-data";
    STARLING_RETURN_IF_ERROR(apply_toml(config, text, arguments.config_path));
    const auto apply =
        [&config](const std::optional<std::string>& value, const char* key, const char* option) {
            const absl::Status status =
                value.has_value() ? apply_option(config, key, *value, option) : absl::OkStatus();
            return status.ok() ? status : absl::OutOfRangeError(status.message());
        };
    STARLING_RETURN_IF_ERROR(apply(arguments.client_address, "client_address", "--addr"));
    STARLING_RETURN_IF_ERROR(apply(arguments.peer_address, "peer_address", "--peer-addr"));
    STARLING_RETURN_IF_ERROR(apply(arguments.http_address, "http_address", "--http-addr"));
    STARLING_RETURN_IF_ERROR(apply(arguments.engine, "engine", "--engine"));
    STARLING_RETURN_IF_ERROR(apply(arguments.data_dir, "data_dir", "--data-dir"));
    STARLING_RETURN_IF_ERROR(
        apply(arguments.encryption_key_file, "encryption_key_file", "--encryption-key-file"));
    STARLING_RETURN_IF_ERROR(apply(arguments.log_format, "log_format", "--log-format"));
    STARLING_RETURN_IF_ERROR(apply(arguments.log_level, "log_level", "--log-level"));
    STARLING_RETURN_IF_ERROR(check_config(config));
    return config;
}

}  // namespace starling::node
