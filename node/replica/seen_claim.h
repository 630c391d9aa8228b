#pragma once

// Whether what a read returns reflects all that a session has seen of the key, by the word of the
// replica's frontier: a dot in it is live in the record or superseded by what the replica holds
// (I1 of docs/causality.md), also where the record has forgotten the dot, or is no more.
//
// Made before the record is read: the frontier only grows, and a record is at least as new as the
// frontier was before. Asked again after it, because the group may have been dropped and filled
// anew meanwhile.

#include "node/replica/store.h"

namespace starling::node {

class SeenClaim {
  public:
    SeenClaim(ReplicaStore& store, GroupId group, const Context& seen);
    bool holds(const ReplicaStore& store) const;

  private:
    GroupId group_;
    uint64_t drops_ = 0;
    bool frontier_has_all_ = false;
};

}  // namespace starling::node
