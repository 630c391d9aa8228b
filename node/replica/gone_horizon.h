#pragma once

// How long a record must remember the requests it has superseded (rule R7). A request may be minted
// a second time, on another owner, until it is older than the request window; and such a second dot
// may reach us any time until we have seen all that the owners had seen. So an id may be forgotten
// once every other owner has reported, by a clock of its own that was past the window, that it had
// seen nothing that our frontier does not cover.
//
// An owner's report holds as long as its clock does not go back. One that says it is in the future
// by more than clocks may differ does not count: when it is set right, the report is void. One that
// is suddenly far behind what it said before has been set back, and takes old ids again, so its
// earlier reports are void.

#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "absl/container/btree_map.h"

#include "base/ids.h"
#include "node/replica/group.h"
#include "node/version/frontier.h"

namespace starling::node {

class GoneHorizon {
  public:
    explicit GoneHorizon(uint64_t window_ms, uint64_t drift_max_ms = 0)
        : window_ms_(window_ms), drift_max_ms_(drift_max_ms) {}

    // `owner` had seen `theirs` of the group when its clock said `wall_ms`; we have seen `own`, and
    // our clock says `now_ms`. What is not covered yet counts once it is.
    void note(GroupId group,
              base::NodeId owner,
              uint64_t wall_ms,
              const Frontier& theirs,
              const Frontier& own,
              uint64_t now_ms);

    // What was reported is void: of one owner of a group, or all of it.
    void forget(GroupId group, base::NodeId owner) { known_.erase({group, owner}); }
    void forget(GroupId group) {
        absl::erase_if(known_, [&](const auto& entry) { return entry.first.group == group; });
    }
    void clear() { known_.clear(); }

    // Requests created before this Unix time (ms) may be forgotten. 0 while an owner has not been
    // heard of, or not since our own clock was set back to `now_ms`.
    uint64_t forget_before(GroupId group,
                           std::span<const base::NodeId> other_owners,
                           uint64_t now_ms) const;

    // The owner has reported that it mints no more what was created at `created_ms`.
    bool is_past(GroupId group, base::NodeId owner, uint64_t created_ms, uint64_t now_ms) const;
    uint64_t window_ms() const { return window_ms_; }
    // It would if it were asked now.
    bool may_be_past(uint64_t created_ms, uint64_t now_ms) const {
        return now_ms > created_ms && now_ms - created_ms > window_ms_;
    }

  private:
    struct Key {
        GroupId group;
        base::NodeId owner;
        friend auto operator<=>(const Key&, const Key&) = default;
    };

    struct Known {
        // Of the last report that we cover. None: of no report.
        std::optional<uint64_t> covered_ms;
        // The first that came since and that we do not.
        std::optional<std::pair<uint64_t, Frontier>> open;
    };

    bool is_far_ahead(uint64_t wall_ms, uint64_t now_ms) const {
        return wall_ms > now_ms && wall_ms - now_ms > drift_max_ms_;
    }

    const uint64_t window_ms_;
    const uint64_t drift_max_ms_;
    absl::btree_map<Key, Known> known_;
};

}  // namespace starling::node
