#pragma once

// The conflicts of a namespace, united from what each node says of its own records. Each node tells
// them by partition and key, page by page; the pages of all are merged as they are needed, so that
// no more is asked for than is shown.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "starling/v1/admin.pb.h"

namespace starling::client {

struct ConflictPosition {
    uint32_t partition = 0;
    std::string key;
    friend auto operator<=>(const ConflictPosition&, const ConflictPosition&) = default;
};

// "PARTITION:KEY", the key in hexadecimal.
std::string to_string(const ConflictPosition& position);
// invalid_argument when it is not what to_string() makes.
absl::StatusOr<ConflictPosition> parse_position(const std::string& text);

struct ConflictListOptions {
    std::string name_space;
    ConflictPosition from = {};
    uint32_t limit = 100;
    // Of the cluster: each must be searched by one node at least.
    uint32_t partition_count = 0;
};

struct ConflictList {
    // By partition and key; of a key that several nodes have, what the one with the most siblings
    // says.
    std::vector<v1::Conflict> conflicts;
    // Absent: these were all.
    std::optional<ConflictPosition> next;
    // Partitions up to there that no node searched whole: some of what they have may be missing
    // here.
    uint32_t partitions_missing = 0;
    // Why nodes did not answer, one for each.
    std::vector<absl::Status> failures;
};

// Asks one node for one page.
using AskForConflicts =
    std::function<absl::StatusOr<v1::ListConflictsResponse>(const v1::ListConflictsRequest&)>;

ConflictList list_conflicts(const ConflictListOptions& options,
                            const std::vector<AskForConflicts>& nodes);

}  // namespace starling::client
