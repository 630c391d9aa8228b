#pragma once

// What happens to data files off the request path: full ones become complete, stale ones are
// merged, those that nobody needs are removed. As a job on the workers, at most one at a time, or,
// for compact(), checkpoint() and give_up(), on the caller's thread.
//
// After an error other than a full disk nothing is done any more. After a full disk the work is
// tried again at the next schedule(). After a merge has met damage there is none until give_up() is
// OK. Thread-safe.

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

#include "env/event_loop.h"
#include "env/file_system.h"
#include "storage/bitcask/appender.h"
#include "storage/bitcask/damage.h"
#include "storage/bitcask/file_list.h"
#include "storage/bitcask/key_directory.h"
#include "storage/bitcask/merge.h"
#include "storage/bitcask/value_reader.h"
#include "storage/expiry_clock.h"
#include "storage/job_gate.h"
#include "storage/log/log.h"
#include "storage/options.h"

namespace starling::storage::bitcask {

class Maintenance {
  public:
    // What it works on; all borrowed.
    struct Parts {
        env::FileSystem& files;
        env::Workers& workers;
        Log& log;
        KeyDirectory& keys;
        Appender& appender;
        ValueReader& values;
        const ExpiryClock& expiry_clock;
    };

    // `list`: as it is on the disk.
    Maintenance(std::string directory, const EngineOptions& options, Parts parts, FileList list);

    // Submits a job, unless one is under way.
    void schedule();
    // schedule(), when there is something to do.
    void schedule_if_due();
    // Shuts the gate and waits for a job that runs. No job starts any more.
    void stop();

    // Completes all files that are full.
    absl::Status complete();
    // Merges everything into new files.
    absl::Status compact();
    // Makes `directory` hold what is in complete files after completing what was written so far.
    absl::Status checkpoint(const std::string& directory);
    void remove_unused_files();
    // As Engine's, on this thread.
    absl::StatusOr<std::vector<KeyRange>> find_damage();
    absl::StatusOr<ScrubStep> scrub(uint64_t bytes);
    absl::Status give_up(std::span<const KeyRange> ranges);
    void end_searches() { gate_->end_searches(); }
    absl::Status damage() const;

    // The first error; OK: none.
    absl::Status error() const;
    bool has_error() const { return has_error_.load(std::memory_order_acquire); }
    void set_error(const absl::Status& status);
    // The last job found no room.
    bool disk_full() const { return disk_full_.load(std::memory_order_relaxed); }
    uint64_t completed_count() const { return completed_.load(std::memory_order_relaxed); }
    uint64_t merge_count() const { return merges_.load(std::memory_order_relaxed); }
    uint64_t merged_bytes() const { return merged_bytes_.load(std::memory_order_relaxed); }

  private:
    void job();
    absl::Status work(bool& again) ABSL_EXCLUSIVE_LOCKS_REQUIRED(work_mutex_);
    absl::StatusOr<std::vector<LostValue>> look_for_damage() const;
    absl::Status remove(const std::vector<LostValue>& lost);
    absl::Status complete_locked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(work_mutex_);
    absl::Status merge(const std::vector<ListedFile>& inputs)
        ABSL_EXCLUSIVE_LOCKS_REQUIRED(work_mutex_);
    void remove_merged(const Merged& merged);
    absl::Status commit(FileList list) ABSL_EXCLUSIVE_LOCKS_REQUIRED(work_mutex_);
    void remove_unused_locked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(work_mutex_);
    absl::StatusOr<uint64_t> room() const;
    absl::Status fill_checkpoint(const std::string& directory, const FileList& list) const;
    absl::Status note(absl::Status status);
    // A merge has met damage.
    bool stands_still() const;

    // Constant after construction.
    const std::string directory_;
    const EngineOptions options_;
    const Parts parts_;
    // Shared with jobs that are still queued.
    const std::shared_ptr<JobGate> gate_ = std::make_shared<JobGate>();

    std::atomic<bool> under_way_ = false;
    std::atomic<bool> has_error_ = false;
    std::atomic<bool> disk_full_ = false;
    std::atomic<uint64_t> completed_ = 0;
    std::atomic<uint64_t> merges_ = 0;
    std::atomic<uint64_t> merged_bytes_ = 0;

    // Held by whoever works on files.
    absl::Mutex work_mutex_;
    FileList list_ ABSL_GUARDED_BY(work_mutex_);
    // The list on the disk names them no more; some reader may hold them.
    std::vector<DataFilePtr> retired_ ABSL_GUARDED_BY(work_mutex_);
    // The list on the disk may name them or not, since replacing it failed; the next one that is
    // written does not.
    std::vector<DataFilePtr> unsettled_ ABSL_GUARDED_BY(work_mutex_);

    absl::Mutex scrub_mutex_ ABSL_ACQUIRED_BEFORE(work_mutex_);
    Scrub scrub_ ABSL_GUARDED_BY(scrub_mutex_);

    mutable absl::Mutex error_mutex_;
    absl::Status error_ ABSL_GUARDED_BY(error_mutex_);
    // Met by a merge, and by scrub().
    absl::Status damage_ ABSL_GUARDED_BY(error_mutex_);
    absl::Status scrubbed_damage_ ABSL_GUARDED_BY(error_mutex_);
};

}  // namespace starling::storage::bitcask
