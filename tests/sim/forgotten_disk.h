#pragma once

// The stage for a disk that is set back in time while the other seats of its partition move to
// nodes that have never heard of it: nobody remembers what it had told.

#include "tests/sim/scenario.h"

namespace starling::sim {

class ForgottenDisk : public Scenario {
  protected:
    // Of five nodes three begin; what the third one lacks, "v" under the first key, was written by
    // a life that is sealed by the time when its disk is set back. Where seats move to is chance:
    // false where it is not the only one of the three that holds one in the end, as in nine of ten
    // clusters.
    bool is_set_back_among_new_holders(uint64_t seed);
};

}  // namespace starling::sim
