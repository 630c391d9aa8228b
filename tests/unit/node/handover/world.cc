#include "tests/unit/node/handover/world.h"

#include <algorithm>
#include <bit>
#include <map>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/hash.h"

namespace starling::node {

namespace {

struct Sent {
    NodeIndex from = 0;
    NodeIndex to = 0;
    MoveMessage message;
    friend auto operator<=>(const Sent&, const Sent&) = default;
};

struct Announced {
    base::SeatIndex seat;
    Epoch epoch;
    NodeIndex node = 0;
    friend auto operator<=>(const Announced&, const Announced&) = default;
};

// Gives equal values equal small numbers; the tests run in one thread.
template <typename T>
class Interned {
  public:
    uint16_t number_of(const T& value) {
        const auto [entry, is_new] =
            numbers_.try_emplace(value, static_cast<uint16_t>(values_.size()));
        if (is_new) {
            STARLING_CHECK(values_.size() < 0xffff);
            values_.push_back(value);
        }
        return entry->second;
    }
    const T& operator[](uint16_t number) const { return values_[number]; }

  private:
    std::map<T, uint16_t> numbers_;
    std::vector<T> values_;
};

Interned<Sent> all_sent;
Interned<Announced> all_announced;

void insert_sorted(std::vector<uint16_t>& numbers, uint16_t number) {
    const auto place = std::lower_bound(numbers.begin(), numbers.end(), number);
    if (place == numbers.end() || *place != number) {
        numbers.insert(place, number);
    }
}

std::vector<base::NodeId> ids_of(const std::vector<NodeIndex>& nodes) {
    std::vector<base::NodeId> ids;
    for (const NodeIndex node : nodes) {
        ids.push_back(id_of(node));
    }
    return ids;
}

constexpr uint64_t second_seed = 0x9e3779b97f4a7c15;

char name_of(NodeIndex node) {
    return static_cast<char>('A' + node);
}

}  // namespace

void World::Node::rehash() {
    std::string bytes = core ? core->fingerprint() : std::string("down");
    const base::ClusterId any_cluster(1);
    bytes += encode_seat_records(any_cluster, disk);
    base::put_u8(bytes, writing ? 1 : 0);
    if (writing) {
        bytes += encode_seat_records(any_cluster, *writing);
    }
    for (const EarlierDisk& disk_then : earlier) {
        bytes += encode_seat_records(any_cluster, disk_then.seats);
        base::put_u8(bytes, disk_then.has_write ? 1 : 0);
    }
    for (const Job& job : jobs) {
        base::put_u8(bytes, job.sync.seat.raw());
        base::put_u8(bytes, static_cast<uint8_t>(job.sync.kind));
        base::put_u64(bytes, job.sync.from.raw());
        base::put_u8(bytes, job.brings_write ? (*job.brings_write ? 2 : 1) : 0);
    }
    base::put_u8(bytes, dropping.value_or(0xff));
    base::put_u32(bytes, generation);
    base::put_u8(
        bytes,
        static_cast<uint8_t>((has_write ? 1 : 0) | (is_dead ? 2 : 0) | (has_later_targets ? 4 : 0) |
                             (takes_up ? 8 : 0) | (is_marked ? 16 : 0) | (was_set_back ? 32 : 0)));
    hash_low = base::xxh3_64(bytes);
    hash_high = base::xxh3_64(bytes, second_seed);
}

// What was being written is on the disk.
void World::Node::written() {
    disk = *writing;
    is_marked = is_marked || takes_up;
}

void World::Node::remember(const Node& before) {
    const EarlierDisk then{.seats = before.disk, .has_write = before.has_write};
    if (then == EarlierDisk{.seats = disk, .has_write = has_write}) return;
    if (std::find(earlier.begin(), earlier.end(), then) == earlier.end()) {
        earlier.push_back(then);
    }
}

World::World(const Scenario& scenario)
    : scenario_(&scenario),
      crashes_(scenario.crashes),
      deaths_(scenario.deaths),
      write_failures_(scenario.write_failures),
      patience_(scenario.patience),
      declines_(scenario.declines),
      set_backs_(scenario.set_backs) {
    for (uint8_t seat = 0; seat < scenario.seat_count; ++seat) {
        insert_sorted(
            announced_,
            all_announced.number_of(
                {.seat = base::SeatIndex(seat), .epoch = {}, .node = scenario.holders[seat]}));
    }
    for (NodeIndex node = 0; node < scenario.nodes; ++node) {
        Node fresh;
        fresh.disk.resize(scenario.seat_count);
        for (uint8_t seat = 0; seat < scenario.seat_count; ++seat) {
            if (scenario.holders[seat] == node) {
                fresh.disk[seat] = {.state = SeatState::holding, .highest = Epoch{}};
            }
        }
        start_node(node, fresh);
        put_node(node, std::move(fresh));
    }
}

void World::start_node(NodeIndex node, Node& to) {
    MoveCore core({.self = id_of(node),
                   .generation = to.generation,
                   .seat_count = scenario_->seat_count,
                   .rules = scenario_->rules});
    if (to.disk != SeatRecords(scenario_->seat_count)) {
        core.restore(to.disk);
    }
    for (uint8_t seat = 0; seat < scenario_->seat_count; ++seat) {
        core.note_holder(base::SeatIndex(seat),
                         {.node = id_of(scenario_->holders[seat]), .epoch = {}});
    }
    core.set_targets(targets_of(to));
    const MoveEffects effects = core.take_effects();
    to.core = std::make_shared<const MoveCore>(std::move(core));
    apply_effects(node, to, effects);
}

// Of what a set-back disk may lack nothing is given away.
std::vector<base::NodeId> World::targets_of(const Node& node) const {
    if (node.is_marked || node.takes_up) return {};
    return ids_of(node.has_later_targets ? scenario_->later_targets : scenario_->targets);
}

void World::put_node(NodeIndex node, Node&& to) {
    if (nodes_[node] && may_be_set_back(node)) {
        to.remember(*nodes_[node]);
    }
    to.rehash();
    nodes_[node] = std::make_shared<const Node>(std::move(to));
}

template <typename Event>
void World::with_core(NodeIndex node, Event event) {
    Node to = *nodes_[node];
    MoveCore core = *to.core;
    event(core);
    const MoveEffects effects = core.take_effects();
    for (uint8_t raw = 0; raw < scenario_->seat_count; ++raw) {
        const base::SeatIndex seat(raw);
        if (core.known(seat).epoch < to.core->known(seat).epoch) {
            violation_ = fmt::format("{} forgets who holds seat {}", name_of(node), raw);
        }
    }
    MoveEffects more;
    if (effects.takes_up) {
        to.takes_up = true;
        core.set_targets({});
        more = core.take_effects();
    }
    to.core = std::make_shared<const MoveCore>(std::move(core));
    apply_effects(node, to, effects);
    apply_effects(node, to, more);
    put_node(node, std::move(to));
}

void World::apply_effects(NodeIndex node, Node& to, const MoveEffects& effects) {
    for (const uint64_t job : effects.cancelled_syncs) {
        std::erase_if(to.jobs, [&](const Job& running) { return running.sync.job == job; });
    }
    for (const OutgoingMove& move : effects.sends) {
        // What a holder tells others directly is among the announcements.
        if (move.message.kind == MoveKind::held || index_of(move.to) >= scenario_->nodes) continue;
        insert_sorted(
            messages_,
            all_sent.number_of({.from = node, .to = index_of(move.to), .message = move.message}));
    }
    for (const StartSync& sync : effects.syncs) {
        to.jobs.push_back({.sync = sync, .brings_write = brought_by(sync, node)});
        std::sort(to.jobs.begin(), to.jobs.end(), [](const Job& a, const Job& b) {
            return std::tie(a.sync.seat, a.sync.kind) < std::tie(b.sync.seat, b.sync.kind);
        });
    }
    if (effects.drop_groups_up_to) {
        to.dropping = effects.drop_groups_up_to;
    }
    if (effects.persist) {
        to.writing = effects.persist;
    }
    if (effects.takes_up && !to.was_set_back) {
        violation_ = fmt::format("{} takes up a seat that it has not forgotten", name_of(node));
    }
    announce(node, *to.core);
}

// What the source has at this moment; nullopt where it is down, or does not give.
std::optional<bool> World::brought_by(const StartSync& sync, NodeIndex to) const {
    const Node* from = nodes_[index_of(sync.from)].get();
    if (from == nullptr || !from->core) return std::nullopt;
    if (scenario_->set_backs > 0) {
        if (sync.kind == SyncKind::difference && !from->core->is_fenced_for(sync.seat, id_of(to)))
            return std::nullopt;
        if (sync.kind == SyncKind::copy && (from->is_marked || from->takes_up)) return std::nullopt;
    }
    return from->has_write;
}

void World::announce(NodeIndex node, const MoveCore& core) {
    for (uint8_t seat = 0; seat < scenario_->seat_count; ++seat) {
        const SeatRecord& record = core.durable()[seat];
        if (record.state != SeatState::holding) continue;
        const Announced entry{.seat = base::SeatIndex(seat), .epoch = record.epoch, .node = node};
        for (const uint16_t number : announced_) {
            const Announced& other = all_announced[number];
            if (other.seat == entry.seat && other.epoch == entry.epoch && other.node != node) {
                violation_ = fmt::format("{} and {} both held seat {} at {}",
                                         name_of(other.node),
                                         name_of(node),
                                         seat,
                                         node::to_string(entry.epoch));
            }
        }
        insert_sorted(announced_, all_announced.number_of(entry));
        // Others may remember it for ever.
        insert_sorted(messages_,
                      all_sent.number_of({.from = static_cast<NodeIndex>(node == 0 ? 1 : 0),
                                          .to = node,
                                          .message = {.kind = MoveKind::held_by_you,
                                                      .seat = entry.seat,
                                                      .epoch = entry.epoch}}));
    }
}

SeatSet World::counted(NodeIndex node) const {
    const Node& at = *nodes_[node];
    if (!at.core || at.is_marked || at.takes_up) return {};
    return at.core->counts();
}

void World::write_reaches(NodeIndex node) {
    const SeatSet seats = counted(node);
    if (!nodes_[node]->has_write) {
        Node to = *nodes_[node];
        to.has_write = true;
        put_node(node, std::move(to));
    }
    for (const base::SeatIndex seat : seats.list()) {
        acknowledging_ = static_cast<uint16_t>(acknowledging_ | 1u << seat.raw());
    }
    if (std::popcount(acknowledging_) >= scenario_->quorum) {
        is_acknowledged_ = true;
        acknowledging_ = acknowledged_before_ = 0;
    }
}

void World::read_reaches(NodeIndex node) {
    // An answer with the write ends the read well, so only those without it matter.
    if (scenario_->counts_nodes) {
        missing_ = static_cast<uint16_t>(missing_ | 1u << node);
    } else {
        for (const base::SeatIndex seat : counted(node).list()) {
            missing_ = static_cast<uint16_t>(missing_ | 1u << seat.raw());
        }
    }
    if (std::popcount(missing_) >= scenario_->quorum) {
        violation_ = "a read after the acknowledgement did not return the write";
    }
}

void World::check_copies() {
    if (!is_acknowledged_) return;
    size_t copies = 0;
    for (NodeIndex node = 0; node < scenario_->nodes; ++node) {
        copies += nodes_[node]->has_write ? 1u : 0u;
    }
    // One copy may have gone with each disk that was set back.
    const size_t copies_lost = scenario_->set_backs - set_backs_;
    if (copies + copies_lost < scenario_->copies_min) {
        violation_ = fmt::format("only {} copies of an acknowledged write", copies);
    }
}

// Where disks may be set back: what must not be at any moment, for a read of no more seats than it
// takes to share one with each write.
void World::check_counting() {
    size_t missing = 0;
    for (uint8_t seat = 0; seat < scenario_->seat_count; ++seat) {
        bool is_missing = false;
        std::vector<Epoch> epochs;
        for (NodeIndex node = 0; node < scenario_->nodes; ++node) {
            if (!counted(node).contains(base::SeatIndex(seat))) continue;
            const Epoch& epoch = nodes_[node]->core->durable()[seat].epoch;
            if (std::find(epochs.begin(), epochs.end(), epoch) != epochs.end()) {
                violation_ =
                    fmt::format("two nodes count for seat {} at {}", seat, node::to_string(epoch));
            }
            epochs.push_back(epoch);
            is_missing = is_missing || !nodes_[node]->has_write;
        }
        missing += is_missing ? 1u : 0u;
    }
    if (is_acknowledged_ && missing + scenario_->quorum > scenario_->seat_count) {
        violation_ = "a read may miss the acknowledged write";
    }
}

bool World::may_be_set_back(NodeIndex node) const {
    return set_backs_ > 0 && scenario_->set_back_node.value_or(node) == node;
}

// `giver` is fenced for `node`, which held the seat after that, but has forgotten it where its disk
// is `disk`.
bool World::is_giver_of(NodeIndex giver, NodeIndex node, const SeatRecords& disk) const {
    return std::any_of(announced_.begin(), announced_.end(), [&](uint16_t number) {
        const Announced& entry = all_announced[number];
        const SeatRecord& given = nodes_[giver]->disk[entry.seat.raw()];
        const std::optional<Epoch>& highest = disk[entry.seat.raw()].highest;
        return entry.node == node && (!highest || *highest < entry.epoch) &&
               given.state == SeatState::fenced && given.peer == id_of(node);
    });
}

// A giver that does not know that its successor then held the seat gives it the difference again
// when its disk has forgotten that, and the successor counts at once (docs/guarantees.md). So all
// givers have heard of what is forgotten, and remember it until the successor does.
bool World::may_become(NodeIndex node, const EarlierDisk& disk) const {
    for (NodeIndex giver = 0; giver < scenario_->nodes; ++giver) {
        if (!is_giver_of(giver, node, disk.seats)) continue;
        const MoveCore* core = nodes_[giver]->core.get();
        if (core == nullptr) return false;
        for (const uint16_t number : announced_) {
            const Announced& entry = all_announced[number];
            if (entry.node == node && core->known(entry.seat).epoch < entry.epoch) return false;
        }
    }
    return true;
}

bool World::may_crash(NodeIndex node) const {
    for (NodeIndex other = 0; other < scenario_->nodes; ++other) {
        const Node& at = *nodes_[other];
        if (at.was_set_back && is_giver_of(node, other, at.disk)) return false;
    }
    return true;
}

// It crashes, if it is up, and starts with the earlier disk.
void World::set_back(NodeIndex node, const EarlierDisk& to) {
    Node fresh;
    fresh.disk = to.seats;
    fresh.has_write = to.has_write;
    fresh.was_set_back = true;
    fresh.is_marked = std::any_of(to.seats.begin(), to.seats.end(), [](const SeatRecord& record) {
        return record.state == SeatState::holding;
    });
    fresh.earlier = nodes_[node]->earlier;
    fresh.generation = nodes_[node]->generation + 1;
    fresh.has_later_targets = nodes_[node]->has_later_targets;
    --set_backs_;
    start_node(node, fresh);
    put_node(node, std::move(fresh));
    acknowledged_before_ = static_cast<uint16_t>(acknowledged_before_ | acknowledging_);
    for (NodeIndex other = 0; other < scenario_->nodes; ++other) {
        Node changed = *nodes_[other];
        // Nobody goes on with a copy from a peer that has begun anew.
        for (Job& job : changed.jobs) {
            if (index_of(job.sync.from) == node) job.brings_write.reset();
        }
        if (set_backs_ == 0) changed.earlier.clear();
        put_node(other, std::move(changed));
    }
}

// Somebody held, or is about to hold, a seat at a later epoch than the node knows of, or remembers
// to have held it itself.
bool World::is_cut_off(NodeIndex node) const {
    const MoveCore& core = *nodes_[node]->core;
    const auto is_known = [&](base::SeatIndex seat, const Epoch& epoch) {
        return core.known(seat).epoch >= epoch;
    };
    for (const uint16_t number : announced_) {
        const Announced& entry = all_announced[number];
        if (!is_known(entry.seat, entry.epoch)) return true;
        if (entry.node != node || core.known(entry.seat).epoch > entry.epoch) continue;
        const std::optional<Epoch>& highest = core.durable()[entry.seat.raw()].highest;
        if (!highest || *highest < entry.epoch) return true;
    }
    for (NodeIndex other = 0; other < scenario_->nodes; ++other) {
        for (uint8_t seat = 0; seat < scenario_->seat_count; ++seat) {
            for (const SeatRecords& records :
                 {nodes_[other]->disk, nodes_[other]->writing.value_or(nodes_[other]->disk)}) {
                if (records[seat].state == SeatState::holding &&
                    !is_known(base::SeatIndex(seat), records[seat].epoch)) {
                    return true;
                }
            }
        }
    }
    return false;
}

std::optional<bool> World::refill_of(NodeIndex node) const {
    const Node& now = *nodes_[node];
    if (!now.is_marked || now.writing) return std::nullopt;
    const SeatSet held = now.core->counts();
    if (held.empty()) return false;
    // A refill takes a minute, and what others say comes within seconds; docs/guarantees.md has
    // what may happen to who is cut off all the while.
    if (is_cut_off(node)) return std::nullopt;
    std::set<NodeIndex> others;
    std::set<NodeIndex> with_write;
    std::set<NodeIndex> without_write;
    for (uint8_t raw = 0; raw < scenario_->seat_count; ++raw) {
        const base::SeatIndex seat(raw);
        if (held.contains(seat)) continue;
        const NodeIndex holder = index_of(now.core->known(seat).node);
        others.insert(holder);
        if (counted(holder).contains(seat)) {
            (nodes_[holder]->has_write ? with_write : without_write).insert(holder);
        }
    }
    const size_t majority = scenario_->seat_count / 2u + 1u;
    const size_t wanted = std::min(others.size(), scenario_->seat_count - majority + 1);
    if (with_write.size() + without_write.size() < wanted) return std::nullopt;
    return without_write.size() < wanted;
}

void World::refill(NodeIndex node, bool brings_write) {
    // All requests are over that may have counted what the disk has forgotten.
    for (const base::SeatIndex seat : nodes_[node]->core->counts().list()) {
        if ((acknowledged_before_ & 1u << seat.raw()) != 0) {
            acknowledging_ = acknowledged_before_ = 0;
        }
    }
    Node to = *nodes_[node];
    to.is_marked = false;
    to.has_write = to.has_write || brings_write;
    put_node(node, std::move(to));
    with_core(node, [&](MoveCore& core) { core.set_targets(targets_of(*nodes_[node])); });
}

std::optional<World> World::after(const Action& action) const {
    World next = *this;
    if (!next.perform(action)) return std::nullopt;
    next.check_copies();
    if (scenario_->set_backs > 0) {
        next.check_counting();
    }
    return next;
}

bool World::perform(const Action& action) {
    const Node& now = *nodes_[action.node];
    if (action.kind == Action::Kind::restart) {
        if (now.core || now.is_dead) return false;
        Node to = now;
        ++to.generation;
        start_node(action.node, to);
        put_node(action.node, std::move(to));
        return true;
    }
    if (action.kind == Action::Kind::set_back) {
        if (now.is_dead || !may_be_set_back(action.node) || action.arg >= now.earlier.size()) {
            return false;
        }
        const EarlierDisk earlier = now.earlier[action.arg];
        if (!may_become(action.node, earlier)) return false;
        set_back(action.node, earlier);
        return true;
    }
    return now.core && perform_on_node(action);
}

bool World::perform_on_node(const Action& action) {
    using Kind = Action::Kind;
    const NodeIndex node = action.node;
    const Node& now = *nodes_[node];
    const base::SeatIndex seat(static_cast<uint8_t>(action.arg));
    const auto use = [](uint8_t& budget) { return budget > 0 && budget-- > 0; };
    switch (action.kind) {
        case Kind::deliver: {
            const Sent sent = all_sent[action.arg];
            with_core(node, [&](MoveCore& core) { core.receive(id_of(sent.from), sent.message); });
            return true;
        }
        case Kind::learn:
            with_core(node, [&](MoveCore& core) {
                for (const uint16_t number : announced_) {
                    const Announced& entry = all_announced[number];
                    core.note_holder(entry.seat, {.node = id_of(entry.node), .epoch = entry.epoch});
                }
            });
            return true;
        case Kind::disk:
        case Kind::fail_write: {
            const bool is_failure = action.kind == Kind::fail_write;
            if (!now.writing || (is_failure && !use(write_failures_))) return false;
            Node to = now;
            if (!is_failure || action.arg != 0) {
                to.written();
            }
            to.writing.reset();
            to.takes_up = false;
            put_node(node, std::move(to));
            with_core(node, [&](MoveCore& core) { core.persisted(!is_failure); });
            return true;
        }
        case Kind::finish_job:
        case Kind::fail_job: {
            if (action.arg >= now.jobs.size()) return false;
            const Job job = now.jobs[action.arg];
            const bool can_finish = job.brings_write && nodes_[index_of(job.sync.from)]->core;
            const bool is_ok = action.kind == Kind::finish_job;
            if (is_ok != can_finish) return false;
            Node to = now;
            to.jobs.erase(to.jobs.begin() + action.arg);
            to.has_write = to.has_write || (is_ok && *job.brings_write);
            put_node(node, std::move(to));
            with_core(node, [&](MoveCore& core) {
                core.sync_finished(job.sync.job, is_ok ? SyncOutcome::done : SyncOutcome::failed);
            });
            return true;
        }
        case Kind::drop: {
            if (!now.dropping) return false;
            Node to = now;
            // The write is of a namespace with a replica in every seat.
            to.has_write = to.has_write && *to.dropping < scenario_->seat_count;
            to.dropping.reset();
            put_node(node, std::move(to));
            with_core(node, [](MoveCore& core) { core.dropped(true); });
            return true;
        }
        case Kind::retry:
            with_core(node, [&](MoveCore& core) { core.timer(seat, MoveTimer::retry); });
            return true;
        case Kind::patience:
            if (!use(patience_)) return false;
            with_core(node, [&](MoveCore& core) { core.timer(seat, MoveTimer::patience); });
            return true;
        case Kind::crash:
        case Kind::die: {
            if (!may_crash(node)) return false;
            if (!use(action.kind == Kind::die ? deaths_ : crashes_)) return false;
            Node to = now;
            if (action.arg != 0) {
                if (!to.writing) return false;
                to.written();
            }
            to.writing.reset();
            to.takes_up = false;
            to.core.reset();
            to.jobs.clear();
            to.dropping.reset();
            to.is_dead = action.kind == Kind::die;
            put_node(node, std::move(to));
            return true;
        }
        case Kind::change_targets: {
            if (scenario_->later_targets.empty() || now.has_later_targets) return false;
            Node to = now;
            to.has_later_targets = true;
            put_node(node, std::move(to));
            with_core(node, [&](MoveCore& core) { core.set_targets(targets_of(*nodes_[node])); });
            return true;
        }
        case Kind::decline:
            if (!use(declines_)) return false;
            with_core(node, [](MoveCore& core) {
                core.end_moves();
                core.let_go();
            });
            return true;
        case Kind::write:
            if (!scenario_->has_write || is_acknowledged_ ||
                !now.core->stores(scenario_->seat_count))
                return false;
            write_reaches(node);
            return true;
        case Kind::read:
            if (!is_acknowledged_ || now.has_write || counted(node).empty()) return false;
            read_reaches(node);
            return true;
        case Kind::refilled: {
            const std::optional<bool> brings_write = refill_of(node);
            if (!brings_write) return false;
            refill(node, *brings_write);
            return true;
        }
        case Kind::restart:
        case Kind::set_back:
            return false;
    }
    return false;
}

std::vector<Action> World::possible() const {
    using Kind = Action::Kind;
    std::vector<Action> actions;
    for (const uint16_t number : messages_) {
        actions.push_back({.kind = Kind::deliver, .node = all_sent[number].to, .arg = number});
    }
    for (NodeIndex node = 0; node < scenario_->nodes; ++node) {
        for (const Kind kind : {Kind::learn,
                                Kind::disk,
                                Kind::drop,
                                Kind::die,
                                Kind::restart,
                                Kind::refilled,
                                Kind::change_targets,
                                Kind::decline,
                                Kind::write,
                                Kind::read}) {
            actions.push_back({.kind = kind, .node = node});
        }
        for (const uint16_t reached : {uint16_t{0}, uint16_t{1}}) {
            actions.push_back({.kind = Kind::fail_write, .node = node, .arg = reached});
            actions.push_back({.kind = Kind::crash, .node = node, .arg = reached});
        }
        for (uint16_t then = 0; then < nodes_[node]->earlier.size(); ++then) {
            actions.push_back({.kind = Kind::set_back, .node = node, .arg = then});
        }
        for (uint16_t job = 0; job < nodes_[node]->jobs.size(); ++job) {
            actions.push_back({.kind = Kind::finish_job, .node = node, .arg = job});
            actions.push_back({.kind = Kind::fail_job, .node = node, .arg = job});
        }
        for (uint16_t seat = 0; seat < scenario_->seat_count; ++seat) {
            actions.push_back({.kind = Kind::retry, .node = node, .arg = seat});
            actions.push_back({.kind = Kind::patience, .node = node, .arg = seat});
        }
    }
    return actions;
}

std::pair<uint64_t, uint64_t> World::fingerprint() const {
    std::string bytes;
    for (NodeIndex node = 0; node < scenario_->nodes; ++node) {
        base::put_u64(bytes, nodes_[node]->hash_low);
        base::put_u64(bytes, nodes_[node]->hash_high);
    }
    for (const std::vector<uint16_t>* numbers : {&messages_, &announced_}) {
        base::put_varint(bytes, numbers->size());
        for (const uint16_t number : *numbers) {
            base::put_u16(bytes, number);
        }
    }
    base::put_u16(bytes, acknowledging_);
    base::put_u16(bytes, missing_);
    base::put_u16(bytes, acknowledged_before_);
    for (const uint8_t value : {static_cast<uint8_t>(is_acknowledged_ ? 1 : 0),
                                crashes_,
                                deaths_,
                                write_failures_,
                                patience_,
                                declines_,
                                set_backs_,
                                static_cast<uint8_t>(violation_.empty() ? 0 : 1)}) {
        base::put_u8(bytes, value);
    }
    return {base::xxh3_64(bytes), base::xxh3_64(bytes, second_seed)};
}

bool World::has_full_hold() const {
    SeatSet all;
    for (NodeIndex node = 0; node < scenario_->nodes; ++node) {
        all.merge(counted(node));
    }
    return all.size() == scenario_->seat_count;
}

bool World::is_settled() const {
    if (!has_full_hold()) return false;
    const std::vector<NodeIndex>& targets =
        scenario_->later_targets.empty() ? scenario_->targets : scenario_->later_targets;
    for (const NodeIndex target : targets) {
        if (counted(target).empty()) return false;
    }
    for (NodeIndex node = 0; node < scenario_->nodes; ++node) {
        const MoveCore* core = nodes_[node]->core.get();
        if (core == nullptr || nodes_[node]->writing || nodes_[node]->dropping ||
            nodes_[node]->is_marked)
            return false;
        for (const SeatState state : {SeatState::filling, SeatState::fenced, SeatState::declined}) {
            if (core->count_of(state) != 0) return false;
        }
    }
    return true;
}

std::optional<Action> World::delivery(MoveKind kind,
                                      NodeIndex from,
                                      NodeIndex to,
                                      std::optional<uint8_t> seat) const {
    // The latest of its kind.
    std::optional<Action> found;
    for (const uint16_t number : messages_) {
        const Sent& sent = all_sent[number];
        if (sent.from == from && sent.to == to && sent.message.kind == kind &&
            (!seat || sent.message.seat.raw() == *seat) &&
            (!found || all_sent[found->arg].message.epoch <= sent.message.epoch)) {
            found = Action{.kind = Action::Kind::deliver, .node = to, .arg = number};
        }
    }
    return found;
}

std::string World::describe(const Action& action) const {
    static constexpr const char* names[] = {"receives",
                                            "hears all announcements",
                                            "has written",
                                            "fails to write",
                                            "finished a copy",
                                            "failed a copy",
                                            "dropped its data",
                                            "retries seat",
                                            "loses patience with seat",
                                            "crashes, write done:",
                                            "dies, write done:",
                                            "restarts",
                                            "is set back to its earlier disk",
                                            "is refilled",
                                            "has new targets",
                                            "declines",
                                            "gets the write",
                                            "answers the read without the write"};
    std::string out =
        fmt::format("{} {}", name_of(action.node), names[static_cast<size_t>(action.kind)]);
    if (action.kind == Action::Kind::deliver) {
        const Sent& sent = all_sent[action.arg];
        out += fmt::format(" from {}: {}", name_of(sent.from), node::to_string(sent.message));
    } else {
        out += fmt::format(" {}", action.arg);
    }
    return out;
}

std::string World::to_string() const {
    std::string out;
    for (NodeIndex node = 0; node < scenario_->nodes; ++node) {
        out += fmt::format("{}{}{}:",
                           name_of(node),
                           nodes_[node]->core ? "" : " (down)",
                           nodes_[node]->has_write ? " has it" : "");
        out += nodes_[node]->is_marked ? " set back" : "";
        out += nodes_[node]->writing ? " writing" : "";
        out += nodes_[node]->dropping ? " dropping" : "";
        for (const SeatRecord& record : nodes_[node]->disk) {
            out += fmt::format(" [{}]", node::to_string(record));
        }
        out += "\n";
    }
    return out;
}

}  // namespace starling::node
