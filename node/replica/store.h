#pragma once

// The records of one shard, group by group: reads them, changes them one key at a time, keeps
// frontier and hash tree beside them, and says when a change is durable. It knows nothing of seats,
// quorums or peers.
//
// 1. Changes of one key run one after another, each on the complete record: a change that has to
//    wait for the disk makes later ones of that key wait behind it.
// 2. A record and the frontier that covers it are written in one batch (I3 of docs/causality.md).
//    So are the index, which has the key of each dot that not all owners are known to have seen,
//    the list of tombstones, and the index of values that expire.
// 3. A group's frontier leaves the disk before its first record does, and is not used again until
//    it is empty (drop): a frontier without its records would refuse them for ever. Changes that
//    come meanwhile are refused (unavailable).
//
// Owned by the shard's loop; callbacks run on it, possibly before the call returns.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"

#include "base/byte_limit.h"
#include "node/replica/commit_queue.h"
#include "node/replica/dot_index.h"
#include "node/replica/expiry_index.h"
#include "node/replica/group_access.h"
#include "node/replica/group_reader.h"
#include "node/replica/jobs.h"
#include "node/replica/tombstone_counts.h"

namespace starling::node {

class ReplicaStore final : public GroupAccess {
  public:
    ReplicaStore(env::EventLoop& loop, env::Workers& workers, storage::Engine& engine);

    // How the hash trees are rebuilt: page by page, and later while clients wait.
    struct RebuildPace {
        size_t page_bytes = 4u << 20;
        base::Duration pause = std::chrono::milliseconds(100);
        // Null: nobody waits.
        std::function<bool()> do_clients_wait = nullptr;
    };
    // Before load().
    void set_rebuild_pace(RebuildPace pace) { rebuild_pace_ = std::move(pace); }

    // Reads the frontiers and begins to rebuild the hash trees in the background. Blocks on disk.
    // data_loss names the entry that does not decode.
    absl::Status load();

    using ReadCallback = absl::AnyInvocable<void(absl::StatusOr<Record>)>;
    // An absent key reads as an empty record. What is returned is durable: a value that one read
    // saw is not lost to the next by a crash.
    void read(GroupId group, const std::string& key, ReadCallback done);

    // Changes the record and the frontier it is given in place; an error abandons the change.
    using Change = absl::AnyInvocable<absl::Status(Record&, Frontier&)>;
    // Runs `change` once; then `applied` (may be null) when the result is visible; then `done` when
    // it is durable (also a result that changed nothing, since what it saw may not be durable yet).
    // After an error only `done` is called.
    using Applied = absl::AnyInvocable<void()>;
    void update(GroupId group, std::string key, Change change, Applied applied, Done done);

    // Before the engine is closed: the trees stay as they are, not ready if they are not, and of
    // checks of whole groups none begins any more, nor is answered.
    void stop_background();
    // The last change before the engine is closed: the next load() finds the trees as they are, and
    // need not read all records. Where they are not ready, damage was met, or the engine refuses,
    // it has to.
    void keep_trees();

    // The next sequence of this node's actor in the group, and its use: each is used once.
    uint64_t upcoming_sequence(GroupId group) { return sequences_[group] + 1; }
    void use_sequence(GroupId group) { ++sequences_[group]; }
    const Frontier& frontier(GroupId group);

    // All owners of the group have seen the dots up to the bases of `stable` (Knowledge::stable()):
    // they leave the index, and then contexts are stripped of them. To be told again and again:
    // what the engine refuses is left for the next time.
    void set_stable(GroupId group, const Frontier& stable);
    const Frontier& stable(GroupId group) { return group_at(group).stable; }
    // What collect() goes by.
    const Frontier& seen_by_all(GroupId group);
    // R5: collects tombstones whose request was created from `from_ms` on and before
    // `forget_before_ms`.
    // What tombstones that a collection has left wait for.
    struct Left {
        // Not all owners have seen these writes; when the request of the oldest tombstone that
        // stays for it was created (Unix ms; UINT64_MAX: there is none).
        Context unseen;
        uint64_t oldest_unseen_ms = UINT64_MAX;
        // One that stays because of younger requests of its record may go when those created then
        // can be forgotten; UINT64_MAX: there is none.
        uint64_t next_goes_ms = UINT64_MAX;

        void add(const Left& more);
    };
    struct Collected {
        uint64_t tombstones = 0;
        Left left;
    };
    using CollectDone = absl::AnyInvocable<void(absl::StatusOr<Collected>)>;
    // Whether readers of the namespace are shown the latest version alone. None: it is not known,
    // and its tombstones stay.
    using LatestOnly = std::function<std::optional<bool>(base::NamespaceId)>;
    void collect(GroupId group,
                 uint64_t from_ms,
                 uint64_t forget_before_ms,
                 LatestOnly latest_only,
                 CollectDone done);

    // R11: which values expire when.
    ExpiryIndex& expiries() { return expiries_; }
    // As ExpiryIndex::page(), on a worker.
    void expired(GroupId group,
                 uint64_t until_ms,
                 std::string from,
                 size_t count_max,
                 Callback<ExpiryIndex::Page> done);

    // Removes all data of a group from the disk, in pages. The group is unknown from the call on
    // and takes no change until `done`, and never one that was asked for before.
    void drop(GroupId group, Done done);

    // What reads hold of records while they wait for a sync counts there, and where it has no room
    // they are refused (overloaded). Null: nowhere.
    void count_waiting_reads_in(base::ByteLimit* limit) { waiting_reads_ = limit; }

    CommitQueue& commits() { return commits_; }
    storage::Engine& engine() { return engine_; }
    std::vector<GroupId> groups() const;
    // 0 until trees_ready().
    uint64_t record_count() const;
    uint64_t tombstone_count() const;
    uint64_t tombstone_count(GroupId group) const;
    // Of them, those that are old (TombstoneCounts::set_old_before()).
    uint64_t old_tombstone_count(GroupId group) const;
    // To be called each second or so.
    void set_tombstones_old_before(uint64_t created_ms);
    // Of the group's tombstones that no collection has looked at yet, since they were too young,
    // when the oldest one's request was created (Unix ms); UINT64_MAX: there are none.
    uint64_t next_tombstone_ms(GroupId group) const;
    // Whether there is, or was, any record; known from load() on. Any thread.
    bool has_records() const { return has_records_; }
    // No job of the store's is on a worker, and nothing waits for the disk.
    bool is_idle() const { return jobs_.open() == 0 && commits_.is_idle(); }
    bool trees_ready() const { return !rebuilding_ && !trees_lost_; }

    // data_loss: what a read has met that cannot be read, or does not account for what was stored
    // with it. OK: nothing.
    const absl::Status& damage() const { return damage_; }
    // Of which groups, as far as that is known.
    std::vector<GroupId> damaged_groups() const;
    void put_frontier(storage::WriteBatch& batch, GroupId group) const;
    // Something else of the engine could not be read.
    void note_damage(const absl::Status& status) {
        if (absl::IsDataLoss(status)) damage_.Update(status);
    }
    bool is_damaged(GroupId group) const { return damaged_groups_.contains(group); }
    // Something is stored of the group, or may be.
    bool has_data(GroupId group) const;
    bool is_dropping(GroupId group) const { return dropping_.contains(group); }
    // To be called when what was damaged can be read again, or is gone. Rebuilds the trees that
    // could not be built.
    void damage_is_gone();
    // Reads all that is stored of the group, one group at a time: on a worker, which writes wait
    // for, too. data_loss: it is damaged, which is noted.
    void check(GroupId group, Done done);
    // Up to `count_max` of the writes that are in `own` and not in `others`, and are still in the
    // record of their key, as far as that can be read.
    void unshared(GroupId group,
                  const Frontier& own,
                  const Frontier& others,
                  size_t count_max,
                  Callback<std::vector<IndexedDot>> done);

    // GroupAccess
    uint64_t drop_count(GroupId group) const override;
    uint64_t change_count(GroupId group) const override;
    std::vector<GroupId> groups_of(base::PartitionId partition) override;
    absl::StatusOr<GroupSummary> summary(GroupId group) override;
    void missing(GroupId group,
                 const Frontier& seen,
                 KnownDots known,
                 std::optional<Dot> after,
                 size_t bytes_max,
                 RecordFingerprints sent,
                 Callback<MissingPage> done) override;
    void list_buckets(GroupId group,
                      const BucketSet& buckets,
                      std::string after,
                      size_t bytes_max,
                      Callback<ListingPage> done) override;
    void fetch(GroupId group,
               std::vector<std::string> keys,
               Callback<std::vector<KeyRecord>> done) override;
    void scan(GroupId group, KeyRange range, size_t bytes_max, Callback<ScanPage> done) override;
    void merge_records(GroupId group,
                       std::vector<KeyRecord> records,
                       IndexedDots dots,
                       Done done) override;
    void copy_records(GroupId group,
                      std::vector<KeyRecord> records,
                      std::string up_to,
                      Done done) override;
    std::string copied_up_to(GroupId group) override;
    void take_over(GroupId group,
                   std::vector<std::string> keys,
                   std::vector<KeyRecord> records,
                   const Frontier& seen,
                   Done done) override;
    void unite_frontier(GroupId group, Frontier frontier, Done done) override;

  private:
    struct Group {
        Frontier frontier;
        // Without exceptions; none of its dots is in the index.
        Frontier stable;
        BucketDigests buckets{};
        uint64_t record_count = 0;
        TombstoneCounts tombstones;
        uint64_t next_tombstone_ms = UINT64_MAX;
        uint64_t change_count = 0;
        // It may have entries of what is stable or sealed, and is to be read.
        bool index_lags = false;
        bool index_is_read = false;
        // Of the last collection: older requests are minted no more.
        uint64_t forget_before_ms = 0;
        // Empty: it is not being copied.
        std::string copied_up_to;
    };
    // What a scan of the disk adds to the trees: it saw the state at load, and every change since
    // has already been added to the group (sums commute).
    using Rebuilt = std::map<GroupId, group_reader::Counted>;

    absl::Status find_groups_with_records();
    absl::Status load_expiries();
    absl::Status load_trees();
    Group& group_at(GroupId group);
    void with_record(GroupId group, const std::string& key, ReadCallback use);
    void load_record(GroupId group, const std::string& storage_key);
    void finish_load(GroupId group,
                     const std::string& storage_key,
                     const absl::StatusOr<std::optional<std::string>>& loaded);
    void note_unsynced(const std::string& storage_key);
    // The commit that a read of the key has to wait for; 0 for none.
    uint64_t unsynced_commit(const std::string& storage_key);
    absl::Status apply_change(GroupId group, const std::string& key, Record record, Change& change);
    static absl::Status being_dropped();
    absl::Status check_not_dropping(GroupId group) const;
    void note_damage(GroupId group,
                     const absl::Status& status,
                     const std::vector<Frontier::Range>& of = {});
    // Notes damage that the result speaks of.
    template <typename T>
    Callback<T> noting_damage(GroupId group, Callback<T> done);
    // Once all that may be in it is durable.
    template <typename T>
    void give_durable(absl::StatusOr<T> read, Callback<T> done);
    absl::Status keep_copy_cursor(GroupId group, std::string up_to);
    absl::Status load_copy_cursors();
    struct Rebuild;
    void start_rebuild();
    void rebuild_page();
    void plan_rebuild_page();
    void finish_rebuild(const absl::StatusOr<Rebuilt>& rebuilt);
    void read_index(GroupId id, Group& group, const Frontier& stable);
    struct Collection;
    void note_not_looked_at(GroupId group, uint64_t created_ms);
    void end_collection(Collection& collection, const absl::Status& status);
    void collect_page(std::shared_ptr<Collection> collection);
    void collect_all(std::vector<group_reader::StoredTombstone> tombstones,
                     std::shared_ptr<Collection> collection);
    // Merges the records as they are, without claiming their writes: what the frontier gains with
    // them is added to `gained`. `applied` when all are, durable or not.
    void merge_unclaimed(GroupId group,
                         std::vector<KeyRecord> records,
                         const std::shared_ptr<std::vector<IndexedDot>>& gained,
                         Done applied);
    // What the records gained, and the dots of their page, which are in the index.
    absl::Status claim(GroupId group,
                       const std::vector<IndexedDot>& gained,
                       const IndexedDots& dots);
    void check_next();
    void drop_now(GroupId group, Done done);
    void drop_page(GroupId group, Done done);
    env::EventLoop& loop_;
    storage::Engine& engine_;
    Jobs jobs_;
    CommitQueue commits_;
    DotIndex dot_index_;
    ExpiryIndex expiries_;

    absl::btree_map<GroupId, std::unique_ptr<Group>> groups_;
    struct Loading {
        // In order.
        std::deque<ReadCallback> waiters;
        // Of its group, when the load began.
        uint64_t drops = 0;
        bool began_in_drop = false;
    };
    // Keys whose record is on its way from the disk.
    absl::btree_map<std::string, Loading> loading_;
    // Outlives its group: a sequence is never used again in this life, not after a drop either.
    absl::btree_map<GroupId, uint64_t> sequences_;
    // The last commit of each key that may not be durable yet, and the order in which they become
    // so.
    absl::flat_hash_map<std::string, uint64_t> unsynced_;
    std::deque<std::pair<uint64_t, std::string>> unsynced_order_;
    // The first is under way.
    std::deque<std::pair<GroupId, Done>> checks_;
    absl::btree_set<GroupId> dropping_;
    // How often each group was dropped: a change that was waiting for the disk meanwhile is for a
    // group that is no more.
    absl::btree_map<GroupId, uint64_t> drops_;
    // Of any of its groups; one that has failed and is tried again is the same.
    absl::btree_map<base::PartitionId, uint64_t> partition_drops_;
    base::ByteLimit* waiting_reads_ = nullptr;
    std::atomic<bool> has_records_ = false;
    bool rebuilding_ = false;
    RebuildPace rebuild_pace_;
    // Null also when it was stopped.
    std::shared_ptr<Rebuild> rebuild_;
    env::TimerId rebuild_timer_ = 0;
    // They could not be rebuilt.
    bool trees_lost_ = false;
    absl::Status damage_;
    // With the writes that their records did not account for, among others.
    absl::btree_map<GroupId, std::vector<Frontier::Range>> damaged_groups_;
    // Drops that wait for the rebuild, whose snapshot still has the records.
    std::vector<absl::AnyInvocable<void()>> after_rebuild_;
};

template <typename T>
ReplicaStore::Callback<T> ReplicaStore::noting_damage(GroupId group, Callback<T> done) {
    return [this, group, done = std::move(done)](absl::StatusOr<T> result) mutable {
        note_damage(group, result.status());
        done(std::move(result));
    };
}

}  // namespace starling::node
