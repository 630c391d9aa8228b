#pragma once

// The owners of one group with their disks, and a node that holds hints: what the rules R1 to R10
// of docs/causality.md speak of, and nothing else. It runs the real mint(), merge(),
// strip_context(), is_collectable() and Knowledge, and keeps beside them what really happened to
// every dot, so that it can say which writes should be there. Each rule can be weakened, to show
// what it is for.
//
// An owner has a state in memory and an earlier one on its disk. A message may be lost, doubled or
// late; reports too; whatever an owner tells another about itself is of its disk.

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "node/replica/knowledge.h"
#include "node/version/collection.h"
#include "node/version/record.h"

namespace starling::node::group_model {

// Three of them hold a seat each; the fourth is there to take one over.
inline constexpr size_t node_count = 4;
inline constexpr size_t seat_count = 3;
inline constexpr size_t key_count = 2;
// Requests older than so many steps are refused.
inline constexpr uint64_t request_window = 12;

// All true: the rules as they are.
struct Rules {
    // R6: holes of ended actors are sealed.
    bool sealing = true;
    // R6: only on the word of all owners and hint holders.
    bool seal_on_proof = true;
    // R6: the hint holder takes part.
    bool seal_asks_hint_holder = true;
    // R6: owners answer after the hint holder did.
    bool seal_asks_owners_last = true;
    // R2: what is refused lends no context.
    bool refused_is_not_applied = true;
    // R5: waits for owners that are not heard of.
    bool drop_waits_for_all = true;
    // R5: what a tombstone superseded must have been seen, too.
    bool drop_covers_superseded = true;
    // R8: an entry stays until the record's siblings have been seen, too.
    bool strip_waits_for_siblings = true;
    // R8: and until all that it covers has been seen.
    bool strip_waits_for_covered = true;
    // R3: what the frontier has and the record has not is refused.
    bool absent_asks_frontier = true;
    // R5: reports of wiped data do not count.
    bool epochs = true;
    // R10: a disk that was set back or wiped is not used before it was filled anew.
    bool refills = true;
    // Actors have random bits.
    bool actors_are_random = true;
    // R7: an id is forgotten only when what ended lives wrote can no more come, either.
    bool forget_asks_for_ended_lives = true;
    // R5: who takes over a seat is an owner from the first byte.
    bool filling_is_owner = true;
    // R5: a seat that comes back is not known from its last time.
    bool fill_raises_epoch = true;
    // R4: who hands over a frontier answers for each dot that not all have seen.
    bool pull_explains = true;
    // R1: who has lost sight of a dot of its own in this life mints nothing.
    bool mints_above_own = true;
    // R2: a message that holds a value which was seen and is not accounted for is not applied.
    bool loss_is_no_deletion = true;
    // I2: a record that is to be changed holds, or explains, each dot of it that not all have seen.
    bool change_asks_index = true;
    // R7. Off, the memory of requests hides no fault of the other rules, and nobody retries.
    bool requests_remembered = true;
};

// Without the search for damage, which often takes the healthy for the damaged when another rule is
// broken.
inline Rules bare(Rules rules) {
    rules.pull_explains = false;
    rules.loss_is_no_deletion = false;
    rules.change_asks_index = false;
    return rules;
}

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

// A whole record under way, and the dot that it is sent for.
struct Message {
    size_t from = 0;
    size_t to = 0;
    // Of the receiver, when it was sent; of none while that was taking one over.
    std::optional<size_t> seat;
    size_t key = 0;
    Record record;
    Dot dot;
    // The dots of the key that the record reflects.
    std::set<Dot> reflected;
};

class Group {
  public:
    explicit Group(Rules rules = {});

    // Time passes: requests age.
    void tick() { ++now_; }
    uint64_t now() const { return now_; }

    Reading read(size_t owner, size_t key) const;
    void put(const Put& put);
    // R2. The message stays, and may be delivered again.
    void deliver(const Message& message);
    // The hint holder takes the message instead of its receiver.
    void take_hint(const Message& message);
    void deliver_hint(size_t index);
    void sync(size_t owner);
    // The owner's process ends, with what it had not synced, and begins its next life.
    void crash(size_t owner);
    void take_snapshot(size_t owner);
    // The disk is emptied, or is what it was at its snapshot. The owner notices (R10).
    void wipe(size_t owner);
    void roll_back(size_t owner);
    // The record of a key goes from the disk, silently.
    void lose_record(size_t owner, size_t key);
    // R10: fills an owner that is not ready from both others.
    void refill(size_t owner);
    // R4.
    void pull(size_t to, size_t from);
    // Hand-over of a seat: `to` is filled, then holds it.
    void begin_move(size_t seat, size_t to);
    void finish_move();
    // R11: removes what has expired.
    void expire(size_t owner);
    // R9: two owners exchange the whole records of a key.
    void exchange(size_t a, size_t b, size_t key);
    // Makes a report; it may be delivered at any time.
    void report(size_t from, size_t to);
    void deliver_report(size_t index);
    // The owner, or the hint holder, hears of the present life of another.
    void learn_start(size_t owner, size_t about);
    void hint_holder_learns_start(size_t about);
    // The hint holder tells an owner which actors its hints are of.
    void report_hints(size_t to);
    void ask_owners(size_t owner);
    void seal(size_t owner);
    void strip(size_t owner);
    void collect(size_t owner);
    void forget(size_t owner);
    // Everything is delivered, exchanged, sealed and collected.
    void converge();

    // What a read of two owners finds wrong, at any time.
    std::optional<std::string> violation_of_reads() const;
    // What is wrong in a converged group.
    std::optional<std::string> violation() const;

    const std::vector<Message>& messages() const { return messages_; }
    size_t hint_count() const { return hints_.size(); }
    size_t report_count() const { return reports_.size(); }
    const Record& record(size_t owner, size_t key) const;
    const Frontier& frontier(size_t owner) const { return owners_[owner].now.frontier; }
    uint64_t collected_count() const { return collected_; }
    uint64_t stripped_count() const { return stripped_; }
    uint64_t sealed_count() const { return sealed_; }

  private:
    using Dots = std::set<Dot>;

    // What is on a disk, or will be.
    struct State {
        std::array<Record, key_count> records;
        Frontier frontier;
        // Of the present life, and of those that are known of others.
        uint32_t start = 1;
        Starts frozen;
        uint64_t epoch = 0;
        std::map<base::NodeId, uint64_t> epochs;
        // The key of each dot that not all owners have seen.
        std::map<Dot, size_t> index;
        // Not part of the protocol: the dots whose writes this state really reflects.
        Dots reflected;
    };
    struct Owner {
        Actor actor;
        uint64_t minted_count = 0;
        bool is_ready = true;
        State now;
        State disk;
        std::optional<State> snapshot;
        Knowledge knowledge;
        // Dots that it acknowledges with its next sync.
        Dots to_acknowledge;
        // R6: counts the questions to the other owners.
        uint64_t question = 1;
        // The last question of each other owner that it has heard.
        std::array<uint64_t, node_count> heard{};
        // What the hint holder said last: no hint with a dot of a node's lives before this one,
        // and none will come. Heard before which question.
        Starts hints_gone;
        uint64_t hints_gone_at = 0;
        // R7: when which owner had nothing that is not here.
        std::array<uint64_t, node_count> covered_time{};
    };
    struct SentReport {
        size_t from = 0;
        size_t to = 0;
        Knowledge::Report report;
        // All that the sender had seen, durable or not, when.
        uint64_t time = 0;
        Frontier all;
    };
    // What really happened to a dot.
    struct Truth {
        base::RequestId request;
        bool is_tombstone = false;
        size_t key = 0;
        // The requests that it replaced, at any remove.
        std::set<base::RequestId> replaced;
        // The seats where it is durable.
        std::set<size_t> seats;
    };

    struct Move {
        size_t seat = 0;
        size_t to = 0;
    };

    base::NodeId id_of(size_t owner) const { return base::NodeId(owner + 1); }
    std::optional<size_t> seat_of(size_t node) const;
    bool is_filling(size_t node) const { return move_.has_value() && move_->to == node; }
    bool is_owner(size_t node) const { return seat_of(node).has_value() || is_filling(node); }
    bool is_active(size_t node) const { return is_owner(node) && owners_[node].is_ready; }
    void note_new_epoch(size_t owner);
    void set_aside(size_t owner);
    bool is_damaged_for(const State& theirs, const Frontier& mine) const;
    bool brings_news(const State& theirs, size_t key, const Frontier& mine) const;
    bool may_mint(size_t node) const;
    bool has_lost(const State& state, size_t key) const;
    void mint_at(
        size_t node, size_t key, const Superseded* seen, NewWrite write, const Truth& truth);
    std::vector<base::NodeId> others_of(size_t owner) const;
    static void replace(Truth& by, const Truth& replaced);
    Dots reflected_of(const State& state, size_t key) const;
    void merge_into(size_t owner, size_t key, const Record& incoming, const Dots& reflected);
    void tidy(size_t owner, size_t key);
    void send(size_t from, size_t key, const Dot& dot);
    void accept(const Message& message, bool is_hint);
    void acknowledge(size_t seat, const Dot& dot);
    void begin_life(size_t owner);
    void write_through(size_t owner);
    Frontier stable_of(size_t owner) const;
    uint64_t forget_before(size_t owner) const;
    bool knows_ended_lives(const Owner& owner) const;
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
    std::array<Owner, node_count> owners_;
    std::array<size_t, seat_count> holders_ = {0, 1, 2};
    std::optional<Move> move_;
    // The node that holds hints.
    std::vector<Message> hints_;
    Starts hint_holder_frozen_;
    std::vector<Message> messages_;
    std::vector<SentReport> reports_;
    std::map<Dot, Truth> truth_;
    std::set<base::RequestId> acknowledged_;
    uint64_t collected_ = 0;
    uint64_t stripped_ = 0;
    uint64_t sealed_ = 0;
};

}  // namespace starling::node::group_model
