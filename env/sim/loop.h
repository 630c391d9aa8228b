#pragma once

// An event loop of one life of a simulated process. A process may have several; none of their tasks
// ever overlap, and each task knows whose it is: a timer that is armed from another loop's task,
// which would be a race in the real program, trips a check here.

#include "env/event_loop.h"
#include "env/sim/process.h"

namespace starling::env {

class SimLoop final : public EventLoop {
  public:
    explicit SimLoop(SimProcess& process);
    // Drops what is still queued.
    ~SimLoop();
    SimLoop(const SimLoop&) = delete;
    SimLoop& operator=(const SimLoop&) = delete;

    base::MonotonicTime now() const override { return process_.monotonic_now(); }
    void post(Task task) override;
    TimerId schedule_after(base::Duration delay, Task task) override;
    bool cancel(TimerId timer) override;
    bool in_loop() const override { return process_.scheduler().current_context() == this; }

    // Runs `body` at once, as if it were a task of this loop: for drivers that start and stop
    // nodes.
    void run_here(absl::FunctionRef<void()> body);

    // Whether the code that runs now may touch this loop's state: its own tasks, and the driver of
    // the simulation between events.
    bool is_open_to_caller() const;

    SimProcess& process() { return process_; }
    SimLife life() const { return life_; }

  private:
    SimProcess& process_;
    const SimLife life_;
};

}  // namespace starling::env
