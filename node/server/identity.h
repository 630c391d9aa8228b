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
    // Of the node's lives, each of which has a later one than the life before. 0: no life has
    // begun.
    uint32_t generation = 0;

    friend bool operator==(const Identity&, const Identity&) = default;
};

// Of a life that begins at `unix_ms` after one of the generation `last`, which its disk has. The
// disk may have been set back, and others may have found that nothing comes any more of lives that
// it knows nothing of: what is written in one of the same generation would pass for superseded. So
// it is no earlier than the clock says. 1 after 0: a new node has forgotten no life. REQUIRES:
// there is a later one than `last`.
uint32_t next_generation(uint32_t last, uint64_t unix_ms);

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
