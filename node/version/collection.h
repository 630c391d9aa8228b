#pragma once

// When what a record keeps beside its live values may go: entries of its context (rule R8 of
// docs/causality.md), and tombstones with all the rest (R5). Both rest on a proof that every owner
// has seen what is to be forgotten, never on time.
//
// `stable` is that proof: the dots up to its bases are those that each owner of the group, this one
// included, is known to have seen, durably and for good.

#include <cstdint>

#include "node/version/frontier.h"
#include "node/version/record.h"

namespace starling::node {

// R8: removes the context entries that no owner needs any more. An entry (a: n) makes an owner drop
// the siblings that it covers, and refuse them when they come late. Once every owner has seen this
// record's siblings, their own frontier and records do the first; once every owner has seen the
// dots of `a` up to n, their frontiers do the second. What is left of a record without siblings
// goes as a whole: see forget_remains(). True when the record changed.
bool strip_context(Record& record, const Frontier& stable);

// R5: removes the tombstones that no owner needs any more: every owner has seen them and all that
// they superseded, so no carrier of an old write finds one that would take it; and their requests
// cannot be minted again (created before `forget_before_ms`). One that hides a younger sibling
// stays: without it, that would be shown. True when the record changed.
//
// `latest_only`: readers are shown the latest version alone (last_write_wins). Then what is earlier
// than a tombstone goes with it, for the same reason; every owner has seen both, and no request of
// these can be minted again either. Nor is a write minted any more that is earlier than the
// tombstone and has not met it.
bool collect_tombstones(Record& record,
                        const Frontier& stable,
                        uint64_t forget_before_ms,
                        bool latest_only = false);

// The remains of a record, which have no sibling, are those of a tombstone that one owner has
// collected and another has not: a read repair leaves them at either, and nothing shows them. They
// go as the tombstone does (R5). True when they went.
bool forget_remains(Record& record, const Frontier& stable, uint64_t forget_before_ms);

}  // namespace starling::node
