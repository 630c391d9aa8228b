#pragma once

// Runs the moves of all partitions of one shard: owns their cores, carries out what these ask for
// (writes, messages, copies, timers), and paces the copying. Lives on the shard's loop; every call
// and callback there.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

#include "base/ids.h"
#include "base/time.h"
#include "env/event_loop.h"
#include "env/random.h"
#include "node/entropy/entropy.h"
#include "node/entropy/runtime.h"
#include "node/handover/move_core.h"
#include "node/handover/seat.h"
#include "node/handover/seat_view.h"
#include "starling/peer/handover.pb.h"

namespace starling::node {

// What a mover needs of the node around it.
class HandoverHost {
  public:
    using Done = absl::AnyInvocable<void(absl::Status)>;

    // Replaces the partition's stored seats. OK once durable (synced, whatever a namespace's
    // durability). One at a time per partition. `done` may run before the call returns.
    virtual void persist_seats(base::PartitionId partition, std::string value, Done done) = 0;
    // The same. The disk was set back to before this node held a seat that it holds again: with the
    // write the partition is marked as set back, and counts for nothing until it is refilled.
    virtual void take_up_seats(base::PartitionId partition, std::string value, Done done) = 0;
    // May be lost. Never delivers to this node itself before it returns.
    virtual void send(base::NodeId to, peer::HandoverMessage message) = 0;
    // Mover::held() has changed: the member record is to follow.
    virtual void seats_changed() = 0;
    // Forgets the data of the partition's groups with at most `replicas_max` replicas. A frontier
    // goes before its records or in one batch with them: a frontier without them would refuse them
    // for ever. OK once durable.
    virtual void drop(base::PartitionId partition, uint8_t replicas_max, Done done) = 0;

  protected:
    ~HandoverHost() = default;
};

struct MoverOptions {
    base::ClusterId cluster;
    base::NodeId self;
    // The start counter of this life of the node.
    uint32_t generation = 1;
    uint8_t seat_count = seat_count_default;
    uint32_t partition_count = 0;
    // Those of this shard.
    std::vector<base::PartitionId> partitions;
    // Copies and comparisons that run at once; last differences run beside them, as many again.
    uint32_t fills_max = 8;
    base::Duration retry_min = std::chrono::milliseconds(200);
    base::Duration retry_max = std::chrono::seconds(5);
    // How long a giver waits for a successor, or for permits, before it tries otherwise.
    base::Duration patience = std::chrono::seconds(10);
    // How often, while nobody says any more that it holds a seat, its last holder is told that it
    // did.
    base::Duration vacancy_interval = std::chrono::seconds(5);
    MoveRules rules{};
};

class Mover {
  public:
    using Done = absl::AnyInvocable<void(absl::Status)>;
    Mover(MoverOptions options,
          HandoverHost& host,
          Entropy& entropy,
          env::EventLoop& loop,
          env::Random& random);
    ~Mover();

    // Once, before anything else: the stored seats by partition, as persist_seats() was given them.
    // Those of another cluster, and of partitions of other shards, are passed over. Of those
    // `with_data` that once had a seat of this cluster, and have none, the data is removed: a copy
    // that was withdrawn, in a life that ended before it was gone. data_loss: nothing was restored.
    absl::Status restore(const std::vector<std::pair<base::PartitionId, std::string>>& stored,
                         const std::set<base::PartitionId>& with_data);
    // The only node of a cluster that it made: takes the seats of each partition that it has
    // nothing stored of, which is all of them at first, and what a crash in the middle has left
    // later. Calls `done` with OK once that is durable, and before that with each error: what could
    // not be written is tried again.
    void found(Done done);
    // The node, without data, becomes a member of another cluster: it forgets all seats. What is
    // stored belongs to the former cluster and stays ignored.
    void enter_cluster(base::ClusterId cluster);

    // By seat, from the placement. Call for each partition when the placement changes.
    void set_targets(base::PartitionId partition, std::span<const base::NodeId> targets);
    // The holders of these partitions changed in `view`.
    void view_changed(const SeatView& view, std::span<const base::PartitionId> partitions);
    void on_message(base::NodeId from, const peer::HandoverMessage& message);
    // Of each seat of the partition that this node has ever held, granted or declined, the highest
    // epoch at which it did.
    using SeatEpochs = std::map<base::SeatIndex, Epoch>;
    SeatEpochs highest_epochs(base::PartitionId partition) const;
    // Whether `node`, whose highest_epochs() are `there`, was known to hold a seat of the partition
    // at a later epoch, and lists it no more, or at an earlier one. Then it is told so.
    bool tell_forgotten(base::PartitionId partition, base::NodeId node, const SeatEpochs& there);
    // See MoveCore.
    void end_moves(base::PartitionId partition);
    void let_go(base::PartitionId partition);

    // The seats that count, now. Ask when an answer is sent, not when the request came. None for a
    // partition of another shard.
    SeatSet counts(base::PartitionId partition) const;
    // Whether writes of a group with so many replicas are stored here, counted or not.
    bool stores(base::PartitionId partition, uint32_t replicas) const;
    // All seats of this shard in `holding`, ordered: for the member record.
    std::vector<HeldSeat> held() const;
    // Those of one partition.
    std::vector<HeldSeat> held(base::PartitionId partition) const;
    size_t count_of(SeatState state) const;
    // This node fills or holds a seat of the group, or has fenced one whose data the successor
    // needs.
    bool needs_data(GroupId group) const;
    bool is_filling(base::PartitionId partition) const;
    // See MoveCore.
    bool is_fenced_for(base::PartitionId partition,
                       base::SeatIndex seat,
                       base::NodeId successor) const;
    // No seat of the partition is on its way from here or to here. It stays so while its targets
    // are unknown (set_targets() with none).
    bool is_at_rest(base::PartitionId partition) const;
    // Messages that were ignored because they made no sense.
    uint64_t malformed_messages() const { return malformed_messages_; }

    // Ends all timers and copies. No callback runs afterwards.
    void stop();

  private:
    struct Waiting {
        base::PartitionId partition;
        StartSync sync;
    };
    struct Shell {
        std::unique_ptr<MoveCore> core;
        // By seat and kind.
        std::map<std::pair<base::SeatIndex, MoveTimer>, env::TimerId> timers;
        // The core's jobs that run: which sync of the entropy's each is, and whether it is a last
        // difference.
        std::map<uint64_t, std::pair<uint64_t, SyncKind>> running;
    };

    static void add_held(base::PartitionId partition,
                         const Shell& shell,
                         std::vector<HeldSeat>& out);
    Shell* find(base::PartitionId partition);
    const Shell* find(base::PartitionId partition) const;
    void make_cores();
    void end_all();
    // Carries out what the partition's core asks for.
    void flush(base::PartitionId partition);
    void note_vacancy(base::PartitionId partition,
                      base::SeatIndex seat,
                      const SeatView::Holder& listed);
    void arm_vacancies();
    void tell_last_holder(base::PartitionId partition, base::SeatIndex seat);
    void tell_last_holders();
    void persist(base::PartitionId partition, const SeatRecords& records, bool takes_up);
    void on_persisted(base::PartitionId partition, const absl::Status& status);
    void drop(base::PartitionId partition, uint8_t replicas_max);
    void send(base::PartitionId partition, const OutgoingMove& move);
    void send(base::PartitionId partition, const OutgoingMove& move, uint32_t to_generation);
    void set_timer(base::PartitionId partition, const SetTimer& timer);
    void cancel_sync(base::PartitionId partition, uint64_t job);
    void start_waiting();
    static SyncOutcome outcome_of(const absl::Status& status);
    void start(const Waiting& waiting);
    bool is_current(base::NodeId from, const AddressedMove& move);
    base::Duration delay_of(const SetTimer& timer);

    MoverOptions options_;
    HandoverHost& host_;
    Entropy& entropy_;
    env::EventLoop& loop_;
    env::Random& random_;

    std::map<base::PartitionId, Shell> shells_;
    // Copies and comparisons; last differences, which keep a gap open and so never stand behind
    // those.
    std::deque<Waiting> copies_;
    std::deque<Waiting> differences_;
    uint32_t copies_running_ = 0;
    uint32_t differences_running_ = 0;
    // The latest life heard of, by node.
    std::map<base::NodeId, uint32_t> generations_;
    // Seats that nobody lists at the epoch at which they were last known to be held.
    std::set<std::pair<base::PartitionId, base::SeatIndex>> vacant_;
    env::TimerId vacancy_timer_ = 0;
    // Partitions not founded yet.
    std::set<base::PartitionId> founding_;
    Done founded_;
    uint64_t malformed_messages_ = 0;
    bool is_stopped_ = false;
    // Replaced when the cores are: what belongs to former ones is ignored.
    Lifeline lifeline_;
};

}  // namespace starling::node
