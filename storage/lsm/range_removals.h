#pragma once

// Removed ranges of keys. A range removal is no entry of a table: a memtable keeps those that were
// written to it, and the version (so the manifest) those of flushed memtables, until no table holds
// an older entry of the range. Readers and compactions look here for what hides an entry.
//
// A set is searched from its first removal that is newer than the entry: there are few, since the
// engine takes no more of them while many are still needed. Never changes once made.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "storage/lsm/internal_key.h"

namespace starling::storage::lsm {

struct RangeRemoval {
    std::string begin;
    // Empty: to the end.
    std::string end;
    Sequence sequence = 0;

    bool reaches(std::string_view key) const { return end.empty() || key < end; }
    bool covers(std::string_view key) const { return begin <= key && reaches(key); }
    bool overlaps(std::string_view first, std::string_view last) const {
        return begin <= last && reaches(first);
    }
    bool covers_all(std::string_view first, std::string_view last) const {
        return begin <= first && reaches(last);
    }

    friend bool operator==(const RangeRemoval&, const RangeRemoval&) = default;
};

class RangeRemovals {
  public:
    RangeRemovals() = default;
    explicit RangeRemovals(std::vector<RangeRemoval> removals);

    bool empty() const { return removals_.empty(); }
    // In the order of their sequences.
    const std::vector<RangeRemoval>& list() const { return removals_; }

    // The oldest removal of the key after `sequence`; 0: none.
    Sequence first_after(std::string_view key, Sequence sequence) const;
    // Whether a reader at `reader` does not see an entry of `sequence`.
    bool hides(std::string_view key, Sequence sequence, Sequence reader) const {
        if (removals_.empty()) [[likely]] {
            return false;
        }
        const Sequence removed = first_after(key, sequence);
        return removed != 0 && removed <= reader;
    }

  private:
    std::vector<RangeRemoval> removals_;
};

}  // namespace starling::storage::lsm
