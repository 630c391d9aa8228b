#pragma once

// The newest changes, in memory and in order, until they are flushed into a table. One thread adds
// at a time; any number read meanwhile without locks. A reader sees an entry once it knows its
// sequence.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "storage/lsm/arena.h"
#include "storage/lsm/internal_iterator.h"
#include "storage/lsm/internal_key.h"
#include "storage/lsm/range_removals.h"
#include "storage/lsm/skip_list.h"
#include "storage/lsm/stored_value.h"

namespace starling::storage::lsm {

class Memtable {
  public:
    // `log_number`: the log file in which its changes begin.
    explicit Memtable(uint64_t log_number) : log_number_(log_number) {}

    // `value` as stored (stored_value.h).
    void add(Sequence sequence, ChangeKind kind, std::string_view key, std::string_view value);
    void add_put(Sequence sequence, std::string_view key, std::string_view value, Expiry expiry) {
        if (expiry == never) [[likely]] {
            add(sequence, ChangeKind::put, key, value);
        } else {
            add(sequence, ChangeKind::put_expiring, key, with_expiry(value, expiry));
        }
    }
    // A range that ends before it begins holds no key, and is not kept.
    void remove_range(Sequence sequence, std::string_view begin, std::string_view end);

    // The newest change of `key` at or before `sequence`; false: none.
    bool get(std::string_view key, Sequence sequence, FoundEntry& found) const;

    // Borrows the memtable.
    std::unique_ptr<InternalIterator> new_iterator() const;

    uint64_t log_number() const { return log_number_; }
    bool has_entries() const { return entries_.first() != nullptr; }
    // Of the thread that adds, or when none does any more.
    bool is_mostly_removals() const {
        return removal_count_ > 0 && removal_count_ >= entry_count_ / 2;
    }
    // Of the thread that adds, or when none does any more.
    bool empty() const { return entries_.first() == nullptr && range_removals_.empty(); }
    // Of the thread that adds, or when none does any more.
    const std::vector<RangeRemoval>& range_removals() const { return range_removals_; }
    // Of the thread that adds, or when none does any more.
    Sequence last_sequence() const { return last_sequence_; }
    // REQUIRES, as range_removals(): the thread that adds, or that none does any more.
    uint64_t used_bytes() const { return arena_.used_bytes() + range_bytes_; }
    uint64_t memory_bytes() const { return arena_.memory_bytes(); }

  private:
    const uint64_t log_number_;
    Arena arena_;
    SkipList entries_{arena_};
    Sequence last_sequence_ = 0;
    uint64_t entry_count_ = 0;
    uint64_t removal_count_ = 0;
    std::vector<RangeRemoval> range_removals_;
    // Of all range removals, also of empty ranges: they fill the log.
    uint64_t range_bytes_ = 0;
};

}  // namespace starling::storage::lsm
