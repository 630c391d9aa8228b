#pragma once

// Draws a request id for a client that named none. Thread-safe.

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

#include "base/ids.h"
#include "env/clock.h"
#include "env/random.h"

namespace starling::node {

class RequestIds {
  public:
    // `random` is this object's alone.
    RequestIds(const env::WallClock& wall_clock, env::Random& random)
        : wall_clock_(wall_clock), random_(random) {}

    base::RequestId draw() {
        absl::MutexLock lock(&mutex_);
        return {.created_ms = base::to_unix_ms(wall_clock_.wall_now()),
                .random_high = random_.next_id(),
                .random_low = random_.next()};
    }

  private:
    const env::WallClock& wall_clock_;
    absl::Mutex mutex_;
    env::Random& random_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace starling::node
