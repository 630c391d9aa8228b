#include "node/server/engine_options.h"

#include <algorithm>

#include "node/replica/storage_keys.h"
#include "node/server/memory_division.h"

namespace starling::node {

storage::EngineOptions engine_options(const NodeOptions& options, uint32_t shard_count) {
    storage::EngineOptions out;
    out.engine = options.engine;
    out.memory_bytes_max = MemoryDivision(options).memtables / shard_count;
    out.block_cache_bytes = MemoryDivision(options).block_cache / shard_count;
    out.compression = options.compression;
    out.deepest_compression = options.deepest_compression;
    // 0 would be no limit.
    if (options.compaction_bytes_per_second > 0) {
        out.compaction_bytes_per_second =
            std::max<uint64_t>(1, options.compaction_bytes_per_second / shard_count);
    }
    // Shards share the disk, and what is free on it.
    out.disk_reserve_bytes = options.disk_reserve_bytes;
    out.direct_reads = options.direct_reads;
    // What is damaged is given up and refilled (damage_healer.h), but for facts of the node.
    out.open_damaged = true;
    out.kinds_apart = true;
    out.table_border = storage_keys::facts_begin();
    // Each flush makes two tables so.
    out.level_0_tables_compact *= 2;
    out.level_0_tables_stall *= 2;
    return out;
}

}  // namespace starling::node
