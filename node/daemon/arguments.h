#pragma once

// The command line of starlingd.

#include <optional>
#include <string>

#include "absl/status/status.h"

#include "node/daemon/config.h"

namespace starling::node {

struct Arguments {
    std::string config_path;
    std::optional<std::string> client_address;
    std::optional<std::string> peer_address;
    std::optional<std::string> http_address;
    std::optional<std::string> engine;
    std::optional<std::string> data_dir;
    std::optional<std::string> encryption_key_file;
    std::optional<std::string> log_format;
    std::optional<std::string> log_level;
};

// The exit code when there is nothing more to do: after --help and --version, and after a mistake,
// which has been written to standard error.
std::optional<int> parse_arguments(int argc, const char* const* argv, Arguments& arguments);

// Defaults, then `text` of the file that --config-path names, then the options. invalid_argument: a
// mistake in the file, or out_of_range: one in an option.
absl::StatusOr<Config> make_config(const Arguments& arguments, const std::string& text);

}  // namespace starling::node
