#pragma once

// What a shard does when its disk is damaged: finds out which partitions that concerns, keeps on
// the disk which of them are being refilled (*marked*), and carries out what DamageHealer decides.
// See there.
//
// What else the damage may have taken: facts of the node and frontiers of other groups, which are
// in memory and written anew; hints, of which only what can be read remains, as if the disk had
// been lost; and what owners have told, which they tell again. And it may have taken removals: what
// shows again of groups and hints that were gone is removed anew. Where a start could not read all
// hints, nobody knows which were gone: all that can be read by then wait again.
//
// Owned by the shard's loop.

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

#include "node/replica/hint_store.h"
#include "node/replica/jobs.h"
#include "node/replica/standing.h"
#include "node/replica/store.h"
#include "node/server/damage_healer.h"
#include "node/server/set_back_guard.h"

namespace starling::node {

class ShardHealing final : private DamageHealer::Host {
  public:
    using Done = absl::AnyInvocable<void(absl::Status)>;

    class Surroundings {
      public:
        // Of each group of the partition that this node holds a seat of, the other holders.
        virtual std::map<GroupId, std::vector<base::NodeId>> other_holders(
            base::PartitionId partition) const = 0;
        // The nodes but this one by seat; none where that is not known.
        virtual std::vector<base::NodeId> seats_of_others(GroupId group) const = 0;
        virtual bool are_holders_known(GroupId group) const = 0;
        virtual bool is_dead(base::NodeId holder) const = 0;
        virtual void ask_counting(GroupId group,
                                  base::NodeId holder,
                                  uint64_t question,
                                  bool checks) = 0;
        // Whatever is being taken over of the partition is not.
        virtual void end_syncs(base::PartitionId partition) = 0;
        // What the disk has of the node itself and of its seats.
        virtual void put_facts(storage::WriteBatch& batch) const = 0;
        // See Mover.
        virtual bool needs_data(GroupId group) const = 0;
        virtual bool is_filling(base::PartitionId partition) const = 0;
        virtual void end_moves(base::PartitionId partition) = 0;
        virtual void let_go(base::PartitionId partition) = 0;
        // A seat of the partition counts, and none is on its way.
        virtual bool is_held_at_rest(base::PartitionId partition) const = 0;
        // Removes all data of the groups.
        virtual void drop_groups(std::vector<GroupId> groups, Done done) = 0;
        virtual uint32_t replicas_max() const = 0;
        // stands_still() or is_marked() of the partition says something else now.
        virtual void healing_changed(base::PartitionId partition) = 0;
        virtual void log(std::string_view severity, std::string_view line) = 0;

      protected:
        ~Surroundings() = default;
    };

    // All borrowed.
    struct Parts {
        Surroundings& shard;
        ReplicaStore& store;
        HintStore& hints;
        Standings& standings;
        SetBackGuard& guard;
        env::EventLoop& loop;
        env::Workers& workers;
        env::Random& random;
    };

    ShardHealing(Parts parts, base::Duration request_max);

    // Which partitions the disk says are marked. Blocks on it. data_loss when that does not decode.
    static absl::StatusOr<std::set<base::PartitionId>> marked_in(storage::Engine& engine);
    // As marked_in().
    absl::Status load();
    void start();
    void stop() {
        is_stopped_ = true;
        healer_.stop();
    }
    bool is_idle() const { return jobs_.open() == 0; }

    void told_counting(
        GroupId group, base::NodeId holder, uint64_t question, bool counts, Frontier frontier) {
        healer_.told_counting(group, holder, question, counts, std::move(frontier));
    }
    void told_checking(uint64_t question) { healer_.told_checking(question); }
    // Which are being refilled because the disk was set back, with what they have.
    const std::set<base::PartitionId>& set_back() const { return set_back_; }
    void put_set_back(storage::WriteBatch& batch, const std::set<base::PartitionId>& partitions);
    // See SetBackGuard::Host.
    void unmark(base::PartitionId partition, Done done);

    // Its seats neither come nor go.
    bool stands_still(base::PartitionId partition) const {
        return gave_way_.contains(partition) || suspended_.contains(partition) ||
               is_marked(partition);
    }
    // Its data is given up and not refilled yet: it is compared with nobody, and nobody takes over
    // what it has.
    bool is_marked(base::PartitionId partition) const { return marked_.contains(partition); }
    // It reads all of the disk, or is about to.
    bool is_at_work() const { return healer_.is_at_work(); }
    bool is_healing() const { return has_met_damage() || !suspended_.empty() || !marked_.empty(); }
    // What was met and has not been given up; OK: nothing.
    absl::Status damage() const;

  private:
    struct Finding;
    // What was given up, or is about to be.
    struct Unsettled {
        std::vector<storage::KeyRange> ranges;
        // Which there were in the ranges before.
        std::set<HintKey> hints;
        bool empty() const { return ranges.empty(); }
    };
    // What is there of the ranges after they were given up.
    struct Left {
        std::set<GroupId> groups;
        // Bytes of each one's value.
        std::map<std::string, uint64_t> hints;
    };

    bool has_met_damage() const override { return !damage().ok() || !unsettled_.empty(); }
    void find_damage(absl::AnyInvocable<void(absl::StatusOr<DamageHealer::Damage>)> done) override;
    void damage_is_gone() override;
    std::map<GroupId, std::vector<base::NodeId>> givers(base::PartitionId partition) const override;
    bool is_dead(base::NodeId holder) const override { return parts_.shard.is_dead(holder); }
    bool is_settled(base::PartitionId partition) const override {
        const bool waits_for_itself =
            parts_.guard.counts(partition) || parts_.guard.is_refilling(partition);
        return waits_for_itself && parts_.shard.is_held_at_rest(partition);
    }
    void give_way(base::PartitionId partition) override;
    void let_go(base::PartitionId partition) override { parts_.shard.let_go(partition); }
    void suspend(base::PartitionId partition) override;
    void resume(base::PartitionId partition) override;
    bool is_filling(base::PartitionId partition) const override {
        return parts_.shard.is_filling(partition);
    }
    bool is_refilling(base::PartitionId partition) const override { return is_marked(partition); }
    void ask_counting(GroupId group, base::NodeId holder, uint64_t question, bool checks) override;
    void hand_over_unshared(GroupId group,
                            const Frontier& others,
                            absl::AnyInvocable<void(absl::StatusOr<size_t>)> done) override;
    void mark(const std::set<base::PartitionId>& partitions, Done done) override;
    void give_up(const std::vector<storage::KeyRange>& ranges, Done done) override;
    void empty(base::PartitionId partition, Done done) override;
    void begin_epoch(Done done) override {
        parts_.standings.begin_epoch_after(parts_.standings.epoch(), {}, std::move(done));
    }
    void refill(base::PartitionId partition) override;
    void log(std::string_view severity, std::string_view line) override {
        parts_.shard.log(severity, line);
    }

    void note_unsettled(const std::vector<storage::KeyRange>& ranges);
    void find_partitions(std::vector<storage::KeyRange> ranges,
                         absl::AnyInvocable<void(absl::StatusOr<DamageHealer::Damage>)> done);
    void take_up_hints(std::vector<storage::KeyRange> ranges,
                       absl::AnyInvocable<void(absl::StatusOr<DamageHealer::Damage>)> done);
    void check_groups(const std::shared_ptr<Finding>& finding);
    // `on_applied`: before `done`, unless the batch was refused.
    void store_marks(storage::WriteBatch batch,
                     const std::set<base::PartitionId>& marked,
                     absl::AnyInvocable<void()> on_applied,
                     Done done);
    static absl::StatusOr<Left> look_for_what_is_left(storage::Engine& engine,
                                                      const std::vector<storage::KeyRange>& ranges);
    void settle(const Left& left, Done done);

    const Parts parts_;
    Jobs jobs_;
    // For hints that could not be read at the start.
    const base::Duration patience_;
    base::MonotonicTime started_at_{};
    // Until the damage is gone.
    std::set<base::PartitionId> gave_way_;
    std::set<base::PartitionId> suspended_;
    // What had been seen of each group when the others were asked the last question.
    uint64_t question_ = 0;
    std::map<GroupId, Frontier> asked_with_;
    // Until the damage is gone: what follows from giving it up may have to be tried again.
    Unsettled unsettled_;
    // Where hints may lie that neither the start nor a look since has read.
    std::vector<storage::KeyRange> unread_;
    // As the disk has it, or may have it.
    std::set<base::PartitionId> marked_;
    std::set<base::PartitionId> set_back_;
    bool is_stopped_ = false;
    DamageHealer healer_;
};

}  // namespace starling::node
