// The hash trees and the counts of what a store holds: kept over an orderly stop, else counted
// anew.

#include <algorithm>
#include <memory>
#include <utility>

#include "base/mark.h"
#include "base/planted.h"
#include "base/status_macros.h"
#include "node/replica/kept_trees.h"
#include "node/replica/store.h"

namespace starling::node {

absl::Status ReplicaStore::load_trees() {
    absl::StatusOr<std::optional<kept_trees::Trees>> kept = kept_trees::read(engine_);
    if (!kept.ok() || kept->has_value()) {
        storage::WriteBatch batch;
        if (!STARLING_PLANTED(trees_kept_for_ever)) kept_trees::remove(batch);
        STARLING_RETURN_IF_ERROR(commits_.apply(batch, {.urgent = true}));
    }
    if (!kept.ok() || !kept->has_value() || !damage_.ok() || !engine_.damage().ok()) {
        start_rebuild();
        return absl::OkStatus();
    }
    STARLING_MARK(store_trees_were_kept);
    finish_rebuild(**std::move(kept));
    return absl::OkStatus();
}

void ReplicaStore::keep_trees() {
    if (!trees_ready() || !damage().ok() || !dropping_.empty()) {
        return;
    }
    kept_trees::Trees trees;
    for (const auto& [id, group] : groups_) {
        if (group->record_count == 0 && group->tombstones.count() == 0) continue;
        trees.emplace(id,
                      group_reader::Counted{.buckets = group->buckets,
                                            .record_count = group->record_count,
                                            .tombstone_count = group->tombstones.count()});
    }
    storage::WriteBatch batch;
    kept_trees::put(batch, trees);
    if (!commits_.apply(batch).ok()) {
        STARLING_MARK(store_trees_not_kept);
    }
}

struct ReplicaStore::Rebuild {
    std::shared_ptr<storage::Snapshot> snapshot;
    // What was being dropped when it began: the snapshot still has it, and it may be gone by then.
    absl::btree_set<GroupId> dropping;
    group_reader::GroupCount count;
};

void ReplicaStore::start_rebuild() {
    rebuilding_ = true;
    rebuild_ = std::make_shared<Rebuild>(
        Rebuild{.snapshot = engine_.snapshot(), .dropping = dropping_, .count = {}});
    rebuild_page();
}

void ReplicaStore::stop_background() {
    loop_.cancel(rebuild_timer_);
    rebuild_.reset();
    if (checks_.size() > 1) checks_.erase(checks_.begin() + 1, checks_.end());
}

void ReplicaStore::rebuild_page() {
    jobs_.run<absl::StatusOr<bool>>(
        [this, rebuild = rebuild_] {
            return rebuild->count.read_page(engine_, *rebuild->snapshot, rebuild_pace_.page_bytes);
        },
        [this](const absl::StatusOr<bool>& is_done) {
            if (rebuild_ == nullptr) return;
            if (is_done.ok() && !*is_done) return plan_rebuild_page();
            const std::shared_ptr<Rebuild> rebuild = std::exchange(rebuild_, nullptr);
            if (!is_done.ok()) return finish_rebuild(is_done.status());
            std::map<GroupId, group_reader::Counted> counted = rebuild->count.take();
            for (const GroupId group : rebuild->dropping)
                counted.erase(group);
            finish_rebuild(std::move(counted));
        });
}

void ReplicaStore::plan_rebuild_page() {
    STARLING_MARK(store_rebuild_next_page);
    if (!rebuild_pace_.do_clients_wait || !rebuild_pace_.do_clients_wait()) return rebuild_page();
    STARLING_MARK(store_rebuild_put_off);
    rebuild_timer_ = loop_.schedule_after(rebuild_pace_.pause, [this] { rebuild_page(); });
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
            group.tombstones.add_from_start(added.tombstone_count);
            group.next_tombstone_ms = std::min(group.next_tombstone_ms, added.oldest_tombstone_ms);
        }
    } else {
        STARLING_MARK(store_rebuild_failed);
        trees_lost_ = true;
        damage_.Update(rebuilt.status());
    }
    for (absl::AnyInvocable<void()>& task : std::exchange(after_rebuild_, {})) {
        task();
    }
}

void ReplicaStore::damage_is_gone() {
    damage_ = absl::OkStatus();
    damaged_groups_.clear();
    if (!trees_lost_) return;
    STARLING_MARK(store_rebuilds_lost_trees);
    trees_lost_ = false;
    for (const auto& [id, group] : groups_) {
        group->buckets = {};
        group->record_count = 0;
        group->tombstones = {};
    }
    start_rebuild();
}

uint64_t ReplicaStore::tombstone_count() const {
    if (!trees_ready()) return 0;
    uint64_t count = 0;
    for (const auto& [id, group] : groups_) {
        count += group->tombstones.count();
    }
    return count;
}

uint64_t ReplicaStore::tombstone_count(GroupId group) const {
    const auto found = groups_.find(group);
    return found == groups_.end() || !trees_ready() ? 0 : found->second->tombstones.count();
}

uint64_t ReplicaStore::old_tombstone_count(GroupId group) const {
    const auto found = groups_.find(group);
    return found == groups_.end() || !trees_ready() ? 0 : found->second->tombstones.old_count();
}

void ReplicaStore::set_tombstones_old_before(uint64_t created_ms) {
    for (const auto& [id, group] : groups_) {
        group->tombstones.set_old_before(created_ms);
    }
}

uint64_t ReplicaStore::next_tombstone_ms(GroupId group) const {
    const auto found = groups_.find(group);
    return found == groups_.end() ? UINT64_MAX : found->second->next_tombstone_ms;
}

uint64_t ReplicaStore::record_count() const {
    if (!trees_ready()) return 0;
    uint64_t count = 0;
    for (const auto& [id, group] : groups_) {
        count += group->record_count;
    }
    return count;
}

}  // namespace starling::node
