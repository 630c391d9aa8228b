#include "node/server/damage_healer.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/node/entropy/fakes.h"

namespace starling::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr base::PartitionId here(7);
constexpr base::PartitionId there(9);
constexpr base::NodeId b(2);
constexpr base::NodeId c(3);
constexpr base::Duration request_max = seconds(8);

GroupId of_three(base::PartitionId partition) {
    return {.partition = partition, .replicas = 3};
}

// Writes down what the healer asks for; the disk answers at once, the others when told to.
class DamageHealerTest : public testing::Test, private DamageHealer::Host {
  protected:
    void damage(std::set<base::PartitionId> partitions) {
        has_met_ = true;
        found_ = {.ranges = {{.first = "a", .last = "b"}}, .partitions = std::move(partitions)};
    }
    void start(const std::set<base::PartitionId>& marked = {}) {
        refilling_ = marked;
        healer_.start(marked);
    }
    // To the last question.
    void answer(base::PartitionId partition,
                base::NodeId holder,
                bool counts = true,
                const Frontier& frontier = {}) {
        healer_.told_counting(of_three(partition), holder, question_, counts, frontier);
    }
    void answer_both(base::PartitionId partition) {
        answer(partition, b);
        answer(partition, c);
    }
    // Until it asks for the second time.
    void wait_for_requests() { loop_.run_for(request_max + request_max / 4 + seconds(1)); }

    FakeLoop loop_;
    FakeRandom random_{1};
    absl::StatusOr<DamageHealer::Damage> found_ = DamageHealer::Damage();
    bool has_met_ = false;
    // Once it is given up, the disk says nothing of it any more.
    bool is_forgotten_when_given_up_ = false;
    absl::Status mark_status_;
    // A mark that failed is there all the same.
    bool is_marked_all_the_same_ = false;
    std::map<base::NodeId, size_t> asked_;
    uint8_t replicas_ = 3;
    std::set<base::PartitionId> moving_;
    bool gives_way_at_once_ = false;
    // Was given away: once that is removed, nothing of it is damaged.
    std::set<base::PartitionId> held_elsewhere_;
    std::set<base::PartitionId> filling_;
    std::map<base::PartitionId, std::vector<base::NodeId>> others_{{here, {b, c}}, {there, {b, c}}};
    size_t unshared_ = 0;
    absl::Status give_up_status_;
    absl::Status empty_status_;
    absl::Status epoch_status_;
    std::set<base::PartitionId> refilling_;
    std::set<base::NodeId> dead_;
    int searches_ = 0;
    bool was_to_check_ = false;

    // When they are asked for the last time: as at once as may be.
    bool answers_last_ = true;
    bool was_last_asked_ = false;

    uint64_t question_ = 0;
    Frontier handed_over_to_;
    std::vector<std::string> steps_;
    bool has_checked_ = false;

  private:
    void step(std::string_view name, base::PartitionId partition) {
        steps_.push_back(fmt::format("{} {}", name, partition.raw()));
    }
    template <typename Callback, typename Result>
    void later(Callback done, Result result) {
        loop_.post(
            [done = std::move(done), result = std::move(result)]() mutable { done(result); });
    }

    bool has_met_damage() const override { return has_met_; }
    void find_damage(absl::AnyInvocable<void(absl::StatusOr<DamageHealer::Damage>)> done) override {
        ++searches_;
        later(std::move(done), found_);
    }
    void damage_is_gone() override {
        steps_.emplace_back("gone");
        has_met_ = false;
    }
    std::map<GroupId, std::vector<base::NodeId>> givers(
        base::PartitionId partition) const override {
        const auto& others = others_.at(partition);
        if (others.empty()) return {};
        return {{{.partition = partition, .replicas = replicas_}, others}};
    }
    bool is_dead(base::NodeId holder) const override { return dead_.contains(holder); }
    bool is_settled(base::PartitionId partition) const override {
        return !moving_.contains(partition);
    }
    bool is_filling(base::PartitionId partition) const override {
        return filling_.contains(partition);
    }
    void give_way(base::PartitionId partition) override {
        step("give way", partition);
        if (gives_way_at_once_) moving_.erase(partition);
    }
    void let_go(base::PartitionId partition) override {
        if (held_elsewhere_.erase(partition) > 0) found_->partitions.erase(partition);
    }
    void suspend(base::PartitionId partition) override {
        step("suspend", partition);
        has_checked_ = false;
    }
    void resume(base::PartitionId partition) override { step("resume", partition); }
    bool is_refilling(base::PartitionId partition) const override {
        return refilling_.contains(partition);
    }
    void ask_counting(GroupId group, base::NodeId holder, uint64_t question, bool checks) override {
        question_ = question;
        has_checked_ = has_checked_ || checks;
        was_last_asked_ = has_checked_ && !checks;
        if (was_last_asked_ && answers_last_) {
            loop_.post([this, group, holder, question] {
                healer_.told_counting(group, holder, question, true, {});
            });
            return;
        }
        ++asked_[holder];
        was_to_check_ = checks;
    }
    void begin_epoch(Done done) override {
        steps_.emplace_back("epoch");
        later(std::move(done), epoch_status_);
    }
    void hand_over_unshared(GroupId,
                            const Frontier& others,
                            absl::AnyInvocable<void(absl::StatusOr<size_t>)> done) override {
        handed_over_to_ = others;
        later(std::move(done), absl::StatusOr<size_t>(unshared_));
    }
    void mark(const std::set<base::PartitionId>& partitions, Done done) override {
        for (const base::PartitionId partition : partitions) {
            step("mark", partition);
            if (mark_status_.ok() || is_marked_all_the_same_) refilling_.insert(partition);
        }
        later(std::move(done), mark_status_);
    }
    void give_up(const std::vector<storage::KeyRange>&, Done done) override {
        steps_.emplace_back("give up");
        if (is_forgotten_when_given_up_) {
            has_met_ = false;
            found_ = DamageHealer::Damage();
        }
        later(std::move(done), give_up_status_);
    }
    void empty(base::PartitionId partition, Done done) override {
        step("empty", partition);
        later(std::move(done), empty_status_);
    }
    void refill(base::PartitionId partition) override { step("refill", partition); }
    void log(std::string_view, std::string_view) override {}

  protected:
    DamageHealer healer_{static_cast<DamageHealer::Host&>(*this), loop_, random_, request_max};
};

TEST_F(DamageHealerTest, NothingIsDoneWhileNothingIsDamaged) {
    start();
    loop_.run_for(seconds(60));
    EXPECT_THAT(steps_, IsEmpty());
}

TEST_F(DamageHealerTest, APartitionIsEmptiedOnlyWhenTheOthersCountAndNoOldRequestIsUnderWay) {
    start();
    damage({here});
    loop_.run_for(seconds(1));
    EXPECT_THAT(steps_, ElementsAre("suspend 7"));
    EXPECT_FALSE(was_to_check_);
    answer_both(here);
    loop_.run_for(request_max);
    EXPECT_FALSE(was_to_check_) << "a request may be under way still";
    loop_.run_for(seconds(4));
    EXPECT_THAT(steps_, ElementsAre("suspend 7")) << "they have not answered anew";
    EXPECT_TRUE(was_to_check_);
    answer_both(here);
    loop_.run_for(milliseconds(1));
    EXPECT_THAT(
        steps_,
        ElementsAre("suspend 7", "mark 7", "give up", "empty 7", "epoch", "gone", "refill 7"));
}

TEST_F(DamageHealerTest, OneOfTheOthersIsNotEnough) {
    start();
    damage({here});
    loop_.run_for(seconds(1));
    answer(here, b);
    answer(here, b);
    loop_.run_for(DamageHealer::patience + seconds(1));
    EXPECT_THAT(steps_, ElementsAre("suspend 7", "resume 7"));
}

TEST_F(DamageHealerTest, WhoStillReadsWhatItHasIsWaitedFor) {
    start();
    damage({here});
    loop_.run_for(seconds(1));
    answer_both(here);
    wait_for_requests();
    ASSERT_TRUE(was_to_check_);
    answer(here, b);
    for (int i = 0; i < 10; ++i) {
        loop_.run_for(DamageHealer::patience - seconds(1));
        healer_.told_checking(question_);
    }
    EXPECT_THAT(steps_, ElementsAre("suspend 7"));
    answer(here, c);
    loop_.run_for(milliseconds(1));
    EXPECT_THAT(steps_, testing::Contains("refill 7"));
}

TEST_F(DamageHealerTest, WhoReadsForAnEarlierQuestionIsNotWaitedFor) {
    start();
    damage({here});
    loop_.run_for(seconds(1));
    answer_both(here);
    wait_for_requests();
    loop_.run_for(DamageHealer::patience - seconds(2));
    healer_.told_checking(question_ - 1);
    loop_.run_for(seconds(3));
    EXPECT_THAT(steps_, ElementsAre("suspend 7", "resume 7"));
}

TEST_F(DamageHealerTest, AnAnswerToAnEarlierQuestionIsNone) {
    start();
    damage({here});
    loop_.run_for(seconds(1));
    const uint64_t first = question_;
    answer_both(here);
    wait_for_requests();
    ASSERT_NE(question_, first);
    healer_.told_counting(of_three(here), b, first, true, {});
    healer_.told_counting(of_three(here), c, first, true, {});
    loop_.run_for(seconds(1));
    EXPECT_THAT(steps_, ElementsAre("suspend 7"));
}

TEST_F(DamageHealerTest, WhoHasNotAnsweredIsAskedAgainAndWhatWasAnsweredStays) {
    start();
    damage({here});
    loop_.run_for(seconds(1));
    answer(here, b);
    const uint64_t first = question_;
    question_ = 0;
    loop_.run_for(seconds(1));
    EXPECT_EQ(question_, first);
    answer(here, c);
    wait_for_requests();
    EXPECT_NE(question_, first) << "it asks for the second time";
}

TEST_F(DamageHealerTest, WhatIsMetInAPartitionThatIsBeingRefilledIsGivenUpAtOnce) {
    start();
    refilling_ = {here};
    damage({here});
    loop_.run_for(seconds(1));
    EXPECT_THAT(steps_, ElementsAre("mark 7", "give up", "empty 7", "epoch", "gone", "refill 7"));
}

// Of two that are damaged one was being refilled, and the other has to be asked about first.
TEST_F(DamageHealerTest, WhatWasRefilledMeanwhileIsNotGivenUpWithoutAsking) {
    start();
    refilling_ = {here};
    damage({here, there});
    loop_.run_for(seconds(1));
    EXPECT_THAT(steps_, ElementsAre("suspend 9"));
    answer_both(there);
    wait_for_requests();
    refilling_ = {};
    answer_both(there);
    loop_.run_for(seconds(1));
    EXPECT_THAT(steps_, ElementsAre("suspend 9", "resume 9"));
    loop_.run_for(DamageHealer::rest_max + seconds(1));
    EXPECT_THAT(steps_, ElementsAre("suspend 9", "resume 9", "suspend 7", "suspend 9"));
}

TEST_F(DamageHealerTest, WithoutANewEpochNothingIsRefilled) {
    start({here});
    epoch_status_ = absl::UnavailableError("stalled");
    loop_.run_for(seconds(1));
    EXPECT_THAT(steps_, ElementsAre("mark 7", "give up", "empty 7", "epoch"));
    epoch_status_ = absl::OkStatus();
    steps_.clear();
    loop_.run_for(DamageHealer::rest_max + seconds(1));
    EXPECT_THAT(steps_, ElementsAre("mark 7", "give up", "empty 7", "epoch", "gone", "refill 7"));
}

TEST_F(DamageHealerTest, WhoHearsThatAnotherDoesNotCountGivesWayAndTriesAgainLater) {
    start();
    damage({here});
    loop_.run_for(seconds(1));
    answer(here, b, /*counts=*/false);
    EXPECT_THAT(steps_, ElementsAre("suspend 7", "resume 7"));
    loop_.run_for(DamageHealer::rest_min - seconds(1));
    EXPECT_EQ(steps_.size(), 2u);
    loop_.run_for(DamageHealer::rest_max);
    EXPECT_THAT(steps_, ElementsAre("suspend 7", "resume 7", "suspend 7"));
}

TEST_F(DamageHealerTest, WhoStopsCountingWhileThisNodeWaitsStopsIt) {
    start();
    damage({here});
    loop_.run_for(seconds(1));
    answer_both(here);
    wait_for_requests();
    answer(here, b);
    answer(here, c, /*counts=*/false);
    loop_.run_for(seconds(1));
    EXPECT_THAT(steps_, ElementsAre("suspend 7", "resume 7"));
}

TEST_F(DamageHealerTest, WhatNobodyElseHasIsHandedOverFirst) {
    start();
    damage({here});
    loop_.run_for(seconds(1));
    answer_both(here);
    wait_for_requests();
    unshared_ = 2;
    Frontier of_b;
    of_b.add({.actor = {.node = b, .start = 1, .random = 1}, .sequence = 1});
    Frontier of_c;
    of_c.add({.actor = {.node = c, .start = 1, .random = 1}, .sequence = 1});
    answer(here, b, true, of_b);
    answer(here, c, true, of_c);
    loop_.run_for(milliseconds(1));
    Frontier both = of_b;
    both.unite(of_c);
    EXPECT_EQ(handed_over_to_, both);
    EXPECT_THAT(steps_, ElementsAre("suspend 7"));
    unshared_ = 0;
    loop_.run_for(seconds(1));
    answer_both(here);
    loop_.run_for(milliseconds(1));
    EXPECT_THAT(steps_, testing::Contains("refill 7"));
}

TEST_F(DamageHealerTest, DamageThatHasPassedGivesNothingUp) {
    start();
    damage({here});
    loop_.run_for(seconds(1));
    answer_both(here);
    wait_for_requests();
    found_ = DamageHealer::Damage();
    answer_both(here);
    loop_.run_for(milliseconds(1));
    EXPECT_THAT(steps_, ElementsAre("suspend 7", "resume 7", "give up", "gone"));
}

TEST_F(DamageHealerTest, OfTwoPartitionsTheOneThatCanBeReadAgainIsNotEmptied) {
    start();
    damage({here, there});
    loop_.run_for(seconds(1));
    answer_both(here);
    answer_both(there);
    wait_for_requests();
    damage({there});
    answer_both(here);
    answer_both(there);
    loop_.run_for(milliseconds(1));
    EXPECT_THAT(steps_,
                ElementsAre("suspend 7",
                            "suspend 9",
                            "resume 7",
                            "mark 9",
                            "give up",
                            "empty 9",
                            "epoch",
                            "gone",
                            "refill 9"));
}

TEST_F(DamageHealerTest, DamageThatGrowsMeanwhileIsBegunAnew) {
    start();
    damage({here});
    loop_.run_for(seconds(1));
    answer_both(here);
    wait_for_requests();
    damage({here, there});
    answer_both(here);
    loop_.run_for(milliseconds(1));
    EXPECT_THAT(steps_, ElementsAre("suspend 7", "resume 7"));
    loop_.run_for(DamageHealer::rest_max + seconds(1));
    EXPECT_THAT(steps_, ElementsAre("suspend 7", "resume 7", "suspend 7", "suspend 9"));
}

TEST_F(DamageHealerTest, WhereOnePartitionCannotBeRefilledNoneIsEmptied) {
    start();
    others_[there] = {};
    damage({here, there});
    loop_.run_for(seconds(60));
    EXPECT_THAT(steps_, IsEmpty());
    EXPECT_EQ(searches_, 1) << "nothing has changed, so there is nothing to look for";
    others_[there] = {b, c};
    loop_.run_for(seconds(1));
    EXPECT_THAT(steps_, ElementsAre("suspend 7", "suspend 9"));
}

TEST_F(DamageHealerTest, WhileTooFewOfTheOthersAreAliveThePartitionGoesOnCounting) {
    start();
    dead_ = {c};
    damage({here});
    loop_.run_for(seconds(60));
    EXPECT_THAT(steps_, IsEmpty());
    EXPECT_EQ(searches_, 1);
    dead_ = {};
    loop_.run_for(seconds(1));
    EXPECT_THAT(steps_, ElementsAre("suspend 7"));
}

TEST_F(DamageHealerTest, ItRestsLongerAfterEachTryInVainUpToALimit) {
    start();
    damage({here});
    base::Duration last{};
    for (uint32_t tries = 1; tries <= 12; ++tries) {
        ASSERT_TRUE(loop_.run_until([&] { return steps_.size() == 1; }, minutes(2)));
        answer(here, b, /*counts=*/false);
        const base::MonotonicTime begin = loop_.now();
        steps_.clear();
        ASSERT_TRUE(loop_.run_until([&] { return !steps_.empty(); }, minutes(2)));
        last = loop_.now() - begin;
        const uint32_t factor = std::min(tries, DamageHealer::rest_factor_max);
        EXPECT_GE(last, DamageHealer::rest_min * factor);
        EXPECT_LE(last, DamageHealer::rest_max * factor + DamageHealer::interval);
    }
    // It heals, and then the next time is the first one again.
    answer_both(here);
    wait_for_requests();
    answer_both(here);
    loop_.run_for(milliseconds(1));
    ASSERT_EQ(steps_.back(), "refill 7");
    steps_.clear();
    damage({here});
    ASSERT_TRUE(loop_.run_until([&] { return steps_.size() == 1; }, seconds(2)));
    answer(here, b, /*counts=*/false);
    steps_.clear();
    EXPECT_TRUE(loop_.run_until([&] { return !steps_.empty(); },
                                DamageHealer::rest_max + DamageHealer::interval));
}

TEST_F(DamageHealerTest, APartitionWhoseSeatMovesIsLeftForLater) {
    start();
    moving_ = {here};
    damage({here, there});
    loop_.run_for(seconds(1));
    EXPECT_THAT(steps_, ElementsAre("give way 7"));
    steps_.clear();
    moving_ = {};
    loop_.run_for(DamageHealer::rest_max + seconds(1));
    EXPECT_THAT(steps_, ElementsAre("suspend 7", "suspend 9"));
}

TEST_F(DamageHealerTest, WhatWouldNotBeHealedMovesOnUnlessItIsBeingFilled) {
    start();
    dead_ = {b, c};
    moving_ = {here, there};
    filling_ = {there};
    damage({here, there});
    loop_.run_for(seconds(1));
    EXPECT_THAT(steps_, ElementsAre("give way 9"));
}

TEST_F(DamageHealerTest, WhatWasGivenAwayIsLetGoWhetherOrNotItCouldBeHealed) {
    start();
    dead_ = {b, c};
    moving_ = {here};
    held_elsewhere_ = {here};
    damage({here});
    loop_.run_for(DamageHealer::rest_max * 3);
    EXPECT_THAT(steps_, ElementsAre("give up", "epoch", "gone"));
}

TEST_F(DamageHealerTest, WhatStopsMovingAtOnceIsHealedAtOnce) {
    start();
    gives_way_at_once_ = true;
    moving_ = {here, there};
    damage({here, there});
    loop_.run_for(seconds(1));
    EXPECT_THAT(steps_, ElementsAre("give way 7", "give way 9", "suspend 7", "suspend 9"));
}

TEST_F(DamageHealerTest, WhoWaitsForHoldersLooksAgainWhenThePartitionMovesOrSomeTimeHasPassed) {
    start();
    dead_ = {b, c};
    damage({here});
    loop_.run_for(minutes(1));
    EXPECT_EQ(searches_, 1);
    moving_ = {here};
    loop_.run_for(seconds(1));
    EXPECT_EQ(searches_, 2);
    // It is not here any more.
    moving_ = {};
    found_ = {.ranges = {{.first = "a", .last = "b"}}, .partitions = {}};
    loop_.run_for(DamageHealer::look_again_after + DamageHealer::rest_max * 3);
    EXPECT_THAT(steps_, ElementsAre("give up", "epoch", "gone"));
}

TEST_F(DamageHealerTest, WhenAHolderDiesWhileItWaitsThePartitionCountsAgain) {
    start();
    damage({here});
    loop_.run_for(seconds(1));
    answer_both(here);
    dead_ = {c};
    loop_.run_for(seconds(1));
    EXPECT_THAT(steps_, ElementsAre("suspend 7", "resume 7"));
}

// It may take hours to read the disk again.
TEST_F(DamageHealerTest, WhoDiesWhileTheDiskIsReadAgainStopsIt) {
    damage({here});
    start();
    loop_.run_for(seconds(1));
    answer_both(here);
    wait_for_requests();
    ASSERT_TRUE(was_to_check_);
    dead_.insert(b);
    answer_both(here);
    loop_.run_for(milliseconds(1));
    EXPECT_FALSE(was_last_asked_);
    EXPECT_THAT(steps_, ElementsAre("suspend 7", "resume 7"));
}

TEST_F(DamageHealerTest, WhoCountsNoMoreWhenTheDiskWasReadAgainStopsIt) {
    answers_last_ = false;
    damage({here});
    start();
    loop_.run_for(seconds(1));
    answer_both(here);
    wait_for_requests();
    answer_both(here);
    loop_.run_for(milliseconds(1));
    ASSERT_TRUE(was_last_asked_);
    answer(here, b);
    EXPECT_THAT(steps_, ElementsAre("suspend 7"));
    answer(here, c, /*counts=*/false);
    EXPECT_THAT(steps_, ElementsAre("suspend 7", "resume 7"));
}

TEST_F(DamageHealerTest, DamageOfNoPartitionIsGivenUpAtOnce) {
    start();
    damage({});
    loop_.run_for(seconds(1));
    EXPECT_THAT(steps_, ElementsAre("give up", "epoch", "gone"));
}

TEST_F(DamageHealerTest, DamageOfHintsIsGivenUpWhenItHasNotPassed) {
    start();
    damage({});
    found_->may_wait = true;
    loop_.run_for(request_max);
    EXPECT_THAT(steps_, IsEmpty());
    loop_.run_for(minutes(1));
    EXPECT_THAT(steps_, ElementsAre("give up", "epoch", "gone"));
}

TEST_F(DamageHealerTest, WhatFollowsFromGivingUpIsTriedAgainThoughNothingIsDamagedAnyMore) {
    start();
    damage({});
    is_forgotten_when_given_up_ = true;
    epoch_status_ = absl::UnavailableError("stalled");
    for (int i = 0; i < 60 && steps_.empty(); ++i)
        loop_.run_for(seconds(1));
    EXPECT_THAT(steps_, ElementsAre("give up", "epoch"));
    epoch_status_ = absl::OkStatus();
    steps_.clear();
    loop_.run_for(minutes(1));
    EXPECT_THAT(steps_, ElementsAre("give up", "epoch", "gone"));
    steps_.clear();
    loop_.run_for(minutes(1));
    EXPECT_THAT(steps_, IsEmpty());
}

TEST_F(DamageHealerTest, WhatMayBeMarkedOnTheDiskCountsNoMore) {
    start();
    damage({here});
    loop_.run_for(seconds(1));
    answer_both(here);
    wait_for_requests();
    mark_status_ = absl::UnavailableError("the sync failed");
    is_marked_all_the_same_ = true;
    answer_both(here);
    loop_.run_for(milliseconds(1));
    EXPECT_THAT(steps_, ElementsAre("suspend 7", "mark 7")) << "not resumed";
    mark_status_ = absl::OkStatus();
    steps_.clear();
    loop_.run_for(DamageHealer::rest_max + seconds(1));
    EXPECT_THAT(steps_, ElementsAre("mark 7", "give up", "empty 7", "epoch", "gone", "refill 7"));
}

TEST_F(DamageHealerTest, WhatIsNotMarkedForCertainCountsAgain) {
    start();
    damage({here});
    loop_.run_for(seconds(1));
    answer_both(here);
    wait_for_requests();
    mark_status_ = absl::ResourceExhaustedError("the disk is full");
    answer_both(here);
    loop_.run_for(milliseconds(1));
    EXPECT_THAT(steps_, ElementsAre("suspend 7", "mark 7", "resume 7"));
}

// Of many partitions whose holders are not the same.
TEST_F(DamageHealerTest, WhoIsDeadOrHasManyQuestionsKeepsNobodyElseFromBeingAsked) {
    constexpr base::NodeId dead(4);
    constexpr base::NodeId other(5);
    constexpr base::PartitionId last(UINT16_MAX);
    replicas_ = 5;
    std::set<base::PartitionId> damaged{last};
    for (uint16_t i = 0; i < 2 * DamageHealer::asked_of_one_max; ++i) {
        damaged.insert(base::PartitionId(i));
        others_[base::PartitionId(i)] = {b, c, base::NodeId(6), dead};
    }
    others_[last] = {b, c, other, dead};
    dead_ = {dead};
    start();
    damage(damaged);
    loop_.run_for(seconds(1));
    EXPECT_EQ(asked_[b], DamageHealer::asked_of_one_max);
    EXPECT_EQ(asked_[c], DamageHealer::asked_of_one_max);
    EXPECT_EQ(asked_[other], 1u);
    EXPECT_EQ(asked_[dead], 0u);
}

TEST_F(DamageHealerTest, WhatAnEarlierLifeHasMarkedIsEmptiedAndRefilled) {
    start({here});
    loop_.run_for(seconds(1));
    EXPECT_THAT(steps_, ElementsAre("mark 7", "give up", "empty 7", "epoch", "gone", "refill 7"));
}

TEST_F(DamageHealerTest, WhatIsMarkedIsTriedAgainUntilItIsEmptied) {
    start({here});
    give_up_status_ = absl::ResourceExhaustedError("the disk is full");
    loop_.run_for(seconds(1));
    EXPECT_THAT(steps_, ElementsAre("mark 7", "give up"));
    give_up_status_ = absl::OkStatus();
    empty_status_ = absl::UnavailableError("stalled");
    steps_.clear();
    loop_.run_for(DamageHealer::rest_max + seconds(1));
    EXPECT_THAT(steps_, ElementsAre("mark 7", "give up", "empty 7"));
    empty_status_ = absl::OkStatus();
    steps_.clear();
    loop_.run_for(DamageHealer::rest_max + seconds(1));
    EXPECT_THAT(steps_, ElementsAre("mark 7", "give up", "empty 7", "epoch", "gone", "refill 7"));
}

}  // namespace
}  // namespace starling::node
