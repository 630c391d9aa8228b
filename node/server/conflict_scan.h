#pragma once

// Looks through this node's records of one namespace for keys with more than one value to show. One
// page reads a bounded number of bytes and passes a bounded number of partitions; what is left is
// for the next request, so that a search of much data takes turns with everything else.
//
// It goes from partition to partition, each time on the loop of the shard that has it.

#include <functional>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"

#include "node/api.h"
#include "node/coordinator/cluster_view.h"
#include "node/replica/group_access.h"

namespace starling::node {

class Shard;

class ConflictScan : public std::enable_shared_from_this<ConflictScan> {
  public:
    // Of one page. A record that is larger by itself is read as a whole.
    static constexpr size_t bytes_max = size_t{4} << 20;
    static constexpr uint32_t partitions_max = 256;
    // Of one node at once.
    static constexpr uint32_t serving_max = 4;

    struct Shards {
        uint32_t shard_count = 1;
        std::function<void(uint32_t shard, absl::AnyInvocable<void(Shard&)> task)> on_shard;
    };
    using Done = absl::AnyInvocable<void(absl::StatusOr<ConflictPage>)>;

    // `done` is called on some shard's loop, possibly before this returns.
    static void start(const ClusterView& view, ConflictQuery query, Shards shards, Done done);

  private:
    ConflictScan(NamespaceInfo info,
                 uint32_t partition_count,
                 ConflictQuery query,
                 Shards shards,
                 Done done);

    void go_on();
    void search(Shard& shard);
    void take(absl::StatusOr<ScanPage> page);
    void look_at(const KeyRecord& record);
    void next_partition();
    bool is_page_full() const;
    void finish();

    const NamespaceInfo info_;
    const uint32_t partition_count_;
    const uint32_t keys_max_;
    const Shards shards_;
    Done done_;

    // Where the search stands; beyond the last partition at its end.
    uint32_t partition_;
    std::string key_;
    // By which values have expired.
    uint64_t now_ms_ = 0;
    size_t bytes_left_ = bytes_max;
    uint32_t partitions_left_ = partitions_max;
    ConflictPage page_;
};

}  // namespace starling::node
