#pragma once

// What a user of the engines may choose. Options change memory and speed, never what is stored: a
// directory written with one set of them opens with any other of the same engine.

#include <cstdint>
#include <optional>
#include <string>

namespace starling::storage {

enum class Compression : uint8_t { none = 0, lz4 = 1, zstd = 2 };

// Which block falls out of a full cache. `clock` lets readers in without a lock, and a scan does
// not push out what is read again and again; `lru`: the least recently used.
enum class BlockCachePolicy : uint8_t { clock, lru };

struct EngineOptions {
    // "lsm", "bitcask" (or its other name, "kvs") or "in_memory"; empty: the one that wrote the
    // directory, or lsm for a new one.
    std::string engine = "lsm";
    // Nothing is written, and no change accepted.
    bool read_only = false;
    // Of `lsm`: opens also where a table or a value file is missing or has another size than it was
    // written with. Reads of it are `data_loss`; find_damage() and give_up() heal it.
    bool open_damaged = false;

    // Of all memtables together. Of `bitcask`: the values written last, kept besides the key
    // directory, which has no limit.
    uint64_t memory_bytes_max = 64u << 20;
    // How many share that: one takes writes, the others wait for their flush.
    uint32_t memtables_max = 4;
    // Files of the log are written over when they are done with, and filled ahead: a sync then
    // costs about half. They take up to two memtables' size of disk more.
    bool recycle_logs = true;
    uint64_t block_cache_bytes = 64u << 20;
    BlockCachePolicy block_cache_policy = BlockCachePolicy::clock;
    Compression compression = Compression::lz4;
    // Of tables in the deepest level, which holds most of the data; none: as the others.
    std::optional<Compression> deepest_compression;
    // Reads of single keys bypass the cache of pages, where the file system can: for a block cache
    // that has most of the memory. Scans do not, flushes and compactions only while hardly anybody
    // reads. A table then takes two descriptors, and half as many stay open.
    bool direct_reads = false;
    // Uncompressed size of a block: the unit of reading and caching.
    uint64_t block_bytes = 4096;
    // Keys whose first bytes differ share no block of a table, so that damage to one kind of data
    // takes none of another.
    bool kinds_apart = false;
    // No table reaches across this key, so that a table that is lost takes only what is on one side
    // of it; empty: there is no such key. A flush makes a table of each side.
    std::string table_border;
    // Size at which a compaction begins a new table.
    uint64_t table_bytes = 8u << 20;
    // Values of at least this size, 48 or more, are kept apart from their keys, in value files,
    // when they leave memory; 0: none are.
    uint64_t separate_value_bytes = 0;
    // Size at which a new value file is begun.
    uint64_t value_file_bytes = 64u << 20;
    // The last level holds most of the data, each above it a tenth of the one below; what the
    // first of them, the one that level 0 goes into, may hold. 0: four times memory_bytes_max, so
    // that what comes from memory at once is not much less than what it is merged with.
    uint64_t level_bytes_base = 0;
    // Level-0 tables that start a compaction, and that stall writers.
    uint32_t level_0_tables_compact = 4;
    uint32_t level_0_tables_stall = 24;
    // What compactions read and write, in steps of a tenth of a second; 0: as much as they can.
    // Flushes, compact() and give_up() are not limited, nor is anything while level 0 has come half
    // the way to stalling writers.
    uint64_t compaction_bytes_per_second = 0;
    // Disk that flushes and compactions leave free, for logs and manifests, which matter more.
    uint64_t disk_reserve_bytes = 64u << 10;
    uint32_t filter_bits_per_key = 10;
    // Tables kept open, each with a file descriptor and its index and filter in memory; of
    // `bitcask`, data files. A compaction opens those that it merges once more, a few at a time.
    uint32_t open_tables_max = 500;

    // What follows is of `bitcask`. Size at which a new data file is begun.
    uint64_t bitcask_file_bytes = 64u << 20;
    // Stale bytes that start a merge, when they are at least a third of all.
    uint64_t bitcask_stale_bytes_max = 1u << 20;
};

}  // namespace starling::storage
