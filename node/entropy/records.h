#pragma once

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

struct SummaryHashes {
    uint64_t frontier = 0;
    uint64_t root = 0;
    friend bool operator==(const SummaryHashes&, const SummaryHashes&) = default;
};
SummaryHashes hashes_of(const GroupSummary& summary);

void put_summary(const GroupSummary& summary, peer::EntropySummary& out);
absl::StatusOr<GroupSummary> read_summary(const peer::EntropySummary& in);

}  // namespace starling::node
