#pragma once

// Who a node is: its id, its cluster, and which of its lives this is. Stored with the data, in
// every shard, so that data and identity are lost, copied or rolled back together. See
// docs/formats/shard.md.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "base/ids.h"
#include "gossip/join.h"
#include "storage/engine.h"

namespace starling::node {

struct Identity {
    base::NodeId node;
    gossip::ClusterIdentity cluster;
    // How many shards the data is divided into, and which of them this is.
    uint32_t shard_count = 0;
    uint32_t shard = 0;
    // Starts of the node, this one included.
    uint32_t generation = 0;

    friend bool operator==(const Identity&, const Identity&) = default;
};

// nullopt: an engine that no node has used.
absl::StatusOr<std::optional<Identity>> load_identity(storage::Engine& engine);
void put_identity(storage::WriteBatch& batch, const Identity& identity);
// Durable when OK.
absl::Status store_identity(storage::Engine& engine, const Identity& identity);

std::string encode_identity(const Identity& identity);
// data_loss for anything that encode_identity() does not write; failed_precondition for another
// format of the shard's data.
absl::StatusOr<Identity> decode_identity(std::string_view bytes);

}  // namespace starling::node
