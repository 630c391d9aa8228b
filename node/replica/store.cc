#include "node/replica/store.h"

#include <memory>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/mark.h"
#include "base/planted.h"
#include "base/status_macros.h"
#include "node/replica/storage_keys.h"

namespace starling::node {

namespace {

constexpr size_t records_per_drop_page = 256;

bool is_empty(const Record& record) {
    return record.siblings.empty() && record.context.empty() && record.gone.empty();
}

absl::Status being_dropped() {
    return absl::UnavailableError("the data of the group is being removed here");
}

absl::StatusOr<Record> decode_stored(const std::optional<std::string>& stored) {
    if (!stored.has_value()) {
        return Record{};
    }
    return decode_record(*stored);
}

// About what the record takes.
uint64_t memory_bytes(const Record& record) {
    uint64_t bytes = sizeof(Record) + record.gone.size() * sizeof(base::RequestId);
    for (const Sibling& sibling : record.siblings) {
        bytes += sizeof(Sibling) + sibling.value.size();
    }
    return bytes;
}

storage::IteratorOptions bounds_of(GroupId group) {
    std::string lower = storage_keys::record_prefix(group);
    std::string upper = storage_keys::prefix_end(lower);
    return {.lower = std::move(lower), .upper = std::move(upper), .snapshot = nullptr};
}

absl::StatusOr<std::vector<KeyDigest>> digests_in_bucket(storage::Engine& engine,
                                                         GroupId group,
                                                         size_t bucket) {
    std::vector<KeyDigest> found;
    const auto iterator = engine.new_iterator(bounds_of(group));
    for (iterator->seek_to_first(); iterator->valid(); iterator->next()) {
        const auto key = storage_keys::parse_record(iterator->key());
        if (bucket_of(key->group_key) != bucket) {
            continue;
        }
        STARLING_ASSIGN_OR_RETURN(const Record record, decode_record(iterator->value()));
        found.push_back(
            {.key = std::string(key->group_key), .digest = record_digest(key->group_key, record)});
    }
    STARLING_RETURN_IF_ERROR(iterator->status());
    return found;
}

absl::StatusOr<ScanPage> scan_page(storage::Engine& engine,
                                   GroupId group,
                                   const std::string& from,
                                   size_t bytes_max) {
    ScanPage page;
    size_t bytes = 0;
    const auto iterator = engine.new_iterator(bounds_of(group));
    for (iterator->seek(storage_keys::record(group, from)); iterator->valid(); iterator->next()) {
        const auto key = storage_keys::parse_record(iterator->key());
        const size_t size = key->group_key.size() + iterator->value().size();
        if (!page.records.empty() && bytes + size > bytes_max) {
            page.next = std::string(key->group_key);
            break;
        }
        STARLING_ASSIGN_OR_RETURN(Record record, decode_record(iterator->value()));
        page.records.push_back({.key = std::string(key->group_key), .record = std::move(record)});
        bytes += size;
    }
    STARLING_RETURN_IF_ERROR(iterator->status());
    return page;
}

}  // namespace

ReplicaStore::ReplicaStore(env::EventLoop& loop, env::Workers& workers, storage::Engine& engine)
    : loop_(loop), workers_(workers), engine_(engine), commits_(loop, workers, engine) {}

template <typename T>
void ReplicaStore::on_worker(absl::AnyInvocable<T()> job, absl::AnyInvocable<void(T)> done) {
    ++jobs_open_;
    workers_.submit([this, job = std::move(job), done = std::move(done)]() mutable {
        T result = job();
        // What it holds of the engine (a snapshot) must be gone before the loop may close that.
        job = nullptr;
        loop_.post([this, result = std::move(result), done = std::move(done)]() mutable {
            --jobs_open_;
            done(std::move(result));
        });
    });
}

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
        group_at(*group).frontier = std::move(frontier);
    }
    STARLING_RETURN_IF_ERROR(iterator->status());
    STARLING_RETURN_IF_ERROR(find_groups_with_records());
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
    on_worker<absl::StatusOr<Rebuilt>>(
        [this, snapshot]() -> absl::StatusOr<Rebuilt> {
            Rebuilt rebuilt;
            const auto iterator = engine_.new_iterator({.lower = storage_keys::records_begin(),
                                                        .upper = storage_keys::records_end(),
                                                        .snapshot = snapshot.get()});
            for (iterator->seek_to_first(); iterator->valid(); iterator->next()) {
                const auto key = storage_keys::parse_record(iterator->key());
                if (!key.has_value()) {
                    return absl::DataLossError("a stored record has a key that does not decode");
                }
                STARLING_ASSIGN_OR_RETURN(const Record record, decode_record(iterator->value()));
                Group& group = rebuilt[key->group];
                group.buckets[bucket_of(key->group_key)] += record_digest(key->group_key, record);
                ++group.record_count;
            }
            STARLING_RETURN_IF_ERROR(iterator->status());
            return rebuilt;
        },
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
        use(decode_stored(*stored));
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
    on_worker<absl::StatusOr<std::optional<std::string>>>(
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
            use(decode_stored(*current));
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
    const uint64_t digest_before = existed ? record_digest(key, record) : 0;
    Frontier frontier = group.frontier;
    std::string before;
    encode_record(before, record);
    STARLING_RETURN_IF_ERROR(change(record, frontier));

    if (STARLING_PLANTED(request_ids_forgotten)) {
        record.gone.clear();
    }
    storage::WriteBatch batch;
    std::string after;
    encode_record(after, record);
    const bool record_changed = after != before;
    if (record_changed) {
        batch.put(storage_keys::record(id, key), after);
    }
    const bool frontier_changed = frontier != group.frontier;
    if (frontier_changed) {
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
        has_records_ = true;
        note_unsynced(storage_keys::record(id, key));
        const bool is_delete = !record.has_live_value();
        if (!(is_delete && STARLING_PLANTED(tree_not_updated_on_delete))) {
            group.buckets[bucket_of(key)] += record_digest(key, record) - digest_before;
        }
        group.record_count += existed ? 0 : 1;
    }
    group.frontier = std::move(frontier);
    return absl::OkStatus();
}

void ReplicaStore::drop(GroupId group, Done done) {
    groups_.erase(group);
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
    on_worker<absl::StatusOr<std::vector<std::string>>>(
        [this, group]() -> absl::StatusOr<std::vector<std::string>> {
            std::vector<std::string> keys;
            const auto iterator = engine_.new_iterator(bounds_of(group));
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

void ReplicaStore::list_bucket(GroupId group,
                               size_t bucket,
                               Callback<std::vector<KeyDigest>> done) {
    on_worker<absl::StatusOr<std::vector<KeyDigest>>>(
        [this, group, bucket] { return digests_in_bucket(engine_, group, bucket); },
        std::move(done));
}

void ReplicaStore::fetch(GroupId group,
                         std::vector<std::string> keys,
                         Callback<std::vector<KeyRecord>> done) {
    on_worker<absl::StatusOr<std::vector<KeyRecord>>>(
        [this, group, keys = std::move(keys)]() -> absl::StatusOr<std::vector<KeyRecord>> {
            std::vector<KeyRecord> found;
            for (const std::string& key : keys) {
                STARLING_ASSIGN_OR_RETURN(const std::optional<std::string> stored,
                                          engine_.get(storage_keys::record(group, key)));
                if (stored.has_value()) {
                    STARLING_ASSIGN_OR_RETURN(Record record, decode_record(*stored));
                    found.push_back({.key = key, .record = std::move(record)});
                }
            }
            return found;
        },
        std::move(done));
}

void ReplicaStore::scan(GroupId group,
                        std::string from,
                        size_t bytes_max,
                        Callback<ScanPage> done) {
    on_worker<absl::StatusOr<ScanPage>>(
        [this, group, from = std::move(from), bytes_max] {
            return scan_page(engine_, group, from, bytes_max);
        },
        std::move(done));
}

void ReplicaStore::merge_records(GroupId group, std::vector<KeyRecord> records, Done done) {
    struct Pending {
        size_t left = 0;
        absl::Status status;
        Done done;
    };
    if (records.empty()) {
        commits_.when_durable(std::move(done));
        return;
    }
    // Shared by the updates of this call, which end in any order.
    auto pending = std::make_shared<Pending>();
    pending->left = records.size();
    pending->done = std::move(done);
    for (KeyRecord& incoming : records) {
        std::string key = incoming.key;
        update(
            group,
            std::move(key),
            [incoming = std::move(incoming)](Record& record, Frontier& frontier) {
                merge(record, incoming.record, frontier);
                return absl::OkStatus();
            },
            nullptr,
            [pending](absl::Status status) {
                pending->status.Update(std::move(status));
                if (--pending->left == 0) {
                    pending->done(pending->status);
                }
            });
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
        if (absl::Status status = commits_.apply(batch); !status.ok()) {
            done(std::move(status));
            return;
        }
        group.frontier = std::move(frontier);
    }
    commits_.when_durable(std::move(done));
}

}  // namespace starling::node
