// Scenarios of disks that were set back, wiped, or have lost a record.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/node/convergence/stage.h"

namespace starling::node::group_model {
namespace {

using ::testing::HasSubstr;
using testing::request;

std::string disk_set_back(Rules rules) {
    Stage stage(rules);
    stage.take_snapshot(A);
    stage.crash(A);
    stage.spread(A, k, 1);
    stage.roll_back(A);
    stage.write_durably(A, k2, 2);
    stage.carry(B, 2);
    return stage.outcome();
}

TEST(DamageScenarioTest, S9AnActorNeverComesBack) {
    // Who notices that its disk was set back takes a life that nobody has heard of.
    EXPECT_EQ(disk_set_back(bare({.actors_are_random = false})), as_it_should_be);
    // The random bits help where nobody can notice.
    EXPECT_EQ(disk_set_back(bare({.refills = false})), as_it_should_be);
    EXPECT_EQ(disk_set_back(bare({.actors_are_random = false, .refills = false})),
              "acknowledged and lost: 1");
}

std::string set_back_after_a_drop(Rules rules) {
    Stage stage(without_memory(rules));
    stage.spread(B, k, 1);
    stage.take_snapshot(A);
    stage.spread(B, k, 2, true);
    stage.collect_all();
    EXPECT_EQ(stage.collected_count(), 3u);
    stage.roll_back(A);
    return stage.outcome();
}

TEST(DamageScenarioTest, S16ADiskThatWasSetBackIsFilledAnew) {
    EXPECT_EQ(set_back_after_a_drop({}), as_it_should_be);
    EXPECT_EQ(set_back_after_a_drop(bare({.refills = false})), "records differ");
}

std::string report_of_lost_data(Rules rules) {
    Stage stage(without_memory(rules));
    stage.spread(B, k, 1);
    stage.write_durably(A, k, 2, true);
    stage.tell(A, B);
    stage.tell(A, C);
    stage.wipe(A);
    stage.refill(A);
    stage.carry(B, 2);
    stage.carry(C, 2);
    stage.tell_each_other(B, C);
    stage.collect(B);
    stage.collect(C);
    return stage.outcome();
}

TEST(DamageScenarioTest, S18AReportOfDataThatWasLostDoesNotCount) {
    EXPECT_EQ(report_of_lost_data({}), as_it_should_be);
    EXPECT_EQ(report_of_lost_data(bare({.epochs = false})), "records differ");
}

std::string loss_then_pull(Rules rules) {
    Stage stage(rules);
    stage.write_durably(A, k, 1);
    stage.carry(B, 1);
    stage.lose_record(A, k);
    // C learns of A's frontier what A has not.
    stage.pull(C, A);
    if (stage.frontier(C).empty() && rules.pull_explains) return stage.outcome();
    return "C claims what it has not";
}

TEST(DamageScenarioTest, S22AFrontierIsNotHandedOnWithoutItsWrites) {
    EXPECT_EQ(loss_then_pull({}), as_it_should_be);
    EXPECT_EQ(loss_then_pull({.pull_explains = false}), "C claims what it has not");
}

// The successor has the write of a message.
std::string loss_then_fill(Rules rules) {
    Stage stage(rules);
    stage.begin_move(0, D);
    stage.write_durably(C, k, 1);
    stage.carry(A, 1);
    stage.carry(D, 1);
    stage.lose_record(A, k);
    stage.finish_move();
    return stage.outcome();
}

TEST(DamageScenarioTest, S22AGiverAnswersForWhatItsSuccessorHasToo) {
    EXPECT_EQ(loss_then_fill({}), as_it_should_be);
    EXPECT_THAT(loss_then_fill({.pull_explains = false}), HasSubstr("lost: 1"));
}

std::string loss_then_state(Rules rules) {
    Stage stage(rules);
    stage.spread(A, k, 1);
    stage.lose_record(B, k);
    stage.exchange(A, B, k);
    stage.sync(A);
    return stage.outcome();
}

TEST(DamageScenarioTest, S11AbsenceDeletesNothing) {
    EXPECT_EQ(loss_then_state({}), as_it_should_be);
    EXPECT_EQ(loss_then_state(bare({})), "records differ");
}

// Once all have seen the write it is in no index, and only the value itself tells.
std::string loss_that_no_index_knows(Rules rules) {
    Stage stage(rules);
    stage.spread(A, k, 1);
    stage.tell_all();
    for (const size_t owner : {A, B, C}) {
        stage.strip(owner);
        stage.sync(owner);
    }
    stage.lose_record(B, k);
    for (const size_t owner : {A, C}) {
        stage.exchange(owner, B, k);
        stage.pull(B, owner);
        stage.sync(B);
    }
    return stage.outcome();
}

TEST(DamageScenarioTest, S12WhoRefusesAValueAsSeenAndLacksItIsDamaged) {
    EXPECT_EQ(loss_that_no_index_knows({}), as_it_should_be);
    // It refuses the value for ever.
    EXPECT_EQ(loss_that_no_index_knows(bare({})), "records differ");
    EXPECT_EQ(loss_that_no_index_knows({.loss_is_no_deletion = false}), "records differ");
}

// It has a copy from before the delete, whose tombstone all owners have collected.
std::string pull_from_who_is_filled(Rules rules) {
    Stage stage(without_memory(rules));
    stage.spread(A, k, 1);
    stage.begin_move(2, D);
    stage.copy(true, true);
    stage.spread(A, k, 2, true);
    stage.collect_all();
    EXPECT_EQ(stage.collected_count(), 3u);
    stage.pull(A, D);
    stage.pull(B, D);
    return stage.outcome();
}

TEST(DamageScenarioTest, S36WhoIsFilledShowsNobodyALoss) {
    EXPECT_EQ(pull_from_who_is_filled({}), as_it_should_be);
    // Two that take themselves for damaged wait for each other.
    EXPECT_EQ(pull_from_who_is_filled({.only_owners_show_losses = false}), "an owner is not ready");
}

std::string loss_then_message(Rules rules) {
    Stage stage(rules);
    stage.spread(A, k, 1);
    stage.tell_all();
    for (const size_t owner : {A, B, C}) {
        stage.strip(owner);
        stage.sync(owner);
    }
    stage.lose_record(B, k);
    // Concurrent, so that the first stays beside it.
    stage.put({.owner = C,
               .key = k,
               .request = request(2),
               .replaces = Replaces::seen_by_reader,
               .reading = {}});
    stage.sync(C);
    stage.carry(B, 2);
    stage.pull(A, B);
    stage.sync(A);
    return stage.outcome();
}

TEST(DamageScenarioTest, S23ALossIsNotPassedOffAsADeletion) {
    EXPECT_EQ(loss_then_message({}), as_it_should_be);
    EXPECT_THAT(loss_then_message(bare({})), HasSubstr("lost: 1"));
}

}  // namespace
}  // namespace starling::node::group_model
