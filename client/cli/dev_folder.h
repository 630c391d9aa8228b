#pragma once

// The folder of a dev cluster, and what is in it:
//
//     cluster.json      how many nodes, on which ports
//     cluster_secret    drawn for this folder
//     lock              held while a command changes something
//     node_I/config.toml, pid, log, data/
//
// Ports follow from the base port: node I serves clients on base + I, peers on base + 100 + I, HTTP
// on base + 200 + I.

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"

#include "client/cli/arguments.h"
#include "client/cli/terminal.h"
#include "env/file_system.h"
#include "env/random.h"

namespace starling::client {

inline constexpr uint32_t dev_base_port = 5000;

struct DevCluster {
    // Absolute.
    std::string folder;
    uint32_t base_port = dev_base_port;
    uint32_t node_count = 0;

    static std::string secret_path(const std::string& folder) { return folder + "/cluster_secret"; }

    std::string client_address(uint32_t node) const { return address(node); }
    std::string peer_address(uint32_t node) const { return address(100 + node); }
    std::string http_address(uint32_t node) const { return address(200 + node); }

    std::string node_folder(uint32_t node) const;
    std::string config_path(uint32_t node) const { return node_folder(node) + "/config.toml"; }
    std::string log_path(uint32_t node) const { return node_folder(node) + "/log"; }

  private:
    std::string address(uint32_t offset) const;
};

// --dir, $STARLING_DEV_DIR, else starling-dev in the working directory; absolute.
std::string dev_folder_path(const Terminal& terminal, const Arguments& arguments);

// not_found: there is none. data_loss: cluster.json is not as it was written.
absl::StatusOr<DevCluster> read_dev_cluster(const std::string& folder);

// Makes what is missing: folders, the secret, the nodes' configurations, cluster.json.
absl::Status write_dev_cluster(env::FileSystem& files,
                               env::Random& random,
                               const DevCluster& cluster);

// Of the process that `dev` started last as this node; it may have ended.
std::optional<int64_t> read_pid(env::FileSystem& files, const DevCluster& cluster, uint32_t node);
absl::Status write_pid(env::FileSystem& files,
                       const DevCluster& cluster,
                       uint32_t node,
                       int64_t pid);

// The last line of a node's log.
std::string last_words(env::FileSystem& files, const DevCluster& cluster, uint32_t node);

// What the nodes stored, and the folders' description.
absl::Status remove_dev_cluster(const DevCluster& cluster);

}  // namespace starling::client
