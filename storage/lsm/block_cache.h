#pragma once

// Blocks of tables in memory, unpacked and checked, the least recently used dropped first. Divided
// into shards, each with its own lock and an equal share of the bytes. Thread-safe.

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"

#include "storage/lsm/block.h"

namespace starling::storage::lsm {

class BlockCache {
  public:
    explicit BlockCache(uint64_t bytes_max);

    // Null: not there.
    std::shared_ptr<const Block> find(uint64_t file_number, uint64_t offset);
    // A block larger than a shard's share is not kept.
    void insert(uint64_t file_number, uint64_t offset, std::shared_ptr<const Block> block);

    uint64_t memory_bytes() const;
    uint64_t hits() const { return hits_.load(std::memory_order_relaxed); }
    uint64_t misses() const { return misses_.load(std::memory_order_relaxed); }

  private:
    struct Key {
        uint64_t file_number;
        uint64_t offset;

        friend bool operator==(const Key&, const Key&) = default;
        template <typename H>
        friend H AbslHashValue(H h, const Key& key) {
            return H::combine(std::move(h), key.file_number, key.offset);
        }
    };
    struct Entry {
        Key key;
        std::shared_ptr<const Block> block;
    };
    struct Shard {
        mutable absl::Mutex mutex;
        // The most recently used first.
        std::list<Entry> entries ABSL_GUARDED_BY(mutex);
        absl::flat_hash_map<Key, std::list<Entry>::iterator> index ABSL_GUARDED_BY(mutex);
        uint64_t bytes ABSL_GUARDED_BY(mutex) = 0;
    };

    static constexpr size_t shard_count = 16;

    Shard& shard_of(const Key& key);

    const uint64_t shard_bytes_max_;
    std::vector<Shard> shards_;
    std::atomic<uint64_t> hits_ = 0;
    std::atomic<uint64_t> misses_ = 0;
};

}  // namespace starling::storage::lsm
