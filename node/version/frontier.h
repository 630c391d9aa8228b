#pragma once

// Which writes of a group a replica has seen: per actor a contiguous base and the exceptions above
// it. After Goncalves et al., "DottedDB", SRDS 2017.
//
// A dot in the frontier claims that the replica reflects it: it holds it live, or holds what
// superseded it (invariant I1). Nothing ever leaves a frontier. When the lives of a node up to one
// are sealed (rule R6), the frontier has all dots that they could have written: those that nobody
// reflects exist nowhere, and are refused for ever.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "node/version/context.h"
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

    // Sequences first..last of one actor.
    struct Range {
        Actor actor;
        uint64_t first = 0;
        uint64_t last = 0;
        friend bool operator==(const Range&, const Range&) = default;
    };

    bool contains(const Dot& dot) const;
    // Every dot in `other` is in this one.
    bool contains(const Frontier& other) const;
    // The same of lives that `other` has not sealed: other.minus(*this) would be empty.
    bool contains_unsealed(const Frontier& other) const;
    // Every dot that `context` covers, of whatever key, is below a base.
    bool is_past(const Context& context) const;
    bool is_past(const Dot& dot) const;
    // True when the dot was not there before. REQUIRES: a sequence of 1 or more.
    bool add(const Dot& dot);
    void unite(const Frontier& other);
    // What is here and not in `other`, ordered by actor and sequence. Of sealed lives nothing: who
    // seals has found that all owners have the same of them.
    std::vector<Range> minus(const Frontier& other) const;
    // Keeps what is below the bases of both, without exceptions.
    void intersect_bases(const Frontier& other);
    // All dots of lives of `node` before `start`.
    void seal(base::NodeId node, uint32_t start);
    // The first life of the node that is not sealed; 0 when none is.
    uint32_t sealed_before(base::NodeId node) const;
    // The part of it that actors of `node` wrote.
    Frontier written_by(base::NodeId node) const;
    // How many dots are missing below the highest seen ones.
    uint64_t gap_count() const;

    bool empty() const { return seen_.empty() && sealed_.empty(); }
    // Ordered by actor; of lives that are not sealed.
    const std::vector<Seen>& seen() const { return seen_; }
    // The actor's part of seen(); a base of 0 when there is none.
    Seen seen_of(const Actor& actor) const;
    // The part of seen() of lives of `node` before `start`.
    std::vector<Seen> seen_before(base::NodeId node, uint32_t start) const;
    // Ordered by node: the first life that is not sealed.
    const std::vector<std::pair<base::NodeId, uint32_t>>& sealed() const { return sealed_; }

    void encode(std::string& out) const;
    // Fails the reader on what encode() would not have written.
    static Frontier decode(base::Reader& in);

    friend bool operator==(const Frontier&, const Frontier&) = default;

  private:
    const Seen* find(const Actor& actor) const;

    std::vector<std::pair<base::NodeId, uint32_t>> sealed_;
    std::vector<Seen> seen_;
};

std::string to_string(const Frontier& frontier);

}  // namespace starling::node
