#pragma once

// The protocol by which the seats of one partition move, as one node takes part in it: events in,
// effects out, no clock and no I/O. Each core speaks for one node and one partition; the argument
// why the whole is safe is docs/handover.md, and tests/unit/node/handover/exploration_test.cc tries
// all interleavings.
//
//   giver      holding --(permits of a majority of seats)--> fenced --(compared)--> none
//              fenced  --(the successor says declined)-----> holding, two moves later
//   successor  none --(offer)--> filling --(fenced; last difference taken)--> holding, one move
//   later
//              filling --(withdrawn, or the seat went elsewhere)--> none
//              filling --(gives up)--> declined --(the seat is held at a later epoch)--> none
//
// Invariants:
// 1. What a message says is on disk when it is sent: messages are made from durable_ alone, by
// speak().
// 2. A seat counts only while it is `holding` on disk and no other state is on its way there.
// 3. Only a `fenced` record ends a holding, and nothing but the named successor's `declined` undoes
// it.
// 4. An offer is accepted only above the highest epoch this node ever held, granted or declined.
// 5. Volatile state (offers, collected permits, running copies) may be lost at any moment.
//
// A seat whose next state is being written ignores messages until that is done; everything is
// repeated by timers.

#include <cstdint>
#include <map>
#include <optional>
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
        uint32_t generation = 1;
        uint8_t seat_count = seat_count_default;
        MoveRules rules;
    };

    explicit MoveCore(Config config);

    // Before any other event: what the disk has.
    void restore(SeatRecords records);
    // REQUIRES: a new cluster of one. Takes all seats at epoch 0.
    void found();

    // By seat; empty while unknown.
    void set_targets(std::vector<base::NodeId> targets);
    // `node` is said to hold, or to have held, `seat` at `epoch`.
    void note_holder(base::SeatIndex seat, SeatView::Holder holder);
    void receive(base::NodeId from, const MoveMessage& message);
    // The outcome of the write asked for last. After a failure it is asked for again.
    void persisted(bool is_ok);
    void sync_finished(uint64_t job, bool is_ok);
    void timer(base::SeatIndex seat, MoveTimer timer);
    void dropped(bool is_ok);
    // Give back whatever is being filled (no room for it, say).
    void decline_fills();

    // What the events since the last call call for.
    MoveEffects take_effects();

    // The seats this node counts for at this moment. To be asked when an answer is sent.
    SeatSet counts() const;
    // It stores writes, counted or not: it holds or fills a seat below `replicas`.
    bool stores(uint32_t replicas) const;
    const SeatRecords& durable() const { return durable_; }
    size_t count_of(SeatState state) const;

    // Equal for cores that will react alike to all that can come: for the exploration.
    std::string fingerprint() const;

  private:
    enum class OfferPhase : uint8_t { offered, accepted, asking };
    // A holder's intention; volatile.
    struct Offer {
        base::NodeId to;
        OfferPhase phase = OfferPhase::offered;
        SeatSet grants;
    };
    // A run of a copy or comparison; volatile.
    struct Job {
        uint64_t id = 0;
        SyncKind kind{};
        base::NodeId from;
        Epoch epoch;
    };
    struct Seat {
        std::optional<Offer> offer;
        std::optional<Job> job;
        // filling: the copy is nearly in step.
        bool is_nearly = false;
        // filling: the giver said that it is fenced.
        bool is_fenced = false;
        uint32_t refusals = 0;
        uint32_t repetition = 0;
    };

    // Receivers.
    void on_offer(base::NodeId from, const MoveMessage& message);
    void on_progress(base::NodeId from, const MoveMessage& message);
    void on_refuse(base::NodeId from, const MoveMessage& message);
    void on_withdrawn(base::NodeId from, const MoveMessage& message);
    void on_permit_ask(base::NodeId from, const MoveMessage& message);
    void on_permit_grant(base::NodeId from, const MoveMessage& message);
    void on_permit_withdraw(base::NodeId from, const MoveMessage& message);
    void on_fenced(base::NodeId from, const MoveMessage& message);
    void on_declined(base::NodeId from, const MoveMessage& message);
    void on_compare(base::NodeId from, const MoveMessage& message);
    void on_compared(base::NodeId from, const MoveMessage& message);

    const Config config_;
    SeatRecords durable_;
};

}  // namespace starling::node
