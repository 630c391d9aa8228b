#pragma once

// The keys of some buckets, as several replicas list them, side by side. Each listing comes page by
// page, and is read once, from its first key to its last; no more than a page of each is kept.
//
//     pages of all replicas are there -> the differing keys up to where the shortest one ends ->
//     the next page of each replica whose page ended there
//
// No I/O.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"

#include "starling/v1/admin.pb.h"

namespace starling::client {

class ReplicaListings {
  public:
    explicit ReplicaListings(const std::vector<uint64_t>& nodes);

    // Those whose next page is to be added, and where it begins.
    std::map<uint64_t, std::string> wanted() const;
    // internal: the page does not go on where the one before ended. REQUIRES: it is wanted.
    absl::Status add(uint64_t node, v1::InspectReplicaResponse page);
    // The node does not answer: the others are compared.
    void drop(uint64_t node) { listings_.erase(node); }
    // Of the keys of which all pages speak those that not all replicas have with one digest, in
    // their order. REQUIRES: no page is wanted.
    std::vector<std::string> take_differing();
    // All were taken, or there is nothing to compare with.
    bool is_done() const { return is_done_ || listings_.size() < 2; }

  private:
    struct Listing {
        bool is_wanted = true;
        v1::InspectReplicaResponse page;
        // The keys before this one are taken.
        int next = 0;
        // The page speaks of keys up to this one; empty: of all that follow.
        std::string up_to;
    };

    std::map<uint64_t, Listing> listings_;
    bool is_done_ = false;
};

}  // namespace starling::client
