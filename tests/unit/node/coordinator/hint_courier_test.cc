#include "node/coordinator/hint_courier.h"

#include <algorithm>
#include <deque>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/node/coordinator/rig.h"

namespace starling::node {
namespace {

using testing::CoordinatorRig;
using ::testing::IsEmpty;

struct HintCourierTest : ::testing::Test {
    HintCourierTest() { courier.start(); }
    ~HintCourierTest() override { courier.stop(); }

    HintKey keep(uint64_t sequence, bool is_reference) {
        const Dot by = testing::dot(8, sequence);
        const std::string key = testing::key("k" + std::to_string(sequence));
        const Record record = mint({}, {}, testing::write(by, sequence, "value"));
        return keep(
            {.group = testing::the_group, .seat = base::SeatIndex(2), .dot = by, .key = key},
            is_reference ? std::string() : wire::encode(record));
    }
    HintKey keep(HintKey hint, const std::string& record) {
        rig.hints.keep(hint, record, [](const absl::Status&) {});
        rig.settle();
        EXPECT_TRUE(rig.hints.contains(hint));
        return hint;
    }
    void answer(const testing::Sent& question, SeatSet seats) {
        peer::ReplicaMessage reply = rig.answer_to(question.message);
        reply.mutable_write_reply()->set_seats(seats.bits());
        EXPECT_TRUE(courier.on_reply(question.to, reply));
    }
    void refuse(const testing::Sent& question, const absl::Status& status) {
        peer::ReplicaMessage reply = rig.answer_to(question.message);
        wire::set_refusal(*reply.mutable_write_reply()->mutable_refusal(), status);
        EXPECT_TRUE(courier.on_reply(question.to, reply));
    }

    CoordinatorRig rig{5};
    HintCourier courier{
        rig.coordinator.context(), rig.store_rig.workers, std::chrono::milliseconds(500)};
};

TEST_F(HintCourierTest, AHintIsForgottenOnlyWhenItsSeatsHolderHasIt) {
    const HintKey hint = keep(1, false);
    courier.kick();
    auto sent = rig.take_sent();
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(sent[0].to, rig.holder(2));
    EXPECT_EQ(wire::get_dot(sent[0].message.write().dot()), hint.dot);
    answer(sent[0], rig.seat(1));
    EXPECT_TRUE(rig.hints.contains(hint)) << "answered for another seat";
    courier.kick();
    sent = rig.take_sent();
    ASSERT_EQ(sent.size(), 1u);
    answer(sent[0], rig.seat(2));
    EXPECT_FALSE(rig.hints.contains(hint));
}

TEST_F(HintCourierTest, NothingGoesToAHolderThatIsDownOrTwiceAtOnce) {
    keep(1, false);
    rig.set_health(rig.holder(2), PeerHealth::dead);
    courier.kick();
    EXPECT_THAT(rig.take_sent(), IsEmpty());
    rig.set_health(rig.holder(2), PeerHealth::alive);
    courier.kick();
    courier.kick();
    EXPECT_EQ(rig.take_sent().size(), 1u);
}

TEST_F(HintCourierTest, AnAnswerFromAnotherNodeIsNotTheCouriers) {
    const HintKey hint = keep(1, false);
    courier.kick();
    const auto sent = rig.take_sent();
    peer::ReplicaMessage reply = rig.answer_to(sent[0].message);
    reply.mutable_write_reply()->set_seats(7);
    EXPECT_FALSE(courier.on_reply(rig.holder(1), reply));
    EXPECT_TRUE(rig.hints.contains(hint));
}

TEST_F(HintCourierTest, WhatIsNotAnsweredIsSentAgain) {
    keep(1, false);
    courier.kick();
    EXPECT_EQ(rig.take_sent().size(), 1u);
    rig.pass(std::chrono::milliseconds(3100));
    EXPECT_EQ(rig.take_sent().size(), 1u);
}

TEST_F(HintCourierTest, OfANodeThatAnswersFastWhatIsNotAnsweredIsSentAgainSoon) {
    for (uint64_t sequence = 1; sequence <= 12; ++sequence)
        keep(sequence, false);
    courier.kick();
    auto sent = rig.take_sent();
    ASSERT_EQ(sent.size(), 12u);
    for (size_t i = 0; i < 11; ++i)
        answer(sent[i], rig.seat(2));
    rig.pass(std::chrono::milliseconds(1100));
    sent = rig.take_sent();
    ASSERT_EQ(sent.size(), 1u) << "one interval is enough";
    rig.pass(std::chrono::milliseconds(1100));
    EXPECT_THAT(rig.take_sent(), IsEmpty()) << "it may be slow now";
    rig.pass(std::chrono::milliseconds(2000));
    EXPECT_EQ(rig.take_sent().size(), 1u);
}

TEST_F(HintCourierTest, NoMoreThanAWindowIsOnItsWayAndAnswersBringTheNext) {
    for (uint64_t sequence = 1; sequence <= 40; ++sequence) {
        keep(sequence, false);
    }
    courier.kick();
    size_t delivered = 0;
    for (auto sent = rig.take_sent(); !sent.empty(); sent = rig.take_sent()) {
        EXPECT_LE(sent.size(), HintCourier::window);
        for (const testing::Sent& one : sent) {
            answer(one, rig.seat(2));
            ++delivered;
        }
    }
    EXPECT_EQ(delivered, 40u);
    EXPECT_EQ(rig.hints.count(), 0u);
}

TEST_F(HintCourierTest, AHintThatCannotBeRemovedWaitsForTheNextRound) {
    const HintKey hint = keep(1, false);
    courier.kick();
    auto sent = rig.take_sent();
    ASSERT_EQ(sent.size(), 1u);
    rig.store_rig.engine.write_error = absl::UnavailableError("stalled");
    answer(sent[0], rig.seat(2));
    EXPECT_TRUE(rig.hints.contains(hint));
    EXPECT_THAT(rig.take_sent(), IsEmpty()) << "it would go round at the speed of the network";
    rig.store_rig.engine.write_error = absl::OkStatus();
    courier.kick();
    sent = rig.take_sent();
    ASSERT_EQ(sent.size(), 1u);
    answer(sent[0], rig.seat(2));
    EXPECT_FALSE(rig.hints.contains(hint));
}

TEST_F(HintCourierTest, HintsThatAreAlwaysRefusedHoldUpNoOthers) {
    constexpr uint64_t refused = 3 * HintCourier::window;
    std::vector<HintKey> hints;
    for (uint64_t sequence = 1; sequence <= refused + 40; ++sequence) {
        hints.push_back(keep(sequence, false));
    }
    for (int round = 0; round < 10; ++round) {
        courier.kick();
        size_t sent_in_round = 0;
        for (auto sent = rig.take_sent(); !sent.empty(); sent = rig.take_sent()) {
            for (const testing::Sent& one : sent) {
                ++sent_in_round;
                const uint64_t sequence = one.message.write().dot().sequence();
                answer(one, sequence <= refused ? SeatSet() : rig.seat(2));
            }
        }
        EXPECT_LE(sent_in_round, refused + 40 + HintCourier::window);
        if (rig.hints.count() == refused) {
            // Now only refused ones are left: a window of them in each round.
            EXPECT_GE(sent_in_round, HintCourier::window);
        }
    }
    EXPECT_EQ(rig.hints.count(), refused);
    for (uint64_t sequence = refused + 1; sequence <= refused + 40; ++sequence) {
        EXPECT_FALSE(rig.hints.contains(hints[sequence - 1]));
    }
}

TEST_F(HintCourierTest, EachOfManyRefusedHintsIsTriedAgainInItsTurn) {
    constexpr uint64_t count = 2 * HintCourier::window + 5;
    for (uint64_t sequence = 1; sequence <= count; ++sequence) {
        keep(sequence, false);
    }
    std::map<uint64_t, int> tries;
    constexpr int turns = 3;
    for (size_t round = 0; round < turns * count; ++round) {
        courier.kick();
        const auto sent = rig.take_sent();
        EXPECT_EQ(sent.size(), HintCourier::window);
        for (const testing::Sent& one : sent) {
            ++tries[one.message.write().dot().sequence()];
            answer(one, SeatSet());
        }
        EXPECT_THAT(rig.take_sent(), IsEmpty()) << "a refusal brought the next";
    }
    ASSERT_EQ(tries.size(), count);
    for (const auto& [sequence, times] : tries) {
        EXPECT_EQ(times, turns * static_cast<int>(HintCourier::window)) << sequence;
    }
}

TEST_F(HintCourierTest, ASeatThatIsRefusedIsAskedNoMoreThanItsWindowInARoundWhenOneGoesAtATime) {
    for (uint64_t sequence = 1; sequence <= 2 * HintCourier::window + 5; ++sequence) {
        keep(sequence, false);
    }
    // A window of one, after so many halves.
    for (int times = 0; times < 6; ++times) {
        courier.kick();
        for (const testing::Sent& one : rig.take_sent()) {
            refuse(one, absl::ResourceExhaustedError("no room"));
        }
    }
    courier.kick();
    size_t asked = 0;
    for (auto sent = rig.take_sent(); !sent.empty(); sent = rig.take_sent()) {
        ASSERT_EQ(sent.size(), 1u);
        answer(sent[0], SeatSet());
        ++asked;
    }
    EXPECT_EQ(asked, HintCourier::window);
}

TEST_F(HintCourierTest, AReferenceBringsTheRecordAsItIsNow) {
    rig.put_everywhere("k1", "value");
    rig.pass(std::chrono::milliseconds(300));
    keep(1, true);
    courier.kick();
    rig.settle();
    const auto sent = rig.take_sent();
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_FALSE(sent[0].message.write().has_dot());
    EXPECT_THAT(testing::values(*decode_record(sent[0].message.write().record())),
                ::testing::ElementsAre("value"));
}

TEST_F(HintCourierTest, AWholeWriteThatTakesTheReferencesPlaceOnItsWayIsDeliveredToo) {
    rig.put_everywhere("k1", "value");
    rig.pass(std::chrono::milliseconds(300));
    const HintKey hint = keep(1, true);
    courier.kick();
    rig.settle();
    auto sent = rig.take_sent();
    ASSERT_EQ(sent.size(), 1u);
    keep(1, false);
    answer(sent[0], rig.seat(2));
    ASSERT_TRUE(rig.hints.contains(hint));
    courier.kick();
    sent = rig.take_sent();
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(wire::get_dot(sent[0].message.write().dot()), hint.dot);
    answer(sent[0], rig.seat(2));
    EXPECT_FALSE(rig.hints.contains(hint));
}

TEST_F(HintCourierTest, AReferenceToWhatIsGoneFromHereIsForgotten) {
    const HintKey hint = keep(1, true);
    courier.kick();
    rig.settle();
    EXPECT_THAT(rig.take_sent(), IsEmpty());
    EXPECT_FALSE(rig.hints.contains(hint));
}

// One node holds a seat of each of many partitions.
struct HintCourierOfManySeatsTest : HintCourierTest {
    static constexpr uint16_t seats = 300;

    HintCourierOfManySeatsTest() {
        rig.change_view([this](ClusterView& view) {
            view.partition_count = seats;
            view.holders.assign(size_t{seats} * view.seat_count, node);
        });
    }

    void keep_for(uint16_t partition, uint64_t count) {
        for (uint64_t each = 0; each < count; ++each) {
            const Dot by = testing::dot(8, ++kept);
            const std::string key = testing::key("k" + std::to_string(kept));
            keep({.group = testing::group(partition),
                  .seat = base::SeatIndex(2),
                  .dot = by,
                  .key = key},
                 wire::encode(mint({}, {}, testing::write(by, kept, "value"))));
        }
    }
    void keep_for_all(uint64_t count) {
        for (uint16_t partition = 0; partition < seats; ++partition)
            keep_for(partition, count);
    }

    base::NodeId another_node() const {
        const auto found =
            std::find_if(rig.view->peers.begin(), rig.view->peers.end(), [this](const auto& peer) {
                return peer.first != node && peer.first != rig.view->self;
            });
        return found->first;
    }

    // What the node was sent and has not answered, oldest first.
    std::deque<testing::Sent>& under_way() {
        for (testing::Sent& one : rig.take_sent()) {
            EXPECT_EQ(one.to, node);
            under_way_.push_back(std::move(one));
        }
        return under_way_;
    }
    testing::Sent take_oldest() {
        testing::Sent oldest = std::move(under_way().front());
        under_way_.pop_front();
        return oldest;
    }
    void refuse_all(const absl::Status& status) {
        for (size_t left = under_way().size(); left > 0; --left)
            refuse(take_oldest(), status);
    }
    // Until nothing more comes. How many there were.
    size_t take_all() {
        size_t taken = 0;
        for (; !under_way().empty(); ++taken) {
            EXPECT_LE(under_way().size(), HintCourier::node_window);
            answer(take_oldest(), rig.seat(2));
        }
        return taken;
    }

    const absl::Status overloaded =
        base::make_error(absl::StatusCode::kResourceExhausted, base::reason::overloaded, "no room");
    const absl::Status no_owner =
        base::make_error(absl::StatusCode::kUnavailable, base::reason::no_owner, "no seat");
    const base::NodeId node = rig.holder(2);
    uint64_t kept = 0;

  private:
    std::deque<testing::Sent> under_way_;
};

TEST_F(HintCourierOfManySeatsTest, NoMoreThanTheNodesWindowIsOnItsWayAndAnswersBringAll) {
    keep_for_all(3);
    courier.kick();
    EXPECT_EQ(under_way().size(), HintCourier::node_window);
    courier.kick();
    EXPECT_EQ(under_way().size(), HintCourier::node_window) << "the round brought more";
    EXPECT_EQ(take_all(), 3u * seats) << "without another round";
    EXPECT_EQ(rig.hints.count(), 0u);
}

TEST_F(HintCourierOfManySeatsTest, AnotherNodeHasAWindowOfItsOwn) {
    keep_for_all(1);
    const base::NodeId other = another_node();
    rig.change_view([&](ClusterView& view) {
        for (size_t partition = 0; partition < seats / 2; ++partition) {
            view.holders[partition * view.seat_count + 2] = other;
        }
    });
    courier.kick();
    std::map<base::NodeId, size_t> sent;
    for (const testing::Sent& one : rig.take_sent())
        ++sent[one.to];
    EXPECT_THAT(sent,
                ::testing::UnorderedElementsAre(::testing::Pair(node, HintCourier::node_window),
                                                ::testing::Pair(other, HintCourier::node_window)));
}

TEST_F(HintCourierOfManySeatsTest, SeatsTakeTurnsWhateverOneOfThemHas) {
    keep_for(0, 200);
    for (uint16_t partition = 1; partition <= 99; ++partition)
        keep_for(partition, 2);
    courier.kick();
    size_t of_the_first = 0;
    for (size_t of_others = 0; of_others < 2 * 99;) {
        ASSERT_FALSE(under_way().empty());
        const testing::Sent one = take_oldest();
        ++(one.message.partition() == 0 ? of_the_first : of_others);
        answer(one, rig.seat(2));
    }
    EXPECT_LE(of_the_first, 3u);
    EXPECT_EQ(of_the_first + take_all(), 200u);
}

TEST_F(HintCourierOfManySeatsTest, SeatsThatAreRefusedHoldUpNoOthersAndLeaveTheWindowAsItIs) {
    constexpr uint16_t refused = 100;
    keep_for_all(3);
    courier.kick();
    size_t refusals = 0;
    while (!under_way().empty()) {
        const testing::Sent one = take_oldest();
        if (one.message.partition() < refused) {
            ++refusals;
            refuse(one, no_owner);
        } else {
            answer(one, rig.seat(2));
        }
    }
    EXPECT_EQ(rig.hints.count(), 3u * refused) << "all others are there after one round";
    EXPECT_EQ(refusals, 3u * refused) << "each is tried once in a round";
    courier.kick();
    EXPECT_EQ(under_way().size(), HintCourier::node_window);
}

TEST_F(HintCourierOfManySeatsTest, ANodeWithoutRoomHalvesItsWindowOnceAndIsLeftAloneUntilTheRound) {
    keep_for_all(4);
    for (size_t window = HintCourier::node_window; window > 0; window /= 2) {
        courier.kick();
        EXPECT_EQ(under_way().size(), window);
        refuse_all(overloaded);
        EXPECT_THAT(under_way(), IsEmpty()) << "it was asked again in a rush";
    }
    courier.kick();
    EXPECT_EQ(under_way().size(), 1u) << "some hint has to show that there is room again";
    EXPECT_EQ(rig.hints.count(), 4u * seats);
}

TEST_F(HintCourierOfManySeatsTest, AWindowGrowsByOneForEachThatWasTaken) {
    keep_for_all(4);
    // Half, six times, is one.
    for (int times = 0; times < 6; ++times) {
        courier.kick();
        refuse_all(overloaded);
    }
    courier.kick();
    size_t taken = 0;
    for (size_t window = 1; window <= 48; ++window) {
        for (size_t each = 0; each < window; ++each) {
            ASSERT_EQ(under_way().size(), std::min(window, 4u * seats - taken));
            answer(take_oldest(), rig.seat(2));
            ++taken;
        }
    }
    EXPECT_EQ(taken + take_all(), 4u * seats);
}

TEST_F(HintCourierOfManySeatsTest, WhatWasOnItsWayAtARefusalBringsNoneBeyondHalfTheWindow) {
    keep_for_all(2);
    courier.kick();
    ASSERT_EQ(under_way().size(), HintCourier::node_window);
    refuse(take_oldest(), overloaded);
    size_t left = HintCourier::node_window - 1;
    for (; left > HintCourier::node_window / 2; --left) {
        EXPECT_EQ(under_way().size(), left);
        answer(take_oldest(), rig.seat(2));
    }
    // Now each that is taken makes room for one.
    for (size_t each = 0; each < left; ++each) {
        EXPECT_EQ(under_way().size(), left);
        answer(take_oldest(), rig.seat(2));
    }
    EXPECT_EQ(under_way().size(), left) << "the former window counts for nothing";
    EXPECT_EQ(HintCourier::node_window - 1 + take_all(), 2u * seats - 1);
    courier.kick();
    EXPECT_EQ(take_all(), 1u);
}

TEST_F(HintCourierOfManySeatsTest, DeliveriesThatAreLostHalveTheWindowOnceAndGoOutAgain) {
    keep_for_all(1);
    courier.kick();
    EXPECT_EQ(rig.take_sent().size(), HintCourier::node_window);
    rig.pass(std::chrono::milliseconds(2600));
    EXPECT_EQ(under_way().size(), HintCourier::node_window / 2);
    EXPECT_EQ(take_all(), seats - HintCourier::node_window) << "the others in this round";
    rig.pass(std::chrono::milliseconds(600));
    EXPECT_EQ(take_all(), HintCourier::node_window);
    EXPECT_EQ(rig.hints.count(), 0u);
}

TEST_F(HintCourierOfManySeatsTest, TheWindowIsRememberedWhileThereIsMoreForTheNode) {
    keep_for(0, 10);
    courier.kick();
    for (size_t window = HintCourier::node_window; window > 4; window /= 2) {
        EXPECT_EQ(rig.take_sent().size(), std::min<size_t>(window, 10));
        rig.pass(std::chrono::milliseconds(3100));
    }
    EXPECT_EQ(under_way().size(), 4u);
}

TEST_F(HintCourierOfManySeatsTest, WhereOneAtATimeFindsRoomOnTheWayOutAllArriveInAFewRounds) {
    rig.peers.room = 1;
    keep_for_all(1);
    size_t rounds = 0;
    for (; rig.hints.count() > 0 && rounds < 10; ++rounds) {
        courier.kick();
        EXPECT_GE(take_all(), 1u);
    }
    EXPECT_LE(rounds, 8u) << "half of what is left, each time";
}

TEST_F(HintCourierOfManySeatsTest, OneThatFoundNoRoomHoldsUpNoOtherOfItsSeat) {
    rig.peers.room = 1;
    constexpr uint64_t count = 4 * HintCourier::window;
    keep_for(0, count);
    courier.kick();
    EXPECT_GE(take_all(), count / 2);
}

TEST_F(HintCourierOfManySeatsTest, ALargeOneThatIsNeverAnsweredDoesNotTakeEveryTurn) {
    const std::string large = testing::key("large");
    const Dot by = testing::dot(9, 1);
    const std::string value(HintCourier::node_window_bytes + 1, 'v');
    rig.store_here("large", mint({}, {}, testing::write(by, 1, value)));
    keep({.group = testing::the_group, .seat = base::SeatIndex(2), .dot = by, .key = large}, "");
    keep_for(testing::the_group.partition.raw() + 1, 200);
    courier.kick();
    for (int round = 0; round < 20; ++round) {
        while (!under_way().empty()) {
            const testing::Sent one = take_oldest();
            if (one.message.write().key() != large) answer(one, rig.seat(2));
        }
        rig.pass(std::chrono::milliseconds(500));
    }
    EXPECT_EQ(rig.hints.count(), 1u);
}

TEST_F(HintCourierOfManySeatsTest, ASeatThatMovesWhileItWaitsIsServedByItsNewHolder) {
    keep_for_all(1);
    courier.kick();
    ASSERT_EQ(under_way().size(), HintCourier::node_window);
    const base::NodeId other = another_node();
    rig.change_view(
        [&](ClusterView& view) { view.holders[size_t{seats} * view.seat_count - 1] = other; });
    for (size_t left = seats - 1; left > 0; --left)
        answer(take_oldest(), rig.seat(2));
    EXPECT_THAT(under_way(), IsEmpty()) << "the former holder is asked";
    courier.kick();
    const auto sent = rig.take_sent();
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(sent[0].to, other);
}

TEST_F(HintCourierOfManySeatsTest, FewAreReadFromTheDiskAtOnceAndNoneGoesToANodeThatDiedMeanwhile) {
    keep_for_all(1);
    rig.store_rig.engine.is_cold = true;
    courier.kick();
    EXPECT_EQ(rig.store_rig.workers.size(), HintCourier::loads_max);
    rig.set_health(node, PeerHealth::dead);
    rig.settle();
    EXPECT_THAT(rig.take_sent(), IsEmpty());
    rig.set_health(node, PeerHealth::alive);
    courier.kick();
    rig.settle();
    EXPECT_EQ(under_way().size(), HintCourier::node_window);
    EXPECT_EQ(take_all(), size_t{seats});
}

TEST_F(HintCourierOfManySeatsTest, NothingIsSentAfterAStop) {
    keep_for_all(1);
    courier.kick();
    EXPECT_EQ(under_way().size(), HintCourier::node_window);
    rig.store_rig.engine.is_cold = true;
    refuse(take_oldest(), no_owner);
    EXPECT_EQ(rig.store_rig.workers.size(), 1u) << "the next is being read";
    courier.stop();
    rig.settle();
    answer(take_oldest(), rig.seat(2));
    EXPECT_EQ(rig.hints.count(), seats - 1u) << "what was on its way is forgotten in order";
    EXPECT_EQ(under_way().size(), HintCourier::node_window - 2);
}

// References to one record, so that the hints take no room themselves.
struct HintCourierOfLargeHintsTest : HintCourierTest {
    static constexpr uint64_t count = HintCourier::window;

    void keep_all(size_t value_bytes) {
        const Dot by = testing::dot(9, 1);
        rig.store_here("large", mint({}, {}, testing::write(by, 1, std::string(value_bytes, 'v'))));
        for (uint64_t sequence = 1; sequence <= count; ++sequence) {
            keep({.group = testing::the_group,
                  .seat = base::SeatIndex(2),
                  .dot = testing::dot(8, sequence),
                  .key = testing::key("large")},
                 "");
        }
    }
    // The most that were on their way at once.
    size_t deliver_all() {
        courier.kick();
        std::deque<testing::Sent> under_way;
        size_t most = 0;
        size_t delivered = 0;
        const auto look = [&] {
            for (testing::Sent& one : rig.take_sent())
                under_way.push_back(std::move(one));
            most = std::max(most, under_way.size());
            return !under_way.empty();
        };
        for (; look(); ++delivered) {
            const testing::Sent one = std::move(under_way.front());
            under_way.pop_front();
            answer(one, rig.seat(2));
        }
        EXPECT_EQ(delivered, count) << "without another round";
        EXPECT_EQ(rig.hints.count(), 0u);
        return most;
    }
};

TEST_F(HintCourierOfLargeHintsTest, AWindowIsFullWithSoManyBytes) {
    // Beside its value each has its key and its dot.
    keep_all((HintCourier::node_window_bytes / 4) - 1024);
    EXPECT_EQ(deliver_all(), 4u);
}

TEST_F(HintCourierOfLargeHintsTest, FewWaitInMemoryForRoom) {
    keep_all((HintCourier::node_window_bytes / 4) - 1024);
    rig.store_rig.engine.is_cold = true;
    rig.store_rig.engine.gets = 0;
    courier.kick();
    rig.settle();
    const size_t sent = rig.take_sent().size();
    EXPECT_EQ(sent, 4u);
    // The hint, and the record that it refers to.
    EXPECT_LE(rig.store_rig.engine.gets, 2 * (sent + HintCourier::loads_max));
}

TEST_F(HintCourierOfLargeHintsTest, OneThatIsLargerThanTheWindowGoesAlone) {
    keep_all(HintCourier::node_window_bytes + 1);
    EXPECT_EQ(deliver_all(), 1u);
}

TEST_F(HintCourierOfLargeHintsTest, HalfAWindowIsHalfOfItsBytes) {
    keep_all((HintCourier::node_window_bytes / 4) - 1024);
    courier.kick();
    const auto sent = rig.take_sent();
    ASSERT_EQ(sent.size(), 4u);
    for (const testing::Sent& one : sent) {
        refuse(one,
               base::make_error(
                   absl::StatusCode::kResourceExhausted, base::reason::overloaded, "no room"));
    }
    EXPECT_EQ(deliver_all(), 2u);
}

TEST_F(HintCourierTest, OfWhatIsForThisNodeItselfASeatsWindowIsTakenInEachRound) {
    rig.set_holder(2, rig.view->self);
    rig.peers.held.add(base::SeatIndex(2));
    constexpr uint64_t more = 4;
    for (uint64_t sequence = 1; sequence <= HintCourier::window + more; ++sequence) {
        keep(sequence, false);
    }
    courier.kick();
    rig.settle();
    EXPECT_EQ(rig.hints.count(), more);
    courier.kick();
    rig.settle();
    EXPECT_EQ(rig.hints.count(), 0u);
    EXPECT_THAT(rig.take_sent(), IsEmpty());
}

}  // namespace
}  // namespace starling::node
