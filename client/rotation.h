#pragma once

// Which node is asked next: each in turn, those that just failed last. No I/O; for one thread at a
// time.

#include <cstddef>
#include <optional>
#include <vector>

#include "base/time.h"

namespace starling::client {

class Rotation {
  public:
    // REQUIRES: count > 0.
    explicit Rotation(size_t count) : rests_(count) {}

    // The next in turn that does not rest after a failure; where all rest, the one that has rested
    // longest. Not `previous`, unless there is no other.
    size_t pick(std::optional<size_t> previous, base::MonotonicTime now);

    // Nothing was reached there: it rests, longer with each failure in a row, 2 s at most.
    void failed(size_t endpoint, base::MonotonicTime now);
    void worked(size_t endpoint) { rests_[endpoint] = {}; }

  private:
    struct Rest {
        base::MonotonicTime until = base::MonotonicTime::min();
        base::Duration length = {};
    };

    std::vector<Rest> rests_;
    size_t next_ = 0;
};

}  // namespace starling::client
