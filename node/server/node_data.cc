// What a node finds in its data directory when it starts, and whether that is its own.

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/mark.h"
#include "base/status_macros.h"
#include "node/server/memory_division.h"
#include "node/server/node_impl.h"
#include "ring/placement.h"

namespace starling::node {

namespace {

constexpr size_t secret_bytes_min = 16;

std::string parent_of(std::string directory) {
    while (directory.size() > 1 && directory.back() == '/') {
        directory.pop_back();
    }
    const size_t slash = directory.rfind('/');
    if (slash == std::string::npos) {
        return ".";
    }
    return slash == 0 ? "/" : directory.substr(0, slash);
}

}  // namespace

absl::Status Node::Impl::check_options() const {
    if (options_.cluster_secret.size() < secret_bytes_min) {
        return absl::FailedPreconditionError(
            fmt::format("the cluster secret has fewer than {} bytes", secret_bytes_min));
    }
    const uint32_t partitions = options_.partition_count;
    if (partitions == 0 || partitions > ring::partition_count_max ||
        (partitions & (partitions - 1)) != 0) {
        return absl::FailedPreconditionError(
            fmt::format("partition_count = {} is not a power of two in 1 .. {}",
                        partitions,
                        ring::partition_count_max));
    }
    if (options_.seat_count < 1 || options_.seat_count > seat_count_max) {
        return absl::FailedPreconditionError(
            fmt::format("seat_count = {} is not in 1 .. {}", options_.seat_count, seat_count_max));
    }
    const uint64_t cache_most = MemoryDivision::block_cache_most(options_.memory_bytes_max);
    if (options_.block_cache_bytes.value_or(0) > cache_most) {
        return absl::FailedPreconditionError(
            fmt::format("block_cache_bytes = {} is more than 7/16 of memory_bytes_max, {}",
                        *options_.block_cache_bytes,
                        cache_most));
    }
    return absl::OkStatus();
}

absl::Status Node::Impl::open_shards() {
    STARLING_RETURN_IF_ERROR(environment_.files->create_directory(options_.data_directory));
    // Else a power loss may take the directory's own name, with all that was synced in it.
    absl::Status synced = environment_.files->sync_directory(parent_of(options_.data_directory));
    if (!synced.ok() && !absl::IsPermissionDenied(synced)) {
        return synced;
    }
    for (uint32_t index = 0; index < shard_count(); ++index) {
        const ShardEnvironment environment{.loop = *environment_.loops[index],
                                           .workers = *environment_.workers,
                                           .wall_clock = *environment_.wall_clock,
                                           .files = *environment_.files};
        shards_.push_back(std::make_unique<Shard>(index,
                                                  shard_count(),
                                                  options_,
                                                  environment,
                                                  environment_.random->next(),
                                                  static_cast<ShardHost&>(*this)));
        STARLING_RETURN_IF_ERROR(
            shards_.back()->open(fmt::format("{}/shard-{}", options_.data_directory, index)));
        if (index == 0) {
            // Before the others are made: a refusal leaves no new directory behind.
            STARLING_ASSIGN_OR_RETURN(const std::optional<Identity> stored,
                                      load_identity(shards_[0]->engine()));
            STARLING_RETURN_IF_ERROR(stored.has_value() ? check_stored(*stored, 0)
                                                        : absl::OkStatus());
        }
    }
    return absl::OkStatus();
}

absl::Status Node::Impl::check_stored(const Identity& stored, uint32_t shard) const {
    if (stored.shard_count != shard_count() || stored.shard != shard) {
        STARLING_MARK(start_with_other_shard_count);
        return absl::FailedPreconditionError(
            fmt::format("the data in {} is divided into {} shards, {} are configured (shards)",
                        options_.data_directory,
                        stored.shard_count,
                        shard_count()));
    }
    if (stored.cluster.name != options_.cluster_name) {
        STARLING_MARK(start_with_other_cluster_name);
        return absl::FailedPreconditionError(
            fmt::format("the data belongs to cluster '{}', '{}' is configured "
                        "(cluster_name)",
                        stored.cluster.name,
                        options_.cluster_name));
    }
    if (stored.cluster.partition_count != options_.partition_count ||
        stored.cluster.seats != options_.seat_count) {
        STARLING_MARK(start_with_other_partition_count);
        return absl::FailedPreconditionError(
            fmt::format("the cluster was made with partition_count = {} and seat_count = {}, "
                        "configured are {} and {}",
                        stored.cluster.partition_count,
                        stored.cluster.seats,
                        options_.partition_count,
                        options_.seat_count));
    }
    return absl::OkStatus();
}

absl::StatusOr<Identity> Node::Impl::settle_identity() {
    STARLING_ASSIGN_OR_RETURN(const std::optional<Identity> first,
                              load_identity(shards_[0]->engine()));
    Identity identity;
    // Shard 0 has generation 0 until each shard has an identity: from then on none may be without.
    const bool is_complete = first.has_value() && first->generation > 0;
    if (first.has_value() && !is_complete) {
        STARLING_MARK(start_after_unfinished_first_start);
    }
    if (first.has_value()) {
        identity = *first;
    } else {
        identity.node = base::NodeId(environment_.random->next_id());
        identity.cluster = {.id = base::ClusterId(environment_.random->next_id()),
                            .name = options_.cluster_name,
                            .partition_count = options_.partition_count,
                            .seats = options_.seat_count};
        identity.shard_count = shard_count();
    }
    // The highest of all shards, so that a shard that was rolled back alone cannot bring a
    // generation back.
    for (uint32_t index = 1; index < shard_count(); ++index) {
        STARLING_ASSIGN_OR_RETURN(const std::optional<Identity> stored,
                                  load_identity(shards_[index]->engine()));
        if (stored.has_value()) {
            STARLING_RETURN_IF_ERROR(check_stored(*stored, index));
            // Shard 0 is always the first to get it.
            if (!first.has_value()) {
                STARLING_MARK(start_without_shard_0);
                return absl::DataLossError(
                    fmt::format("shard 0 in {} is empty, but shard {} has data of a node",
                                options_.data_directory,
                                index));
            }
            if (stored->node != first->node) {
                return absl::FailedPreconditionError(fmt::format(
                    "shard {} in {} belongs to another node", index, options_.data_directory));
            }
            if (stored->generation != first->generation) {
                STARLING_MARK(start_with_shards_of_two_generations);
            }
            identity.generation = std::max(identity.generation, stored->generation);
        } else if (is_complete) {
            STARLING_MARK(start_without_a_shard);
            return absl::DataLossError(
                fmt::format("shard {} in {} has lost its data: shard 0 there is that of node {}",
                            index,
                            options_.data_directory,
                            base::to_string(first->node)));
        }
    }
    if (!first.has_value()) {
        STARLING_RETURN_IF_ERROR(store_identity(shards_[0]->engine(), identity));
    }
    if (identity.generation == UINT32_MAX) {
        return absl::FailedPreconditionError(
            fmt::format("the node in {} has had its last life: its generation cannot be raised",
                        options_.data_directory));
    }
    identity.generation =
        next_generation(identity.generation, base::to_unix_ms(environment_.wall_clock->wall_now()));
    for (uint32_t index = shard_count(); index-- > 0;) {
        identity.shard = index;
        STARLING_RETURN_IF_ERROR(store_identity(shards_[index]->engine(), identity));
    }
    identity.shard = 0;
    return identity;
}

}  // namespace starling::node
