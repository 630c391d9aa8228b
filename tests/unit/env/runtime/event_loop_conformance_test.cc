// What every EventLoop and Workers must do, on the real ones and the simulated ones.

#include <chrono>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/unit/env/runtime/rig.h"

namespace starling::env {
namespace {

using std::chrono::milliseconds;

class EventLoopConformance : public ::testing::TestWithParam<RigKind> {
  protected:
    // A task that notes a word.
    Task note(std::string word) {
        return [this, word = std::move(word)] {
            notes_.add(word);
            rig_->changed();
        };
    }

    bool wait_for_notes(size_t count) {
        return rig_->wait_until([&] { return notes_.size() >= count; });
    }

    Inbox<std::string> notes_;
    std::unique_ptr<Rig> rig_ = GetParam().make();
};

using Words = std::vector<std::string>;

TEST_P(EventLoopConformance, TasksRunOnTheLoopInTheOrderOfTheirPosting) {
    Words expected;
    for (int i = 0; i < 1000; ++i) {
        expected.push_back(std::to_string(i));
        rig_->loop().post(note(expected.back()));
    }
    ASSERT_TRUE(wait_for_notes(1000));
    EXPECT_EQ(notes_.items(), expected);
}

TEST_P(EventLoopConformance, ATaskThatIsPostedByATaskRunsAfterItNotInsideIt) {
    rig_->loop().post([&] {
        rig_->loop().post(note("inner"));
        notes_.add("outer");
    });
    ASSERT_TRUE(wait_for_notes(2));
    EXPECT_EQ(notes_.items(), (Words{"outer", "inner"}));
}

TEST_P(EventLoopConformance, TheLoopKnowsWhetherItsOwnTaskIsRunning) {
    EXPECT_FALSE(rig_->loop().in_loop());
    bool inside = false;
    rig_->run([&] { inside = rig_->loop().in_loop(); });
    EXPECT_TRUE(inside);
}

TEST_P(EventLoopConformance, TimersRunInTheOrderOfTheirDeadlinesAndNeverEarly) {
    std::vector<base::Duration> waited(3);
    rig_->run([&] {
        const base::MonotonicTime start = rig_->loop().now();
        for (const size_t i : {2u, 0u, 1u}) {
            rig_->loop().schedule_after(milliseconds(20 * (i + 1)), [&, i, start] {
                waited[i] = rig_->loop().now() - start;
                notes_.add(std::to_string(i));
                rig_->changed();
            });
        }
    });
    ASSERT_TRUE(wait_for_notes(3));
    EXPECT_EQ(notes_.items(), (Words{"0", "1", "2"}));
    rig_->run([&] {
        for (size_t i = 0; i < 3; ++i) {
            EXPECT_GE(waited[i], milliseconds(20 * (i + 1)));
        }
    });
}

TEST_P(EventLoopConformance, ANegativeDelayCountsAsZero) {
    rig_->run([&] { rig_->loop().schedule_after(milliseconds(-5), note("late")); });
    EXPECT_TRUE(wait_for_notes(1));
}

TEST_P(EventLoopConformance, ACancelledTimerNeverRunsAndIsCancelledOnce) {
    rig_->run([&] {
        EventLoop& loop = rig_->loop();
        const TimerId first = loop.schedule_after(milliseconds(10), note("cancelled"));
        EXPECT_NE(first, 0u);
        EXPECT_TRUE(loop.cancel(first));
        EXPECT_FALSE(loop.cancel(first));
        EXPECT_FALSE(loop.cancel(0));
        loop.schedule_after(milliseconds(20), note("kept"));
        EXPECT_FALSE(loop.cancel(first));
    });
    ASSERT_TRUE(wait_for_notes(1));
    EXPECT_EQ(notes_.items(), Words{"kept"});
}

TEST_P(EventLoopConformance, ATimerThatHasRunCannotBeCancelled) {
    TimerId timer = 0;
    rig_->run([&] { timer = rig_->loop().schedule_after(milliseconds(1), note("ran")); });
    ASSERT_TRUE(wait_for_notes(1));
    rig_->run([&] { EXPECT_FALSE(rig_->loop().cancel(timer)); });
}

TEST_P(EventLoopConformance, ATimerMayCancelAnotherThatIsDueWithIt) {
    rig_->run([&] {
        auto second = std::make_shared<TimerId>(0);
        rig_->loop().schedule_after(milliseconds(5), [this, second] {
            EXPECT_TRUE(rig_->loop().cancel(*second));
            note("first")();
        });
        *second = rig_->loop().schedule_after(milliseconds(5), note("second"));
        rig_->loop().schedule_after(milliseconds(6), note("third"));
    });
    ASSERT_TRUE(wait_for_notes(2));
    EXPECT_EQ(notes_.items(), (Words{"first", "third"}));
}

TEST_P(EventLoopConformance, ACancelledTimersTaskIsDestroyedAtOnce) {
    const auto token = std::make_shared<int>(0);
    rig_->run([&] {
        const TimerId timer = rig_->loop().schedule_after(milliseconds(1000), [token] {});
        EXPECT_EQ(token.use_count(), 2);
        EXPECT_TRUE(rig_->loop().cancel(timer));
        EXPECT_EQ(token.use_count(), 1);
    });
}

TEST_P(EventLoopConformance, EveryJobRunsOnceAndReportsByPosting) {
    Inbox<int> done;
    for (int i = 0; i < 200; ++i) {
        rig_->workers().submit([&, i] {
            EXPECT_FALSE(rig_->loop().in_loop());
            rig_->loop().post([&, i] {
                done.add(i);
                rig_->changed();
            });
        });
    }
    ASSERT_TRUE(rig_->wait_until([&] { return done.size() == 200; }));
    std::vector<int> seen = done.items();
    std::sort(seen.begin(), seen.end());
    std::vector<int> expected(200);
    std::iota(expected.begin(), expected.end(), 0);
    EXPECT_EQ(seen, expected);
}

TEST_P(EventLoopConformance, AJobMaySubmitAnother) {
    rig_->workers().submit([&] { rig_->workers().submit(note("second job")); });
    EXPECT_TRUE(wait_for_notes(1));
}

TEST_P(EventLoopConformance, ADelayedJobRunsOnceItsTimeHasCome) {
    const base::MonotonicTime begin = rig_->loop().now();
    for (int i = 0; i < 5; ++i) {
        rig_->workers().submit_after(milliseconds(30), [this, begin] {
            EXPECT_GE(rig_->loop().now() - begin, milliseconds(30));
            note("late")();
        });
    }
    EXPECT_TRUE(wait_for_notes(5));
}

TEST_P(EventLoopConformance, DelayedJobsHoldUpNoOther) {
    // More than there are threads.
    for (int i = 0; i < 5; ++i) {
        rig_->workers().submit_after(std::chrono::hours(1), note("late"));
    }
    rig_->workers().submit(note("now"));
    rig_->workers().submit_after(milliseconds(-1), note("now"));
    rig_->workers().submit_after(milliseconds(5), note("now"));
    ASSERT_TRUE(wait_for_notes(3));
    EXPECT_EQ(notes_.items(), (Words{"now", "now", "now"}));
}

INSTANTIATE_TEST_SUITE_P(Runtime,
                         EventLoopConformance,
                         ::testing::ValuesIn(rig_kinds),
                         [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace starling::env
