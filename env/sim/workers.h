#pragma once

// The worker pool of one life of a simulated process. Each job is one event, after a delay of its
// own, so jobs finish in any order; none is interrupted, but a crash drops those that have not
// begun.

#include <cstdint>
#include <utility>

#include "env/event_loop.h"
#include "env/sim/process.h"

namespace starling::env {

class SimWorkers final : public Workers {
  public:
    // A disk that takes longer has failed.
    static constexpr base::Duration slow_delay_max = std::chrono::seconds(10);

    struct Options {
        base::Duration delay_min = std::chrono::microseconds(20);
        // About exponentially distributed, beyond delay_min.
        base::Duration delay_mean = std::chrono::microseconds(200);
    };

    SimWorkers(SimProcess& process, Options options);
    explicit SimWorkers(SimProcess& process) : SimWorkers(process, Options()) {}
    ~SimWorkers();
    SimWorkers(const SimWorkers&) = delete;
    SimWorkers& operator=(const SimWorkers&) = delete;

    void submit(Task job) override { submit_after(base::Duration::zero(), std::move(job)); }
    // On top of the delay that every job has.
    void submit_after(base::Duration delay, Task job) override;

    // A slow disk: delays of jobs submitted from now on are multiplied, up to slow_delay_max. 1 is
    // the normal pace.
    void set_slowness(uint32_t factor) { slowness_ = factor; }

    uint64_t jobs_submitted() const { return jobs_submitted_; }

  private:
    SimProcess& process_;
    const SimLife life_;
    const Options options_;
    SimRandom random_;
    uint32_t slowness_ = 1;
    uint64_t jobs_submitted_ = 0;
};

}  // namespace starling::env
