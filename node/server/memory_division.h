#pragma once

// How a node divides memory_bytes_max. The one place where it stands: the parts are made with these
// shares, `status` shows them, docs/limits.md tells them.

#include <cstdint>

#include "node/server/options.h"

namespace starling::node {

struct MemoryDivision {
    explicit MemoryDivision(const NodeOptions& options)
        : memtables(options.memory_bytes_max / 4),
          block_cache(options.memory_bytes_max / 4),
          requests(options.memory_bytes_max / 4),
          peer_requests(options.memory_bytes_max / 8),
          frames_out(options.memory_bytes_max / 16),
          frames_in(options.memory_bytes_max / 16) {}

    uint64_t memtables;
    uint64_t block_cache;
    // Of this node's clients, under way.
    uint64_t requests;
    // Of other nodes, in progress.
    uint64_t peer_requests;
    // On their way from the shards to the loop of the transport, and back. With one shard there is
    // no such way.
    uint64_t frames_out;
    uint64_t frames_in;
};

}  // namespace starling::node
