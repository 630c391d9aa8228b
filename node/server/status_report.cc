#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "node/server/memory_division.h"
#include "node/server/node_impl.h"
#include "node/server/version.h"

namespace starling::node {

namespace {

// Distinct live holders of the partition.
uint32_t live_copies(const ClusterView& view, base::PartitionId partition) {
    uint32_t copies = 0;
    for (const base::NodeId node : view.holders_of(partition, view.seat_count)) {
        copies += view.is_alive(node) ? 1U : 0U;
    }
    return copies;
}

MemberStatus member_status(const gossip::MemberRecord& record, const Cluster& cluster) {
    MemberStatus out;
    out.node = record.id;
    out.client_address = record.client_address;
    out.peer_address = record.peer_address;
    out.zone = record.zone;
    out.weight = record.weight;
    out.state = gossip::to_string(record.state);
    out.liveness = gossip::to_string(cluster.gossip().liveness(record.id));
    out.generation = record.generation;
    const auto& holders = cluster.view()->holders;
    out.seats_held = static_cast<uint32_t>(std::count(holders.begin(), holders.end(), record.id));
    return out;
}

void add_shard(StatusReport& report, const ShardStatus& shard) {
    report.hints += shard.hints;
    report.hint_bytes += shard.hint_bytes;
    report.seats_filling += shard.seats_filling;
    report.seats_fenced += shard.seats_fenced;
    report.groups_dirty += shard.groups_dirty;
    report.records += shard.records;
    if (!shard.background_error.ok()) {
        report.read_only = true;
        report.read_only_reason = std::string(shard.background_error.message());
    }
    if (!shard.damage.ok() && report.damage.empty()) {
        report.damage = std::string(shard.damage.message());
    }
    auto& metrics = report.metrics;
    const auto add = [&](const char* name, uint64_t value) {
        metrics[name] += static_cast<double>(value);
    };
    add("starling_operations_under_way", shard.operations);
    add("starling_inflight_bytes", shard.inflight_bytes);
    add("starling_peer_request_bytes", shard.peer_bytes);
    add("starling_peer_requests_refused_total", shard.peer_requests_refused);
    add("starling_shards_damaged", shard.damage.ok() ? 0 : 1);
    add("starling_hints", shard.hints);
    add("starling_hint_bytes", shard.hint_bytes);
    add("starling_groups_dirty", shard.groups_dirty);
    add("starling_partitions_refilled", shard.partitions_refilled);
    add("starling_records", shard.records);
    add("starling_tombstones", shard.tombstones);
    add("starling_tombstones_collected_total", shard.tombstones_collected);
    add("starling_expired_values_removed_total", shard.expired_removed);
    add("starling_frontier_lives", shard.lives);
    add("starling_engine_memory_bytes", shard.engine.memory_bytes);
    add("starling_engine_disk_bytes", shard.engine.disk_bytes);
    add("starling_engine_log_bytes", shard.engine.log_bytes);
    add("starling_engine_flushes_total", shard.engine.flushes);
    add("starling_engine_compactions_total", shard.engine.compactions);
    add("starling_engine_syncs_total", shard.engine.syncs);
    add("starling_block_cache_hits_total", shard.engine.block_cache_hits);
    add("starling_block_cache_misses_total", shard.engine.block_cache_misses);
    add("starling_scrub_bytes_total", shard.scrub.bytes);
    add("starling_scrub_rounds_total", shard.scrub.rounds);
    add("starling_scrub_failures_total", shard.scrub.failed);
    add("starling_entropy_checks_total", shard.entropy.checks);
    add("starling_entropy_checks_equal_total", shard.entropy.checks_equal);
    add("starling_entropy_sessions_total", shard.entropy.sessions);
    add("starling_entropy_records_pulled_total", shard.entropy.records_pulled);
    add("starling_entropy_bytes_pulled_total", shard.entropy.bytes_pulled);
    add("starling_entropy_bytes_sent_total", shard.entropy.bytes_sent);
    add("starling_entropy_questions_put_off_total", shard.entropy.questions_put_off);
    add("starling_messages_malformed_total", shard.malformed_messages);
    add("starling_clock_steps_back_total", shard.clock_steps_back);
    add("starling_clock_fence_refusals_total", shard.clock_fence_refusals);
}

// Namespaces stand with 0, so that a first conflict is seen as an increase.
void add_conflicting_writes(StatusReport& report,
                            const ClusterView& view,
                            const std::vector<ShardStatus>& shards) {
    for (const auto& [name, info] : view.namespaces) {
        double& count = report.metrics[fmt::format(
            "starling_conflicting_writes_total{{namespace=\"{}\"}}", name)];
        for (const ShardStatus& shard : shards) {
            const auto found = shard.conflicting_writes.find(info.id);
            count +=
                found == shard.conflicting_writes.end() ? 0 : static_cast<double>(found->second);
        }
    }
}

// All shards hear the same clocks.
void add_clock_fence(StatusReport& report, const ClockFence::Verdict& fence) {
    report.metrics["starling_clock_fenced"] = fence.is_fenced ? 1 : 0;
    report.metrics["starling_clock_ahead_seconds"] = static_cast<double>(fence.ahead_ms) / 1000;
    if (fence.is_fenced && fence.asked > 0) {
        report.warnings.push_back(fmt::format(
            "this node's clock is {} s {} that of most others ({} of {} agree with it): it takes "
            "no writes of last_write_wins namespaces (clock_fenced)",
            std::abs(fence.ahead_ms) / 1000,
            fence.ahead_ms < 0 ? "behind" : "ahead of",
            fence.agreeing,
            fence.asked));
    }
}

// REQUIRES: the members are in the report.
void add_tombstones_waiting(StatusReport& report,
                            const std::vector<ShardStatus>& shards,
                            uint64_t now_ms) {
    Collector::WaitingFor sum;
    for (const ShardStatus& shard : shards) {
        for (const auto& [node, waiting] : shard.tombstones_waiting) {
            sum[node].add(waiting);
        }
    }
    for (const auto& [node, waiting] : sum) {
        const auto member = std::find_if(report.members.begin(),
                                         report.members.end(),
                                         [&](const auto& one) { return one.node == node; });
        const uint64_t waiting_ms = now_ms - std::min(now_ms, waiting.since_ms);
        report.tombstones_waiting.push_back({.node = node,
                                             .client_address = member == report.members.end()
                                                                   ? std::string()
                                                                   : member->client_address,
                                             .tombstones = waiting.tombstones,
                                             .waiting_ms = waiting_ms});
        const std::string name = base::to_string(node);
        report.metrics[fmt::format("starling_tombstones_waiting{{node=\"{}\"}}", name)] =
            static_cast<double>(waiting.tombstones);
        report.warnings.push_back(
            fmt::format("{} tombstones, the oldest of {} s, wait for node {}, which may not have "
                        "seen them, may have hints of a node's former life, or was not heard of "
                        "since",
                        waiting.tombstones,
                        waiting_ms / 1000,
                        name));
    }
}

}  // namespace

StatusReport Node::Impl::make_report(const std::vector<ShardStatus>& shards) const {
    StatusReport report;
    const ClusterView& view = *cluster_->view();
    report.node = node_id_;
    report.cluster = cluster();
    report.cluster_name = options_.cluster_name;
    report.version = software_version;
    report.partition_count = view.partition_count;
    report.seat_count = view.seat_count;
    for (const gossip::MemberRecord& record : cluster_->gossip().members()) {
        report.members.push_back(member_status(record, *cluster_));
    }
    report.copies_min = view.seat_count;
    for (uint32_t partition = 0; partition < view.partition_count; ++partition) {
        const uint32_t copies =
            live_copies(view, base::PartitionId(static_cast<uint16_t>(partition)));
        report.copies_min = std::min(report.copies_min, copies);
        report.partitions_short_of_copies += copies < view.seat_count ? 1U : 0U;
    }
    uint64_t engine_memory = 0;
    uint64_t inflight = 0;
    uint64_t peer_requests = 0;
    uint64_t clock_behind_ms = 0;
    uint64_t waiting = 0;
    for (const ShardStatus& shard : shards) {
        add_shard(report, shard);
        engine_memory += shard.engine.memory_bytes;
        inflight += shard.inflight_bytes;
        peer_requests += shard.peer_bytes;
        waiting += shard.partitions_waiting;
        clock_behind_ms = std::max(clock_behind_ms, shard.clock_behind_ms);
    }
    // A copy that does not count is none.
    if (waiting > 0) {
        report.copies_min -= std::min(report.copies_min, 1U);
        report.partitions_short_of_copies =
            std::max(report.partitions_short_of_copies, static_cast<uint32_t>(waiting));
    }
    uint64_t frames_in = 0;
    uint64_t frames_in_dropped = 0;
    for (const base::ByteLimit& queue : frames_in_) {
        frames_in += queue.bytes();
        frames_in_dropped += queue.refused();
    }
    const MemoryDivision memory(options_);
    report.memory = {
        {"memtables and block cache", engine_memory, memory.memtables + memory.block_cache},
        {"requests under way", inflight, memory.requests},
        {"requests of other nodes", peer_requests, memory.peer_requests},
        {"frames to the transport", frames_out_.bytes(), memory.frames_out},
        {"frames from the transport", frames_in, memory.frames_in}};
    report.metrics["starling_frames_out_dropped_total"] =
        static_cast<double>(frames_out_.refused());
    report.metrics["starling_frames_in_dropped_total"] = static_cast<double>(frames_in_dropped);
    report.metrics["starling_clock_behind_seconds"] = static_cast<double>(clock_behind_ms) / 1000;
    const gossip::GossipStats gossip = cluster_->gossip().stats();
    report.metrics["starling_gossip_messages_received_total"] =
        static_cast<double>(gossip.messages_received);
    report.metrics["starling_gossip_messages_sent_total"] =
        static_cast<double>(gossip.messages_sent);
    report.metrics["starling_frames_malformed_total"] = static_cast<double>(frames_malformed_);
    report.metrics["starling_frames_misdirected_total"] = static_cast<double>(frames_misdirected_);
    if (canary_ != nullptr) {
        const CanaryCounts& canary = canary_->counts();
        const auto add = [&](const char* name, uint64_t value) {
            report.metrics[name] = static_cast<double>(value);
        };
        add("starling_canary_has_namespace", canary_->has_namespace() ? 1 : 0);
        add("starling_canary_operations_total", canary.operations);
        add("starling_canary_failed_total", canary.failed);
        add("starling_canary_broken_promises_total{promise=\"lost_write\"}", canary.lost_writes);
        add("starling_canary_broken_promises_total{promise=\"deleted_returned\"}",
            canary.deleted_returned);
        add("starling_canary_broken_promises_total{promise=\"stale_read\"}", canary.stale_reads);
        if (canary.lost_writes + canary.deleted_returned + canary.stale_reads > 0) {
            report.warnings.push_back(
                "the canary of this node has found a promise broken: see its log");
        }
    }
    report.metrics["starling_members"] = static_cast<double>(report.members.size());
    report.metrics["starling_copies_min"] = report.copies_min;
    report.metrics["starling_read_only"] = report.read_only ? 1 : 0;

    add_conflicting_writes(report, view, shards);
    add_clock_fence(report, shards.front().clock_fence);

    if (report.partitions_short_of_copies > 0) {
        report.warnings.push_back(
            fmt::format("{} of {} copies: {} of {} partitions have fewer live copies than seats",
                        report.copies_min,
                        view.seat_count,
                        report.partitions_short_of_copies,
                        view.partition_count));
    }
    if (report.read_only) {
        report.warnings.push_back("this node takes no writes: " + report.read_only_reason);
    }
    if (!report.damage.empty()) {
        report.warnings.push_back(
            "data on this node's disk is damaged; it is given up and refilled once enough other "
            "nodes have all of it: " +
            report.damage);
    }
    if (const double refilled = report.metrics["starling_partitions_refilled"]; refilled > 0) {
        report.warnings.push_back(fmt::format(
            "this node's disk was damaged or set back in time: {} partitions are refilled from "
            "other nodes, and count for nothing until then",
            refilled));
    }
    add_tombstones_waiting(report, shards, base::to_unix_ms(environment_.wall_clock->wall_now()));
    if (std::chrono::milliseconds(clock_behind_ms) > options_.clock_drift_max) {
        report.warnings.push_back(fmt::format(
            "this node's clock went back by {} s: writes may be refused "
            "(request_too_old) for up to {} s",
            clock_behind_ms / 1000,
            (options_.request_window + 2 * options_.clock_drift_max) / std::chrono::seconds(1)));
    }
    return report;
}

}  // namespace starling::node
