#pragma once

// Says which partitions count for nothing for now, and refills them from other owners (R10 of
// docs/causality.md). It notices by itself that the disk was set back in time: what a node told
// other owners that it had seen was durable, so they remember what such a disk no longer has. Of
// damage it is told (damage_healer.h).
//
// A partition that was held when the node started counts for nothing until N-W+1 other owners of
// each of its groups, with W a majority, have said what they remember, or have been silent for
// `patience`; who is silent is asked again later. When one remembers what the frontier here does
// not have, the disk was set back, with all partitions on it: none that is not confirmed yet counts
// any more, and as many owners give what they have, as to one who fills its seat: what they have
// seen and have no more goes here, too. They are marked on the disk until they are refilled, for in
// the new epoch nobody remembers any more what they lack. So it is with a partition whose data was
// given up, and with one of which only others remember that this node held a seat.
//
// What it takes over it takes once all requests are over that may have counted an answer of an
// earlier life: of a write that this life had acknowledged, and another node then does, the others
// may have nothing when they give, and both count when the next read comes.
//
// Until a holder has said that nothing is missing here, this node does not compare the group with
// it: it would unite its frontier with one of which the records that all owners had seen do not
// come (sync_session.h), and what the disk has lost would pass for superseded. So all other holders
// are asked, also when enough have confirmed.
//
// Owned by the shard's loop.

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

#include "base/ids.h"
#include "env/event_loop.h"
#include "node/replica/group.h"

namespace starling::node {

class SetBackGuard {
  public:
    static constexpr base::Duration patience = std::chrono::seconds(3);
    static constexpr base::Duration interval = std::chrono::milliseconds(250);
    static constexpr base::Duration interval_after_patience = std::chrono::seconds(5);

    class Host {
      public:
        // Of each group of the partition that this node holds a seat of, the other holders. None
        // where not all are known and the partition is being refilled.
        virtual std::map<GroupId, std::vector<base::NodeId>> other_holders(
            base::PartitionId partition) const = 0;
        virtual bool has_groups(base::PartitionId partition) const = 0;
        // False while some seat of the group has no holder that this node knows of.
        virtual bool are_holders_known(GroupId group) const = 0;
        virtual bool has_other_members() const = 0;
        // Of any group, or of none.
        virtual bool holds_seat(base::PartitionId partition) const = 0;
        // Asks for what leads to told(). May be lost.
        virtual void ask_remembered(GroupId group, base::NodeId holder) = 0;
        // Of this node's data, as of its latest start or refill.
        virtual uint64_t epoch() const = 0;
        // What was said here of an epoch up to `told`, or of an earlier one, is void from now on;
        // and with it, durably, these partitions are marked.
        virtual void begin_epoch_after(uint64_t told,
                                       const std::set<base::PartitionId>& set_back,
                                       absl::AnyInvocable<void(absl::Status)> done) = 0;
        // Takes over what `from` has of the partition. `done` never before this returns.
        virtual void take_over(base::PartitionId partition,
                               base::NodeId from,
                               absl::AnyInvocable<void(absl::Status)> done) = 0;
        // counts() or may_compare() of the partition says something else now.
        virtual void verdict_changed(base::PartitionId partition) = 0;
        // OK once the partition is not marked on the disk any more.
        virtual void unmark(base::PartitionId partition,
                            absl::AnyInvocable<void(absl::Status)> done) = 0;

      protected:
        ~Host() = default;
    };

    // `request_max`: the longest deadline of any node.
    SetBackGuard(Host& host, env::EventLoop& loop, base::Duration request_max)
        : host_(host), loop_(loop), request_max_(request_max) {}
    ~SetBackGuard() { stop(); }

    // How many of a group's other holders together have all that was acknowledged: N-W+1, or all.
    static size_t wanted_of(GroupId group, size_t others);

    // These were held when the node started, and of these some were still marked as set back.
    void watch(const std::vector<base::PartitionId>& held,
               const std::set<base::PartitionId>& set_back);
    // Other holders may be known now that were not.
    void holders_changed();
    // What `holder` remembers, of this node's epoch `epoch`, is in the frontier of the group or
    // not. Ignored where it is no other holder of the group.
    void told(GroupId group, base::NodeId holder, uint64_t epoch, bool is_here);
    // Something that all owners had seen is missing in this held partition.
    void told_missing(base::PartitionId partition);
    // A seat of the partition is to be held again, with the new epoch that this begins: this disk
    // did not know of it any more. False before watch() and after stop(): nothing begins.
    bool take_up(base::PartitionId partition);
    // Others know of this epoch. One that this disk does not have any more says by itself that it
    // was set back, and until a later one begins they believe nothing that this node says.
    // Ignored before watch().
    void told_epoch(uint64_t epoch);

    // The partition counts no more, until resume() or the end of its refill. What is being refilled
    // takes nothing over meanwhile.
    void suspend(base::PartitionId partition) { suspended_.insert(partition); }
    void resume(base::PartitionId partition) { suspended_.erase(partition); }
    // Its data was given up, in a new epoch; it is marked on the disk. REQUIRES: suspended.
    void refill_emptied(base::PartitionId partition);
    bool counts(base::PartitionId partition) const;
    bool is_refilling(base::PartitionId partition) const;
    bool may_compare(GroupId group, base::NodeId holder) const;
    size_t refilling_count() const { return refilling_count_; }
    // Partitions that do not count.
    size_t waiting_count() const;
    // Nothing is asked for or taken over any more. What does not count does not count until the
    // end.
    void stop();

  private:
    struct Watched {
        // Of each group, who has said that nothing is missing here.
        std::map<GroupId, std::set<base::NodeId>> confirmed;
        bool is_refilling = false;
        // Of what was given up: its mark goes from the disk before it counts.
        bool is_emptied = false;
        // A step of the refill is under way.
        bool is_busy = false;
        // Rises when all is to be taken anew: the partition was emptied, or a later epoch begins,
        // of which who gives is to hear first.
        uint32_t round = 0;
        // Whom it has taken over from, and who has failed to give since the last pause.
        std::set<base::NodeId> taken;
        std::set<base::NodeId> failed;
    };

    void tick();
    // Nothing is to be done for the partition any more.
    void clear(base::PartitionId partition);
    void watch_new_groups();
    void ask_holders(base::PartitionId partition, Watched& watched);
    void arm();
    bool is_patient() const { return loop_.now() < patient_until_; }
    // All that waited for more to confirm counts now.
    void end_patience();
    // All other holders of the group are known, as far as can be said. Not for a while where this
    // node holds all seats, and there are others: they may have taken some since its disk was
    // copied.
    bool knows_holders(GroupId group, const std::vector<base::NodeId>& holders) const;
    // Enough have confirmed.
    bool is_confirmed(base::PartitionId partition, const Watched& watched) const;
    // All have: nothing is to be done any more.
    bool is_confirmed_by_all(base::PartitionId partition, const Watched& watched) const;
    // The next step, which may be the end. Nothing before the new epoch has begun. REQUIRES:
    // refilling and not busy.
    void refill(base::PartitionId partition);
    void begin_refill(base::PartitionId partition, Watched& watched);
    // From the beginning, in an epoch after `epoch`.
    void begin_refill_of_all(uint64_t epoch);
    void begin_epoch();
    void end_step(base::PartitionId partition, absl::AnyInvocable<void(Watched&)> note);
    void end_refill(base::PartitionId partition);

    Host& host_;
    env::EventLoop& loop_;
    const base::Duration request_max_;
    base::MonotonicTime patient_until_{};
    // Until then an operation may be under way that has counted an earlier life.
    base::MonotonicTime takes_from_{};
    bool has_patience_ended_ = false;
    absl::btree_map<base::PartitionId, Watched> watched_;
    // The groups that were known when their partition was cleared: a namespace of another N may be
    // learned of later, and with it what others remember of its groups.
    absl::btree_map<base::PartitionId, std::set<GroupId>> cleared_;
    std::set<base::PartitionId> suspended_;
    size_t refilling_count_ = 0;
    // In which the loss was noticed; nothing while a later one begins, or once it has begun.
    std::optional<uint64_t> noticed_epoch_;
    // From watch() to stop().
    bool is_watching_ = false;
    bool is_beginning_epoch_ = false;
    env::TimerId timer_ = 0;
};

}  // namespace starling::node
