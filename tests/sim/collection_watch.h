#pragma once

// Looks at what nodes take as seen by all owners of a group, which is what lets a tombstone go
// (I4): every owner has seen it. Looks at the nodes from outside: it draws and schedules nothing.

#include <cstddef>
#include <optional>

#include "tests/sim/cluster.h"
#include "tests/sim/oracle.h"
#include "tests/sim/verdict.h"

namespace starling::sim {

class CollectionWatch {
  public:
    struct World {
        const env::SimScheduler& scheduler;
        Cluster& cluster;
        const Oracle& oracle;
        Verdict& verdict;
    };

    explicit CollectionWatch(World world) : world_(world) {}
    CollectionWatch(const CollectionWatch&) = delete;
    CollectionWatch& operator=(const CollectionWatch&) = delete;

    // To be called again and again, between events: each time it looks at the group of another key.
    void look();
    // Conclusions of one node that were held against what one owner has seen.
    uint64_t compared() const { return compared_; }

  private:
    void look_at(node::GroupId group);

    const World world_;
    env::SimTime next_look_{0};
    size_t next_key_ = 0;
    uint64_t compared_ = 0;
};

// The first dot that is below a base of `concluded` and not in `seen`; none: there is none.
std::optional<node::Dot> concluded_too_early(const node::Frontier& concluded,
                                             const node::Frontier& seen);

}  // namespace starling::sim
