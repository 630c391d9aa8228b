#include <limits>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/status_macros.h"
#include "node/doors/convert.h"

namespace starling::node {

namespace {

absl::Status invalid_namespace(const std::string& message) {
    return base::make_error(
        absl::StatusCode::kInvalidArgument, base::reason::invalid_namespace, message);
}

absl::StatusOr<ConflictPolicy> policy_of(v1::ConflictPolicy policy) {
    switch (policy) {
        case v1::CONFLICT_POLICY_UNSPECIFIED:
        case v1::CONFLICT_POLICY_SIBLINGS:
            return ConflictPolicy::siblings;
        case v1::CONFLICT_POLICY_LAST_WRITE_WINS:
            return ConflictPolicy::last_write_wins;
        case v1::CONFLICT_POLICY_REJECT_STALE:
            return ConflictPolicy::reject_stale;
        default:
            return invalid_namespace(
                fmt::format("namespace.policy: {} is unknown", static_cast<int>(policy)));
    }
}

absl::StatusOr<Durability> durability_of(v1::Durability durability) {
    switch (durability) {
        case v1::DURABILITY_UNSPECIFIED:
        case v1::DURABILITY_SYNC:
            return Durability::sync;
        case v1::DURABILITY_INTERVAL:
            return Durability::interval;
        case v1::DURABILITY_MEMORY:
            return Durability::memory;
        default:
            return invalid_namespace(
                fmt::format("namespace.durability: {} is unknown", static_cast<int>(durability)));
    }
}

v1::ConflictPolicy to_proto(ConflictPolicy policy) {
    switch (policy) {
        case ConflictPolicy::siblings:
            return v1::CONFLICT_POLICY_SIBLINGS;
        case ConflictPolicy::last_write_wins:
            return v1::CONFLICT_POLICY_LAST_WRITE_WINS;
        case ConflictPolicy::reject_stale:
            return v1::CONFLICT_POLICY_REJECT_STALE;
    }
    return v1::CONFLICT_POLICY_UNSPECIFIED;
}

v1::Durability to_proto(Durability durability) {
    switch (durability) {
        case Durability::sync:
            return v1::DURABILITY_SYNC;
        case Durability::interval:
            return v1::DURABILITY_INTERVAL;
        case Durability::memory:
            return v1::DURABILITY_MEMORY;
    }
    return v1::DURABILITY_UNSPECIFIED;
}

uint32_t majority_of(uint32_t replicas) {
    return replicas / 2 + 1;
}

}  // namespace

absl::StatusOr<NamespaceInfo> to_namespace(const v1::Namespace& message,
                                           const RequestLimits& limits) {
    if (message.name().empty() || message.name().size() > limits.namespace_bytes_max) {
        return invalid_namespace(
            fmt::format("namespace.name: must have 1 to {} bytes", limits.namespace_bytes_max));
    }
    NamespaceInfo info;
    info.name = message.name();
    if (message.replicas() != 0) {
        info.replicas = message.replicas();
    }
    info.read_quorum =
        message.read_quorum() != 0 ? message.read_quorum() : majority_of(info.replicas);
    info.write_quorum =
        message.write_quorum() != 0 ? message.write_quorum() : majority_of(info.replicas);
    STARLING_ASSIGN_OR_RETURN(info.policy, policy_of(message.policy()));
    STARLING_ASSIGN_OR_RETURN(info.durability, durability_of(message.durability()));
    if (message.has_sloppy()) {
        info.sloppy = message.sloppy();
    }
    info.siblings_max = message.siblings_max();
    return info;
}

void fill(v1::Namespace& message, const NamespaceInfo& info) {
    message.set_id(info.id.raw());
    message.set_name(info.name);
    message.set_replicas(info.replicas);
    message.set_read_quorum(info.read_quorum);
    message.set_write_quorum(info.write_quorum);
    message.set_policy(to_proto(info.policy));
    message.set_durability(to_proto(info.durability));
    message.set_sloppy(info.sloppy);
    message.set_siblings_max(info.siblings_max);
}

void fill(v1::StatusResponse& message, const StatusReport& report) {
    message.set_node_id(report.node.raw());
    message.set_cluster_id(report.cluster.raw());
    message.set_cluster_name(report.cluster_name);
    message.set_version(report.version);
    for (const MemberStatus& member : report.members) {
        v1::Member& out = *message.add_members();
        out.set_node_id(member.node.raw());
        out.set_client_address(member.client_address);
        out.set_peer_address(member.peer_address);
        out.set_zone(member.zone);
        out.set_weight(member.weight);
        out.set_state(member.state);
        out.set_liveness(member.liveness);
        out.set_seats_held(member.seats_held);
        out.set_generation(member.generation);
    }
    message.set_partition_count(report.partition_count);
    message.set_seat_count(report.seat_count);
    message.set_partitions_short_of_copies(report.partitions_short_of_copies);
    message.set_copies_min(report.copies_min);
    message.set_hints(report.hints);
    message.set_hint_bytes(report.hint_bytes);
    message.set_seats_filling(report.seats_filling);
    message.set_seats_fenced(report.seats_fenced);
    message.set_groups_dirty(report.groups_dirty);
    message.set_records(report.records);
    message.set_read_only(report.read_only);
    message.set_read_only_reason(report.read_only_reason);
    message.set_damage(report.damage);
    for (const TombstonesWaiting& waiting : report.tombstones_waiting) {
        v1::TombstonesWaiting& out = *message.add_tombstones_waiting();
        out.set_node_id(waiting.node.raw());
        out.set_client_address(waiting.client_address);
        out.set_tombstones(waiting.tombstones);
        out.set_waiting_ms(waiting.waiting_ms);
    }
    for (const MemoryShare& share : report.memory) {
        v1::MemoryShare& out = *message.add_memory();
        out.set_what(share.what);
        out.set_bytes_used(share.bytes_used);
        out.set_bytes_max(share.bytes_max);
    }
    for (const std::string& warning : report.warnings) {
        message.add_warnings(warning);
    }
}

void fill(v1::RingResponse& message, const std::vector<RingPartition>& partitions) {
    for (const RingPartition& partition : partitions) {
        v1::RingPartition& out = *message.add_partitions();
        out.set_partition(partition.partition.raw());
        for (const base::NodeId node : partition.holders) {
            out.add_holders(node.raw());
        }
        for (const base::NodeId node : partition.targets) {
            out.add_targets(node.raw());
        }
    }
}

absl::StatusOr<ConflictQuery> to_conflict_query(const v1::ListConflictsRequest& message,
                                                const RequestLimits& limits) {
    // One byte more than a key: where a page ended is told as the least key after its last.
    if (message.namespace_().size() > limits.namespace_bytes_max ||
        message.key().size() > limits.key_bytes_max + 1 ||
        message.partition() > std::numeric_limits<uint16_t>::max()) {
        return base::make_error(absl::StatusCode::kInvalidArgument,
                                base::reason::invalid_request,
                                "namespace, partition or key: longer than any there is");
    }
    ConflictQuery query;
    if (!message.namespace_().empty()) {
        query.name_space = message.namespace_();
    }
    query.from = {.partition = base::PartitionId(static_cast<uint16_t>(message.partition())),
                  .key = message.key()};
    if (message.keys_max() != 0) {
        query.keys_max = message.keys_max();
    }
    return query;
}

void fill(v1::ListConflictsResponse& message, ConflictPage&& page) {
    for (ConflictedKey& key : page.keys) {
        v1::Conflict& out = *message.add_conflicts();
        out.set_partition(key.partition.raw());
        out.set_key(std::move(key.key));
        out.set_siblings(key.siblings);
        out.set_value_bytes(key.value_bytes);
        out.set_latest_ms(key.latest.wall_ms);
    }
    for (const base::PartitionId partition : page.partitions) {
        message.add_partitions(partition.raw());
    }
    message.set_is_last(!page.next.has_value());
    if (page.next.has_value()) {
        message.set_next_partition(page.next->partition.raw());
        message.set_next_key(std::move(page.next->key));
    }
}

}  // namespace starling::node
