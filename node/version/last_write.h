#pragma once

// Which of two versions is the earlier one, where readers are shown the latest alone: by hybrid
// time, then by dot. A removal of an expired value (expiry.h) has that value's time and another
// dot; of equal times it is the earliest, so that it is never later than what its value was earlier
// than.

#include "node/version/record.h"

namespace starling::node {

bool is_earlier(const Sibling& a, const Sibling& b);

}  // namespace starling::node
