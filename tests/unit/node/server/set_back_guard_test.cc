#include "node/server/set_back_guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/node/entropy/fakes.h"

namespace starling::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr base::PartitionId here(7);
constexpr base::PartitionId there(8);
constexpr GroupId of_three{.partition = here, .replicas = 3};
constexpr GroupId of_two{.partition = here, .replicas = 2};
constexpr base::NodeId b(2);
constexpr base::NodeId c(3);

class SetBackGuardTest : public testing::Test, private SetBackGuard::Host {
  protected:
    using Done = absl::AnyInvocable<void(absl::Status)>;

    // Whom it asked since the last call.
    std::vector<base::NodeId> take_asked() { return std::exchange(asked_, {}); }
    // Ends the step that is under way.
    void end_step(const absl::Status& status = absl::OkStatus()) {
        ASSERT_TRUE(step_ != nullptr);
        std::exchange(step_, nullptr)(status);
    }

    SetBackGuard guard_where_requests_last(base::Duration request_max) {
        return SetBackGuard(static_cast<SetBackGuard::Host&>(*this), loop_, request_max);
    }

    // The step that was under way when an epoch was begun.
    Done take_step_before_epoch() { return std::exchange(step_before_epoch_, nullptr); }

    FakeLoop loop_;
    std::map<GroupId, std::vector<base::NodeId>> holders_{{of_three, {b, c}}};
    bool are_holders_known_ = true;
    bool has_other_members_ = true;
    bool holds_seat_ = true;
    std::vector<base::NodeId> givers_;
    std::vector<uint64_t> epochs_;
    uint64_t epoch_ = 0;
    std::set<base::PartitionId> marked_;
    std::vector<base::PartitionId> unmarked_;
    std::set<base::PartitionId> changed_;

  private:
    std::map<GroupId, std::vector<base::NodeId>> other_holders(
        base::PartitionId partition) const override {
        if (partition == here) return holders_;
        if (partition == there) return {{GroupId{.partition = there, .replicas = 3}, {b, c}}};
        return {};
    }
    bool has_groups(base::PartitionId partition) const override {
        return !other_holders(partition).empty();
    }
    bool are_holders_known(GroupId) const override { return are_holders_known_; }
    bool has_other_members() const override { return has_other_members_; }
    bool holds_seat(base::PartitionId) const override { return holds_seat_; }
    void ask_remembered(GroupId, base::NodeId holder) override { asked_.push_back(holder); }
    void verdict_changed(base::PartitionId partition) override { changed_.insert(partition); }
    uint64_t epoch() const override { return epoch_; }
    void begin_epoch_after(uint64_t told,
                           const std::set<base::PartitionId>& set_back,
                           Done done) override {
        epochs_.push_back(told);
        marked_ = set_back;
        step_before_epoch_ = std::move(step_);
        step_ = [this, told, done = std::move(done)](const absl::Status& status) mutable {
            if (status.ok()) epoch_ = told + 1;
            done(status);
        };
    }
    void take_over(base::PartitionId, base::NodeId from, Done done) override {
        givers_.push_back(from);
        step_ = std::move(done);
    }

    void unmark(base::PartitionId partition, Done done) override {
        unmarked_.push_back(partition);
        step_ = std::move(done);
    }

    std::vector<base::NodeId> asked_;
    Done step_;
    Done step_before_epoch_;

  protected:
    SetBackGuard guard_{static_cast<SetBackGuard::Host&>(*this), loop_, base::Duration::zero()};
};

TEST_F(SetBackGuardTest, WhatWasNotHeldAtTheStartCounts) {
    guard_.watch({}, {});
    EXPECT_TRUE(guard_.counts(here));
}

TEST_F(SetBackGuardTest, APartitionCountsOnceEnoughHoldersHaveConfirmedEachGroup) {
    holders_[of_two] = {b};
    guard_.watch({here}, {});
    EXPECT_FALSE(guard_.counts(here));
    EXPECT_EQ(guard_.waiting_count(), 1u);
    EXPECT_THAT(take_asked(), UnorderedElementsAre(b, b, c));
    guard_.told(of_three, b, 0, true);
    guard_.told(of_three, c, 0, true);
    EXPECT_FALSE(guard_.counts(here));
    guard_.told(of_two, b, 0, true);
    EXPECT_TRUE(guard_.counts(here));
    EXPECT_EQ(guard_.waiting_count(), 0u);
    EXPECT_THAT(take_asked(), IsEmpty());
}

// What a disk that was set back knows of the members may be as old.
TEST_F(SetBackGuardTest, HoldersThatAreNotKnownYetHaveNotConfirmed) {
    for (const bool is_one_known : {false, true}) {
        SetBackGuard guard = guard_where_requests_last(base::Duration::zero());
        holders_[of_three] = is_one_known ? std::vector{b} : std::vector<base::NodeId>();
        are_holders_known_ = false;
        guard.watch({here}, {});
        guard.told(of_three, b, 0, true);
        EXPECT_FALSE(guard.counts(here));
        take_asked();
        holders_[of_three] = {b, c};
        are_holders_known_ = true;
        guard.holders_changed();
        EXPECT_THAT(take_asked(), Contains(c));
        EXPECT_FALSE(guard.counts(here));
        guard.told(of_three, b, 0, true);
        guard.told(of_three, c, 0, true);
        EXPECT_TRUE(guard.counts(here));
        guard.stop();
    }
}

// Others may hold some of them by now.
TEST_F(SetBackGuardTest, WhoHoldsAllSeatsWaitsWhereThereAreOtherMembers) {
    holders_ = {{of_three, {}}};
    guard_.watch({here}, {});
    EXPECT_FALSE(guard_.counts(here));
    holders_ = {{of_three, {b, c}}};
    guard_.holders_changed();
    EXPECT_THAT(take_asked(), UnorderedElementsAre(b, c));
    holders_ = {{of_three, {}}};
    loop_.run_for(SetBackGuard::patience);
    EXPECT_TRUE(guard_.counts(here));
    SetBackGuard alone = guard_where_requests_last(base::Duration::zero());
    has_other_members_ = false;
    alone.watch({here}, {});
    EXPECT_TRUE(alone.counts(here));
    alone.stop();
}

TEST_F(SetBackGuardTest, WhereHoldersStayUnknownPatienceEndsAndTheyAreAskedWhenTheyAreKnown) {
    holders_[of_three] = {};
    are_holders_known_ = false;
    guard_.watch({here}, {});
    loop_.run_for(SetBackGuard::patience);
    EXPECT_TRUE(guard_.counts(here));
    EXPECT_FALSE(guard_.may_compare(of_three, c));
    take_asked();
    holders_[of_three] = {b, c};
    are_holders_known_ = true;
    guard_.holders_changed();
    EXPECT_THAT(take_asked(), UnorderedElementsAre(b, c));
}

// A disk that was set back may not know of a namespace of which the others remember what it had.
TEST_F(SetBackGuardTest, AGroupThatIsKnownLaterIsNotComparedBeforeItsHoldersHaveConfirmed) {
    guard_.watch({here}, {});
    guard_.told(of_three, b, 0, true);
    guard_.told(of_three, c, 0, true);
    loop_.run_for(seconds(10));
    take_asked();
    holders_[of_two] = {b};
    EXPECT_FALSE(guard_.may_compare(of_two, b));
    guard_.holders_changed();
    EXPECT_THAT(take_asked(), ElementsAre(b)) << "of the new group only";
    EXPECT_FALSE(guard_.may_compare(of_two, b));
    EXPECT_TRUE(guard_.may_compare(of_three, c));
    EXPECT_TRUE(guard_.counts(here));
    changed_.clear();
    guard_.told(of_two, b, 0, true);
    EXPECT_TRUE(guard_.may_compare(of_two, b));
    EXPECT_THAT(changed_, ElementsAre(here));
    guard_.holders_changed();
    EXPECT_THAT(take_asked(), IsEmpty());
}

TEST_F(SetBackGuardTest, WhatIsMissingOfAGroupThatIsKnownLaterIsRefilled) {
    guard_.watch({here}, {});
    guard_.told(of_three, b, 0, true);
    guard_.told(of_three, c, 0, true);
    holders_[of_two] = {b};
    guard_.holders_changed();
    guard_.told(of_two, b, 4, false);
    EXPECT_THAT(epochs_, ElementsAre(4u));
    EXPECT_FALSE(guard_.counts(here));
    EXPECT_FALSE(guard_.may_compare(of_three, b));
}

TEST_F(SetBackGuardTest, GroupsOfAPartitionThatCameLaterAreComparedAtOnce) {
    guard_.watch({there}, {});
    holders_[of_two] = {b};
    guard_.holders_changed();
    EXPECT_TRUE(guard_.may_compare(of_two, b));
}

TEST_F(SetBackGuardTest, WhatNoHolderOfTheGroupSaysIsNothing) {
    constexpr base::NodeId stranger(9);
    guard_.watch({here}, {});
    guard_.told(of_three, stranger, 7, false);
    guard_.told(of_two, b, 7, false);
    EXPECT_THAT(epochs_, IsEmpty());
    guard_.told(of_three, b, 0, true);
    guard_.told(of_three, stranger, 0, true);
    EXPECT_FALSE(guard_.counts(here));
}

TEST_F(SetBackGuardTest, TheOnlyHolderAsksNobody) {
    holders_[of_three] = {};
    has_other_members_ = false;
    guard_.watch({here}, {});
    EXPECT_TRUE(guard_.counts(here));
}

TEST_F(SetBackGuardTest, WhoIsSilentIsAskedAgainAndNotWaitedForForEver) {
    guard_.watch({here}, {});
    guard_.told(of_three, b, 0, true);
    take_asked();
    loop_.run_for(SetBackGuard::interval + milliseconds(1));
    EXPECT_THAT(take_asked(), ElementsAre(c));
    EXPECT_FALSE(guard_.counts(here));
    loop_.run_for(SetBackGuard::patience);
    EXPECT_TRUE(guard_.counts(here));
    EXPECT_EQ(guard_.waiting_count(), 0u);
    take_asked();
    loop_.run_for(2 * SetBackGuard::interval_after_patience);
    EXPECT_THAT(take_asked(), testing::Contains(c));
    guard_.told(of_three, c, 0, true);
    take_asked();
    loop_.run_for(2 * SetBackGuard::interval_after_patience);
    EXPECT_THAT(take_asked(), IsEmpty());
}

TEST_F(SetBackGuardTest, WhatWasSetBackIsRefilledFromEnoughHoldersBeforeItCounts) {
    guard_.watch({here}, {});
    guard_.told(of_three, b, 4, false);
    EXPECT_THAT(epochs_, ElementsAre(4u));
    EXPECT_THAT(givers_, IsEmpty()) << "before the epoch is durable";
    end_step();
    EXPECT_THAT(givers_, ElementsAre(b));
    end_step();
    EXPECT_THAT(givers_, ElementsAre(b, c));
    loop_.run_for(SetBackGuard::patience + seconds(10));
    EXPECT_FALSE(guard_.counts(here));
    EXPECT_EQ(guard_.refilling_count(), 1u);
    EXPECT_EQ(guard_.waiting_count(), 1u);
    end_step();
    EXPECT_FALSE(guard_.counts(here)) << "before its mark is gone";
    EXPECT_THAT(unmarked_, ElementsAre(here));
    end_step();
    EXPECT_TRUE(guard_.counts(here));
    EXPECT_EQ(guard_.refilling_count(), 0u);
}

// The others may not have yet what this disk had acknowledged.
TEST_F(SetBackGuardTest, NothingIsTakenOverWhileARequestMayHaveCountedAnEarlierLife) {
    SetBackGuard guard = guard_where_requests_last(seconds(4));
    guard.watch({here}, {});
    guard.told(of_three, b, 4, false);
    EXPECT_THAT(epochs_, ElementsAre(4u)) << "that does not wait";
    end_step();
    loop_.run_for(seconds(5) - milliseconds(1));
    EXPECT_THAT(givers_, IsEmpty());
    EXPECT_FALSE(guard.counts(here));
    loop_.run_for(2 * SetBackGuard::interval);
    EXPECT_THAT(givers_, ElementsAre(b));
    end_step();
    end_step();
    end_step();
    EXPECT_TRUE(guard.counts(here));
}

TEST_F(SetBackGuardTest, ASeatThatTheDiskHadForgottenIsRefilledBeforeItCounts) {
    guard_.watch({}, {});
    loop_.run_for(SetBackGuard::patience + seconds(1));
    EXPECT_TRUE(guard_.take_up(here));
    EXPECT_FALSE(guard_.counts(here));
    EXPECT_THAT(epochs_, ElementsAre(0u));
    EXPECT_THAT(marked_, ElementsAre(here));
    end_step();
    EXPECT_THAT(givers_, ElementsAre(b));
    end_step();
    end_step();
    EXPECT_FALSE(guard_.counts(here));
    end_step();
    EXPECT_THAT(unmarked_, ElementsAre(here));
    EXPECT_TRUE(guard_.counts(here));
}

TEST_F(SetBackGuardTest, NoSeatIsTakenUpBeforeItWatchesOrAfterTheStop) {
    EXPECT_FALSE(guard_.take_up(here));
    guard_.watch({}, {});
    guard_.stop();
    EXPECT_FALSE(guard_.take_up(here));
    EXPECT_THAT(epochs_, IsEmpty());
}

TEST_F(SetBackGuardTest, ADiskIsSetBackWithAllPartitionsThatAreNotConfirmedYet) {
    guard_.watch({here, there}, {});
    guard_.told(of_three, b, 4, false);
    EXPECT_THAT(epochs_, ElementsAre(4u));
    EXPECT_THAT(marked_, ElementsAre(here, there));
    EXPECT_EQ(guard_.refilling_count(), 2u);
    // What it hears of the epoch that has ended changes nothing any more.
    guard_.told({.partition = there, .replicas = 3}, b, 4, true);
    guard_.told({.partition = there, .replicas = 3}, c, 4, true);
    loop_.run_for(SetBackGuard::patience);
    EXPECT_FALSE(guard_.counts(there));
}

TEST_F(SetBackGuardTest, OfASeatThatNoNamespaceUsesNothingIsRefilled) {
    constexpr base::PartitionId unused(9);
    guard_.watch({here, unused}, {});
    guard_.told(of_three, b, 4, false);
    EXPECT_THAT(marked_, ElementsAre(here, unused));
    for (int i = 0; i < 4; ++i)
        end_step();
    EXPECT_THAT(unmarked_, ElementsAre(here));
    EXPECT_FALSE(guard_.counts(unused)) << "it may be told of a namespace";
    loop_.run_for(SetBackGuard::patience + SetBackGuard::interval);
    EXPECT_THAT(unmarked_, ElementsAre(here, unused));
    end_step();
    EXPECT_TRUE(guard_.counts(unused));
}

TEST_F(SetBackGuardTest, ARefillGoesOnAfterAnotherStart) {
    epoch_ = 5;
    guard_.watch({here, there}, {here});
    EXPECT_EQ(guard_.refilling_count(), 1u);
    EXPECT_THAT(epochs_, IsEmpty()) << "that began with its mark";
    EXPECT_THAT(givers_, ElementsAre(b));
    guard_.told(of_three, b, 5, true);
    guard_.told(of_three, c, 5, true);
    EXPECT_FALSE(guard_.counts(here)) << "in the new epoch nobody remembers what it lacks";
}

TEST_F(SetBackGuardTest, NobodyIsComparedWithBeforeItHasSaidThatNothingIsMissing) {
    holders_[of_three] = {b, c};
    guard_.watch({here}, {});
    EXPECT_TRUE(changed_.contains(here));
    EXPECT_FALSE(guard_.may_compare(of_three, b));
    guard_.told(of_three, b, 0, true);
    EXPECT_TRUE(guard_.may_compare(of_three, b));
    loop_.run_for(SetBackGuard::patience + seconds(1));
    EXPECT_TRUE(guard_.counts(here));
    EXPECT_FALSE(guard_.may_compare(of_three, c)) << "it is silent";
    guard_.told(of_three, c, 0, false);
    EXPECT_FALSE(guard_.may_compare(of_three, b)) << "refilled";
    changed_.clear();
    end_step();
    end_step();
    end_step();
    end_step();
    EXPECT_TRUE(changed_.contains(here));
    EXPECT_TRUE(guard_.may_compare(of_three, c));
}

// Five owners: three of four are enough to count, but the fourth may remember more.
TEST_F(SetBackGuardTest, WhoIsNotNeededIsAskedToo) {
    constexpr base::NodeId d(4);
    constexpr base::NodeId e(5);
    constexpr GroupId of_five{.partition = here, .replicas = 5};
    holders_ = {{of_five, {b, c, d, e}}};
    guard_.watch({here}, {});
    for (const base::NodeId holder : {b, c, d})
        guard_.told(of_five, holder, 0, true);
    EXPECT_TRUE(guard_.counts(here));
    EXPECT_FALSE(guard_.may_compare(of_five, e));
    guard_.told(of_five, e, 3, false);
    EXPECT_FALSE(guard_.counts(here));
    EXPECT_THAT(epochs_, ElementsAre(3u));
}

TEST_F(SetBackGuardTest, WhoCannotGiveIsAskedAgainAfterTheOthers) {
    guard_.watch({here}, {});
    guard_.told(of_three, c, 0, false);
    end_step();
    end_step(absl::UnavailableError("away"));
    end_step();
    EXPECT_THAT(givers_, ElementsAre(b, c));
    loop_.run_for(2 * SetBackGuard::interval);
    EXPECT_THAT(givers_, ElementsAre(b, c, b));
    end_step();
    end_step();
    EXPECT_TRUE(guard_.counts(here));
}

TEST_F(SetBackGuardTest, AnEpochThatCannotBeStoredIsBegunAgain) {
    guard_.watch({here}, {});
    guard_.told(of_three, b, 4, false);
    end_step(absl::ResourceExhaustedError("disk full"));
    EXPECT_THAT(givers_, IsEmpty());
    loop_.run_for(2 * SetBackGuard::interval);
    EXPECT_THAT(epochs_, ElementsAre(4u, 4u));
    end_step();
    EXPECT_THAT(givers_, ElementsAre(b));
}

TEST_F(SetBackGuardTest, ItIsNoticedAfterPatienceToo) {
    guard_.watch({here}, {});
    loop_.run_for(SetBackGuard::patience + seconds(1));
    EXPECT_TRUE(guard_.counts(here));
    guard_.told(of_three, b, 0, false);
    EXPECT_FALSE(guard_.counts(here));
}

TEST_F(SetBackGuardTest, WhatIsSuspendedCountsNoMoreUntilItIsResumed) {
    guard_.suspend(here);
    EXPECT_FALSE(guard_.counts(here));
    EXPECT_EQ(guard_.waiting_count(), 1u);
    guard_.resume(here);
    EXPECT_TRUE(guard_.counts(here));
    EXPECT_EQ(guard_.waiting_count(), 0u);
}

// The disk may have all that the holder remembers, and not the epoch in which it was told.
TEST_F(SetBackGuardTest, AnEpochThatTheDiskDoesNotHaveShowsThatItWasSetBack) {
    guard_.watch({here, there}, {});
    guard_.told(of_three, b, 4, true);
    EXPECT_THAT(epochs_, ElementsAre(4u));
    EXPECT_THAT(marked_, ElementsAre(here, there));
    end_step();
    guard_.told_epoch(5);
    EXPECT_THAT(epochs_, ElementsAre(4u)) << "that is the one that has begun";
}

TEST_F(SetBackGuardTest, ALaterEpochIsHeardOfWhileItRefillsAndAfterwards) {
    guard_.watch({here}, {});
    guard_.told(of_three, b, 4, false);
    // That the next one begins is under way.
    guard_.told(of_three, c, 9, false);
    end_step();
    EXPECT_THAT(epochs_, ElementsAre(4u, 9u));
    EXPECT_THAT(givers_, IsEmpty()) << "they would not believe what it tells";
    end_step();
    end_step();
    end_step();
    end_step();
    EXPECT_TRUE(guard_.counts(here));
    guard_.told_epoch(12);
    EXPECT_THAT(epochs_, ElementsAre(4u, 9u, 12u));
    end_step();
    EXPECT_TRUE(guard_.counts(here));
}

TEST_F(SetBackGuardTest, WhatIsFoundMissingLaterIsRefilledInANewEpoch) {
    guard_.watch({here}, {});
    guard_.told(of_three, b, 0, true);
    guard_.told(of_three, c, 0, true);
    EXPECT_TRUE(guard_.may_compare(of_three, b));
    guard_.told_missing(here);
    EXPECT_FALSE(guard_.counts(here));
    EXPECT_THAT(marked_, ElementsAre(here));
    guard_.told_missing(here);
    EXPECT_THAT(epochs_, ElementsAre(0u)) << "once";
    for (int i = 0; i < 4; ++i)
        end_step();
    EXPECT_THAT(unmarked_, ElementsAre(here));
    EXPECT_TRUE(guard_.counts(here));
}

TEST_F(SetBackGuardTest, ThatItCountsAfterPatienceIsSaid) {
    guard_.watch({here}, {});
    changed_ = {};
    loop_.run_for(SetBackGuard::patience + SetBackGuard::interval);
    EXPECT_TRUE(guard_.counts(here));
    EXPECT_THAT(changed_, ElementsAre(here));
}

TEST_F(SetBackGuardTest, WhoGaveBeforeALaterEpochBeganGivesAgain) {
    guard_.watch({here}, {});
    guard_.told(of_three, b, 4, false);
    end_step();
    end_step();
    EXPECT_THAT(givers_, ElementsAre(b, c));
    // While c gives.
    guard_.told_epoch(9);
    Done giving = take_step_before_epoch();
    EXPECT_THAT(epochs_, ElementsAre(4u, 9u));
    giving(absl::OkStatus());
    end_step();
    EXPECT_THAT(givers_, ElementsAre(b, c, b));
    end_step();
    EXPECT_THAT(givers_, ElementsAre(b, c, b, c));
}

TEST_F(SetBackGuardTest, ALaterEpochThatIsHeardOfWhileTheMarkGoesBeginsTheRefillAnew) {
    guard_.watch({here}, {});
    guard_.told(of_three, b, 4, false);
    end_step();
    end_step();
    end_step();
    EXPECT_THAT(unmarked_, ElementsAre(here));
    marked_ = {};
    guard_.told_epoch(9);
    EXPECT_THAT(marked_, ElementsAre(here));
    Done unmarking = take_step_before_epoch();
    unmarking(absl::OkStatus());
    EXPECT_FALSE(guard_.counts(here));
    end_step();
    EXPECT_THAT(givers_, ElementsAre(b, c, b));
}

TEST_F(SetBackGuardTest, AnEpochThatCannotBeStoredIsBegunLaterThoughNothingIsRefilled) {
    guard_.watch({}, {});
    guard_.told_epoch(9);
    end_step(absl::ResourceExhaustedError("disk full"));
    guard_.told_epoch(9);
    EXPECT_THAT(epochs_, ElementsAre(9u));
    loop_.run_for(SetBackGuard::interval_after_patience);
    EXPECT_THAT(epochs_, ElementsAre(9u, 9u));
}

TEST_F(SetBackGuardTest, AfterTheStopNoEpochBegins) {
    guard_.watch({here}, {});
    guard_.told_epoch(4);
    guard_.told_epoch(9);
    guard_.stop();
    end_step();
    EXPECT_THAT(epochs_, ElementsAre(4u));
}

TEST_F(SetBackGuardTest, NoEpochBeginsBeforeItIsKnownWhatIsHeld) {
    guard_.told_epoch(3);
    EXPECT_THAT(epochs_, IsEmpty());
    guard_.watch({here}, {});
    guard_.stop();
    guard_.told_epoch(3);
    EXPECT_THAT(epochs_, IsEmpty());
}

TEST_F(SetBackGuardTest, WhatIsSuspendedIsSetBackWithTheOthersAndRefilledOnceItIsResumed) {
    guard_.watch({here, there}, {});
    guard_.suspend(here);
    EXPECT_EQ(guard_.waiting_count(), 2u);
    guard_.told({.partition = there, .replicas = 3}, b, 4, false);
    EXPECT_THAT(marked_, ElementsAre(here, there));
    EXPECT_EQ(guard_.waiting_count(), 2u);
    end_step();
    end_step();
    end_step();
    EXPECT_THAT(unmarked_, ElementsAre(there));
    end_step();
    EXPECT_THAT(givers_, ElementsAre(b, c)) << "of the other partition alone";
    guard_.resume(here);
    EXPECT_FALSE(guard_.counts(here));
    loop_.run_for(SetBackGuard::interval);
    end_step();
    end_step();
    EXPECT_THAT(unmarked_, ElementsAre(there, here));
    end_step();
    EXPECT_TRUE(guard_.counts(here));
}

TEST_F(SetBackGuardTest, WhatAHolderOfASuspendedPartitionRemembersCounts) {
    guard_.watch({here}, {});
    guard_.suspend(here);
    guard_.told(of_three, b, 0, false);
    EXPECT_THAT(marked_, ElementsAre(here));
    guard_.resume(here);
    EXPECT_FALSE(guard_.counts(here));
}

TEST_F(SetBackGuardTest, WhatDoesNotCountAtTheStopDoesNotCountAfterwards) {
    guard_.watch({here, there}, {here});
    guard_.stop();
    EXPECT_FALSE(guard_.counts(here));
    EXPECT_FALSE(guard_.counts(there));
    EXPECT_FALSE(guard_.may_compare(of_three, b));
    end_step();
    EXPECT_THAT(givers_, ElementsAre(b));
    guard_.told({.partition = there, .replicas = 3}, b, 4, false);
    EXPECT_THAT(epochs_, IsEmpty());
}

TEST_F(SetBackGuardTest, WhatWasEmptiedIsRefilledAndUnmarkedBeforeItCounts) {
    guard_.watch({}, {});
    guard_.suspend(here);
    guard_.refill_emptied(here);
    EXPECT_EQ(guard_.refilling_count(), 1u);
    end_step();
    EXPECT_THAT(givers_, ElementsAre(b, c));
    EXPECT_THAT(unmarked_, IsEmpty());
    end_step();
    EXPECT_THAT(unmarked_, ElementsAre(here));
    EXPECT_FALSE(guard_.counts(here));
    end_step(absl::UnavailableError("the disk is full"));
    EXPECT_FALSE(guard_.counts(here));
    loop_.run_for(SetBackGuard::interval + milliseconds(1));
    EXPECT_THAT(unmarked_, ElementsAre(here, here));
    end_step();
    EXPECT_TRUE(guard_.counts(here));
    EXPECT_EQ(guard_.refilling_count(), 0u);
    EXPECT_THAT(epochs_, IsEmpty()) << "that began with its mark";
}

TEST_F(SetBackGuardTest, WhatWasEmptiedAndWhoseSeatIsGoneIsMarkedNoMore) {
    holders_ = {};
    guard_.watch({}, {});
    guard_.suspend(here);
    guard_.refill_emptied(here);
    loop_.run_for(2 * SetBackGuard::patience);
    EXPECT_THAT(unmarked_, IsEmpty()) << "its groups may be known later";
    holds_seat_ = false;
    loop_.run_for(SetBackGuard::interval + milliseconds(1));
    EXPECT_THAT(unmarked_, ElementsAre(here));
}

TEST_F(SetBackGuardTest, WhatIsEmptiedWhileItIsRefilledTakesEverythingAnew) {
    guard_.watch({here}, {});
    guard_.told(of_three, b, 4, false);
    end_step();
    EXPECT_THAT(givers_, ElementsAre(b));
    end_step();
    EXPECT_THAT(givers_, ElementsAre(b, c));
    guard_.suspend(here);
    guard_.refill_emptied(here);
    end_step();
    EXPECT_THAT(givers_, ElementsAre(b, c, b)) << "what came from c is gone";
    end_step();
    EXPECT_THAT(givers_, ElementsAre(b, c, b, c));
    end_step();
    EXPECT_THAT(unmarked_, ElementsAre(here));
    end_step();
    EXPECT_TRUE(guard_.counts(here));
}

}  // namespace
}  // namespace starling::node
