#pragma once

// Values that expire (rule R11 of docs/causality.md). From the stored time on readers are shown
// none; an owner then replaces the value by a tombstone of its own, the *removal*, which is
// collected like any other. Nothing else goes: no sibling, and no value without a tombstone.
//
// 1. A removal names the value's request, not its dot, so it covers no other write of that dot's
//    actor, and both dots of a put that was tried twice fall to one.
// 2. Its own request is made from the value's, so that two owners that remove one value make one
//    write, however late the second comes; with the value's creation time, so that it is forgotten
//    when that is. Another dot of it that turns up later is one more tombstone, which hides nothing
//    and is collected again.
// 3. It carries the value's hybrid time: where the latest write counts it takes the value's place,
//    and no other write loses to it that did not lose to the value. It carries the value's expiry,
//    too, which tells it from a delete.

#include <cstdint>

#include "node/version/record.h"

namespace starling::node {

// Whether readers whose clock says `now_ms` (Unix) are shown the value as absent.
bool has_expired(const Sibling& sibling, uint64_t now_ms);

bool is_removal(const Sibling& sibling);

// Of the removal of what `request` wrote.
base::RequestId removal_request(const base::RequestId& request);

// While a value hides a younger one (mint_over) it stays, expired, as a tombstone would: without it
// the younger one would be shown.
bool hides_another(const Record& record, const base::RequestId& request);

// The record after the removal of `value`, one of its siblings, as a new write `dot`. REQUIRES: as
// mint().
Record mint_removal(const Record& local, const Sibling& value, const Dot& dot);

}  // namespace starling::node
