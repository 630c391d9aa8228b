#include "client/cli/replica_listings.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"

namespace starling::client {

ReplicaListings::ReplicaListings(const std::vector<uint64_t>& nodes) {
    for (const uint64_t node : nodes) {
        listings_[node];
    }
}

std::map<uint64_t, std::string> ReplicaListings::wanted() const {
    std::map<uint64_t, std::string> nodes;
    for (const auto& [node, listing] : listings_) {
        if (listing.is_wanted) {
            nodes.emplace(node, listing.up_to);
        }
    }
    return nodes;
}

absl::Status ReplicaListings::add(uint64_t node, v1::InspectReplicaResponse page) {
    Listing& listing = listings_.at(node);
    STARLING_CHECK(listing.is_wanted);
    const std::string* last = &listing.up_to;
    for (const v1::InspectedKey& key : page.keys()) {
        if (key.key() <= *last) {
            return absl::InternalError("its keys are not in order");
        }
        last = &key.key();
    }
    if (!page.up_to().empty() && (page.up_to() < *last || page.up_to() <= listing.up_to)) {
        return absl::InternalError("its list of keys does not go on");
    }
    listing.is_wanted = false;
    listing.next = 0;
    listing.up_to = page.up_to();
    listing.page = std::move(page);
    return absl::OkStatus();
}

std::vector<std::string> ReplicaListings::take_differing() {
    std::string end;
    for (const auto& [node, listing] : listings_) {
        STARLING_CHECK(!listing.is_wanted);
        if (!listing.up_to.empty() && (end.empty() || listing.up_to < end)) {
            end = listing.up_to;
        }
    }
    is_done_ = end.empty();
    struct Met {
        size_t replicas = 0;
        uint64_t digest = 0;
        bool differs = false;
    };
    std::map<std::string, Met> keys;
    for (auto& [node, listing] : listings_) {
        for (; listing.next < listing.page.keys_size(); ++listing.next) {
            const v1::InspectedKey& key = listing.page.keys(listing.next);
            if (!is_done_ && key.key() > end) {
                break;
            }
            Met& met = keys[key.key()];
            met.differs = met.differs || (met.replicas > 0 && met.digest != key.digest());
            met.digest = key.digest();
            ++met.replicas;
        }
        listing.is_wanted = !is_done_ && listing.up_to == end;
    }
    std::vector<std::string> differing;
    for (const auto& [key, met] : keys) {
        if (met.differs || met.replicas < listings_.size()) {
            differing.push_back(key);
        }
    }
    return differing;
}

}  // namespace starling::client
