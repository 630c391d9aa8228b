#include "client/cli/dev_process.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <iterator>
#include <system_error>
#include <vector>

#include "absl/strings/str_split.h"
#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace starling::client {

namespace {

bool is_executable(const std::string& path) {
    return ::access(path.c_str(), X_OK) == 0;
}

}  // namespace

absl::StatusOr<std::string> find_starlingd(const std::string& executable, const std::string& path) {
    std::vector<std::string> places;
    if (const size_t slash = executable.rfind('/'); slash != std::string::npos) {
        places.push_back(executable.substr(0, slash) + "/starlingd");
    }
    for (const auto part : absl::StrSplit(path, ':')) {
        places.push_back(std::string(part) + "/starlingd");
    }
    for (const std::string& place : places) {
        if (is_executable(place)) {
            return place;
        }
    }
    return absl::NotFoundError("starlingd is neither beside this program nor in $PATH");
}

absl::StatusOr<int64_t> spawn_node(const std::string& starlingd,
                                   const std::string& config_path,
                                   const std::string& log_path) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(
        &actions, 1, log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    // The terminal's signals are not the node's.
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    std::array<std::string, 3> words = {starlingd, "--config-path", config_path};
    std::array<char*, 4> argv = {words[0].data(), words[1].data(), words[2].data(), nullptr};
    pid_t pid = 0;
    const int error =
        ::posix_spawn(&pid, starlingd.c_str(), &actions, &attributes, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (error != 0) {
        return absl::InternalError(
            fmt::format("{}: {}", starlingd, std::generic_category().message(error)));
    }
    return pid;
}

bool runs_as_node(int64_t pid, const std::string& config_path) {
    std::ifstream file(fmt::format("/proc/{}/cmdline", pid), std::ios::binary);
    const std::string words(std::istreambuf_iterator<char>(file), {});
    const std::vector<std::string> parts = absl::StrSplit(words, '\0');
    const bool is_ours =
        parts.size() >= 3 && parts[1] == "--config-path" && parts[2] == config_path;
    return is_ours && parts[0].find("starlingd") != std::string::npos;
}

absl::Status send_signal(int64_t pid, int signal) {
    if (::kill(static_cast<pid_t>(pid), signal) != 0 && errno != ESRCH) {
        return absl::PermissionDeniedError(
            fmt::format("process {}: {}", pid, std::generic_category().message(errno)));
    }
    return absl::OkStatus();
}

void reap(int64_t pid) {
    ::waitpid(static_cast<pid_t>(pid), nullptr, WNOHANG);
}

}  // namespace starling::client
