#pragma once

// The randomness of a simulated run: all of it follows from one seed, with integer arithmetic only,
// so that every build of every compiler draws the same numbers.
//
// Consumers do not share a stream. Each forks its own by name, and a fork depends on the seed and
// the name alone, not on what was drawn before: a new consumer shifts nobody else's numbers.

#include <array>
#include <cstdint>
#include <string_view>

#include "base/time.h"
#include "env/random.h"

namespace starling::env {

class SimRandom final : public Random {
  public:
    explicit SimRandom(uint64_t seed);

    uint64_t next() override;

    // An independent stream. The same label and index give the same stream.
    SimRandom fork(std::string_view label, uint64_t index = 0) const;

    bool chance(uint32_t per_million) { return per_million != 0 && below(1'000'000) < per_million; }

    // Uniform in [low, high]; low when the range is empty.
    base::Duration between(base::Duration low, base::Duration high);

    // About exponentially distributed.
    base::Duration exponential(base::Duration mean);

  private:
    uint64_t seed_;
    std::array<uint64_t, 4> state_;
};

}  // namespace starling::env
