// Scenarios of collection, of what owners say of themselves, and of seats that change hands.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/node/convergence/stage.h"

namespace starling::node::group_model {
namespace {

using ::testing::HasSubstr;
using testing::request;

std::string strip_then_ship(Rules rules) {
    Stage stage(without_memory(rules));
    stage.spread(C, k, 1);
    stage.tell_all();
    stage.write(B, k, 2);
    stage.strip(B);
    stage.sync(B);
    stage.pull(A, B);
    if (stage.record(A, k).siblings.size() == 2) return "what was replaced stays beside it";
    return stage.outcome();
}

TEST(CollectionScenarioTest, S10AContextStaysUntilItsSiblingsAreSeen) {
    EXPECT_EQ(strip_then_ship({}), as_it_should_be);
    EXPECT_EQ(strip_then_ship(bare({.strip_waits_for_siblings = false})),
              "what was replaced stays beside it");
}

std::string strip_before_covered(Rules rules) {
    Stage stage(without_memory(rules));
    stage.write_durably(A, k, 1);
    stage.carry(B, 1);
    stage.spread(B, k, 2);
    stage.tell_all();
    stage.strip(C);
    // Late, at one whose record no longer covers it.
    stage.carry(C, 1);
    if (stage.record(C, k).siblings.size() == 2) return "what was replaced is back";
    return stage.outcome();
}

TEST(CollectionScenarioTest, AContextStaysUntilAllThatItCoversIsSeen) {
    EXPECT_EQ(strip_before_covered({}), as_it_should_be);
    EXPECT_EQ(strip_before_covered(bare({.strip_waits_for_covered = false})),
              "what was replaced is back");
}

std::string drop_without_the_dead(Rules rules) {
    Stage stage(without_memory(rules));
    stage.spread(A, k, 1);
    stage.write_durably(B, k, 2, true);
    stage.carry(C, 2);
    stage.tell_each_other(B, C);
    stage.collect(B);
    stage.collect(C);
    return stage.outcome();
}

TEST(CollectionScenarioTest, S13ADeadOwnerPinsTombstones) {
    EXPECT_EQ(drop_without_the_dead({}), as_it_should_be);
    EXPECT_EQ(drop_without_the_dead(bare({.drop_waits_for_all = false})), "records differ");
}

std::string drop_that_asks_for_the_tombstone_only(Rules rules) {
    Stage stage(without_memory(rules));
    stage.write_durably(A, k, 1);
    stage.carry(B, 1);
    stage.spread(B, k, 2, true);
    stage.collect_all();
    stage.carry(C, 1);
    return stage.read(C, k).seen.requests == std::vector{request(1)} ? "deleted and back"
                                                                     : stage.outcome();
}

TEST(CollectionScenarioTest, S14WhatATombstoneSupersededMustBeSeenToo) {
    EXPECT_EQ(drop_that_asks_for_the_tombstone_only({}), as_it_should_be);
    EXPECT_EQ(drop_that_asks_for_the_tombstone_only(bare({.drop_covers_superseded = false})),
              "deleted and back");
}

std::string late_put(Rules rules) {
    Stage stage(without_memory(rules));
    stage.spread(A, k, 1);
    stage.spread(A, k, 2, true);
    stage.collect_all();
    EXPECT_EQ(stage.collected_count(), 3u);
    stage.carry(C, 1);
    if (!stage.record(C, k).siblings.empty()) return "deleted and back";
    return stage.outcome();
}

TEST(CollectionScenarioTest, S15AnAbsentRecordRefusesWhatItsFrontierHas) {
    EXPECT_EQ(late_put({}), as_it_should_be);
    EXPECT_EQ(late_put(bare({.absent_asks_frontier = false})), "deleted and back");
}

std::string node_takes_another_seat(Rules rules) {
    Stage stage(without_memory(rules));
    stage.spread(A, k, 1);
    stage.write_durably(A, k, 2, true);
    stage.carry(C, 2);
    // C says that it has seen the delete, and gives its seat to D. Then it takes that of B, which
    // has not seen it.
    stage.tell(C, A);
    stage.report(C, D);
    const size_t late = stage.report_count() - 1;
    stage.begin_move(2, D);
    stage.finish_move();
    stage.begin_move(1, C);
    stage.finish_move();
    stage.learn_seats();
    stage.deliver_report(late);
    stage.tell_each_other(A, D);
    for (const size_t owner : {A, D}) {
        stage.collect(owner);
        stage.sync(owner);
    }
    return stage.outcome();
}

TEST(CollectionScenarioTest, S24WhatWasSaidOfAnotherSeatIsVoid) {
    EXPECT_EQ(node_takes_another_seat({}), as_it_should_be);
    EXPECT_EQ(node_takes_another_seat(bare({.tenures = false})), "records differ");
}

std::string seat_being_filled(Rules rules) {
    Stage stage(without_memory(rules));
    stage.spread(A, k, 1);
    stage.begin_move(2, D);
    stage.copy(true, true);
    stage.sync(D);
    stage.spread(A, k, 2, true);
    stage.collect_all();
    EXPECT_EQ(stage.collected_count(), 3u);
    stage.finish_move();
    return stage.outcome();
}

TEST(CollectionScenarioTest, S26WhoIsFilledTakesItsGiversWord) {
    EXPECT_EQ(seat_being_filled({}), as_it_should_be);
    EXPECT_EQ(seat_being_filled(bare({.fill_takes_givers_word = false})), "records differ");
}

// Who takes the seat has been written to before it could copy anything.
std::string late_retry_at_who_fills_a_seat(Rules rules, bool is_sealed) {
    Stage stage(rules);
    stage.spread(A, k, 1);
    stage.spread(A, k, 2, true);
    stage.tell_all();
    if (is_sealed) {
        stage.crash(A);
        stage.learn_all(A);
        for (int round = 0; round < 2; ++round) {
            for (const size_t to : {A, B, C, D})
                stage.tell_hints_to(to);
            stage.tell_all();
        }
        EXPECT_GT(stage.sealed_count(), 0u);
    }
    stage.begin_move(2, D);
    stage.finish_move();
    stage.learn_seats();
    stage.put({.owner = D,
               .key = k,
               .request = request(1),
               .replaces = Replaces::seen_by_reader,
               .reading = {}});
    stage.sync(D);
    return stage.read(D, k).seen.requests == std::vector{request(1)} ? "deleted and back"
                                                                     : stage.outcome();
}

TEST(CollectionScenarioTest, S38WhoFillsASeatIsToldOfTombstones) {
    for (const bool is_sealed : {false, true}) {
        EXPECT_EQ(late_retry_at_who_fills_a_seat({}, is_sealed), as_it_should_be);
        EXPECT_EQ(late_retry_at_who_fills_a_seat(as_in_the_node(), is_sealed), as_it_should_be);
        EXPECT_EQ(late_retry_at_who_fills_a_seat(bare({.fill_names_tombstones = false}), is_sealed),
                  "deleted and back");
    }
}

std::string retry_of_an_ended_life(Rules rules) {
    Stage stage(with_early_hints(rules));
    stage.write_durably(B, k, 1);
    stage.carry(A, 1);
    // The retry is kept as a hint when its owner dies without having it on its disk.
    stage.put({.owner = C,
               .key = k,
               .request = request(1),
               .replaces = Replaces::seen_by_reader,
               .reading = {}});
    stage.take_hint(D, stage.messages().back());
    stage.crash(C);
    stage.pull(C, B);
    stage.sync(C);
    stage.spread(B, k, 2);
    stage.wait(request_window + 2);
    stage.tell_all();
    for (const size_t owner : {A, B, C}) {
        stage.forget(owner);
        stage.sync(owner);
    }
    stage.deliver_hint(D, 0);
    return stage.violation_of_reads().value_or(stage.outcome());
}

// The hint comes after its receiver has said what it has, and before its keeper says that it is
// gone.
std::string hint_between_two_words(Rules rules) {
    Stage stage(with_early_hints(rules));
    stage.write(A, k, 1);
    stage.hint(B, 1);
    stage.crash(A);
    stage.learn_all(A);
    stage.put({.owner = C,
               .key = k,
               .request = request(1),
               .replaces = Replaces::seen_by_reader,
               .reading = {}});
    stage.sync(C);
    stage.write_durably(C, k, 2, true);
    stage.pull(A, C);
    stage.sync(A);
    stage.wait(request_window + 2);
    stage.tell_all();
    stage.deliver_hint(D, 0);
    for (const size_t owner : {A, C}) {
        stage.tell_hints_to(owner);
        stage.forget(owner);
        stage.sync(owner);
    }
    return stage.outcome();
}

TEST(CollectionScenarioTest, S33AnIdIsNotForgottenOnWordsFromBeforeTheHintsWereGone) {
    EXPECT_EQ(hint_between_two_words({}), as_it_should_be);
    EXPECT_EQ(hint_between_two_words(as_in_the_node()), as_it_should_be);
    EXPECT_THAT(hint_between_two_words(bare({.words_follow_hints = false})), HasSubstr("back: 1"));
}

TEST(CollectionScenarioTest, S27AnIdIsNotForgottenWhileAnEndedLifeMayBringIt) {
    EXPECT_EQ(retry_of_an_ended_life({}), as_it_should_be);
    EXPECT_THAT(retry_of_an_ended_life(bare({.forget_asks_for_ended_lives = false})),
                HasSubstr("back: 1"));
}

std::string seat_in_the_same_life(Rules rules) {
    Stage stage(rules);
    stage.begin_move(0, D);
    stage.write_durably(A, k, 1);
    stage.finish_move();
    // A takes C's seat, and with it what C has, which is not A's own first write.
    stage.begin_move(2, A);
    stage.finish_move();
    stage.put({.owner = A,
               .key = k,
               .request = request(2),
               .replaces = Replaces::seen_by_reader,
               .reading = {}});
    stage.sync(A);
    return stage.outcome();
}

TEST(CollectionScenarioTest, S25WhoHasLostSightOfItsOwnWritesMintsNone) {
    EXPECT_EQ(seat_in_the_same_life({}), as_it_should_be);
    EXPECT_THAT(seat_in_the_same_life({.mints_above_own = false}), HasSubstr("lost: 1"));
}

}  // namespace
}  // namespace starling::node::group_model
