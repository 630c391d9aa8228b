#pragma once

// How comparison and copying (anti-entropy, hand-over) reach the data of one shard, without knowing
// the engine. Everything runs on the shard's loop; a callback runs once, on that loop, possibly
// before the call returns.

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "node/replica/group.h"
#include "node/version/frontier.h"
#include "node/version/record.h"

namespace starling::node {

// A record belongs to the bucket of the low byte of XXH3-64 of its group key.
inline constexpr size_t bucket_count = 256;

// Per bucket the sum, modulo 2^64, of its records' digests.
using BucketDigests = std::array<uint64_t, bucket_count>;

size_t bucket_of(std::string_view group_key);

// Frontier and hash tree of a group, taken at one moment.
struct GroupSummary {
    Frontier frontier;
    BucketDigests buckets{};
};

struct KeyDigest {
    std::string key;
    uint64_t digest = 0;
};

struct KeyRecord {
    // A group key.
    std::string key;
    Record record;
};

struct ScanPage {
    std::vector<KeyRecord> records;
    // Where the next page starts; empty when this was the last.
    std::string next;
};

class GroupAccess {
  public:
    template <typename T>
    using Callback = absl::AnyInvocable<void(absl::StatusOr<T>)>;
    using Done = absl::AnyInvocable<void(absl::Status)>;

    // How often the group's data was dropped in this life of the node.
    virtual uint64_t drop_count(GroupId group) const = 0;
    // The groups of a partition that this node keeps anything of.
    virtual std::vector<GroupId> groups_of(base::PartitionId partition) = 0;
    // unavailable while the tree is being rebuilt after a start.
    virtual absl::StatusOr<GroupSummary> summary(GroupId group) = 0;
    virtual void list_bucket(GroupId group,
                             size_t bucket,
                             Callback<std::vector<KeyDigest>> done) = 0;
    // Records of the keys that exist, in the order asked.
    virtual void fetch(GroupId group,
                       std::vector<std::string> keys,
                       Callback<std::vector<KeyRecord>> done) = 0;
    // In key order from `from` (inclusive; empty = the beginning), up to about `bytes_max` bytes.
    virtual void scan(GroupId group,
                      std::string from,
                      size_t bytes_max,
                      Callback<ScanPage> done) = 0;
    // Merges (R3) records another replica holds. OK once they are durable here.
    virtual void merge_records(GroupId group, std::vector<KeyRecord> records, Done done) = 0;
    // R4: marks as seen all that `frontier` covers. OK once that is durable.
    // REQUIRES: this replica reflects every dot of `frontier`, durably.
    virtual void unite_frontier(GroupId group, Frontier frontier, Done done) = 0;

  protected:
    ~GroupAccess() = default;
};

}  // namespace starling::node
