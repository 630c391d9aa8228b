#pragma once

// ReplicaStore::update() of the group model, for its parts.

#include "node/version/collection.h"
#include "tests/unit/node/convergence/group_model.h"

namespace starling::node::group_model {

// Strips, changes, strips, and enters into the index what the frontier gained.
template <typename Change>
void Group::change(size_t node, size_t key, const Change& change) {
    Member& self = members_[node];
    Record& record = self.now.records[key];
    Frontier& frontier = self.now.frontier;
    const Frontier before = frontier;
    strip_record(record, self.stable);
    change(record, frontier);
    strip_record(record, self.stable);
    if (!rules_.requests_remembered) record.gone.clear();
    forget_remains(record, self.stable, self.forget_before);
    for (const Frontier::Range& range : frontier.minus(before)) {
        for (uint64_t sequence = range.first; sequence <= range.last; ++sequence)
            self.now.index[{range.actor, sequence}] = key;
    }
}

}  // namespace starling::node::group_model
