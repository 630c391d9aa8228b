#pragma once

// A few nodes' move cores for one partition, with their disks, everything ever said between them,
// one write and one later read. The environment is as bad as it can be: any message ever sent may
// arrive now, again, or never; any announcement ever made may reach a node now, or be said back to
// who made it; a read or write may reach any node at any time (a coordinator with an arbitrarily
// stale view); a copy brings only what its source had when it began. A disk may become an earlier
// one of its own. Then the world does what a node does around its core: it counts for nothing and
// moves nothing until it is refilled from the holders of other seats.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "node/handover/move_core.h"

namespace starling::node {

inline constexpr size_t world_nodes_max = 5;

// A node's name in tests: 0 is A, 1 is B, ...
using NodeIndex = uint8_t;
inline base::NodeId id_of(NodeIndex node) {
    return base::NodeId(node + 1u);
}
inline NodeIndex index_of(base::NodeId node) {
    return static_cast<NodeIndex>(node.raw() - 1);
}

struct Scenario {
    size_t nodes = 4;
    uint8_t seat_count = 3;
    // By seat: who holds at first, who should, and (if not empty) who should after each node has
    // changed its mind.
    std::vector<NodeIndex> holders{0, 1, 2};
    std::vector<NodeIndex> targets{3, 1, 2};
    std::vector<NodeIndex> later_targets{};
    // How often each may happen. `deaths` are crashes without a restart.
    uint8_t crashes = 0;
    uint8_t deaths = 0;
    uint8_t write_failures = 0;
    uint8_t patience = 0;
    uint8_t declines = 0;
    // How often a disk may be set back in time, and of which node, if not of any.
    uint8_t set_backs = 0;
    std::optional<NodeIndex> set_back_node{};
    // Whether there is a write and a read at all.
    bool has_write = true;
    // A replica that the write does not reach before it is acknowledged by the others, if any.
    uint8_t quorum = 2;
    size_t copies_min = 2;
    MoveRules rules{};
    // A coordinator that counts the nodes that answered instead of the seats.
    bool counts_nodes = false;
};

struct Action {
    enum class Kind : uint8_t {
        deliver,     // a message to `node`
        learn,       // all announcements so far reach `node`
        disk,        // the write under way is durable
        fail_write,  // it fails; arg: whether it is on the disk all the same
        finish_job,  // arg: job's position
        fail_job,
        drop,      // the data is gone
        retry,     // arg: seat
        patience,  // arg: seat
        crash,     // arg: whether the write under way reached the disk
        die,
        restart,
        set_back,  // arg: to which of the earlier disks
        refilled,
        change_targets,
        decline,
        write,
        read,
    };
    Kind kind{};
    NodeIndex node = 0;
    uint16_t arg = 0;
};

class World {
  public:
    explicit World(const Scenario& scenario);

    // The world after `action`; nullopt when it is not possible now.
    std::optional<World> after(const Action& action) const;
    // All that may happen now.
    std::vector<Action> possible() const;

    // Equal for worlds with the same future.
    std::pair<uint64_t, uint64_t> fingerprint() const;
    // What must never be, found in this world: empty if nothing.
    const std::string& violation() const { return violation_; }
    // All seats count, every target holds one, nothing is unfinished.
    bool is_settled() const;
    // Each seat counts somewhere.
    bool has_full_hold() const;

    // For scripts.
    std::optional<Action> delivery(MoveKind kind,
                                   NodeIndex from,
                                   NodeIndex to,
                                   std::optional<uint8_t> seat) const;
    const MoveCore* core(NodeIndex node) const { return nodes_[node]->core.get(); }
    const SeatRecord& on_disk(NodeIndex node, uint8_t seat) const {
        return nodes_[node]->disk[seat];
    }
    bool has_write(NodeIndex node) const { return nodes_[node]->has_write; }
    bool is_acknowledged() const { return is_acknowledged_; }

    std::string describe(const Action& action) const;
    std::string to_string() const;

  private:
    struct Job {
        StartSync sync;
        // What the source had when it began; nullopt: the source was down.
        std::optional<bool> brings_write;
    };
    struct EarlierDisk {
        SeatRecords seats;
        bool has_write = false;
        friend bool operator==(const EarlierDisk&, const EarlierDisk&) = default;
    };
    struct Node {
        // Null while down.
        std::shared_ptr<const MoveCore> core;
        SeatRecords disk;
        std::optional<SeatRecords> writing;
        // With that write a seat is held again that the disk had forgotten.
        bool takes_up = false;
        // On the disk: it was set back, and counts for nothing before it is refilled.
        bool is_marked = false;
        bool was_set_back = false;
        // What it may be set back to.
        std::vector<EarlierDisk> earlier;
        std::vector<Job> jobs;
        std::optional<uint8_t> dropping;
        uint32_t generation = 1;
        bool has_write = false;
        bool is_dead = false;
        bool has_later_targets = false;
        uint64_t hash_low = 0;
        uint64_t hash_high = 0;
        void rehash();
        void written();
        void remember(const Node& before);
    };

    template <typename Event>
    void with_core(NodeIndex node, Event event);
    void apply_effects(NodeIndex node, Node& to, const MoveEffects& effects);
    std::optional<bool> brought_by(const StartSync& sync, NodeIndex to) const;
    void announce(NodeIndex node, const MoveCore& core);
    void start_node(NodeIndex node, Node& to);
    void write_reaches(NodeIndex node);
    void read_reaches(NodeIndex node);
    void check_copies();
    void check_counting();
    void set_back(NodeIndex node, const EarlierDisk& to);
    bool is_cut_off(NodeIndex node) const;
    // What the others bring; nullopt while too few of them count.
    std::optional<bool> refill_of(NodeIndex node) const;
    void refill(NodeIndex node, bool brings_write);
    bool may_be_set_back(NodeIndex node) const;
    bool is_giver_of(NodeIndex giver, NodeIndex node, const SeatRecords& disk) const;
    bool may_become(NodeIndex node, const EarlierDisk& disk) const;
    bool may_crash(NodeIndex node) const;
    std::vector<base::NodeId> targets_of(const Node& node) const;
    bool perform(const Action& action);
    bool perform_on_node(const Action& action);
    SeatSet counted(NodeIndex node) const;
    void put_node(NodeIndex node, Node&& to);

    const Scenario* scenario_;
    std::array<std::shared_ptr<const Node>, world_nodes_max> nodes_;
    // Numbers of interned messages and announcements; sorted.
    std::vector<uint16_t> messages_;
    std::vector<uint16_t> announced_;
    // Seats that acknowledged the write; that answered the read without it.
    uint16_t acknowledging_ = 0;
    uint16_t missing_ = 0;
    // Of the former, those that did before a disk was set back.
    uint16_t acknowledged_before_ = 0;
    bool is_acknowledged_ = false;
    uint8_t crashes_ = 0;
    uint8_t deaths_ = 0;
    uint8_t write_failures_ = 0;
    uint8_t patience_ = 0;
    uint8_t declines_ = 0;
    uint8_t set_backs_ = 0;
    std::string violation_;
};

}  // namespace starling::node
