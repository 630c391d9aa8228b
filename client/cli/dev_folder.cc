#include "client/cli/dev_folder.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/status_macros.h"
#include "env/posix/file_system.h"

namespace starling::client {

namespace {

constexpr uint64_t description_bytes_max = 64 << 10;
constexpr uint64_t log_bytes_max = 64 << 20;

// Small enough for many nodes on a laptop.
constexpr std::string_view config_format =
    R"(# Made by `starling dev up`; written anew at each start.
cluster_name = "dev"
cluster_secret_file = "{secret}"
client_address = "{client}"
peer_address = "{peer}"
http_address = "{http}"
data_dir = "{data}"
shards = 1
workers = 2
memory_bytes_max = "128MiB"
)";

// As a TOML basic string.
std::string quoted(const std::string& text) {
    std::string out;
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            out += '\\';
        }
        out += c;
    }
    return out;
}

std::string config_text(const DevCluster& cluster, uint32_t node) {
    return fmt::format(fmt::runtime(config_format),
                       fmt::arg("secret", quoted(DevCluster::secret_path(cluster.folder))),
                       fmt::arg("client", cluster.client_address(node)),
                       fmt::arg("peer", cluster.peer_address(node)),
                       fmt::arg("http", cluster.http_address(node)),
                       fmt::arg("data", quoted(cluster.node_folder(node) + "/data")));
}

std::string draw_secret(env::Random& random) {
    std::string text;
    for (int i = 0; i < 4; ++i) {
        text += fmt::format("{:016x}", random.next());
    }
    return text + "\n";
}

// None: it is no port and no count of nodes.
std::optional<uint32_t> number_of(const nlohmann::json& json, const char* name) {
    if (!json.is_object() || !json.contains(name) || !json[name].is_number_unsigned()) {
        return std::nullopt;
    }
    const auto number = json[name].get<uint64_t>();
    return number >= 1 && number <= 65535 ? std::optional(static_cast<uint32_t>(number))
                                          : std::nullopt;
}

}  // namespace

std::string DevCluster::node_folder(uint32_t node) const {
    return fmt::format("{}/node_{}", folder, node);
}

std::string DevCluster::address(uint32_t offset) const {
    return fmt::format("127.0.0.1:{}", base_port + offset);
}

std::string dev_folder_path(const Terminal& terminal, const Arguments& arguments) {
    std::filesystem::path path = arguments.dev_folder;
    if (path.empty()) {
        path = terminal.variable("STARLING_DEV_DIR");
    }
    if (path.empty()) {
        path = "starling-dev";
    }
    return (std::filesystem::path(terminal.working_directory) / path).lexically_normal().string();
}

absl::StatusOr<DevCluster> read_dev_cluster(const std::string& folder) {
    env::PosixFileSystem files;
    const std::string path = folder + "/cluster.json";
    STARLING_ASSIGN_OR_RETURN(const std::string text,
                              env::read_file(files, path, description_bytes_max));
    const auto json = nlohmann::json::parse(text, nullptr, false);
    const auto base_port = number_of(json, "base_port");
    const auto node_count = number_of(json, "node_count");
    if (!base_port.has_value() || !node_count.has_value()) {
        return absl::DataLossError(fmt::format("{}: not as `starling dev up` wrote it", path));
    }
    return DevCluster{.folder = folder, .base_port = *base_port, .node_count = *node_count};
}

absl::Status write_dev_cluster(env::FileSystem& files,
                               env::Random& random,
                               const DevCluster& cluster) {
    const std::string secret = DevCluster::secret_path(cluster.folder);
    STARLING_ASSIGN_OR_RETURN(const bool has_secret, files.exists(secret));
    if (!has_secret) {
        STARLING_RETURN_IF_ERROR(env::replace_file(files, secret, draw_secret(random)));
    }
    for (uint32_t node = 1; node <= cluster.node_count; ++node) {
        STARLING_RETURN_IF_ERROR(files.create_directory(cluster.node_folder(node)));
        STARLING_RETURN_IF_ERROR(
            env::replace_file(files, cluster.config_path(node), config_text(cluster, node)));
    }
    const nlohmann::ordered_json json = {{"base_port", cluster.base_port},
                                         {"node_count", cluster.node_count}};
    return env::replace_file(files, cluster.folder + "/cluster.json", json.dump(2) + "\n");
}

std::optional<int64_t> read_pid(env::FileSystem& files, const DevCluster& cluster, uint32_t node) {
    const auto text = env::read_file(files, cluster.node_folder(node) + "/pid", 64);
    int64_t pid = 0;
    if (!text.ok() || !absl::SimpleAtoi(*text, &pid) || pid <= 1) {
        return std::nullopt;
    }
    return pid;
}

absl::Status write_pid(env::FileSystem& files,
                       const DevCluster& cluster,
                       uint32_t node,
                       int64_t pid) {
    return env::replace_file(files, cluster.node_folder(node) + "/pid", fmt::format("{}\n", pid));
}

std::string last_words(env::FileSystem& files, const DevCluster& cluster, uint32_t node) {
    const auto log = env::read_file(files, cluster.log_path(node), log_bytes_max);
    if (!log.ok()) {
        return "";
    }
    const size_t end = log->find_last_not_of('\n');
    if (end == std::string::npos) {
        return "";
    }
    const size_t begin = log->rfind('\n', end);
    return log->substr(begin == std::string::npos ? 0 : begin + 1,
                       end - (begin == std::string::npos ? 0 : begin + 1) + 1);
}

absl::Status remove_dev_cluster(const DevCluster& cluster) {
    std::error_code error;
    std::filesystem::remove(cluster.folder + "/cluster.json", error);
    for (uint32_t node = 1; node <= cluster.node_count && !error; ++node) {
        std::filesystem::remove_all(cluster.node_folder(node), error);
    }
    return error ? absl::InternalError(fmt::format("{}: {}", cluster.folder, error.message()))
                 : absl::OkStatus();
}

}  // namespace starling::client
