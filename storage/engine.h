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
//    (`failed_precondition`, naming the first error); reads go on. A full disk is the exception:
//    writes get `resource_exhausted` and the engine heals when space returns.
// 4. Damaged data is never returned: `data_loss`, naming file and offset.
//
// Thread-safe. No call waits for background work: when writes outrun it, write() answers
// `unavailable` ("stalled"), and the caller tries again later.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace starling::storage {

// Changes applied as one; a later change of a key wins over an earlier one.
class WriteBatch {
  public:
    void put(std::string_view key, std::string_view value);
    void remove(std::string_view key);
    void clear();
    // Appends the changes of `other`, in order.
    void append(const WriteBatch& other);

    size_t count() const { return count_; }
    size_t byte_size() const { return representation_.size(); }
    bool empty() const { return count_ == 0; }
    // The changes in the encoding of docs/formats/batch.md.
    std::string_view representation() const { return representation_; }

    // What replay() calls, for each change in order. The views are valid during the call.
    class Handler {
      public:
        virtual void put(std::string_view key, std::string_view value) = 0;
        virtual void remove(std::string_view key) = 0;

      protected:
        ~Handler() = default;
    };
    // data_loss when `representation` is not a batch; nothing is called for what follows the
    // damage.
    static absl::Status replay(std::string_view representation, Handler& handler);

  private:
    std::string representation_;
    size_t count_ = 0;
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
    // Why the iterator is not valid: OK at the end of the range.
    virtual absl::Status status() const = 0;
};

struct IteratorOptions {
    // [lower, upper); an empty upper bound means to the end.
    std::string lower;
    std::string upper;
    // Null: the state when the iterator is made.
    const Snapshot* snapshot = nullptr;
};

struct WriteOptions {
    bool sync = false;
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
    // OK says nothing about the disk: when that has failed meanwhile, the next sync() says so.
    virtual absl::Status write(const WriteBatch& batch, WriteOptions options = {}) = 0;
    // Makes all earlier writes durable. Calls may overlap; they share syncs.
    virtual absl::Status sync() = 0;
    virtual std::unique_ptr<Iterator> new_iterator(IteratorOptions options = {}) = 0;
    virtual std::unique_ptr<Snapshot> snapshot() = 0;
    // Why writes are refused; OK when they are not.
    virtual absl::Status background_error() const = 0;
    virtual EngineStatistics statistics() const = 0;
    // Flushes what is in memory, waits for background jobs that run, closes the files. Further
    // calls are refused with failed_precondition. Destruction without close() is a crash without
    // power loss.
    virtual absl::Status close() = 0;
};

}  // namespace starling::storage
