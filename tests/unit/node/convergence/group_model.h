#pragma once

// The members of a small cluster with their disks, and one group of which three hold a seat each:
// what the rules R1 to R11 of docs/causality.md speak of, and nothing else. It runs what the node
// itself runs: mint(), mint_removal(), merge(), receive(), take_over(), strip_context(),
// collect_tombstones(), GroupStanding and GoneHorizon. Beside them it keeps what really happened to
// every dot, so that it can say which writes should be there.
//
// A member has a state in memory and an earlier one on its disk. A message may be lost, doubled or
// late; reports too; an owner's report is of its disk. Where the seats are, each member knows as of
// some moment. Whatever is read of another member is read at one moment, and a hand-over's last
// part is one step: what can happen between is the simulator's matter. So are wrong clocks, and
// whose turn it is to remove what has expired: here there is one clock, and any owner may.
//
// Ahead of the node: disks that lose records (R9), and data that is set aside when a disk was set
// back (the node refills in place, R10). `as_in_the_node()` is without them.

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "node/replica/gone_horizon.h"
#include "node/replica/group_standing.h"
#include "node/replica/reception.h"
#include "node/version/record.h"
#include "tests/unit/node/convergence/rules.h"

namespace starling::node::group_model {

// Three of them hold a seat each; the fourth is there to take one over, and keeps hints.
inline constexpr size_t node_count = 4;
inline constexpr size_t seat_count = 3;
inline constexpr size_t key_count = 2;
// Requests older than so many steps are refused.
inline constexpr uint64_t request_window = 12;
// From a request's creation to the expiry of its value.
inline constexpr uint64_t lifetime = 4;

// What a client knows after a read.
struct Reading {
    Superseded seen;
    std::set<Dot> live;
};

enum class Replaces {
    // What the minting owner and one other hold; as of a client that names nothing.
    held_by_two,
    // What a client's reading saw.
    seen_by_reader,
};

struct Put {
    size_t owner = 0;
    size_t key = 0;
    base::RequestId request{};
    bool is_tombstone = false;
    Replaces replaces = Replaces::held_by_two;
    size_t other_owner = 0;
    Reading reading{};
    bool expires = false;
};

// A whole record under way.
struct Message {
    size_t from = 0;
    // The life that sent it: only that one counts the answer.
    Actor by;
    size_t to = 0;
    // Of the receiver, when it was sent; of none while that was taking one over.
    std::optional<size_t> seat;
    size_t key = 0;
    Record record;
    // The write that it is sent for; of none when it is the state of another owner.
    std::optional<Dot> dot;
    // A retry sends the record as it is now, which its dot does not stand for.
    bool is_repeat = false;
    // All that the record holds is on the sender's disk.
    bool is_durable = false;
    // The dots of the key that the record reflects.
    std::set<Dot> reflected;
    // Of a hint: the writes that it may bring although their lives have ended since.
    std::set<Dot> brings = {};
};

class Group {
  public:
    explicit Group(Rules rules = {});

    // Time passes: requests age.
    void tick() { ++now_; }
    uint64_t now() const { return now_; }
    bool holds_seat(size_t node) const { return seat_of(node).has_value(); }

    // Writes (group_writes.cc).
    Reading read(size_t owner, size_t key) const;
    void put(const Put& put);
    // R2. The message stays, and may be delivered again.
    void deliver(const Message& message);
    // A member takes the message instead of its receiver.
    void take_hint(size_t keeper, const Message& message);
    void deliver_hint(size_t keeper, size_t index);
    void sync(size_t owner);
    // R11: removes what has expired by now.
    void expire(size_t owner);

    // Anti-entropy (group_entropy.cc).
    // R4.
    // Interrupted after so many dots.
    void pull(size_t to, size_t from, size_t dots_max = SIZE_MAX);
    // R9: `to` takes the whole record of a key.
    void exchange(size_t to, size_t from, size_t key);
    // What two owners have of a key is sent to a third.
    void repair(size_t to, size_t a, size_t b, size_t key);

    // Seats (group_seats.cc). A hand-over is one at a time.
    void begin_move(size_t seat, size_t to);
    // A page of the copy: of one key, or of both.
    void copy(bool first_key, bool second_key);
    // The comparison that ends a copy.
    void fill(size_t dots_max = SIZE_MAX);
    // The giver counts no more.
    void fence();
    // The last difference, and the seat has its new holder.
    void finish_move();
    // Before the fence the giver stops; after it the successor declines.
    void abort_move();
    // A member hears where the seat is now.
    void learn_seat(size_t node, size_t seat);

    // What is known of others, and what follows (group_knowledge.cc).
    // Makes a report; it may be delivered at any time.
    void report(size_t from, size_t to);
    void deliver_report(size_t index);
    // A member hears of the present life of another.
    void learn_start(size_t node, size_t about);
    // A member tells another of which ended lives it has no hints.
    void tell_hints(size_t from, size_t to);
    // All of these, among all but one.
    void talk(std::optional<size_t> without);
    // A change of the records that changes nothing else.
    void strip(size_t owner);
    void collect(size_t owner);
    void forget(size_t owner);

    // Crashes and damage (group_damage.cc).
    // The member's process ends, with what it had not synced, and begins its next life.
    void crash(size_t node);
    void take_snapshot(size_t owner);
    // The disk is emptied, or is what it was at its snapshot. The owner notices (R10).
    void wipe(size_t owner);
    void roll_back(size_t owner);
    // The record of a key goes from the disk, silently.
    void lose_record(size_t owner, size_t key);
    // R10: fills an owner that is not ready from both others.
    void refill(size_t owner);

    // Everything is delivered, exchanged, sealed and collected (group_converge.cc).
    void converge();

    // What a read of two owners finds wrong, at any time (group_verdict.cc).
    std::optional<std::string> violation_of_reads() const;
    // What is wrong in a converged group.
    std::optional<std::string> violation() const;

    const std::vector<Message>& messages() const { return messages_; }
    size_t hint_count(size_t keeper) const { return members_[keeper].hints.size(); }
    size_t report_count() const { return reports_.size(); }
    const Record& record(size_t owner, size_t key) const {
        return members_[owner].now.records[key];
    }
    const Frontier& frontier(size_t owner) const { return members_[owner].now.frontier; }
    uint64_t collected_count() const { return collected_; }
    uint64_t stripped_count() const { return stripped_; }
    uint64_t sealed_count() const { return sealed_; }

  private:
    using Dots = std::set<Dot>;

    // What is on a disk, or will be.
    struct State {
        std::array<Record, key_count> records;
        Frontier frontier;
        // The key of each dot that not all owners are known to have seen.
        std::map<Dot, size_t> index;
        // Of the present life, and of those that are known of others.
        uint32_t start = 1;
        Starts frozen;
        // Of the data, and of other owners' (R10).
        uint64_t epoch = 0;
        std::map<base::NodeId, uint64_t> epochs;
        // Not part of the protocol: the dots whose writes this state really reflects.
        Dots reflected;
    };
    struct Seat {
        std::optional<size_t> holder;
        uint64_t epoch = 0;
    };
    // An answer that waits for the next sync.
    struct Ack {
        Dot dot;
        size_t from = 0;
        Actor by;
    };
    struct Member {
        Actor actor;
        // In this life; outlives the data.
        uint64_t minted_count = 0;
        // R10.
        bool is_ready = true;
        State now;
        State disk;
        std::optional<State> snapshot;
        std::vector<Ack> acks;
        // On its disk from the start.
        std::vector<Message> hints;
        std::array<Seat, seat_count> view;
        // As in Standings and ReplicaStore.
        uint64_t last_question = 0;
        std::optional<GroupStanding> standing;
        GoneHorizon horizon{request_window};
        Frontier stable;
        uint64_t forget_before = 0;
    };
    struct SentReport {
        size_t from = 0;
        size_t to = 0;
        OwnerReport report;
    };
    // What really happened to a dot.
    struct Truth {
        base::RequestId request;
        bool is_tombstone = false;
        // 0 = never.
        uint64_t expires_ms = 0;
        size_t key = 0;
        // The requests that it replaced, at any remove.
        std::set<base::RequestId> replaced;
        // The seats where it is durable.
        std::set<size_t> seats;
    };
    struct Move {
        size_t seat = 0;
        size_t giver = 0;
        size_t to = 0;
        bool is_fenced = false;
    };

    static base::NodeId id_of(size_t node) { return base::NodeId(node + 1); }
    static size_t index_of(base::NodeId id) { return static_cast<size_t>(id.raw()) - 1; }

    // Seats.
    std::optional<size_t> seat_of(size_t node) const;
    bool is_filling(size_t node) const { return move_.has_value() && move_->to == node; }
    bool is_owner(size_t node) const {
        return seat_of(node).has_value() && members_[node].is_ready;
    }
    bool stores(size_t node) const { return is_owner(node) || is_filling(node); }
    uint64_t tenure_of(size_t seat, uint64_t epoch) const;
    uint64_t own_tenure(size_t node) const;
    std::optional<std::vector<Owner>> other_owners(size_t node) const;
    void set_holder(size_t seat, std::optional<size_t> holder, uint64_t epoch);
    void drop_data(size_t node);
    void take_from_giver(size_t dots_max = SIZE_MAX);

    // Writes.
    template <typename Change>
    void change(size_t node, size_t key, const Change& change);
    void strip_record(Record& record, const Frontier& stable);
    void merge_into(size_t node, size_t key, const Record& incoming, const Dots& reflected);
    bool may_mint(size_t node) const;
    // The record after the write, which gets the dot.
    using Mint = std::function<Record(const Record& local, const Dot& dot)>;
    void mint_at(size_t node, size_t key, const Truth& truth, const Mint& mint_write);
    void remove(size_t node, size_t key, const Sibling& value);
    std::set<base::RequestId> shown(const Record& record) const;
    void send(size_t from, size_t key, std::optional<Dot> dot, bool is_repeat);
    bool accept(const Message& message, bool is_hint);
    void acknowledge(size_t seat, const Ack& ack);
    void write_through(size_t node) { members_[node].disk = members_[node].now; }
    static void replace(Truth& by, const Truth& replaced);
    Dots reflected_of(const State& state, size_t key) const;
    Dots mintings_of(const State& state, const Sibling& sibling) const;
    void reflect(State& state, const Frontier& before, const Dots& dots) const;

    // Entropy.
    void unite(size_t to, const Frontier& theirs);
    std::optional<Dot> unexplained(const State& theirs, const Frontier& mine) const;
    void note_unexplained(const Dot& dot);
    bool merge_missing(size_t to, const State& theirs, size_t dots_max = SIZE_MAX);

    // Knowledge.
    GroupStanding& standing_of(size_t node);
    void note_start(size_t node, base::NodeId about, uint32_t start);
    void advance(size_t node);
    void seal(size_t node, const std::vector<base::NodeId>& others);
    bool has_hint_of(size_t node, base::NodeId of, uint32_t before) const;
    std::vector<base::NodeId> other_members(size_t node) const;
    uint64_t forget_before(size_t node) const;

    // Damage.
    void begin_life(size_t node);
    void note_new_epoch(size_t owner);
    void set_aside(size_t node);
    void take_all(size_t to, const State& theirs);
    bool has_lost(const State& state, size_t key) const;

    void converge_round();
    void end_lives_with_holes();
    std::optional<std::string> difference() const;
    std::optional<std::string> wrong_writes(size_t key,
                                            const Dots& reflected,
                                            const Record& record) const;

    const Rules rules_;
    uint64_t now_ = 1;
    uint64_t lives_ = 0;
    bool has_lost_disk_ = false;
    // What was wrong when it happened, whatever came of it.
    std::optional<std::string> wrong_;
    std::array<Member, node_count> members_;
    std::array<Seat, seat_count> seats_;
    std::optional<Move> move_;
    std::vector<Message> messages_;
    std::vector<SentReport> reports_;
    std::map<Dot, Truth> truth_;
    std::set<base::RequestId> acknowledged_;
    uint64_t collected_ = 0;
    uint64_t stripped_ = 0;
    uint64_t sealed_ = 0;
};

}  // namespace starling::node::group_model
