#pragma once

// Lets background jobs in while the engine is open. A job that starts after close() finds the gate
// shut and does nothing; close() waits only for jobs that are running at that moment, on other
// threads. Jobs share the gate and nothing else, since a queue may keep one long after the engine
// is gone. Thread-safe.

#include <atomic>

#include "absl/synchronization/mutex.h"

namespace starling::storage {

class JobGate {
  public:
    // After true, leave() must follow.
    bool enter() {
        absl::MutexLock lock(&mutex_);
        if (shut_) {
            return false;
        }
        ++inside_;
        return true;
    }
    void leave() {
        absl::MutexLock lock(&mutex_);
        --inside_;
        left_.SignalAll();
    }
    void close() {
        absl::MutexLock lock(&mutex_);
        shut_ = true;
        while (inside_ > 0) {
            left_.Wait(&mutex_);
        }
    }
    // Long jobs ask, and end early.
    bool shut() const { return shut_; }
    // Searches of the whole disk are to end before the gate is shut.
    void end_searches() { searches_ended_ = true; }
    bool shut_to_searches() const { return shut_ || searches_ended_; }

  private:
    absl::Mutex mutex_;
    absl::CondVar left_;
    std::atomic<bool> shut_ = false;
    std::atomic<bool> searches_ended_ = false;
    int inside_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace starling::storage
