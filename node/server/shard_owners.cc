// What the parts of a shard ask of it about owners: who they are, what they tell one another, and
// how a partition is refilled from them.

#include <utility>

#include "base/codec.h"
#include "base/hash.h"
#include "base/mark.h"
#include "node/server/shard.h"

namespace starling::node {

namespace {

// Of one seat, in the order of seats.
void put_tenure(std::string& out, uint8_t seat, const Epoch& epoch) {
    base::put_u8(out, seat);
    base::put_u64(out, epoch.claim.counter);
    base::put_u64(out, epoch.claim.node.raw());
    base::put_u64(out, epoch.moves);
}

}  // namespace

std::optional<std::vector<Owner>> Shard::other_owners(GroupId group) const {
    const SeatSet own = mover_->counts(group.partition);
    if (own.below(group.replicas).empty()) {
        return std::nullopt;
    }
    absl::btree_map<base::NodeId, std::string> tenures;
    const std::span<const SeatView::Holder> holders = seats_->holders(group.partition);
    for (uint8_t seat = 0; seat < group.replicas; ++seat) {
        const SeatView::Holder& holder = holders[seat];
        if (own.contains(base::SeatIndex(seat))) {
            continue;
        }
        if (holder.node.is_none() || holder.node == identity_.node) {
            return std::nullopt;
        }
        put_tenure(tenures[holder.node], seat, holder.epoch);
    }
    std::vector<Owner> owners;
    for (const auto& [node, tenure] : tenures) {
        owners.push_back({.node = node, .tenure = base::xxh3_64(tenure)});
    }
    return owners;
}

std::optional<Owner> Shard::other_owner(GroupId group, base::NodeId node) const {
    if (mover_->counts(group.partition).below(group.replicas).empty() || node == identity_.node) {
        return std::nullopt;
    }
    std::string tenure;
    const std::span<const SeatView::Holder> holders = seats_->holders(group.partition);
    for (uint8_t seat = 0; seat < group.replicas; ++seat) {
        if (holders[seat].node == node) put_tenure(tenure, seat, holders[seat].epoch);
    }
    if (tenure.empty()) return std::nullopt;
    return Owner{.node = node, .tenure = base::xxh3_64(tenure)};
}

uint64_t Shard::own_tenure(GroupId group) const {
    std::string tenure;
    for (const HeldSeat& held : mover_->held(group.partition)) {
        if (held.seat.raw() < group.replicas) {
            put_tenure(tenure, held.seat.raw(), held.epoch);
        }
    }
    return base::xxh3_64(tenure);
}

std::vector<base::NodeId> Shard::other_members() const {
    std::vector<base::NodeId> members;
    for (const auto& [node, peer] : view_->peers) {
        if (node != identity_.node) {
            members.push_back(node);
        }
    }
    return members;
}

void Shard::ask_hints(GroupId group, base::NodeId member) {
    entropy_->ask_hints(group, member);
}

void Shard::report(GroupId group, base::NodeId to, ReportDone done) {
    standings_->report(
        group, to, [done = std::move(done)](absl::StatusOr<OwnerReport> report) mutable {
            if (!report.ok()) {
                done(report.status());
                return;
            }
            peer::EntropyReport out;
            put_report(*report, out);
            done(std::move(out));
        });
}

void Shard::reported(GroupId group,
                     base::NodeId from,
                     const Frontier& frontier,
                     const peer::EntropyReport& report) {
    OwnerReport read = read_report(report);
    read.known.frontier = frontier;
    const auto own = read.known.epochs.find(identity_.node);
    if (own != read.known.epochs.end()) {
        if (own->second == UINT64_MAX) {
            ++malformed_messages_;
            return;
        }
        guard_->told_epoch(own->second);
    }
    standings_->note_report(group, from, read);
}

void Shard::hints_gone(GroupId group, HintsGoneDone done) {
    standings_->hints_gone(group, [done = std::move(done)](absl::StatusOr<Starts> gone) mutable {
        if (!gone.ok()) {
            done(gone.status());
            return;
        }
        peer::EntropyHintsGone out;
        put_starts(*gone, *out.mutable_before());
        done(std::move(out));
    });
}

void Shard::told_hints_gone(GroupId group,
                            base::NodeId member,
                            const peer::EntropyHintsGone& gone) {
    standings_->note_hints_gone(group, member, read_starts(gone.before()));
}

std::optional<peer::EntropyRemembered> Shard::remembered(GroupId group,
                                                         base::NodeId holder,
                                                         const peer::EntropyRememberedAsk& ask) {
    Mover::SeatEpochs there;
    for (const peer::EntropyKnownSeat& known : ask.seats()) {
        if (known.seat() >= identity_.cluster.seats) continue;
        there.emplace(static_cast<uint8_t>(known.seat()), from_proto(known.epoch()));
    }
    // What it said of the seat that it has forgotten does not count for the one that it lists.
    if (mover_->tell_forgotten(group.partition, holder, there)) {
        STARLING_MARK(remembers_a_seat_that_is_forgotten);
        return std::nullopt;
    }
    const std::optional<GroupStanding::Remembered> remembered =
        standings_->remembered(group, holder);
    if (!remembered.has_value()) return std::nullopt;
    peer::EntropyRemembered out;
    out.set_epoch(remembered->epoch);
    remembered->frontier.encode(*out.mutable_frontier());
    return out;
}

void Shard::told_remembered(GroupId group,
                            base::NodeId holder,
                            const peer::EntropyRemembered& remembered) {
    base::Reader in(remembered.frontier());
    const Frontier frontier = Frontier::decode(in);
    if (!in.finished() || remembered.epoch() == UINT64_MAX || !entropy_peers_.contains(group)) {
        ++malformed_messages_;
        return;
    }
    // Of what is given up here everything is missing.
    if (healing_->is_marked(group.partition)) return guard_->told_epoch(remembered.epoch());
    // An epoch that has begun since the start says nothing yet of a partition that still waits.
    const bool is_void = remembered.epoch() < standings_->epoch_at_start();
    guard_->told(
        group, holder, remembered.epoch(), is_void || store_->frontier(group).contains(frontier));
}

void Shard::lacks_what_all_had_seen(GroupId group) {
    guard_->told_missing(group.partition);
}

std::map<GroupId, std::vector<base::NodeId>> Shard::other_holders(
    base::PartitionId partition) const {
    std::map<GroupId, std::vector<base::NodeId>> found;
    for (auto entry = entropy_peers_.lower_bound({.partition = partition, .replicas = 0});
         entry != entropy_peers_.end() && entry->first.partition == partition;
         ++entry) {
        if (is_refilling(partition) && !are_holders_known(entry->first)) return {};
        found.insert(*entry);
    }
    return found;
}

// Who the others are is taken from the view, which may lag behind what is known of seats.
bool Shard::are_holders_known(GroupId group) const {
    if (!other_owners(group).has_value()) return false;
    const SeatSet own = mover_->counts(group.partition);
    for (const base::SeatIndex seat : SeatSet::first(group.replicas).without(own).list()) {
        const base::NodeId holder = view_->holder(group.partition, seat);
        if (holder.is_none() || holder == identity_.node) return false;
    }
    return true;
}

bool Shard::has_groups(base::PartitionId partition) const {
    const auto first = entropy_peers_.lower_bound({.partition = partition, .replicas = 0});
    return first != entropy_peers_.end() && first->first.partition == partition;
}

void Shard::ask_remembered(GroupId group, base::NodeId holder) {
    peer::EntropyRememberedAsk ask;
    for (const auto& [seat, epoch] : mover_->highest_epochs(group.partition)) {
        peer::EntropyKnownSeat& known = *ask.add_seats();
        known.set_seat(seat.raw());
        to_proto(epoch, *known.mutable_epoch());
    }
    entropy_->ask_remembered(group, holder, std::move(ask));
}

void Shard::begin_epoch_after(uint64_t told,
                              const std::set<base::PartitionId>& set_back,
                              absl::AnyInvocable<void(absl::Status)> done) {
    storage::WriteBatch batch;
    healing_->put_set_back(batch, set_back);
    std::set<base::PartitionId> taken_up;
    for (const auto& [partition, seats] : taking_up_) {
        batch.put(storage_keys::seats(partition), seats.value);
        taken_up.insert(partition);
    }
    // As persist_seats(): from when it is applied.
    for (auto& [partition, seats] : taking_up_) {
        seats.before = std::exchange(stored_seats_[partition], seats.value);
    }
    standings_->begin_epoch_after(told,
                                  std::move(batch),
                                  [this, taken_up = std::move(taken_up), done = std::move(done)](
                                      const absl::Status& status) mutable {
                                      take_up_ended(taken_up, status);
                                      done(status);
                                  });
}

void Shard::take_over(base::PartitionId partition,
                      base::NodeId from,
                      absl::AnyInvocable<void(absl::Status)> done) {
    const SeatSet held = mover_->counts(partition);
    if (held.empty()) {
        environment_.loop.post([done = std::move(done)]() mutable {
            done(absl::UnavailableError("the seat was given away"));
        });
        return;
    }
    entropy_->start_partition_sync({.partition = partition,
                                    .from = from,
                                    .seat = held.list().front(),
                                    .is_copy = healing_->is_marked(partition),
                                    .is_fill = true,
                                    .tells_epoch = true},
                                   std::move(done));
}

// Who is asked to vouch for what it has looks at it first.
void Shard::counting(GroupId group, bool checks, CountingDone done) {
    const bool is_whole = !store_->is_damaged(group) && store_->trees_ready();
    if (!checks || !is_whole) return answer_counting(group, is_whole, std::move(done));
    store_->check(group, [this, group, done = std::move(done)](const absl::Status& status) mutable {
        if (!status.ok() && !absl::IsDataLoss(status)) return done(status);
        answer_counting(group, status.ok(), std::move(done));
    });
}

void Shard::answer_counting(GroupId group, bool is_whole, CountingDone done) {
    const bool counts = is_whole && !held_seats(group.partition).below(group.replicas).empty();
    peer::EntropyCounting answer;
    answer.set_counts(counts);
    if (counts) store_->frontier(group).encode(*answer.mutable_frontier());
    store_->commits().when_durable(
        [answer = std::move(answer), done = std::move(done)](const absl::Status& status) mutable {
            if (status.ok()) {
                done(std::move(answer));
            } else {
                done(status);
            }
        });
}

void Shard::told_counting(GroupId group,
                          base::NodeId holder,
                          uint64_t question,
                          const peer::EntropyCounting& counting) {
    base::Reader in(counting.frontier());
    Frontier frontier;
    if (counting.counts()) frontier = Frontier::decode(in);
    if (!in.finished()) {
        ++malformed_messages_;
        return;
    }
    if (counting.is_checking()) return healing_->told_checking(question);
    healing_->told_counting(group, holder, question, counting.counts(), std::move(frontier));
}

std::vector<base::NodeId> Shard::seats_of_others(GroupId group) const {
    std::vector<base::NodeId> nodes;
    const SeatSet own = mover_->counts(group.partition);
    for (uint8_t seat = 0; seat < group.replicas; ++seat) {
        const bool is_own_seat = own.contains(base::SeatIndex(seat));
        nodes.push_back(is_own_seat ? base::NodeId()
                                    : view_->holder(group.partition, base::SeatIndex(seat)));
    }
    return nodes;
}

void Shard::put_facts(storage::WriteBatch& batch) const {
    put_identity(batch, identity_);
    if (!membership_.empty()) batch.put(storage_keys::meta(membership_name), membership_);
    for (const auto& [partition, seats] : stored_seats_) {
        batch.put(storage_keys::seats(partition), seats);
    }
}

}  // namespace starling::node
