#pragma once

// Brings hints to the seats they wait for: in small windows, to whoever holds the seat now, until
// the holder says that it has the write on its disk. Only then is the hint forgotten.
//
// The hints of a seat take turns: one that was refused, or not answered, waits until all others of
// its seat have been tried, and for the next round. So does its place in the seat's window: a
// holder that refuses everything is asked for a window of each seat's hints in each interval and no
// more. A seat of which a hint was left unanswered for long sends nothing in the round that
// notices.
//
// The receiver sets the pace. All that is on its way to one node stays within a second window, so
// that one that returns with many seats has room for other requests, too; its seats take turns, a
// hint each. This window adapts as TCP's does (additive increase, multiplicative decrease). It is
// halved, down to one hint, when the node refuses one because it has no room now
// (resource_exhausted), or leaves one unanswered, or when this node has no room for one on its way
// out; what was on its way at that moment does not halve it again. It grows by one hint for each
// full window that the node has taken since. Any other refusal is about its hint or its seat, and
// leaves the window as it is. Where there is no room nothing is sent before the next round, or
// before another that was on its way is taken; that one brings the next of the seat that was
// refused, too.
//
// Owned by the shard's loop.

#include <cstdint>
#include <deque>
#include <map>
#include <optional>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"

#include "node/coordinator/context.h"

namespace starling::node {

class HintCourier {
  public:
    // How many hints of one seat may be on their way.
    static constexpr size_t window = 16;
    // How many to one node, and how many bytes, or one hint however large. A smaller window is
    // smaller in both.
    static constexpr size_t node_window = 64;
    static constexpr uint64_t node_window_bytes = 4ULL << 20;
    // How many for one node are read from the disk at once. So many at most wait in memory for room
    // in its window, since their size is not known before.
    static constexpr size_t loads_max = 4;
    // Intervals until what is not answered counts as lost.
    static constexpr int patience_max = 4;

    HintCourier(const CoordinatorContext& context, env::Workers& workers, base::Duration interval);

    void start();
    // A holder is back: do not wait for the next round.
    void kick();
    // False when the message answers nothing of the courier's.
    bool on_reply(base::NodeId from, const peer::ReplicaMessage& message);
    void stop();

  private:
    struct Delivery {
        HintKey hint;
        base::NodeId to;
        base::MonotonicTime sent{};
        // All deliveries are numbered.
        uint64_t number = 0;
        // None of one to this node itself.
        uint64_t bytes = 0;
        bool is_whole_write = false;
    };

    struct Seat {
        // Being loaded, waiting for room, or sent.
        size_t under_way = 0;
        // Places in the window that come free in the next round.
        size_t held_back = 0;
        std::optional<HintKey> last_sent;
        // Each is sent once in a round: from here to the last, and from the first to here.
        std::optional<HintKey> first_of_round;
        bool has_wrapped = false;
    };

    // A hint that was loaded, as it is sent.
    struct Parcel {
        HintKey hint;
        peer::ReplicaMessage message;
    };

    struct Destination {
        size_t window = node_window;
        // Since the window changed.
        size_t taken = 0;
        // The last number that was given when the window was halved.
        uint64_t halved_at = 0;
        bool has_no_room = false;
        // Lately. Nothing is known of one that has not answered yet.
        base::Duration answers_within = std::chrono::minutes(1);

        // As those of its seats.
        size_t under_way = 0;
        size_t loading = 0;
        uint64_t bytes = 0;
        std::deque<Parcel> loaded;

        // Seats that may have more to send, and the one that had the last turn.
        absl::btree_set<HintStore::Owner> waiting;
        std::optional<HintStore::Owner> last_turn;
        bool is_advancing = false;

        uint64_t bytes_max() const { return window * (node_window_bytes / node_window); }
        bool fits(uint64_t more) const { return bytes == 0 || bytes + more <= bytes_max(); }
        bool may_load() const {
            return under_way < window && loading < loads_max && bytes < bytes_max();
        }
    };

    enum class Outcome {
        taken,
        refused,
        no_room,
        lost,  // Not answered.
    };

    void arm_timer();
    void run_round();
    void give_up_unanswered();
    // Until a delivery counts as lost: eight times as long as the node has taken to answer lately,
    // between one interval and patience_max of them.
    base::Duration patience(const Destination& destination) const;
    base::NodeId holder(const HintStore::Owner& owner) const;
    // Sends what there is room for.
    void advance(base::NodeId to);
    void load_next(base::NodeId to, Destination& destination);
    // The next in turn that is not on its way. Nullopt: none in this round.
    std::optional<HintKey> next_hint(const HintStore::Owner& owner, Seat& seat) const;

    // An error: it cannot be read now. Nullopt: it is not there. Empty: a reference.
    using Loaded = absl::StatusOr<std::optional<std::string>>;
    void load_hint(const HintKey& hint, absl::AnyInvocable<void(Loaded)> done);
    void load_record(const HintKey& hint, base::NodeId to);
    void on_loaded(const HintKey& hint, base::NodeId to, Record record, bool is_whole_write);

    void deliver_here(const HintKey& hint, Record record, std::optional<Dot> dot);
    void send(base::NodeId to, Parcel parcel);
    void note_sent(Delivery delivery, uint64_t operation);
    void end(uint64_t operation, Outcome outcome);
    bool remove(const Delivery& delivery);
    void adapt(Destination& destination, uint64_t number, Outcome outcome);
    // `brings_next`: its place is free at once.
    void leave(const HintKey& hint, base::NodeId to, bool brings_next);

    const CoordinatorContext& context_;
    env::Workers& workers_;
    const base::Duration interval_;
    env::TimerId timer_ = 0;
    bool stopped_ = false;

    absl::btree_map<uint64_t, Delivery> deliveries_;
    uint64_t last_number_ = 0;
    absl::btree_set<HintKey> on_their_way_;
    // Those that hints wait for, or go to.
    std::map<HintStore::Owner, Seat> seats_;
    std::map<base::NodeId, Destination> destinations_;
};

}  // namespace starling::node
