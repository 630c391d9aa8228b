#pragma once

// The configuration of starlingd: a TOML file of top-level keys, then the command line over it.
// Every mistake is found before anything is opened, and names its place, the key and what was
// expected. docs/configuration.md lists the keys.

#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "base/time.h"
#include "node/doors/options.h"
#include "node/server/options.h"

namespace starling::node {

enum class LogFormat { text, json };

struct Config {
    // But for the secret and client_address, which the daemon finds out at its start.
    NodeOptions node;
    GrpcDoorOptions grpc;
    HttpDoorOptions http;

    std::string client_address = "127.0.0.1:4000";
    std::string peer_address = "127.0.0.1:0";
    // Empty: no HTTP door.
    std::string http_address;
    // What others are told, where it differs from where the node listens.
    std::string client_advertised_address;
    std::string peer_advertised_address;
    // Listen beyond loopback, where anybody who reaches the port may read and write.
    bool insecure_listen = false;

    // Empty: $STARLING_CLUSTER_SECRET_FILE, else ~/.starling/cluster_secret.
    std::string cluster_secret_file;
    // Of the master key of the data at rest. Empty: $STARLING_ENCRYPTION_KEY, else no encryption.
    std::string encryption_key_file;
    // 0 = one per core.
    uint32_t shards = 0;
    // 0 = two per shard.
    uint32_t workers = 0;
    base::Duration stop_timeout = std::chrono::seconds(10);

    LogFormat log_format = LogFormat::text;
    std::string log_level = "info";

    // Where a key's value comes from: "FILE:LINE" or an option of the command line. Absent: the
    // default.
    std::map<std::string, std::string> origins;
};

// Reads TOML text over `config`. All mistakes in one invalid_argument, one line each.
absl::Status apply_toml(Config& config, std::string_view text, const std::string& file);

// Sets one key from the command line; `option` names it in errors.
absl::Status apply_option(Config& config,
                          const std::string& key,
                          const std::string& value,
                          const std::string& option);

// What one key alone cannot tell: to be asked last.
absl::Status check_config(const Config& config);

}  // namespace starling::node
