// Scenarios of lives that have ended: what is sealed, and what may still bring their writes.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/node/convergence/stage.h"

namespace starling::node::group_model {
namespace {

using ::testing::HasSubstr;
using testing::request;

std::string lost_dot(Rules rules) {
    Stage stage(rules);
    stage.write(A, k, 1);
    stage.write(A, k2, 2);
    stage.carry(B, 2);
    stage.crash(A);
    return stage.outcome();
}

TEST(SealingScenarioTest, S3ADotLostInACrashLeavesNoGap) {
    EXPECT_EQ(lost_dot({}), as_it_should_be);
    EXPECT_THAT(lost_dot(bare({.sealing = false})), HasSubstr("gap"));
}

std::string seal_early(Rules rules) {
    Stage stage(rules);
    stage.write_durably(A, k, 1);
    stage.carry(C, 1);
    stage.crash(A);
    stage.learn_all(A);
    stage.tell_all();
    return stage.outcome();
}

TEST(SealingScenarioTest, S4NothingIsSealedBeforeAllWhoMayHaveItAreHeard) {
    EXPECT_EQ(seal_early({}), as_it_should_be);
    EXPECT_EQ(seal_early(bare({.seal_on_proof = false})), "records differ");
}

std::string seal_beside_hints(Rules rules) {
    Stage stage(with_early_hints(rules));
    stage.write(B, k, 1);
    stage.hint(A, 1);
    stage.hint(C, 1);
    stage.crash(B);
    stage.learn_all(B);
    for (const size_t owner : {A, B, C})
        stage.tell_hints_to(owner);
    stage.tell_all();
    return stage.outcome();
}

TEST(SealingScenarioTest, S17NothingIsSealedThatAHintMayBring) {
    EXPECT_EQ(seal_beside_hints({}), as_it_should_be);
    EXPECT_EQ(seal_beside_hints(bare({.seal_asks_members = false})), "records differ");
}

std::string owners_asked_before_the_members(Rules rules) {
    Stage stage(with_early_hints(rules));
    stage.write(B, k, 1);
    stage.hint(C, 1);
    stage.crash(B);
    stage.learn_all(B);
    // C says that it has nothing, and then gets the hint.
    stage.tell_all();
    stage.deliver_hint(D, 0);
    stage.tell_hints_to(A);
    return stage.outcome();
}

TEST(SealingScenarioTest, S21OwnersAreAskedAfterTheHintsAreGone) {
    EXPECT_EQ(owners_asked_before_the_members({}), as_it_should_be);
    EXPECT_EQ(owners_asked_before_the_members(bare({.seal_asks_owners_last = false})),
              "records differ");
}

// What was heard of a question is said again to one of the same number.
std::string answers_to_an_earlier_life(Rules rules) {
    Stage stage(with_early_hints(rules));
    // A has asked often.
    for (int life = 0; life < 3; ++life) {
        stage.crash(D);
        stage.learn_all(D);
        stage.tell_all();
        stage.tell_hints_to(A);
    }
    stage.write(B, k, 1);
    stage.hint(C, 1);
    stage.crash(B);
    stage.learn_all(B);
    stage.tell_all();
    stage.report(B, A);
    stage.report(C, A);
    // These are late: C gets the hint, and A begins its next life.
    const size_t last = stage.report_count() - 1;
    stage.deliver_hint(D, 0);
    stage.crash(A);
    stage.learn_all(A);
    stage.deliver_report(last - 1);
    stage.deliver_report(last);
    stage.tell_hints_to(A);
    return stage.outcome();
}

TEST(SealingScenarioTest, S21AQuestionHasANumberThatWasNeverUsedBefore) {
    EXPECT_EQ(answers_to_an_earlier_life({}), as_it_should_be);
    EXPECT_EQ(answers_to_an_earlier_life(bare({.questions_are_new = false})), "records differ");
}

std::string hint_of_two_writes(Rules rules) {
    Stage stage(rules);
    stage.write(B, k, 1);
    stage.put({.owner = B,
               .key = k,
               .request = request(2),
               .replaces = Replaces::seen_by_reader,
               .reading = {}});
    stage.hint(A, 2);
    stage.hint(C, 2);
    stage.crash(B);
    return stage.outcome();
}

// The process takes one of the writes with it, as a disk might.
TEST(SealingScenarioTest, S28AHintBringsWhatElseItHoldsOfItsLife) {
    EXPECT_EQ(hint_of_two_writes({}), as_it_should_be);
    Rules early = with_early_hints(as_in_the_node());
    EXPECT_EQ(hint_of_two_writes(early), as_it_should_be);
    early.hints_bring_their_life = false;
    EXPECT_EQ(hint_of_two_writes(early), "a hint stays for ever");
}

std::string retry_of_a_lost_write(Rules rules) {
    Stage stage(rules);
    stage.spread(C, k, 1);
    const Put again{.owner = B,
                    .key = k,
                    .request = request(2),
                    .replaces = Replaces::seen_by_reader,
                    .reading = stage.read(B, k)};
    stage.put(again);
    // It is sent as it is now, as the state of an owner.
    stage.put(again);
    const Message late = stage.messages().back();
    stage.crash(B);
    stage.converge();
    stage.deliver(late);
    stage.sync(late.to);
    return stage.outcome();
}

TEST(SealingScenarioTest, S29ARetryIsAnsweredFromWhatIsDurable) {
    EXPECT_EQ(retry_of_a_lost_write({}), as_it_should_be);
    Rules weaker = bare({});
    weaker.only_messages_are_early = false;
    // Once the records differed for ever. What is minted too late takes nothing with it any more
    // (merge()), so the rule is a second lock on this door.
    EXPECT_EQ(retry_of_a_lost_write(weaker), as_it_should_be);
}

// B writes beside what A has written; both are lost with their processes, and the first is sealed.
std::string message_that_holds_a_lost_write(Rules rules) {
    Stage stage(rules);
    stage.spread(C, k, 1);
    stage.report(B, A);
    stage.write(A, k, 2);
    for (const Message& message : std::vector(stage.messages())) {
        if (message.to == B) stage.deliver(message);
    }
    stage.put({.owner = B,
               .key = k,
               .request = request(3),
               .replaces = Replaces::seen_by_reader,
               .reading = {}});
    const Message late = stage.messages().back();
    EXPECT_EQ(late.to, C);
    EXPECT_EQ(late.record.siblings.size(), 2u);
    stage.crash(A);
    stage.crash(B);
    for (const size_t node : {A, B, C, D})
        stage.learn_start(node, A);
    // A asks and is answered. Of B's end it hears with B's answer, and C does not.
    stage.deliver_report(0);
    stage.tell(C, A);
    stage.tell_hints_to(A);
    stage.tell(A, B);
    stage.tell(A, C);
    stage.tell(C, A);
    stage.tell(B, A);
    EXPECT_EQ(stage.sealed_count(), 1u);
    stage.pull(C, A);
    stage.sync(C);
    stage.deliver(late);
    stage.sync(C);
    return stage.outcome();
}

TEST(SealingScenarioTest, S30WhatIsSeenAndNotAccountedForIsRefused) {
    EXPECT_EQ(message_that_holds_a_lost_write({}), as_it_should_be);
    EXPECT_THAT(message_that_holds_a_lost_write(bare({})), HasSubstr("lost: 1"));
}

std::string write_that_only_a_successor_has(Rules rules) {
    Stage stage(rules);
    stage.spread(C, k, 1);
    stage.begin_move(2, D);
    stage.copy(true, true);
    // Of A's next write D alone gets the message.
    stage.write(A, k, 2);
    for (const Message& message : std::vector(stage.messages())) {
        if (message.to == D) stage.deliver(message);
    }
    stage.crash(A);
    stage.learn_all(A);
    for (const size_t owner : {A, B, C})
        stage.tell_hints_to(owner);
    stage.tell_all();
    EXPECT_EQ(stage.sealed_count() > 0, !rules.who_fills_is_asked);
    stage.finish_move();
    return stage.outcome();
}

TEST(SealingScenarioTest, S31WhoIsFilledSaysWhatItHas) {
    EXPECT_EQ(write_that_only_a_successor_has({}), as_it_should_be);
    // Once the first write was lost with the second; see S29.
    EXPECT_EQ(write_that_only_a_successor_has(bare({.who_fills_is_asked = false})),
              as_it_should_be);
}

std::string copy_of_what_a_crash_takes(Rules rules) {
    Stage stage(rules);
    stage.begin_move(2, D);
    stage.write(C, k, 1);
    stage.copy(true, true);
    stage.crash(C);
    stage.talk(std::nullopt);
    stage.finish_move();
    return stage.outcome();
}

TEST(SealingScenarioTest, S32ACopyIsOfWhatIsDurable) {
    EXPECT_EQ(copy_of_what_a_crash_takes({}), as_it_should_be);
    EXPECT_NE(copy_of_what_a_crash_takes(bare({.copies_are_durable = false})), as_it_should_be);
}

}  // namespace
}  // namespace starling::node::group_model
