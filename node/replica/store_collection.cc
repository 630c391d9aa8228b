// Tombstones: which the store has, page by page, and which of them go (rule R5 of
// docs/causality.md).

#include <algorithm>
#include <memory>
#include <utility>

#include "base/mark.h"
#include "base/planted.h"
#include "node/replica/gathering.h"
#include "node/replica/storage_keys.h"
#include "node/replica/store.h"
#include "node/version/collection.h"

namespace starling::node {

namespace {

constexpr size_t tombstones_per_page = 256;

}  // namespace

struct ReplicaStore::Collection {
    GroupId group;
    uint64_t forget_before_ms = 0;
    LatestOnly latest_only;
    CollectDone done;
    // As it was when the collection began.
    uint64_t next_tombstone_ms = UINT64_MAX;
    // Where the next page starts.
    std::string next;
    // The first error.
    absl::Status status;
    Collected result;
};

void ReplicaStore::collect(GroupId group,
                           uint64_t from_ms,
                           uint64_t forget_before_ms,
                           LatestOnly latest_only,
                           CollectDone done) {
    Group& state = group_at(group);
    state.forget_before_ms = forget_before_ms;
    auto collection = std::make_shared<Collection>();
    collection->group = group;
    // From here on of those that come meanwhile, and of what the last page leaves.
    collection->next_tombstone_ms = std::exchange(state.next_tombstone_ms, UINT64_MAX);
    collection->forget_before_ms = forget_before_ms;
    collection->latest_only = std::move(latest_only);
    collection->done = std::move(done);
    collection->next = storage_keys::tombstone(group, from_ms, {});
    collect_page(std::move(collection));
}

void ReplicaStore::note_not_looked_at(GroupId id, uint64_t created_ms) {
    const auto found = groups_.find(id);
    if (found == groups_.end()) return;
    Group& group = *found->second;
    group.next_tombstone_ms = std::min(group.next_tombstone_ms, created_ms);
}

void ReplicaStore::end_collection(Collection& collection, const absl::Status& status) {
    collection.status.Update(status);
    if (collection.status.ok()) {
        collection.done(collection.result);
        return;
    }
    note_not_looked_at(collection.group, collection.next_tombstone_ms);
    collection.done(collection.status);
}

void ReplicaStore::Left::add(const Left& more) {
    unseen.merge(more.unseen);
    oldest_unseen_ms = std::min(oldest_unseen_ms, more.oldest_unseen_ms);
    next_goes_ms = std::min(next_goes_ms, more.next_goes_ms);
}

const Frontier& ReplicaStore::seen_by_all(GroupId group) {
    return STARLING_PLANTED(tombstone_collected_by_age) ? frontier(group) : stable(group);
}

void ReplicaStore::collect_page(std::shared_ptr<Collection> collection) {
    using Page = absl::StatusOr<group_reader::TombstonesPage>;
    Collection& state = *collection;
    jobs_.run<Page>(
        [this, group = state.group, before = state.forget_before_ms, next = state.next] {
            return group_reader::tombstones_page(engine_, group, before, next, tombstones_per_page);
        },
        [this, collection = std::move(collection)](Page page) mutable {
            note_damage(collection->group, page.status());
            if (page.ok() && page->too_young_ms.has_value()) {
                note_not_looked_at(collection->group, *page->too_young_ms);
            }
            if (!page.ok() || page->tombstones.empty()) {
                end_collection(*collection, page.status());
            } else {
                collect_all(std::move(page->tombstones), std::move(collection));
            }
        });
}

void ReplicaStore::collect_all(std::vector<group_reader::StoredTombstone> tombstones,
                               std::shared_ptr<Collection> collection) {
    const group_reader::StoredTombstone& last = tombstones.back();
    const GroupId group = collection->group;
    collection->next = storage_keys::tombstone(group, last.request_created_ms, last.dot) + '\0';
    const auto note_unseen = [collection](uint64_t created_ms, const Dot& unseen) {
        Left& left = collection->result.left;
        left.unseen.add(unseen);
        left.oldest_unseen_ms = std::min(left.oldest_unseen_ms, created_ms);
    };
    if (!groups_.contains(group)) {
        end_collection(*collection, absl::UnavailableError("the group was removed meanwhile"));
        return;
    }
    const Frontier& all_seen = seen_by_all(group);
    std::erase_if(tombstones, [&](const group_reader::StoredTombstone& tombstone) {
        if (all_seen.is_past(tombstone.dot)) return false;
        note_unseen(tombstone.request_created_ms, tombstone.dot);
        return true;
    });
    if (tombstones.empty()) {
        collect_page(std::move(collection));
        return;
    }
    auto page_done = [this, collection](absl::Status status) mutable {
        // Damage of one key keeps no other.
        if (!status.ok() && !absl::IsDataLoss(status)) {
            end_collection(*collection, status);
            return;
        }
        collection->status.Update(std::move(status));
        collect_page(std::move(collection));
    };
    auto gathering = std::make_shared<Gathering>(tombstones.size(), std::move(page_done));
    for (group_reader::StoredTombstone& tombstone : tombstones) {
        std::string key = tombstone.key;
        update(
            group,
            std::move(key),
            [this, collection, note_unseen, tombstone = std::move(tombstone)](
                Record& record, Frontier& /*frontier*/) {
                const auto note_unseen_of = [&](const Context& context) {
                    for (const Context::Entry& entry : context.entries()) {
                        const Dot seen{entry.actor, entry.sequence};
                        if (!seen_by_all(collection->group).is_past(seen)) {
                            note_unseen(tombstone.request_created_ms, seen);
                        }
                    }
                };
                if (record.siblings.empty()) {
                    STARLING_MARK(collect_meets_remains);
                    // What can go goes with any change.
                    note_unseen_of(record.context);
                    return absl::OkStatus();
                }
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
                    uint64_t& next = collection->result.left.next_goes_ms;
                    next = std::min(next, record.gone.back().created_ms);
                } else if (latest_only.has_value()) {
                    // One that goes may have been hidden by another, which may go then.
                    while (collect_tombstones(record,
                                              seen_by_all(collection->group),
                                              collection->forget_before_ms,
                                              *latest_only)) {
                    }
                    for (const Sibling& sibling : record.siblings) {
                        uint64_t waits_for_ms = sibling.request.created_ms;
                        if (sibling.is_tombstone)
                            waits_for_ms = std::max(waits_for_ms, sibling.time.wall_ms);
                        if (!*latest_only || waits_for_ms < collection->forget_before_ms) continue;
                        STARLING_MARK(collect_waits_for_a_young_request);
                        uint64_t& next = collection->result.left.next_goes_ms;
                        next = std::min(next, waits_for_ms);
                    }
                }
                if (STARLING_PLANTED(tombstone_collected_by_age) && record.siblings.empty()) {
                    record = {};
                }
                collection->result.tombstones += static_cast<uint64_t>(before - count());
                const bool is_left = std::any_of(
                    record.siblings.begin(), record.siblings.end(), [&](const Sibling& sibling) {
                        return sibling.dot == tombstone.dot;
                    });
                if (is_left) note_unseen_of(record.context);
                return absl::OkStatus();
            },
            nullptr,
            [gathering](absl::Status status) { gathering->finish_one(std::move(status)); });
    }
}

}  // namespace starling::node
