#pragma once

// What the other owners of each group have told this node that they had seen, kept across starts:
// an owner whose disk is set back in time is told so also by those that have restarted meanwhile
// (R10 of docs/causality.md). Nothing else rests on it: what was told before this node's start may
// be void by now, and only the owner itself can say.
//
// It is written with the next pass after it has changed, and syncs with whatever syncs next, so a
// crash may set it back by that much.
//
// Owned by the shard's loop.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "base/ids.h"
#include "node/replica/commit_queue.h"
#include "node/replica/group.h"
#include "node/version/frontier.h"
#include "storage/engine.h"

namespace starling::node {

class OwnerMemory {
  public:
    struct Told {
        // See OwnerReport::tenure.
        uint64_t tenure = 0;
        // Of the owner's data.
        uint64_t epoch = 0;
        Frontier frontier;
        friend bool operator==(const Told&, const Told&) = default;
    };
    using Owners = std::map<base::NodeId, Told>;

    static std::string encode(const Owners& owners);
    static absl::StatusOr<Owners> decode(std::string_view bytes);

    // Blocks on disk. data_loss when it does not decode.
    absl::Status load(storage::Engine& engine);

    // A frontier of the same tenure and epoch adds to what was told before; another one, or a
    // later epoch, takes its place. Of an earlier epoch: ignored.
    void note(GroupId group, base::NodeId owner, const Told& told);
    // Null: nothing was told.
    const Told* told(GroupId group, base::NodeId owner) const;
    // This node is an owner of the group no more.
    void forget(GroupId group);

    // Writes what has changed since; what the engine refuses is left for the next time.
    void save(CommitQueue& commits);

  private:
    absl::btree_map<GroupId, Owners> groups_;
    absl::btree_set<GroupId> unsaved_;
};

}  // namespace starling::node
