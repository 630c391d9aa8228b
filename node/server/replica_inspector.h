#pragma once

// Tells what this shard's replica of a group holds, as digests, so that somebody outside can
// compare replicas (`starling verify`). Reads only; no value leaves the node.
//
// Owned by the shard's loop; callbacks run on it, possibly before the call returns.

#include <cstdint>
#include <memory>

#include "node/api.h"
#include "node/replica/replica.h"

namespace starling::node {

class ReplicaInspector {
  public:
    ReplicaInspector(ReplicaStore& store, const ReplicaHost& host) : store_(store), host_(host) {}

    // no_owner (unavailable): this node counts for no seat of the group. overloaded: too many
    // questions at once. invalid_request names what makes no sense. unavailable: the hash trees are
    // being rebuilt.
    void inspect(InspectRequest request, AdminService::Callback<InspectResult> done);

  private:
    struct Reading;

    absl::Status check(const InspectRequest& request) const;
    absl::Status check_seat(GroupId group) const;
    void read_next(const std::shared_ptr<Reading>& reading);

    ReplicaStore& store_;
    const ReplicaHost& host_;
    uint32_t serving_ = 0;
};

}  // namespace starling::node
