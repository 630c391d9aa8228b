#include "storage/lsm/block_cache.h"

#include <utility>

namespace starling::storage::lsm {

BlockCache::BlockCache(uint64_t bytes_max)
    : shard_bytes_max_(bytes_max / shard_count), shards_(shard_count) {}

BlockCache::Shard& BlockCache::shard_of(const Key& key) {
    // Offsets of blocks differ in their middle bits. Not absl's hash, which differs from run to run
    // and would make statistics do so too.
    const uint64_t mixed =
        (key.offset + key.file_number * 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu;
    return shards_[(mixed >> 40) % shard_count];
}

std::shared_ptr<const Block> BlockCache::find(uint64_t file_number, uint64_t offset) {
    const Key key{.file_number = file_number, .offset = offset};
    Shard& shard = shard_of(key);
    absl::MutexLock lock(&shard.mutex);
    const auto found = shard.index.find(key);
    if (found == shard.index.end()) {
        misses_.fetch_add(1, std::memory_order_relaxed);
        return nullptr;
    }
    hits_.fetch_add(1, std::memory_order_relaxed);
    shard.entries.splice(shard.entries.begin(), shard.entries, found->second);
    return found->second->block;
}

void BlockCache::insert(uint64_t file_number, uint64_t offset, std::shared_ptr<const Block> block) {
    const Key key{.file_number = file_number, .offset = offset};
    const uint64_t bytes = block->memory_bytes();
    if (bytes > shard_bytes_max_) {
        return;
    }
    Shard& shard = shard_of(key);
    absl::MutexLock lock(&shard.mutex);
    if (shard.index.contains(key)) {
        return;
    }
    shard.entries.push_front({.key = key, .block = std::move(block)});
    shard.index.emplace(key, shard.entries.begin());
    shard.bytes += bytes;
    while (shard.bytes > shard_bytes_max_) {
        const Entry& oldest = shard.entries.back();
        shard.bytes -= oldest.block->memory_bytes();
        shard.index.erase(oldest.key);
        shard.entries.pop_back();
    }
}

uint64_t BlockCache::memory_bytes() const {
    uint64_t bytes = 0;
    for (const Shard& shard : shards_) {
        absl::MutexLock lock(&shard.mutex);
        bytes += shard.bytes;
    }
    return bytes;
}

}  // namespace starling::storage::lsm
