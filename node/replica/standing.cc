#include "node/replica/standing.h"

#include <algorithm>
#include <utility>

#include "base/codec.h"
#include "base/mark.h"
#include "base/planted.h"
#include "node/replica/storage_keys.h"

namespace starling::node {

namespace {

std::string frozen_key() {
    return storage_keys::meta("frozen");
}

std::string epoch_key() {
    return storage_keys::meta("epoch");
}

std::string encode(const Starts& starts) {
    std::string out;
    base::put_varint(out, starts.size());
    for (const auto& [node, start] : starts) {
        base::put_u64(out, node.raw());
        base::put_varint(out, start);
    }
    return out;
}

absl::StatusOr<Starts> decode_starts(std::string_view bytes) {
    constexpr size_t entry_bytes_min = 9;
    base::Reader in(bytes);
    Starts starts;
    const size_t count = in.count(entry_bytes_min);
    for (size_t i = 0; i < count && !in.failed(); ++i) {
        const base::NodeId node(in.u64());
        const uint64_t start = in.varint();
        if (start > UINT32_MAX) in.fail();
        starts[node] = static_cast<uint32_t>(start);
    }
    if (!in.finished()) {
        return absl::DataLossError("the stored list of ended lives does not decode");
    }
    return starts;
}

bool covers(const Starts& starts, base::NodeId node, uint32_t start) {
    const auto found = starts.find(node);
    return found != starts.end() && found->second >= start;
}

std::vector<base::NodeId> nodes_of(const std::vector<Owner>& owners) {
    std::vector<base::NodeId> nodes;
    nodes.reserve(owners.size());
    for (const Owner& owner : owners)
        nodes.push_back(owner.node);
    return nodes;
}

}  // namespace

Standings::Standings(ReplicaStore& store,
                     const HintStore& hints,
                     GoneHorizon& horizon,
                     StandingHost& host)
    : store_(store), hints_(hints), horizon_(horizon), host_(host) {}

absl::Status Standings::load() {
    absl::StatusOr<std::optional<std::string>> stored = store_.engine().get(frozen_key());
    if (!stored.ok()) return stored.status();
    if (stored->has_value()) {
        absl::StatusOr<Starts> starts = decode_starts(**stored);
        if (!starts.ok()) return starts.status();
        frozen_ = *std::move(starts);
    }
    stored = store_.engine().get(epoch_key());
    if (!stored.ok()) return stored.status();
    if (stored->has_value()) {
        base::Reader in(**stored);
        epoch_ = in.varint();
        if (!in.finished()) return absl::DataLossError("the stored epoch does not decode");
    }
    return absl::OkStatus();
}

void Standings::begin_epoch_after(uint64_t told, absl::AnyInvocable<void(absl::Status)> done) {
    const uint64_t next = std::max(epoch_, told) + 1;
    std::string encoded;
    base::put_varint(encoded, next);
    storage::WriteBatch batch;
    batch.put(epoch_key(), encoded);
    if (absl::Status status = store_.commits().apply(batch); !status.ok()) {
        done(std::move(status));
        return;
    }
    epoch_ = next;
    store_.commits().when_durable(std::move(done));
}

Standings::Remembered Standings::remembered(GroupId id, base::NodeId owner) const {
    const std::optional<std::vector<Owner>> owners = host_.other_owners(id);
    const auto group = groups_.find(id);
    if (!owners.has_value() || group == groups_.end()) return {};
    const auto tenure = group->second.tenures.find(owner);
    const bool is_of_today = tenure != group->second.tenures.end() &&
                             std::any_of(owners->begin(), owners->end(), [&](const Owner& one) {
                                 return one.node == owner && one.tenure == tenure->second;
                             });
    const Frontier* frontier = is_of_today ? group->second.knowledge.frontier_of(owner) : nullptr;
    return {.epoch = group->second.knowledge.epoch_of(owner),
            .frontier = frontier == nullptr ? Frontier() : *frontier};
}

void Standings::begin_life(base::NodeId self, uint32_t start) {
    constexpr unsigned questions_per_life_bits = 32;
    last_question_ = uint64_t{start} << questions_per_life_bits;
    note_start(self, start);
}

Standings::Group& Standings::group_at(GroupId id) {
    const auto [place, is_new] = groups_.try_emplace(id);
    if (is_new) place->second.question = ++last_question_;
    return place->second;
}

void Standings::note_start(base::NodeId node, uint32_t start) {
    const auto known = frozen_.find(node);
    if (start <= 1 || (known != frozen_.end() && known->second >= start)) return;
    Starts frozen = frozen_;
    frozen[node] = start;
    storage::WriteBatch batch;
    batch.put(frozen_key(), encode(frozen));
    // A disk that takes no writes takes none of an ended life either; it is heard of again.
    if (!store_.commits().apply(batch).ok()) return;
    frozen_ = std::move(frozen);
    STARLING_MARK(standing_life_frozen);
    // What was found complete may have been so without these lives.
    horizon_.clear();
}

void Standings::report(GroupId group,
                       base::NodeId to,
                       absl::AnyInvocable<void(absl::StatusOr<OwnerReport>)> done) {
    OwnerReport report{.tenure = host_.own_tenure(group),
                       .wall_ms = host_.now_ms(),
                       .asks = group_at(group).question,
                       .known = {}};
    report.known.question = group_at(group).heard[to];
    report.known.frozen = frozen_;
    report.known.epoch = epoch_;
    report.known.epochs = group_at(group).knowledge.epochs();
    report.known.frontier = store_.frontier(group);
    store_.commits().when_durable([this,
                                   group,
                                   drops = store_.drop_count(group),
                                   report = std::move(report),
                                   done = std::move(done)](absl::Status status) mutable {
        if (status.ok() && drops != store_.drop_count(group)) {
            status = absl::UnavailableError("the data of the group is being removed here");
        }
        if (!status.ok()) {
            done(std::move(status));
            return;
        }
        group_at(group).durable = report.known.frontier;
        done(std::move(report));
    });
}

void Standings::note_report(GroupId id, base::NodeId from, const OwnerReport& report) {
    const std::optional<std::vector<Owner>> owners = host_.other_owners(id);
    if (!owners.has_value() ||
        std::none_of(owners->begin(), owners->end(), [&](const Owner& owner) {
            return owner.node == from && owner.tenure == report.tenure;
        })) {
        return;
    }
    Group& group = group_at(id);
    const auto [tenure, is_new] = group.tenures.try_emplace(from, report.tenure);
    if (!is_new && tenure->second != report.tenure) {
        STARLING_MARK(standing_owner_has_a_new_tenure);
        tenure->second = report.tenure;
        group.knowledge.forget(from);
        horizon_.forget(id, from);
    }
    for (const auto& [node, start] : report.known.frozen)
        note_start(node, start);
    uint64_t& heard = group.heard[from];
    heard = std::max(heard, report.asks);
    group.knowledge.note(from, report.known);
    if (report.known.frozen == frozen_) {
        // Else one of the two may still take a message of a life that has ended.
        horizon_.note(
            id, from, report.wall_ms, report.known.frontier, store_.frontier(id), host_.now_ms());
    }
    advance(id);
    // With each report, so again and again.
    ask_members(id);
}

void Standings::look_at_own(GroupId id) {
    const std::optional<std::vector<Owner>> owners = host_.other_owners(id);
    if (!owners.has_value() || !owners->empty()) return;
    if (group_at(id).durable == store_.frontier(id) && is_resolved(id)) return;
    report(id, base::NodeId(), [this, id](const absl::StatusOr<OwnerReport>& report) {
        if (!report.ok()) return;
        advance(id);
        ask_members(id);
    });
}

void Standings::hints_gone(GroupId group, absl::AnyInvocable<void(absl::StatusOr<Starts>)> done) {
    Starts gone = frozen_;
    std::erase_if(gone, [&](const auto& frozen) {
        return hints_.has_of_life_before(group, frozen.first, frozen.second);
    });
    store_.commits().when_durable(
        [gone = std::move(gone), done = std::move(done)](absl::Status status) mutable {
            if (status.ok()) {
                done(std::move(gone));
            } else {
                done(std::move(status));
            }
        });
}

void Standings::note_hints_gone(GroupId id, base::NodeId member, const Starts& gone) {
    Starts& said = group_at(id).hints[member];
    for (const auto& [node, start] : gone) {
        uint32_t& known = said[node];
        known = std::max(known, start);
    }
    advance(id);
}

void Standings::advance(GroupId id) {
    const std::optional<std::vector<Owner>> owners = host_.other_owners(id);
    if (!owners.has_value()) return;
    Group& group = group_at(id);
    for (const Owner& owner : *owners) {
        const auto tenure = group.tenures.find(owner.node);
        if (tenure == group.tenures.end() || tenure->second != owner.tenure) return;
    }
    const std::vector<base::NodeId> others = nodes_of(*owners);
    seal_what_can_be(id, others);
    store_.set_stable(id, group.knowledge.stable(others, group.durable));
}

// All members have said that they have no hint of the life: from the next question on the owners
// answer as who will get none.
bool Standings::have_hints_gone(Group& state, GroupId group, base::NodeId node, uint32_t start) {
    const auto gone = state.hints_gone.find(node);
    if (gone != state.hints_gone.end() && gone->second.first >= start) return true;
    if (hints_.has_of_life_before(group, node, start)) {
        STARLING_MARK(standing_hint_of_ended_life);
        return false;
    }
    const std::vector<base::NodeId> members = host_.other_members();
    const bool all = std::all_of(members.begin(), members.end(), [&](base::NodeId member) {
        const auto said = state.hints.find(member);
        return said != state.hints.end() && covers(said->second, node, start);
    });
    if (all) {
        state.question = ++last_question_;
        state.hints_gone[node] = {start, state.question};
    }
    return all;
}

void Standings::seal_what_can_be(GroupId id, const std::vector<base::NodeId>& others) {
    Group& group = group_at(id);
    Frontier frontier = store_.frontier(id);
    bool asks_members = false;
    for (const auto& [node, start] : frozen_) {
        if (start <= frontier.sealed_before(node)) continue;
        if (STARLING_PLANTED(sealed_on_hearsay)) {
            frontier.seal(node, start);
        } else if (!have_hints_gone(group, id, node, start)) {
            asks_members = true;
        } else if (const auto& [known, question] = group.hints_gone.at(node);
                   known >= start &&
                   group.knowledge.agree_on_lives(node, start, question, others, frontier)) {
            STARLING_MARK(standing_life_sealed);
            frontier.seal(node, start);
        }
    }
    if (frontier != store_.frontier(id)) {
        store_.unite_frontier(id, std::move(frontier), [](const absl::Status&) {});
    }
    group.asks_members = asks_members;
}

void Standings::ask_members(GroupId id) {
    const Group& group = group_at(id);
    if (!group.asks_members) return;
    for (const base::NodeId member : host_.other_members()) {
        const auto said = group.hints.find(member);
        const bool has_said = said != group.hints.end() &&
                              std::all_of(frozen_.begin(), frozen_.end(), [&](const auto& frozen) {
                                  return covers(said->second, frozen.first, frozen.second);
                              });
        if (!has_said) host_.ask_hints(id, member);
    }
}

// No write of an ended life can come any more: it is sealed, or no hint of it is left.
bool Standings::is_resolved(GroupId id) const {
    const auto group = groups_.find(id);
    const Frontier& frontier = store_.frontier(id);
    return std::all_of(frozen_.begin(), frozen_.end(), [&](const auto& frozen) {
        const auto& [node, start] = frozen;
        if (start <= frontier.sealed_before(node)) return true;
        if (group == groups_.end()) return false;
        const auto gone = group->second.hints_gone.find(node);
        return gone != group->second.hints_gone.end() && gone->second.first >= start;
    });
}

uint64_t Standings::forget_before(GroupId group) const {
    const std::optional<std::vector<Owner>> owners = host_.other_owners(group);
    if (!owners.has_value() || !is_resolved(group)) return 0;
    const std::vector<base::NodeId> others = nodes_of(*owners);
    return horizon_.forget_before(group, others, host_.now_ms());
}

std::vector<base::NodeId> Standings::lagging_owners(GroupId id) const {
    const std::optional<std::vector<Owner>> owners = host_.other_owners(id);
    std::vector<base::NodeId> lagging;
    const auto group = groups_.find(id);
    if (!owners.has_value() || group == groups_.end()) return lagging;
    for (const Owner& owner : *owners) {
        const std::vector<base::NodeId> one = {owner.node};
        const Frontier& own = group->second.durable;
        Frontier bases = own;
        bases.intersect_bases(own);
        if (group->second.knowledge.stable(one, own) != bases) lagging.push_back(owner.node);
    }
    return lagging;
}

}  // namespace starling::node
