// starlingd: one node as a process. Arguments, configuration, secret; then Process does the rest
// until a signal comes.

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <string>

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/out_of_memory.h"
#include "env/encrypted/master_key.h"
#include "node/daemon/arguments.h"
#include "node/daemon/descriptors.h"
#include "node/daemon/exit_codes.h"
#include "node/daemon/logging.h"
#include "node/daemon/process.h"
#include "node/daemon/secret.h"
#include "node/daemon/signals.h"
#include "node/daemon/stop_deadline.h"

namespace {

using starling::node::Arguments;
using starling::node::Config;
using starling::node::log_line;

constexpr size_t config_bytes_max = 1u << 20;
// How often a starting node is asked whether it serves.
constexpr std::chrono::milliseconds serving_poll(5);
// How often a serving one is asked whether it wants another life.
constexpr std::chrono::seconds new_life_poll(1);
// A start that follows a life in this process is tried so often before the process ends.
constexpr int restarts_max = 12;
constexpr std::chrono::seconds restart_after(5);

std::string text_of(const absl::Status& status) {
    return std::string(status.message());
}

std::optional<std::string> variable(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

std::string environment(const char* name) {
    return variable(name).value_or("");
}

absl::StatusOr<std::string> read_config(const std::string& path) {
    if (path.empty()) {
        return "";
    }
    std::ifstream file(path, std::ios::binary);
    std::string text(std::istreambuf_iterator<char>(file), {});
    if (!file || std::filesystem::is_directory(path)) {
        return absl::NotFoundError(fmt::format("{}: cannot read the configuration file", path));
    }
    if (text.size() > config_bytes_max) {
        return absl::InvalidArgumentError(fmt::format("{}: no configuration is that large", path));
    }
    return text;
}

// The exit code, or the configuration in `config`.
std::optional<int> configure(int argc, char** argv, Config& config) {
    Arguments arguments;
    if (const auto code = parse_arguments(argc, argv, arguments); code.has_value()) {
        return code;
    }
    const auto text = read_config(arguments.config_path);
    if (!text.ok()) {
        std::cerr << "starlingd: " << text_of(text.status()) << '\n';
        return starling::node::exit_config;
    }
    auto made = make_config(arguments, *text);
    if (!made.ok()) {
        std::cerr << "starlingd: " << text_of(made.status()) << '\n';
        return absl::IsOutOfRange(made.status()) ? starling::node::exit_usage
                                                 : starling::node::exit_config;
    }
    config = *std::move(made);
    return std::nullopt;
}

void warn_of_exposure(const Config& config) {
    if (config.insecure_listen) {
        log_line("warning",
                 "insecure_listen is set: whoever reaches this node's ports can read and write "
                 "everything; there is no authentication of clients and no encryption");
    }
}

// Once the node serves; not at all when it is told to stop before.
absl::Status announce(starling::node::Process& process, starling::node::Signals& signals) {
    while (!process.is_serving()) {
        if (signals.wait_for(serving_poll) != 0) {
            return absl::OkStatus();
        }
    }
    return process.announce();
}

// The signal that asks for the end; 0: another life is wanted.
int wait_for_end(starling::node::Process& process,
                 starling::node::Signals& signals,
                 bool may_begin_again) {
    for (;;) {
        if (const int signal = signals.wait_for(new_life_poll); signal != 0) {
            return signal;
        }
        const bool is_asked = signals.take_new_life();
        if (is_asked && !may_begin_again) {
            log_line("warning", "SIGUSR1 is ignored: the data is in memory, and would be gone");
        } else if (is_asked || process.wants_new_life()) {
            return 0;
        }
    }
}

int serve(Config config, starling::node::Signals& signals) {
    if (fit_connections(config, starling::node::raise_descriptor_limit())) {
        log_line("warning",
                 fmt::format("few file descriptors (ulimit -n): at most {} client connections",
                             config.grpc.connections_max));
    }
    starling::env::PosixFileSystem files;
    starling::env::PosixRandom random;
    auto secret = starling::node::load_secret(
        files,
        random,
        {.configured = config.cluster_secret_file,
         .from_environment = environment("STARLING_CLUSTER_SECRET_FILE"),
         .home = environment("HOME")},
        [](std::string_view line) { log_line("info", line); });
    if (!secret.ok()) {
        log_line("error", text_of(secret.status()));
        return starling::node::exit_failed;
    }
    auto master_key = starling::env::find_master_key(
        files,
        {.file = config.encryption_key_file,
         .from_environment = variable(starling::env::master_key_variable)});
    if (!master_key.ok()) {
        log_line("error", text_of(master_key.status()));
        return starling::node::exit_failed;
    }
    warn_of_exposure(config);
    const bool may_begin_again = config.node.engine != "in_memory";
    // What keeps a first start from working keeps all; a later one may meet what passes.
    for (int starts_left = 1;;) {
        starling::node::Process process(config, *secret, *master_key);
        absl::Status status = process.start();
        if (status.ok()) {
            status = announce(process, signals);
        }
        if (!status.ok()) {
            log_line("error", fmt::format("cannot start: {}", text_of(status)));
            if (--starts_left == 0 || signals.wait_for(restart_after) != 0) {
                return starling::node::exit_failed;
            }
            continue;
        }
        signals.take_new_life();
        const int signal = wait_for_end(process, signals, may_begin_again);
        log_line(
            "info",
            signal == 0 ? "stopping, to start again" : fmt::format("stopping (signal {})", signal));
        {
            // That of Signals watches a stop that a signal asks for.
            std::optional<starling::node::StopDeadline> deadline;
            if (signal == 0) {
                deadline.emplace(config.stop_timeout);
            }
            status = process.stop();
        }
        if (!status.ok()) {
            log_line("error", fmt::format("not everything could be finished: {}", text_of(status)));
        } else {
            log_line("info", "stopped");
        }
        // What an end of a life could not finish is as after a crash.
        if (signal != 0 || signals.wait_for(std::chrono::nanoseconds(0)) != 0) {
            return status.ok() ? starling::node::exit_ok : starling::node::exit_failed;
        }
        starts_left = restarts_max;
    }
}

}  // namespace

int main(int argc, char** argv) {
    starling::base::say_when_memory_runs_out();
    ::umask(077);
    std::signal(SIGPIPE, SIG_IGN);
    Config config;
    if (const auto code = configure(argc, argv, config); code.has_value()) {
        return *code;
    }
    // Before the first thread, the log's.
    starling::node::Signals signals(config.stop_timeout);
    starling::node::start_logging(config.log_format, config.log_level);
    const int code = serve(std::move(config), signals);
    starling::node::stop_logging();
    return code;
}
