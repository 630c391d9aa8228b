#pragma once

// Heals a shard whose disk has lost something: gives up what cannot be read, and has the partitions
// concerned refilled from their other holders (R9 and R10 of docs/causality.md).
//
// A request that meets the damage fails, so nothing is wrong before this begins; from then on what
// is still here of a partition goes, too, so each step makes sure that no other copy is missing:
//
// 1. It finds out what cannot be read, and of which partitions that is.
// 2. These count no more. Then, and not before, enough of the other holders of each of their groups
//    must say that they count: of two that are damaged one gives way.
// 3. It waits until no request can be under way any more that has counted an answer of this node.
// 4. They are asked again, and read all that they have before they answer. What this node has seen
//    and none of them has, as far as it can be read, is handed to them first. Then this node reads
//    what is damaged once more, and they must say once more, at once, that they count and lack
//    nothing.
// 5. The partitions are marked, durably. Only now what cannot be read is given up, and they are
//    emptied; then this node's data has a new epoch, durably, and the guard refills them. A restart
//    goes on here.
//
// Where it concerns hints alone, of no partition, it waits for as long, too, before it gives those
// up: what is wrong with a disk may pass.
//
// Until step 5 it gives up at any doubt: the partitions count again, with all that they had, and it
// tries again later, and later each time. Nothing is begun while too many other holders are dead.
//
// Owned by the shard's loop.

#include <chrono>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

#include "base/ids.h"
#include "env/event_loop.h"
#include "env/random.h"
#include "node/entropy/runtime.h"
#include "node/replica/group.h"
#include "node/version/frontier.h"
#include "storage/engine.h"

namespace starling::node {

class DamageHealer {
  public:
    static constexpr base::Duration interval = std::chrono::seconds(1);
    // For the next of the others' answers.
    static constexpr base::Duration patience = std::chrono::seconds(20);
    // A holder answers so many questions at a time, not only of this node.
    static constexpr size_t asked_of_one_max = 32;
    static constexpr base::Duration rest_min = std::chrono::seconds(2);
    static constexpr base::Duration rest_max = std::chrono::seconds(10);
    // Each try reads the disk: a rest is as many times longer as there were tries before it, at the
    // most.
    static constexpr uint32_t rest_factor_max = 8;
    // Where there were too few givers, it looks again when there are enough, or then.
    static constexpr base::Duration look_again_after = std::chrono::minutes(10);

    struct Damage {
        std::vector<storage::KeyRange> ranges;
        std::set<base::PartitionId> partitions;
        // It takes hints, and nothing suffers while it is looked at once more.
        bool may_wait = false;
        bool empty() const { return ranges.empty() && partitions.empty(); }
    };

    class Host {
      public:
        using Done = absl::AnyInvocable<void(absl::Status)>;

        // A read has met something that cannot be read since damage_is_gone().
        virtual bool has_met_damage() const = 0;
        virtual void find_damage(absl::AnyInvocable<void(absl::StatusOr<Damage>)> done) = 0;
        virtual void damage_is_gone() = 0;

        // As SetBackGuard::Host's. Nothing: this node holds no seat of the partition, or needs a
        // group of it whose other holders are not known.
        virtual std::map<GroupId, std::vector<base::NodeId>> givers(
            base::PartitionId partition) const = 0;
        virtual bool is_dead(base::NodeId holder) const = 0;
        // It counts as it is, or is being refilled because the disk was set back; and no seat of it
        // moves.
        virtual bool is_settled(base::PartitionId partition) const = 0;
        // A seat of it is being filled.
        virtual bool is_filling(base::PartitionId partition) const = 0;
        // It was emptied, and is not refilled yet.
        virtual bool is_refilling(base::PartitionId partition) const = 0;
        // What moves of it ends as far as this node may end it, now or soon, and nothing new begins
        // before damage_is_gone(): a copy from a damaged disk never ends, nor one to a disk that
        // cannot merge.
        virtual void give_way(base::PartitionId partition) = 0;
        // What was given away of it, and is held elsewhere, is removed without being compared
        // there: that comparison may never end.
        virtual void let_go(base::PartitionId partition) = 0;
        // The partition counts no more and no seat of it moves, until resume() or its refill.
        // REQUIRES: it is settled.
        virtual void suspend(base::PartitionId partition) = 0;
        virtual void resume(base::PartitionId partition) = 0;
        // Asks for what leads to told_counting(), after a look at all that is stored there where it
        // `checks`. May be lost.
        virtual void ask_counting(GroupId group,
                                  base::NodeId holder,
                                  uint64_t question,
                                  bool checks) = 0;
        // Brings what is here and not in `others` on its way to the other holders; how many writes
        // that were.
        virtual void hand_over_unshared(GroupId group,
                                        const Frontier& others,
                                        absl::AnyInvocable<void(absl::StatusOr<size_t>)> done) = 0;

        // Step 5, each durable when done. What could be marked but not durably is so all the same:
        // is_refilling().
        virtual void mark(const std::set<base::PartitionId>& partitions, Done done) = 0;
        virtual void give_up(const std::vector<storage::KeyRange>& ranges, Done done) = 0;
        virtual void empty(base::PartitionId partition, Done done) = 0;
        virtual void begin_epoch(Done done) = 0;
        virtual void refill(base::PartitionId partition) = 0;

        virtual void log(std::string_view severity, std::string_view line) = 0;

      protected:
        ~Host() = default;
    };

    // No request is under way for longer than `request_max`.
    DamageHealer(Host& host, env::EventLoop& loop, env::Random& random, base::Duration request_max);
    ~DamageHealer() { stop(); }

    // `marked`: partitions that an earlier life has marked.
    void start(const std::set<base::PartitionId>& marked);
    void told_counting(
        GroupId group, base::NodeId holder, uint64_t question, bool counts, Frontier frontier);
    // A holder that was asked reads what it has, and will answer.
    void told_checking(uint64_t question);
    void stop();

    // It does not only wait for a better time.
    bool is_at_work() const { return is_busy_ || phase_ != Phase::idle || !marked_.empty(); }

  private:
    enum class Phase : uint8_t {
        idle,
        finding,
        asking,
        waiting,
        asking_again,
        finding_again,
        asking_last,
        giving_up,
    };
    using Answers = std::map<GroupId, std::map<base::NodeId, Frontier>>;

    void tick();
    // What was damaged while it was being refilled, and counts again by now, is like any other.
    void forget_refilled();
    void find();
    void on_found(Damage damage);
    // As far as is known without asking them.
    bool has_enough_givers(base::PartitionId partition) const;
    bool waits_for_givers() const;
    // Step 2.
    void suspend_all();
    void begin_asking(Phase phase);
    void ask_once_more();
    bool have_all_enough_givers() const;
    void ask();
    bool is_answered() const;
    void hand_over();
    void hand_over_later();
    void give_up_all();
    void empty_next();
    void begin_refill();
    void back_off(const std::string& why);
    void back_off(const absl::Status& status);

    // Constant after construction.
    Host& host_;
    env::EventLoop& loop_;
    env::Random& random_;
    // A quarter more than a request takes, for clocks that do not go at the same rate.
    const base::Duration wait_;

    Phase phase_ = Phase::idle;
    bool is_busy_ = false;
    // Since when the damage is in the log; zero: it is not.
    base::MonotonicTime reported_at_{};
    Damage damage_;
    // Suspended by this, not marked yet.
    std::set<base::PartitionId> suspended_;
    // Marked, not emptied yet.
    std::set<base::PartitionId> marked_;
    // Emptied by the present try.
    std::set<base::PartitionId> emptied_;
    // Something was given up since the last epoch began.
    bool owes_epoch_ = false;
    uint64_t question_ = 0;
    Answers answers_;
    base::MonotonicTime suspended_at_{};
    base::MonotonicTime asking_since_{};
    // Zero: nothing had to be handed over yet.
    base::MonotonicTime handing_over_since_{};
    base::MonotonicTime rest_until_{};
    // In a row.
    uint32_t tries_in_vain_ = 0;
    // Those that had too few givers when all was looked at; and until when that is not done again
    // for want of them.
    std::set<base::PartitionId> waits_for_;
    base::MonotonicTime waits_until_{};
    env::TimerId timer_ = 0;
    bool is_stopped_ = false;
    Lifeline lifeline_;
};

}  // namespace starling::node
