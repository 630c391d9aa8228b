#pragma once

// Identities as types, so that no two of them can be exchanged in a call.

#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace starling::base {

// A strong integer. Tag makes the type; Raw is what is stored. Value 0 means "none" where an id may
// be absent, so no generator ever returns 0.
template <typename Tag, typename Raw>
class StrongId {
  public:
    using raw_type = Raw;

    constexpr StrongId() = default;
    constexpr explicit StrongId(Raw raw) : raw_(raw) {}

    constexpr Raw raw() const { return raw_; }
    constexpr bool is_none() const { return raw_ == 0; }
    friend constexpr auto operator<=>(StrongId, StrongId) = default;

    template <typename H>
    friend H AbslHashValue(H h, StrongId id) {
        return H::combine(std::move(h), id.raw_);
    }

  private:
    Raw raw_ = 0;
};

// A database node, for its whole life; drawn at random when its data directory is first made.
using NodeId = StrongId<struct NodeIdTag, uint64_t>;
// A cluster, drawn at random by the node that founded it.
using ClusterId = StrongId<struct ClusterIdTag, uint64_t>;
// A namespace, drawn at random when it is created; `default` is namespace 1 of every cluster.
using NamespaceId = StrongId<struct NamespaceIdTag, uint64_t>;
// One of the Q equal parts of the key space, 0 .. Q-1.
using PartitionId = StrongId<struct PartitionIdTag, uint16_t>;
// One of the N seats of a partition, 0 .. N-1.
using SeatIndex = StrongId<struct SeatIndexTag, uint8_t>;

inline constexpr NamespaceId default_namespace_id{1};

// Names one write, whatever node it is tried through and however often.
// `created_ms` is the client's wall clock at creation (Unix milliseconds), the rest is random.
struct RequestId {
    uint64_t created_ms = 0;
    uint64_t random_high = 0;
    uint64_t random_low = 0;

    bool is_none() const { return created_ms == 0 && random_high == 0 && random_low == 0; }
    friend auto operator<=>(const RequestId&, const RequestId&) = default;

    template <typename H>
    friend H AbslHashValue(H h, const RequestId& id) {
        return H::combine(std::move(h), id.created_ms, id.random_high, id.random_low);
    }
};

// Sixteen lower-case hexadecimal digits.
inline std::string to_string(NodeId id) {
    return fmt::format("{:016x}", id.raw());
}
inline std::string to_string(ClusterId id) {
    return fmt::format("{:016x}", id.raw());
}
inline std::string to_string(NamespaceId id) {
    return fmt::format("{:016x}", id.raw());
}
// Decimal.
inline std::string to_string(PartitionId id) {
    return fmt::format("{}", id.raw());
}
inline std::string to_string(SeatIndex id) {
    return fmt::format("{}", id.raw());
}
// created_ms in decimal, then the random part in hexadecimal.
inline std::string to_string(const RequestId& id) {
    return fmt::format("{}-{:016x}{:016x}", id.created_ms, id.random_high, id.random_low);
}

}  // namespace starling::base
