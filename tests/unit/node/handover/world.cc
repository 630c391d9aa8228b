#include "tests/unit/node/handover/world.h"

#include <algorithm>
#include <bit>
#include <map>
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
    for (const Job& job : jobs) {
        base::put_u8(bytes, job.sync.seat.raw());
        base::put_u8(bytes, static_cast<uint8_t>(job.sync.kind));
        base::put_u64(bytes, job.sync.from.raw());
        base::put_u8(bytes, job.brings_write ? (*job.brings_write ? 2 : 1) : 0);
    }
    base::put_u8(bytes, dropping.value_or(0xff));
    base::put_u32(bytes, generation);
    base::put_u8(bytes,
                 static_cast<uint8_t>((has_write ? 1 : 0) | (is_dead ? 2 : 0) |
                                      (has_later_targets ? 4 : 0)));
    hash_low = base::xxh3_64(bytes);
    hash_high = base::xxh3_64(bytes, second_seed);
}

World::World(const Scenario& scenario)
    : scenario_(&scenario),
      crashes_(scenario.crashes),
      deaths_(scenario.deaths),
      write_failures_(scenario.write_failures),
      patience_(scenario.patience),
      declines_(scenario.declines) {
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
    core.set_targets(ids_of(to.has_later_targets ? scenario_->later_targets : scenario_->targets));
    const MoveEffects effects = core.take_effects();
    to.core = std::make_shared<const MoveCore>(std::move(core));
    apply_effects(node, to, effects);
}

void World::put_node(NodeIndex node, Node&& to) {
    to.rehash();
    nodes_[node] = std::make_shared<const Node>(std::move(to));
}

template <typename Event>
void World::with_core(NodeIndex node, Event event) {
    Node to = *nodes_[node];
    MoveCore core = *to.core;
    event(core);
    const MoveEffects effects = core.take_effects();
    to.core = std::make_shared<const MoveCore>(std::move(core));
    apply_effects(node, to, effects);
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
        const NodeIndex from = index_of(sync.from);
        std::optional<bool> brings;
        if (nodes_[from] && nodes_[from]->core) {
            brings = nodes_[from]->has_write;
        }
        to.jobs.push_back({.sync = sync, .brings_write = brings});
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
    announce(node, *to.core);
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
    }
}

SeatSet World::counted(NodeIndex node) const {
    return nodes_[node]->core ? nodes_[node]->core->counts() : SeatSet();
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
        acknowledging_ = 0;
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
    if (copies < scenario_->copies_min) {
        violation_ = fmt::format("only {} copies of an acknowledged write", copies);
    }
}

std::optional<World> World::after(const Action& action) const {
    World next = *this;
    if (!next.perform(action)) return std::nullopt;
    next.check_copies();
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
                to.disk = *to.writing;
            }
            to.writing.reset();
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
            if (!use(action.kind == Kind::die ? deaths_ : crashes_)) return false;
            Node to = now;
            if (action.arg != 0) {
                if (!to.writing) return false;
                to.disk = *to.writing;
            }
            to.writing.reset();
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
            with_core(node,
                      [&](MoveCore& core) { core.set_targets(ids_of(scenario_->later_targets)); });
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
        case Kind::restart:
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
    for (const uint8_t value : {static_cast<uint8_t>(is_acknowledged_ ? 1 : 0),
                                crashes_,
                                deaths_,
                                write_failures_,
                                patience_,
                                declines_,
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
        if (core == nullptr || nodes_[node]->writing || nodes_[node]->dropping) return false;
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
