#pragma once

// Which keys two replicas of a group have different values of: their listings (ListingPage) side by
// side. Either listing comes page by page, and is read once, from its first key to its last; no
// more than a page of each is kept.
//
//     pages of both sides are there -> the differing keys up to where the shorter one ends -> the
//     next page of that side, or of both where they end at the same key
//
// A key that is written in between may count as differing, or not.

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

#include "node/replica/group_access.h"

namespace starling::node {

class ListingDiff {
  public:
    enum class Side : uint8_t { own, theirs };

    explicit ListingDiff(const BucketSet& buckets) : buckets_(buckets) {}

    bool wants_page_of(Side side) const { return at(side).is_wanted; }
    // Where that page begins.
    const std::string& after(Side side) const { return at(side).up_to; }
    // invalid_argument: it has keys that it should not have, or does not advance. REQUIRES: the
    // page is wanted.
    absl::Status add(Side side, ListingPage page);
    // Of the keys of which both sides' pages speak those that differ, ascending. REQUIRES: no page
    // is wanted.
    std::vector<std::string> take_differing();
    // All were taken.
    bool is_done() const { return is_done_; }

    const BucketSet& buckets() const { return buckets_; }

  private:
    struct Listing {
        bool is_wanted = true;
        std::vector<KeyDigest> keys;
        // Those before it are taken.
        size_t next = 0;
        std::string up_to;

        bool is_last() const { return !is_wanted && up_to.empty(); }
        // The next key, if it is in the range that ends there (null: has no end).
        KeyDigest* head(const std::string* end);
    };

    const Listing& at(Side side) const { return listings_[static_cast<size_t>(side)]; }

    const BucketSet buckets_;
    std::array<Listing, 2> listings_;
    bool is_done_ = false;
};

}  // namespace starling::node
