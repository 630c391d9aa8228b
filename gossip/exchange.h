#pragma once

// The periodic full exchange: two nodes compare all they hold by digests and send each other what
// the other lacks. It heals whatever pushes and piggybacked news have missed.
//
//   A -> B  SyncStart   hash of the whole state            (equal: the end)
//   B -> A  SyncDigest  name, version, content of each part
//   A -> B  StateDelta  what B lacks, and the names of what A lacks
//   B -> A  StateDelta  what A lacks
//
// Pure functions. No step keeps state, so each message may be lost, repeated or late.

#include "gossip/delta.h"
#include "gossip/membership.h"
#include "starling/peer/gossip.pb.h"

namespace starling::gossip {

// Without address and liveness updates.
peer::SyncDigest make_digest(const Membership& membership);

// Counts and key lengths within bounds.
bool is_valid(const peer::SyncDigest& digest);

// Adds what the digest's sender lacks, and asks for what it has. REQUIRES: is_valid(digest); its
// certificates are merged already.
void answer_digest(const Membership& membership, const peer::SyncDigest& digest, DeltaWriter& out);

// Adds what `request` wants, as far as it is here, each part once.
void answer_wanted(const Membership& membership, const peer::StateDelta& request, DeltaWriter& out);

}  // namespace starling::gossip
