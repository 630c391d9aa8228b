#pragma once

// SIGTERM, SIGINT, SIGHUP and SIGUSR1, received by one thread of their own. The first of the former
// asks the process to stop; a second one ends it at once, and so does a stop that outlasts its
// deadline. SIGUSR1 asks for another life of the node in this process.

#include <thread>

#include "absl/synchronization/mutex.h"
#include <signal.h>

#include "base/time.h"

namespace starling::node {

class Signals {
  public:
    // Blocks the signals in this thread and all it starts later: REQUIRES that it is the only one.
    explicit Signals(base::Duration stop_timeout);
    // A stop that has ended by now is no longer watched.
    ~Signals();
    Signals(const Signals&) = delete;
    Signals& operator=(const Signals&) = delete;

    // The first signal's number that asks for an end, or 0 when none has come within `patience`.
    int wait_for(base::Duration patience);
    // Whether SIGUSR1 has come since the last call.
    bool take_new_life();

  private:
    bool has_come() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return first_ != 0; }
    void run();

    const base::Duration stop_timeout_;
    sigset_t set_;
    absl::Mutex mutex_;
    int first_ ABSL_GUARDED_BY(mutex_) = 0;
    bool new_life_ ABSL_GUARDED_BY(mutex_) = false;
    bool is_done_ ABSL_GUARDED_BY(mutex_) = false;
    std::thread thread_;
};

}  // namespace starling::node
