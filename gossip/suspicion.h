#pragma once

// One member under suspicion: when does it count as dead? With Lifeguard's dynamic timeout (section
// IV.B of the paper): it starts long, because the accuser may be the faulty one, and shrinks with
// the logarithm of the number of independent accusers that confirm it.

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "base/time.h"

namespace starling::gossip {

struct SuspicionTimeouts {
    base::Duration shortest{};
    base::Duration longest{};
    // Accusers beyond the first that bring it down to the shortest; 0 = it starts there.
    uint32_t confirmations_wanted = 0;
};

// For a cluster of `members` nodes.
struct SwimOptions;
SuspicionTimeouts suspicion_timeouts(const SwimOptions& options, size_t members);

class Suspicion {
  public:
    Suspicion(base::MonotonicTime start, base::NodeId accuser, SuspicionTimeouts timeouts);

    // True when this accuser is a new one that still shortens the timeout: worth telling others.
    bool confirm(base::NodeId accuser);

    base::MonotonicTime deadline() const { return start_ + timeout_; }
    // Time in which the holder of this suspicion did not run does not count.
    void shift(base::Duration pause) { start_ += pause; }

  private:
    base::MonotonicTime start_;
    SuspicionTimeouts timeouts_;
    base::Duration timeout_;
    std::vector<base::NodeId> accusers_;
};

}  // namespace starling::gossip
