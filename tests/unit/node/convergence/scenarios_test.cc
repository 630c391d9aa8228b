// The named scenarios of docs/causality.md that need disks, hints, reports and collection. Each
// says what the rules give, and shows that a weaker one in their place loses a write, brings one
// back, or keeps replicas apart for ever.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/node/convergence/group_model.h"
#include "tests/unit/node/version/builders.h"

namespace starling::node::group_model {
namespace {

using ::testing::HasSubstr;
using testing::request;

constexpr size_t A = 0;
constexpr size_t B = 1;
constexpr size_t C = 2;
// Holds no seat at first.
constexpr size_t D = 3;
constexpr size_t k = 0;
constexpr size_t k2 = 1;

const std::string as_it_should_be = "as it should be";

// A group with a hand for each step.
struct Stage : Group {
    using Group::Group;

    void write(size_t owner, size_t key, uint64_t number, bool is_tombstone = false) {
        put({.owner = owner,
             .key = key,
             .request = request(number),
             .is_tombstone = is_tombstone,
             .replaces = Replaces::seen_by_reader,
             .other_owner = owner,
             .reading = read(owner, key)});
    }
    void write_durably(size_t owner, size_t key, uint64_t number, bool is_tombstone = false) {
        write(owner, key, number, is_tombstone);
        sync(owner);
    }
    // Messages of a request to one owner, durable there.
    void carry(size_t to, uint64_t number) {
        for (const Message& message : of(to, number))
            deliver(message);
        sync(to);
    }
    void hint(size_t to, uint64_t number) {
        for (const Message& message : of(to, number))
            take_hint(message);
    }
    void spread(size_t owner, size_t key, uint64_t number, bool is_tombstone = false) {
        write_durably(owner, key, number, is_tombstone);
        for (const size_t to : {A, B, C}) {
            if (to != owner) carry(to, number);
        }
    }
    void tell(size_t from, size_t to) {
        report(from, to);
        deliver_report(report_count() - 1);
    }
    void tell_all() {
        for (const size_t from : {A, B, C}) {
            for (const size_t to : {A, B, C}) {
                if (from != to) tell(from, to);
            }
        }
    }
    // All hear of all, and forget what they may.
    void collect_all() {
        tell_all();
        for (const size_t owner : {A, B, C}) {
            collect(owner);
            sync(owner);
        }
    }
    void learn_all(size_t about) {
        for (const size_t owner : {A, B, C})
            learn_start(owner, about);
        hint_holder_learns_start(about);
    }
    void wait(uint64_t ticks) {
        for (uint64_t i = 0; i < ticks; ++i)
            tick();
    }
    std::string outcome() {
        converge();
        return violation().value_or(as_it_should_be);
    }

  private:
    std::vector<Message> of(size_t to, uint64_t number) const {
        std::vector<Message> found;
        for (const Message& message : messages()) {
            const Sibling* sibling = message.record.find(request(number));
            if (message.to == to && sibling != nullptr && sibling->dot == message.dot) {
                found.push_back(message);
            }
        }
        return found;
    }
};

// The memory of superseded requests hides many a fault, until its window has passed.
Rules without_memory(Rules rules) {
    rules.requests_remembered = false;
    return rules;
}

std::string lost_dot(Rules rules) {
    Stage stage(rules);
    stage.write(A, k, 1);
    stage.write(A, k2, 2);
    stage.carry(B, 2);
    stage.crash(A);
    return stage.outcome();
}

TEST(ConvergenceScenarioTest, S3ADotLostInACrashLeavesNoGap) {
    EXPECT_EQ(lost_dot({}), as_it_should_be);
    EXPECT_THAT(lost_dot(bare({.sealing = false})), HasSubstr("gap"));
}

std::string seal_early(Rules rules) {
    Stage stage(rules);
    stage.write_durably(A, k, 1);
    stage.carry(C, 1);
    stage.crash(A);
    stage.learn_all(A);
    stage.seal(B);
    return stage.outcome();
}

TEST(ConvergenceScenarioTest, S4NothingIsSealedBeforeAllWhoMayHaveItAreHeard) {
    EXPECT_EQ(seal_early({}), as_it_should_be);
    EXPECT_EQ(seal_early(bare({.seal_on_proof = false})), "records differ");
}

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

TEST(ConvergenceScenarioTest, S9AnActorNeverComesBack) {
    // Who notices that its disk was set back takes a life that nobody has heard of.
    EXPECT_EQ(disk_set_back(bare({.actors_are_random = false})), as_it_should_be);
    // The random bits help where nobody can notice.
    EXPECT_EQ(disk_set_back(bare({.refills = false})), as_it_should_be);
    EXPECT_EQ(disk_set_back(bare({.refills = false, .actors_are_random = false})),
              "records differ");
}

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

TEST(ConvergenceScenarioTest, S10AContextStaysUntilItsSiblingsAreSeen) {
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

TEST(ConvergenceScenarioTest, AContextStaysUntilAllThatItCoversIsSeen) {
    EXPECT_EQ(strip_before_covered({}), as_it_should_be);
    EXPECT_EQ(strip_before_covered(bare({.strip_waits_for_covered = false})),
              "what was replaced is back");
}

std::string drop_without_the_dead(Rules rules) {
    Stage stage(without_memory(rules));
    stage.spread(A, k, 1);
    stage.write_durably(B, k, 2, true);
    stage.carry(C, 2);
    stage.tell(B, C);
    stage.tell(C, B);
    stage.collect(B);
    stage.collect(C);
    return stage.outcome();
}

TEST(ConvergenceScenarioTest, S13ADeadOwnerPinsTombstones) {
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

TEST(ConvergenceScenarioTest, S14WhatATombstoneSupersededMustBeSeenToo) {
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

TEST(ConvergenceScenarioTest, S15AnAbsentRecordRefusesWhatItsFrontierHas) {
    EXPECT_EQ(late_put({}), as_it_should_be);
    EXPECT_EQ(late_put(bare({.absent_asks_frontier = false})), "deleted and back");
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

TEST(ConvergenceScenarioTest, S16ADiskThatWasSetBackIsFilledAnew) {
    EXPECT_EQ(set_back_after_a_drop({}), as_it_should_be);
    EXPECT_EQ(set_back_after_a_drop(bare({.refills = false})), "records differ");
}

std::string seal_beside_hints(Rules rules) {
    Stage stage(rules);
    stage.write(B, k, 1);
    stage.hint(A, 1);
    stage.hint(C, 1);
    stage.crash(B);
    stage.learn_all(B);
    for (const size_t owner : {A, B, C})
        stage.report_hints(owner);
    for (const size_t owner : {A, B, C})
        stage.ask_owners(owner);
    stage.tell_all();
    for (const size_t owner : {A, B, C})
        stage.seal(owner);
    return stage.outcome();
}

TEST(ConvergenceScenarioTest, S17NothingIsSealedThatAHintMayBring) {
    EXPECT_EQ(seal_beside_hints({}), as_it_should_be);
    EXPECT_EQ(
        seal_beside_hints(bare({.seal_asks_hint_holder = false, .seal_asks_owners_last = false})),
        "acknowledged and lost: 1");
}

std::string owners_asked_before_the_hint_holder(Rules rules) {
    Stage stage(rules);
    stage.write(B, k, 1);
    stage.hint(C, 1);
    stage.crash(B);
    stage.learn_all(B);
    // C says that it has nothing, and then gets the hint.
    stage.tell_all();
    stage.deliver_hint(0);
    stage.report_hints(A);
    stage.seal(A);
    return stage.outcome();
}

TEST(ConvergenceScenarioTest, S21OwnersAreAskedAfterTheHintsAreGone) {
    EXPECT_EQ(owners_asked_before_the_hint_holder({}), as_it_should_be);
    EXPECT_EQ(owners_asked_before_the_hint_holder(bare({.seal_asks_owners_last = false})),
              "records differ");
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
    stage.tell(B, C);
    stage.tell(C, B);
    stage.collect(B);
    stage.collect(C);
    return stage.outcome();
}

TEST(ConvergenceScenarioTest, S18AReportOfDataThatWasLostDoesNotCount) {
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

TEST(ConvergenceScenarioTest, S22AFrontierIsNotHandedOnWithoutItsWrites) {
    EXPECT_EQ(loss_then_pull({}), as_it_should_be);
    EXPECT_EQ(loss_then_pull({.pull_explains = false}), "C claims what it has not");
}

std::string loss_then_state(Rules rules) {
    Stage stage(rules);
    stage.spread(A, k, 1);
    stage.lose_record(B, k);
    stage.exchange(A, B, k);
    stage.sync(A);
    return stage.outcome();
}

TEST(ConvergenceScenarioTest, S11AbsenceDeletesNothing) {
    EXPECT_EQ(loss_then_state({}), as_it_should_be);
    EXPECT_EQ(loss_then_state(bare({})), "records differ");
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

TEST(ConvergenceScenarioTest, S23ALossIsNotPassedOffAsADeletion) {
    EXPECT_EQ(loss_then_message({}), as_it_should_be);
    EXPECT_THAT(loss_then_message(bare({})), HasSubstr("lost: 1"));
}

std::string seat_comes_back(Rules rules) {
    Stage stage(without_memory(rules));
    stage.spread(A, k, 1);
    stage.write_durably(A, k, 2, true);
    stage.carry(C, 2);
    // C tells all that it has seen the delete, gives its seat away, and takes it again, filled by
    // B, which has not.
    stage.begin_move(2, D);
    for (const size_t to : {A, B, D})
        stage.tell(C, to);
    stage.finish_move();
    stage.begin_move(2, C);
    stage.pull(C, B);
    stage.sync(C);
    stage.pull(B, A);
    stage.sync(B);
    for (const size_t from : {A, B, D}) {
        for (const size_t to : {A, B, D})
            stage.tell(from, to);
    }
    for (const size_t owner : {A, B, D}) {
        stage.collect(owner);
        stage.sync(owner);
    }
    stage.finish_move();
    return stage.outcome();
}

TEST(ConvergenceScenarioTest, S24ASeatThatComesBackIsNotKnownFromItsLastTime) {
    EXPECT_EQ(seat_comes_back({}), as_it_should_be);
    EXPECT_EQ(seat_comes_back(bare({.fill_raises_epoch = false})), "records differ");
}

std::string seat_being_filled(Rules rules) {
    Stage stage(without_memory(rules));
    stage.spread(A, k, 1);
    stage.begin_move(2, D);
    stage.pull(D, A);
    stage.sync(D);
    stage.spread(A, k, 2, true);
    stage.collect_all();
    stage.finish_move();
    return stage.outcome();
}

TEST(ConvergenceScenarioTest, S26WhoIsFilledIsAnOwner) {
    EXPECT_EQ(seat_being_filled({}), as_it_should_be);
    EXPECT_EQ(seat_being_filled(bare({.filling_is_owner = false})), "records differ");
}

std::string retry_of_an_ended_life(Rules rules) {
    Stage stage(rules);
    stage.write_durably(B, k, 1);
    stage.carry(A, 1);
    // The retry's messages are under way when its owner dies without having it on its disk.
    stage.put({.owner = C,
               .key = k,
               .request = request(1),
               .replaces = Replaces::seen_by_reader,
               .reading = {}});
    const Message retry = stage.messages().back();
    stage.crash(C);
    stage.pull(C, B);
    stage.sync(C);
    stage.spread(B, k, 2);
    stage.wait(request_window + 2);
    // A and B have not heard that C began a new life; otherwise all know of each other.
    for (const size_t owner : {A, B, C}) {
        for (const size_t about : {A, B})
            stage.learn_start(owner, about);
    }
    stage.tell_all();
    for (const size_t owner : {A, B, C}) {
        stage.forget(owner);
        stage.sync(owner);
    }
    stage.deliver(retry);
    stage.sync(retry.to);
    return stage.violation_of_reads().value_or(stage.outcome());
}

TEST(ConvergenceScenarioTest, S27AnIdIsNotForgottenWhileAnEndedLifeMayBringIt) {
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

TEST(ConvergenceScenarioTest, S25WhoHasLostSightOfItsOwnWritesMintsNone) {
    EXPECT_EQ(seat_in_the_same_life({}), as_it_should_be);
    EXPECT_THAT(seat_in_the_same_life({.mints_above_own = false}), HasSubstr("lost: 1"));
}

}  // namespace
}  // namespace starling::node::group_model
