#include "node/server/shard_healing.h"

#include <algorithm>
#include <utility>

#include "base/codec.h"
#include "base/mark.h"
#include "base/status_macros.h"

namespace starling::node {

namespace {

// Handed over at once.
constexpr size_t unshared_max = 256;

std::string marked_key() {
    return storage_keys::meta("refilling");
}

std::string set_back_key() {
    return storage_keys::meta("set_back");
}

std::string encode(const std::set<base::PartitionId>& partitions) {
    std::string out;
    base::put_varint(out, partitions.size());
    for (const base::PartitionId partition : partitions) {
        base::put_varint(out, partition.raw());
    }
    return out;
}

absl::StatusOr<std::set<base::PartitionId>> decode(std::string_view bytes) {
    base::Reader in(bytes);
    std::set<base::PartitionId> partitions;
    const size_t count = in.count(1);
    for (size_t i = 0; i < count && !in.failed(); ++i) {
        const uint64_t partition = in.varint();
        if (partition > UINT16_MAX) in.fail();
        partitions.insert(base::PartitionId(static_cast<uint16_t>(partition)));
    }
    if (!in.finished()) {
        return absl::DataLossError("the stored list of partitions being refilled does not decode");
    }
    return partitions;
}

bool contains(const std::vector<storage::KeyRange>& ranges, std::string_view key) {
    return std::any_of(ranges.begin(), ranges.end(), [&](const storage::KeyRange& range) {
        return range.first <= key && key <= range.last;
    });
}

bool meets_prefix(const std::vector<storage::KeyRange>& ranges, const std::string& prefix) {
    const std::string end = storage_keys::prefix_end(prefix);
    return std::any_of(ranges.begin(), ranges.end(), [&](const storage::KeyRange& range) {
        return range.first < end && prefix <= range.last;
    });
}

storage::KeyRange all_hints() {
    return {.first = storage_keys::hints_begin(), .last = storage_keys::hints_end()};
}

bool meets(const std::vector<storage::KeyRange>& ranges, const storage::KeyRange& other) {
    return std::any_of(ranges.begin(), ranges.end(), [&](const storage::KeyRange& range) {
        return range.first <= other.last && other.first <= range.last;
    });
}

// With the bytes of their values.
absl::StatusOr<std::map<std::string, uint64_t>> readable_hints(
    storage::Engine& engine, const std::vector<storage::KeyRange>& damaged) {
    std::map<std::string, uint64_t> found;
    std::string from = storage_keys::hints_begin();
    const auto read_up_to = [&](std::string upper) -> absl::Status {
        if (from >= upper) return absl::OkStatus();
        const auto iterator = engine.new_iterator({.lower = from, .upper = std::move(upper)});
        for (iterator->seek_to_first(); iterator->valid(); iterator->next())
            found.emplace(iterator->key(), iterator->value().size());
        return iterator->status();
    };
    // Ascending, and without overlap.
    for (const storage::KeyRange& range : damaged) {
        STARLING_RETURN_IF_ERROR(read_up_to(std::min(range.first, storage_keys::hints_end())));
        from = std::max(from, range.last + '\0');
    }
    STARLING_RETURN_IF_ERROR(read_up_to(storage_keys::hints_end()));
    return found;
}

// Whether what the ranges took of the group can only come from others.
bool takes_from(const std::vector<storage::KeyRange>& ranges, GroupId group) {
    return meets_prefix(ranges, storage_keys::record_prefix(group)) ||
           meets_prefix(ranges, storage_keys::indexed_dots_prefix(group)) ||
           meets_prefix(ranges, storage_keys::tombstones_prefix(group)) ||
           meets_prefix(ranges, storage_keys::expiries_prefix(group));
}

}  // namespace

struct ShardHealing::Finding {
    DamageHealer::Damage damage;
    // Still to check.
    std::vector<GroupId> groups;
    absl::AnyInvocable<void(absl::StatusOr<DamageHealer::Damage>)> done;
};

ShardHealing::ShardHealing(Parts parts, base::Duration request_max)
    : parts_(parts),
      jobs_(parts.loop, parts.workers),
      patience_(request_max + request_max / 4),
      healer_(static_cast<DamageHealer::Host&>(*this), parts.loop, parts.random, request_max) {}

absl::StatusOr<std::set<base::PartitionId>> ShardHealing::marked_in(storage::Engine& engine) {
    STARLING_ASSIGN_OR_RETURN(const std::optional<std::string> stored, engine.get(marked_key()));
    return stored.has_value() ? decode(*stored) : std::set<base::PartitionId>();
}

absl::Status ShardHealing::load() {
    STARLING_ASSIGN_OR_RETURN(marked_, marked_in(parts_.store.engine()));
    STARLING_ASSIGN_OR_RETURN(const std::optional<std::string> stored,
                              parts_.store.engine().get(set_back_key()));
    if (stored.has_value()) {
        STARLING_ASSIGN_OR_RETURN(set_back_, decode(*stored));
    }
    return absl::OkStatus();
}

void ShardHealing::start() {
    for (const base::PartitionId partition : marked_) {
        parts_.guard.suspend(partition);
    }
    started_at_ = parts_.loop.now();
    healer_.start(marked_);
}

absl::Status ShardHealing::damage() const {
    absl::Status damage = parts_.store.damage();
    damage.Update(parts_.store.engine().damage());
    return damage;
}

void ShardHealing::find_damage(
    absl::AnyInvocable<void(absl::StatusOr<DamageHealer::Damage>)> done) {
    using Ranges = absl::StatusOr<std::vector<storage::KeyRange>>;
    jobs_.run<Ranges>(
        [this] { return parts_.store.engine().find_damage(); },
        [this, done = std::move(done)](Ranges ranges) mutable {
            if (!ranges.ok()) return done(ranges.status());
            if (!parts_.hints.is_complete() && parts_.loop.now() >= started_at_ + patience_) {
                return take_up_hints(*std::move(ranges), std::move(done));
            }
            find_partitions(*std::move(ranges), std::move(done));
        });
}

void ShardHealing::find_partitions(
    std::vector<storage::KeyRange> ranges,
    absl::AnyInvocable<void(absl::StatusOr<DamageHealer::Damage>)> done) {
    auto finding = std::make_shared<Finding>();
    finding->damage.ranges = std::move(ranges);
    finding->damage.may_wait =
        meets(finding->damage.ranges, all_hints()) &&
        parts_.store.engine().write_pressure() == storage::WritePressure::none;
    finding->done = std::move(done);
    for (const GroupId group : parts_.store.groups()) {
        if (parts_.shard.needs_data(group) && parts_.store.has_data(group) &&
            takes_from(finding->damage.ranges, group)) {
            finding->damage.partitions.insert(group.partition);
        }
    }
    finding->groups = parts_.store.damaged_groups();
    if (finding->groups.empty() && finding->damage.empty()) {
        finding->groups = parts_.store.groups();
    }
    check_groups(finding);
}

// Those outside of `ranges`. Nothing is to wait for the others, which are taken up when what is
// lost is given up, as far as they are still there.
void ShardHealing::take_up_hints(
    std::vector<storage::KeyRange> ranges,
    absl::AnyInvocable<void(absl::StatusOr<DamageHealer::Damage>)> done) {
    const std::vector<HintKey> known = parts_.hints.select([](std::string_view) { return true; });
    using Found = absl::StatusOr<std::map<std::string, uint64_t>>;
    jobs_.run<Found>([this, ranges] { return readable_hints(parts_.store.engine(), ranges); },
                     [this, known, ranges, done = std::move(done)](Found found) mutable {
                         if (absl::IsDataLoss(found.status())) {
                             return find_partitions(std::move(ranges), std::move(done));
                         }
                         if (!found.ok()) return done(found.status());
                         STARLING_MARK(hints_taken_up_between_damage);
                         for (const auto& [key, bytes] : *found) {
                             const auto hint = storage_keys::parse_hint(key);
                             const bool was_known =
                                 hint.has_value() &&
                                 std::binary_search(known.begin(), known.end(), *hint);
                             if (hint.has_value() && !was_known && !parts_.hints.contains(*hint)) {
                                 parts_.hints.take_up(*hint, bytes);
                             }
                         }
                         parts_.hints.complete();
                         unread_ = ranges;
                         find_partitions(std::move(ranges), std::move(done));
                     });
}

// A checksum of the engine does not notice all that may be wrong with a group.
void ShardHealing::check_groups(const std::shared_ptr<Finding>& finding) {
    if (finding->groups.empty() || is_stopped_) {
        finding->done(std::move(finding->damage));
        return;
    }
    const GroupId group = finding->groups.back();
    finding->groups.pop_back();
    parts_.store.check(group, [this, finding, group](const absl::Status& status) {
        if (absl::IsDataLoss(status)) {
            // What is left of a seat that was given away, or declined, is removed as far as it is
            // there, and that removal waits for what is given up.
            if (parts_.shard.needs_data(group)) {
                finding->damage.partitions.insert(group.partition);
            }
        } else if (!status.ok()) {
            finding->done(status);
            return;
        }
        check_groups(finding);
    });
}

std::map<GroupId, std::vector<base::NodeId>> ShardHealing::givers(
    base::PartitionId partition) const {
    auto holders = parts_.shard.other_holders(partition);
    for (const GroupId group : parts_.store.groups_of(partition)) {
        // What is not needed is dropped, or cannot be before it is healed.
        const bool matters = parts_.store.has_data(group) && parts_.shard.needs_data(group);
        if (matters && !holders.contains(group)) return {};
    }
    for (const auto& [group, others] : holders) {
        if (!parts_.shard.are_holders_known(group)) return {};
        if (others.empty() && parts_.store.has_data(group)) return {};
    }
    std::erase_if(holders, [](const auto& entry) { return entry.second.empty(); });
    return holders;
}

void ShardHealing::damage_is_gone() {
    parts_.store.damage_is_gone();
    unsettled_ = {};
    for (const base::PartitionId partition : std::exchange(gave_way_, {})) {
        parts_.shard.healing_changed(partition);
    }
}

void ShardHealing::give_way(base::PartitionId partition) {
    if (gave_way_.insert(partition).second) parts_.shard.healing_changed(partition);
    parts_.shard.end_moves(partition);
}

void ShardHealing::suspend(base::PartitionId partition) {
    parts_.guard.suspend(partition);
    suspended_.insert(partition);
    parts_.shard.healing_changed(partition);
}

void ShardHealing::resume(base::PartitionId partition) {
    parts_.guard.resume(partition);
    suspended_.erase(partition);
    parts_.shard.healing_changed(partition);
}

// What comes after the question counts nowhere here, and the others may have said that they lack
// it.
void ShardHealing::ask_counting(GroupId group,
                                base::NodeId holder,
                                uint64_t question,
                                bool checks) {
    if (std::exchange(question_, question) != question) asked_with_.clear();
    if (!asked_with_.contains(group)) asked_with_[group] = parts_.store.frontier(group);
    parts_.shard.ask_counting(group, holder, question, checks);
}

// As references, which the courier sends with the records that they refer to.
void ShardHealing::hand_over_unshared(GroupId group,
                                      const Frontier& others,
                                      absl::AnyInvocable<void(absl::StatusOr<size_t>)> done) {
    parts_.store.unshared(group,
                          asked_with_[group],
                          others,
                          unshared_max,
                          [this, group, done = std::move(done)](
                              const absl::StatusOr<std::vector<IndexedDot>>& writes) mutable {
                              if (!writes.ok()) return done(writes.status());
                              const std::vector<base::NodeId> seats =
                                  parts_.shard.seats_of_others(group);
                              for (const IndexedDot& write : *writes) {
                                  for (size_t seat = 0; seat < seats.size(); ++seat) {
                                      if (seats[seat].is_none()) continue;
                                      // What is not kept now is asked for again, as long as the
                                      // others lack it.
                                      parts_.hints.keep_handed_over(
                                          {.group = group,
                                           .seat = base::SeatIndex(static_cast<uint8_t>(seat)),
                                           .dot = write.dot,
                                           .key = write.key},
                                          [](const absl::Status&) {});
                                  }
                              }
                              done(writes->size());
                          });
}

void ShardHealing::store_marks(storage::WriteBatch batch,
                               const std::set<base::PartitionId>& marked,
                               absl::AnyInvocable<void()> on_applied,
                               Done done) {
    batch.put(marked_key(), encode(marked));
    // Damage that stops merging stops other writes, too, in the end.
    if (absl::Status status = parts_.store.commits().apply(batch, {.urgent = true}); !status.ok()) {
        parts_.loop.post([status, done = std::move(done)]() mutable { done(std::move(status)); });
        return;
    }
    on_applied();
    parts_.store.commits().when_durable(std::move(done));
}

void ShardHealing::mark(const std::set<base::PartitionId>& partitions, Done done) {
    storage::WriteBatch batch;
    parts_.shard.put_facts(batch);
    parts_.standings.put_facts(batch);
    put_set_back(batch, {});
    for (const GroupId group : parts_.store.groups()) {
        if (!partitions.contains(group.partition)) parts_.store.put_frontier(batch, group);
    }
    std::set<base::PartitionId> marked = marked_;
    marked.insert(partitions.begin(), partitions.end());
    // Also where it does not become durable: the disk may have it.
    const auto on_applied = [this, &partitions] {
        for (const base::PartitionId partition : partitions) {
            marked_.insert(partition);
            suspended_.erase(partition);
            parts_.guard.suspend(partition);
            parts_.shard.healing_changed(partition);
        }
    };
    store_marks(std::move(batch), marked, on_applied, std::move(done));
}

void ShardHealing::unmark(base::PartitionId partition, Done done) {
    const bool was_marked = marked_.erase(partition) > 0;
    const bool was_set_back = set_back_.erase(partition) > 0;
    storage::WriteBatch batch;
    if (was_set_back) put_set_back(batch, {});
    store_marks(
        std::move(batch),
        marked_,
        [] {},
        [this, partition, was_marked, was_set_back, done = std::move(done)](
            absl::Status status) mutable {
            if (status.ok()) {
                parts_.shard.healing_changed(partition);
            } else {
                if (was_marked) marked_.insert(partition);
                if (was_set_back) set_back_.insert(partition);
            }
            done(std::move(status));
        });
}

void ShardHealing::put_set_back(storage::WriteBatch& batch,
                                const std::set<base::PartitionId>& partitions) {
    set_back_.insert(partitions.begin(), partitions.end());
    batch.put(set_back_key(), encode(set_back_));
}

void ShardHealing::note_unsettled(const std::vector<storage::KeyRange>& ranges) {
    for (const storage::KeyRange& range : ranges) {
        if (std::ranges::find(unsettled_.ranges, range) == unsettled_.ranges.end()) {
            unsettled_.ranges.push_back(range);
        }
    }
    for (HintKey& hint :
         parts_.hints.select([&](std::string_view key) { return contains(ranges, key); })) {
        unsettled_.hints.insert(std::move(hint));
    }
}

void ShardHealing::give_up(const std::vector<storage::KeyRange>& ranges, Done done) {
    const bool has_engine_damage = !ranges.empty() || !parts_.store.engine().damage().ok();
    if (!parts_.hints.is_complete()) note_unsettled({all_hints()});
    note_unsettled(unread_);
    if (!has_engine_damage && unsettled_.empty()) {
        parts_.loop.post([done = std::move(done)]() mutable { done(absl::OkStatus()); });
        return;
    }
    note_unsettled(ranges);
    jobs_.run<absl::StatusOr<Left>>(
        [this, has_engine_damage, ranges, unsettled = unsettled_.ranges]() -> absl::StatusOr<Left> {
            if (has_engine_damage) {
                STARLING_RETURN_IF_ERROR(parts_.store.engine().give_up(ranges));
            }
            return look_for_what_is_left(parts_.store.engine(), unsettled);
        },
        [this, done = std::move(done)](const absl::StatusOr<Left>& left) mutable {
            if (!left.ok()) return done(left.status());
            settle(*left, std::move(done));
        });
}

absl::StatusOr<ShardHealing::Left> ShardHealing::look_for_what_is_left(
    storage::Engine& engine, const std::vector<storage::KeyRange>& ranges) {
    Left left;
    for (const storage::KeyRange& range : ranges) {
        const auto iterator = engine.new_iterator({.lower = range.first, .upper = {}});
        for (iterator->seek_to_first(); iterator->valid() && iterator->key() <= range.last;
             iterator->next()) {
            if (const auto group = storage_keys::parse_group(iterator->key())) {
                left.groups.insert(*group);
            } else if (storage_keys::parse_hint(iterator->key()).has_value()) {
                left.hints.emplace(iterator->key(), iterator->value().size());
            }
        }
        STARLING_RETURN_IF_ERROR(iterator->status());
    }
    return left;
}

void ShardHealing::settle(const Left& left, Done done) {
    for (const HintKey& hint : unsettled_.hints) {
        if (left.hints.contains(storage_keys::hint(hint)) || !parts_.hints.contains(hint)) continue;
        STARLING_MARK(hint_was_damaged);
        if (!parts_.hints.remove(hint)) {
            return done(absl::UnavailableError("a damaged hint cannot be removed now"));
        }
    }
    storage::WriteBatch batch;
    for (const auto& [key, bytes] : left.hints) {
        const auto hint = storage_keys::parse_hint(key);
        if (!hint.has_value() || parts_.hints.contains(*hint)) continue;
        if (!parts_.hints.is_complete() || contains(unread_, key)) {
            if (!unsettled_.hints.contains(*hint)) parts_.hints.take_up(*hint, bytes);
            continue;
        }
        STARLING_MARK(hint_shows_again);
        batch.remove(key);
    }
    parts_.hints.complete();
    unread_.clear();
    if (!batch.empty()) {
        if (absl::Status status = parts_.store.commits().apply(batch); !status.ok()) {
            return done(std::move(status));
        }
    }
    std::vector<GroupId> groups;
    const std::vector<GroupId> known = parts_.store.groups();
    for (const GroupId group : left.groups) {
        // A question about it is enough to make it known again.
        const bool is_known = std::binary_search(known.begin(), known.end(), group);
        if ((is_known && parts_.store.has_data(group)) || parts_.store.is_dropping(group)) continue;
        STARLING_MARK(dropped_group_shows_again);
        groups.push_back(group);
    }
    parts_.shard.drop_groups(std::move(groups), std::move(done));
}

// Also what a crash has left of a group that was being removed.
void ShardHealing::empty(base::PartitionId partition, Done done) {
    std::vector<GroupId> groups;
    for (uint32_t replicas = 1; replicas <= parts_.shard.replicas_max(); ++replicas) {
        groups.push_back({.partition = partition, .replicas = static_cast<uint8_t>(replicas)});
    }
    parts_.shard.drop_groups(std::move(groups), std::move(done));
    // What they have begun to take over is of no use to what is empty now.
    parts_.shard.end_syncs(partition);
}

void ShardHealing::refill(base::PartitionId partition) {
    // Only now are the others known again from whom it takes.
    parts_.shard.healing_changed(partition);
    parts_.guard.refill_emptied(partition);
}

}  // namespace starling::node
