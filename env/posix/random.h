#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "env/random.h"

namespace starling::env {

// Fills `bytes` with the kernel's random bytes, fit for secrets and challenges.
void fill_random(void* bytes, size_t count);

// The kernel's randomness, fetched in blocks: unpredictable, so fit for ids and challenges, and
// about as cheap as a pseudo-random generator. Not thread-safe.
class PosixRandom final : public Random {
  public:
    uint64_t next() override;

  private:
    std::array<uint64_t, 32> block_{};
    size_t used_ = block_.size();
};

}  // namespace starling::env
