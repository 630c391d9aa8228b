#pragma once

#include "env/random.h"

namespace starling::node {

// A shard's own stream of random numbers (SplitMix64), since env's is not shared between loops.
// Good for operation ids and jitter; what must be unguessable is drawn from env's.
class ShardRandom final : public env::Random {
  public:
    explicit ShardRandom(uint64_t seed) : state_(seed) {}

    uint64_t next() override {
        state_ += 0x9e3779b97f4a7c15ULL;
        uint64_t mixed = state_;
        mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
        mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
        return mixed ^ (mixed >> 31);
    }

  private:
    uint64_t state_;
};

}  // namespace starling::node
