#include "node/entropy/pace.h"

#include <string>

#include "gtest/gtest.h"

#include "tests/unit/node/entropy/rig.h"

namespace starling::node {
namespace {

class PaceTest : public testing::Test {
  protected:
    base::Duration delay_after(base::Duration passed) const {
        return pace_.delay(now_ + passed, base::Duration::zero(), /*do_clients_wait=*/false);
    }

    EntropyOptions options_{
        .bytes_per_second = 1000, .pause = milliseconds(100), .pause_max = seconds(2)};
    base::MonotonicTime now_{seconds(50)};
    Pace pace_{options_};
};

TEST_F(PaceTest, WhatCameIsPaidForWithTime) {
    EXPECT_EQ(delay_after(seconds(0)), seconds(0));
    pace_.brought(now_, 3000);
    EXPECT_EQ(delay_after(seconds(0)), seconds(3));
    EXPECT_EQ(delay_after(seconds(1)), seconds(2));
    EXPECT_EQ(delay_after(seconds(4)), seconds(0));
}

TEST_F(PaceTest, AnswersThatComeTogetherAreAllPaidFor) {
    pace_.brought(now_, 3000);
    pace_.brought(now_, 2000);
    EXPECT_EQ(delay_after(seconds(0)), seconds(5));
}

TEST_F(PaceTest, TimeInWhichNothingCameIsNotSaved) {
    pace_.brought(now_, 1000);
    pace_.brought(now_ + seconds(10), 1000);
    EXPECT_EQ(delay_after(seconds(10)), seconds(1));
}

TEST_F(PaceTest, WhileClientsWaitItIsPutOffForAPauseAndInTheEndAsked) {
    EXPECT_EQ(pace_.delay(now_, seconds(0), true), milliseconds(100));
    EXPECT_EQ(pace_.delay(now_, milliseconds(1999), true), milliseconds(100));
    EXPECT_EQ(pace_.delay(now_, seconds(2), true), seconds(0));
    pace_.brought(now_, 5000);
    EXPECT_EQ(pace_.delay(now_, seconds(0), true), seconds(5));
    EXPECT_EQ(pace_.delay(now_, seconds(2), true), seconds(5));
}

TEST_F(PaceTest, WithoutABudgetNothingIsPaidFor) {
    options_.bytes_per_second = 0;
    pace_.brought(now_, 1 << 30);
    EXPECT_EQ(delay_after(seconds(0)), seconds(0));
}

// How long replica 0 takes to pull 100 keys of 1,000 B from replica 1.
struct EntropyPaceTest : EntropyTest {
    base::Duration pull() {
        make(2, 5);
        for (int i = 0; i < 100; ++i) {
            replicas_[1]->groups.write(
                group_a,
                group_key(base::default_namespace_id, "k" + std::to_string(i)),
                replicas_[1]->actor(),
                std::string(1000, 'x'),
                false);
        }
        replicas_[0]->clients_wait = clients_wait_;
        bool is_done = false;
        const base::MonotonicTime begin = loop_.now();
        replicas_[0]->entropy.start_partition_sync(
            {.partition = group_a.partition, .from = replicas_[1]->self},
            [&](const absl::Status& status) {
                EXPECT_TRUE(status.ok()) << status;
                is_done = true;
            });
        EXPECT_TRUE(loop_.run_until([&] { return is_done; }, seconds(600)));
        return loop_.now() - begin;
    }
    bool clients_wait_ = false;
};

TEST_F(EntropyPaceTest, WhatAnswersBringStaysWithinTheBudget) {
    EXPECT_LT(pull(), seconds(1));
    EXPECT_EQ(replicas_[0]->entropy.counters().questions_put_off, 0u);
    options_.bytes_per_second = 10'000;
    const base::Duration took = pull();
    EXPECT_GT(took, seconds(9));
    EXPECT_LT(took, seconds(13));
    EXPECT_GT(replicas_[0]->entropy.counters().questions_put_off, 10u);
}

TEST_F(EntropyPaceTest, QuestionsForDataWaitWhileClientsDoButNotForEver) {
    options_.batch_bytes_max = 20'000;
    const base::Duration alone = pull();
    clients_wait_ = true;
    const base::Duration beside = pull();
    const auto questions = 6;
    EXPECT_GT(beside, alone + (questions - 1) * options_.pause_max);
    EXPECT_LT(beside, alone + (questions + 4) * options_.pause_max);
}

TEST_F(EntropyPaceTest, ItGoesOnAsSoonAsNobodyWaits) {
    clients_wait_ = true;
    loop_.schedule_after(milliseconds(500), [this] { replicas_[0]->clients_wait = false; });
    const base::Duration took = pull();
    EXPECT_GT(took, milliseconds(500));
    EXPECT_LT(took, milliseconds(500) + options_.pause + seconds(1));
}

TEST_F(EntropyPaceTest, ChecksDoNotWait) {
    make(2, 9);
    write_somewhere();
    watch_all();
    ASSERT_TRUE(
        loop_.run_until([&] { return replicas_[0]->entropy.dirty_count() == 0; }, seconds(60)));
    for (const auto& replica : replicas_) {
        replica->clients_wait = true;
    }
    const uint64_t checks = replicas_[0]->entropy.counters().checks_equal;
    loop_.run_for(seconds(60));
    EXPECT_GT(replicas_[0]->entropy.counters().checks_equal, checks + 5);
    EXPECT_EQ(replicas_[0]->entropy.counters().questions_put_off, 0u);
}

}  // namespace
}  // namespace starling::node
