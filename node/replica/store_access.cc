// The store as anti-entropy and hand-over see it (GroupAccess).

#include <algorithm>
#include <memory>
#include <utility>

#include "base/mark.h"
#include "base/planted.h"
#include "base/status_macros.h"
#include "node/replica/each_dot.h"
#include "node/replica/gathering.h"
#include "node/replica/storage_keys.h"
#include "node/replica/store.h"

namespace starling::node {

namespace {

// What `before` has of lives that `after` has sealed, above `stable`: all owners have seen the same
// of them.
std::vector<Frontier::Range> newly_sealed(const Frontier& before,
                                          const Frontier& after,
                                          const Frontier& stable) {
    std::vector<Frontier::Range> sealed;
    for (const Frontier::Seen& seen : before.seen()) {
        if (seen.actor.start >= after.sealed_before(seen.actor.node)) continue;
        const uint64_t first = stable.seen_of(seen.actor).base + 1;
        if (first <= seen.base) sealed.push_back({seen.actor, first, seen.base});
        for (const auto& [from, to] : seen.above)
            sealed.push_back({seen.actor, from, to});
    }
    return sealed;
}

}  // namespace

uint64_t ReplicaStore::drop_count(GroupId group) const {
    if (group.replicas == 0) {
        const auto of_any = partition_drops_.find(group.partition);
        return of_any == partition_drops_.end() ? 0 : of_any->second;
    }
    const auto found = drops_.find(group);
    return found == drops_.end() ? 0 : found->second;
}

uint64_t ReplicaStore::change_count(GroupId group) const {
    const auto found = groups_.find(group);
    return found == groups_.end() ? 0 : found->second->change_count;
}

std::vector<GroupId> ReplicaStore::groups_of(base::PartitionId partition) {
    std::vector<GroupId> found;
    for (auto it = groups_.lower_bound({partition, 0});
         it != groups_.end() && it->first.partition == partition;
         ++it) {
        found.push_back(it->first);
    }
    return found;
}

absl::StatusOr<GroupSummary> ReplicaStore::summary(GroupId group) {
    if (!trees_ready()) {
        STARLING_MARK(store_trees_not_ready);
        return trees_lost_ && absl::IsDataLoss(damage_)
                   ? damage_
                   : absl::UnavailableError("the hash trees are being rebuilt");
    }
    const auto found = groups_.find(group);
    if (found == groups_.end()) {
        return GroupSummary{};
    }
    return GroupSummary{.frontier = found->second->frontier, .buckets = found->second->buckets};
}

// Of a write that a crash takes from here nobody would know that the other replica has it (S32 of
// docs/causality.md).
template <typename T>
void ReplicaStore::give_durable(absl::StatusOr<T> read, Callback<T> done) {
    if (!read.ok()) return done(std::move(read));
    commits_.when_durable(
        [read = std::move(read), done = std::move(done)](const absl::Status& status) mutable {
            if (status.ok()) {
                done(std::move(read));
            } else {
                done(status);
            }
        });
}

void ReplicaStore::missing(GroupId group,
                           const Frontier& seen,
                           KnownDots known,
                           std::optional<Dot> after,
                           size_t bytes_max,
                           RecordFingerprints sent,
                           Callback<MissingPage> done) {
    Frontier frontier = this->frontier(group);
    std::vector<Frontier::Range> ranges = frontier.minus(seen);
    group_reader::IsDotWanted is_tombstone_wanted;
    if (known == KnownDots::and_tombstones) {
        // Not of the ranges alone: where its life is sealed, none has it.
        is_tombstone_wanted = [frontier, seen](const Dot& dot) {
            return frontier.contains(dot) && !seen.contains(dot);
        };
    }
    jobs_.run<absl::StatusOr<MissingPage>>(
        [this,
         group,
         ranges,
         after,
         bytes_max,
         sent = std::move(sent),
         is_tombstone_wanted = std::move(is_tombstone_wanted)]() mutable {
            return group_reader::missing_page(
                engine_, group, ranges, after, bytes_max, std::move(sent), is_tombstone_wanted);
        },
        [this,
         group,
         ranges,
         drops = drop_count(group),
         frontier = std::move(frontier),
         done = std::move(done)](absl::StatusOr<MissingPage> page) mutable {
            note_damage(group, page.status(), ranges);
            // The frontier is of before, what was read perhaps not.
            if (page.ok() && drops != drop_count(group)) page = being_dropped();
            if (page.ok()) {
                page->frontier = std::move(frontier);
            }
            give_durable<MissingPage>(std::move(page), std::move(done));
        });
}

void ReplicaStore::list_buckets(GroupId group,
                                const BucketSet& buckets,
                                std::string after,
                                size_t bytes_max,
                                Callback<ListingPage> done) {
    jobs_.run<absl::StatusOr<ListingPage>>(
        [this, group, buckets, after = std::move(after), bytes_max] {
            return group_reader::listing_page(
                engine_, group, buckets, after, {.bytes_max = bytes_max});
        },
        noting_damage<ListingPage>(group, std::move(done)));
}

void ReplicaStore::fetch(GroupId group,
                         std::vector<std::string> keys,
                         Callback<std::vector<KeyRecord>> done) {
    jobs_.run<absl::StatusOr<std::vector<KeyRecord>>>(
        [this, group, keys = std::move(keys)] {
            return group_reader::records_of(engine_, group, keys);
        },
        [this, group, done = std::move(done)](
            absl::StatusOr<std::vector<KeyRecord>> records) mutable {
            note_damage(group, records.status());
            give_durable<std::vector<KeyRecord>>(std::move(records), std::move(done));
        });
}

void ReplicaStore::scan(GroupId group, KeyRange range, size_t bytes_max, Callback<ScanPage> done) {
    jobs_.run<absl::StatusOr<ScanPage>>(
        [this, group, range = std::move(range), bytes_max] {
            return group_reader::scan_page(engine_, group, range, bytes_max);
        },
        [this, group, done = std::move(done)](absl::StatusOr<ScanPage> page) mutable {
            note_damage(group, page.status());
            give_durable<ScanPage>(std::move(page), std::move(done));
        });
}

void ReplicaStore::check(GroupId group, Done done) {
    checks_.emplace_back(group, std::move(done));
    if (checks_.size() == 1) check_next();
}

void ReplicaStore::check_next() {
    const GroupId group = checks_.front().first;
    const auto damaged = damaged_groups_.find(group);
    std::vector<Frontier::Range> ranges;
    if (damaged != damaged_groups_.end()) ranges = damaged->second;
    jobs_.run<absl::Status>(
        [this, group, ranges = std::move(ranges)] {
            return group_reader::check(engine_, group, ranges);
        },
        [this, group](absl::Status status) {
            note_damage(group, status);
            Done done = std::move(checks_.front().second);
            checks_.pop_front();
            if (!checks_.empty()) check_next();
            done(std::move(status));
        });
}

void ReplicaStore::unshared(GroupId group,
                            const Frontier& own,
                            const Frontier& others,
                            size_t count_max,
                            Callback<std::vector<IndexedDot>> done) {
    jobs_.run<absl::StatusOr<std::vector<IndexedDot>>>(
        [this, group, count_max, ranges = own.minus(others)] {
            return group_reader::readable_writes(engine_, group, ranges, count_max);
        },
        std::move(done));
}

void ReplicaStore::merge_records(GroupId id,
                                 std::vector<KeyRecord> records,
                                 IndexedDots dots,
                                 Done done) {
    absl::Status status = check_not_dropping(id);
    if (STARLING_PLANTED(frontier_outside_batch) && status.ok()) {
        Frontier early = group_at(id).frontier;
        for (const IndexedDots::Entry& indexed : dots.entries)
            early.add(indexed.dot);
        std::string encoded;
        early.encode(encoded);
        storage::WriteBatch apart;
        apart.put(storage_keys::frontier(id), encoded);
        status = commits_.apply(apart);
    }
    storage::WriteBatch batch;
    for (const IndexedDots::Entry& indexed : dots.entries) {
        if (!group_at(id).frontier.contains(indexed.dot)) {
            batch.put(storage_keys::indexed_dot(id, indexed.dot), dots.keys[indexed.key]);
        }
    }
    if (status.ok() && !batch.empty()) {
        status = commits_.apply(batch);
    }
    if (!status.ok()) {
        done(std::move(status));
        return;
    }
    auto gained = std::make_shared<std::vector<IndexedDot>>();
    merge_unclaimed(
        id,
        std::move(records),
        gained,
        [this, id, drops = drop_count(id), gained, dots = std::move(dots), done = std::move(done)](
            absl::Status merged) mutable {
            if (drops != drop_count(id)) return done(being_dropped());
            // Of a page that was not merged whole nothing is claimed but what its records gained.
            merged.Update(claim(id, *gained, merged.ok() ? dots : IndexedDots{}));
            if (!merged.ok()) return done(std::move(merged));
            commits_.when_durable(std::move(done));
        });
}

void ReplicaStore::copy_records(GroupId group,
                                std::vector<KeyRecord> records,
                                std::string up_to,
                                Done done) {
    merge_unclaimed(group,
                    std::move(records),
                    std::make_shared<std::vector<IndexedDot>>(),
                    [this, group, up_to = std::move(up_to), done = std::move(done)](
                        absl::Status merged) mutable {
                        if (merged.ok()) merged = keep_copy_cursor(group, std::move(up_to));
                        if (!merged.ok()) return done(std::move(merged));
                        commits_.when_durable(std::move(done));
                    });
}

absl::Status ReplicaStore::keep_copy_cursor(GroupId id, std::string up_to) {
    STARLING_RETURN_IF_ERROR(check_not_dropping(id));
    Group& group = group_at(id);
    if (group.copied_up_to == up_to) return absl::OkStatus();
    storage::WriteBatch batch;
    if (up_to.empty()) {
        batch.remove(storage_keys::copy_cursor(id));
    } else {
        batch.put(storage_keys::copy_cursor(id), up_to);
    }
    STARLING_RETURN_IF_ERROR(commits_.apply(batch));
    group.copied_up_to = std::move(up_to);
    return absl::OkStatus();
}

std::string ReplicaStore::copied_up_to(GroupId group) {
    const auto found = groups_.find(group);
    return found == groups_.end() ? std::string() : found->second->copied_up_to;
}

void ReplicaStore::merge_unclaimed(GroupId group,
                                   std::vector<KeyRecord> records,
                                   const std::shared_ptr<std::vector<IndexedDot>>& gained,
                                   Done applied) {
    if (records.empty()) return applied(absl::OkStatus());
    struct Merge {
        std::string key;
        Record incoming;
        std::vector<Frontier::Range> gains = {};
        bool is_applied = false;
    };
    auto gathering = std::make_shared<Gathering>(records.size(), std::move(applied));
    for (KeyRecord& record : records) {
        auto one = std::make_shared<Merge>(
            Merge{.key = std::move(record.key), .incoming = std::move(record.record)});
        update(
            group,
            one->key,
            [one](Record& local, Frontier& frontier) {
                Frontier with_gains = frontier;
                merge(local, one->incoming, with_gains);
                one->gains = with_gains.minus(frontier);
                return absl::OkStatus();
            },
            [one, gained, gathering] {
                one->is_applied = true;
                for_each_dot(one->gains, [&](const Dot& dot) {
                    gained->push_back({.dot = dot, .key = one->key});
                });
                gathering->finish_one(absl::OkStatus());
            },
            [one, gathering](absl::Status status) {
                // Who was applied waits for the disk with all others.
                if (!one->is_applied) gathering->finish_one(std::move(status));
            });
    }
}

// One write for all records of a page. Its dots are claimed whether they are live there or
// superseded: so the frontier has no gap for each write that was replaced, and who pulls again
// after an interruption is not told of this page again.
absl::Status ReplicaStore::claim(GroupId id,
                                 const std::vector<IndexedDot>& gained,
                                 const IndexedDots& dots) {
    STARLING_RETURN_IF_ERROR(check_not_dropping(id));
    Group& group = group_at(id);
    Frontier frontier = group.frontier;
    storage::WriteBatch batch;
    for (const IndexedDots::Entry& indexed : dots.entries)
        frontier.add(indexed.dot);
    for (const IndexedDot& write : gained) {
        if (frontier.contains(write.dot)) continue;
        frontier.add(write.dot);
        batch.put(storage_keys::indexed_dot(id, write.dot), write.key);
    }
    if (frontier == group.frontier) return absl::OkStatus();
    std::string encoded;
    frontier.encode(encoded);
    batch.put(storage_keys::frontier(id), encoded);
    STARLING_RETURN_IF_ERROR(commits_.apply(batch));
    group.frontier = std::move(frontier);
    ++group.change_count;
    return absl::OkStatus();
}

void ReplicaStore::take_over(GroupId group,
                             std::vector<std::string> keys,
                             std::vector<KeyRecord> records,
                             const Frontier& seen,
                             Done done) {
    auto gathering = std::make_shared<Gathering>(keys.size(), std::move(done));
    std::map<std::string, Record> theirs;
    for (KeyRecord& record : records) {
        theirs.emplace(std::move(record.key), std::move(record.record));
    }
    for (std::string& key : keys) {
        update(
            group,
            key,
            [incoming = std::move(theirs[key]), seen](Record& record, Frontier& frontier) {
                node::take_over(record, incoming, seen, frontier);
                return absl::OkStatus();
            },
            nullptr,
            [gathering](absl::Status merged) { gathering->finish_one(std::move(merged)); });
    }
}

void ReplicaStore::unite_frontier(GroupId id, Frontier frontier, Done done) {
    if (absl::Status status = check_not_dropping(id); !status.ok()) {
        done(std::move(status));
        return;
    }
    Group& group = group_at(id);
    frontier.unite(group.frontier);
    if (frontier != group.frontier) {
        storage::WriteBatch batch;
        std::string encoded;
        frontier.encode(encoded);
        batch.put(storage_keys::frontier(id), encoded);
        const DotIndex::Ranges sealed = newly_sealed(group.frontier, frontier, group.stable);
        const bool are_few = DotIndex::are_few(sealed);
        if (are_few) DotIndex::remove(batch, id, sealed);
        if (absl::Status status = commits_.apply(batch); !status.ok()) {
            done(std::move(status));
            return;
        }
        // Of a page that is being merged the index may have more of the life than was seen yet.
        group.index_lags =
            group.index_lags || !are_few || frontier.sealed() != group.frontier.sealed();
        group.frontier = std::move(frontier);
        ++group.change_count;
    }
    commits_.when_durable(std::move(done));
}

}  // namespace starling::node
