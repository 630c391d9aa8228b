#include "storage/lsm/block_cache.h"

#include <algorithm>
#include <iterator>
#include <list>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"

namespace starling::storage::lsm {

namespace {

struct BlockBytes {
    uint64_t operator()(const BlockPtr& block) const { return block->memory_bytes(); }
};

class ClockShard final : public BlockShard {
  public:
    ClockShard(uint64_t bytes_max, uint64_t blocks_expected)
        : blocks_(bytes_max, blocks_expected) {}

    BlockPtr find(const CacheKey& key) override {
        BlockPtr found;
        blocks_.with(key, [&](const BlockPtr& block) { found = block; });
        return found;
    }
    void insert(const CacheKey& key, BlockPtr block) override {
        blocks_.insert(key, std::move(block));
    }
    void forget(const CacheKey& key) override { blocks_.forget(key); }
    uint64_t memory_bytes() const override { return blocks_.cost(); }

  private:
    ClockCache<BlockPtr, BlockBytes> blocks_;
};

class LruShard final : public BlockShard {
  public:
    explicit LruShard(uint64_t bytes_max) : bytes_max_(bytes_max) {}

    BlockPtr find(const CacheKey& key) override {
        absl::MutexLock lock(&mutex_);
        const auto found = index_.find({key.first, key.second});
        if (found == index_.end()) {
            return {};
        }
        entries_.splice(entries_.begin(), entries_, found->second);
        return found->second->block;
    }

    void insert(const CacheKey& key, BlockPtr block) override {
        const uint64_t bytes = block->memory_bytes();
        if (bytes > bytes_max_) {
            return;
        }
        absl::MutexLock lock(&mutex_);
        const Name name(key.first, key.second);
        if (index_.contains(name)) {
            return;
        }
        entries_.push_front({.name = name, .block = std::move(block)});
        index_.emplace(name, entries_.begin());
        bytes_ += bytes;
        while (bytes_ > bytes_max_) {
            drop(std::prev(entries_.end()));
        }
    }

    void forget(const CacheKey& key) override {
        absl::MutexLock lock(&mutex_);
        if (const auto found = index_.find({key.first, key.second}); found != index_.end()) {
            drop(found->second);
        }
    }

    uint64_t memory_bytes() const override {
        absl::MutexLock lock(&mutex_);
        return bytes_;
    }

  private:
    using Name = std::pair<uint64_t, uint64_t>;
    struct Entry {
        Name name;
        BlockPtr block;
    };

    void drop(std::list<Entry>::iterator entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        bytes_ -= entry->block->memory_bytes();
        index_.erase(entry->name);
        entries_.erase(entry);
    }

    const uint64_t bytes_max_;
    mutable absl::Mutex mutex_;
    // The most recently used first.
    std::list<Entry> entries_ ABSL_GUARDED_BY(mutex_);
    absl::flat_hash_map<Name, std::list<Entry>::iterator> index_ ABSL_GUARDED_BY(mutex_);
    uint64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Slots for smaller blocks than these would cost more than they hold.
constexpr uint64_t expected_block_bytes_min = 1024;

}  // namespace

BlockCache::BlockCache(uint64_t bytes_max, BlockCachePolicy policy, uint64_t block_bytes)
    : shards_(shard_count) {
    const uint64_t shard_bytes = bytes_max / shard_count;
    const uint64_t blocks = shard_bytes / std::max(block_bytes, expected_block_bytes_min);
    for (Shard& shard : shards_) {
        if (policy == BlockCachePolicy::clock) {
            shard.blocks = std::make_unique<ClockShard>(shard_bytes, blocks);
        } else {
            shard.blocks = std::make_unique<LruShard>(shard_bytes);
        }
    }
}

BlockCache::Shard& BlockCache::shard_of(const CacheKey& key) {
    // Sets and slots of a shard are chosen by the lower bits.
    return shards_[(key.hash() >> 56) % shard_count];
}

BlockPtr BlockCache::find(uint64_t file_number, uint64_t offset) {
    const CacheKey key{.first = file_number, .second = offset};
    Shard& shard = shard_of(key);
    BlockPtr block = shard.blocks->find(key);
    (block ? shard.hits : shard.misses).fetch_add(1, std::memory_order_relaxed);
    return block;
}

BlockPtr BlockCache::peek(uint64_t file_number, uint64_t offset) {
    const CacheKey key{.first = file_number, .second = offset};
    return shard_of(key).blocks->find(key);
}

void BlockCache::insert(uint64_t file_number, uint64_t offset, BlockPtr block) {
    const CacheKey key{.first = file_number, .second = offset};
    shard_of(key).blocks->insert(key, std::move(block));
}

void BlockCache::forget(uint64_t file_number, uint64_t offset) {
    const CacheKey key{.first = file_number, .second = offset};
    shard_of(key).blocks->forget(key);
}

uint64_t BlockCache::memory_bytes() const {
    uint64_t bytes = 0;
    for (const Shard& shard : shards_) {
        bytes += shard.blocks->memory_bytes();
    }
    return bytes;
}

uint64_t BlockCache::hits() const {
    uint64_t hits = 0;
    for (const Shard& shard : shards_) {
        hits += shard.hits.load(std::memory_order_relaxed);
    }
    return hits;
}

uint64_t BlockCache::misses() const {
    uint64_t misses = 0;
    for (const Shard& shard : shards_) {
        misses += shard.misses.load(std::memory_order_relaxed);
    }
    return misses;
}

}  // namespace starling::storage::lsm
