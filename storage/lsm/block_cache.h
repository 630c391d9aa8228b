#pragma once

// Blocks of tables in memory, unpacked and checked, within a budget of bytes. Divided into shards,
// each with an equal share of the bytes and a lock of its own. Which block falls out says
// EngineOptions::block_cache_policy: `clock` (clock_cache.h) reads without locks and outlives
// scans; `lru` drops what was not used for longest. Thread-safe.

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "storage/lsm/block.h"
#include "storage/lsm/clock_cache.h"
#include "storage/options.h"

namespace starling::storage::lsm {

// One shard.
class BlockShard {
  public:
    virtual ~BlockShard() = default;
    // Null: not there.
    virtual BlockPtr find(const CacheKey& key) = 0;
    virtual void insert(const CacheKey& key, BlockPtr block) = 0;
    virtual void forget(const CacheKey& key) = 0;
    virtual uint64_t memory_bytes() const = 0;
};

class BlockCache {
  public:
    // `block_bytes`: of an average block.
    BlockCache(uint64_t bytes_max, BlockCachePolicy policy, uint64_t block_bytes);

    // Null: not there.
    BlockPtr find(uint64_t file_number, uint64_t offset);
    // As find(), for who passes over everything: no hit and no miss.
    BlockPtr peek(uint64_t file_number, uint64_t offset);
    // A block larger than a shard's share is not kept.
    void insert(uint64_t file_number, uint64_t offset, BlockPtr block);
    // Does nothing when it is not there.
    void forget(uint64_t file_number, uint64_t offset);

    uint64_t memory_bytes() const;
    uint64_t hits() const;
    uint64_t misses() const;

  private:
    // Counters of different shards do not share a line of the processor's cache.
    struct alignas(64) Shard {
        std::unique_ptr<BlockShard> blocks;
        std::atomic<uint64_t> hits = 0;
        std::atomic<uint64_t> misses = 0;
    };

    static constexpr size_t shard_count = 16;

    Shard& shard_of(const CacheKey& key);

    std::vector<Shard> shards_;
};

}  // namespace starling::storage::lsm
