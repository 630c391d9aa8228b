#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "env/sim/random.h"
#include "env/sim/scheduler.h"

namespace starling::env {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const EventLabel test_label("test");

class SimSchedulerTest : public ::testing::Test {
  protected:
    EventId note_at(SimTime at, const std::string& word, OwnerId owner = no_owner) {
        return scheduler_.schedule_at(
            at, {.owner = owner, .context = nullptr, .label = &test_label, .task = [this, word] {
                     notes_.push_back(word);
                 }});
    }

    SimScheduler scheduler_;
    std::vector<std::string> notes_;
};

using Notes = std::vector<std::string>;

TEST_F(SimSchedulerTest, EventsRunInTheOrderOfTheirTimesAndThenOfTheirScheduling) {
    note_at(seconds(2), "c");
    note_at(seconds(1), "a");
    note_at(seconds(1), "b");
    scheduler_.run_until(seconds(3));
    EXPECT_EQ(notes_, (Notes{"a", "b", "c"}));
    EXPECT_EQ(scheduler_.now(), seconds(3));
    EXPECT_EQ(scheduler_.events_run(), 3u);
    EXPECT_EQ(scheduler_.events_waiting(), 0u);
}

TEST_F(SimSchedulerTest, WhatIsDueLaterThanTheEndWaits) {
    note_at(seconds(2), "later");
    scheduler_.run_until(seconds(1));
    EXPECT_TRUE(notes_.empty());
    scheduler_.run_until(seconds(2));
    EXPECT_EQ(notes_, Notes{"later"});
}

TEST_F(SimSchedulerTest, ACancelledEventNeverRunsAndItsNameIsNotReused) {
    const EventId first = note_at(seconds(1), "first");
    EXPECT_TRUE(scheduler_.cancel(first));
    EXPECT_FALSE(scheduler_.cancel(first));
    note_at(seconds(1), "second");
    EXPECT_FALSE(scheduler_.cancel(first));
    EXPECT_FALSE(scheduler_.cancel(0));
    scheduler_.run_until(seconds(2));
    EXPECT_EQ(notes_, Notes{"second"});
}

TEST_F(SimSchedulerTest, ManyCancelledTimersDoNotFillTheQueue) {
    note_at(seconds(9), "kept");
    for (int i = 0; i < 100'000; ++i) {
        ASSERT_TRUE(scheduler_.cancel(note_at(seconds(5), "dropped")));
    }
    EXPECT_EQ(scheduler_.events_waiting(), 1u);
    scheduler_.run_until(seconds(10));
    EXPECT_EQ(notes_, Notes{"kept"});
}

TEST_F(SimSchedulerTest, APausedOwnersEventsComeTogetherAndInOrderAfterItsResumption) {
    const OwnerId owner = scheduler_.add_owner();
    note_at(seconds(3), "scheduled first, due second", owner);
    note_at(seconds(2), "due first", owner);
    note_at(seconds(4), "somebody else's");
    const EventId cancelled = note_at(seconds(2), "cancelled meanwhile", owner);
    scheduler_.pause(owner);
    scheduler_.run_until(seconds(5));
    EXPECT_EQ(notes_, Notes{"somebody else's"});
    EXPECT_TRUE(scheduler_.cancel(cancelled));
    scheduler_.resume(owner);
    scheduler_.run_until(seconds(5));
    EXPECT_EQ(notes_, (Notes{"somebody else's", "due first", "scheduled first, due second"}));
}

TEST_F(SimSchedulerTest, DroppingAnOwnerDestroysItsTasksAlsoThoseAPauseHeldBack) {
    const OwnerId owner = scheduler_.add_owner();
    const auto token = std::make_shared<int>(0);
    for (const SimTime at : {seconds(1), seconds(3)}) {
        scheduler_.schedule_at(
            at, {.owner = owner, .context = nullptr, .label = &test_label, .task = [token] {}});
    }
    scheduler_.pause(owner);
    scheduler_.run_until(seconds(2));
    scheduler_.drop_owner(owner);
    EXPECT_EQ(token.use_count(), 1);
    EXPECT_FALSE(scheduler_.is_paused(owner));
    EXPECT_FALSE(scheduler_.run_one());
}

TEST_F(SimSchedulerTest, AnOwnerThatDropsItselfKeepsItsTasksAliveUntilItsEventEnds) {
    const OwnerId owner = scheduler_.add_owner();
    const auto token = std::make_shared<int>(0);
    scheduler_.schedule_at(
        seconds(2), {.owner = owner, .context = nullptr, .label = &test_label, .task = [token] {}});
    long uses_inside = 0;
    scheduler_.schedule_at(seconds(1),
                           {.owner = owner, .context = nullptr, .label = &test_label, .task = [&] {
                                scheduler_.drop_owner(owner);
                                uses_inside = token.use_count();
                            }});
    scheduler_.run_until(seconds(3));
    EXPECT_EQ(uses_inside, 2);
    EXPECT_EQ(token.use_count(), 1);
    EXPECT_EQ(scheduler_.events_run(), 1u);
}

uint64_t digest_of_random_run(uint64_t seed) {
    SimScheduler scheduler;
    SimRandom random(seed);
    int left = 2000;
    std::function<void()> step = [&] {
        if (left-- > 0) {
            scheduler.schedule_after(
                random.exponential(milliseconds(3)),
                {.owner = no_owner, .context = nullptr, .label = &test_label, .task = step});
        }
    };
    for (int i = 0; i < 20; ++i) {
        step();
    }
    scheduler.run_until(std::chrono::hours(1));
    return scheduler.digest();
}

TEST(SimDigestTest, TheSameSeedGivesTheSameDigestAndAnotherSeedAnother) {
    EXPECT_EQ(digest_of_random_run(7), digest_of_random_run(7));
    EXPECT_NE(digest_of_random_run(7), digest_of_random_run(8));
}

TEST(SimRandomTest, AForkDependsOnItsLabelAloneAndNotOnWhatWasDrawnBefore) {
    SimRandom one(42);
    SimRandom two(42);
    two.next();
    EXPECT_EQ(one.fork("disk").next(), two.fork("disk").next());
    EXPECT_NE(one.fork("disk").next(), one.fork("network").next());
    EXPECT_NE(one.fork("disk", 1).next(), one.fork("disk", 2).next());
}

TEST(SimRandomTest, TheDrawsAreTheSameInEveryBuild) {
    SimRandom random(1);
    EXPECT_EQ(random.next(), 14971601782005023387u);
    EXPECT_EQ(random.next(), 13781649495232077965u);
}

TEST(SimRandomTest, DistributionsKeepToTheirBounds) {
    SimRandom random(3);
    base::Duration sum{0};
    for (int i = 0; i < 100'000; ++i) {
        const base::Duration between = random.between(milliseconds(2), milliseconds(5));
        ASSERT_GE(between, milliseconds(2));
        ASSERT_LE(between, milliseconds(5));
        sum += random.exponential(milliseconds(10));
        ASSERT_FALSE(random.chance(0));
        ASSERT_TRUE(random.chance(1'000'000));
    }
    EXPECT_NEAR(static_cast<double>((sum / 100'000).count()), 1e7, 2e5);
    EXPECT_EQ(random.between(seconds(5), seconds(2)), seconds(5));
}

}  // namespace
}  // namespace starling::env
