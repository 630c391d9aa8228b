#pragma once

// The protocol by which the seats of one partition move, as one node takes part in it: events in,
// effects out, no clock and no I/O. Each core speaks for one node and one partition; the argument
// why the whole is safe is docs/handover.md, and tests/unit/node/handover/exploration_test.cc tries
// all interleavings.
//
// giver
//   holding --(permits of a majority of seats)--> fenced --(compared)--> none
//   fenced  --(the successor says declined)-----> holding, two moves later
// successor
//   none    --(offer)--> filling --(fenced; last difference taken)--> holding, one move later
//   filling --(withdrawn, or the seat went elsewhere)--> none
//   filling --(gives up)--> declined --(the seat is held at a later epoch)--> none
// whose disk has forgotten a seat
//   any     --(others remember a later epoch)--> holding, at that epoch
//
// Invariants:
// 1. What a message says is on disk when it is sent: messages are made from durable_, by speak()
//    and by the receivers, which run only while the seat has no other state on its way to the disk.
// 2. A seat counts only while it is `holding` on disk and no other state is on its way there.
// 3. Only a `fenced` record ends a holding, and only the named successor's `declined` undoes it;
//    but on a disk that has forgotten a later holding.
// 4. An offer is accepted only above the highest epoch this node ever held, granted or declined.
// 5. Volatile state (offers, collected permits, running copies) may be lost at any moment.
//
// A seat whose next state is being written ignores messages until that is done; timers repeat
// everything. The roles have a file each: move_giver.cc, move_successor.cc, move_permits.cc.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "node/handover/message.h"
#include "node/handover/move_plan.h"
#include "node/handover/move_rules.h"
#include "node/handover/seat.h"
#include "node/handover/seat_view.h"

namespace starling::node {

// What is fetched from a peer for a seat: the groups with more replicas than the seat's index.
enum class SyncKind : uint8_t {
    copy,        // until nearly in step
    difference,  // all that the peer has when it is asked, exactly once
    compare,     // the same, asked for by a former holder that wants to drop its data
};

// unreadable: something of it is damaged, there or here, and trying again does not help.
enum class SyncOutcome : uint8_t { done, failed, unreadable };

struct StartSync {
    uint64_t job = 0;
    base::SeatIndex seat;
    SyncKind kind{};
    base::NodeId from;
    friend bool operator==(const StartSync&, const StartSync&) = default;
};

// retry: say again what the state calls for. patience: give up waiting for the other side.
enum class MoveTimer : uint8_t { retry, patience };

struct SetTimer {
    base::SeatIndex seat;
    MoveTimer timer{};
    // Which repetition this is, from 0: the shell waits longer each time, with jitter.
    uint32_t repetition = 0;
};

struct OutgoingMove {
    base::NodeId to;
    MoveMessage message;
};

struct MoveEffects {
    // Write these durably, then call persisted(). At most one such write is under way.
    std::optional<SeatRecords> persist;
    // With that write a seat is held again that the disk had forgotten. Of what it lacks nothing is
    // known: it must be refilled before it counts.
    bool takes_up = false;
    std::vector<OutgoingMove> sends;
    // Earlier jobs to end without a report; then new ones.
    std::vector<uint64_t> cancelled_syncs;
    std::vector<StartSync> syncs;
    // Replaces the seat's timer of that kind.
    std::vector<SetTimer> timers;
    // The list of held seats changed, durably.
    bool seats_changed = false;
    // Forget the data of groups with at most this many replicas, the frontier first or at once with
    // the records; then call dropped().
    std::optional<uint8_t> drop_groups_up_to;
};

class MoveCore {
  public:
    struct Config {
        base::NodeId self;
        // The start counter of this life of the node.
        uint32_t generation = 1;
        uint8_t seat_count = seat_count_default;
        MoveRules rules{};
    };

    explicit MoveCore(Config config);

    // Before any other event: what the disk has.
    void restore(SeatRecords records);
    // REQUIRES: is_blank(). The first node of a cluster takes all seats at epoch 0.
    void found();
    // No seat of the partition was ever held, granted or declined here.
    bool is_blank() const { return staged_ == SeatRecords(staged_.size()); }

    // By seat; empty while unknown.
    void set_targets(std::vector<base::NodeId> targets);
    // `holder.node` is said to hold, or to have held, `seat` at `holder.epoch`.
    void note_holder(base::SeatIndex seat, const SeatView::Holder& holder);
    void receive(base::NodeId from, const MoveMessage& message);
    // The outcome of the write asked for last. After a failure it is asked for again.
    void persisted(bool is_ok);
    void sync_finished(uint64_t job, SyncOutcome outcome);
    void timer(base::SeatIndex seat, MoveTimer timer);
    void dropped(bool is_ok);
    // What moves from here or to here ends, as far as this node may end it: offers are withdrawn,
    // and fills declined (the disk is damaged, say). Not what is fenced, nor a seat whose state is
    // on its way to the disk.
    void end_moves();
    // The disk is damaged, so that the comparison may never end that a fenced seat waits for: each
    // that is known to be held elsewhere ends without.
    void let_go();

    // What the events since the last call ask for.
    MoveEffects take_effects();

    // The seats this node counts for at this moment. To be asked when an answer is sent.
    SeatSet counts() const;
    // Writes are stored here, counted or not: it holds or fills a seat below `replicas`.
    bool stores(uint32_t replicas) const;
    const SeatRecords& durable() const { return durable_; }
    // The highest holder that was ever said to hold the seat; of none where nobody was.
    const SeatView::Holder& known(base::SeatIndex seat) const { return known_[at(seat)]; }
    size_t count_of(SeatState state) const;
    // It was given to `successor`, durably, and nobody is known to have held it since.
    bool is_fenced_for(base::SeatIndex seat, base::NodeId successor) const;
    // It fills or holds a seat, or has fenced one: what is stored of it is needed, here or by the
    // successor.
    bool needs_data() const { return needs_data_of(seat_count_max); }
    // The same of a seat below `replicas`: of the groups with so many.
    bool needs_data_of(uint32_t replicas) const { return lowest_active_seat() < replicas; }
    // No seat is on its way from here or to here, and none is offered; and nothing is being
    // dropped, or about to be.
    bool is_at_rest() const;

    // Equal for two cores that react alike to all that can come.
    std::string fingerprint() const;

  private:
    // A holder's intention; volatile.
    struct Offer {
        enum class Phase : uint8_t { offered, accepted, asking };
        base::NodeId to;
        Phase phase = Phase::offered;
        // The successor said that it is nearly in step.
        bool is_nearly = false;
        // asking: which seats gave leave, and in which try.
        SeatSet grants{};
        uint64_t attempt = 0;
    };
    // A running copy or comparison; volatile.
    struct Job {
        uint64_t id = 0;
        SyncKind kind{};
        base::NodeId from;
        // Of the move it belongs to.
        Epoch epoch;
    };
    // What is not on disk.
    struct Seat {
        std::optional<Offer> offer;
        std::optional<Job> job;
        // filling: the copy is nearly in step; the giver said that it is fenced.
        bool is_nearly = false;
        bool is_fenced = false;
        // The durable permit is no longer needed. Forgotten by a restart, and then asked about
        // again.
        std::optional<Permit> released;
        // After an offer that came to nothing the next one goes to another node.
        uint32_t turn = 0;
        // No new offer before the next retry.
        bool is_resting = false;
        // On its way to the disk: `holding`, because others remember it.
        bool is_taken_up = false;
        bool wants_to_speak = false;
        uint32_t repetition = 0;
    };
    static size_t at(base::SeatIndex seat) { return seat.raw(); }
    base::SeatIndex index(size_t seat) const { return base::SeatIndex(static_cast<uint8_t>(seat)); }

    // Durability (move_core.cc).
    bool is_settled(base::SeatIndex seat) const { return staged_[at(seat)] == durable_[at(seat)]; }
    // Ends what belongs to the present state and brings `record` on its way to the disk.
    void stage(base::SeatIndex seat, SeatRecord record);
    // Broken rules only: `record` without a write.
    void assume(base::SeatIndex seat, SeatRecord record);
    void entered(base::SeatIndex seat, const SeatRecord& before);
    // What follows from the present state and what is known of others.
    void react(base::SeatIndex seat);
    void react_all();
    // Says what the durable state and the present intention call for. take_effects() does it, once,
    // for the seats that wants_to_speak() was called for.
    void speak(base::SeatIndex seat);
    void speak_as_holder(base::SeatIndex seat);
    void wants_to_speak(base::SeatIndex seat) { seats_[at(seat)].wants_to_speak = true; }
    void arm(base::SeatIndex seat);
    bool needs_retry(base::SeatIndex seat) const;
    void send(base::NodeId to, MoveKind kind, base::SeatIndex seat, const Epoch& epoch);
    void send_permit(base::NodeId to,
                     MoveKind kind,
                     base::SeatIndex granting_seat,
                     base::SeatIndex seat,
                     const Epoch& epoch,
                     uint64_t attempt);
    void tell_held(base::SeatIndex seat, base::NodeId giver);
    void start_job(base::SeatIndex seat, SyncKind kind, base::NodeId from, const Epoch& epoch);
    void end_job(base::SeatIndex seat);
    void drop_unneeded();
    bool may_have_leftovers() const;
    static bool needs_data(const SeatRecord& record);
    // It has failed, and waits as long as there are no targets: the damage that it met may be given
    // up only where nothing comes or goes.
    bool is_drop_put_off() const {
        return is_drop_wanted_ && !is_drop_under_way_ && targets_.empty();
    }
    // seat_count_max when no seat is active.
    uint8_t lowest_active_seat() const;
    // The seat is known held at a later epoch.
    bool is_over(base::SeatIndex seat, const Epoch& epoch) const;
    // Another node holds it at a later epoch than this one's record.
    bool is_held_elsewhere(base::SeatIndex seat) const;

    // Giver (move_giver.cc).
    void consider_offer(base::SeatIndex seat);
    std::optional<base::NodeId> choose_successor(base::SeatIndex seat) const;
    bool is_wanted(base::SeatIndex seat, base::NodeId to) const;
    bool is_offered_another(base::SeatIndex seat, base::NodeId node) const;
    void make_offer(base::SeatIndex seat, base::NodeId to, Offer::Phase phase);
    void end_offer(base::SeatIndex seat, bool is_refused);
    void fence(base::SeatIndex seat);
    void on_progress(base::NodeId from, const MoveMessage& message);
    void tell_forgotten(base::SeatIndex seat, base::NodeId successor);
    void on_refuse(base::NodeId from, const MoveMessage& message);
    void on_declined(base::NodeId from, const MoveMessage& message);
    void on_compared(const MoveMessage& message);

    // Permits (move_permits.cc).
    void start_asking(base::SeatIndex seat);
    void ask(base::SeatIndex seat);
    void stop_asking(base::SeatIndex seat);
    void fence_with_majority(base::SeatIndex seat);
    bool has_open_permit(base::SeatIndex seat) const;
    std::optional<base::SeatIndex> asking_seat() const;
    void on_permit_ask(base::NodeId from, const MoveMessage& message);
    void on_permit_grant(base::NodeId from, const MoveMessage& message);
    void on_permit_withdraw(base::NodeId from, const MoveMessage& message);

    // Successor (move_successor.cc).
    bool may_fill(base::SeatIndex seat) const;
    void continue_fill(base::SeatIndex seat);
    void hold(base::SeatIndex seat);
    void decline(base::SeatIndex seat);
    void refuse(base::NodeId to, const MoveMessage& offer);
    void on_offer(base::NodeId from, const MoveMessage& message);
    void on_fenced(base::NodeId from, const MoveMessage& message);
    void on_withdrawn(base::NodeId from, const MoveMessage& message);
    void on_compare(base::NodeId from, const MoveMessage& message);

    // Of a disk that was set back (move_core.cc).
    void on_held_by_you(const MoveMessage& message);
    void note_giver_holds(base::SeatIndex seat, const SeatView::Holder& holder);

    // Constant after construction.
    Config config_;

    // As the disk has it; as it shall have it; what is being written.
    SeatRecords durable_;
    SeatRecords staged_;
    std::optional<SeatRecords> writing_;
    // The last write failed: no new one before a retry.
    bool has_write_failed_ = false;

    std::vector<Seat> seats_;
    // The highest holder known of each seat.
    std::vector<SeatView::Holder> known_;
    std::vector<base::NodeId> targets_;
    uint64_t last_attempt_ = 0;
    uint64_t last_job_ = 0;
    // Until dropped(); and to be asked for (again) after that.
    bool is_drop_under_way_ = false;
    bool is_drop_wanted_ = false;
    MoveEffects effects_;
};

}  // namespace starling::node
