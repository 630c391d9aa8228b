#pragma once

// How many tombstones a group has, and how many of them are old: told the age of each, it keeps no
// more than a number for each second that is not old yet.
//
// Those that were counted at a start are all old. When such a one is removed that is young in
// truth, another of its second may count as old a little early; the sum is always exact.
//
// While those of a start are not counted yet, both numbers may have wrapped around.

#include <cstdint>

#include "absl/container/btree_map.h"

namespace starling::node {

class TombstoneCounts {
  public:
    // `created_ms`: when its request was created (Unix ms).
    void add(uint64_t created_ms);
    // REQUIRES: it was added, or is among those of the start.
    void remove(uint64_t created_ms);
    void add_from_start(uint64_t count);
    // Those whose requests were created before are old, to within a second.
    void set_old_before(uint64_t created_ms);

    uint64_t count() const { return count_; }
    uint64_t old_count() const { return old_count_; }

  private:
    uint64_t count_ = 0;
    uint64_t old_count_ = 0;
    uint64_t old_before_s_ = 0;
    // By the second in which their requests were created.
    absl::btree_map<uint64_t, uint64_t> young_;
};

}  // namespace starling::node
