#pragma once

#include <memory>
#include <span>

#include "storage/lsm/damage.h"
#include "storage/lsm/internal_iterator.h"
#include "storage/lsm/table_cache.h"
#include "storage/lsm/version.h"

namespace starling::storage::lsm {

// Over sorted tables without overlap, as new_pass_iterator(), but without what `damage` takes, and
// of that alone: what else cannot be read is an error. Goes forward, from the first entry, only.
// All is borrowed.
std::unique_ptr<InternalIterator> new_salvage_iterator(TableCache& cache,
                                                       std::span<const TablePtr> tables,
                                                       const Damage& damage);

}  // namespace starling::storage::lsm
