#pragma once

// One loop is one thread of control: tasks, timers and deliveries run on it one after another, and
// state that belongs to a loop is touched from its tasks only. In a simulation many loops share one
// real thread, and the simulator decides the order of their tasks.

#include <cstdint>

#include "absl/functional/any_invocable.h"

#include "base/time.h"
#include "env/clock.h"

namespace starling::env {

using Task = absl::AnyInvocable<void()>;

// Names a timer of one loop. 0 names none.
using TimerId = uint64_t;

class EventLoop : public Clock {
  public:
    // Runs `task` on the loop, after all tasks that this thread has posted before. Any thread. A
    // task that is still queued when the loop stops is destroyed without having run.
    virtual void post(Task task) = 0;

    // Runs `task` once, not before `delay` has passed (a negative one counts as zero). Loop thread
    // only.
    virtual TimerId schedule_after(base::Duration delay, Task task) = 0;

    // False when the timer has run or was cancelled. After true, its task never runs. Loop thread
    // only.
    virtual bool cancel(TimerId timer) = 0;

    virtual bool in_loop() const = 0;

  protected:
    ~EventLoop() = default;
};

// Runs jobs that may block (disk, compression) away from the loops. Jobs of one pool run in any
// order and, but for the simulated pool, at the same time. A job reports by posting to a loop.
class Workers {
  public:
    virtual void submit(Task job) = 0;
    // Submits `job` once `delay` has passed (a negative one counts as zero), so that a job which
    // has to wait holds no thread. Jobs whose time has not come when the pool stops are destroyed
    // without having run.
    virtual void submit_after(base::Duration delay, Task job) = 0;

  protected:
    ~Workers() = default;
};

}  // namespace starling::env
