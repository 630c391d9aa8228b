#pragma once

// The key directory: of each key, in order, where its value lies; and of each data file, how much
// of it is stale. Everything of it is in memory.
//
// 1. A version that is visible to somebody points into a file that is registered here.
// 2. What a version no longer needs counts as stale in its file, and the file remembers the key: as
// long as it holds that old value, a removal of the key must not be forgotten.
// 3. Values of the batches written last are kept in memory, those that have not reached their file
// always.
//
// Thread-safe. Shared with snapshots and iterators, which may be released after the engine.

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"

#include "storage/bitcask/changes.h"
#include "storage/bitcask/file_list.h"
#include "storage/lsm/internal_key.h"
#include "storage/versioned_map.h"

namespace starling::storage::bitcask {

// Held by whoever reads the file: it is not removed before.
struct DataFile {
    uint64_t number = 0;
};
using DataFilePtr = std::shared_ptr<const DataFile>;

// What a merge does with a change it meets.
enum class Fate : uint8_t {
    keep,
    // A value that a newer change hides, kept for a snapshot: what hides it is kept, too, though
    // the snapshot may go meanwhile.
    keep_hidden,
    drop,
    // A value that has expired: it goes, and so does its key.
    drop_expired,
    // The same, but an older value in another file must stay hidden.
    keep_as_removal,
};

// A version that a merge has given another place.
struct Move {
    std::string key;
    Sequence sequence = 0;
    Location to;
};

class KeyDirectory {
  public:
    explicit KeyDirectory(uint64_t recent_bytes_max);

    // A version and what reads its value: the batch in memory that holds it, or else the file.
    struct Found {
        std::string key;
        Location location;
        Expiry expiry = never;
        Sequence sequence = 0;
        std::shared_ptr<const std::string> recent;
        uint64_t recent_offset = 0;
        DataFilePtr file;
        // The file is.
        bool complete = false;

        std::string recent_value() const {
            return recent->substr(location.offset - recent_offset, location.size);
        }
    };
    // nullopt: the newest state.
    using At = std::optional<Sequence>;

    std::optional<Found> find(std::string_view key, At at, Expiry now) const;
    std::optional<Found> first_from(
        std::string_view key, bool beyond, std::string_view end, Sequence at, Expiry now) const;
    std::optional<Found> last_before(std::optional<std::string_view> key,
                                     std::string_view begin,
                                     Sequence at,
                                     Expiry now) const;
    // Of the last change.
    Sequence sequence() const;
    Sequence take_snapshot();
    void release_snapshot(Sequence sequence);

    // A log file begins; the one before is full.
    void begin_file(uint64_t number, Sequence flushed);
    // Applies the changes of a batch, whose payload stands at `offset` of the file begun last.
    // `appended`: the bytes of all records of the log, this one included; `written`: those that
    // are in its files.
    void apply(std::span<const Change> changes,
               std::string_view batch,
               uint64_t offset,
               uint64_t appended,
               uint64_t written);

    // Of the file begun last.
    uint64_t active_number() const;
    // Log files that are full and not complete yet, and where the log goes on behind them.
    struct FullFiles {
        std::vector<ListedFile> files;
        uint64_t next_number = 0;
        Sequence flushed = 0;
    };
    FullFiles full_files() const;
    void set_complete(std::span<const ListedFile> files);

    // Whether there are more stale bytes, and they are at least a third of all.
    bool is_stale(uint64_t stale_bytes_max) const {
        const uint64_t stale = stale_bytes_.load(std::memory_order_relaxed);
        return stale > stale_bytes_max && stale >= file_bytes_.load(std::memory_order_relaxed) / 3;
    }
    // Whether there are so many small files that merging them is worth it.
    bool is_scattered(uint64_t file_bytes_max) const;
    // Whether a third of the file begun last is stale.
    bool active_is_stale() const;
    // The files to merge, the stalest first, that hold at most `live_bytes_max` together (one may
    // hold more, but not more than `room`).
    std::vector<ListedFile> pick_merge(uint64_t file_bytes_max,
                                       uint64_t live_bytes_max,
                                       uint64_t room) const;
    Fate fate(const Change& change, const std::set<uint64_t>& inputs, Expiry now) const;
    // Registers a file written by a merge.
    void add_merged(const ListedFile& file);
    // What found no version any more is stale at its new place.
    void relocate(std::span<const Move> moves);
    void erase(std::span<const std::pair<std::string, Sequence>> expired);
    // The directory no longer needs the files; their readers may. REQUIRES: no version points into
    // them.
    std::vector<DataFilePtr> retire(const std::set<uint64_t>& numbers);

    // Filling an empty directory, in any order. Files first.
    void add_loaded(const ListedFile& file);
    void load(const Change& change);
    // The end of a log file whose size was not known.
    void set_bytes(uint64_t number, uint64_t bytes);
    void finish_loading(Sequence sequence);

    struct Sizes {
        uint64_t memory_bytes = 0;
        uint64_t file_bytes = 0;
        uint64_t stale_bytes = 0;
    };
    Sizes sizes() const;
    uint64_t approximate_bytes(std::string_view begin, std::string_view end) const;

  private:
    using Map = VersionedMap<Location>;
    enum class Stage : uint8_t { active, full, complete };

    struct File {
        DataFilePtr token;
        uint64_t bytes = 0;
        uint64_t stale_bytes = 0;
        Stage stage = Stage::active;
        bool merged = false;
        // Of a log file: the last change before it.
        Sequence flushed = 0;
        // Hashes of the keys whose values in here are stale.
        absl::flat_hash_set<uint64_t> stale_keys;
    };
    struct RecentBatch {
        uint64_t file = 0;
        uint64_t offset = 0;
        std::shared_ptr<const std::string> batch;
        // Of the log, its record included.
        uint64_t appended = 0;
    };

    Found found(std::string key, const Map::Version& version) const
        ABSL_SHARED_LOCKS_REQUIRED(mutex_);
    void mark_stale(std::string_view key, const Location& location)
        ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
    void add_stale(File& file, uint64_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
    void count_removal(const Change& change, File& file) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
    File& file(uint64_t number) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
    File& add_file(uint64_t number, Stage stage) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
    bool holds_stale(std::string_view key, const std::set<uint64_t>& except) const
        ABSL_SHARED_LOCKS_REQUIRED(mutex_);
    bool holds_any_stale(const std::set<uint64_t>& except) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
    Fate fate_of_put(const Change& change, const std::set<uint64_t>& inputs, Expiry now) const
        ABSL_SHARED_LOCKS_REQUIRED(mutex_);
    void trim_recent(uint64_t written) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

    // Constant after construction.
    const uint64_t recent_bytes_max_;

    // Of all files; read without the lock.
    std::atomic<uint64_t> file_bytes_ = 0;
    std::atomic<uint64_t> stale_bytes_ = 0;

    mutable absl::Mutex mutex_;
    Map map_ ABSL_GUARDED_BY(mutex_);
    std::map<uint64_t, File> files_ ABSL_GUARDED_BY(mutex_);
    uint64_t active_ ABSL_GUARDED_BY(mutex_) = 0;
    // In the order of files and offsets.
    std::deque<RecentBatch> recent_ ABSL_GUARDED_BY(mutex_);
    uint64_t recent_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
    struct LoadedRange {
        std::string begin;
        std::string end;
        Sequence sequence;
    };
    std::vector<LoadedRange> loaded_ranges_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace starling::storage::bitcask
