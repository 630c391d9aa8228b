#pragma once

// The sequences that readers still look at. A change that a newer one of the same key hides from
// all of them, and from the newest state, is garbage.

#include <atomic>
#include <map>
#include <vector>

#include "absl/synchronization/mutex.h"

#include "storage/engine.h"
#include "storage/live_count.h"
#include "storage/lsm/internal_key.h"

namespace starling::storage::lsm {

// Thread-safe.
class SnapshotList {
  public:
    // Reading the newest sequence and noting it are one step: a compaction that lists the snapshots
    // before sees only changes that the new snapshot may see too.
    Sequence take(const std::atomic<Sequence>& newest) {
        absl::MutexLock lock(&mutex_);
        const Sequence sequence = newest.load(std::memory_order_acquire);
        ++holders_[sequence];
        return sequence;
    }
    void release(Sequence sequence) {
        absl::MutexLock lock(&mutex_);
        const auto found = holders_.find(sequence);
        if (--found->second == 0) {
            holders_.erase(found);
        }
    }
    // Ascending.
    std::vector<Sequence> list() const {
        absl::MutexLock lock(&mutex_);
        std::vector<Sequence> sequences;
        sequences.reserve(holders_.size());
        for (const auto& [sequence, count] : holders_) {
            sequences.push_back(sequence);
        }
        return sequences;
    }

  private:
    mutable absl::Mutex mutex_;
    std::map<Sequence, uint32_t> holders_ ABSL_GUARDED_BY(mutex_);
};

class LsmSnapshot final : public Snapshot {
  public:
    // The list is shared, so that a snapshot released late does not touch freed memory.
    LsmSnapshot(std::shared_ptr<SnapshotList> list,
                const std::atomic<Sequence>& newest,
                LiveCount::Hold hold)
        : list_(std::move(list)), sequence_(list_->take(newest)), hold_(std::move(hold)) {}
    ~LsmSnapshot() override { list_->release(sequence_); }
    LsmSnapshot(const LsmSnapshot&) = delete;
    LsmSnapshot& operator=(const LsmSnapshot&) = delete;

    Sequence sequence() const { return sequence_; }

  private:
    const std::shared_ptr<SnapshotList> list_;
    const Sequence sequence_;
    const LiveCount::Hold hold_;
};

}  // namespace starling::storage::lsm
