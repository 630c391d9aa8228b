#pragma once

// What the cluster knows of one node. A record is written by its own node only; everybody else
// copies it. Of two records of one node the one with the higher (generation, version) holds; equal
// ones with different content can come only from two processes that run under one identity (a
// cloned disk), and are ordered by their bytes, so that all nodes keep the same one. So records of
// one node are totally ordered, and merging (the maximum) is commutative, associative and
// idempotent.
//
// Value types and pure functions. docs/formats/gossip.md describes the encoding.

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "base/ids.h"
#include "env/transport.h"

namespace starling::gossip {

inline constexpr size_t member_payload_bytes_max = 1u << 20;
inline constexpr size_t member_string_bytes_max = 255;
// An encoded record: the payload, four strings and some numbers.
inline constexpr size_t member_record_bytes_max = member_payload_bytes_max + 2048;
inline constexpr uint32_t member_weight_default = 100;
inline constexpr uint32_t member_weight_max = 1'000'000;

enum class MemberState : uint8_t {
    // Known to the cluster; does not yet count for placement.
    joining = 1,
    member = 2,
    // Gives its data away, then leaves.
    leaving = 3,
    // Gone by its own will.
    left = 4,
};

std::string_view to_string(MemberState state);

// Whether it may be one; the transport says more.
inline bool is_address(std::string_view text) {
    return !text.empty() && text.size() <= member_string_bytes_max;
}

// What orders the records of one node, but for accidents of identity.
struct RecordVersion {
    // Raised durably by the node at each start.
    uint32_t generation = 0;
    // Raised by the node at each change; starts again with each generation.
    uint64_t version = 0;

    friend auto operator<=>(const RecordVersion&, const RecordVersion&) = default;
};

struct MemberRecord {
    base::NodeId id;
    uint32_t generation = 0;
    uint64_t version = 0;
    env::Address peer_address;
    env::Address client_address;
    std::string zone;
    uint32_t weight = member_weight_default;
    MemberState state = MemberState::joining;
    // The node's own business (its seats); gossip never reads it.
    std::string payload;
    std::string software_version;

    RecordVersion record_version() const { return {generation, version}; }
    friend bool operator==(const MemberRecord&, const MemberRecord&) = default;
};

// invalid_argument, naming the field, when a limit is not kept.
absl::Status validate(const MemberRecord& record);

// One encoding per record. REQUIRES: validate(record).ok().
std::string encode(const MemberRecord& record);

// invalid_argument for anything that encode() does not write.
absl::StatusOr<MemberRecord> decode_member(std::string_view bytes);

// The order described above. REQUIRES: a.id == b.id.
std::strong_ordering compare(const MemberRecord& a, const MemberRecord& b);

}  // namespace starling::gossip
