#pragma once

// What a namespace's conflict policy makes of the siblings of a record, as pure functions. Replicas
// know no policy: they store and merge all siblings alike, so that merging stays a join. A policy
// acts in two places only: where a coordinator mints a write over what it and the others hold, and
// where it says what a read returns.
//
// siblings         concurrent writes are all kept and shown.
// last_write_wins  of the siblings the one with the latest hybrid time is shown, a tombstone
//                  as absence. A write replaces all that its coordinator holds, whatever context it
//                  came with, and its time is after that of all it replaces. So of the siblings of
//                  a key every replica shows the same one, and no context lets an earlier write
//                  win.
// reject_stale     a write that has not seen the siblings held at its coordinator and at N-W+1
// seats
//                  is refused. Two that race through different coordinators may both be taken: then
//                  both are kept and shown.

#include <optional>
#include <vector>

#include "absl/status/status.h"

#include "node/api.h"
#include "node/version/record.h"

namespace starling::node {

// Whether a write asks N-W+1 seats for what they hold before it is minted.
bool asks_before_minting(ConflictPolicy policy, bool has_context, bool blind);

// Under reject_stale: aborted, stale_context, when the write's client has not seen what `held`, the
// record before the write, has. `seen`: the write's opened context; a write without one, or with an
// empty one, claims that the key is absent, as it also is when all its values have expired.
absl::Status check_not_stale(const Record& held,
                             const std::optional<Superseded>& seen,
                             uint64_t now_ms);

// Under last_write_wins: the time that a write over `held` gets.
HybridTime time_over(const Record& held, base::WallTime now);

// What a read returns of the record, in the order of dots, at `now_ms` by the reader's clock: an
// expired value is as absent as a deleted one. Valid as long as `record` is.
std::vector<const Sibling*> shown_values(const Record& record,
                                         ConflictPolicy policy,
                                         uint64_t now_ms);

}  // namespace starling::node
