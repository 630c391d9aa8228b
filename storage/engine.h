#pragma once

// The storage engine: an ordered map from byte strings to byte strings that survives crashes. It
// knows nothing of versions, partitions or quorums. `lsm` is the durable engine, `in_memory` keeps
// nothing.
//
// 1. A batch is atomic: after a crash all of it is there or none.
// 2. A write is visible to reads when write() returns OK, and durable once a sync() that began
// later
//    is OK. A write that was refused is not visible and never will be, not after a restart either.
//    (With .sync, write() is both, and its error may be the sync's: then the batch is visible, and
//    nobody knows whether it will survive.) Durability is a prefix: if a batch survived, so did all
//    before it.
// 3. After the first failed sync or background error the engine refuses writes until reopened
//    (`failed_precondition`, naming the first error); reads go on. There are two exceptions. On a
//    full disk writes get `resource_exhausted`, and the engine heals when space returns. Damage
//    that background work meets stops merging, and nothing else, until give_up() (see damage()).
// 4. Damaged data is never returned: `data_loss`, naming file and offset. Damage of tables and
//    values, not of logs, is healed in place: scrub() meets it before it is needed, find_damage()
//    says which keys are lost, give_up() makes do without them, and who has them elsewhere puts
//    them again.
//
// 5. A value may carry an expiry, an absolute time. From then on it is absent: for get(), for
//    iterators, for the conditions of write_if(). What has been seen to expire stays expired while
//    the engine is open, whatever its clock does. A plain put over it clears the expiry.
//
// 6. No call throws: memory that cannot be had ends the process, which is a crash without power
// loss.
//
// Thread-safe. No call but compact(), checkpoint(), give_up() and scrub() waits for background
// work: when writes outrun it, write() answers `unavailable` ("stalled"), and the caller tries
// again later.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "base/time.h"

namespace starling::storage {

// Milliseconds since 1970; never: no expiry.
using Expiry = uint64_t;
inline constexpr Expiry never = 0;
// The last one that a WallTime can name; a later one in a file is damage.
inline constexpr Expiry expiry_max = static_cast<Expiry>(
    std::chrono::duration_cast<std::chrono::milliseconds>(base::Duration::max()).count());

// Changes applied as one; a later change of a key wins over an earlier one.
class WriteBatch {
  public:
    void put(std::string_view key, std::string_view value);
    // Absent from `expiry` on, which counts in whole milliseconds since 1970.
    void put(std::string_view key, std::string_view value, base::WallTime expiry);
    void remove(std::string_view key);
    // All keys in [begin, end); an empty end means to the end.
    void remove_range(std::string_view begin, std::string_view end);
    void clear();
    // Appends the changes of `other`, in order.
    void append(const WriteBatch& other);

    size_t count() const { return count_; }
    size_t range_removal_count() const { return range_removal_count_; }
    size_t byte_size() const { return representation_.size(); }
    bool empty() const { return count_ == 0; }
    // The changes in the encoding of docs/formats/batch.md.
    std::string_view representation() const { return representation_; }

    // What replay() calls, for each change in order. The views are valid during the call.
    class Handler {
      public:
        virtual void put(std::string_view key, std::string_view value, Expiry expiry) = 0;
        virtual void remove(std::string_view key) = 0;
        virtual void remove_range(std::string_view begin, std::string_view end) = 0;

      protected:
        ~Handler() = default;
    };
    // data_loss when `representation` is not a batch; nothing is called for what follows the
    // damage.
    static absl::Status replay(std::string_view representation, Handler& handler);

  private:
    std::string representation_;
    size_t count_ = 0;
    size_t range_removal_count_ = 0;
};

// A frozen view of the engine. Released by destruction, before the engine closes.
class Snapshot {
  public:
    virtual ~Snapshot() = default;
};

// REQUIRES of all but the seeks: valid(). Views stay valid until the iterator moves.
class Iterator {
  public:
    virtual ~Iterator() = default;
    virtual bool valid() const = 0;
    virtual void seek_to_first() = 0;
    virtual void seek_to_last() = 0;
    // The first key >= target.
    virtual void seek(std::string_view target) = 0;
    // The last key < target.
    virtual void seek_before(std::string_view target) = 0;
    virtual void next() = 0;
    virtual void previous() = 0;
    virtual std::string_view key() const = 0;
    virtual std::string_view value() const = 0;
    virtual Expiry expiry() const = 0;
    // Why the iterator is not valid: OK at the end of the range.
    virtual absl::Status status() const = 0;
};

struct IteratorOptions {
    // [lower, upper); an empty upper bound means to the end.
    std::string lower;
    std::string upper;
    // Null: the state when the iterator is made.
    const Snapshot* snapshot = nullptr;
    // Shows what has expired and is still there, too.
    bool include_expired = false;
};

struct WriteOptions {
    bool sync = false;
    // Taken although tables wait to be merged: for the few writes without which nothing would be
    // merged any more.
    bool urgent = false;
};

struct Entry {
    std::string value;
    Expiry expiry = never;
};

// What a key must hold for a conditional batch to be applied; nullopt: it must be absent.
struct Condition {
    std::string key;
    std::optional<std::string> expected;
};

// How near the engine is to refusing writes. A caller that slows down when this is above `none`
// meets no refusal.
enum class WritePressure : uint8_t {
    none,
    // Background work falls behind: half of what may wait does.
    rising,
    // The next write may be refused.
    refusing,
};

struct LevelStatistics {
    uint64_t tables = 0;
    uint64_t bytes = 0;
    // Of compactions into this level; level 0: of flushes.
    uint64_t read_bytes = 0;
    uint64_t written_bytes = 0;
};

struct EngineStatistics {
    uint64_t memory_bytes = 0;
    uint64_t disk_bytes = 0;
    uint64_t log_bytes = 0;
    uint64_t flushes = 0;
    uint64_t compactions = 0;
    uint64_t syncs = 0;
    uint64_t block_cache_hits = 0;
    uint64_t block_cache_misses = 0;
    // Since the engine was opened. Of keys and values, as the caller wrote them.
    uint64_t user_written_bytes = 0;
    // Of log, tables and value files; over user_written_bytes it is the write amplification.
    uint64_t disk_written_bytes = 0;
    // Reads that reached tables, and the table blocks they looked at: the read amplification.
    uint64_t table_reads = 0;
    uint64_t table_blocks_read = 0;
    uint64_t filter_hits = 0;
    // Filters that let a read through to a table without the key.
    uint64_t filter_misses = 0;
    // Newest values and their keys, as far as the engine knows without reading; disk_bytes over it
    // is the space amplification. 0: unknown.
    uint64_t live_bytes = 0;
    // What separate value files hold, and how much of it nothing points to any more.
    uint64_t value_file_bytes = 0;
    uint64_t value_file_garbage_bytes = 0;
    // Refused writes, and the time from the first refusal of a row to the next accepted write.
    uint64_t stalls = 0;
    base::Duration stall_time{0};
    // Given out and not released yet. Their number has no limit: each keeps what it sees from being
    // dropped, and an iterator the files, too.
    uint64_t snapshots = 0;
    uint64_t iterators = 0;
    std::vector<LevelStatistics> levels;
};

// All keys from `first` to `last`, both included.
struct KeyRange {
    std::string first;
    std::string last;

    friend bool operator==(const KeyRange&, const KeyRange&) = default;
};

struct ScrubStep {
    // What was looked at takes so many on the disk.
    uint64_t bytes = 0;
    // The round is complete.
    bool is_last = false;
};

class Engine {
  public:
    virtual ~Engine() = default;

    // nullopt: absent. May read the disk.
    virtual absl::StatusOr<std::optional<std::string>> get(std::string_view key,
                                                           const Snapshot* snapshot = nullptr) = 0;
    // As get(), but answers only what memory can tell: `unavailable` when the disk would have to be
    // read.
    virtual absl::StatusOr<std::optional<std::string>> get_from_memory(std::string_view key) = 0;
    // As get(), with the expiry.
    virtual absl::StatusOr<std::optional<Entry>> get_entry(std::string_view key,
                                                           const Snapshot* snapshot = nullptr) = 0;
    // OK says nothing about the disk: when that has failed meanwhile, the next sync() says so.
    virtual absl::Status write(const WriteBatch& batch, WriteOptions options = {}) = 0;
    // As write(), but only if all conditions hold at the moment of the change; else `aborted`,
    // naming the first key that does not. May read the disk. Nothing of other writers comes
    // between.
    virtual absl::Status write_if(std::span<const Condition> conditions,
                                  const WriteBatch& batch,
                                  WriteOptions options = {}) = 0;
    // Makes all earlier writes durable. Calls may overlap; they share syncs.
    virtual absl::Status sync() = 0;
    virtual std::unique_ptr<Iterator> new_iterator(IteratorOptions options = {}) = 0;
    virtual std::unique_ptr<Snapshot> snapshot() = 0;
    // Makes a copy of the state, durable, in `directory`, which must not exist; it opens like any
    // other data directory. Files that never change are shared by hard links. It is built as
    // `<directory>.partial`, which the next try removes when this one died, and renamed: it is
    // there whole or not at all. already_exists; failed_precondition: another one is being made
    // there, or something is in the way.
    virtual absl::Status checkpoint(const std::string& directory) = 0;
    // Rewrites what is there without what nobody needs: removed, replaced and expired values.
    // Runs on the caller's thread, for as long as reading and writing everything takes.
    // data_loss: it met damage, or damage() is not OK.
    virtual absl::Status compact() = 0;
    // To be called now and then, once a minute, say. Where nothing was flushed since the last call,
    // begins to merge away what was removed, as far as it makes up half of a table or of what is
    // in memory: in the background, within the rate limit, until there is none or somebody writes.
    // Else that goes with the merges which further writes bring. Files that were merged away while
    // somebody read them go, too.
    virtual void reclaim_while_quiet() = 0;
    // Where keys cannot be read any more, ascending and without overlap; empty: nowhere. Reads all
    // that is on the disk, past the engine's caches, but not the log; changes nothing. A range may
    // hold keys that can be read, and keys that were never there. Errors of the disk that are no
    // damage are returned as they are. cancelled: close() or end_searches() came between.
    virtual absl::StatusOr<std::vector<KeyRange>> find_damage() = 0;
    // Looks for damage piece by piece, before somebody needs what is there: reads on where the last
    // call stopped, as find_damage() does, until it has read about `bytes`, or many small pieces
    // (at least one value, or one block with its values), or has come to the end of a round. In a
    // round all is read that was there at its beginning and still is; the next call begins another.
    // data_loss: it met damage; damage() says so from then on, and merges go on all the same until
    // they meet some. cancelled, and errors of the disk, as find_damage(). After an error the next
    // call goes on behind what could not be read. Waits for give_up().
    virtual absl::StatusOr<ScrubStep> scrub(uint64_t bytes) = 0;
    // Gives up what cannot be read in `ranges`, which find_damage() returned: from then on a key
    // there may be absent, or hold what it held at some earlier time; all others are as they were.
    // Iterators that are open go on to meet the damage. Durable once OK, and then damage() is OK.
    // Looks for damage anew, so it takes as long as find_damage(), and as rewriting the files with
    // damage does.
    //
    // data_loss: there is damage outside of `ranges` (the error names it), and nothing has changed.
    // resource_exhausted: no room for the new files; an error of the disk is a background error, as
    // one of compact() is; cancelled, as above. Of `ranges` some may be given up then; all is once
    // a later call is OK.
    virtual absl::Status give_up(std::span<const KeyRange> ranges) = 0;
    // Ends the searches of find_damage(), scrub() and give_up() that are under way, each of which
    // may have a whole disk to read, and refuses further ones: cancelled. For who has to wait for
    // these calls before close().
    virtual void end_searches() = 0;
    // The first damage that a merge has met since the last give_up(), else the first that scrub()
    // or opening has. After a merge has met some nothing is merged any more until give_up(); writes
    // are taken for as long as there is room for what is not merged. OK: none was met.
    virtual absl::Status damage() const = 0;
    // Of the disk (of memory, where nothing else is) that the keys in [begin, end) take, without
    // reading it. An empty end means to the end.
    virtual uint64_t approximate_bytes(std::string_view begin, std::string_view end) const = 0;
    virtual WritePressure write_pressure() const = 0;
    // Why writes are refused; OK when they are not.
    virtual absl::Status background_error() const = 0;
    virtual EngineStatistics statistics() const = 0;
    // Flushes what is in memory, waits for background jobs that run, closes the files. Further
    // calls are refused with failed_precondition. Destruction without close() is a crash without
    // power loss.
    virtual absl::Status close() = 0;
};

}  // namespace starling::storage
