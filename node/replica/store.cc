#include "node/replica/store.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/container/inlined_vector.h"

#include "base/check.h"
#include "base/mark.h"
#include "base/planted.h"
#include "base/status_macros.h"
#include "node/replica/storage_keys.h"
#include "node/version/collection.h"

namespace starling::node {

namespace {

constexpr size_t records_per_drop_page = 256;
constexpr size_t tombstones_per_page = 256;

bool is_empty(const Record& record) {
    return record.siblings.empty() && record.context.empty() && record.gone.empty();
}

absl::Status being_dropped() {
    return absl::UnavailableError("the data of the group is being removed here");
}

// About what the record takes.
uint64_t memory_bytes(const Record& record) {
    uint64_t bytes = sizeof(Record) + record.gone.size() * sizeof(base::RequestId);
    for (const Sibling& sibling : record.siblings) {
        bytes += sizeof(Sibling) + sibling.value.size();
    }
    return bytes;
}

// Those of a record, by the age of their requests.
using Tombstones = absl::InlinedVector<std::pair<uint64_t, Dot>, 2>;

Tombstones tombstones_of(const Record& record) {
    Tombstones tombstones;
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

template <typename Act>
void for_each_dot(const std::vector<Frontier::Range>& ranges, const Act& act) {
    for (const Frontier::Range& range : ranges) {
        for (uint64_t sequence = range.first; sequence <= range.last; ++sequence) {
            act(Dot{range.actor, sequence});
        }
    }
}

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

// Ends when the last of several jobs has, with the first error.
class Gathering {
  public:
    Gathering(size_t count, ReplicaStore::Done done) : left_(count), done_(std::move(done)) {}
    void finish_one(absl::Status status) {
        status_.Update(std::move(status));
        if (--left_ == 0) {
            done_(status_);
        }
    }

  private:
    size_t left_;
    absl::Status status_;
    ReplicaStore::Done done_;
};

}  // namespace

ReplicaStore::ReplicaStore(env::EventLoop& loop, env::Workers& workers, storage::Engine& engine)
    : engine_(engine),
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
    STARLING_RETURN_IF_ERROR(expiries_.load(engine_));
    start_rebuild();
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
    return records->status();
}

void ReplicaStore::start_rebuild() {
    rebuilding_ = true;
    std::shared_ptr<storage::Snapshot> snapshot = engine_.snapshot();
    jobs_.run<absl::StatusOr<Rebuilt>>(
        [this, snapshot] { return group_reader::count_groups(engine_, *snapshot); },
        [this](const absl::StatusOr<Rebuilt>& rebuilt) { finish_rebuild(rebuilt); });
}

void ReplicaStore::finish_rebuild(const absl::StatusOr<Rebuilt>& rebuilt) {
    rebuilding_ = false;
    if (rebuilt.ok()) {
        for (const auto& [id, added] : *rebuilt) {
            if (dropping_.contains(id)) {
                continue;
            }
            Group& group = group_at(id);
            for (size_t bucket = 0; bucket < bucket_count; ++bucket) {
                group.buckets[bucket] += added.buckets[bucket];
            }
            group.record_count += added.record_count;
            group.tombstone_count += added.tombstone_count;
        }
    } else {
        STARLING_MARK(store_rebuild_failed);
        // The trees stay unready; reads of the damaged record name the damage.
        damage_ = rebuilt.status();
    }
    for (absl::AnyInvocable<void()>& task : std::exchange(after_rebuild_, {})) {
        task();
    }
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

uint64_t ReplicaStore::tombstone_count() const {
    uint64_t count = 0;
    for (const auto& [id, group] : groups_) {
        count += group->tombstone_count;
    }
    return count;
}

uint64_t ReplicaStore::tombstone_count(GroupId group) const {
    const auto found = groups_.find(group);
    return found == groups_.end() ? 0 : found->second->tombstone_count;
}

uint64_t ReplicaStore::record_count() const {
    uint64_t count = 0;
    for (const auto& [id, group] : groups_) {
        count += group->record_count;
    }
    return count;
}

void ReplicaStore::with_record(GroupId group, const std::string& key, ReadCallback use) {
    std::string storage_key = storage_keys::record(group, key);
    const auto loading = loading_.find(storage_key);
    if (loading != loading_.end()) {
        STARLING_MARK(store_waits_for_load_of_another);
        loading->second.push_back(std::move(use));
        return;
    }
    absl::StatusOr<std::optional<std::string>> stored = engine_.get_from_memory(storage_key);
    if (stored.ok()) {
        use(group_reader::decode_stored(*stored));
        return;
    }
    if (!absl::IsUnavailable(stored.status())) {
        use(std::move(stored).status());
        return;
    }
    loading_[storage_key].push_back(std::move(use));
    load_record(storage_key);
}

void ReplicaStore::load_record(const std::string& storage_key) {
    jobs_.run<absl::StatusOr<std::optional<std::string>>>(
        [this, storage_key] { return engine_.get(storage_key); },
        [this, storage_key](const absl::StatusOr<std::optional<std::string>>& loaded) {
            finish_load(storage_key, loaded);
        });
}

void ReplicaStore::finish_load(const std::string& storage_key,
                               const absl::StatusOr<std::optional<std::string>>& loaded) {
    const auto loading = loading_.find(storage_key);
    STARLING_CHECK(loading != loading_.end());
    std::deque<ReadCallback> waiters = std::move(loading->second);
    loading_.erase(loading);
    const uint64_t applied_before = commits_.applied();
    while (!waiters.empty()) {
        // What an earlier waiter changed is in memory now; what none changed is as it was loaded.
        absl::StatusOr<std::optional<std::string>> current = engine_.get_from_memory(storage_key);
        if (!current.ok() && absl::IsUnavailable(current.status())) {
            if (commits_.applied() != applied_before) {
                STARLING_MARK(store_loads_again);
                // Changed, perhaps, and flushed to the disk since.
                load_again(storage_key, std::move(waiters));
                return;
            }
            current = loaded;
        }
        ReadCallback use = std::move(waiters.front());
        waiters.pop_front();
        if (current.ok()) {
            use(group_reader::decode_stored(*current));
        } else {
            use(current.status());
        }
    }
}

void ReplicaStore::load_again(const std::string& storage_key, std::deque<ReadCallback> waiters) {
    const auto [place, is_new] = loading_.try_emplace(storage_key);
    std::deque<ReadCallback>& queue = place->second;
    queue.insert(queue.begin(),
                 std::make_move_iterator(waiters.begin()),
                 std::make_move_iterator(waiters.end()));
    if (is_new) {
        load_record(storage_key);
    }
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
                    const uint64_t bytes = memory_bytes(*record);
                    waiting_read_bytes_ += bytes;
                    commits_.when_durable_up_to(
                        commit,
                        [this, bytes, record = std::move(record), done = std::move(done)](
                            absl::Status status) mutable {
                            waiting_read_bytes_ -= bytes;
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
    if (record.siblings.empty()) {
        // Of what was collected here nothing is left to come back to.
        forget_requests_before(record, group.forget_before_ms);
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
        group.tombstone_count += tombstones.size() - tombstones_before.size();
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
            found->second->index_is_read = false;
            if (status.ok()) {
                found->second->stable = stable;
            } else {
                found->second->index_lags = true;
            }
        });
}

struct ReplicaStore::Collection {
    GroupId group;
    uint64_t forget_before_ms = 0;
    LatestOnly latest_only;
    CollectDone done;
    // Where the next page starts.
    std::string next;
    Collected result;
};

void ReplicaStore::collect(GroupId group,
                           uint64_t forget_before_ms,
                           LatestOnly latest_only,
                           CollectDone done) {
    group_at(group).forget_before_ms = forget_before_ms;
    auto collection = std::make_shared<Collection>();
    collection->group = group;
    collection->forget_before_ms = forget_before_ms;
    collection->latest_only = std::move(latest_only);
    collection->done = std::move(done);
    collect_page(std::move(collection));
}

void ReplicaStore::collect_page(std::shared_ptr<Collection> collection) {
    using Page = absl::StatusOr<std::vector<group_reader::StoredTombstone>>;
    Collection& state = *collection;
    jobs_.run<Page>(
        [this, group = state.group, before = state.forget_before_ms, next = state.next] {
            return group_reader::tombstones_page(engine_, group, before, next, tombstones_per_page);
        },
        [this, collection = std::move(collection)](Page page) mutable {
            if (!page.ok()) {
                collection->done(page.status());
            } else if (page->empty()) {
                collection->done(collection->result);
            } else {
                collect_all(*std::move(page), std::move(collection));
            }
        });
}

void ReplicaStore::collect_all(std::vector<group_reader::StoredTombstone> tombstones,
                               std::shared_ptr<Collection> collection) {
    const group_reader::StoredTombstone& last = tombstones.back();
    const GroupId group = collection->group;
    collection->next = storage_keys::tombstone(group, last.request_created_ms, last.dot) + '\0';
    const auto note_left = [collection](const group_reader::StoredTombstone& tombstone) {
        uint64_t& oldest = collection->result.oldest_left_ms;
        oldest = oldest == 0 ? tombstone.request_created_ms
                             : std::min(oldest, tombstone.request_created_ms);
    };
    const Frontier& all_seen = stable(group);
    std::erase_if(tombstones, [&](const group_reader::StoredTombstone& tombstone) {
        if (all_seen.is_past(tombstone.dot)) return false;
        note_left(tombstone);
        return true;
    });
    if (tombstones.empty()) {
        collect_page(std::move(collection));
        return;
    }
    auto gathering = std::make_shared<Gathering>(tombstones.size(),
                                                 [this, collection](absl::Status status) mutable {
                                                     if (!status.ok()) {
                                                         collection->done(std::move(status));
                                                         return;
                                                     }
                                                     collect_page(std::move(collection));
                                                 });
    for (group_reader::StoredTombstone& tombstone : tombstones) {
        std::string key = tombstone.key;
        update(
            group,
            std::move(key),
            [this, collection, note_left, tombstone = std::move(tombstone)](
                Record& record, Frontier& /*frontier*/) {
                forget_requests_before(record, collection->forget_before_ms);
                const auto count = [&record] {
                    return std::count_if(
                        record.siblings.begin(), record.siblings.end(), [](const Sibling& sibling) {
                            return sibling.is_tombstone;
                        });
                };
                const auto before = count();
                const std::optional<bool> latest_only =
                    collection->latest_only(split_group_key(tombstone.key).name_space);
                // Requests that it remembers still are remembered beside something.
                if (!record.gone.empty()) {
                    STARLING_MARK(collect_request_remembered);
                } else if (latest_only.has_value()) {
                    collect_tombstones(record,
                                       stable(collection->group),
                                       collection->forget_before_ms,
                                       *latest_only);
                }
                const auto went = before - count();
                collection->result.tombstones += static_cast<uint64_t>(went);
                if (went == 0) note_left(tombstone);
                return absl::OkStatus();
            },
            nullptr,
            [gathering](absl::Status status) { gathering->finish_one(std::move(status)); });
    }
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
        std::move(done));
}

void ReplicaStore::drop(GroupId group, Done done) {
    groups_.erase(group);
    expiries_.forget(group);
    dropping_.insert(group);
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

void ReplicaStore::drop_now(GroupId group, Done done) {
    storage::WriteBatch batch;
    batch.remove(storage_keys::frontier(group));
    for (const std::string& prefix : {storage_keys::indexed_dots_prefix(group),
                                      storage_keys::tombstones_prefix(group),
                                      storage_keys::expiries_prefix(group)}) {
        batch.remove_range(prefix, storage_keys::prefix_end(prefix));
    }
    if (absl::Status status = commits_.apply(batch); !status.ok()) {
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
            if (!keys.ok() || keys->empty()) {
                done(keys.status());
                return;
            }
            storage::WriteBatch batch;
            for (const std::string& key : *keys) {
                batch.remove(key);
            }
            if (absl::Status status = commits_.apply(batch); !status.ok()) {
                done(std::move(status));
                return;
            }
            drop_page(group, std::move(done));
        });
}

uint64_t ReplicaStore::drop_count(GroupId group) const {
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
        return absl::UnavailableError("the hash trees are being rebuilt");
    }
    const auto found = groups_.find(group);
    if (found == groups_.end()) {
        return GroupSummary{};
    }
    return GroupSummary{.frontier = found->second->frontier, .buckets = found->second->buckets};
}

void ReplicaStore::missing(GroupId group,
                           const Frontier& seen,
                           std::optional<Dot> after,
                           size_t bytes_max,
                           Callback<MissingPage> done) {
    Frontier frontier = this->frontier(group);
    std::vector<Frontier::Range> ranges = frontier.minus(seen);
    jobs_.run<absl::StatusOr<MissingPage>>(
        [this, group, ranges = std::move(ranges), after, bytes_max] {
            return group_reader::missing_page(engine_, group, ranges, after, bytes_max);
        },
        [frontier = std::move(frontier),
         done = std::move(done)](absl::StatusOr<MissingPage> page) mutable {
            if (page.ok()) {
                page->frontier = std::move(frontier);
            }
            done(std::move(page));
        });
}

void ReplicaStore::list_bucket(GroupId group,
                               size_t bucket,
                               Callback<std::vector<KeyDigest>> done) {
    jobs_.run<absl::StatusOr<std::vector<KeyDigest>>>(
        [this, group, bucket] { return group_reader::digests_in_bucket(engine_, group, bucket); },
        std::move(done));
}

void ReplicaStore::fetch(GroupId group,
                         std::vector<std::string> keys,
                         Callback<std::vector<KeyRecord>> done) {
    jobs_.run<absl::StatusOr<std::vector<KeyRecord>>>(
        [this, group, keys = std::move(keys)] {
            return group_reader::records_of(engine_, group, keys);
        },
        std::move(done));
}

void ReplicaStore::scan(GroupId group,
                        std::string from,
                        size_t bytes_max,
                        Callback<ScanPage> done) {
    jobs_.run<absl::StatusOr<ScanPage>>(
        [this, group, from = std::move(from), bytes_max] {
            return group_reader::scan_page(engine_, group, from, bytes_max);
        },
        [this, done = std::move(done)](absl::StatusOr<ScanPage> page) mutable {
            // Who copies does not claim what it gets: of a write that a crash takes from here
            // nobody would know that it is there (S32 of docs/causality.md).
            commits_.when_durable(
                [page = std::move(page), done = std::move(done)](absl::Status status) mutable {
                    if (status.ok()) {
                        done(std::move(page));
                    } else {
                        done(std::move(status));
                    }
                });
        });
}

void ReplicaStore::merge_records(GroupId id,
                                 std::vector<KeyRecord> records,
                                 std::vector<IndexedDot> dots,
                                 Done done) {
    absl::Status status = check_not_dropping(id);
    storage::WriteBatch batch;
    for (const IndexedDot& indexed : dots) {
        if (!group_at(id).frontier.contains(indexed.dot)) {
            batch.put(storage_keys::indexed_dot(id, indexed.dot), indexed.key);
        }
    }
    if (status.ok() && !batch.empty()) {
        status = commits_.apply(batch);
    }
    if (!status.ok()) {
        done(std::move(status));
        return;
    }
    update_all(
        id,
        std::move(records),
        [](Record& local, const Record& incoming, Frontier& frontier) {
            merge(local, incoming, frontier);
        },
        std::move(done));
}

void ReplicaStore::copy_records(GroupId group, std::vector<KeyRecord> records, Done done) {
    update_all(
        group,
        std::move(records),
        [](Record& local, const Record& incoming, Frontier& frontier) {
            Frontier unclaimed = frontier;
            merge(local, incoming, unclaimed);
        },
        std::move(done));
}

void ReplicaStore::update_all(GroupId group,
                              std::vector<KeyRecord> records,
                              MergeChange change,
                              Done done) {
    if (records.empty()) {
        commits_.when_durable(std::move(done));
        return;
    }
    auto gathering = std::make_shared<Gathering>(records.size(), std::move(done));
    for (KeyRecord& incoming : records) {
        std::string key = incoming.key;
        update(
            group,
            std::move(key),
            [change, incoming = std::move(incoming)](Record& record, Frontier& frontier) {
                change(record, incoming.record, frontier);
                return absl::OkStatus();
            },
            nullptr,
            [gathering](absl::Status merged) { gathering->finish_one(std::move(merged)); });
    }
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
        group.index_lags = group.index_lags || !are_few;
        group.frontier = std::move(frontier);
        ++group.change_count;
    }
    commits_.when_durable(std::move(done));
}

}  // namespace starling::node
