#include "node/entropy/listing_diff.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/mark.h"

namespace starling::node {

KeyDigest* ListingDiff::Listing::head(const std::string* end) {
    const bool is_there = next < keys.size() && (end == nullptr || keys[next].key <= *end);
    return is_there ? &keys[next] : nullptr;
}

absl::Status ListingDiff::add(Side side, ListingPage page) {
    Listing& listing = listings_[static_cast<size_t>(side)];
    STARLING_CHECK(listing.is_wanted);
    const std::string* last = &listing.up_to;
    for (const KeyDigest& key : page.keys) {
        if (key.key <= *last || !buckets_.test(bucket_of(key.key))) {
            return absl::InvalidArgumentError("a listing out of order");
        }
        last = &key.key;
    }
    if (!page.up_to.empty() && (page.up_to < *last || page.up_to <= listing.up_to)) {
        return absl::InvalidArgumentError("a listing that does not advance");
    }
    listing = {.is_wanted = false,
               .keys = std::move(page.keys),
               .next = 0,
               .up_to = std::move(page.up_to)};
    return absl::OkStatus();
}

std::vector<std::string> ListingDiff::take_differing() {
    auto& [own, theirs] = listings_;
    STARLING_CHECK(!own.is_wanted && !theirs.is_wanted);
    std::string end;
    if (!own.is_last() && !theirs.is_last()) {
        end = std::min(own.up_to, theirs.up_to);
    } else {
        end = own.is_last() ? theirs.up_to : own.up_to;
    }
    is_done_ = end.empty();
    const std::string* const bound = is_done_ ? nullptr : &end;
    std::vector<std::string> differing;
    for (;;) {
        KeyDigest* const mine = own.head(bound);
        KeyDigest* const other = theirs.head(bound);
        if (mine == nullptr && other == nullptr) break;
        const bool takes_mine = other == nullptr || (mine != nullptr && mine->key <= other->key);
        const bool takes_other = mine == nullptr || (other != nullptr && other->key <= mine->key);
        if (takes_mine && !takes_other) STARLING_MARK(entropy_peer_has_no_value_of_key);
        if (takes_mine != takes_other || mine->digest != other->digest) {
            differing.push_back(std::move(takes_mine ? mine->key : other->key));
        }
        own.next += takes_mine ? 1 : 0;
        theirs.next += takes_other ? 1 : 0;
    }
    for (Listing* const listing : {&own, &theirs}) {
        listing->is_wanted = !is_done_ && listing->up_to == end;
    }
    return differing;
}

}  // namespace starling::node
