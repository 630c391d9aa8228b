#pragma once

#include <memory>

#include "storage/engine.h"
#include "storage/live_count.h"
#include "storage/lsm/internal_iterator.h"
#include "storage/lsm/internal_key.h"
#include "storage/lsm/read_view.h"
#include "storage/lsm/value_file.h"

namespace starling::storage::lsm {

// What a reader at `sequence` and at the time `now` sees of `entries` within the bounds of
// `options`: of each key the newest change, unless it is a removal, was removed with its range or
// has expired. `view` owns what `entries` reads. A separate value is read when its key is
// reached.
std::unique_ptr<Iterator> new_user_iterator(std::shared_ptr<const ReadView> view,
                                            std::unique_ptr<InternalIterator> entries,
                                            IteratorOptions options,
                                            Sequence sequence,
                                            Expiry now,
                                            ValueFiles& values,
                                            LiveCount::Hold hold);

}  // namespace starling::storage::lsm
