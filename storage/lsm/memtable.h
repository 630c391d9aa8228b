#pragma once

// The newest changes, in memory and in order, until they are flushed into a table. One thread adds
// at a time; any number read meanwhile without locks. A reader sees an entry once it knows its
// sequence.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

#include "storage/lsm/arena.h"
#include "storage/lsm/internal_iterator.h"
#include "storage/lsm/internal_key.h"
#include "storage/lsm/skip_list.h"

namespace starling::storage::lsm {

// What a source knows of a key.
enum class Lookup { absent, removed, found };

class Memtable {
  public:
    // `log_number`: the log file in which its changes begin.
    explicit Memtable(uint64_t log_number) : log_number_(log_number) {}

    void add(Sequence sequence, ChangeKind kind, std::string_view key, std::string_view value);

    // The newest change of `key` at or before `sequence`; `value` is valid as long as the memtable.
    Lookup get(std::string_view key, Sequence sequence, std::string_view& value) const;

    // Borrows the memtable.
    std::unique_ptr<InternalIterator> new_iterator() const;

    uint64_t log_number() const { return log_number_; }
    bool empty() const { return entries_.first() == nullptr; }
    // Of the thread that adds, or when none does any more.
    Sequence last_sequence() const { return last_sequence_; }
    uint64_t used_bytes() const { return arena_.used_bytes(); }
    uint64_t memory_bytes() const { return arena_.memory_bytes(); }

  private:
    const uint64_t log_number_;
    Arena arena_;
    SkipList entries_{arena_};
    Sequence last_sequence_ = 0;
};

}  // namespace starling::storage::lsm
