#include "env/sim/random.h"

#include <bit>

#include "base/hash.h"

namespace starling::env {
namespace {

// Sebastiano Vigna's splitmix64: spreads a seed over a larger state.
uint64_t splitmix(uint64_t& state) {
    state += 0x9e3779b97f4a7c15u;
    uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

}  // namespace

SimRandom::SimRandom(uint64_t seed) : seed_(seed), state_() {
    uint64_t mixer = seed;
    for (uint64_t& word : state_) {
        word = splitmix(mixer);
    }
}

// xoshiro256++ of Blackman and Vigna.
uint64_t SimRandom::next() {
    const uint64_t result = std::rotl(state_[0] + state_[3], 23) + state_[0];
    const uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
}

SimRandom SimRandom::fork(std::string_view label, uint64_t index) const {
    uint64_t mixer = base::xxh3_64(label, seed_) + index;
    return SimRandom(splitmix(mixer));
}

base::Duration SimRandom::between(base::Duration low, base::Duration high) {
    if (high <= low) {
        return low;
    }
    const auto width = static_cast<uint64_t>((high - low).count()) + 1;
    return low + base::Duration(static_cast<int64_t>(below(width)));
}

// An exponential variate, counted in half-lives, is a geometric number (the zeros at the end of a
// random word) and a fraction, here taken as uniform. Its mean is 1.5 half-lives.
base::Duration SimRandom::exponential(base::Duration mean) {
    if (mean <= base::Duration::zero()) {
        return base::Duration::zero();
    }
    const int64_t half_life = mean.count() * 2 / 3;
    const int64_t halvings = std::countr_zero(next() | (uint64_t{1} << 40));
    return base::Duration(halvings * half_life) +
           between(base::Duration::zero(), base::Duration(half_life));
}

}  // namespace starling::env
