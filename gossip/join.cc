#include "gossip/join.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/mark.h"
#include "gossip/delta.h"

namespace starling::gossip {
namespace {

namespace reason = base::reason;

// Far below a frame's limit, and more than the certificates and items can have.
constexpr size_t reply_bytes_target = 32u << 20;

constexpr size_t message_bytes_max = 1024;

absl::Status refuse(std::string_view why, const std::string& message) {
    return base::make_error(absl::StatusCode::kFailedPrecondition, why, message);
}

absl::Status check_identity(const JoinOffer& offer, const ClusterIdentity& ours) {
    if (offer.cluster.name != ours.name) {
        STARLING_MARK(join_check_wrong_cluster);
        return refuse(reason::wrong_cluster,
                      fmt::format("the node is configured for cluster '{}', this is cluster '{}'",
                                  offer.cluster.name,
                                  ours.name));
    }
    if (offer.cluster.partition_count != ours.partition_count) {
        return refuse(reason::incompatible,
                      fmt::format("the node has {} partitions, this cluster {}",
                                  offer.cluster.partition_count,
                                  ours.partition_count));
    }
    if (offer.cluster.seats != ours.seats) {
        return refuse(reason::incompatible,
                      fmt::format("the node has {} seats per partition, this cluster {}",
                                  offer.cluster.seats,
                                  ours.seats));
    }
    return absl::OkStatus();
}

absl::Status check_standing(const JoinOffer& offer,
                            const ClusterIdentity& ours,
                            const KnownJoiner& known) {
    const std::string id = base::to_string(offer.record.id);
    if (known.is_certified_dead) {
        return refuse(reason_removed,
                      fmt::format("node {} was removed from this cluster for good; "
                                  "let it start with an empty data directory",
                                  id));
    }
    if (offer.cluster.id == ours.id) {
        STARLING_MARK(join_check_member_already);
        return refuse(
            reason::already_member,
            fmt::format("node {} is in cluster {} already", id, base::to_string(ours.id)));
    }
    if (known.is_alive && known.peer_address != offer.record.peer_address) {
        STARLING_MARK(join_check_cloned_disk);
        return refuse(
            reason::already_member,
            fmt::format("node {} is alive at {}, and cannot join from {} too (a cloned disk?)",
                        id,
                        known.peer_address.value_or("another address"),
                        offer.record.peer_address));
    }
    if (offer.members > 1) {
        STARLING_MARK(join_check_is_in_another_cluster);
        return refuse(
            reason::already_member,
            fmt::format("node {} is in a cluster of {} members already", id, offer.members));
    }
    if (offer.holds_data) {
        return refuse(reason::has_data,
                      fmt::format("node {} holds data of its own, which joining would lose; "
                                  "let it start with an empty data directory",
                                  id));
    }
    return absl::OkStatus();
}

absl::Status check_protocol(uint32_t theirs) {
    if (theirs == protocol_version) return absl::OkStatus();
    return refuse(
        reason::incompatible,
        fmt::format("the node speaks protocol {}, this one {}", theirs, protocol_version));
}

absl::Status status_from(uint32_t code, const std::string& why, const std::string& message) {
    if (code == 0) return absl::OkStatus();
    constexpr auto code_max = static_cast<uint32_t>(absl::StatusCode::kUnauthenticated);
    const auto known =
        code <= code_max ? static_cast<absl::StatusCode>(code) : absl::StatusCode::kUnknown;
    return base::make_error(
        known, why.substr(0, message_bytes_max), message.substr(0, message_bytes_max));
}

}  // namespace

absl::Status check_join(const JoinOffer& offer,
                        const ClusterIdentity& ours,
                        const KnownJoiner& known) {
    if (auto status = check_protocol(offer.protocol_version); !status.ok()) return status;
    if (auto status = validate(offer.record); !status.ok()) return status;
    if (auto status = check_identity(offer, ours); !status.ok()) return status;
    return check_standing(offer, ours, known);
}

bool crosses_clusters(const peer::GossipMessage& message) {
    switch (message.body_case()) {
        case peer::GossipMessage::kJoinCluster:
        case peer::GossipMessage::kJoinDone:
        case peer::GossipMessage::kJoinRequest:
        case peer::GossipMessage::kJoinReply:
            return true;
        default:
            return false;
    }
}

peer::GossipMessage make_join_done(const absl::Status& status,
                                   base::ClusterId cluster,
                                   uint32_t members) {
    peer::GossipMessage message;
    peer::JoinDone& done = *message.mutable_join_done();
    done.set_code(static_cast<uint32_t>(status.raw_code()));
    done.set_reason(base::reason_of(status));
    done.set_message(std::string(status.message()));
    done.set_cluster(cluster.raw());
    done.set_members(members);
    return message;
}

absl::Status status_of(const peer::JoinDone& done) {
    return status_from(done.code(), done.reason(), done.message());
}

peer::JoinRequest to_proto(const JoinOffer& offer, uint64_t nonce) {
    peer::JoinRequest request;
    request.set_nonce(nonce);
    request.set_protocol_version(offer.protocol_version);
    request.set_cluster(offer.cluster.id.raw());
    request.set_cluster_name(offer.cluster.name);
    request.set_partition_count(offer.cluster.partition_count);
    request.set_seats(offer.cluster.seats);
    request.set_members(offer.members);
    request.set_holds_data(offer.holds_data);
    request.set_record(encode(offer.record));
    return request;
}

absl::StatusOr<JoinOffer> from_proto(const peer::JoinRequest& request) {
    if (request.cluster_name().size() > cluster_name_bytes_max) {
        return absl::InvalidArgumentError("join request: the cluster name is too long");
    }
    auto record = decode_member(request.record());
    if (!record.ok()) return record.status();
    return JoinOffer{.protocol_version = request.protocol_version(),
                     .cluster = {.id = base::ClusterId(request.cluster()),
                                 .name = request.cluster_name(),
                                 .partition_count = request.partition_count(),
                                 .seats = request.seats()},
                     .members = request.members(),
                     .holds_data = request.holds_data(),
                     .record = *std::move(record)};
}

peer::JoinReply make_refusal(uint64_t nonce, const absl::Status& status) {
    peer::JoinReply reply;
    reply.set_nonce(nonce);
    reply.set_protocol_version(protocol_version);
    reply.set_code(static_cast<uint32_t>(status.raw_code()));
    reply.set_reason(base::reason_of(status));
    reply.set_message(std::string(status.message()));
    return reply;
}

peer::JoinReply make_grant(uint64_t nonce,
                           const ClusterIdentity& cluster,
                           const Membership& membership,
                           base::NodeId joiner) {
    peer::JoinReply reply;
    reply.set_nonce(nonce);
    reply.set_protocol_version(protocol_version);
    reply.set_cluster(cluster.id.raw());
    reply.set_cluster_name(cluster.name);
    reply.set_partition_count(cluster.partition_count);
    reply.set_seats(cluster.seats);
    *reply.mutable_state() = whole_state(membership, joiner, reply_bytes_target);
    return reply;
}

absl::StatusOr<JoinGrant> read_reply(const peer::JoinReply& reply, const JoinOffer& offer) {
    if (auto s = status_from(reply.code(), reply.reason(), reply.message()); !s.ok()) return s;
    if (auto s = check_protocol(reply.protocol_version()); !s.ok()) return s;
    JoinGrant grant{.cluster = {.id = base::ClusterId(reply.cluster()),
                                .name = reply.cluster_name(),
                                .partition_count = reply.partition_count(),
                                .seats = reply.seats()},
                    .membership = {}};
    // The other side has compared the same; a grant that does not fit would be its mistake, but our
    // loss.
    if (auto s = check_identity(offer, grant.cluster); !s.ok()) return s;
    if (grant.cluster.id.is_none()) return absl::InvalidArgumentError("join reply: no cluster id");
    StateChanges changes;
    merge_into(grant.membership, reply.state(), offer.record.id, changes);
    if (changes.refused > 0) {
        return absl::InvalidArgumentError("join reply: the cluster's state is malformed");
    }
    if (grant.membership.active_count() == 0) {
        return absl::InvalidArgumentError("join reply: the cluster has no members");
    }
    if (grant.membership.is_certified_dead(offer.record.id)) {
        return refuse(reason_removed, "this node was removed from that cluster for good");
    }
    return grant;
}

}  // namespace starling::gossip
