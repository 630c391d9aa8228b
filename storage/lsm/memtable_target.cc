#include "storage/lsm/memtable_target.h"

#include "base/status_macros.h"
#include "storage/lsm/memtable_adder.h"

namespace starling::storage::lsm {

absl::StatusOr<Sequence> MemtableTarget::add(const Record& record, uint64_t) {
    MemtableAdder adder(memtable_, record.sequence - 1);
    STARLING_RETURN_IF_ERROR(WriteBatch::replay(record.payload, adder));
    return adder.sequence();
}

}  // namespace starling::storage::lsm
