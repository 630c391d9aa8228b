#include "node/replica/commit_queue.h"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/node/replica/store_rig.h"

namespace starling::node {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct CommitQueueTest : ::testing::Test {
    void apply(const std::string& key) {
        storage::WriteBatch batch;
        batch.put(key, "value");
        ASSERT_TRUE(queue.apply(batch).ok());
    }
    CommitQueue::Done note(int number) {
        return [this, number](const absl::Status& status) {
            (status.ok() ? durable : failed).push_back(number);
        };
    }

    testing::StoreRig rig;
    CommitQueue queue{rig.loop, rig.workers, rig.engine};
    std::vector<int> durable;
    std::vector<int> failed;
};

TEST_F(CommitQueueTest, AllThatWaitShareTheNextSync) {
    apply("a");
    queue.when_durable(note(1));
    // Under way already: what comes now is for the one after it.
    for (int number = 2; number <= 5; ++number) {
        apply("b");
        queue.when_durable(note(number));
    }
    EXPECT_THAT(durable, IsEmpty());
    rig.workers.run_one();
    rig.run_tasks();
    EXPECT_THAT(durable, ElementsAre(1));
    rig.settle();
    EXPECT_THAT(durable, ElementsAre(1, 2, 3, 4, 5));
    EXPECT_EQ(rig.engine.syncs, 2u);
    EXPECT_TRUE(queue.is_idle());
}

TEST_F(CommitQueueTest, WhatIsDurableAlreadyIsSaidAtOnce) {
    queue.when_durable(note(1));
    EXPECT_THAT(durable, ElementsAre(1));
    apply("a");
    queue.when_durable(note(2));
    rig.settle();
    queue.when_durable_up_to(queue.applied(), note(3));
    EXPECT_THAT(durable, ElementsAre(1, 2, 3));
    EXPECT_EQ(rig.engine.syncs, 1u);
}

TEST_F(CommitQueueTest, AWaiterForAnEarlierCommitDoesNotWaitForLaterOnes) {
    apply("a");
    const uint64_t first = queue.applied();
    queue.when_durable(note(1));
    apply("b");
    queue.when_durable(note(2));
    queue.when_durable_up_to(first, note(3));
    rig.workers.run_one();
    rig.run_tasks();
    EXPECT_THAT(durable, ElementsAre(1, 3));
    rig.settle();
    EXPECT_THAT(durable, ElementsAre(1, 3, 2));
}

TEST_F(CommitQueueTest, TheErrorOfASyncReachesAllThatWait) {
    rig.engine.sync_error = absl::DataLossError("the disk failed");
    apply("a");
    queue.when_durable(note(1));
    apply("b");
    queue.when_durable(note(2));
    rig.settle();
    EXPECT_THAT(durable, IsEmpty());
    EXPECT_THAT(failed, ElementsAre(1, 2));
    EXPECT_EQ(queue.durable(), 0u);
    EXPECT_TRUE(queue.is_idle());
}

TEST_F(CommitQueueTest, ABatchThatIsRefusedCountsAsNothing) {
    rig.engine.write_error = absl::UnavailableError("stalled");
    storage::WriteBatch batch;
    batch.put("a", "value");
    EXPECT_TRUE(absl::IsUnavailable(queue.apply(batch)));
    EXPECT_EQ(queue.applied(), 0u);
    queue.when_durable(note(1));
    EXPECT_THAT(durable, ElementsAre(1));
}

TEST_F(CommitQueueTest, ACallbackMayWriteAndWaitAgain) {
    apply("a");
    queue.when_durable([this](const absl::Status&) {
        apply("b");
        queue.when_durable(note(2));
    });
    rig.settle();
    EXPECT_THAT(durable, ElementsAre(2));
    EXPECT_EQ(queue.durable(), 2u);
}

}  // namespace
}  // namespace starling::node
