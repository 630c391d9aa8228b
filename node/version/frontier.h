#pragma once

// Which writes of a group a replica has seen: per actor a contiguous base and the exceptions above
// it. After Goncalves et al., "DottedDB", SRDS 2017.
//
// A dot in the frontier claims that the replica reflects it: it holds it live, or holds what
// superseded it (invariant I1). Nothing ever leaves a frontier.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "node/version/dot.h"

namespace starling::node {

class Frontier {
  public:
    // All sequences 1..base, and each in [first, last] of `above`: sorted, disjoint, not adjacent
    // to one another nor to base.
    struct Seen {
        Actor actor;
        uint64_t base = 0;
        std::vector<std::pair<uint64_t, uint64_t>> above;
        friend bool operator==(const Seen&, const Seen&) = default;
    };

    bool contains(const Dot& dot) const;
    // Every dot in `other` is in this one.
    bool contains(const Frontier& other) const;
    // True when the dot was not there before. REQUIRES: a sequence of 1 or more.
    bool add(const Dot& dot);
    void unite(const Frontier& other);
    // The part of it that actors of `node` wrote.
    Frontier written_by(base::NodeId node) const;
    // How many dots are missing below the highest seen ones.
    uint64_t gap_count() const;

    bool empty() const { return seen_.empty(); }
    // Ordered by actor.
    const std::vector<Seen>& seen() const { return seen_; }

    void encode(std::string& out) const;
    // Fails the reader on what encode() would not have written.
    static Frontier decode(base::Reader& in);

    friend bool operator==(const Frontier&, const Frontier&) = default;

  private:
    std::vector<Seen> seen_;
};

std::string to_string(const Frontier& frontier);

}  // namespace starling::node
