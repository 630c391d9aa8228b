#pragma once

#include <memory>
#include <vector>

#include "storage/lsm/internal_iterator.h"

namespace starling::storage::lsm {

// All entries of its children in one order. Not valid as soon as one child met an error: what that
// child would have said is missing.
std::unique_ptr<InternalIterator> new_merging_iterator(
    std::vector<std::unique_ptr<InternalIterator>> children);

}  // namespace starling::storage::lsm
