#pragma once

// What is done to the tables of a database, each as one edit of its catalog: a memtable becomes
// tables, tables are merged, moved or dropped. Background decides when, and sees to it that no two
// calls of flush_oldest() overlap, nor two of the others; files that nobody needs any more may be
// removed beside them.

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "base/time.h"
#include "env/clock.h"
#include "env/file_system.h"
#include "storage/expiry_clock.h"
#include "storage/log/log.h"
#include "storage/lsm/catalog.h"
#include "storage/lsm/compaction_picker.h"
#include "storage/lsm/damage.h"
#include "storage/lsm/read_view.h"
#include "storage/lsm/reclaim.h"
#include "storage/lsm/snapshot_list.h"
#include "storage/lsm/table_cache.h"
#include "storage/lsm/table_writer.h"
#include "storage/lsm/warm_blocks.h"
#include "storage/options.h"

namespace starling::storage::lsm {

class TableJobs {
  public:
    // What it works on; all borrowed.
    struct Parts {
        env::FileSystem& files;
        Catalog& catalog;
        Log& log;
        TableCache& tables;
        ValueFiles& values;
        CurrentView& view;
        const SnapshotList& snapshots;
        const ExpiryClock& expiry_clock;
        const env::Clock& clock;
    };

    // A merge that has begun.
    class Merge {
      public:
        // As TableWriter's.
        absl::StatusOr<bool> run(absl::FunctionRef<bool()> should_pause) {
            return writer_->run(*entries_, should_pause);
        }
        // Instead of finish().
        void abandon() { writer_->remove(); }

        base::MonotonicTime begin() const { return begin_; }
        const Compaction& compaction() const { return compaction_; }
        // Read and written so far; at the end all of it.
        uint64_t traffic_bytes() const;

      private:
        friend class TableJobs;
        explicit Merge(BlockCache& cache) : warm_(cache) {}

        Compaction compaction_;
        base::MonotonicTime begin_;
        // That the inputs are of.
        std::shared_ptr<const Version> version_;
        uint64_t entry_count_ = 0;
        WarmBlocks warm_;
        std::unique_ptr<InternalIterator> entries_;
        std::unique_ptr<TableWriter> writer_;
    };

    // `should_stop` ends merges with `cancelled`. Any thread asks it.
    TableJobs(std::string directory,
              const EngineOptions& options,
              Parts parts,
              std::function<bool()> should_stop);

    // The oldest memtable that is full; OK: there is none.
    absl::Status flush_oldest();
    // REQUIRES: compaction.is_move().
    absl::Status move(const Compaction& compaction);
    // Where it is not null, without what `given_up` takes. resource_exhausted: no room for it.
    absl::StatusOr<std::unique_ptr<Merge>> begin_merge(Compaction compaction,
                                                       const Damage* given_up = nullptr);
    // REQUIRES: run() was true.
    absl::Status finish(Merge& merge);
    // Of `version`, the present one.
    absl::Status remove_dead_tables(const Version& version, const ReclaimState& state);
    void remove_unused_files();

    uint64_t flush_count() const { return flush_count_.load(std::memory_order_relaxed); }
    uint64_t compaction_count() const { return compaction_count_.load(std::memory_order_relaxed); }
    // What compactions into a level (flushes, of level 0) read and wrote.
    uint64_t read_bytes(uint32_t level) const {
        return traffic_[level].read.load(std::memory_order_relaxed);
    }
    uint64_t written_bytes(uint32_t level) const {
        return traffic_[level].written.load(std::memory_order_relaxed);
    }

  private:
    struct Traffic {
        std::atomic<uint64_t> read = 0;
        std::atomic<uint64_t> written = 0;
    };

    absl::Status replace(const Compaction& compaction, VersionEdit edit);
    absl::Status commit(VersionEdit edit);
    // Of an edit that does not count, or may not.
    void retire_new_files(const VersionEdit& edit);
    // Since it was asked with the same `lookups_before`, for a job that writes `bytes`.
    bool has_readers(uint64_t bytes, uint64_t& lookups_before);
    absl::Status check_space(uint64_t bytes);
    TableWriterOptions writer_options() const;
    Compression compression_of(const Version& version, uint32_t level) const;
    void note_written(uint32_t level, const WrittenTables& written);
    void remove_log(uint64_t number);

    // Constant after construction.
    const std::string directory_;
    const EngineOptions options_;
    const Parts parts_;
    const std::function<bool()> should_stop_;

    std::atomic<uint64_t> flush_count_ = 0;
    std::atomic<uint64_t> compaction_count_ = 0;
    std::array<Traffic, level_count> traffic_;
    // Of the block cache; of flush_oldest().
    uint64_t hits_at_flush_ = 0;
    // What readers have asked the cache of blocks until the last flush and the last merge.
    uint64_t lookups_at_flush_ = 0;
    uint64_t lookups_at_merge_ = 0;
};

}  // namespace starling::storage::lsm
