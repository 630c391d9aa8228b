#pragma once

// Counts, by namespace, the writes after which a key had more than one value to show on this node:
// those minted here, and those that came from their coordinators. What comparison and repair bring
// is no new write, and not counted.
//
// Owned by the shard's loop.

#include <cstdint>

#include "absl/container/btree_map.h"

#include "base/ids.h"
#include "node/version/record.h"

namespace starling::node {

class ConflictCounter {
  public:
    using Counts = absl::btree_map<base::NamespaceId, uint64_t>;

    // `after`: the key's record with the write in it.
    void written(base::NamespaceId name_space, const Record& after);
    const Counts& counts() const { return counts_; }

  private:
    Counts counts_;
};

}  // namespace starling::node
