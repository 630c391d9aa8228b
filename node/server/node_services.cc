// What clients and administrators ask of a node.

#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/mark.h"
#include "node/server/conflict_scan.h"
#include "node/server/namespaces.h"
#include "node/server/node_impl.h"
#include "ring/placement.h"

namespace starling::node {

uint32_t Node::Impl::shard_of_key(const std::string& key) const {
    return ring::partition_of(key, partition_count_).raw() % shard_count();
}

void Node::Impl::put(PutRequest request, KvService::PutCallback done) {
    if (phase_ != Phase::serving) {
        done(not_serving());
        return;
    }
    const uint32_t shard = shard_of_key(request.key);
    on_shard(shard, [request = std::move(request), done = std::move(done)](Shard& owner) mutable {
        owner.coordinator().put(std::move(request), std::move(done));
    });
}

void Node::Impl::get(GetRequest request, KvService::GetCallback done) {
    if (phase_ != Phase::serving) {
        done(not_serving());
        return;
    }
    const uint32_t shard = shard_of_key(request.key);
    on_shard(shard, [request = std::move(request), done = std::move(done)](Shard& owner) mutable {
        owner.coordinator().get(std::move(request), std::move(done));
    });
}

void Node::Impl::join(std::string known_address, Callback<Joined> done) {
    loop0().post([this,
                  known_address = std::move(known_address),
                  done = std::move(done)]() mutable {
        if (phase_ != Phase::serving) {
            done(not_serving());
            return;
        }
        cluster_->join(known_address, [this, done = std::move(done)](absl::Status status) mutable {
            if (!status.ok()) {
                done(std::move(status));
                return;
            }
            done(Joined{.cluster = cluster_->identity().cluster.id,
                        .member_count =
                            static_cast<uint32_t>(cluster_->gossip().membership().active_count())});
        });
    });
}

void Node::Impl::ring(Callback<std::vector<RingPartition>> done) {
    loop0().post([this, done = std::move(done)]() mutable {
        if (cluster_ == nullptr) {
            done(not_serving());
            return;
        }
        const ClusterViewPtr view = cluster_->view();
        std::vector<RingPartition> partitions;
        for (uint32_t raw = 0; raw < view->partition_count; ++raw) {
            const base::PartitionId partition(static_cast<uint16_t>(raw));
            RingPartition& out = partitions.emplace_back();
            out.partition = partition;
            for (const base::SeatIndex seat : SeatSet::first(view->seat_count).list()) {
                out.holders.push_back(view->holder(partition, seat));
            }
            const auto targets = view->targets.seats_of(partition);
            out.targets.assign(targets.begin(), targets.end());
        }
        done(std::move(partitions));
    });
}

void Node::Impl::create_namespace(NamespaceInfo info, Callback<NamespaceInfo> done) {
    loop0().post([this, info = std::move(info), done = std::move(done)]() mutable {
        if (phase_ != Phase::serving) {
            done(not_serving());
            return;
        }
        if (cluster_->gossip().joining()) {
            // It would be forgotten with the rest of the former cluster.
            done(base::make_error(absl::StatusCode::kUnavailable,
                                  base::reason::stopping,
                                  "the node is about to join another cluster: ask a member of it"));
            return;
        }
        if (info.siblings_max == 0) {
            info.siblings_max = options_.siblings_max;
        }
        if (absl::Status status = check_namespace(info, cluster_->view()->seat_count);
            !status.ok()) {
            done(std::move(status));
            return;
        }
        if (cluster_->namespaces().contains(info.name)) {
            STARLING_MARK(namespace_exists_already);
            done(base::make_error(absl::StatusCode::kAlreadyExists,
                                  base::reason::namespace_exists,
                                  fmt::format("there is a namespace '{}' already", info.name)));
            return;
        }
        info.id = base::NamespaceId(environment_.random->next_id());
        if (absl::Status status = cluster_->create_namespace(info); !status.ok()) {
            done(std::move(status));
            return;
        }
        // An OK outlives a power loss.
        store_membership(
            cluster_->gossip().membership().encode_state(),
            [info = std::move(info), done = std::move(done)](const absl::Status& status) mutable {
                if (status.ok()) {
                    done(std::move(info));
                    return;
                }
                done(absl::UnknownError(
                    fmt::format("namespace '{}' was made, but may be gone after a "
                                "power loss: it could not be stored: {}",
                                info.name,
                                std::string(status.message()))));
            });
    });
}

void Node::Impl::list_namespaces(Callback<std::vector<NamespaceInfo>> done) {
    loop0().post([this, done = std::move(done)]() mutable {
        if (cluster_ == nullptr) {
            done(not_serving());
            return;
        }
        std::vector<NamespaceInfo> all;
        for (const auto& [name, info] : cluster_->namespaces()) {
            all.push_back(info);
            all.back().name = name;
        }
        done(std::move(all));
    });
}

void Node::Impl::inspect_replica(InspectRequest request, Callback<InspectResult> done) {
    if (phase_ != Phase::serving) {
        done(not_serving());
        return;
    }
    const uint32_t partition = request.partition.raw();
    if (partition >= partition_count_ || request.replicas < 1 ||
        request.replicas > options_.seat_count) {
        done(base::make_error(
            absl::StatusCode::kInvalidArgument,
            base::reason::invalid_request,
            fmt::format("partition: below {}; replicas: 1 to {}; asked for {} and {}",
                        partition_count_.load(),
                        options_.seat_count,
                        partition,
                        request.replicas)));
        return;
    }
    on_shard(partition % shard_count(),
             [request = std::move(request), done = std::move(done)](Shard& owner) mutable {
                 owner.inspector().inspect(std::move(request), std::move(done));
             });
}

// Dropped once the node stops: the shard's engine may be closed by then.
absl::AnyInvocable<void(Shard&)> Node::Impl::while_serving(absl::AnyInvocable<void(Shard&)> task) {
    return [this, task = std::move(task)](Shard& shard) mutable {
        if (phase_ == Phase::serving) {
            task(shard);
        }
    };
}

void Node::Impl::list_conflicts(ConflictQuery query, Callback<ConflictPage> done) {
    loop0().post([this, query = std::move(query), done = std::move(done)]() mutable {
        if (phase_ != Phase::serving) {
            done(not_serving());
            return;
        }
        if (conflict_scans_ >= ConflictScan::serving_max) {
            done(base::make_error(absl::StatusCode::kResourceExhausted,
                                  base::reason::overloaded,
                                  "too many searches for conflicts at once: try again in 100 ms"));
            return;
        }
        ++conflict_scans_;
        ConflictScan::start(
            *cluster_->view(),
            std::move(query),
            {.shard_count = shard_count(),
             .on_shard =
                 [this](uint32_t shard, absl::AnyInvocable<void(Shard&)> task) {
                     on_shard(shard, while_serving(std::move(task)));
                 }},
            [this, done = std::move(done)](absl::StatusOr<ConflictPage> page) mutable {
                --conflict_scans_;
                done(std::move(page));
            });
    });
}

void Node::Impl::status(Callback<StatusReport> done) {
    if (cluster_ == nullptr) {
        done(not_serving());
        return;
    }
    ask_all<ShardStatus>(
        [](Shard& shard) { return shard.status(); },
        [this, done = std::move(done)](const std::vector<ShardStatus>& shards) mutable {
            done(make_report(shards));
        });
}

}  // namespace starling::node
