#include "env/posix/timer_queue.h"

#include <chrono>
#include <memory>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "env/posix/backoff.h"
#include "env/posix/random.h"

namespace starling::env {
namespace {

using std::chrono::milliseconds;

base::MonotonicTime at(int64_t ms) {
    return base::MonotonicTime(milliseconds(ms));
}

RC_GTEST_PROP(TimerQueueProperty, WhatIsNotCancelledComesOnceInOrderOfItsDeadline, ()) {
    const auto deadlines =
        *rc::gen::container<std::vector<int64_t>>(rc::gen::inRange<int64_t>(0, 50));
    TimerQueue queue;
    std::vector<std::pair<int64_t, size_t>> expected;
    std::vector<std::pair<int64_t, size_t>> ran;
    for (size_t i = 0; i < deadlines.size(); ++i) {
        const TimerId timer =
            queue.add(at(deadlines[i]), [&ran, d = deadlines[i], i] { ran.emplace_back(d, i); });
        if (i % 3 == 2) {
            RC_ASSERT(queue.cancel(timer));
            RC_ASSERT(!queue.cancel(timer));
        } else {
            expected.emplace_back(deadlines[i], i);
        }
    }
    std::sort(expected.begin(), expected.end());
    for (int64_t now = 0; now < 50; ++now) {
        while (auto task = queue.take_due(at(now))) {
            (*task)();
            RC_ASSERT(ran.back().first == now);
        }
    }
    RC_ASSERT(ran == expected);
    RC_ASSERT(queue.size() == 0u);
    RC_ASSERT(!queue.next_deadline());
}

TEST(TimerQueueTest, ManyCancelledTimersLeaveTheLiveOneInPlace) {
    TimerQueue queue;
    queue.add(at(7), [] {});
    for (int i = 0; i < 100'000; ++i) {
        ASSERT_TRUE(queue.cancel(queue.add(at(5), [] {})));
    }
    EXPECT_EQ(queue.size(), 1u);
    EXPECT_EQ(queue.next_deadline(), at(7));
}

TEST(TimerQueueTest, ClearDestroysTasksEvenIfTheyArmOthersOnTheirWay) {
    TimerQueue queue;
    struct Rearm {
        explicit Rearm(TimerQueue& its_queue) : timers(its_queue) {}
        ~Rearm() { timers.cancel(1); }
        TimerQueue& timers;
    };
    const auto token = std::make_shared<int>(0);
    queue.add(at(1), [token, r = std::make_shared<Rearm>(queue)] {});
    queue.clear();
    EXPECT_EQ(token.use_count(), 1);
    EXPECT_EQ(queue.size(), 0u);
}

TEST(BackoffTest, ItDoublesUpToItsCapWithJitterBelowAndStartsOverAfterSuccess) {
    PosixRandom random;
    Backoff backoff(milliseconds(10), milliseconds(100));
    for (const int most : {10, 20, 40, 80, 100, 100}) {
        const base::Duration wait = backoff.fail(random);
        EXPECT_LE(wait, milliseconds(most));
        EXPECT_GE(wait, milliseconds(most / 2));
    }
    backoff.succeed();
    EXPECT_LE(backoff.fail(random), milliseconds(10));
}

}  // namespace
}  // namespace starling::env
