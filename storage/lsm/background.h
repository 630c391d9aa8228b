#pragma once

// Decides when full memtables are flushed and tables are merged, as jobs on the workers: at most
// one flush and one compaction at a time, and the two side by side. TableJobs carries them out.
// After an error other than a full disk nothing is done any more. After a full disk the work is
// tried again at the next schedule(). After a merge has met damage none begins until give_up() is
// OK; flushes go on.
//
// Under a rate limit a compaction is *idle* (none is due), *submitted* (a job is queued or runs) or
// *waiting* (a delayed job will begin it, or go on with it). It waits between its steps and, for
// what the one before moved, before it begins, until its time comes or level 0 has come half the
// way to stalling writers. A compaction that waits holds its inputs and no thread.
//
// Thread-safe. Holds no lock while it works on files, and calls submit() with none.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

#include "env/event_loop.h"
#include "storage/job_gate.h"
#include "storage/lsm/compaction_pace.h"
#include "storage/lsm/compaction_picker.h"
#include "storage/lsm/damage.h"
#include "storage/lsm/reclaim.h"
#include "storage/lsm/scrub.h"
#include "storage/lsm/table_jobs.h"
#include "storage/options.h"

namespace starling::storage::lsm {

class Background {
  public:
    // Borrows the parts and the workers. `damage`: what is known of it already.
    Background(std::string directory,
               const EngineOptions& options,
               TableJobs::Parts parts,
               env::Workers& workers,
               absl::Status damage);

    // Submits the jobs that are due and not under way.
    void schedule();
    // Shuts the gate and waits for jobs that run; gives up a compaction between its steps.
    // Afterwards only flush_all() does work.
    void stop();
    // Flushes all immutable memtables, on this thread.
    absl::Status flush_all();
    // Flushes and merges everything into one level, on this thread and without the rate limit.
    // cancelled: stop() was called. data_loss: it met damage, or damage() is not OK.
    absl::Status compact_everything();
    // As Engine::reclaim_while_quiet(): until there is nothing to reclaim, or something was
    // flushed.
    void reclaim_removed();
    // Of files that nobody needs any more, on a worker.
    void remove_unused_soon();
    // As Engine's, on this thread. What fails but for want of room, once the damage is known, is
    // error() too.
    absl::StatusOr<std::vector<KeyRange>> find_damage();
    absl::StatusOr<ScrubStep> scrub(uint64_t bytes);
    absl::Status give_up(std::span<const KeyRange> ranges);
    void end_searches() { gate_->end_searches(); }

    // The first error; OK: none.
    absl::Status error() const;
    bool has_error() const { return has_error_.load(std::memory_order_acquire); }
    void set_error(const absl::Status& status);
    // As Engine's.
    absl::Status damage() const;
    // The last job found no room.
    bool disk_full() const { return disk_full_.load(std::memory_order_relaxed); }
    // What was done; to be asked for numbers only.
    const TableJobs& jobs() const { return jobs_; }

  private:
    enum class CompactionState { idle, waiting, submitted };
    struct Picked {
        Compaction compaction;
        // By its level's size: the next pick goes on behind it.
        bool in_turn = false;
    };
    // How long the job must wait before it goes on; nullopt: it is done.
    using Pause = std::optional<base::Duration>;

    void submit_flush();
    void submit_compaction(base::Duration delay, uint64_t ticket);
    bool is_urgent(const Version& version) const;
    void flush_job();
    void compaction_job(uint64_t ticket);
    absl::StatusOr<Pause> compact_what_is_due() ABSL_EXCLUSIVE_LOCKS_REQUIRED(compaction_mutex_);
    std::optional<Picked> pick() ABSL_EXCLUSIVE_LOCKS_REQUIRED(compaction_mutex_);
    absl::StatusOr<Pause> go_on() ABSL_EXCLUSIVE_LOCKS_REQUIRED(compaction_mutex_);
    void note_turn(const Compaction& compaction);
    void abandon() ABSL_EXCLUSIVE_LOCKS_REQUIRED(compaction_mutex_);
    bool can_reclaim(const Version& version) const;
    std::optional<Compaction> pick_removed(const Version& version)
        ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
    ReclaimState reclaim_state() const;
    absl::Status compact_all_levels() ABSL_EXCLUSIVE_LOCKS_REQUIRED(compaction_mutex_);
    absl::Status compact(Compaction compaction) ABSL_EXCLUSIVE_LOCKS_REQUIRED(compaction_mutex_);
    absl::StatusOr<Damage> look_for_damage();
    absl::Status repair(const Damage& damage) ABSL_EXCLUSIVE_LOCKS_REQUIRED(compaction_mutex_);
    // All of it in one step.
    absl::Status complete(TableJobs::Merge& merge);
    // Whether that is damage of a merge's inputs, which is remembered.
    bool met_damage(const absl::Status& status);
    // A merge has met damage.
    bool stands_still() const;
    void conclude(const absl::Status& status);

    // Constant after construction.
    const std::string directory_;
    const EngineOptions options_;
    const TableJobs::Parts parts_;
    env::Workers& workers_;
    const CompactionPace pace_;
    // Shared with jobs that are still queued.
    const std::shared_ptr<JobGate> gate_ = std::make_shared<JobGate>();

    TableJobs jobs_;
    std::atomic<bool> has_error_ = false;
    std::atomic<bool> disk_full_ = false;
    // Held for as long as a flush or a compaction takes; taken before mutex_, and not together.
    absl::Mutex flush_mutex_;
    absl::Mutex compaction_mutex_;
    // Null: no compaction is between its steps.
    std::unique_ptr<TableJobs::Merge> merge_ ABSL_GUARDED_BY(compaction_mutex_);
    bool merge_is_in_turn_ ABSL_GUARDED_BY(compaction_mutex_) = false;
    absl::Mutex scrub_mutex_ ABSL_ACQUIRED_BEFORE(compaction_mutex_, mutex_);
    Scrub scrub_ ABSL_GUARDED_BY(scrub_mutex_);

    mutable absl::Mutex mutex_ ABSL_ACQUIRED_AFTER(compaction_mutex_);
    absl::Status error_ ABSL_GUARDED_BY(mutex_);
    // Met by a merge.
    absl::Status damage_ ABSL_GUARDED_BY(mutex_);
    // Met by scrub(), or before.
    absl::Status seen_damage_ ABSL_GUARDED_BY(mutex_);
    bool flush_under_way_ ABSL_GUARDED_BY(mutex_) = false;
    CompactionState compaction_state_ ABSL_GUARDED_BY(mutex_) = CompactionState::idle;
    // A compaction job with another one comes too late: a later job took its place.
    uint64_t compaction_ticket_ ABSL_GUARDED_BY(mutex_) = 0;
    // Until then the rate limit lets no compaction begin.
    base::MonotonicTime paid_at_ ABSL_GUARDED_BY(mutex_){};
    CompactionPicker picker_ ABSL_GUARDED_BY(mutex_);
    bool reclaims_removed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace starling::storage::lsm
