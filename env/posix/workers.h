#pragma once

// A fixed number of threads that take jobs from one queue. Jobs begin in the order of their
// submission.
//
// The queue is bounded by those who submit: a loop submits for requests it has admitted and for one
// background job of each kind. submit() is for any thread, the jobs' own included.

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <thread>
#include <vector>

#include "env/event_loop.h"
#include "env/posix/mutex.h"
#include "env/posix/timer_queue.h"

namespace starling::env {

class PosixWorkers final : public Workers {
  public:
    enum class Queued {
        // Runs what is queued, also what those jobs submit in turn.
        finish,
        // Destroys it without running it.
        drop,
    };

    explicit PosixWorkers(size_t threads);
    // REQUIRES: stopped.
    ~PosixWorkers();
    PosixWorkers(const PosixWorkers&) = delete;
    PosixWorkers& operator=(const PosixWorkers&) = delete;

    // After stop() has begun to drop, or has ended, a job is destroyed without having run.
    void submit(Task job) override;
    void submit_after(base::Duration delay, Task job) override;

    // Returns when no job runs any more and all threads have ended. Once, from outside the pool.
    void stop(Queued queued);

    size_t queued_jobs() const;

  private:
    enum class State { running, finishing, dropping, stopped };

    void run();
    bool take(Task& job);
    bool is_over() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

    mutable Mutex mutex_;
    std::condition_variable changed_;
    State state_ ABSL_GUARDED_BY(mutex_) = State::running;
    size_t busy_ ABSL_GUARDED_BY(mutex_) = 0;
    std::deque<Task> queue_ ABSL_GUARDED_BY(mutex_);
    TimerQueue delayed_ ABSL_GUARDED_BY(mutex_);

    // Owned by the constructing thread.
    std::vector<std::thread> threads_;
};

}  // namespace starling::env
