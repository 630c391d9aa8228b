#pragma once

// The one way in: gives each batch its sequences and its place in the log, and the key directory
// the places of its values. Thread-safe; touches no file.

#include <atomic>
#include <cstdint>
#include <span>

#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"

#include "storage/bitcask/changes.h"
#include "storage/bitcask/key_directory.h"
#include "storage/engine.h"
#include "storage/log/log.h"

namespace starling::storage::bitcask {

class Appender {
  public:
    // `active`: the log's first file, which the directory does not know yet.
    Appender(Log& log, KeyDirectory& directory, uint64_t file_bytes_max, uint64_t active);

    struct Outcome {
        // False: `admit` said so, and nothing was changed.
        bool applied = false;
        // The file before is full.
        bool rolled = false;
    };
    // Asks `admit` and applies the batch, with nothing of other writers between. `changes`: the
    // batch's, as if it stood at offset 0 of file 0.
    Outcome append(const WriteBatch& batch,
                   std::span<const Change> changes,
                   absl::FunctionRef<bool()> admit);
    // Begins a new file, unless the one in use is empty.
    void roll();

    uint64_t next_file_number() { return next_number_.fetch_add(1, std::memory_order_relaxed); }

  private:
    void roll_locked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

    // Constant after construction.
    Log& log_;
    KeyDirectory& directory_;
    const uint64_t file_bytes_max_;

    std::atomic<uint64_t> next_number_;

    absl::Mutex mutex_;
    Sequence last_sequence_ ABSL_GUARDED_BY(mutex_);
    // Of the file in use.
    uint64_t bytes_ ABSL_GUARDED_BY(mutex_);
    // Of all records.
    uint64_t appended_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace starling::storage::bitcask
