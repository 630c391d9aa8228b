#pragma once

// Keys and values of a run: small numbers of keys, so that clients collide, some of them nasty;
// values that name their write, so that a read can be checked, with sizes around those that storage
// treats specially.

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "env/sim/random.h"

namespace starling::sim {

// Distinct. With `nasty`: one byte, NUL, all 0xff, 64 KiB, and prefixes of one another among them.
std::vector<std::string> make_keys(env::SimRandom random, uint32_t count, bool nasty);

// The values written to one key: each one once.
class ValueMaker {
  public:
    // REQUIRES: `serial` is used once. With `nasty`, now and then an empty or one-byte value, or
    // one of a block's or a megabyte's size, give or take one.
    std::string make(env::SimRandom& random, uint64_t serial, bool nasty);

  private:
    std::set<std::string> short_ones_;
};

}  // namespace starling::sim
