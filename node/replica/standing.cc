#include "node/replica/standing.h"

#include <algorithm>
#include <span>
#include <utility>

#include "base/codec.h"
#include "base/mark.h"
#include "node/replica/storage_keys.h"

namespace starling::node {

namespace {

// After that time a tombstone waits for more than the next report.
constexpr uint64_t report_patience_ms = 60'000;

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

std::string encode(uint64_t epoch) {
    std::string out;
    base::put_varint(out, epoch);
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
        epoch_at_start_ = epoch_;
    }
    absl::Status loaded = memory_.load(store_.engine());
    if (absl::IsDataLoss(loaded)) {
        STARLING_MARK(standings_load_damaged_memory);
        // The owners tell it again.
        store_.note_damage(loaded);
        return absl::OkStatus();
    }
    return loaded;
}

void Standings::begin_epoch_after(uint64_t told,
                                  storage::WriteBatch batch,
                                  absl::AnyInvocable<void(absl::Status)> done) {
    const uint64_t next = std::max(epoch_, told) + 1;
    batch.put(epoch_key(), encode(next));
    if (absl::Status status = store_.commits().apply(batch, {.urgent = true}); !status.ok()) {
        done(std::move(status));
        return;
    }
    epoch_ = next;
    store_.commits().when_durable(std::move(done));
}

void Standings::put_facts(storage::WriteBatch& batch) const {
    batch.put(frozen_key(), encode(frozen_));
    batch.put(epoch_key(), encode(epoch_));
}

std::optional<GroupStanding::Remembered> Standings::remembered(GroupId id,
                                                               base::NodeId node) const {
    const std::optional<Owner> owner = host_.other_owner(id, node);
    if (!owner.has_value()) {
        STARLING_MARK(owner_remembered_by_no_owner);
        return std::nullopt;
    }
    const auto group = groups_.find(id);
    GroupStanding::Remembered remembered =
        group == groups_.end() ? GroupStanding::Remembered{} : group->second.remembered(*owner);
    const OwnerMemory::Told* told = memory_.told(id, node);
    const bool is_of_today = told != nullptr && told->tenure == owner->tenure;
    if (is_of_today && told->epoch >= remembered.epoch) {
        STARLING_MARK(owner_remembered_from_earlier_life);
        if (told->epoch > remembered.epoch) remembered = {.epoch = told->epoch, .frontier = {}};
        remembered.frontier.unite(told->frontier);
    }
    return remembered;
}

void Standings::begin_life(base::NodeId self, uint32_t start) {
    constexpr unsigned questions_per_life_bits = 32;
    last_question_ = uint64_t{start} << questions_per_life_bits;
    note_start(self, start);
}

GroupStanding& Standings::group_at(GroupId id) {
    const auto found = groups_.find(id);
    return found != groups_.end() ? found->second
                                  : groups_.try_emplace(id, ++last_question_).first->second;
}

void Standings::note_start(base::NodeId node, uint32_t start) {
    const auto known = frozen_.find(node);
    if (start <= 1 || (known != frozen_.end() && known->second >= start)) return;
    Starts frozen = frozen_;
    frozen[node] = start;
    storage::WriteBatch batch;
    batch.put(frozen_key(), encode(frozen));
    // A disk that takes no writes takes none of an ended life either.
    if (!store_.commits().apply(batch).ok()) {
        STARLING_MARK(standing_life_not_frozen_yet);
        not_frozen_[node] = std::max(not_frozen_[node], start);
        return;
    }
    frozen_ = std::move(frozen);
    STARLING_MARK(standing_life_frozen);
    // What was found complete may have been so without these lives.
    horizon_.clear();
}

void Standings::note_starts_again() {
    for (const auto& [node, start] : std::exchange(not_frozen_, {}))
        note_start(node, start);
}

void Standings::report(GroupId group,
                       base::NodeId to,
                       absl::AnyInvocable<void(absl::StatusOr<OwnerReport>)> done) {
    OwnerReport report{.tenure = host_.own_tenure(group),
                       .wall_ms = host_.now_ms(),
                       .asks = group_at(group).question(),
                       .known = {}};
    report.known.question = group_at(group).heard(to);
    report.known.frozen = frozen_;
    report.known.epoch = epoch_;
    report.known.epochs = group_at(group).epochs();
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
        group_at(group).note_durable(report.known.frontier);
        done(std::move(report));
    });
}

void Standings::note_report(GroupId id, base::NodeId from, const OwnerReport& report) {
    const std::optional<std::vector<Owner>> owners = host_.other_owners(id);
    if (!owners.has_value() || !GroupStanding::counts(*owners, from, report)) {
        return;
    }
    if (group_at(id).note_report(from, report)) {
        horizon_.forget(id, from);
    }
    memory_.note(
        id,
        from,
        {.tenure = report.tenure, .epoch = report.known.epoch, .frontier = report.known.frontier});
    for (const auto& [node, start] : report.known.frozen)
        note_start(node, start);
    // One without a time does not say all that was seen (PartitionSync::tell()).
    if (report.wall_ms != 0 && report.known.frozen == frozen_ &&
        report.known.question >= group_at(id).counts_from()) {
        // Else one of the two may still take a message of a life that has ended, or a hint.
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
    GroupStanding& group = group_at(id);
    if (group.durable() == store_.frontier(id) && is_resolved(id)) return advance(id);
    report(id, base::NodeId(), [this, id](const absl::StatusOr<OwnerReport>& report) {
        if (!report.ok()) return;
        advance(id);
        ask_members(id);
    });
}

void Standings::hints_gone(GroupId group, absl::AnyInvocable<void(absl::StatusOr<Starts>)> done) {
    Starts gone = frozen_;
    std::erase_if(gone, [&](const auto& frozen) {
        return hints_.has_of_life_before(group, frozen.first, frozen.second) ||
               keeps_of_life_before(group, frozen.first, frozen.second);
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

// Who fills a seat takes writes, and nobody asks it what it has seen: until it holds the seat, they
// are like hints.
bool Standings::keeps_of_life_before(GroupId group, base::NodeId node, uint32_t start) const {
    const std::vector<GroupId> known = store_.groups_of(group.partition);
    return std::find(known.begin(), known.end(), group) != known.end() &&
           !host_.other_owners(group).has_value() &&
           !store_.frontier(group).seen_before(node, start).empty();
}

void Standings::note_hints_gone(GroupId id, base::NodeId member, const Starts& gone) {
    group_at(id).note_hints_gone(member, gone);
    advance(id);
}

void Standings::advance(GroupId id) {
    const std::optional<std::vector<Owner>> owners = host_.other_owners(id);
    if (!owners.has_value()) return;
    GroupStanding& group = group_at(id);
    if (!group.knows_all(*owners)) return;
    const std::vector<base::NodeId> others = nodes_of(*owners);
    const std::vector<base::NodeId> members = host_.other_members();
    Frontier frontier = store_.frontier(id);
    const uint64_t counted_from = group.counts_from();
    group.seal({.frozen = frozen_,
                .other_members = members,
                .other_owners = others,
                .has_hint =
                    [this, id](base::NodeId node, uint32_t start) {
                        return hints_.has_of_life_before(id, node, start);
                    }},
               last_question_,
               frontier);
    if (group.counts_from() != counted_from) horizon_.forget(id);
    if (frontier != store_.frontier(id)) {
        store_.unite_frontier(id, std::move(frontier), [](const absl::Status&) {});
    }
    store_.set_stable(id, group.stable(others));
}

void Standings::ask_members(GroupId id) {
    const std::vector<base::NodeId> members = host_.other_members();
    for (const base::NodeId member : group_at(id).members_to_ask(frozen_, members)) {
        host_.ask_hints(id, member);
    }
}

bool Standings::is_resolved(GroupId id) const {
    const auto group = groups_.find(id);
    const Frontier& frontier = store_.frontier(id);
    return group == groups_.end() ? GroupStanding(0).is_resolved(frozen_, frontier)
                                  : group->second.is_resolved(frozen_, frontier);
}

uint64_t Standings::forget_before(GroupId group) const {
    const std::optional<std::vector<Owner>> owners = host_.other_owners(group);
    if (!owners.has_value() || !is_resolved(group)) return 0;
    // What an owner said when it held other seats says nothing of what it has taken over since.
    const auto known = groups_.find(group);
    const bool is_known = known != groups_.end() && known->second.knows_all(*owners);
    if (!owners->empty() && !is_known) return 0;
    const std::vector<base::NodeId> others = nodes_of(*owners);
    return horizon_.forget_before(group, others, host_.now_ms());
}

bool Standings::awaits_report(GroupId group, base::NodeId owner) const {
    const uint64_t created_ms = store_.next_tombstone_ms(group);
    if (created_ms == UINT64_MAX) return false;
    const uint64_t now_ms = host_.now_ms();
    return horizon_.may_be_past(created_ms, now_ms) && !is_overdue(created_ms) &&
           !horizon_.is_past(group, owner, created_ms, now_ms);
}

uint64_t Standings::overdue_before_ms() const {
    const uint64_t waiting_ms = horizon_.window_ms() + report_patience_ms;
    const uint64_t now_ms = host_.now_ms();
    return now_ms > waiting_ms ? now_ms - waiting_ms : 0;
}

std::vector<base::NodeId> Standings::waited_for(GroupId id,
                                                const Context& unseen,
                                                uint64_t created_ms) const {
    const std::optional<std::vector<Owner>> owners = host_.other_owners(id);
    if (!owners.has_value()) return {};
    const GroupStanding unknown(0);
    const auto found = groups_.find(id);
    const GroupStanding& group = found == groups_.end() ? unknown : found->second;
    const auto nodes_where = [&owners](const auto& waits_for) {
        std::vector<base::NodeId> nodes;
        for (const Owner& owner : *owners) {
            if (waits_for(owner)) nodes.push_back(owner.node);
        }
        return nodes;
    };
    // Without them nothing else is concluded, and nobody is asked for hints.
    std::vector<base::NodeId> nodes =
        nodes_where([&](const Owner& owner) { return !group.knows_all(std::span(&owner, 1)); });
    if (!nodes.empty()) return nodes;
    nodes = group.may_have_hints(frozen_, store_.frontier(id), host_.other_members());
    if (!nodes.empty()) return nodes;
    return nodes_where([&](const Owner& owner) {
        return !group.stable(std::span(&owner.node, 1)).is_past(unseen) ||
               !horizon_.is_past(id, owner.node, created_ms, host_.now_ms());
    });
}

}  // namespace starling::node
