#include "node/replica/store.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/container/inlined_vector.h"
#include <fmt/format.h>

#include "base/check.h"
#include "base/error.h"
#include "base/mark.h"
#include "base/planted.h"
#include "base/status_macros.h"
#include "node/replica/each_dot.h"
#include "node/replica/storage_keys.h"
#include "node/version/collection.h"

namespace starling::node {

namespace {

constexpr size_t records_per_drop_page = 256;

bool is_empty(const Record& record) {
    return record.siblings.empty() && record.context.empty() && record.gone.empty();
}

// About what the record takes.
uint64_t memory_bytes(const Record& record) {
    uint64_t bytes = sizeof(Record) + record.gone.size() * sizeof(base::RequestId);
    for (const Sibling& sibling : record.siblings) {
        bytes += sizeof(Sibling) + sibling.value.size();
    }
    return bytes;
}

// Those of a record, by the age of their requests; its remains, too, as one.
using Tombstones = absl::InlinedVector<std::pair<uint64_t, Dot>, 2>;

Tombstones tombstones_of(const Record& record) {
    Tombstones tombstones;
    const bool is_remains = record.siblings.empty() && !record.context.empty();
    if (is_remains && !STARLING_PLANTED(remains_not_listed)) {
        const uint64_t created_ms = record.gone.empty() ? 0 : record.gone.back().created_ms;
        const Context::Entry& entry = record.context.entries().back();
        tombstones.emplace_back(created_ms, Dot{entry.actor, entry.sequence});
    }
    for (const Sibling& sibling : record.siblings) {
        if (sibling.is_tombstone) {
            tombstones.emplace_back(sibling.request.created_ms, sibling.dot);
        }
    }
    return tombstones;
}

// Makes the group's list say of the key what its record says.
void list_tombstones(storage::WriteBatch& batch,
                     GroupId group,
                     const std::string& key,
                     const Tombstones& before,
                     const Tombstones& after) {
    const auto contains = [](const Tombstones& list, const std::pair<uint64_t, Dot>& tombstone) {
        return std::find(list.begin(), list.end(), tombstone) != list.end();
    };
    for (const auto& old : before) {
        if (!contains(after, old)) {
            batch.remove(storage_keys::tombstone(group, old.first, old.second));
        }
    }
    for (const auto& added : after) {
        if (!contains(before, added)) {
            batch.put(storage_keys::tombstone(group, added.first, added.second), key);
        }
    }
}

}  // namespace

ReplicaStore::ReplicaStore(env::EventLoop& loop, env::Workers& workers, storage::Engine& engine)
    : loop_(loop),
      engine_(engine),
      jobs_(loop, workers),
      commits_(loop, workers, engine),
      dot_index_(jobs_, engine, commits_) {}

absl::Status ReplicaStore::load() {
    const auto iterator = engine_.new_iterator(
        {.lower = storage_keys::frontiers_begin(), .upper = storage_keys::frontiers_end()});
    for (iterator->seek_to_first(); iterator->valid(); iterator->next()) {
        const auto group = storage_keys::parse_frontier(iterator->key());
        base::Reader in(iterator->value());
        Frontier frontier = Frontier::decode(in);
        if (!group.has_value() || !in.finished()) {
            return absl::DataLossError("a stored frontier does not decode");
        }
        Group& found = group_at(*group);
        found.frontier = std::move(frontier);
        found.index_lags = true;
    }
    STARLING_RETURN_IF_ERROR(iterator->status());
    STARLING_RETURN_IF_ERROR(find_groups_with_records());
    STARLING_RETURN_IF_ERROR(load_copy_cursors());
    STARLING_RETURN_IF_ERROR(load_expiries());
    return load_trees();
}

absl::Status ReplicaStore::load_copy_cursors() {
    const auto cursors = engine_.new_iterator(
        {.lower = storage_keys::copy_cursors_begin(), .upper = storage_keys::copy_cursors_end()});
    for (cursors->seek_to_first(); cursors->valid(); cursors->next()) {
        const auto group = storage_keys::parse_copy_cursor(cursors->key());
        if (group.has_value()) group_at(*group).copied_up_to = cursors->value();
    }
    // Where it cannot be read the copy begins anew.
    if (absl::IsDataLoss(cursors->status())) return absl::OkStatus();
    return cursors->status();
}

// Who looks for what has expired meets the damage again, and in which groups it is.
absl::Status ReplicaStore::load_expiries() {
    absl::Status loaded = expiries_.load(engine_);
    if (!absl::IsDataLoss(loaded)) {
        return loaded;
    }
    STARLING_MARK(store_loads_damaged_expiries);
    for (const auto& [id, group] : groups_) {
        expiries_.expect(id, 0);
    }
    damage_.Update(loaded);
    return absl::OkStatus();
}

// A drop that a crash cut off has left records without a frontier: their group must be known, so
// that it can be dropped again.
absl::Status ReplicaStore::find_groups_with_records() {
    const auto records = engine_.new_iterator(
        {.lower = storage_keys::records_begin(), .upper = storage_keys::records_end()});
    records->seek_to_first();
    while (records->valid()) {
        const auto key = storage_keys::parse_record(records->key());
        if (!key.has_value()) {
            return absl::DataLossError("a stored record has a key that does not decode");
        }
        has_records_ = true;
        group_at(key->group);
        records->seek(storage_keys::prefix_end(storage_keys::record_prefix(key->group)));
    }
    if (absl::IsDataLoss(records->status())) {
        STARLING_MARK(store_loads_damaged_records);
        // Groups with a frontier are known; what a drop left of others stays for the next start.
        has_records_ = true;
        damage_ = records->status();
        return absl::OkStatus();
    }
    return records->status();
}

void ReplicaStore::note_damage(GroupId group,
                               const absl::Status& status,
                               const std::vector<Frontier::Range>& of) {
    if (!absl::IsDataLoss(status)) return;
    STARLING_MARK(store_met_damage);
    damage_.Update(status);
    std::vector<Frontier::Range>& ranges = damaged_groups_[group];
    if (!of.empty()) ranges = of;
}

std::vector<GroupId> ReplicaStore::damaged_groups() const {
    std::vector<GroupId> groups;
    groups.reserve(damaged_groups_.size());
    for (const auto& [group, ranges] : damaged_groups_) {
        groups.push_back(group);
    }
    return groups;
}

bool ReplicaStore::has_data(GroupId group) const {
    const auto found = groups_.find(group);
    return found != groups_.end() &&
           (!trees_ready() || found->second->record_count > 0 || !found->second->frontier.empty());
}

void ReplicaStore::put_frontier(storage::WriteBatch& batch, GroupId group) const {
    const Frontier& frontier = groups_.at(group)->frontier;
    if (frontier.empty()) {
        batch.remove(storage_keys::frontier(group));
        return;
    }
    std::string encoded;
    frontier.encode(encoded);
    batch.put(storage_keys::frontier(group), encoded);
}

ReplicaStore::Group& ReplicaStore::group_at(GroupId group) {
    std::unique_ptr<Group>& slot = groups_[group];
    if (slot == nullptr) {
        slot = std::make_unique<Group>();
    }
    return *slot;
}

const Frontier& ReplicaStore::frontier(GroupId group) {
    return group_at(group).frontier;
}

std::vector<GroupId> ReplicaStore::groups() const {
    std::vector<GroupId> found;
    found.reserve(groups_.size());
    for (const auto& [id, group] : groups_) {
        found.push_back(id);
    }
    return found;
}

void ReplicaStore::with_record(GroupId group, const std::string& key, ReadCallback use) {
    std::string storage_key = storage_keys::record(group, key);
    const auto loading = loading_.find(storage_key);
    if (loading != loading_.end()) {
        STARLING_MARK(store_waits_for_load_of_another);
        loading->second.waiters.push_back(std::move(use));
        return;
    }
    absl::StatusOr<std::optional<std::string>> stored = engine_.get_from_memory(storage_key);
    if (stored.ok()) {
        absl::StatusOr<Record> record = group_reader::decode_stored(*stored);
        note_damage(group, record.status());
        use(std::move(record));
        return;
    }
    if (!absl::IsUnavailable(stored.status())) {
        note_damage(group, stored.status());
        use(std::move(stored).status());
        return;
    }
    loading_[storage_key].waiters.push_back(std::move(use));
    load_record(group, storage_key);
}

void ReplicaStore::load_record(GroupId group, const std::string& storage_key) {
    Loading& loading = loading_.at(storage_key);
    loading.drops = drop_count(group);
    loading.began_in_drop = dropping_.contains(group);
    jobs_.run<absl::StatusOr<std::optional<std::string>>>(
        [this, storage_key] { return engine_.get(storage_key); },
        [this, group, storage_key](const absl::StatusOr<std::optional<std::string>>& loaded) {
            finish_load(group, storage_key, loaded);
        });
}

void ReplicaStore::finish_load(GroupId group,
                               const std::string& storage_key,
                               const absl::StatusOr<std::optional<std::string>>& loaded) {
    const uint64_t applied_before = commits_.applied();
    // Whoever comes meanwhile, called by a waiter, waits behind the others.
    for (auto loading = loading_.find(storage_key); !loading->second.waiters.empty();
         loading = loading_.find(storage_key)) {
        // What an earlier waiter changed is in memory now; what none changed is as it was loaded,
        // since all that changes a record waits here for it, but a drop.
        absl::StatusOr<std::optional<std::string>> current = engine_.get_from_memory(storage_key);
        if (absl::IsUnavailable(current.status())) {
            const Loading& load = loading->second;
            const bool met_drop =
                load.drops != drop_count(group) || load.began_in_drop != dropping_.contains(group);
            if (met_drop || commits_.applied() != applied_before) {
                STARLING_MARK(store_loads_again);
                // Changed, perhaps, and flushed to the disk since.
                load_record(group, storage_key);
                return;
            }
            current = loaded;
        }
        ReadCallback use = std::move(loading->second.waiters.front());
        loading->second.waiters.pop_front();
        absl::StatusOr<Record> record =
            current.ok() ? group_reader::decode_stored(*current) : current.status();
        note_damage(group, record.status());
        use(std::move(record));
    }
    loading_.erase(storage_key);
}

void ReplicaStore::read(GroupId group, const std::string& key, ReadCallback done) {
    std::string storage_key = storage_keys::record(group, key);
    with_record(group,
                key,
                [this, storage_key = std::move(storage_key), done = std::move(done)](
                    absl::StatusOr<Record> record) mutable {
                    const uint64_t commit = unsynced_commit(storage_key);
                    if (commit == 0 || !record.ok()) {
                        done(std::move(record));
                        return;
                    }
                    STARLING_MARK(store_read_waits_for_sync);
                    // 0: not counted.
                    const uint64_t bytes = waiting_reads_ == nullptr ? 0 : memory_bytes(*record);
                    if (bytes > 0 && !waiting_reads_->take(bytes)) {
                        STARLING_MARK(store_read_has_no_room_to_wait);
                        return done(base::make_error(
                            absl::StatusCode::kResourceExhausted,
                            base::reason::overloaded,
                            fmt::format("reads hold {} bytes while they wait for the disk, {} are "
                                        "allowed",
                                        waiting_reads_->bytes(),
                                        waiting_reads_->bytes_max())));
                    }
                    commits_.when_durable_up_to(
                        commit,
                        [this, bytes, record = std::move(record), done = std::move(done)](
                            absl::Status status) mutable {
                            if (bytes > 0 && waiting_reads_ != nullptr) {
                                waiting_reads_->give_back(bytes);
                            }
                            if (status.ok()) {
                                done(std::move(record));
                            } else {
                                done(std::move(status));
                            }
                        });
                });
}

void ReplicaStore::note_unsynced(const std::string& storage_key) {
    while (!unsynced_order_.empty() && unsynced_order_.front().first <= commits_.durable()) {
        const auto found = unsynced_.find(unsynced_order_.front().second);
        if (found != unsynced_.end() && found->second <= commits_.durable()) {
            unsynced_.erase(found);
        }
        unsynced_order_.pop_front();
    }
    unsynced_[storage_key] = commits_.applied();
    unsynced_order_.emplace_back(commits_.applied(), storage_key);
}

uint64_t ReplicaStore::unsynced_commit(const std::string& storage_key) {
    const auto found = unsynced_.find(storage_key);
    return found == unsynced_.end() || found->second <= commits_.durable() ? 0 : found->second;
}

void ReplicaStore::update(
    GroupId group, std::string key, Change change, Applied applied, Done done) {
    std::string name = key;
    with_record(group,
                name,
                [this,
                 group,
                 drops = drops_[group],
                 key = std::move(key),
                 change = std::move(change),
                 applied = std::move(applied),
                 done = std::move(done)](absl::StatusOr<Record> record) mutable {
                    absl::Status status = record.status();
                    if (drops != drops_[group]) {
                        STARLING_MARK(store_update_met_a_drop);
                        status = being_dropped();
                    } else if (status.ok()) {
                        status = apply_change(group, key, *std::move(record), change);
                    }
                    if (!status.ok()) {
                        done(std::move(status));
                        return;
                    }
                    const uint64_t commit = commits_.applied();
                    if (applied != nullptr) {
                        applied();
                    }
                    commits_.when_durable_up_to(commit, std::move(done));
                });
}

absl::Status ReplicaStore::being_dropped() {
    return base::make_error(absl::StatusCode::kUnavailable,
                            base::reason::no_owner,
                            "the data of the group is being removed here");
}

absl::Status ReplicaStore::check_not_dropping(GroupId group) const {
    return dropping_.contains(group) ? being_dropped() : absl::OkStatus();
}

absl::Status ReplicaStore::apply_change(GroupId id,
                                        const std::string& key,
                                        Record record,
                                        Change& change) {
    STARLING_RETURN_IF_ERROR(check_not_dropping(id));
    Group& group = group_at(id);
    const bool existed = !is_empty(record);
    const uint64_t leaf_before = leaf_digest(key, record);
    const Tombstones tombstones_before = tombstones_of(record);
    const ExpiryIndex::Expiries expiries_before = ExpiryIndex::of(record);
    Frontier frontier = group.frontier;
    std::string before;
    encode_record(before, record);
    strip_context(record, group.stable);
    STARLING_RETURN_IF_ERROR(change(record, frontier));
    strip_context(record, group.stable);
    if (forget_remains(record, group.stable, group.forget_before_ms)) {
        STARLING_MARK(store_forgets_remains);
    }
    if (STARLING_PLANTED(tombstone_dropped_early)) {
        std::erase_if(record.siblings, [](const Sibling& sibling) { return sibling.is_tombstone; });
        record.context = record.siblings.empty() ? Context{} : record.context;
    }

    if (STARLING_PLANTED(request_ids_forgotten)) {
        record.gone.clear();
    }
    storage::WriteBatch batch;
    std::string after;
    encode_record(after, record);
    const bool record_changed = after != before;
    const bool exists = !is_empty(record);
    const Tombstones tombstones = tombstones_of(record);
    if (record_changed && exists) {
        batch.put(storage_keys::record(id, key), after);
    } else if (existed && !exists) {
        batch.remove(storage_keys::record(id, key));
    }
    list_tombstones(batch, id, key, tombstones_before, tombstones);
    const ExpiryIndex::Expiries expiries = ExpiryIndex::of(record);
    ExpiryIndex::change(batch, id, key, expiries_before, expiries);
    if (frontier != group.frontier) {
        if (!STARLING_PLANTED(index_not_written)) {
            for_each_dot(frontier.minus(group.frontier), [&](const Dot& dot) {
                batch.put(storage_keys::indexed_dot(id, dot), key);
            });
        }
        std::string encoded;
        frontier.encode(encoded);
        if (STARLING_PLANTED(frontier_outside_batch)) {
            storage::WriteBatch apart;
            apart.put(storage_keys::frontier(id), encoded);
            STARLING_RETURN_IF_ERROR(commits_.apply(apart));
        } else {
            batch.put(storage_keys::frontier(id), encoded);
        }
    }
    if (batch.empty()) {
        return absl::OkStatus();
    }
    STARLING_RETURN_IF_ERROR(commits_.apply(batch));

    if (record_changed) {
        expiries_.note(id, expiries);
        has_records_ = true;
        note_unsynced(storage_keys::record(id, key));
        const bool is_delete = !record.has_live_value();
        if (!(is_delete && STARLING_PLANTED(tree_not_updated_on_delete))) {
            group.buckets[bucket_of(key)] += leaf_digest(key, record) - leaf_before;
        }
        group.record_count += uint64_t{exists} - uint64_t{existed};
        for (const auto& [created_ms, dot] : tombstones_before) {
            group.tombstones.remove(created_ms);
        }
        for (const auto& tombstone : tombstones) {
            group.tombstones.add(tombstone.first);
            const auto known =
                std::find(tombstones_before.begin(), tombstones_before.end(), tombstone);
            if (known != tombstones_before.end()) continue;
            group.next_tombstone_ms = std::min(group.next_tombstone_ms, tombstone.first);
        }
        if (trees_ready() && group.tombstones.count() == 0) group.next_tombstone_ms = UINT64_MAX;
    }
    group.frontier = std::move(frontier);
    ++group.change_count;
    return absl::OkStatus();
}

void ReplicaStore::set_stable(GroupId id, const Frontier& stable) {
    const auto found = groups_.find(id);
    if (found == groups_.end() || found->second->index_is_read) return;
    Group& group = *found->second;
    if (group.stable == stable && !group.index_lags) return;
    const DotIndex::Ranges newly_stable = stable.minus(group.stable);
    if (group.index_lags || !DotIndex::are_few(newly_stable)) {
        read_index(id, group, stable);
        return;
    }
    storage::WriteBatch batch;
    DotIndex::remove(batch, id, newly_stable);
    // Only then: a record that was stripped of a dot does not account for it, and the index would
    // take that for a loss.
    if (batch.empty() || commits_.apply(batch).ok()) group.stable = stable;
}

void ReplicaStore::read_index(GroupId id, Group& group, const Frontier& stable) {
    group.index_is_read = true;
    group.index_lags = false;
    Frontier gone = stable;
    for (const auto& [node, start] : group.frontier.sealed())
        gone.seal(node, start);
    dot_index_.remove_past(
        id,
        std::move(gone),
        [this, id, drops = drop_count(id)] { return drops == drop_count(id); },
        [this, id, drops = drop_count(id), stable](const absl::Status& status) {
            const auto found = groups_.find(id);
            if (drops != drop_count(id) || found == groups_.end()) return;
            note_damage(id, status);
            found->second->index_is_read = false;
            if (status.ok()) {
                found->second->stable = stable;
            } else {
                found->second->index_lags = true;
            }
        });
}

void ReplicaStore::expired(GroupId group,
                           uint64_t until_ms,
                           std::string from,
                           size_t count_max,
                           Callback<ExpiryIndex::Page> done) {
    jobs_.run<absl::StatusOr<ExpiryIndex::Page>>(
        [this, group, until_ms, from = std::move(from), count_max] {
            return ExpiryIndex::page(engine_, group, until_ms, from, count_max);
        },
        noting_damage<ExpiryIndex::Page>(group, std::move(done)));
}

void ReplicaStore::drop(GroupId group, Done done) {
    groups_.erase(group);
    expiries_.forget(group);
    if (dropping_.insert(group).second) ++partition_drops_[group.partition];
    ++drops_[group];
    Done end = [this, group, done = std::move(done)](absl::Status status) mutable {
        // After an error the disk may have records of it still, so that it stays closed.
        if (status.ok()) {
            dropping_.erase(group);
        } else {
            STARLING_MARK(store_drop_failed);
            // Known again, so that it can be dropped again.
            group_at(group);
        }
        done(std::move(status));
    };
    if (rebuilding_) {
        STARLING_MARK(store_drop_waits_for_rebuild);
        after_rebuild_.push_back(
            [this, group, end = std::move(end)]() mutable { drop_now(group, std::move(end)); });
    } else {
        drop_now(group, std::move(end));
    }
}

// Urgent: a move ends with it, and damage that has stopped merging is given up only after that.
void ReplicaStore::drop_now(GroupId group, Done done) {
    storage::WriteBatch batch;
    batch.remove(storage_keys::frontier(group));
    batch.remove(storage_keys::copy_cursor(group));
    for (const std::string& prefix : {storage_keys::indexed_dots_prefix(group),
                                      storage_keys::tombstones_prefix(group),
                                      storage_keys::expiries_prefix(group)}) {
        batch.remove_range(prefix, storage_keys::prefix_end(prefix));
    }
    if (absl::Status status = commits_.apply(batch, {.urgent = true}); !status.ok()) {
        done(std::move(status));
        return;
    }
    commits_.when_durable([this, group, done = std::move(done)](absl::Status status) mutable {
        if (!status.ok()) {
            done(std::move(status));
            return;
        }
        drop_page(group, std::move(done));
    });
}

void ReplicaStore::drop_page(GroupId group, Done done) {
    jobs_.run<absl::StatusOr<std::vector<std::string>>>(
        [this, group]() -> absl::StatusOr<std::vector<std::string>> {
            std::vector<std::string> keys;
            const std::string lower = storage_keys::record_prefix(group);
            const auto iterator = engine_.new_iterator(
                {.lower = lower, .upper = storage_keys::prefix_end(lower), .snapshot = nullptr});
            for (iterator->seek_to_first();
                 iterator->valid() && keys.size() < records_per_drop_page;
                 iterator->next()) {
                keys.emplace_back(iterator->key());
            }
            STARLING_RETURN_IF_ERROR(iterator->status());
            return keys;
        },
        [this, group, done = std::move(done)](
            absl::StatusOr<std::vector<std::string>> keys) mutable {
            note_damage(group, keys.status());
            if (!keys.ok() || keys->empty()) {
                done(keys.status());
                return;
            }
            storage::WriteBatch batch;
            for (const std::string& key : *keys) {
                batch.remove(key);
            }
            if (absl::Status status = commits_.apply(batch, {.urgent = true}); !status.ok()) {
                done(std::move(status));
                return;
            }
            drop_page(group, std::move(done));
        });
}

}  // namespace starling::node
