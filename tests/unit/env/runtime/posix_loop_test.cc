#include <atomic>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "env/posix/clock.h"
#include "env/posix/loop.h"
#include "env/posix/random.h"
#include "env/posix/workers.h"

namespace starling::env {
namespace {

TEST(PosixLoopTest, WhatIsQueuedWhenItStopsIsDestroyedWithoutHavingRun) {
    PosixLoop loop;
    const auto token = std::make_shared<int>(0);
    bool ran_after_stop = false;
    loop.schedule_after(std::chrono::hours(1), [token] {});
    loop.post([&] {
        loop.post([&, token] { ran_after_stop = true; });
        loop.stop();
        loop.post([&, token] { ran_after_stop = true; });
    });
    loop.post([&, token] { ran_after_stop = true; });
    loop.run();
    EXPECT_FALSE(ran_after_stop);
    EXPECT_EQ(token.use_count(), 1);
    loop.post([token] {});
    EXPECT_EQ(token.use_count(), 1);
}

TEST(PosixLoopTest, TasksOfManyThreadsAllRunEachThreadsInOrder) {
    PosixLoop loop;
    constexpr int threads = 4;
    constexpr int tasks = 20'000;
    // Owned by the loop.
    std::vector<int> last(threads, -1);
    int ran = 0;
    bool in_order = true;
    std::vector<std::thread> posters;
    for (size_t t = 0; t < threads; ++t) {
        posters.emplace_back([&, t] {
            for (int i = 0; i < tasks; ++i) {
                loop.post([&, t, i] {
                    in_order = in_order && last[t] == i - 1;
                    last[t] = i;
                    if (++ran == threads * tasks) {
                        loop.stop();
                    }
                });
            }
        });
    }
    loop.run();
    for (std::thread& poster : posters) {
        poster.join();
    }
    EXPECT_EQ(ran, threads * tasks);
    EXPECT_TRUE(in_order);
}

TEST(PosixLoopTest, TimersComeInBetweenTasksThatPostThemselvesForEver) {
    PosixLoop loop;
    uint64_t turns = 0;
    std::function<void()> again = [&] {
        ++turns;
        loop.post(again);
    };
    loop.post(again);
    loop.schedule_after(std::chrono::milliseconds(5), [&] { loop.stop(); });
    loop.run();
    EXPECT_GT(turns, 0u);
}

TEST(PosixLoopTest, AnEarlierTimerThatIsArmedLaterRunsFirst) {
    PosixLoop loop;
    std::vector<int> order;
    loop.schedule_after(std::chrono::milliseconds(20), [&] {
        order.push_back(20);
        loop.stop();
    });
    loop.post(
        [&] { loop.schedule_after(std::chrono::milliseconds(2), [&] { order.push_back(2); }); });
    loop.run();
    EXPECT_EQ(order, (std::vector<int>{2, 20}));
}

TEST(PosixWorkersTest, StopFinishesWhatIsQueuedAndWhatItSubmits) {
    PosixWorkers workers(3);
    std::atomic<int> ran = 0;
    for (int i = 0; i < 1000; ++i) {
        workers.submit([&] {
            ++ran;
            workers.submit([&] { ++ran; });
        });
    }
    workers.stop(PosixWorkers::Queued::finish);
    EXPECT_EQ(ran, 2000);
    workers.submit([&] { ++ran; });
    EXPECT_EQ(ran, 2000);
}

TEST(PosixWorkersTest, StopDoesNotWaitForDelayedJobsAndRunsNone) {
    for (const auto queued : {PosixWorkers::Queued::finish, PosixWorkers::Queued::drop}) {
        PosixWorkers workers(2);
        const auto token = std::make_shared<int>(0);
        std::atomic<int> ran = 0;
        workers.submit_after(std::chrono::hours(1), [&, token] { ++ran; });
        workers.stop(queued);
        EXPECT_EQ(ran, 0);
        EXPECT_EQ(token.use_count(), 1);
        workers.submit_after(std::chrono::hours(1), [&, token] { ++ran; });
        EXPECT_EQ(token.use_count(), 1);
    }
}

TEST(PosixWorkersTest, StopDropsWhatIsQueuedAndWaitsForWhatRuns) {
    PosixWorkers workers(1);
    std::atomic<bool> began = false;
    std::atomic<bool> may_end = false;
    std::atomic<int> ended = 0;
    workers.submit([&] {
        began = true;
        began.notify_all();
        may_end.wait(false);
        ++ended;
    });
    began.wait(false);
    const auto token = std::make_shared<int>(0);
    workers.submit([&, token] { ++ended; });
    std::thread stopper([&] { workers.stop(PosixWorkers::Queued::drop); });
    while (workers.queued_jobs() != 0) {
        std::this_thread::yield();
    }
    may_end = true;
    may_end.notify_all();
    stopper.join();
    EXPECT_EQ(ended, 1);
    EXPECT_EQ(token.use_count(), 1);
}

TEST(PosixRandomTest, NumbersDiffer) {
    PosixRandom first;
    PosixRandom second;
    std::set<uint64_t> seen;
    for (int i = 0; i < 1000; ++i) {
        seen.insert(first.next_id());
        seen.insert(second.next_id());
    }
    EXPECT_EQ(seen.size(), 2000u);
}

TEST(PosixClockTest, MonotonicTimeNeverGoesBackAndWallTimeIsOfThisCentury) {
    const PosixClock clock;
    base::MonotonicTime last = clock.now();
    for (int i = 0; i < 1000; ++i) {
        const base::MonotonicTime now = clock.now();
        ASSERT_GE(now, last);
        last = now;
    }
    EXPECT_GT(base::to_unix_ms(PosixWallClock().wall_now()), 1'600'000'000'000u);
}

}  // namespace
}  // namespace starling::env
