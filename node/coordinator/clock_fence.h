#pragma once

// Keeps a node whose wall clock is wrong from deciding which write is the last. It compares this
// node's clock with those of the others, whose times come with their gossip, and fences the node
// when fewer than half of the live others agree with it within the bound. So one wrong clock of
// three fences its own node; of two that differ, neither can know which is right, and both are
// fenced. A node that has live peers and has not heard from any yet is fenced, too; one that is
// alone is not.
//
// A message that was long on its way makes its sender look behind, never ahead. So of the times
// that a peer has told within the last `window` or two the most advanced one counts. They are kept
// as distances to this node's monotonic clock: a jump of its own wall clock shows at once.
//
// Owned by the shard's loop.

#include <cstdint>
#include <optional>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"

#include "node/coordinator/cluster_view.h"

namespace starling::node {

class ClockFence {
  public:
    static constexpr base::Duration window = std::chrono::seconds(30);

    explicit ClockFence(base::Duration drift_max) : drift_max_(drift_max) {}

    // `peer` said that it was `wall_ms` (Unix) in a message that arrived at `now`.
    void heard(base::NodeId peer, uint64_t wall_ms, base::MonotonicTime now);
    // Forgets who is no member any more.
    void keep_members(const ClusterView& view);

    struct Verdict {
        bool is_fenced = false;
        // Live peers whose clock is known, and those of them that agree.
        uint32_t asked = 0;
        uint32_t agreeing = 0;
        // How far this node is ahead of the middle one of those; 0 while none is known.
        int64_t ahead_ms = 0;
    };
    Verdict judge(const ClusterView& view, base::MonotonicTime now, base::WallTime wall) const;

    // Before a write of a last_write_wins namespace is minted: unavailable, clock_fenced, which is
    // counted.
    absl::Status check(const ClusterView& view, base::MonotonicTime now, base::WallTime wall);
    uint64_t refused() const { return refused_; }

  private:
    // Milliseconds between a peer's wall clock and this node's monotonic one.
    struct Heard {
        int64_t distance_ms = 0;
        std::optional<int64_t> distance_before_ms;
        base::MonotonicTime window_began;
    };

    const base::Duration drift_max_;
    absl::btree_map<base::NodeId, Heard> heard_;
    uint64_t refused_ = 0;
};

}  // namespace starling::node
