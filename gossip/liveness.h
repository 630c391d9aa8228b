#pragma once

// What a node believes of another's being alive. It steers where requests go and never who owns
// what.

#include <cstdint>
#include <string_view>

namespace starling::gossip {

enum class Liveness : uint8_t { alive, suspect, dead };

inline std::string_view to_string(Liveness liveness) {
    switch (liveness) {
        case Liveness::alive:
            return "alive";
        case Liveness::suspect:
            return "suspect";
        case Liveness::dead:
            return "dead";
    }
    return "unknown";
}

// Orders what is said of one node's liveness: the generation of its process, then how often that
// process has refuted a suspicion. Only the node itself raises it.
class Incarnation {
  public:
    constexpr Incarnation() = default;
    constexpr explicit Incarnation(uint64_t raw) : raw_(raw) {}
    static constexpr Incarnation first_of(uint32_t generation) {
        return Incarnation(uint64_t{generation} << 32);
    }

    constexpr uint64_t raw() const { return raw_; }
    constexpr uint32_t generation() const { return static_cast<uint32_t>(raw_ >> 32); }
    // The last one of a generation has no successor, so it is never believed.
    constexpr bool can_be_refuted() const { return static_cast<uint32_t>(raw_) != UINT32_MAX; }
    // REQUIRES: can_be_refuted().
    constexpr Incarnation next() const { return Incarnation(raw_ + 1); }

    friend constexpr auto operator<=>(Incarnation, Incarnation) = default;

  private:
    uint64_t raw_ = 0;
};

}  // namespace starling::gossip
