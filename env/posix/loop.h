#pragma once

// An event loop on Boost.Asio: one thread runs it, from run() until stop().
//
// Tasks from any thread go into one vector; the loop is woken once for all that gather until it
// looks. Timers share one kernel timer. Each turn runs the tasks that were there at its start, so
// that sockets and timers get their turn however much is posted.
//
// States: fresh -> (run) running -> (stop) stopped. A fresh loop may be given tasks and timers by
// the thread that sets it up. A stopped one destroys what it is given.

#include <atomic>
#include <memory>
#include <vector>

#include "env/event_loop.h"
#include "env/posix/mutex.h"
#include "env/posix/timer_queue.h"

namespace boost::asio {
class io_context;
}  // namespace boost::asio

namespace starling::env {

class PosixLoop final : public EventLoop {
  public:
    PosixLoop();
    // REQUIRES: not running.
    ~PosixLoop();
    PosixLoop(const PosixLoop&) = delete;
    PosixLoop& operator=(const PosixLoop&) = delete;

    // Runs the loop on this thread until stop(), then destroys what is queued. Once.
    void run();
    // Makes run() return after the task that is running. Any thread, any number of times.
    void stop();

    base::MonotonicTime now() const override;
    void post(Task task) override;
    TimerId schedule_after(base::Duration delay, Task task) override;
    bool cancel(TimerId timer) override;
    bool in_loop() const override;

    // Whether this thread may touch the loop's state: its own, or any while it does not run.
    bool is_open_to_caller() const { return in_loop() || !is_running_; }

    // For sockets of this loop. What is posted here runs behind the handlers that are ready
    // already.
    boost::asio::io_context& io_context();

  private:
    struct Asio;

    void run_posted();
    void run_timers();
    void arm();
    void destroy_queued();

    const std::unique_ptr<Asio> asio_;
    std::atomic<bool> is_running_ = false;

    Mutex mutex_;
    std::vector<Task> posted_ ABSL_GUARDED_BY(mutex_);
    bool is_woken_ ABSL_GUARDED_BY(mutex_) = false;
    bool is_stopped_ ABSL_GUARDED_BY(mutex_) = false;

    // Owned by the loop thread.
    std::vector<Task> batch_;
    TimerQueue timers_;
    base::MonotonicTime armed_for_ = base::MonotonicTime::max();
};

}  // namespace starling::env
