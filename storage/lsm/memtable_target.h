#pragma once

// Batches of the log on their way into a memtable.

#include "storage/log/log_replay.h"
#include "storage/lsm/memtable.h"

namespace starling::storage::lsm {

class MemtableTarget final : public LogReplay::Target {
  public:
    // Full once the memtable uses `bytes_max`.
    MemtableTarget(Memtable& memtable, uint64_t bytes_max)
        : memtable_(memtable), bytes_max_(bytes_max) {}

    absl::StatusOr<Sequence> add(const Record& record, uint64_t file_number) override;
    bool full() const override { return memtable_.used_bytes() >= bytes_max_; }

  private:
    Memtable& memtable_;
    const uint64_t bytes_max_;
};

}  // namespace starling::storage::lsm
