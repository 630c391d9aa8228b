#pragma once

// Decides, entry by entry in their order, which ones a new table need not hold, and of which the
// sequence.
//
// 1. An entry is dropped when a newer entry of its key, or a removal of a range with it, is seen by
//    every snapshot that could see it. The range removal must be in the version: what the log alone
//    knows may be lost, and must then have changed nothing.
// 2. A removal that every snapshot sees is dropped too when nothing older of its key can lie below
// the
//    new table.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/planted.h"
#include "storage/lsm/internal_key.h"
#include "storage/lsm/range_removals.h"

namespace starling::storage::lsm {

class GarbageFilter {
  public:
    // `snapshots`: ascending. `range_removals` is borrowed.
    GarbageFilter(std::vector<Sequence> snapshots, const RangeRemovals& range_removals)
        : snapshots_(std::move(snapshots)), range_removals_(range_removals) {}

    // Whether this is the first entry of its key.
    bool begins_key(std::string_view internal_key) const {
        return first_ || user_key_of(internal_key) != user_key_;
    }

    // REQUIRES: called for each entry once, in order. `is_bottom` (user key -> bool) is asked only
    // about removals.
    template <typename IsBottom>
    bool drop(std::string_view internal_key, IsBottom&& is_bottom) {
        const uint64_t tag = tag_of(internal_key);
        const Sequence sequence = sequence_of_tag(tag);
        const size_t stripe = stripe_of(sequence);
        if (begins_key(internal_key)) {
            user_key_.assign(user_key_of(internal_key));
            first_ = false;
        } else if (stripe == newer_stripe_) {
            return true;
        }
        newer_stripe_ = stripe;
        if (!range_removals_.empty()) {
            const Sequence removed = range_removals_.first_after(user_key_, sequence);
            if (removed != 0 && stripe_of(removed) == stripe) {
                return true;
            }
        }
        return kind_of_tag(tag) == ChangeKind::remove && stripe == 0 &&
               (is_bottom(user_key_) || STARLING_PLANTED(removal_ends_above_bottom));
    }

    // Whether the order of the last entry, which was kept, still matters to nobody: every reader
    // sees it, no older entry of its key can lie below, and no removed range is to be told from it.
    template <typename IsBottom>
    bool is_settled(IsBottom&& is_bottom) const {
        return newer_stripe_ == 0 && range_removals_.empty() && is_bottom(user_key_);
    }

  private:
    // Entries between the same two snapshots are seen by the same readers.
    size_t stripe_of(Sequence sequence) const {
        size_t stripe = 0;
        while (stripe < snapshots_.size() && snapshots_[stripe] < sequence) {
            ++stripe;
        }
        return stripe;
    }

    const std::vector<Sequence> snapshots_;
    const RangeRemovals& range_removals_;
    bool first_ = true;
    std::string user_key_;
    size_t newer_stripe_ = 0;
};

}  // namespace starling::storage::lsm
