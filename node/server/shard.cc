#include "node/server/shard.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "base/codec.h"
#include "base/hash.h"
#include "base/mark.h"
#include "base/planted.h"
#include "base/status_macros.h"
#include "node/server/engine_options.h"
#include "node/server/memory_division.h"
#include "storage/open.h"

namespace starling::node {

namespace {

uint64_t in_ms(base::Duration duration) {
    return static_cast<uint64_t>(duration / std::chrono::milliseconds(1));
}

CoordinatorOptions coordinator_options(const NodeOptions& options, uint32_t shard_count) {
    CoordinatorOptions out;
    out.key_bytes_max = options.key_bytes_max;
    out.value_bytes_max = options.value_bytes_max;
    out.inflight_bytes_max = MemoryDivision(options).requests / shard_count;
    out.deadline_default = options.deadline_default;
    out.deadline_max = std::min(options.deadline_max, options.deadline_limit);
    out.hint_after = options.hint_after;
    out.request_window = options.request_window;
    out.clock_drift_max = options.clock_drift_max;
    return out;
}

}  // namespace

Shard::Shard(uint32_t index,
             uint32_t shard_count,
             const NodeOptions& options,
             ShardEnvironment environment,
             uint64_t random_seed,
             ShardHost& host)
    : index_(index),
      shard_count_(shard_count),
      options_(options),
      environment_(environment),
      host_(host),
      random_(random_seed),
      sealer_(options.cluster_secret),
      session_sealer_(options.cluster_secret),
      clock_fence_(options.clock_drift_max),
      latency_(options.entropy_pause_latency),
      horizon_(in_ms(options.request_window + options.clock_drift_max),
               in_ms(options.clock_drift_max)),
      request_clock_({.hold = options.request_window, .drift_max = options.clock_drift_max}),
      view_(std::make_shared<ClusterView>()) {}

Shard::~Shard() = default;

absl::Status Shard::open(const std::string& directory) {
    STARLING_ASSIGN_OR_RETURN(engine_,
                              storage::open_engine(directory,
                                                   engine_options(options_, shard_count_),
                                                   {.files = environment_.files,
                                                    .workers = environment_.workers,
                                                    .clock = environment_.loop,
                                                    .wall_clock = environment_.wall_clock}));
    return absl::OkStatus();
}

void Shard::make_parts() {
    env::EventLoop& loop = environment_.loop;
    store_ = std::make_unique<ReplicaStore>(loop, environment_.workers, *engine_);
    store_->set_rebuild_pace({.do_clients_wait = [this] { return do_clients_wait(); }});
    hints_ = std::make_unique<HintStore>(
        store_->commits(), *engine_, options_.hint_bytes_max / shard_count_);
    standings_ =
        std::make_unique<Standings>(*store_, *hints_, horizon_, static_cast<StandingHost&>(*this));
    collector_ = std::make_unique<Collector>(
        loop, *store_, *standings_, [this](base::NamespaceId id) -> std::optional<bool> {
            for (const auto& [name, info] : view_->namespaces) {
                if (info.id == id) return info.policy == ConflictPolicy::last_write_wins;
            }
            return std::nullopt;
        });
    replica_ = std::make_unique<Replica>(
        *store_,
        *hints_,
        *standings_,
        static_cast<ReplicaHost&>(*this),
        ReplicaLimits{.peer_bytes_max = MemoryDivision(options_).peer_requests / shard_count_});
    inspector_ =
        std::make_unique<ReplicaInspector>(*store_, static_cast<const ReplicaHost&>(*this));
    Actor actor{.node = identity_.node, .start = identity_.generation, .random = random_.next()};
    if (STARLING_PLANTED(dot_counter_not_persisted)) {
        actor = {.node = identity_.node, .start = 1, .random = 1};
    }
    coordinator_ = std::make_unique<Coordinator>(
        CoordinatorContext{.options = coordinator_options(options_, shard_count_),
                           .actor = actor,
                           .loop = loop,
                           .random = random_,
                           .wall_clock = environment_.wall_clock,
                           .store = *store_,
                           .hints = *hints_,
                           .replica = *replica_,
                           .host = *this,
                           .hybrid_clock = hybrid_clock_,
                           .clock_fence = clock_fence_,
                           .latency = latency_,
                           .sealer = sealer_,
                           .sessions = session_sealer_,
                           .retire = {},
                           .view = view_});
    courier_ = std::make_unique<HintCourier>(
        coordinator_->context(), environment_.workers, options_.hint_interval);
    expiry_sweep_ = std::make_unique<ExpirySweep>(coordinator_->context());
    EntropyOptions entropy;
    entropy.interval = options_.entropy_interval;
    entropy.sessions_max = options_.entropy_sessions_max;
    entropy.batch_bytes_max = options_.entropy_page_bytes;
    if (options_.entropy_bytes_per_second > 0) {
        entropy.bytes_per_second =
            std::max<uint64_t>(1, options_.entropy_bytes_per_second / shard_count_);
    }
    entropy_ = std::make_unique<Entropy>(
        entropy, static_cast<EntropyHost&>(*this), *store_, loop, random_);
    seats_ = std::make_unique<SeatView>(identity_.cluster.partition_count,
                                        static_cast<uint8_t>(identity_.cluster.seats));
    MoverOptions mover;
    mover.cluster = identity_.cluster.id;
    mover.self = identity_.node;
    mover.generation = identity_.generation;
    mover.seat_count = static_cast<uint8_t>(identity_.cluster.seats);
    mover.partition_count = identity_.cluster.partition_count;
    mover.partitions = own_partitions();
    mover.fills_max = options_.fills_at_once;
    mover_ =
        std::make_unique<Mover>(mover, static_cast<HandoverHost&>(*this), *entropy_, loop, random_);
    guard_ = std::make_unique<SetBackGuard>(
        static_cast<SetBackGuard::Host&>(*this), loop, options_.deadline_limit);
    healing_ = std::make_unique<ShardHealing>(
        ShardHealing::Parts{.shard = static_cast<ShardHealing::Surroundings&>(*this),
                            .store = *store_,
                            .hints = *hints_,
                            .standings = *standings_,
                            .guard = *guard_,
                            .loop = loop,
                            .workers = environment_.workers,
                            .random = random_},
        options_.deadline_limit);
    lost_writes_ = std::make_unique<LostWrites>(
        static_cast<LostWrites::Host&>(*this), *store_, loop, random_, actor);
    scrubber_ = std::make_unique<Scrubber>(static_cast<Scrubber::Host&>(*this),
                                           *engine_,
                                           loop,
                                           environment_.workers,
                                           options_.scrub_period);
}

absl::Status Shard::load(const Identity& identity) {
    identity_ = identity;
    make_parts();
    STARLING_RETURN_IF_ERROR(store_->load());
    const absl::Status loaded = hints_->load();
    if (hints_->is_complete()) {
        STARLING_RETURN_IF_ERROR(loaded);
    } else {
        store_->note_damage(loaded);
    }
    STARLING_RETURN_IF_ERROR(standings_->load());
    STARLING_RETURN_IF_ERROR(healing_->load());
    standings_->begin_life(identity_.node, identity_.generation);
    STARLING_ASSIGN_OR_RETURN(std::optional<std::string> membership,
                              engine_->get(storage_keys::meta(membership_name)));
    membership_ = std::move(membership).value_or("");
    return load_seats();
}

absl::Status Shard::load_seats() {
    std::vector<std::pair<base::PartitionId, std::string>> stored;
    const auto iterator = engine_->new_iterator({.lower = storage_keys::seats_begin(),
                                                 .upper = storage_keys::seats_end(),
                                                 .snapshot = nullptr});
    for (iterator->seek_to_first(); iterator->valid(); iterator->next()) {
        const auto partition = storage_keys::parse_seats(iterator->key());
        if (!partition.has_value()) {
            return absl::DataLossError("the key of stored seats does not decode");
        }
        stored.emplace_back(*partition, std::string(iterator->value()));
        stored_seats_[*partition] = std::string(iterator->value());
    }
    STARLING_RETURN_IF_ERROR(iterator->status());
    std::set<base::PartitionId> with_data;
    for (const GroupId group : store_->groups()) {
        with_data.insert(group.partition);
    }
    return mover_->restore(stored, with_data);
}

void Shard::start() {
    courier_->start();
    collector_->start();
    expiry_sweep_->start();
    std::vector<base::PartitionId> held;
    for (const base::PartitionId partition : own_partitions()) {
        if (!mover_->counts(partition).empty()) held.push_back(partition);
    }
    healing_->start();
    guard_->watch(held, healing_->set_back());
    scrubber_->start();
    // What has no disk must not end.
    if (options_.engine != "in_memory") lost_writes_->start();
}

std::vector<base::PartitionId> Shard::own_partitions() const {
    std::vector<base::PartitionId> own;
    for (uint32_t partition = index_; partition < identity_.cluster.partition_count;
         partition += shard_count_) {
        own.emplace_back(static_cast<uint16_t>(partition));
    }
    return own;
}

bool Shard::is_own(uint32_t partition) const {
    return partition < identity_.cluster.partition_count && partition % shard_count_ == index_;
}

// What a life said that has ended may speak of data that its disk has lost since.
bool Shard::is_of_an_earlier_life(base::NodeId from, const peer::Envelope& envelope) const {
    const auto peer = view_->peers.find(from);
    return peer != view_->peers.end() && envelope.from_generation() != 0 &&
           envelope.from_generation() < peer->second.generation;
}

void Shard::on_message(base::NodeId from, const peer::Envelope& envelope) {
    if (is_of_an_earlier_life(from, envelope)) {
        STARLING_MARK(frame_of_an_earlier_life);
        return;
    }
    switch (envelope.body_case()) {
        case peer::Envelope::kHandover:
            // Seats neither come nor go while a disk heals.
            if (envelope.handover().kind() == peer::HandoverMessage::HELD_BY_YOU &&
                is_own(envelope.handover().partition()) &&
                healing_->stands_still(
                    base::PartitionId(static_cast<uint16_t>(envelope.handover().partition())))) {
                return;
            }
            mover_->on_message(from, envelope.handover());
            return;
        case peer::Envelope::kEntropy: {
            const peer::EntropyMessage& message = envelope.entropy();
            // Who fills a seat would take over what may be too old.
            if (message.has_scan() && is_own(message.partition()) &&
                !guard_->counts(base::PartitionId(static_cast<uint16_t>(message.partition())))) {
                STARLING_MARK(scan_waits_for_start);
                return;
            }
            if (message.has_groups_ask() && is_own(message.partition()) &&
                healing_->is_marked(
                    base::PartitionId(static_cast<uint16_t>(message.partition())))) {
                STARLING_MARK(take_over_waits_for_refill);
                return;
            }
            // That it has nothing would pass for all that there is.
            if (message.has_groups_ask() && is_own(message.partition()) &&
                !mover_->needs_data(
                    {.partition = base::PartitionId(static_cast<uint16_t>(message.partition())),
                     .replicas = static_cast<uint8_t>(identity_.cluster.seats)})) {
                STARLING_MARK(take_over_from_a_former_holder);
                return;
            }
            entropy_->on_message(from, message);
            return;
        }
        case peer::Envelope::kReplica: {
            const peer::ReplicaMessage& message = envelope.replica();
            if (!is_own(message.partition()) || message.replicas() < 1 ||
                message.replicas() > identity_.cluster.seats) {
                STARLING_MARK(shard_message_malformed);
                ++malformed_messages_;
                return;
            }
            if (message.has_write() || message.has_read() || message.has_hint()) {
                replica_->on_message(from, message);
            } else if (!courier_->on_reply(from, message)) {
                coordinator_->on_message(from, message);
            }
            return;
        }
        default:
            ++malformed_messages_;
            return;
    }
}

void Shard::set_view(ClusterViewPtr view) {
    view_ = std::move(view);
    for (const auto& [node, peer] : view_->peers) {
        standings_->note_start(node, peer.generation);
    }
    clock_fence_.keep_members(*view_);
    coordinator_->set_view(view_);
    for (const base::PartitionId partition : own_partitions()) {
        update_targets(partition);
    }
    update_entropy_peers();
    guard_->holders_changed();
}

void Shard::update_targets(base::PartitionId partition) {
    // Of what a set-back disk may lack nothing is given away.
    if (healing_->stands_still(partition) || !guard_->counts(partition)) {
        mover_->set_targets(partition, {});
    } else {
        mover_->set_targets(partition, view_->targets.seats_of(partition));
    }
}

void Shard::update_entropy_peers() {
    absl::btree_map<GroupId, std::vector<base::NodeId>> wanted;
    for (const base::PartitionId partition : own_partitions()) {
        const SeatSet held = mover_->counts(partition);
        for (const auto& [name, info] : view_->namespaces) {
            const GroupId group{partition, static_cast<uint8_t>(info.replicas)};
            if (held.below(info.replicas).empty() || wanted.contains(group)) {
                continue;
            }
            std::vector<base::NodeId> peers = view_->holders_of(partition, info.replicas);
            std::erase(peers, identity_.node);
            wanted.emplace(group, std::move(peers));
        }
    }
    for (const auto& [group, peers] : std::exchange(entropy_peers_, std::move(wanted))) {
        if (!entropy_peers_.contains(group)) compare(group, {});
    }
    for (const base::PartitionId partition : own_partitions()) {
        update_comparisons(partition);
    }
}

void Shard::verdict_changed(base::PartitionId partition) {
    update_targets(partition);
    update_comparisons(partition);
}

void Shard::update_comparisons(base::PartitionId partition) {
    for (auto entry = entropy_peers_.lower_bound({.partition = partition, .replicas = 0});
         entry != entropy_peers_.end() && entry->first.partition == partition;
         ++entry) {
        const GroupId group = entry->first;
        std::vector<base::NodeId> peers;
        // A comparison would take what an emptied group lacks for collected.
        if (!healing_->is_marked(partition)) {
            std::copy_if(entry->second.begin(),
                         entry->second.end(),
                         std::back_inserter(peers),
                         [&](base::NodeId peer) { return guard_->may_compare(group, peer); });
        }
        compare(group, std::move(peers));
    }
}

void Shard::compare(GroupId group, std::vector<base::NodeId> peers) {
    const auto known = compared_.find(group);
    if (peers.empty()) {
        if (known == compared_.end()) return;
        compared_.erase(known);
    } else {
        if (known != compared_.end() && known->second == peers) return;
        compared_[group] = peers;
    }
    entropy_->set_peers(group, peers);
}

bool Shard::is_behind(GroupId group) const {
    if (entropy_->is_behind(group)) return true;
    const auto others = entropy_peers_.find(group);
    return others != entropy_peers_.end() &&
           !std::all_of(others->second.begin(), others->second.end(), [&](base::NodeId holder) {
               return guard_->may_compare(group, holder) || !view_->is_alive(holder);
           });
}

void Shard::missed(GroupId group, base::NodeId holder) {
    entropy_->peer_missed(group, holder);
}

void Shard::healing_changed(base::PartitionId partition) {
    update_targets(partition);
    auto entry = entropy_peers_.lower_bound({.partition = partition, .replicas = 0});
    while (entry != entropy_peers_.end() && entry->first.partition == partition) {
        compare(entry->first, {});
        entry = entropy_peers_.erase(entry);
    }
    update_entropy_peers();
}

void Shard::set_member_seats(base::NodeId node, std::vector<HeldSeat> held) {
    // The mover knows its own seats first. What comes round by the record may be older: while a
    // cluster is entered, the seats of the former one, which would stand for those of the new one's
    // holders for ever.
    if (node == identity_.node) {
        return;
    }
    std::erase_if(held, [this](const HeldSeat& seat) { return !is_own(seat.partition.raw()); });
    const std::vector<base::PartitionId> changed = seats_->update(node, std::move(held));
    if (!changed.empty()) {
        mover_->view_changed(*seats_, changed);
    }
}

void Shard::peer_is_back(base::NodeId node) {
    entropy_->kick(node);
    courier_->kick();
}

void Shard::note_peer_clock(base::NodeId node, uint64_t wall_ms, base::MonotonicTime now) {
    if (view_->peers.contains(node)) {
        clock_fence_.heard(node, wall_ms, now);
    }
}

bool Shard::freeze() {
    frozen_ = true;
    return has_data();
}

void Shard::enter_cluster(const Identity& identity) {
    identity_ = identity;
    identity_.shard = index_;
    seats_ = std::make_unique<SeatView>(identity_.cluster.partition_count,
                                        static_cast<uint8_t>(identity_.cluster.seats));
    taking_up_.clear();
    mover_->enter_cluster(identity_.cluster.id);
}

SeatSet Shard::held_seats(base::PartitionId partition) const {
    if (frozen_ || !guard_->counts(partition)) {
        return {};
    }
    return mover_->counts(partition);
}

bool Shard::stores(GroupId group) const {
    return !frozen_ && mover_->stores(group.partition, group.replicas);
}

uint64_t Shard::now_ms() const {
    return request_clock_.now_ms(environment_.loop.now(), environment_.wall_clock.wall_now());
}

bool Shard::send(base::NodeId to, peer::ReplicaMessage message) {
    peer::Envelope envelope;
    *envelope.mutable_replica() = std::move(message);
    return send_envelope(to, std::move(envelope));
}

void Shard::send(base::NodeId to, peer::HandoverMessage message) {
    peer::Envelope envelope;
    *envelope.mutable_handover() = std::move(message);
    send_envelope(to, std::move(envelope));
}

void Shard::send(base::NodeId to, peer::EntropyMessage message) {
    peer::Envelope envelope;
    *envelope.mutable_entropy() = std::move(message);
    send_envelope(to, std::move(envelope));
}

bool Shard::send_envelope(base::NodeId to, peer::Envelope envelope) {
    const auto peer = view_->peers.find(to);
    if (peer == view_->peers.end()) {
        return true;
    }
    envelope.set_cluster(identity_.cluster.id.raw());
    envelope.set_from(identity_.node.raw());
    envelope.set_to(to.raw());
    envelope.set_from_generation(identity_.generation);
    envelope.set_to_generation(peer->second.generation);
    return host_.send_frame(peer->second.address, envelope.SerializeAsString());
}

void Shard::persist_seats(base::PartitionId partition, std::string value, HandoverHost::Done done) {
    storage::WriteBatch batch;
    batch.put(storage_keys::seats(partition), value);
    // Damage stops merging until it is given up, which waits for moves to end.
    if (absl::Status status = store_->commits().apply(batch, {.urgent = true}); !status.ok()) {
        done(std::move(status));
        return;
    }
    stored_seats_[partition] = std::move(value);
    store_->commits().when_durable(std::move(done));
}

// With the epoch that the guard begins for it, in one batch.
void Shard::take_up_seats(base::PartitionId partition, std::string value, HandoverHost::Done done) {
    if (taking_up_.empty()) {
        log("warning",
            fmt::format("others remember that this node held a seat of partition {}, of which its "
                        "disk knows nothing: it was set back in time",
                        partition.raw()));
    }
    taking_up_[partition] = {.value = std::move(value), .done = std::move(done)};
    if (!guard_->take_up(partition)) {
        HandoverHost::Done waiting = std::move(taking_up_.extract(partition).mapped().done);
        waiting(absl::UnavailableError("the node is starting or stopping"));
    }
}

void Shard::take_up_ended(const std::set<base::PartitionId>& partitions,
                          const absl::Status& status) {
    for (const base::PartitionId partition : partitions) {
        auto ended = taking_up_.extract(partition);
        // Another cluster was entered meanwhile.
        if (ended.empty()) continue;
        if (!status.ok() && ended.mapped().before.empty()) {
            stored_seats_.erase(partition);
        } else if (!status.ok()) {
            stored_seats_[partition] = std::move(ended.mapped().before);
        }
        ended.mapped().done(status);
    }
    // Before anything is taken over.
    if (status.ok() && !partitions.empty()) update_entropy_peers();
}

void Shard::store_membership(std::string membership,
                             const Identity* identity,
                             absl::AnyInvocable<void(absl::Status)> done) {
    storage::WriteBatch batch;
    batch.put(storage_keys::meta(membership_name), membership);
    if (identity != nullptr) put_identity(batch, *identity);
    if (absl::Status status = store_->commits().apply(batch, {.urgent = true}); !status.ok()) {
        done(std::move(status));
        return;
    }
    membership_ = std::move(membership);
    store_->commits().when_durable(std::move(done));
}

void Shard::seats_changed() {
    host_.seats_changed(index_, identity_.cluster.id, mover_->held());
}

void Shard::drop(base::PartitionId partition, uint8_t replicas_max, HandoverHost::Done done) {
    std::vector<GroupId> groups = store_->groups_of(partition);
    std::erase_if(groups, [&](GroupId group) { return group.replicas > replicas_max; });
    // What it brings would belong to nobody.
    entropy_->end_refills(partition, absl::UnavailableError("the seat was given away"));
    drop_groups(std::move(groups), std::move(done));
}

void Shard::drop_groups(std::vector<GroupId> groups, HandoverHost::Done done) {
    struct Pending {
        size_t left = 0;
        absl::Status status;
        HandoverHost::Done done;
    };
    // Shared by the drops of this call, which end in any order.
    auto pending = std::make_shared<Pending>();
    pending->done = std::move(done);
    pending->left = groups.size() + 1;
    const auto finish_one = [pending](absl::Status status) {
        pending->status.Update(std::move(status));
        if (--pending->left == 0) {
            pending->done(pending->status);
        }
    };
    for (const GroupId group : groups) {
        STARLING_MARK(shard_drops_group);
        // A comparison under way would bring back what it has pulled.
        compare(group, {});
        entropy_peers_.erase(group);
        standings_->forget_group(group);
        collector_->forget_group(group);
        store_->drop(group, finish_one);
    }
    finish_one(absl::OkStatus());
}

ShardStatus Shard::status() const {
    ShardStatus out;
    out.hints = hints_->count();
    out.hint_bytes = hints_->bytes();
    out.seats_filling = static_cast<uint32_t>(mover_->count_of(SeatState::filling));
    out.seats_fenced = static_cast<uint32_t>(mover_->count_of(SeatState::fenced));
    out.groups_dirty = static_cast<uint32_t>(entropy_->dirty_count());
    out.partitions_refilled = guard_->refilling_count();
    out.partitions_waiting = guard_->waiting_count();
    out.records = store_->record_count();
    out.tombstones = store_->tombstone_count();
    out.tombstones_collected = collector_->collected();
    out.expired_removed = expiry_sweep_->removed();
    out.tombstones_waiting = collector_->waiting();
    for (const GroupId group : store_->groups())
        out.lives += store_->frontier(group).seen().size();
    out.operations = coordinator_->operation_count();
    out.inflight_bytes = coordinator_->inflight_bytes();
    out.peer_bytes = replica_->peer_bytes();
    out.peer_requests_refused = replica_->peer_requests_refused();
    out.background_error = engine_->background_error();
    out.damage = healing_->damage();
    out.engine = engine_->statistics();
    out.scrub = scrubber_->counts();
    out.entropy = entropy_->counters();
    out.malformed_messages = malformed_messages_ + mover_->malformed_messages();
    // A shard without requests looks at its clock here.
    now_ms();
    out.clock_behind_ms = request_clock_.behind_ms();
    out.clock_steps_back = request_clock_.steps_back();
    out.clock_fence =
        clock_fence_.judge(*view_, environment_.loop.now(), environment_.wall_clock.wall_now());
    out.clock_fence_refusals = clock_fence_.refused();
    out.conflicting_writes = replica_->conflicts().counts();
    return out;
}

bool Shard::is_idle() const {
    return coordinator_->operation_count() == 0 && store_->is_idle() && healing_->is_idle() &&
           scrubber_->is_idle();
}

void Shard::stop_background() {
    courier_->stop();
    collector_->stop();
    expiry_sweep_->stop();
    mover_->stop();
    scrubber_->stop();
    lost_writes_->stop();
    healing_->stop();
    guard_->stop();
    entropy_->stop();
    store_->stop_background();
    // Whoever closes waits for is_idle(), and a disk may take hours to read.
    engine_->end_searches();
}

absl::Status Shard::close() {
    store_->keep_trees();
    return engine_->close();
}

bool Shard::can_be_spared() const {
    const bool are_all_there =
        std::all_of(view_->peers.begin(), view_->peers.end(), [](const auto& peer) {
            return peer.second.health == PeerHealth::alive;
        });
    return are_all_there && guard_->waiting_count() == 0 && !healing_->is_healing();
}

const Frontier* Shard::owned_frontier(GroupId group) {
    const bool is_owner = !mover_->counts(group.partition).below(group.replicas).empty() &&
                          !is_refilling(group.partition);
    return is_owner ? &store_->frontier(group) : nullptr;
}

const Frontier* Shard::seen_by_all(GroupId group) {
    const std::vector<GroupId> known = store_->groups_of(group.partition);
    const bool is_known = std::find(known.begin(), known.end(), group) != known.end();
    return is_known && owned_frontier(group) != nullptr ? &store_->seen_by_all(group) : nullptr;
}

void Shard::inspect(ShardInspection& out) {
    for (const GroupId group : store_->groups()) {
        GroupInspection inspection;
        inspection.group = group;
        if (absl::StatusOr<GroupSummary> summary = store_->summary(group); summary.ok()) {
            inspection.summary = *std::move(summary);
        } else {
            inspection.summary.frontier = store_->frontier(group);
        }
        const std::string lower = storage_keys::record_prefix(group);
        const auto iterator = engine_->new_iterator(
            {.lower = lower, .upper = storage_keys::prefix_end(lower), .snapshot = nullptr});
        for (iterator->seek_to_first(); iterator->valid(); iterator->next()) {
            const auto key = storage_keys::parse_record(iterator->key());
            absl::StatusOr<Record> record = decode_record(iterator->value());
            if (key.has_value() && record.ok()) {
                inspection.records.push_back(
                    {.key = std::string(key->group_key), .record = *std::move(record)});
            }
        }
        out.groups.push_back(std::move(inspection));
    }
    for (const HeldSeat& seat : mover_->held()) {
        out.held.push_back(seat);
    }
    out.hints += hints_->count();
    out.seats_filling += static_cast<uint32_t>(mover_->count_of(SeatState::filling));
    out.seats_fenced += static_cast<uint32_t>(mover_->count_of(SeatState::fenced));
    out.trees_ready = store_->trees_ready();
}

}  // namespace starling::node
