#pragma once

// One simulated process: the thing that crashes, restarts, is paused (as by SIGSTOP) and has clocks
// of its own. It outlives its crashes; each start begins a new life. Loops, workers and transports
// are made for one life and are dead ever after: what they are then asked to run is dropped, so the
// objects of a crashed node may be destroyed at leisure, before or after the next start.
//
// States: alive -> (pause) paused -> (resume) alive; alive or paused -> (crash) dead -> (restart)
// alive.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/time.h"
#include "env/sim/random.h"
#include "env/sim/scheduler.h"

namespace starling::env {

// Numbers the lives of a process from 1.
using SimLife = uint64_t;

class SimProcess {
  public:
    struct Faults {
        // How much faster its monotonic clock runs than true time. Takes effect at the next start.
        int32_t drift_per_million = 0;
        // A timer is late with this probability, by up to this much.
        uint32_t late_timers_per_million = 0;
        base::Duration timer_lateness_max{0};
    };

    // Starts alive. `random` is the process's own; `name` is for traces.
    SimProcess(SimScheduler& scheduler, std::string name, const SimRandom& random, Faults faults);
    SimProcess(SimScheduler& scheduler, std::string name, const SimRandom& random)
        : SimProcess(scheduler, std::move(name), random, Faults()) {}
    ~SimProcess();
    SimProcess(const SimProcess&) = delete;
    SimProcess& operator=(const SimProcess&) = delete;

    const std::string& name() const { return name_; }
    SimScheduler& scheduler() { return scheduler_; }
    const SimScheduler& scheduler() const { return scheduler_; }
    OwnerId owner() const { return owner_; }

    bool is_alive() const { return alive_; }
    bool is_paused() const { return scheduler_.is_paused(owner_); }
    SimLife life() const { return life_; }
    bool is_living(SimLife life) const { return alive_ && life_ == life; }

    // All its tasks, timers and jobs are gone. May be called by its own code (a crash at an I/O
    // boundary): then that code runs on to the end of its event, and nothing it asks for happens
    // any more.
    void crash();
    // REQUIRES: dead.
    void restart();
    void pause() { scheduler_.pause(owner_); }
    void resume() { scheduler_.resume(owner_); }

    void set_faults(const Faults& faults) { faults_ = faults; }
    const Faults& faults() const { return faults_; }

    // Begins anew, from an arbitrary point, with each life.
    base::MonotonicTime monotonic_now() const;

    // The true time that passes until a timer of this process, armed now, goes off.
    SimTime draw_timer_delay(base::Duration delay);

    // The event that runs now has taken so long, with a slow disk say: what it posts comes later.
    // Its other effects are there at once, and nothing waits for it.
    void take_time(SimTime time);
    SimTime time_taken() const {
        const bool is_running = scheduler_.current_owner() == owner_;
        return is_running && taking_event_ == scheduler_.events_run() ? time_taken_
                                                                      : SimTime::zero();
    }

    // A stream of random numbers of this process's present life.
    SimRandom fork_random(std::string_view label) const { return random_.fork(label, life_); }

  private:
    void begin_life();

    SimScheduler& scheduler_;
    const std::string name_;
    const OwnerId owner_;
    const SimRandom random_;
    Faults faults_;
    SimRandom timer_random_;

    // By the event of that number.
    SimTime time_taken_{0};
    uint64_t taking_event_ = 0;

    bool alive_ = false;
    SimLife life_ = 0;
    // Of the present life.
    int64_t drift_per_million_ = 0;
    SimTime started_at_{0};
    base::MonotonicTime started_reading_;
};

}  // namespace starling::env
