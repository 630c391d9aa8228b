#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "env/sim/clock.h"
#include "env/sim/loop.h"
#include "env/sim/process.h"
#include "env/sim/workers.h"

namespace starling::env {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class SimProcessTest : public ::testing::Test {
  protected:
    SimScheduler scheduler_;
    SimRandom random_{11};
    SimProcess process_{scheduler_, "node", random_.fork("node")};
};

TEST_F(SimProcessTest, ACrashDropsTasksTimersAndJobsAndTheOldLifeStaysDead) {
    SimLoop loop(process_);
    SimWorkers workers(process_);
    int ran = 0;
    loop.post([&] { ++ran; });
    loop.schedule_after(seconds(1), [&] { ++ran; });
    workers.submit([&] { ++ran; });
    process_.crash();
    loop.post([&] { ++ran; });
    EXPECT_EQ(loop.schedule_after(seconds(1), [&] { ++ran; }), 0u);
    process_.restart();
    loop.post([&] { ++ran; });
    workers.submit([&] { ++ran; });
    scheduler_.run_for(seconds(10));
    EXPECT_EQ(ran, 0);

    SimLoop second_life(process_);
    second_life.post([&] { ++ran; });
    scheduler_.run_for(seconds(1));
    EXPECT_EQ(ran, 1);
}

TEST_F(SimProcessTest, ACrashInsideATaskLetsThatTaskEndAndNothingElseRun) {
    SimLoop loop(process_);
    std::vector<std::string> notes;
    loop.post([&] {
        loop.post([&] { notes.emplace_back("after"); });
        process_.crash();
        loop.post([&] { notes.emplace_back("after"); });
        notes.emplace_back("inside");
    });
    scheduler_.run_for(seconds(1));
    EXPECT_EQ(notes, std::vector<std::string>{"inside"});
}

TEST_F(SimProcessTest, APausedProcessGetsAllItsTimersAtOnceWhenItGoesOn) {
    SimLoop loop(process_);
    std::vector<base::MonotonicTime> at;
    const base::MonotonicTime start = loop.now();
    for (const int delay : {1, 2, 3}) {
        loop.schedule_after(seconds(delay), [&] { at.push_back(loop.now()); });
    }
    scheduler_.run_for(milliseconds(1500));
    process_.pause();
    scheduler_.run_for(seconds(60));
    EXPECT_EQ(at.size(), 1u);
    process_.resume();
    scheduler_.run_for(seconds(0));
    ASSERT_EQ(at.size(), 3u);
    EXPECT_EQ(at[0] - start, seconds(1));
    EXPECT_EQ(at[1], at[2]);
    EXPECT_EQ(at[2] - start, milliseconds(61'500));
}

TEST_F(SimProcessTest, ADriftingClockNeverSeesItsOwnTimersEarly) {
    for (const int32_t drift : {-50'000, -1, 1, 33'333, 50'000}) {
        process_.crash();
        process_.set_faults({.drift_per_million = drift});
        process_.restart();
        SimLoop loop(process_);
        const SimTime true_start = scheduler_.now();
        const base::MonotonicTime start = loop.now();
        base::Duration seen{0};
        loop.schedule_after(base::Duration(999'999'937), [&] { seen = loop.now() - start; });
        scheduler_.run_for(seconds(5));
        EXPECT_GE(seen.count(), 999'999'937);
        EXPECT_LE(seen.count(), 999'999'940);
        const base::Duration drifted = (loop.now() - start) - (scheduler_.now() - true_start);
        EXPECT_NEAR(static_cast<double>(drifted.count()), 5e3 * drift, 2.0);
    }
}

TEST_F(SimProcessTest, LateTimersAreLateWithinTheirBound) {
    process_.set_faults({.late_timers_per_million = 500'000, .timer_lateness_max = seconds(60)});
    SimLoop loop(process_);
    int late = 0;
    int ran = 0;
    const base::MonotonicTime start = loop.now();
    for (int i = 0; i < 1000; ++i) {
        loop.schedule_after(seconds(1), [&] {
            ++ran;
            late += loop.now() - start > seconds(1) ? 1 : 0;
            EXPECT_GE(loop.now() - start, seconds(1));
        });
    }
    scheduler_.run_for(seconds(62));
    EXPECT_EQ(ran, 1000);
    EXPECT_GT(late, 400);
    EXPECT_LT(late, 600);
}

TEST_F(SimProcessTest, ASlowDiskDelaysJobs) {
    SimWorkers workers(process_, {.delay_min = milliseconds(1), .delay_mean = milliseconds(0)});
    bool ran = false;
    workers.set_slowness(1000);
    workers.submit([&] { ran = true; });
    scheduler_.run_for(milliseconds(999));
    EXPECT_FALSE(ran);
    scheduler_.run_for(milliseconds(1));
    EXPECT_TRUE(ran);
}

TEST_F(SimProcessTest, WhatAnEventTookDelaysWhatItPostsAndNothingElse) {
    SimLoop loop(process_);
    SimWorkers workers(process_, {.delay_min = milliseconds(1), .delay_mean = milliseconds(0)});
    SimTime slow{0};
    SimTime other{0};
    SimTime next{0};
    workers.submit([&] {
        process_.take_time(seconds(2));
        process_.take_time(seconds(1));
        loop.post([&] { slow = scheduler_.now(); });
        workers.submit([&] { next = scheduler_.now(); });
    });
    workers.submit([&] { loop.post([&] { other = scheduler_.now(); }); });
    scheduler_.run_for(milliseconds(1));
    EXPECT_EQ(process_.time_taken(), SimTime::zero()) << "between events";
    scheduler_.run_for(seconds(10));
    EXPECT_EQ(slow, seconds(3) + milliseconds(1));
    EXPECT_EQ(next, seconds(3) + milliseconds(2));
    EXPECT_EQ(other, milliseconds(1));
}

TEST_F(SimProcessTest, JobsRunInAnyOrder) {
    SimWorkers workers(process_);
    std::vector<int> order;
    for (int i = 0; i < 50; ++i) {
        workers.submit([&order, i] { order.push_back(i); });
    }
    scheduler_.run_for(seconds(5));
    ASSERT_EQ(order.size(), 50u);
    EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
}

TEST(SimWallClockTest, ItJumpsDriftsAndStrobes) {
    SimScheduler scheduler;
    const base::WallTime start{std::chrono::hours(500'000)};
    SimWallClock clock(scheduler, start);
    scheduler.run_for(seconds(10));
    EXPECT_EQ(clock.wall_now(), start + seconds(10));
    clock.jump(-std::chrono::hours(1));
    EXPECT_EQ(clock.wall_now(), start + seconds(10) - std::chrono::hours(1));
    clock.correct(start);
    EXPECT_EQ(clock.wall_now(), start + seconds(10));
    EXPECT_EQ(clock.most_ahead(), base::Duration::zero());
    clock.set_drift(50'000);
    scheduler.run_for(seconds(10));
    EXPECT_EQ(clock.wall_now(), start + seconds(20) + milliseconds(500));
    clock.correct(start);
    clock.set_strobe(seconds(200), seconds(1));
    EXPECT_EQ(clock.wall_now(), start + seconds(20));
    scheduler.run_for(seconds(1));
    EXPECT_EQ(clock.wall_now(), start + seconds(221));
    scheduler.run_for(seconds(1));
    EXPECT_EQ(clock.wall_now(), start + seconds(22));
    EXPECT_EQ(clock.most_ahead(), seconds(200));
}

}  // namespace
}  // namespace starling::env
