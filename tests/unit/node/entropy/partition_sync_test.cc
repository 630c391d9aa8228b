#include "node/entropy/partition_sync.h"

#include <algorithm>
#include <string>
#include <utility>

#include "tests/unit/node/entropy/rig.h"

namespace starling::node {
namespace {

struct PartitionSyncTest : EntropyTest {
    // As of a disk that was damaged: it was emptied, and the second replica fills it.
    absl::Status outcome_of_refill(base::Duration span) {
        return outcome_of_sync({.partition = group_a.partition,
                                .from = replicas_[1]->self,
                                .is_copy = true,
                                .is_fill = true,
                                .tells_epoch = true},
                               span);
    }
};

TEST_F(PartitionSyncTest, ASeatsCopyTakesItsGroupsAndNoOthers) {
    make(2, 4);
    const GroupId narrow{.partition = group_a.partition, .replicas = 1};
    const std::string key = group_key(base::default_namespace_id, "k");
    replicas_[1]->groups.write(group_a, key, replicas_[1]->actor(), "three", false);
    replicas_[1]->groups.write(narrow, key, replicas_[1]->actor(), "one", false);
    const absl::Status outcome = outcome_of_sync({.partition = group_a.partition,
                                                  .from = replicas_[1]->self,
                                                  .seat = base::SeatIndex(1),
                                                  .is_copy = true},
                                                 seconds(1));
    EXPECT_TRUE(outcome.ok()) << outcome;
    EXPECT_EQ(replicas_[0]->groups.groups[group_a].records.size(), 1u);
    EXPECT_EQ(replicas_[0]->groups.groups[group_a].frontier,
              replicas_[1]->groups.groups[group_a].frontier);
    EXPECT_FALSE(replicas_[0]->groups.groups.contains(narrow));
}

TEST_F(PartitionSyncTest, ALargeGroupIsCopiedInPages) {
    make(2, 6);
    for (int i = 0; i < 300; ++i) {
        replicas_[1]->groups.write(group_a,
                                   group_key(base::default_namespace_id, "k" + std::to_string(i)),
                                   replicas_[1]->actor(),
                                   std::string(200, 'x'),
                                   false);
    }
    size_t largest = 0;
    replicas_[0]->filter = [&](const peer::EntropyMessage& message) {
        largest = std::max(largest, message.ByteSizeLong());
        return true;
    };
    const absl::Status outcome = outcome_of_sync(
        {.partition = group_a.partition, .from = replicas_[1]->self, .is_copy = true}, seconds(5));
    EXPECT_TRUE(outcome.ok()) << outcome;
    EXPECT_TRUE(are_equal());
    EXPECT_LT(largest, 3000u);
}

TEST_F(PartitionSyncTest, ACopyThatWasInterruptedGoesOnFromAnotherReplicaWhereItHadCome) {
    make(3, 6);
    for (int i = 0; i < 300; ++i) {
        const std::string key = group_key(base::default_namespace_id, "k" + std::to_string(i));
        replicas_[1]->groups.write(
            group_a, key, replicas_[1]->actor(), std::string(200, 'x'), false);
        replicas_[2]->groups.apply(group_a, key, replicas_[1]->groups.groups[group_a].records[key]);
    }
    replicas_[2]->groups.groups[group_a].frontier = replicas_[1]->groups.groups[group_a].frontier;
    const auto copied = [this] { return replicas_[0]->groups.groups[group_a].records.size(); };
    const auto copy_from = [this](size_t giver, absl::Status& outcome) {
        return replicas_[0]->entropy.start_partition_sync(
            {.partition = group_a.partition,
             .from = replicas_[giver]->self,
             .is_copy = true,
             .is_fill = true},
            [&](absl::Status status) { outcome = std::move(status); });
    };
    absl::Status outcome = absl::UnknownError("not called");
    const uint64_t first = copy_from(1, outcome);
    ASSERT_TRUE(loop_.run_until([&] { return copied() > 150; }, seconds(5)));
    replicas_[0]->entropy.cancel(first);
    loop_.run_for(seconds(1));
    const size_t before = copied();
    ASSERT_LT(before, 250u);
    uint64_t bytes = 0;
    replicas_[2]->filter = [&](const peer::EntropyMessage& message) {
        if (message.has_scanned()) bytes += message.ByteSizeLong();
        return true;
    };
    copy_from(2, outcome);
    loop_.run_for(seconds(5));
    EXPECT_TRUE(outcome.ok()) << outcome;
    EXPECT_EQ(copied(), 300u);
    EXPECT_EQ(replicas_[0]->groups.groups[group_a].copied_up_to, "");
    EXPECT_LT(bytes, (300 - before + 20) * 300);
}

TEST_F(PartitionSyncTest, ACancelledCopyReportsNothing) {
    make(2, 6);
    bool is_called = false;
    const uint64_t sync = replicas_[0]->entropy.start_partition_sync(
        {.partition = group_a.partition, .from = replicas_[1]->self},
        [&](absl::Status) { is_called = true; });
    replicas_[0]->entropy.cancel(sync);
    loop_.run_for(seconds(10));
    EXPECT_FALSE(is_called);
}

TEST_F(PartitionSyncTest, RefillsOfWhatIsDroppedEndAfterTheCallAndOthersGoOn) {
    make(2, 6);
    absl::Status refilled;
    bool is_copied = false;
    replicas_[0]->entropy.start_partition_sync(
        {.partition = group_a.partition,
         .from = replicas_[1]->self,
         .is_fill = true,
         .tells_epoch = true},
        [&](absl::Status status) { refilled = std::move(status); });
    replicas_[0]->entropy.start_partition_sync(
        {.partition = group_a.partition, .from = replicas_[1]->self},
        [&](absl::Status) { is_copied = true; });
    replicas_[0]->entropy.end_refills(group_a.partition, absl::UnavailableError("given away"));
    EXPECT_TRUE(refilled.ok());
    loop_.run_for(milliseconds(0));
    EXPECT_EQ(refilled.message(), "given away");
    EXPECT_FALSE(is_copied);
    loop_.run_for(seconds(10));
    EXPECT_TRUE(is_copied);
}

// A node was refilled from such a one for ever, in vain.
TEST_F(PartitionSyncTest, WhoTellsItsEpochTakesOverFromOneThatOnceDroppedTheGroup) {
    make(2, 5);
    for (int i = 0; i < 20; ++i) {
        const std::string key = group_key(base::default_namespace_id, "k" + std::to_string(i));
        written_.emplace_back(
            key, replicas_[1]->groups.write(group_a, key, replicas_[1]->actor(), "v", false));
    }
    replicas_[1]->groups.drops[group_a] = 3;
    const absl::Status outcome = outcome_of_refill(seconds(20));
    EXPECT_TRUE(outcome.ok()) << outcome;
    EXPECT_TRUE(are_equal());
    EXPECT_THAT(replicas_[0]->reported_by, testing::ElementsAre(replicas_[1]->self))
        << "it may know of a later epoch";
}

TEST_F(PartitionSyncTest, ARefillFromOneThatDropsTheGroupMeanwhileHasTakenNothing) {
    make(2, 5);
    replicas_[1]->groups.write(
        group_a, group_key(base::default_namespace_id, "k"), replicas_[1]->actor(), "v", false);
    bool is_dropped = false;
    replicas_[0]->filter = [&](const peer::EntropyMessage& message) {
        if (message.has_groups() && !std::exchange(is_dropped, true)) {
            replicas_[1]->groups.drop(group_a.partition, group_a.replicas);
        }
        return true;
    };
    const absl::Status outcome = outcome_of_refill(seconds(20));
    EXPECT_TRUE(is_dropped);
    EXPECT_EQ(outcome.code(), absl::StatusCode::kAborted) << outcome;
}

// Its frontier would be of before, and what it has of afterwards: nothing.
TEST_F(PartitionSyncTest, WhatAGiverDropsWhileItAnswersIsNotClaimed) {
    make(2, 5);
    replicas_[1]->groups.write(
        group_a, group_key(base::default_namespace_id, "k"), replicas_[1]->actor(), "v", false);
    bool is_dropped = false;
    replicas_[1]->filter = [&](const peer::EntropyMessage& message) {
        if (message.has_missing_ask() && !std::exchange(is_dropped, true)) {
            loop_.schedule_after(base::Duration(1), [this] {
                replicas_[1]->groups.drop(group_a.partition, group_a.replicas);
            });
        }
        return true;
    };
    const absl::Status outcome = outcome_of_refill(seconds(20));
    EXPECT_TRUE(is_dropped);
    EXPECT_FALSE(outcome.ok());
    EXPECT_TRUE(replicas_[0]->groups.groups[group_a].frontier.empty());
}

// A late message brings what the giver had deleted and forgotten, when its keys have been compared.
TEST_F(PartitionSyncTest, WhatComesBehindTheComparisonOfARefillGoesByTheGiversWord) {
    make(2, 5);
    FakeGroups::Group& giver = replicas_[1]->groups.groups[group_a];
    const std::string deleted = group_key(base::default_namespace_id, "deleted");
    replicas_[1]->groups.write(group_a, deleted, replicas_[1]->actor(), "v", false);
    const Record late = giver.records[deleted];
    giver.records.clear();
    giver.index.clear();
    replicas_[1]->groups.write(
        group_a, group_key(base::default_namespace_id, "k"), replicas_[1]->actor(), "v", false);
    replicas_[0]->groups.before_unite = [&] { replicas_[0]->groups.apply(group_a, deleted, late); };
    const absl::Status outcome = outcome_of_refill(seconds(20));
    EXPECT_TRUE(outcome.ok()) << outcome;
    EXPECT_EQ(replicas_[0]->groups.before_unite, nullptr);
    EXPECT_THAT(replicas_[0]->groups.groups[group_a].records[deleted].siblings, testing::IsEmpty());
    EXPECT_TRUE(are_equal());
}

// The same at the end of a move: who takes the seat takes the giver's word, too.
TEST_F(PartitionSyncTest, WhatComesBehindTheLastDifferenceOfAMoveGoesByTheGiversWord) {
    make(2, 5);
    const std::string replaced = group_key(base::default_namespace_id, "replaced");
    replicas_[1]->groups.write(group_a, replaced, replicas_[1]->actor(), "v", false);
    FakeGroups::Group& giver = replicas_[1]->groups.groups[group_a];
    const Record late = giver.records[replaced];
    giver.records.clear();
    giver.index.clear();
    replicas_[1]->groups.write(
        group_a, group_key(base::default_namespace_id, "k"), replicas_[1]->actor(), "v", false);
    replicas_[0]->groups.before_unite = [&] {
        replicas_[0]->groups.apply(group_a, replaced, late);
    };
    const absl::Status outcome = outcome_of_sync({.partition = group_a.partition,
                                                  .from = replicas_[1]->self,
                                                  .is_fill = true,
                                                  .wants_fence = true},
                                                 seconds(20));
    EXPECT_TRUE(outcome.ok()) << outcome;
    EXPECT_EQ(replicas_[0]->groups.before_unite, nullptr);
    EXPECT_THAT(replicas_[0]->groups.groups[group_a].records[replaced].siblings,
                testing::IsEmpty());
    EXPECT_TRUE(are_equal());
}

// As one that is being refilled itself.
TEST_F(PartitionSyncTest, WhoIsRefilledFromOneThatGivesNoCopiesTakesWhatItLacks) {
    options_.request_timeout = milliseconds(200);
    make(2, 5);
    const std::string key = group_key(base::default_namespace_id, "k");
    replicas_[1]->groups.write(group_a, key, replicas_[1]->actor(), "v", false);
    replicas_[1]->filter = [](const peer::EntropyMessage& message) { return !message.has_scan(); };
    const absl::Status outcome = outcome_of_refill(seconds(60));
    EXPECT_TRUE(outcome.ok()) << outcome;
    EXPECT_TRUE(are_equal());
}

}  // namespace
}  // namespace starling::node
