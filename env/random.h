#pragma once

#include <cstdint>

namespace starling::env {

// Random numbers. The real one is seeded by the kernel and fit for ids; the simulated one follows
// the run's seed. Not thread-safe: each loop has its own.
class Random {
  public:
    virtual uint64_t next() = 0;

    // Uniform in [0, bound). REQUIRES: bound > 0.
    uint64_t below(uint64_t bound) {
        return static_cast<uint64_t>((static_cast<unsigned __int128>(next()) * bound) >> 64);
    }

    // A number fit for an id: never 0.
    uint64_t next_id() {
        for (;;) {
            if (const uint64_t id = next(); id != 0) {
                return id;
            }
        }
    }

  protected:
    ~Random() = default;
};

}  // namespace starling::env
