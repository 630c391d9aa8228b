#pragma once

// I5: merging is a join. Checked on records that a run has really met, which differ in ways that
// nobody would think of: whatever the order in which replicas, hints and repairs meet, the same
// siblings must be left, and none that nothing supersedes may be lost.

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "node/version/record.h"

namespace starling::sim {

using Join = std::function<void(node::Record& into, const node::Record& incoming)>;

// The law that `join` breaks on some pair or triple of `records`, versions of one key; empty when
// it breaks none. Contexts and siblings are compared, not `gone`, which ages with each replica's
// clock. Costs the cube of their number.
std::string broken_merge_law(std::span<const node::Record> records, const Join& join);

// The same record as if the removals of expired values whose requests were created before
// `forgotten_before_ms` (Unix) had gone. A removal may be minted again when nobody remembers its
// request any more (docs/causality.md, R11); where one dot of it has gone and another comes late,
// the order of merges decides whether a tombstone that stands for nothing is left.
node::Record without_forgotten_removals(node::Record record, uint64_t forgotten_before_ms);

// The same record with a short word for each value: what the laws do not look into need not be
// copied.
node::Record without_bulk(node::Record record);

}  // namespace starling::sim
