#pragma once

// Writes kept for holders that are away: durable, apart from one another, never dropped before they
// are delivered. A hint is either a whole write (a stand-in's: it may have counted for W) or a
// reference (a holder's note that another holder lacks what it has itself: the record is looked up
// when it is sent).
//
// Owned by the shard's loop.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"

#include "node/replica/commit_queue.h"
#include "node/replica/storage_keys.h"

namespace starling::node {

using storage_keys::HintKey;

class HintStore {
  public:
    using Done = absl::AnyInvocable<void(absl::Status)>;

    HintStore(CommitQueue& commits, storage::Engine& engine, uint64_t bytes_max);

    // Reads the keys of all hints. Blocks on disk. data_loss: one is not a hint's, or, where
    // is_complete() says no, what follows cannot be read now.
    absl::Status load();
    // False: there may be more on the disk, which take_up() brings. Until then no reference is
    // kept: it might take the place of a whole write.
    bool is_complete() const { return is_complete_; }
    // A hint that load() did not come to; `bytes`: of its value. REQUIRES: it is not known yet.
    void take_up(HintKey key, uint64_t bytes);
    // It may be gone from the disk since it was found there.
    bool was_taken_up(const HintKey& key) const { return taken_up_.contains(key); }
    // take_up() has brought all.
    void complete() { is_complete_ = true; }

    // `record`: an encoded record; empty for a reference. `done` when it is durable.
    // resource_exhausted (reason overloaded) when the budget is spent: nothing is kept then.
    void keep(HintKey key, std::string_view record, Done done) {
        keep_within(bytes_max_, std::move(key), record, std::move(done));
    }
    // A reference to a write that this node alone has, and is to be rid of: so much more may be
    // kept of these, as the budget may be spent for a node that stays away.
    static constexpr uint64_t handed_over_bytes_max = 1ULL << 20;
    void keep_handed_over(HintKey key, Done done) {
        keep_within(bytes_max_ + handed_over_bytes_max, std::move(key), {}, std::move(done));
    }
    // False: it could not be removed now.
    bool remove(const HintKey& key);
    // Not where a whole write has taken its place. False: it could not be removed now.
    bool remove_reference(const HintKey& key);

    // Whether one for the group is of a write by a life of `node` before `start`, or may be.
    bool has_of_life_before(GroupId group, base::NodeId node, uint32_t start) const;

    bool contains(const HintKey& key) const { return hints_.contains(key); }
    uint64_t count() const { return hints_.size(); }
    uint64_t bytes() const { return bytes_; }

    // Where hints wait: one entry for each seat, in order.
    struct Owner {
        GroupId group;
        base::SeatIndex seat;
        friend auto operator<=>(const Owner&, const Owner&) = default;
    };
    std::vector<Owner> owners() const;
    // Those whose storage key `is_wanted`.
    std::vector<HintKey> select(absl::FunctionRef<bool(std::string_view)> is_wanted) const;
    // The first hints for a seat after `after` (in key order).
    std::vector<HintKey> next(const Owner& owner, const HintKey* after, size_t count_max) const;

  private:
    void keep_within(uint64_t bytes_max, HintKey key, std::string_view record, Done done);

    CommitQueue& commits_;
    storage::Engine& engine_;
    const uint64_t bytes_max_;

    struct Life {
        GroupId group;
        base::NodeId node;
        uint32_t start = 0;
        friend auto operator<=>(const Life&, const Life&) = default;
    };
    void add(HintKey key, uint64_t bytes);
    void count(const HintKey& key, int64_t change);

    // Bytes each takes, in the engine and here.
    absl::btree_map<HintKey, uint64_t> hints_;
    uint64_t bytes_ = 0;
    bool is_complete_ = true;
    absl::btree_set<HintKey> taken_up_;
    // How many are of writes of which life.
    absl::btree_map<Life, int64_t> lives_;
};

}  // namespace starling::node
