#pragma once

// How a node divides memory_bytes_max. The one place where it stands: the parts are made with these
// shares, `status` shows them, docs/limits.md tells them.

#include <algorithm>
#include <cstdint>

#include "node/server/options.h"

namespace starling::node {

struct MemoryDivision {
    explicit MemoryDivision(const NodeOptions& options)
        : memtables(options.memory_bytes_max / 2 - block_cache_of(options)),
          block_cache(block_cache_of(options)),
          requests(options.memory_bytes_max / 4),
          peer_requests(options.memory_bytes_max / 8),
          frames_out(options.memory_bytes_max / 16),
          frames_in(options.memory_bytes_max / 16) {}

    // What block_cache_bytes may be: it leaves memtables a sixteenth.
    static uint64_t block_cache_most(uint64_t memory_bytes_max) {
        return memory_bytes_max / 2 - memory_bytes_max / 16;
    }

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

  private:
    static uint64_t block_cache_of(const NodeOptions& options) {
        return std::min(options.block_cache_bytes.value_or(options.memory_bytes_max / 4),
                        block_cache_most(options.memory_bytes_max));
    }
};

}  // namespace starling::node
