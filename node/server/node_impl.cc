#include "node/server/node_impl.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"
#include "base/mark.h"
#include "base/status_macros.h"
#include "gossip/join.h"
#include "node/server/conflict_scan.h"
#include "node/server/memory_division.h"
#include "node/server/namespaces.h"
#include "ring/placement.h"

namespace starling::node {

namespace {

constexpr size_t secret_bytes_min = 16;
// What a frame takes beside its bytes while it waits for another loop.
constexpr uint64_t queued_frame_overhead_bytes = 512;
constexpr base::Duration drain_step = std::chrono::milliseconds(20);

std::string membership_key() {
    return storage_keys::meta("membership");
}

absl::Status not_serving() {
    return base::make_error(
        absl::StatusCode::kUnavailable, base::reason::stopping, "the node is starting or stopping");
}

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

Node::Impl::Impl(NodeOptions options, NodeEnvironment environment)
    : options_(std::move(options)),
      environment_(std::move(environment)),
      held_(environment_.loops.size()),
      frames_out_(MemoryDivision(options_).frames_out) {
    for (uint32_t shard = 0; shard < shard_count(); ++shard) {
        frames_in_.emplace_back(MemoryDivision(options_).frames_in / shard_count());
    }
}

class Node::Impl::OwnRequests final : public KvService, public AdminService {
  public:
    explicit OwnRequests(Impl& node) : node_(node) {}

    void put(PutRequest request, PutCallback done) override {
        node_.put(std::move(request), std::move(done));
    }
    void get(GetRequest request, GetCallback done) override {
        node_.get(std::move(request), std::move(done));
    }
    void join(std::string known_address, Callback<Joined> done) override {
        node_.join(std::move(known_address), std::move(done));
    }
    void status(Callback<StatusReport> done) override { node_.status(std::move(done)); }
    void ring(Callback<std::vector<RingPartition>> done) override { node_.ring(std::move(done)); }
    void create_namespace(NamespaceInfo info, Callback<NamespaceInfo> done) override {
        node_.create_namespace(std::move(info), std::move(done));
    }
    void list_namespaces(Callback<std::vector<NamespaceInfo>> done) override {
        node_.list_namespaces(std::move(done));
    }
    void inspect_replica(InspectRequest request, Callback<InspectResult> done) override {
        node_.inspect_replica(std::move(request), std::move(done));
    }
    void list_conflicts(ConflictQuery query, Callback<ConflictPage> done) override {
        node_.list_conflicts(std::move(query), std::move(done));
    }

  private:
    Impl& node_;
};

Node::Impl::~Impl() = default;

void Node::Impl::log(std::string_view severity, std::string_view line) {
    if (environment_.log) {
        environment_.log(severity, line);
    }
}

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
    ++identity.generation;
    for (uint32_t index = shard_count(); index-- > 0;) {
        identity.shard = index;
        STARLING_RETURN_IF_ERROR(store_identity(shards_[index]->engine(), identity));
    }
    identity.shard = 0;
    return identity;
}

absl::Status Node::Impl::start() {
    phase_ = Phase::starting;
    STARLING_RETURN_IF_ERROR(check_options());
    STARLING_RETURN_IF_ERROR(open_shards());
    STARLING_ASSIGN_OR_RETURN(const Identity identity, settle_identity());
    node_id_ = identity.node;
    cluster_id_ = identity.cluster.id.raw();
    partition_count_ = identity.cluster.partition_count;

    cluster_ = std::make_unique<Cluster>(options_,
                                         loop0(),
                                         *environment_.random,
                                         *environment_.transport,
                                         *environment_.wall_clock,
                                         static_cast<ClusterHost&>(*this));
    for (uint32_t index = 0; index < shard_count(); ++index) {
        Identity own = identity;
        own.shard = index;
        STARLING_RETURN_IF_ERROR(shards_[index]->load(own));
    }
    STARLING_ASSIGN_OR_RETURN(const std::optional<std::string> membership,
                              shards_[0]->engine().get(membership_key()));
    environment_.transport->set_handler(
        [this](const env::Delivery& delivery) { on_delivery(delivery); });
    STARLING_RETURN_IF_ERROR(cluster_->start(identity, membership.value_or("")));
    for (uint32_t index = 0; index < shard_count(); ++index) {
        on_shard(index, [](Shard& shard) { shard.start(); });
        seats_changed(index, identity.cluster.id, shards_[index]->held());
    }
    start_canary();
    phase_ = Phase::seating;
    serve_when_seated(cluster_->gossip().membership().members().size() == 1);
    return absl::OkStatus();
}

void Node::Impl::start_canary() {
    if (!options_.canary) {
        return;
    }
    own_requests_ = std::make_unique<OwnRequests>(*this);
    canary_ = std::make_unique<Canary>(
        CanaryOptions{.interval = options_.canary_interval,
                      .partition_count = options_.partition_count,
                      .replicas = std::min(3u, options_.seat_count),
                      .doubt = options_.deadline_max + options_.request_window +
                               2 * options_.clock_drift_max},
        node_id_,
        Canary::Environment{.kv = *own_requests_,
                            .admin = *own_requests_,
                            .loop = loop0(),
                            .random = *environment_.random,
                            .wall_clock = *environment_.wall_clock,
                            .log = [this](std::string_view severity, std::string_view line) {
                                log(severity, line);
                            }});
    canary_->start();
}

void Node::Impl::serve_when_seated(bool is_alone) {
    if (!is_alone) {
        phase_ = Phase::serving;
        return;
    }
    // A cluster of one holds all seats.
    struct Pending {
        uint32_t left = 0;
        absl::Status status;
    };
    auto pending = std::make_shared<Pending>();
    pending->left = shard_count();
    for (uint32_t index = 0; index < shard_count(); ++index) {
        on_shard(index, [this, pending](Shard& shard) {
            shard.found([this, pending](const absl::Status& status) {
                loop0().post([this, pending, status] {
                    pending->status.Update(status);
                    if (--pending->left > 0) {
                        return;
                    }
                    if (pending->status.ok()) {
                        Phase expected = Phase::seating;
                        phase_.compare_exchange_strong(expected, Phase::serving);
                    } else {
                        STARLING_MARK(start_seats_not_stored);
                        log("error",
                            fmt::format("the node cannot serve: {}", pending->status.ToString()));
                    }
                });
            });
        });
    }
}

void Node::Impl::on_shard(uint32_t shard, absl::AnyInvocable<void(Shard&)> task) {
    env::EventLoop& loop = *environment_.loops[shard];
    if (phase_ == Phase::starting || loop.in_loop()) {
        task(*shards_[shard]);
        return;
    }
    loop.post([this, shard, task = std::move(task)]() mutable { task(*shards_[shard]); });
}

template <typename T>
void Node::Impl::ask_all(const std::function<T(Shard&)>& ask,
                         absl::AnyInvocable<void(std::vector<T>)> done) {
    struct Pending {
        std::vector<T> answers;
        uint32_t left = 0;
        absl::AnyInvocable<void(std::vector<T>)> done;
    };
    // Shared by the loops that are asked.
    auto pending = std::make_shared<Pending>();
    pending->answers.resize(shard_count());
    pending->left = shard_count();
    pending->done = std::move(done);
    for (uint32_t index = 0; index < shard_count(); ++index) {
        environment_.loops[index]->post([this, index, ask, pending] {
            T answer = ask(*shards_[index]);
            loop0().post([index, pending, answer = std::move(answer)]() mutable {
                pending->answers[index] = std::move(answer);
                if (--pending->left == 0) {
                    pending->done(std::move(pending->answers));
                }
            });
        });
    }
}

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

void Node::Impl::on_delivery(const env::Delivery& delivery) {
    peer::Envelope envelope;
    if (!envelope.ParseFromArray(delivery.frame.data(), static_cast<int>(delivery.frame.size()))) {
        STARLING_MARK(frame_undecodable);
        ++frames_malformed_;
        return;
    }
    dispatch(std::move(envelope), delivery.frame.size(), delivery.connection);
}

void Node::Impl::dispatch(peer::Envelope envelope,
                          size_t frame_bytes,
                          env::ConnectionId connection) {
    // Nobody joins a node that has not founded its cluster yet.
    if (phase_ != Phase::serving && phase_ != Phase::stopping) {
        STARLING_MARK(frame_before_serving);
        return;
    }
    const base::NodeId from(envelope.from());
    if (envelope.has_gossip()) {
        if (envelope.gossip().has_join_cluster()) {
            cluster_->join_for_tool(envelope.gossip(), [this, connection](std::string frame) {
                environment_.transport->reply(connection, std::move(frame)).IgnoreError();
            });
            return;
        }
        if (gossip::crosses_clusters(envelope.gossip())) {
            cluster_->on_message(base::NodeId(), envelope.gossip());
            return;
        }
    }
    const bool is_for_us = envelope.cluster() == cluster_id_ && !from.is_none() &&
                           from != node_id_ &&
                           (envelope.to() == 0 || envelope.to() == node_id_.raw());
    // An answer to an earlier life of this node is nobody's.
    const bool is_for_this_life = envelope.to_generation() == 0 ||
                                  envelope.to_generation() == cluster_->identity().generation;
    if (is_for_us && !is_for_this_life) {
        STARLING_MARK(frame_for_an_earlier_life);
    }
    if (!is_for_us || !is_for_this_life) {
        STARLING_MARK(frame_misdirected);
        ++frames_misdirected_;
        return;
    }
    if (envelope.has_gossip()) {
        note_peer_clock(from, envelope.wall_ms());
        cluster_->on_message(from, envelope.gossip());
        return;
    }
    const uint32_t partition = envelope.has_replica()    ? envelope.replica().partition()
                               : envelope.has_handover() ? envelope.handover().partition()
                               : envelope.has_entropy()  ? envelope.entropy().partition()
                                                         : UINT32_MAX;
    if (partition >= partition_count_) {
        ++frames_malformed_;
        return;
    }
    pass_on(partition % shard_count(), from, std::move(envelope), frame_bytes);
}

void Node::Impl::note_peer_clock(base::NodeId node, uint64_t wall_ms) {
    if (wall_ms == 0) {
        return;
    }
    const base::MonotonicTime now = loop0().now();
    for (uint32_t index = 0; index < shard_count(); ++index) {
        on_shard(index,
                 [node, wall_ms, now](Shard& shard) { shard.note_peer_clock(node, wall_ms, now); });
    }
}

void Node::Impl::pass_on(uint32_t shard,
                         base::NodeId from,
                         peer::Envelope envelope,
                         size_t frame_bytes) {
    env::EventLoop& loop = *environment_.loops[shard];
    if (loop.in_loop()) {
        shards_[shard]->on_message(from, envelope);
        return;
    }
    const uint64_t bytes = frame_bytes + queued_frame_overhead_bytes;
    if (!frames_in_[shard].take(bytes)) {
        STARLING_MARK(frame_dropped_on_the_way_in);
        return;
    }
    loop.post([this, shard, from, bytes, envelope = std::move(envelope)] {
        shards_[shard]->on_message(from, envelope);
        frames_in_[shard].give_back(bytes);
    });
}

void Node::Impl::send_frame(const env::Address& to, std::string frame) {
    if (shard_count() == 1 || loop0().in_loop()) {
        environment_.transport->send(to, std::move(frame)).IgnoreError();
        return;
    }
    const uint64_t bytes = frame.size() + queued_frame_overhead_bytes;
    if (!frames_out_.take(bytes)) {
        STARLING_MARK(frame_dropped_on_the_way_out);
        return;
    }
    loop0().post([this, to, bytes, frame = std::move(frame)]() mutable {
        // A peer's full queue loses the frame too.
        environment_.transport->send(to, std::move(frame)).IgnoreError();
        frames_out_.give_back(bytes);
    });
}

void Node::Impl::seats_changed(uint32_t shard,
                               base::ClusterId cluster,
                               std::vector<HeldSeat> held) {
    auto task = [this, shard, cluster, held = std::move(held)]() mutable {
        if (cluster.raw() != cluster_id_) {
            STARLING_MARK(seats_of_a_cluster_that_was_left);
            return;
        }
        held_[shard] = std::move(held);
        std::vector<HeldSeat> all;
        for (const std::vector<HeldSeat>& part : held_) {
            all.insert(all.end(), part.begin(), part.end());
        }
        std::sort(all.begin(), all.end());
        cluster_->set_own_seats(all);
    };
    if (phase_ == Phase::starting || loop0().in_loop()) {
        task();
    } else {
        loop0().post(std::move(task));
    }
}

void Node::Impl::view_changed(ClusterViewPtr view) {
    for (uint32_t index = 0; index < shard_count(); ++index) {
        on_shard(index, [view](Shard& shard) { shard.set_view(view); });
    }
}

void Node::Impl::member_seats_changed(base::NodeId node, std::vector<HeldSeat> held) {
    for (uint32_t index = 0; index < shard_count(); ++index) {
        on_shard(index, [node, held](Shard& shard) { shard.set_member_seats(node, held); });
    }
}

void Node::Impl::peer_is_back(base::NodeId node) {
    for (uint32_t index = 0; index < shard_count(); ++index) {
        on_shard(index, [node](Shard& shard) { shard.peer_is_back(node); });
    }
}

void Node::Impl::store_membership(const std::string& state, ClusterHost::Done done) {
    storage::WriteBatch batch;
    batch.put(membership_key(), state);
    shards_[0]->commit(batch, std::move(done));
}

void Node::Impl::persist_membership(std::string state) {
    store_membership(state, [this](const absl::Status& status) {
        if (!status.ok()) {
            STARLING_MARK(membership_not_stored);
            log("warning",
                fmt::format("the membership could not be stored: {}", status.ToString()));
        }
    });
}

bool Node::Impl::holds_data() {
    bool found = false;
    for (const std::unique_ptr<Shard>& shard : shards_) {
        found = found || shard->has_data();
    }
    return found;
}

void Node::Impl::enter_cluster(const Identity& identity,
                               std::string membership,
                               ClusterHost::Done done) {
    // From here on no shard writes for the old cluster, so what the answers say stays true.
    ask_all<bool>(
        [](Shard& shard) { return shard.freeze(); },
        [this, identity, membership = std::move(membership), done = std::move(done)](
            std::vector<bool> has_data) mutable {
            const auto unfreeze = [this] {
                for (uint32_t index = 0; index < shard_count(); ++index) {
                    on_shard(index, [](Shard& shard) { shard.unfreeze(); });
                }
            };
            if (std::find(has_data.begin(), has_data.end(), true) != has_data.end()) {
                STARLING_MARK(enter_cluster_with_data);
                unfreeze();
                done(base::make_error(absl::StatusCode::kFailedPrecondition,
                                      base::reason::has_data,
                                      "this node was written to while it was joining"));
                return;
            }
            Identity first = identity;
            first.shard = 0;
            storage::WriteBatch batch;
            batch.put(membership_key(), membership);
            put_identity(batch, first);
            shards_[0]->commit(
                batch,
                [this, identity, unfreeze, done = std::move(done)](absl::Status status) mutable {
                    if (!status.ok()) {
                        STARLING_MARK(enter_cluster_not_stored);
                        unfreeze();
                        done(std::move(status));
                        return;
                    }
                    cluster_id_ = identity.cluster.id.raw();
                    held_.assign(shard_count(), {});
                    // Only when none of them announces seats of the old cluster any more.
                    ask_all<bool>(
                        [identity](Shard& shard) {
                            shard.enter_cluster(identity);
                            shard.unfreeze();
                            return true;
                        },
                        [done = std::move(done)](const std::vector<bool>&) mutable {
                            done(absl::OkStatus());
                        });
                });
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
        ConflictScan::start(*cluster_->view(),
                            std::move(query),
                            {.shard_count = shard_count(),
                             .on_shard =
                                 [this](uint32_t shard, absl::AnyInvocable<void(Shard&)> task) {
                                     on_shard(shard, while_serving(std::move(task)));
                                 }},
                            std::move(done));
    });
}

void Node::Impl::stop(std::function<void(absl::Status)> done) {
    loop0().post([this, done = std::move(done)] {
        if (phase_ == Phase::constructed || phase_ == Phase::starting) {
            done(absl::OkStatus());  // Never started, or not as a whole: nothing is under way.
            return;
        }
        if (canary_ != nullptr) {
            canary_->stop();
        }
        phase_ = Phase::stopping;
        ask_all<bool>(
            [](Shard& shard) {
                shard.coordinator().stop_accepting();
                return true;
            },
            [this, done](const std::vector<bool>&) {
                drain(loop0().now() + options_.drain_max, done);
            });
    });
}

void Node::Impl::drain(base::MonotonicTime until, const std::function<void(absl::Status)>& done) {
    const bool in_time = loop0().now() < until;
    ask_all<bool>(
        [in_time](Shard& shard) {
            if (!in_time) {
                STARLING_MARK(drain_takes_too_long);
                shard.coordinator().abandon_all(not_serving());
            }
            return shard.coordinator().operation_count() == 0;
        },
        [this, until, done](const std::vector<bool>& drained) {
            if (std::find(drained.begin(), drained.end(), false) == drained.end()) {
                close_all(done);
            } else {
                STARLING_MARK(drain_waits_for_operations);
                loop0().schedule_after(drain_step, [this, until, done] { drain(until, done); });
            }
        });
}

void Node::Impl::close_all(const std::function<void(absl::Status)>& done) {
    cluster_->stop();
    ask_all<bool>(
        [](Shard& shard) {
            shard.stop_background();
            return shard.is_idle();
        },
        [this, done](const std::vector<bool>& idle) {
            if (std::find(idle.begin(), idle.end(), false) != idle.end()) {
                STARLING_MARK(close_waits_for_shards);
                loop0().schedule_after(drain_step, [this, done] { close_all(done); });
                return;
            }
            phase_ = Phase::stopped;
            ask_all<absl::Status>([](Shard& shard) { return shard.close(); },
                                  [done](const std::vector<absl::Status>& closed) {
                                      absl::Status status;
                                      for (const absl::Status& one : closed) {
                                          status.Update(one);
                                      }
                                      done(status);
                                  });
        });
}

void Node::Impl::inspect(ShardInspection& out) {
    out.trees_ready = true;
    for (const std::unique_ptr<Shard>& shard : shards_) {
        shard->inspect(out);
    }
}

std::optional<bool> Node::Impl::has_seen(GroupId group, const Dot& dot) {
    return shards_[group.partition.raw() % shards_.size()]->has_seen(group, dot);
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
