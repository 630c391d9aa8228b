#include "client/cli/secret.h"

#include "absl/strings/ascii.h"
#include <fmt/format.h>

#include "base/status_macros.h"
#include "client/cli/dev_folder.h"

namespace starling::client {

namespace {

constexpr uint64_t secret_bytes_max = 4096;

absl::StatusOr<std::string> read_secret(env::FileSystem& files, const std::string& path) {
    STARLING_ASSIGN_OR_RETURN(const std::string content,
                              env::read_file(files, path, secret_bytes_max));
    std::string secret(absl::StripAsciiWhitespace(content));
    if (secret.empty()) {
        return absl::FailedPreconditionError(fmt::format("{}: the cluster secret is empty", path));
    }
    return secret;
}

bool has_peer(const DevCluster& cluster, const std::string& peer_address) {
    for (uint32_t node = 1; node <= cluster.node_count; ++node) {
        if (cluster.peer_address(node) == peer_address) {
            return true;
        }
    }
    return false;
}

}  // namespace

absl::StatusOr<std::string> find_secret(env::FileSystem& files,
                                        const Terminal& terminal,
                                        const Arguments& arguments,
                                        const std::string& peer_address) {
    if (!arguments.secret_file.empty()) {
        return read_secret(files, arguments.secret_file);
    }
    if (const std::string named = terminal.variable("STARLING_CLUSTER_SECRET_FILE");
        !named.empty()) {
        return read_secret(files, named);
    }
    const auto dev = read_dev_cluster(dev_folder_path(terminal, arguments));
    if (dev.ok() && has_peer(*dev, peer_address)) {
        return read_secret(files, DevCluster::secret_path(dev->folder));
    }
    const std::string home = terminal.variable("HOME");
    if (home.empty()) {
        return absl::NotFoundError(
            "no cluster secret: neither --secret-file nor $STARLING_CLUSTER_SECRET_FILE nor $HOME "
            "is set");
    }
    return read_secret(files, home + "/.starling/cluster_secret");
}

}  // namespace starling::client
