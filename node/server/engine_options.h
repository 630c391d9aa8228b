#pragma once

// What the storage engine of one shard is told, of what the node was told.

#include <cstdint>

#include "node/server/options.h"
#include "storage/options.h"

namespace starling::node {

// REQUIRES: shard_count > 0.
storage::EngineOptions engine_options(const NodeOptions& options, uint32_t shard_count);

}  // namespace starling::node
