#pragma once

// Sets of keys as lists of ranges.

#include <span>
#include <vector>

#include "storage/engine.h"

namespace starling::storage {

// The same keys in ascending ranges, none of which overlaps another or goes on where it ends.
std::vector<KeyRange> united(std::vector<KeyRange> ranges);

// Whether all keys of `range` are in one of `ranges`. REQUIRES: `ranges` are united.
bool covers(std::span<const KeyRange> ranges, const KeyRange& range);

}  // namespace starling::storage
