#pragma once

// Hash trees and counts of a store that was stopped in order, for its next start, which then need
// not read each record. In the engine, below storage_keys::trees_begin(): they describe what is
// there, so they go before anything changes.

#include <map>
#include <optional>

#include "absl/status/statusor.h"

#include "node/replica/group_reader.h"
#include "storage/engine.h"

namespace starling::node::kept_trees {

using Trees = std::map<GroupId, group_reader::Counted>;

// REQUIRES: of all groups that have a record or a tombstone.
void put(storage::WriteBatch& batch, const Trees& trees);
void remove(storage::WriteBatch& batch);

// None: nothing is kept. An error: what is kept cannot be used.
absl::StatusOr<std::optional<Trees>> read(storage::Engine& engine);

}  // namespace starling::node::kept_trees
