#pragma once

// Pulls all groups of one seat of a partition from another node, one after the other: the copy, the
// last difference and the final comparison of a hand-over.

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

#include "base/ids.h"
#include "node/entropy/bulk_copy.h"
#include "node/entropy/exchange.h"
#include "node/entropy/runtime.h"
#include "node/entropy/sync_session.h"

namespace starling::node {

struct PartitionSyncRequest {
    base::PartitionId partition;
    base::NodeId from;
    // Only groups with more replicas than this: those of the seat of this index.
    base::SeatIndex seat{};
    // True: a first copy, repeated until nearly in step. False: one complete pull of each group,
    // whose summary the peer takes after the start.
    bool is_copy = false;
    // This node fills the seat and counts for none of the partition yet: it becomes what the peer
    // is.
    bool is_fill = false;
    // The peer gives only while the seat is fenced there for this node: its last difference.
    bool wants_fence = false;
    // This node is an owner whose data began a new epoch: the peer hears of that before it gives
    // anything (R10 of docs/causality.md).
    bool tells_epoch = false;
};

class PartitionSync {
  public:
    using Done = absl::AnyInvocable<void(absl::Status)>;

    PartitionSync(EntropyRuntime& runtime, const PartitionSyncRequest& request, Done done);

    // `done` runs once, unless this object is destroyed before; it may destroy it.
    void start();
    // Ends it with an error.
    void end(const absl::Status& status) { finish(status); }
    // The same, later in this turn of the loop or in the next.
    void end_soon(const absl::Status& status) {
        runtime_.loop.post(lifeline_.guard([this, status] { finish(status); }));
    }
    bool is_refill() const { return request_.tells_epoch; }
    base::PartitionId partition() const { return request_.partition; }

  private:
    void ask_groups(absl::AnyInvocable<void(const peer::EntropyGroups&)> next);
    void on_groups(const peer::EntropyGroups& groups);
    void next_group();
    void tell(GroupId group);
    void on_told(GroupId group, const peer::EntropyChecked& checked);
    void take(GroupId group);
    void copy(GroupId group);
    void pull(GroupId group, uint32_t round);
    void finish(absl::Status status);

    // Constant after construction.
    EntropyRuntime& runtime_;
    const PartitionSyncRequest request_;

    Exchange exchange_;
    Done done_;
    // Still to do, last first.
    std::vector<GroupId> groups_;
    // Its giver has said at the end, too, that it gives.
    bool gave_to_the_end_ = false;
    // Of one group: what the peer says of the partition, and of another group, is of another
    // instance.
    std::unique_ptr<Exchange> telling_;
    std::unique_ptr<BulkCopy> copy_;
    std::unique_ptr<SyncSession> session_;
    Lifeline lifeline_;
};

}  // namespace starling::node
