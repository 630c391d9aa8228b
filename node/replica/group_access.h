#pragma once

// How comparison and copying (anti-entropy, hand-over) reach the data of one shard, without knowing
// the engine. Everything runs on the shard's loop; a callback runs once, on that loop, possibly
// before the call returns.

#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/functional/any_invocable.h"
#include "absl/numeric/int128.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "node/replica/group.h"
#include "node/version/frontier.h"
#include "node/version/record.h"

namespace starling::node {

// A record belongs to the bucket of the low byte of XXH3-64 of its group key.
inline constexpr size_t bucket_count = 256;

// Per bucket the sum, modulo 2^64, of its records' leaf digests.
using BucketDigests = std::array<uint64_t, bucket_count>;

size_t bucket_of(std::string_view group_key);

// As it travels: 32 bytes, bucket b is bit b % 8 of byte b / 8.
using BucketSet = std::bitset<bucket_count>;
std::string encode(const BucketSet& buckets);
// None from bytes of another length.
std::optional<BucketSet> decode_bucket_set(std::string_view bytes);

// Of a key and its record as it is stored.
absl::uint128 fingerprint_of(std::string_view group_key, std::string_view record);
using RecordFingerprints = absl::flat_hash_set<absl::uint128>;

// Frontier and hash tree of a group, taken at one moment.
struct GroupSummary {
    Frontier frontier;
    BucketDigests buckets{};
};

struct KeyDigest {
    std::string key;
    uint64_t digest = 0;
};

// A part of the keys of some buckets.
struct ListingPage {
    // In their order. Those of a value.
    std::vector<KeyDigest> keys;
    // The page speaks of the keys up to this one, and the next one begins after it; empty: of all
    // that follow.
    std::string up_to;
    // Of records, of whatever bucket, with their keys.
    size_t bytes_read = 0;
};

struct KeyRecord {
    // A group key.
    std::string key;
    Record record;
};

// A dot that not all owners are known to have seen, and the key that it was written to.
struct IndexedDot {
    Dot dot;
    // A group key.
    std::string key;
};

// Many of them, in their order: a key may be long, and written often.
struct IndexedDots {
    struct Entry {
        Dot dot;
        uint32_t key = 0;
    };
    // Group keys, each once.
    std::vector<std::string> keys;
    // REQUIRES: each `key` is below the number of keys.
    std::vector<Entry> entries;

    // With its key, as it is stored.
    static size_t stored_bytes(std::string_view key) { return sizeof(Dot) + key.size(); }
};

// What the dots of a page may take where they are stored, in one batch; a page may be above it by
// one of them.
constexpr size_t indexed_bytes_max = 256u << 10;

// What a replica has seen and another has not.
struct MissingPage {
    // All that this replica had seen when it was asked.
    Frontier frontier;
    IndexedDots dots;
    // Of the dots' keys, each once, but those that were sent before.
    std::vector<KeyRecord> records;
    std::vector<absl::uint128> fingerprints;
    // More dots follow, after the last of these.
    bool has_more = false;
    // As it was given to missing().
    RecordFingerprints sent;
};

// Group keys from `from` on (empty: the first) up to before `end` (empty: to the last).
struct KeyRange {
    std::string from = {};
    std::string end = {};
};

struct ScanPage {
    std::vector<KeyRecord> records;
    // As they are stored, with their keys.
    size_t bytes = 0;
    // Where the next page starts; empty when this was the last.
    std::string next;
};

// Which dots a replica names with their keys.
enum class KnownDots : uint8_t {
    // Those that not all owners are known to have seen.
    indexed,
    // And those of all tombstones: no value tells of these, and who was no owner when they left the
    // index lacks them. Each page reads the whole list of them.
    and_tombstones,
};

class GroupAccess {
  public:
    template <typename T>
    using Callback = absl::AnyInvocable<void(absl::StatusOr<T>)>;
    using Done = absl::AnyInvocable<void(absl::Status)>;

    // How often the group's data was dropped in this life of the node; with 0 replicas, that of any
    // group of the partition, where trying again what has failed is no other time.
    virtual uint64_t drop_count(GroupId group) const = 0;
    // The groups of a partition that this node keeps anything of.
    virtual std::vector<GroupId> groups_of(base::PartitionId partition) = 0;
    // Rises with each change of the group's frontier or tree.
    virtual uint64_t change_count(GroupId group) const = 0;
    // unavailable while the tree is being rebuilt after a start.
    virtual absl::StatusOr<GroupSummary> summary(GroupId group) = 0;
    // The `known` dots that `seen` has not, after `after` (none: from the first), and the records
    // of their keys but those in `sent`, up to about `bytes_max` bytes. data_loss when a record
    // does not account for its dot.
    virtual void missing(GroupId group,
                         const Frontier& seen,
                         KnownDots known,
                         std::optional<Dot> after,
                         size_t bytes_max,
                         RecordFingerprints sent,
                         Callback<MissingPage> done) = 0;
    // Lists the keys of `buckets` after `after` (empty: from the first), up to about `bytes_max`
    // bytes of them, and up to what can be read in a moment: a page may be empty and not the last.
    virtual void list_buckets(GroupId group,
                              const BucketSet& buckets,
                              std::string after,
                              size_t bytes_max,
                              Callback<ListingPage> done) = 0;
    // Records of the keys that exist, in the order asked.
    virtual void fetch(GroupId group,
                       std::vector<std::string> keys,
                       Callback<std::vector<KeyRecord>> done) = 0;
    // In key order, up to about `bytes_max` bytes. Nothing beyond the range is read.
    virtual void scan(GroupId group, KeyRange range, size_t bytes_max, Callback<ScanPage> done) = 0;
    // Merges (R3) records that another replica holds, and indexes the dots that this one has not
    // seen. OK once that is durable here.
    virtual void merge_records(GroupId group,
                               std::vector<KeyRecord> records,
                               IndexedDots dots,
                               Done done) = 0;
    // Merges records into a replica that is being filled, without a claim that it has seen their
    // dots: most of those that they superseded are not here yet, and a frontier of so many gaps
    // would be large. `up_to`: how far the copy has come with them, empty at its end. OK once that
    // is durable here.
    virtual void copy_records(GroupId group,
                              std::vector<KeyRecord> records,
                              std::string up_to,
                              Done done) = 0;
    // Of a copy that was interrupted, in this life or an earlier one; empty: of none.
    virtual std::string copied_up_to(GroupId group) = 0;
    // For a replica that is being filled from another one that has seen `seen`: merges `records` of
    // `keys`, and drops what that has seen and no longer has (it has records of no other of these
    // keys). OK once that is durable here.
    virtual void take_over(GroupId group,
                           std::vector<std::string> keys,
                           std::vector<KeyRecord> records,
                           const Frontier& seen,
                           Done done) = 0;
    // R4: marks as seen all that `frontier` covers. OK once that is durable.
    // REQUIRES: this replica reflects every dot of `frontier`, durably.
    virtual void unite_frontier(GroupId group, Frontier frontier, Done done) = 0;

  protected:
    ~GroupAccess() = default;
};

}  // namespace starling::node
