#pragma once

// How long to wait before the next attempt: doubles with each failure up to a cap, and is drawn
// from the upper half of that, so that those who failed together do not come back together.

#include <algorithm>

#include "base/time.h"
#include "env/random.h"

namespace starling::env {

class Backoff {
  public:
    Backoff(base::Duration first, base::Duration cap) : first_(first), cap_(cap), next_(first) {}

    base::Duration fail(Random& random) {
        const auto half = static_cast<uint64_t>(next_.count() / 2);
        const auto jitter = static_cast<int64_t>(random.below(half + 1));
        const base::Duration wait = next_ - base::Duration(jitter);
        next_ = std::min(next_ * 2, cap_);
        return wait;
    }

    void succeed() { next_ = first_; }

  private:
    base::Duration first_;
    base::Duration cap_;
    base::Duration next_;
};

}  // namespace starling::env
