#pragma once

// std::mutex with the annotations by which clang's -Wthread-safety checks who holds it.
// (absl::Mutex would do, but its library is not built for the thread sanitizer, which then reports
// races that are none.)

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>

#include "absl/base/thread_annotations.h"

namespace starling::env {

class ABSL_LOCKABLE Mutex {
  public:
    void lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
    void unlock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }

    // Waits until `condition`, which is evaluated under the mutex, holds.
    template <typename Condition>
    void wait(std::condition_variable& changed, Condition condition)
        ABSL_EXCLUSIVE_LOCKS_REQUIRED(this) {
        std::unique_lock<std::mutex> held(mutex_, std::adopt_lock);
        changed.wait(held, condition);
        held.release();
    }
    // Waits for a notification, until `deadline`; may return without either.
    void wait_once(std::condition_variable& changed,
                   std::optional<std::chrono::steady_clock::time_point> deadline)
        ABSL_EXCLUSIVE_LOCKS_REQUIRED(this) {
        std::unique_lock<std::mutex> held(mutex_, std::adopt_lock);
        // The caller looks at its condition again.
        if (deadline.has_value()) {
            // NOLINTNEXTLINE(bugprone-spuriously-wake-up-functions)
            changed.wait_until(held, *deadline);
        } else {
            changed.wait(held);
        }
        held.release();
    }

  private:
    std::mutex mutex_;
};

class ABSL_SCOPED_LOCKABLE MutexLock {
  public:
    explicit MutexLock(Mutex& mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : mutex_(mutex) {
        mutex_.lock();
    }
    ~MutexLock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }
    MutexLock(const MutexLock&) = delete;
    MutexLock& operator=(const MutexLock&) = delete;

  private:
    Mutex& mutex_;
};

}  // namespace starling::env
