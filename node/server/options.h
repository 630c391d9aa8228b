#pragma once

// Everything a node can be told, with its defaults. Read by the daemon from a file, by the
// simulator from a seed.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "base/time.h"
#include "gossip/options.h"
#include "node/entropy/entropy_options.h"
#include "storage/options.h"

namespace starling::node {

struct NodeOptions {
    // A node joins only a cluster of the same name, partition count and seat count.
    std::string cluster_name = "starling";
    // Q: a power of two, 1..32768. Fixed when the cluster is made.
    uint32_t partition_count = 256;
    // Seats of each partition = the largest N a namespace may have. Fixed when the cluster is made.
    uint32_t seat_count = 3;
    // Proves membership of the cluster's people: keys contexts. REQUIRED: at least 16 bytes.
    std::string cluster_secret;

    std::string client_address;
    std::string zone;
    uint32_t weight = 100;
    // Below it one sub-directory per shard.
    std::string data_directory;
    // One of storage/options.h.
    std::string engine = "lsm";
    // What follows is of "lsm". Absent: the deepest level is compressed as the others are.
    storage::Compression compression = storage::EngineOptions().compression;
    std::optional<storage::Compression> deepest_compression;
    // What compactions of all shards together read and write on average; 0: no limit.
    uint64_t compaction_bytes_per_second = 0;
    // Of the disk, what flushes and compactions leave free.
    uint64_t disk_reserve_bytes = storage::EngineOptions().disk_reserve_bytes;
    // Reads of single keys bypass the cache of pages.
    bool direct_reads = storage::EngineOptions().direct_reads;

    // One budget for the node, divided in docs/limits.md.
    uint64_t memory_bytes_max = 512ULL << 20;
    // Of that; memtables have the rest of one half. Absent: half of the half. At most
    // MemoryDivision::block_cache_most().
    std::optional<uint64_t> block_cache_bytes;
    uint64_t hint_bytes_max = 256ULL << 20;

    // 1 .. 64 KiB (the limit of the format).
    uint32_t key_bytes_max = 64u << 10;
    uint64_t value_bytes_max = 16ULL << 20;
    uint32_t siblings_max = 64;

    base::Duration deadline_default = std::chrono::seconds(2);
    base::Duration deadline_max = std::chrono::seconds(30);
    // No node of a cluster lets a request take longer, whatever its deadline_max, so that others
    // know until when an answer of theirs may be counted (DamageHealer). The same on all nodes, so
    // not in the configuration.
    base::Duration deadline_limit = std::chrono::minutes(1);
    // How long a replica may be silent before a stand-in takes its write as a hint.
    base::Duration hint_after = std::chrono::milliseconds(250);
    // How often waiting hints are tried.
    base::Duration hint_interval = std::chrono::milliseconds(500);
    // A request id older than this is refused: its outcome is forgotten. A record remembers every
    // request it superseded for so long, so a longer window lowers how often one key can be written
    // (docs/limits.md). At least deadline_max, within which clients retry. The same on all nodes,
    // and never raised where data is, so not in the configuration: what one node still takes for
    // young the others would have forgotten, and an old retry would bring back what was deleted.
    base::Duration request_window = std::chrono::seconds(30);
    base::Duration clock_drift_max = std::chrono::seconds(5);
    // How often a group is compared with each other holder.
    base::Duration entropy_interval = std::chrono::seconds(10);
    // What anti-entropy and hand-over may bring here, all shards together; 0: no limit. They wait,
    // for a while, as long as more than one in twenty requests takes longer than this.
    uint64_t entropy_bytes_per_second = 64ULL << 20;
    base::Duration entropy_pause_latency = std::chrono::milliseconds(100);
    // Of one answer to a question for data.
    size_t entropy_page_bytes = EntropyOptions().batch_bytes_max;
    // Comparisons of one shard at once.
    uint32_t entropy_sessions_max = EntropyOptions().sessions_max;
    // In which everything on the disk is read once, to find damage before it is needed. More often
    // where there is little (Scrubber).
    base::Duration scrub_period = std::chrono::hours(168);
    // As the detector was measured: within 10 s all of 50 nodes know of a dead one, at 5 % loss.
    base::Duration gossip_probe_interval = gossip::SwimOptions().probe_interval;
    uint32_t fills_at_once = 8;
    // A canary (node/canary), and how long after one operation it begins the next.
    bool canary = false;
    base::Duration canary_interval = std::chrono::seconds(1);
    // How long a stop waits for requests under way before it gives them up.
    base::Duration drain_max = std::chrono::seconds(8);
};

}  // namespace starling::node
