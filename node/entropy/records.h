#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "node/replica/group_access.h"
#include "starling/peer/entropy.pb.h"

namespace starling::node {

void put_records(const std::vector<KeyRecord>& records,
                 google::protobuf::RepeatedPtrField<peer::EntropyRecord>& out);
size_t size_of(const peer::EntropyRecord& record);

// invalid_argument when a key is too short to be a group key or a record does not decode.
absl::StatusOr<std::vector<KeyRecord>> read_records(
    const google::protobuf::RepeatedPtrField<peer::EntropyRecord>& in);

uint64_t root_hash(const BucketDigests& buckets);
std::string encode(const Frontier& frontier);
// invalid_argument when the bytes are not one frontier.
absl::StatusOr<Frontier> read_frontier(std::string_view bytes);

void put_missing(const MissingPage& page, peer::EntropyMissing& out);
// invalid_argument when a part does not decode.
absl::StatusOr<MissingPage> read_missing(const peer::EntropyMissing& in);
std::string encode(const Dot& dot);
// None from an empty string; invalid_argument when the bytes are not one dot.
absl::StatusOr<std::optional<Dot>> read_cursor(std::string_view bytes);

void put_listing(ListingPage page, peer::EntropyListing& out);
// invalid_argument when keys and digests do not belong together, or are not of groups.
absl::StatusOr<ListingPage> read_listing(const peer::EntropyListing& in);

void put_summary(const GroupSummary& summary, peer::EntropySummary& out);
absl::StatusOr<GroupSummary> read_summary(const peer::EntropySummary& in);

}  // namespace starling::node
