#pragma once

// How slowly `verify` asks: after each answer it waits until what its answers took, of the disks or
// of the network, is no more than so many bytes a second.

#include <cstdint>
#include <functional>

#include "base/time.h"
#include "env/clock.h"
#include "starling/v1/admin.pb.h"

namespace starling::client {

class VerifyPace {
  public:
    using Pause = std::function<void(base::Duration)>;

    // REQUIRES: `bytes_per_second` of 1024 or more.
    VerifyPace(uint64_t bytes_per_second, const env::Clock& clock, Pause pause)
        : bytes_per_second_(bytes_per_second), clock_(clock), pause_(std::move(pause)) {}

    // Returns when the next question may be asked.
    void answered(const v1::InspectReplicaResponse& answer);

  private:
    const uint64_t bytes_per_second_;
    const env::Clock& clock_;
    const Pause pause_;
    // When all answers so far have had their time.
    base::MonotonicTime next_ = base::MonotonicTime::min();
};

}  // namespace starling::client
