#pragma once

// One timer of a loop that is armed again and again. An armed timer that is due earlier than asked
// for stays: who is woken too early looks at its deadlines and arms again, which is cheaper than a
// cancellation per message.

#include <utility>

#include "base/time.h"
#include "env/event_loop.h"

namespace starling::gossip {

class LoopTimer {
  public:
    explicit LoopTimer(env::EventLoop& loop) : loop_(loop) {}
    LoopTimer(const LoopTimer&) = delete;
    LoopTimer& operator=(const LoopTimer&) = delete;

    bool is_armed() const { return timer_ != 0; }

    // Runs `task` at `deadline` or earlier. The task of an armed timer is replaced only with its
    // deadline.
    template <typename Task>
    void arm(base::MonotonicTime deadline, Task task) {
        if (is_armed()) {
            if (due_ <= deadline) return;
            loop_.cancel(timer_);
        }
        due_ = deadline;
        timer_ =
            loop_.schedule_after(deadline - loop_.now(), [this, task = std::move(task)]() mutable {
                timer_ = 0;
                task();
            });
    }

    void cancel() {
        if (!is_armed()) return;
        loop_.cancel(timer_);
        timer_ = 0;
    }

  private:
    env::EventLoop& loop_;
    env::TimerId timer_ = 0;
    base::MonotonicTime due_;
};

}  // namespace starling::gossip
