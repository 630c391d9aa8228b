#pragma once

// One shard of a node: a loop, an engine, and the partitions p with p % shard_count == its index,
// with everything that serves them: store, replica, coordinator, hints, hand-over, anti-entropy. It
// wires these together and knows the engine's directory; each of the parts knows only the interface
// the shard implements for it.
//
// Owned by its loop, but for open() and load(), which run before the loop does.

#include <memory>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"

#include "env/clock.h"
#include "env/event_loop.h"
#include "env/file_system.h"
#include "env/random.h"
#include "node/coordinator/coordinator.h"
#include "node/coordinator/expiry_sweep.h"
#include "node/coordinator/hint_courier.h"
#include "node/entropy/entropy.h"
#include "node/handover/mover.h"
#include "node/replica/collector.h"
#include "node/replica/replica.h"
#include "node/replica/request_clock.h"
#include "node/server/identity.h"
#include "node/server/inspect.h"
#include "node/server/lost_writes.h"
#include "node/server/options.h"
#include "node/server/replica_inspector.h"
#include "node/server/scrubber.h"
#include "node/server/set_back_guard.h"
#include "node/server/shard_healing.h"
#include "node/server/shard_random.h"
#include "starling/peer/envelope.pb.h"

namespace starling::node {

// What a shard tells its node. From the shard's loop.
class ShardHost {
  public:
    // False: it found no room and was dropped.
    virtual bool send_frame(const env::Address& to, std::string frame) = 0;
    // `held` in `cluster`: what was held in a former one is no news.
    virtual void seats_changed(uint32_t shard,
                               base::ClusterId cluster,
                               std::vector<HeldSeat> held) = 0;
    virtual void log(std::string_view severity, std::string_view line) = 0;
    // See NodeEnvironment::want_new_life.
    virtual void want_new_life(const std::string& why) = 0;

  protected:
    ~ShardHost() = default;
};

struct ShardEnvironment {
    env::EventLoop& loop;
    env::Workers& workers;
    env::WallClock& wall_clock;
    env::FileSystem& files;
};

// A shard's part of a status report.
struct ShardStatus {
    uint64_t hints = 0;
    uint64_t hint_bytes = 0;
    uint32_t seats_filling = 0;
    uint32_t seats_fenced = 0;
    uint32_t groups_dirty = 0;
    // Partitions that are refilled, since the disk was set back in time or was damaged.
    uint64_t partitions_refilled = 0;
    // Those, and others that do not count yet since the node has just started.
    uint64_t partitions_waiting = 0;
    uint64_t records = 0;
    uint64_t tombstones = 0;
    uint64_t tombstones_collected = 0;
    uint64_t expired_removed = 0;
    Collector::WaitingFor tombstones_waiting;
    // That the frontiers of all groups keep apart.
    uint64_t lives = 0;
    uint64_t operations = 0;
    uint64_t inflight_bytes = 0;
    // Of peers' requests in progress, and how many were refused for lack of room.
    uint64_t peer_bytes = 0;
    uint64_t peer_requests_refused = 0;
    absl::Status background_error;
    // data_loss: something on the disk cannot be read, and was not given up yet.
    absl::Status damage;
    storage::EngineStatistics engine;
    Scrubber::Counts scrub;
    EntropyCounters entropy;
    uint64_t malformed_messages = 0;
    // See RequestClock.
    uint64_t clock_behind_ms = 0;
    uint64_t clock_steps_back = 0;
    ClockFence::Verdict clock_fence;
    uint64_t clock_fence_refusals = 0;
    ConflictCounter::Counts conflicting_writes;
};

class Shard final : private ReplicaHost,
                    private HandoverHost,
                    private EntropyHost,
                    private StandingHost,
                    private SetBackGuard::Host,
                    private ShardHealing::Surroundings,
                    private Scrubber::Host,
                    private LostWrites::Host {
  public:
    Shard(uint32_t index,
          uint32_t shard_count,
          const NodeOptions& options,
          ShardEnvironment environment,
          uint64_t random_seed,
          ShardHost& host);
    ~Shard();

    // Opens the engine below `directory`. Blocks on disk.
    absl::Status open(const std::string& directory);
    storage::Engine& engine() { return *engine_; }
    // Builds the parts and reads what is stored. `identity` is durable already. Blocks on disk.
    absl::Status load(const Identity& identity);
    // What store_membership() was given last; in this life or an earlier one. Empty: nothing.
    const std::string& membership() const { return membership_; }
    // Takes all seats, as the only node of a new cluster.
    void found(absl::AnyInvocable<void(absl::Status)> done) { mover_->found(std::move(done)); }
    void start();

    // Writes what the node knows of its cluster, of shard 0 only; and with `identity`, where the
    // node enters another one. Loop thread only.
    void store_membership(std::string membership,
                          const Identity* identity,
                          absl::AnyInvocable<void(absl::Status)> done);
    // Any thread.
    bool has_data() const { return store_->has_records(); }
    std::vector<HeldSeat> held() const { return mover_->held(); }

    Coordinator& coordinator() { return *coordinator_; }
    ReplicaInspector& inspector() { return *inspector_; }
    GroupAccess& data() { return *store_; }
    uint64_t wall_ms() const { return base::to_unix_ms(environment_.wall_clock.wall_now()); }
    SeatSet counted_seats(base::PartitionId partition) const { return held_seats(partition); }
    void on_message(base::NodeId from, const peer::Envelope& envelope);
    void set_view(ClusterViewPtr view);
    // What another member's record says it holds; of this node's own the mover knows first.
    void set_member_seats(base::NodeId node, std::vector<HeldSeat> held);
    void peer_is_back(base::NodeId node);
    // What a member's clock said in a message that arrived at `now`.
    void note_peer_clock(base::NodeId node, uint64_t wall_ms, base::MonotonicTime now);

    // For a join: from `freeze` on nothing is written and no seat counts. Returns whether there is
    // data.
    bool freeze();
    void unfreeze() { frozen_ = false; }
    void enter_cluster(const Identity& identity);

    ShardStatus status() const;
    // True once no request is under way and no job runs.
    bool is_idle() const;
    // Ends everything periodic; requests under way go on.
    void stop_background();
    absl::Status close();

    // Inspection, for tests.
    void inspect(ShardInspection& out);
    const Frontier* owned_frontier(GroupId group) override;
    const Frontier* seen_by_all(GroupId group);
    bool is_refilling(base::PartitionId partition) const {
        return guard_->is_refilling(partition) || healing_->is_marked(partition);
    }
    bool is_healing() const { return healing_->is_healing(); }

  private:
    // ReplicaHost
    SeatSet held_seats(base::PartitionId partition) const override;
    bool stores(GroupId group) const override;
    uint64_t now_ms() const override;
    uint64_t requests_from_ms() const override { return request_clock_.floor_ms(); }
    base::NodeId self() const override { return identity_.node; }
    // Also while it waits to be told that it lacks nothing.
    bool is_behind(GroupId group) const override;
    bool is_of_an_earlier_life(base::NodeId from, const peer::Envelope& envelope) const;
    void missed(GroupId group, base::NodeId holder) override;
    bool send(base::NodeId to, peer::ReplicaMessage message) override;
    // HandoverHost
    void persist_seats(base::PartitionId partition,
                       std::string value,
                       HandoverHost::Done done) override;
    void take_up_seats(base::PartitionId partition,
                       std::string value,
                       HandoverHost::Done done) override;
    void take_up_ended(const std::set<base::PartitionId>& partitions, const absl::Status& status);
    void send(base::NodeId to, peer::HandoverMessage message) override;
    void seats_changed() override;
    void drop(base::PartitionId partition, uint8_t replicas_max, HandoverHost::Done done) override;
    // LostWrites::Host
    bool can_be_spared() const override;
    void want_new_life(const std::string& why) override { host_.want_new_life(why); }
    // EntropyHost; Scrubber::Host's, too
    bool do_clients_wait() override { return latency_.do_clients_wait(environment_.loop.now()); }
    void send(base::NodeId to, peer::EntropyMessage message) override;
    void report(GroupId group, base::NodeId to, ReportDone done) override;
    void reported(GroupId group,
                  base::NodeId from,
                  const Frontier& frontier,
                  const peer::EntropyReport& report) override;
    bool awaits_report(GroupId group, base::NodeId from) override {
        return standings_->awaits_report(group, from);
    }
    void hints_gone(GroupId group, HintsGoneDone done) override;
    void told_hints_gone(GroupId group,
                         base::NodeId member,
                         const peer::EntropyHintsGone& gone) override;
    bool is_fenced_for(base::PartitionId partition,
                       base::SeatIndex seat,
                       base::NodeId successor) override {
        return mover_->is_fenced_for(partition, seat, successor);
    }
    bool is_owner(GroupId group) override {
        return !mover_->counts(group.partition).below(group.replicas).empty();
    }
    void lacks_what_all_had_seen(GroupId group) override;
    std::optional<peer::EntropyRemembered> remembered(
        GroupId group, base::NodeId holder, const peer::EntropyRememberedAsk& ask) override;
    void told_remembered(GroupId group,
                         base::NodeId holder,
                         const peer::EntropyRemembered& remembered) override;
    void counting(GroupId group, bool checks, CountingDone done) override;
    void told_counting(GroupId group,
                       base::NodeId holder,
                       uint64_t question,
                       const peer::EntropyCounting& counting) override;
    // SetBackGuard::Host and ShardHealing::Surroundings. Nothing while who holds a seat of a
    // partition that is being refilled is not known.
    std::map<GroupId, std::vector<base::NodeId>> other_holders(
        base::PartitionId partition) const override;
    void ask_remembered(GroupId group, base::NodeId holder) override;
    bool has_groups(base::PartitionId partition) const override;
    void verdict_changed(base::PartitionId partition) override;
    uint64_t epoch() const override { return standings_->epoch(); }
    void begin_epoch_after(uint64_t told,
                           const std::set<base::PartitionId>& set_back,
                           absl::AnyInvocable<void(absl::Status)> done) override;
    void take_over(base::PartitionId partition,
                   base::NodeId from,
                   absl::AnyInvocable<void(absl::Status)> done) override;
    void unmark(base::PartitionId partition, absl::AnyInvocable<void(absl::Status)> done) override {
        healing_->unmark(partition, std::move(done));
    }
    // ShardHealing::Surroundings
    std::vector<base::NodeId> seats_of_others(GroupId group) const override;
    bool are_holders_known(GroupId group) const override;
    bool holds_seat(base::PartitionId partition) const override {
        return !mover_->counts(partition).empty();
    }
    bool has_other_members() const override { return !other_members().empty(); }
    bool is_dead(base::NodeId holder) const override {
        const auto peer = view_->peers.find(holder);
        return peer == view_->peers.end() || peer->second.health == PeerHealth::dead;
    }
    void ask_counting(GroupId group, base::NodeId holder, uint64_t question, bool checks) override {
        entropy_->ask_counting(group, holder, question, checks);
    }
    void end_syncs(base::PartitionId partition) override {
        entropy_->end_syncs(partition, absl::UnavailableError("the partition is emptied"));
    }
    bool needs_data(GroupId group) const override { return mover_->needs_data(group); }
    bool is_filling(base::PartitionId partition) const override {
        return mover_->is_filling(partition);
    }
    bool is_held_at_rest(base::PartitionId partition) const override {
        return !mover_->counts(partition).empty() && mover_->is_at_rest(partition);
    }
    void end_moves(base::PartitionId partition) override { mover_->end_moves(partition); }
    void let_go(base::PartitionId partition) override { mover_->let_go(partition); }
    void put_facts(storage::WriteBatch& batch) const override;
    void drop_groups(std::vector<GroupId> groups, ShardHealing::Done done) override;
    uint32_t replicas_max() const override { return identity_.cluster.seats; }
    void healing_changed(base::PartitionId partition) override;
    // Scrubber::Host
    bool is_disk_being_searched() const override { return healing_->is_at_work(); }
    // ShardHealing::Surroundings, too
    void log(std::string_view severity, std::string_view line) override {
        host_.log(severity, line);
    }
    // StandingHost
    std::optional<std::vector<Owner>> other_owners(GroupId group) const override;
    std::optional<Owner> other_owner(GroupId group, base::NodeId node) const override;
    uint64_t own_tenure(GroupId group) const override;
    std::vector<base::NodeId> other_members() const override;
    void ask_hints(GroupId group, base::NodeId member) override;

    void make_parts();
    absl::Status load_seats();
    // As ShardHost::send_frame(); true for who is not known.
    bool send_envelope(base::NodeId to, peer::Envelope envelope);
    void update_targets(base::PartitionId partition);
    void answer_counting(GroupId group, bool is_whole, CountingDone done);
    void update_entropy_peers();
    void update_comparisons(base::PartitionId partition);
    void compare(GroupId group, std::vector<base::NodeId> peers);
    std::vector<base::PartitionId> own_partitions() const;
    bool is_own(uint32_t partition) const;

    static constexpr std::string_view membership_name = "membership";

    // Constant after construction.
    const uint32_t index_;
    const uint32_t shard_count_;
    const NodeOptions& options_;
    const ShardEnvironment environment_;
    ShardHost& host_;

    // Owned by the loop.
    ShardRandom random_;
    Identity identity_;
    ContextSealer sealer_;
    SessionSealer session_sealer_;
    HybridClock hybrid_clock_;
    ClockFence clock_fence_;
    LatencyWatch latency_;
    GoneHorizon horizon_;
    // Reading it lets it see what the wall clock does.
    mutable RequestClock request_clock_;
    bool frozen_ = false;
    uint64_t malformed_messages_ = 0;
    ClusterViewPtr view_;
    // The other holders of each group that this node holds a seat of.
    absl::btree_map<GroupId, std::vector<base::NodeId>> entropy_peers_;
    // Those of them that it is compared with; no entry: none.
    absl::btree_map<GroupId, std::vector<base::NodeId>> compared_;
    // As they were written last: seats by partition, and what the node knows of its cluster.
    absl::btree_map<base::PartitionId, std::string> stored_seats_;
    std::string membership_;

    // In the order in which they are made; destroyed in the other.
    std::unique_ptr<storage::Engine> engine_;
    std::unique_ptr<ReplicaStore> store_;
    std::unique_ptr<HintStore> hints_;
    std::unique_ptr<Standings> standings_;
    std::unique_ptr<Collector> collector_;
    std::unique_ptr<Replica> replica_;
    std::unique_ptr<ReplicaInspector> inspector_;
    std::unique_ptr<Coordinator> coordinator_;
    std::unique_ptr<HintCourier> courier_;
    std::unique_ptr<ExpirySweep> expiry_sweep_;
    std::unique_ptr<Entropy> entropy_;
    std::unique_ptr<SeatView> seats_;
    std::unique_ptr<Mover> mover_;
    std::unique_ptr<SetBackGuard> guard_;
    // Seats that are to be held again with the next epoch, by partition.
    struct TakingUp {
        std::string value;
        HandoverHost::Done done;
        // While the batch is on its way: what is stored of the partition if it fails; or nothing.
        std::string before = {};
    };
    std::map<base::PartitionId, TakingUp> taking_up_;
    std::unique_ptr<ShardHealing> healing_;
    std::unique_ptr<Scrubber> scrubber_;
    std::unique_ptr<LostWrites> lost_writes_;
};

}  // namespace starling::node
