#pragma once

// What this node knows of the other owners of each group of a shard, and what it concludes:
// which dots all have seen (R5, R8 of docs/causality.md), which requests can no more be minted
// (R7), and which lives of nodes can be sealed (R6). Owners tell one another with each comparison.
//
// An owner is who holds a seat; who fills one takes over the state of its holder, whole, so what
// that had seen, it has. A report counts for the seats that its sender holds now, and since when
// (OwnerReport::tenure): what a node said before it gave a seat away is void.
//
// R6, in its order: a node *freezes* ended lives, durably, when it hears of the next one: from then
// on it takes their writes from hints only, and takes no hints of them. When every member has said
// that it has no hint of a life, the owners are asked anew; when all answer that they have seen
// the same of it, it is sealed.
//
// Owned by the shard's loop; callbacks run on it, possibly before the call returns.

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

#include "node/replica/gone_horizon.h"
#include "node/replica/group_standing.h"
#include "node/replica/hint_store.h"
#include "node/replica/owner_memory.h"
#include "node/replica/store.h"

namespace starling::node {

class StandingHost {
  public:
    // The nodes but this one that hold seats of the group. None at all while this node holds none,
    // or the holder of one of them is not known: then nothing can be concluded.
    virtual std::optional<std::vector<Owner>> other_owners(GroupId group) const = 0;
    // `node` as one of them, whoever the others are. None while this node holds no seat of the
    // group, or `node` is not known to.
    virtual std::optional<Owner> other_owner(GroupId group, base::NodeId node) const = 0;
    virtual uint64_t own_tenure(GroupId group) const = 0;
    // Whoever may hold hints, but for this node.
    virtual std::vector<base::NodeId> other_members() const = 0;
    // Asks the node for Standings::hints_gone() of the group.
    virtual void ask_hints(GroupId group, base::NodeId member) = 0;
    // As ReplicaHost::now_ms().
    virtual uint64_t now_ms() const = 0;

  protected:
    ~StandingHost() = default;
};

class Standings {
  public:
    Standings(ReplicaStore& store,
              const HintStore& hints,
              GoneHorizon& horizon,
              StandingHost& host);

    // Reads which lives are frozen, the epoch, and what owners have told. Blocks on disk. data_loss
    // when that does not decode.
    absl::Status load();

    // This node is in its life `start`. To be called once, before the group is asked for anything.
    void begin_life(base::NodeId self, uint32_t start);
    // `node` is in its life `start`: those before have ended.
    void note_start(base::NodeId node, uint32_t start);
    // To be called now and then: those that the disk did not take, of which nobody may tell again.
    void note_starts_again();
    bool has_ended(const Actor& actor) const { return node::has_ended(frozen_, actor); }
    const Starts& frozen() const { return frozen_; }

    // What this node tells `to`, once that is durable.
    void report(GroupId group,
                base::NodeId to,
                absl::AnyInvocable<void(absl::StatusOr<OwnerReport>)> done);
    void note_report(GroupId group, base::NodeId from, const OwnerReport& report);

    // Where this node is the only owner, nobody reports to it: draws its conclusions from what is
    // durable here.
    void look_at_own(GroupId group);

    // Ended lives of which this node holds no hint for the group, and will take none.
    void hints_gone(GroupId group, absl::AnyInvocable<void(absl::StatusOr<Starts>)> done);
    void note_hints_gone(GroupId group, base::NodeId member, const Starts& gone);

    // Requests created before this (Unix ms) are minted no more, and no write of one that was is
    // under way. 0: unknown.
    uint64_t forget_before(GroupId group) const;

    // The next report of `owner` may let tombstones of the group go, however little has changed.
    bool awaits_report(GroupId group, base::NodeId owner) const;
    // Tombstones whose requests were created before (Unix ms) wait for more than the next reports.
    uint64_t overdue_before_ms() const;
    bool is_overdue(uint64_t created_ms) const { return created_ms < overdue_before_ms(); }

    // What `owner` has told this node of itself, in this life of the node or an earlier one, as the
    // holder of the seats that it holds. None: this node cannot say; it may have been told more.
    std::optional<GroupStanding::Remembered> remembered(GroupId group, base::NodeId owner) const;
    // Of this node's data: what it said of an earlier one is void. `done` when the next one, after
    // `told` at least, is durable.
    uint64_t epoch() const { return epoch_; }
    // When the node started.
    uint64_t epoch_at_start() const { return epoch_at_start_; }
    // `batch`: stored with it.
    void begin_epoch_after(uint64_t told,
                           storage::WriteBatch batch,
                           absl::AnyInvocable<void(absl::Status)> done);

    // What the disk has of this, but for what owners have told.
    void put_facts(storage::WriteBatch& batch) const;

    // Why tombstones of the group stay: the owners that have not reported yet; if there are none,
    // the members that may have a hint of an ended life; if there are none either, the owners that
    // have not seen `unseen`, or were last heard of when a request created at `created_ms` was too
    // young.
    std::vector<base::NodeId> waited_for(GroupId group,
                                         const Context& unseen,
                                         uint64_t created_ms) const;

    // The group's data is removed here.
    void forget_group(GroupId group) {
        groups_.erase(group);
        memory_.forget(group);
        horizon_.forget(group);
    }
    // To be called now and then.
    void save_memory() { memory_.save(store_.commits()); }

  private:
    GroupStanding& group_at(GroupId group);
    // Draws the conclusions from what is known.
    void advance(GroupId group);
    void ask_members(GroupId group);
    bool is_resolved(GroupId group) const;
    bool keeps_of_life_before(GroupId group, base::NodeId node, uint32_t start) const;

    ReplicaStore& store_;
    const HintStore& hints_;
    GoneHorizon& horizon_;
    StandingHost& host_;
    OwnerMemory memory_;
    Starts frozen_;
    Starts not_frozen_;
    uint64_t epoch_ = 0;
    uint64_t epoch_at_start_ = 0;
    // Above all that this node has asked before, in earlier lives as well: what an owner has heard
    // of those answers nothing that is asked now.
    uint64_t last_question_ = 0;
    absl::btree_map<GroupId, GroupStanding> groups_;
};

}  // namespace starling::node
