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
      healer_(static_cast<DamageHealer::Host&>(*this), parts.loop, parts.random, request_max) {}

absl::StatusOr<std::set<base::PartitionId>> ShardHealing::marked_in(storage::Engine& engine) {
    STARLING_ASSIGN_OR_RETURN(const std::optional<std::string> stored, engine.get(marked_key()));
    return stored.has_value() ? decode(*stored) : std::set<base::PartitionId>();
}

absl::Status ShardHealing::load() {
    STARLING_ASSIGN_OR_RETURN(marked_, marked_in(parts_.store.engine()));
    return absl::OkStatus();
}

void ShardHealing::start() {
    for (const base::PartitionId partition : marked_) {
        parts_.guard.suspend(partition);
    }
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
    jobs_.run<Ranges>([this] { return parts_.store.engine().find_damage(); },
                      [this, done = std::move(done)](Ranges ranges) mutable {
                          if (!ranges.ok()) return done(ranges.status());
                          auto finding = std::make_shared<Finding>();
                          finding->damage.ranges = *std::move(ranges);
                          finding->done = std::move(done);
                          for (const GroupId group : parts_.store.groups()) {
                              if (takes_from(finding->damage.ranges, group)) {
                                  finding->damage.partitions.insert(group.partition);
                              }
                          }
                          finding->groups = parts_.store.damaged_groups();
                          if (finding->groups.empty() && finding->damage.empty()) {
                              finding->groups = parts_.store.groups();
                          }
                          check_groups(finding);
                      });
}

// A checksum of the engine does not notice all that may be wrong with a group.
void ShardHealing::check_groups(const std::shared_ptr<Finding>& finding) {
    if (finding->groups.empty()) {
        finding->done(std::move(finding->damage));
        return;
    }
    const GroupId group = finding->groups.back();
    finding->groups.pop_back();
    parts_.store.check(group, [this, finding, group](const absl::Status& status) {
        if (absl::IsDataLoss(status)) {
            finding->damage.partitions.insert(group.partition);
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
        if (!holders.contains(group)) return {};
    }
    for (const auto& [group, others] : holders) {
        if (others.empty()) return {};
    }
    return holders;
}

bool ShardHealing::suspend(base::PartitionId partition) {
    if (!parts_.guard.counts(partition) || parts_.mover.counts(partition).empty() ||
        !parts_.mover.is_at_rest(partition)) {
        return false;
    }
    parts_.guard.suspend(partition);
    suspended_.insert(partition);
    parts_.shard.healing_changed(partition);
    return true;
}

void ShardHealing::resume(base::PartitionId partition) {
    parts_.guard.resume(partition);
    suspended_.erase(partition);
    parts_.shard.healing_changed(partition);
}

// As references, which the courier sends with the records that they refer to.
void ShardHealing::hand_over_unshared(GroupId group,
                                      const Frontier& others,
                                      absl::AnyInvocable<void(absl::StatusOr<size_t>)> done) {
    parts_.store.unshared(
        group,
        others,
        unshared_max,
        [this, group, done = std::move(done)](
            const absl::StatusOr<std::vector<IndexedDot>>& writes) mutable {
            if (!writes.ok()) return done(writes.status());
            const std::vector<base::NodeId> seats = parts_.shard.seats_of_others(group);
            for (const IndexedDot& write : *writes) {
                for (size_t seat = 0; seat < seats.size(); ++seat) {
                    if (seats[seat].is_none()) continue;
                    parts_.hints.keep({.group = group,
                                       .seat = base::SeatIndex(static_cast<uint8_t>(seat)),
                                       .dot = write.dot,
                                       .key = write.key},
                                      "",
                                      [](const absl::Status&) {});
                }
            }
            done(writes->size());
        });
}

void ShardHealing::store_marks(std::set<base::PartitionId> marked,
                               storage::WriteBatch batch,
                               Done done) {
    batch.put(marked_key(), encode(marked));
    // Damage that stops merging stops other writes, too, in the end.
    if (absl::Status status = parts_.store.commits().apply(batch, {.urgent = true}); !status.ok()) {
        parts_.loop.post([status, done = std::move(done)]() mutable { done(std::move(status)); });
        return;
    }
    parts_.store.commits().when_durable(std::move(done));
}

void ShardHealing::mark(const std::set<base::PartitionId>& partitions, Done done) {
    parts_.standings.begin_epoch_after(
        parts_.standings.epoch(),
        [this, partitions, done = std::move(done)](absl::Status status) mutable {
            if (!status.ok()) return done(std::move(status));
            storage::WriteBatch batch;
            parts_.shard.put_facts(batch);
            parts_.standings.put_facts(batch);
            for (const GroupId group : parts_.store.groups()) {
                if (!partitions.contains(group.partition)) parts_.store.put_frontier(batch, group);
            }
            std::set<base::PartitionId> marked = marked_;
            marked.insert(partitions.begin(), partitions.end());
            store_marks(marked,
                        std::move(batch),
                        [this, partitions, done = std::move(done)](absl::Status stored) mutable {
                            if (!stored.ok()) return done(std::move(stored));
                            for (const base::PartitionId partition : partitions) {
                                marked_.insert(partition);
                                suspended_.erase(partition);
                                parts_.shard.healing_changed(partition);
                            }
                            done(absl::OkStatus());
                        });
        });
}

void ShardHealing::unmark(base::PartitionId partition, Done done) {
    std::set<base::PartitionId> marked = marked_;
    marked.erase(partition);
    marked_.erase(partition);
    store_marks(std::move(marked),
                {},
                [this, partition, done = std::move(done)](absl::Status status) mutable {
                    if (status.ok()) {
                        parts_.shard.healing_changed(partition);
                    } else {
                        marked_.insert(partition);
                    }
                    done(std::move(status));
                });
}

void ShardHealing::give_up(const std::vector<storage::KeyRange>& ranges, Done done) {
    if (ranges.empty()) {
        parts_.loop.post([done = std::move(done)]() mutable { done(absl::OkStatus()); });
        return;
    }
    std::vector<HintKey> hints =
        parts_.hints.select([&](std::string_view key) { return contains(ranges, key); });
    jobs_.run<absl::Status>(
        [this, ranges] { return parts_.store.engine().give_up(ranges); },
        [this, hints = std::move(hints), done = std::move(done)](absl::Status status) mutable {
            if (!status.ok()) return done(std::move(status));
            forget_lost_hints(std::move(hints), std::move(done));
        });
}

void ShardHealing::forget_lost_hints(std::vector<HintKey> hints, Done done) {
    using Lost = absl::StatusOr<std::vector<HintKey>>;
    jobs_.run<Lost>(
        [this, hints = std::move(hints)]() -> Lost {
            std::vector<HintKey> lost;
            for (const HintKey& hint : hints) {
                STARLING_ASSIGN_OR_RETURN(const std::optional<std::string> stored,
                                          parts_.store.engine().get(storage_keys::hint(hint)));
                if (!stored.has_value()) lost.push_back(hint);
            }
            return lost;
        },
        [this, done = std::move(done)](const Lost& lost) mutable {
            if (!lost.ok()) return done(lost.status());
            for (const HintKey& hint : *lost) {
                STARLING_MARK(hint_was_damaged);
                parts_.hints.remove(hint);
            }
            done(absl::OkStatus());
        });
}

void ShardHealing::empty(base::PartitionId partition, Done done) {
    parts_.shard.drop_all(partition, std::move(done));
}

void ShardHealing::refill(base::PartitionId partition) {
    // Only now are the others known again from whom it takes.
    parts_.shard.healing_changed(partition);
    parts_.guard.refill_emptied(partition);
}

}  // namespace starling::node
