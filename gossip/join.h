#pragma once

// Who may join a cluster: a pure decision, made by the member that is asked, from what the node
// that asks says of itself. (That it holds the cluster secret, the transport has proved before.)

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "base/ids.h"
#include "gossip/member.h"
#include "gossip/membership.h"
#include "starling/peer/gossip.pb.h"

namespace starling::gossip {

// Raised whenever nodes of two versions could misunderstand each other.
inline constexpr uint32_t protocol_version = 1;

inline constexpr size_t cluster_name_bytes_max = 255;

// What all nodes of a cluster have in common, fixed when it is made.
struct ClusterIdentity {
    base::ClusterId id;
    std::string name;
    // Q
    uint32_t partition_count = 0;
    // Seats per partition.
    uint32_t seats = 0;

    friend bool operator==(const ClusterIdentity&, const ClusterIdentity&) = default;
};

struct JoinOffer {
    uint32_t protocol_version = gossip::protocol_version;
    // The cluster that the node would give up.
    ClusterIdentity cluster;
    // Members of that cluster, the node included.
    uint32_t members = 1;
    bool holds_data = false;
    MemberRecord record;
};

// What the asked node knows of the id that asks.
struct KnownJoiner {
    std::optional<env::Address> peer_address;
    bool is_alive = false;
    bool is_certified_dead = false;
};

// The reason of a node that was removed by an administrator: its identity is spent.
inline constexpr std::string_view reason_removed = "removed";

// OK, or failed_precondition with the reason: wrong_cluster (another name), incompatible (another
// partition count, seat count or protocol), already_member (a live member under another address; a
// node that is in a cluster with others; a node that is in this cluster), has_data, removed;
// invalid_argument for an offer that is not valid. The first that applies, in the order: protocol,
// name, partitions, seats, removed, member, data.
absl::Status check_join(const JoinOffer& offer,
                        const ClusterIdentity& ours,
                        const KnownJoiner& known);

// What an accepted node receives.
struct JoinGrant {
    ClusterIdentity cluster;
    // Records, certificates and items of the cluster; without the joiner's own record.
    Membership membership;
};

// May be sent between nodes of different clusters, so the envelope's cluster is not checked for it.
bool crosses_clusters(const peer::GossipMessage& message);

// The answer to the tool that asked a node to join.
peer::GossipMessage make_join_done(const absl::Status& status,
                                   base::ClusterId cluster,
                                   uint32_t members);
// The status inside; unknown for a code that does not exist.
absl::Status status_of(const peer::JoinDone& done);

// Wire forms. invalid_argument for what is out of bounds.
peer::JoinRequest to_proto(const JoinOffer& offer, uint64_t nonce);
absl::StatusOr<JoinOffer> from_proto(const peer::JoinRequest& request);
peer::JoinReply make_refusal(uint64_t nonce, const absl::Status& status);
peer::JoinReply make_grant(uint64_t nonce,
                           const ClusterIdentity& cluster,
                           const Membership& membership,
                           base::NodeId joiner);
// The grant, or why it was refused, or why it cannot be taken.
absl::StatusOr<JoinGrant> read_reply(const peer::JoinReply& reply, const JoinOffer& offer);

}  // namespace starling::gossip
