#pragma once

// Reads one group's data from the engine, page by page. Blocks on disk: for workers.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

#include "node/replica/group_access.h"
#include "storage/engine.h"

namespace starling::node::group_reader {

// A stored value, or an empty record. data_loss when it does not decode.
absl::StatusOr<Record> decode_stored(const std::optional<std::string>& stored);

struct ListingLimits {
    // Keys and digests in the page.
    size_t bytes_max = 256u << 10;
    // What is read for it, of whatever bucket: so much takes a fraction of the time for which a
    // peer waits, on a slow disk, too, where values are apart and each is a read of its own.
    size_t records_read_max = 64u << 10;
    size_t bytes_read_max = 4u << 20;
};
// GroupAccess::list_buckets(). Each limit may be passed by one record.
absl::StatusOr<ListingPage> listing_page(storage::Engine& engine,
                                         GroupId group,
                                         const BucketSet& buckets,
                                         const std::string& after,
                                         const ListingLimits& limits);

// Those of the keys that have a record.
absl::StatusOr<std::vector<KeyRecord>> records_of(storage::Engine& engine,
                                                  GroupId group,
                                                  const std::vector<std::string>& keys);

absl::StatusOr<ScanPage> scan_page(storage::Engine& engine,
                                   GroupId group,
                                   const KeyRange& range,
                                   size_t bytes_max);

using IsDotWanted = std::function<bool(const Dot&)>;

// The indexed dots of `ranges` (ascending), and of the tombstones those that `is_tombstone_wanted`
// (none: of none), after `after` (none: from the first); and the records of their keys but those in
// `sent`; up to about `bytes_max` bytes. data_loss when a record does not account for its dot: it
// was lost here, and this replica cannot say what became of the write (R4 of docs/causality.md).
absl::StatusOr<MissingPage> missing_page(storage::Engine& engine,
                                         GroupId group,
                                         const std::vector<Frontier::Range>& ranges,
                                         const std::optional<Dot>& after,
                                         size_t bytes_max,
                                         RecordFingerprints sent,
                                         const IsDotWanted& is_tombstone_wanted = nullptr);

// Reads all that is stored of the group, and what missing_page() would of `ranges`. data_loss: it
// cannot be read, or a record does not account for its dot.
absl::Status check(storage::Engine& engine,
                   GroupId group,
                   const std::vector<Frontier::Range>& ranges);

// Of the indexed dots of `ranges` the first `count_max` whose record can be read and still has what
// was written.
absl::StatusOr<std::vector<IndexedDot>> readable_writes(storage::Engine& engine,
                                                        GroupId group,
                                                        const std::vector<Frontier::Range>& ranges,
                                                        size_t count_max);

// Of the indexed dots after `after` (none: from the first) the first `count_max` that are past
// `gone`.
absl::StatusOr<std::vector<Dot>> indexed_dots_past(storage::Engine& engine,
                                                   GroupId group,
                                                   const Frontier& gone,
                                                   const std::optional<Dot>& after,
                                                   size_t count_max);

struct StoredTombstone {
    Dot dot;
    uint64_t request_created_ms = 0;
    std::string key;
};
struct TombstonesPage {
    // Empty: there are no more.
    std::vector<StoredTombstone> tombstones;
    // When the request of the first behind them was created that is too young.
    std::optional<uint64_t> too_young_ms;
};
// Tombstones whose request is older than `created_before_ms`, oldest first, from the storage key
// `from` on.
absl::StatusOr<TombstonesPage> tombstones_page(storage::Engine& engine,
                                               GroupId group,
                                               uint64_t created_before_ms,
                                               const std::string& from,
                                               size_t count_max);

// Hash trees and counts of all groups, as the snapshot has them.
struct Counted {
    BucketDigests buckets{};
    uint64_t record_count = 0;
    uint64_t tombstone_count = 0;
    uint64_t oldest_tombstone_ms = UINT64_MAX;
};

// Counts them, a page at a time.
class GroupCount {
  public:
    // Reads on, about `bytes_max` bytes; true: that was all. data_loss: something does not decode.
    absl::StatusOr<bool> read_page(storage::Engine& engine,
                                   const storage::Snapshot& snapshot,
                                   size_t bytes_max);
    std::map<GroupId, Counted> take() { return std::move(groups_); }

  private:
    // True: what begins with `begin` was read to its end.
    absl::StatusOr<bool> read_on(storage::Engine& engine,
                                 const storage::Snapshot& snapshot,
                                 const std::string& begin,
                                 const std::string& end,
                                 size_t bytes_max,
                                 size_t& bytes);
    absl::Status add_record(std::string_view key, std::string_view value);
    absl::Status add_tombstone(std::string_view key);

    std::map<GroupId, Counted> groups_;
    // The last key that was read; empty: none yet.
    std::string after_;
    bool are_records_read_ = false;
};

}  // namespace starling::node::group_reader
