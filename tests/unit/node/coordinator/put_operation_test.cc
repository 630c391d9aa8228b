#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/node/coordinator/rig.h"

namespace starling::node {
namespace {

using Kind = peer::ReplicaMessage;
using testing::CoordinatorRig;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
using testing::values;

struct PutOperationTest : ::testing::Test {
    // A record that another node's actor wrote.
    static Record theirs(const std::string& value, uint64_t request = 900) {
        return mint({}, {}, testing::write(testing::dot(77, 1), request, value));
    }
    CoordinatorRig rig;
};

TEST_F(PutOperationTest, IsAcknowledgedWhenWSeatsHaveItOnTheirDisks) {
    const auto outcome = rig.put_blind("k", "value");
    const auto sent = rig.take_sent();
    EXPECT_EQ(sent.size(), 2u);
    const auto write = rig.only(sent, rig.holder(1), Kind::kWrite);
    rig.acknowledge(rig.holder(1), write, rig.seat(1));
    EXPECT_FALSE(outcome->result.has_value()) << "its own sync is still to come";
    rig.settle();
    ASSERT_TRUE(outcome->result.has_value());
    ASSERT_TRUE(outcome->result->ok()) << outcome->result->status();
    const PutResult& result = **outcome->result;
    EXPECT_EQ(result.receipt.seats_answered, 2u);
    EXPECT_EQ(result.receipt.nodes_answered, 2u);
    EXPECT_EQ(result.receipt.replicas_total, 3u);
    EXPECT_EQ(result.receipt.coordinator, rig.peers.node);
    EXPECT_FALSE(result.is_repeat);
    EXPECT_EQ(outcome->calls, 1);
}

TEST_F(PutOperationTest, AsksAndWritesToThoseWhoLiveFirst) {
    rig.set_health(rig.holder(1), PeerHealth::dead);
    const auto receivers = [this](peer::ReplicaMessage::BodyCase kind) {
        std::vector<base::NodeId> nodes;
        for (const testing::Sent& sent : rig.take_sent()) {
            if (sent.message.body_case() == kind) nodes.push_back(sent.to);
        }
        return nodes;
    };
    const auto asking = rig.put("k", "value");
    rig.settle();
    EXPECT_THAT(receivers(peer::ReplicaMessage::kRead), ElementsAre(rig.holder(2), rig.holder(1)));
    const auto writing = rig.put_blind("another", "value");
    rig.settle();
    EXPECT_THAT(receivers(peer::ReplicaMessage::kWrite), ElementsAre(rig.holder(2), rig.holder(1)));
    rig.pass(CoordinatorOptions{}.hint_after);
    EXPECT_THAT(receivers(peer::ReplicaMessage::kWrite), ElementsAre(rig.holder(2), rig.holder(1)));
}

TEST_F(PutOperationTest, AnAckThatIsRepeatedOrSpeaksForNoSeatDoesNotCount) {
    rig.store_rig.engine.sync_error = absl::DataLossError("the disk failed");
    const auto outcome = rig.put_blind("k", "value");
    const auto write = rig.only(rig.take_sent(), rig.holder(1), Kind::kWrite);
    rig.settle();
    rig.acknowledge(rig.holder(1), write, rig.seat(1));
    rig.acknowledge(rig.holder(1), write, rig.seat(1));
    rig.acknowledge(rig.holder(2), write, {});
    EXPECT_FALSE(outcome->result.has_value());
}

TEST_F(PutOperationTest, ADiskThatFailsHereDoesNotFailAPutThatEnoughOthersHave) {
    rig.store_rig.engine.sync_error = absl::DataLossError("the disk failed");
    const auto outcome = rig.put_blind("k", "value");
    const auto sent = rig.take_sent();
    rig.settle();
    EXPECT_FALSE(outcome->result.has_value());
    for (const uint8_t index : {uint8_t{1}, uint8_t{2}}) {
        rig.acknowledge(
            rig.holder(index), rig.only(sent, rig.holder(index), Kind::kWrite), rig.seat(index));
    }
    ASSERT_TRUE(outcome->result.has_value());
    EXPECT_TRUE(outcome->result->ok());
}

// Its own read waits for a sync that the mint does not wait for.
TEST_F(PutOperationTest, AnOwnReadThatFailsAfterTheMintDoesNotFailThePut) {
    rig.put_blind("k", "first");
    rig.take_sent();
    const auto outcome = rig.put("k", "second");
    rig.store_rig.scheduler.run_for(std::chrono::milliseconds(300));
    const auto asked = rig.take_sent();
    for (const testing::Sent& one : asked) {
        if (one.to == rig.holder(1) && one.message.has_read()) {
            rig.answer_read(one.to, one.message, rig.seat(1), {});
            break;
        }
    }
    const auto sent = rig.take_sent();
    ASSERT_EQ(rig.count(sent, Kind::kWrite), 2u) << "it is minted";
    rig.store_rig.engine.sync_error = absl::DataLossError("the disk failed");
    rig.settle();
    EXPECT_FALSE(outcome->result.has_value()) << outcome->result->status();
    for (const uint8_t index : {uint8_t{1}, uint8_t{2}}) {
        rig.acknowledge(
            rig.holder(index), rig.only(sent, rig.holder(index), Kind::kWrite), rig.seat(index));
    }
    ASSERT_TRUE(outcome->result.has_value());
    EXPECT_TRUE(outcome->result->ok());
}

TEST_F(PutOperationTest, WhoLacksWritesOfItsOwnMintsNoneUntilTheyAreHere) {
    const auto first = rig.put_blind("k", "value");
    rig.settle();
    ReplicaStore& store = rig.store_rig.store;
    const GroupId group = store.groups().front();
    const Frontier before = store.frontier(group);
    bool dropped = false;
    store.drop(group, [&](const absl::Status& status) { dropped = status.ok(); });
    rig.settle();
    ASSERT_TRUE(dropped);

    const auto refused = rig.put_blind("k", "other");
    rig.settle();
    ASSERT_TRUE(refused->result.has_value());
    EXPECT_EQ(refused->result->status().code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(std::string(refused->result->status().message()), HasSubstr("wrote itself"));

    store.unite_frontier(group, before, [](const absl::Status&) {});
    rig.settle();
    rig.take_sent();
    rig.put_blind("k", "other");
    EXPECT_EQ(rig.count(rig.take_sent(), Kind::kWrite), 2u);
}

TEST_F(PutOperationTest, APutWithoutContextAsksBeforeItMints) {
    const auto outcome = rig.put("k", "new");
    rig.settle();
    auto sent = rig.take_sent();
    EXPECT_EQ(rig.count(sent, Kind::kRead), 2u);
    EXPECT_EQ(rig.count(sent, Kind::kWrite), 0u);
    EXPECT_THAT(rig.store_rig.engine.batches, IsEmpty());

    rig.answer_read(
        rig.holder(1), rig.only(sent, rig.holder(1), Kind::kRead), rig.seat(1), theirs("old"));
    rig.settle();
    sent = rig.take_sent();
    EXPECT_EQ(rig.count(sent, Kind::kWrite), 2u);
    const auto write = rig.only(sent, rig.holder(2), Kind::kWrite);
    const auto record = decode_record(write.write().record());
    ASSERT_TRUE(record.ok());
    EXPECT_THAT(values(*record), ElementsAre("new")) << "what was acknowledged before is replaced";
    EXPECT_TRUE(record->is_gone(testing::request(900)));
    EXPECT_FALSE(outcome->result.has_value());
    rig.acknowledge(rig.holder(2), write, rig.seat(2));
    ASSERT_TRUE(outcome->result.has_value());
    EXPECT_TRUE(outcome->result->ok());
}

// What was acknowledged with the namespace's W may be on the two others.
TEST_F(PutOperationTest, APutThatWaitsForAllAsksAsManyAsOthers) {
    PutRequest request = rig.put_request("k", "new");
    request.options.quorum = 3;
    const auto outcome = rig.put(std::move(request));
    rig.settle();
    auto sent = rig.take_sent();
    EXPECT_EQ(rig.count(sent, Kind::kWrite), 0u);
    rig.answer_read(
        rig.holder(1), rig.only(sent, rig.holder(1), Kind::kRead), rig.seat(1), theirs("old"));
    rig.settle();
    sent = rig.take_sent();
    const auto record = decode_record(rig.only(sent, rig.holder(2), Kind::kWrite).write().record());
    ASSERT_TRUE(record.ok());
    EXPECT_THAT(values(*record), ElementsAre("new"));
}

TEST_F(PutOperationTest, AnExchangeThatTooFewAnswerMintsNothing) {
    const auto outcome = rig.put("k", "value");
    rig.pass(std::chrono::seconds(3));
    ASSERT_TRUE(outcome->result.has_value());
    EXPECT_EQ(outcome->result->status().code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(base::reason_of(outcome->result->status()), base::reason::quorum_not_reached);
    EXPECT_EQ(rig.count(rig.take_sent(), Kind::kWrite), 0u);
    EXPECT_THAT(rig.store_rig.engine.batches, IsEmpty());
    EXPECT_EQ(rig.coordinator.operation_count(), 0u);
    EXPECT_EQ(rig.coordinator.inflight_bytes(), 0u);
}

TEST_F(PutOperationTest, ABlindPutSupersedesWhatItsReplicaHolds) {
    rig.put_everywhere("k", "old");
    rig.put_everywhere("k", "new");
    EXPECT_THAT(values(*rig.stored("k")), ElementsAre("new"));
}

TEST_F(PutOperationTest, APutWithAContextSupersedesExactlyWhatThatSaw) {
    const PutResult first = rig.put_everywhere("k", "seen");
    PutRequest request = rig.put_request("k", "beside");
    request.context = "";
    rig.put(std::move(request));
    rig.settle();
    EXPECT_THAT(values(*rig.stored("k")), UnorderedElementsAre("seen", "beside"));
    request = rig.put_request("k", "after");
    request.context = first.context;
    rig.put(std::move(request));
    rig.settle();
    EXPECT_THAT(values(*rig.stored("k")), UnorderedElementsAre("beside", "after"));
}

TEST_F(PutOperationTest, TheContextAPutReturnsReplacesTheWrite) {
    PutResult last = rig.put_everywhere("k", "one");
    for (const char* value : {"two", "three"}) {
        PutRequest request = rig.put_request("k", value);
        request.context = last.context;
        const auto outcome = rig.put(std::move(request));
        rig.settle();
        const auto sent = rig.take_sent();
        rig.acknowledge(rig.holder(1), rig.only(sent, rig.holder(1), Kind::kWrite), rig.seat(1));
        ASSERT_TRUE(outcome->result.has_value() && outcome->result->ok());
        last = **outcome->result;
    }
    EXPECT_THAT(values(*rig.stored("k")), ElementsAre("three"));
}

TEST_F(PutOperationTest, TheContextAPutReturnsCoversNoSiblingItsClientHasNotSeen) {
    rig.put_everywhere("k", "unseen");
    PutRequest request = rig.put_request("k", "mine");
    request.context = "";
    auto outcome = rig.put(std::move(request));
    rig.settle();
    auto sent = rig.take_sent();
    rig.acknowledge(rig.holder(1), rig.only(sent, rig.holder(1), Kind::kWrite), rig.seat(1));
    ASSERT_TRUE(outcome->result.has_value() && outcome->result->ok());
    request = rig.put_request("k", "mine again");
    request.context = (*outcome->result)->context;
    rig.put(std::move(request));
    rig.settle();
    EXPECT_THAT(values(*rig.stored("k")), UnorderedElementsAre("unseen", "mine again"));
}

TEST_F(PutOperationTest, ARetryOfAKnownRequestMintsNothingAndAnswersWithTheFirstDot) {
    PutRequest request = rig.put_request("k", "value");
    request.blind = true;
    const auto first = rig.put(request);
    rig.settle();
    rig.acknowledge(
        rig.holder(1), rig.only(rig.take_sent(), rig.holder(1), Kind::kWrite), rig.seat(1));
    ASSERT_TRUE(first->result.has_value() && first->result->ok());
    const auto again = rig.put(request);
    rig.settle();
    const auto sent = rig.take_sent();
    rig.acknowledge(rig.holder(2), rig.only(sent, rig.holder(2), Kind::kWrite), rig.seat(2));
    ASSERT_TRUE(again->result.has_value() && again->result->ok());
    EXPECT_TRUE((*again->result)->is_repeat);
    EXPECT_EQ((*again->result)->dot, (*first->result)->dot);
    EXPECT_EQ((*again->result)->time, (*first->result)->time);
    EXPECT_EQ(rig.stored("k")->siblings.size(), 1u);
    EXPECT_EQ(rig.store_rig.store.upcoming_sequence(testing::the_group), 2u);
}

TEST_F(PutOperationTest, TheContextOfARepeatNamesWhatTheFirstTryHid) {
    PutRequest ahead = rig.put_request("k", "of a clock that is ahead");
    ahead.request.created_ms += 3000;
    ahead.blind = true;
    rig.put(ahead);
    rig.settle();
    PutRequest request = rig.put_request("k", "value");
    request.blind = true;
    rig.put(request);
    rig.settle();
    rig.take_sent();
    const auto again = rig.put(request);
    rig.settle();
    rig.acknowledge(
        rig.holder(1), rig.only(rig.take_sent(), rig.holder(1), Kind::kWrite), rig.seat(1));
    ASSERT_TRUE(again->result.has_value() && again->result->ok());
    ASSERT_TRUE((*again->result)->is_repeat);
    const auto seen = rig.sealer.open(base::default_namespace_id, "k", (*again->result)->context);
    ASSERT_TRUE(seen.ok());
    EXPECT_TRUE(seen->has_seen(request.request));
    EXPECT_TRUE(seen->has_seen(ahead.request));
}

TEST_F(PutOperationTest, ARequestThatAgesWhileItWaitsForTheDiskIsNotMinted) {
    PutRequest request = rig.put_request("k", "value");
    request.blind = true;
    rig.store_rig.engine.is_cold = true;
    const auto outcome = rig.put(request);
    rig.peers.requests_from = request.request.created_ms + 1;
    rig.settle();
    ASSERT_TRUE(outcome->result.has_value());
    EXPECT_EQ(base::reason_of(outcome->result->status()), base::reason::request_too_old);
    EXPECT_EQ(rig.store_rig.store.upcoming_sequence(testing::the_group), 1u);
}

TEST_F(PutOperationTest, ARetryOfASupersededRequestDoesNotBringItBack) {
    PutRequest request = rig.put_request("k", "value");
    request.blind = true;
    rig.put(request);
    rig.settle();
    rig.put_everywhere("k", "after");
    rig.take_sent();
    const auto again = rig.put(request);
    rig.settle();
    rig.acknowledge(
        rig.holder(1), rig.only(rig.take_sent(), rig.holder(1), Kind::kWrite), rig.seat(1));
    ASSERT_TRUE(again->result.has_value() && again->result->ok());
    EXPECT_TRUE((*again->result)->is_repeat);
    EXPECT_THAT(values(*rig.stored("k")), ElementsAre("after"));
}

TEST_F(PutOperationTest, ARetryThatTheExchangeFindsElsewhereMintsNothing) {
    PutRequest request = rig.put_request("k", "value");
    Record elsewhere;
    NewWrite write = testing::write(testing::dot(77, 1), 1, "value");
    write.request = request.request;
    elsewhere = mint(elsewhere, {}, std::move(write));
    const auto outcome = rig.put(request);
    rig.settle();
    rig.answer_read(rig.holder(1),
                    rig.only(rig.take_sent(), rig.holder(1), Kind::kRead),
                    rig.seat(1),
                    elsewhere);
    rig.settle();
    rig.acknowledge(
        rig.holder(2), rig.only(rig.take_sent(), rig.holder(2), Kind::kWrite), rig.seat(2));
    ASSERT_TRUE(outcome->result.has_value() && outcome->result->ok());
    EXPECT_TRUE((*outcome->result)->is_repeat);
    EXPECT_EQ((*outcome->result)->dot, testing::dot(77, 1));
    EXPECT_EQ(rig.store_rig.store.upcoming_sequence(testing::the_group), 1u);
}

TEST_F(PutOperationTest, AHolderThatTheViewBringsMidWayIsAskedToo) {
    const auto outcome = rig.put_blind("k", "value");
    rig.settle();
    rig.take_sent();
    const base::NodeId newcomer(50);
    rig.set_holder(1, newcomer);
    const auto write = rig.only(rig.take_sent(), newcomer, Kind::kWrite);
    rig.acknowledge(newcomer, write, rig.seat(1));
    ASSERT_TRUE(outcome->result.has_value());
    EXPECT_TRUE(outcome->result->ok());
}

TEST_F(PutOperationTest, AHolderThatTheViewBringsDuringTheExchangeIsAskedForItsRecord) {
    rig.put("k", "value");
    rig.settle();
    rig.take_sent();
    const base::NodeId newcomer(50);
    rig.set_holder(1, newcomer);
    const auto sent = rig.take_sent();
    EXPECT_EQ(sent.size(), 1u);
    rig.only(sent, newcomer, Kind::kRead);
}

TEST_F(PutOperationTest, ASeatGivenAwayBeforeMintingRefusesThePut) {
    rig.store_rig.engine.is_cold = true;
    const auto outcome = rig.put_blind("k", "value");
    rig.peers.held = {};
    rig.settle();
    ASSERT_TRUE(outcome->result.has_value());
    EXPECT_EQ(base::reason_of(outcome->result->status()), base::reason::no_owner);
    EXPECT_THAT(rig.store_rig.engine.batches, IsEmpty());
}

TEST_F(PutOperationTest, ASilentHolderIsSentTheWriteAgain) {
    rig.put_blind("k", "value");
    rig.settle();
    rig.take_sent();
    rig.pass(std::chrono::milliseconds(300));
    EXPECT_EQ(rig.count(rig.take_sent(), Kind::kWrite), 2u);
}

TEST_F(PutOperationTest, TheDeadlineLeavesTheOutcomeOpenAndSaysSoOnce) {
    const auto outcome = rig.put_blind("k", "value");
    const auto write = rig.only(rig.take_sent(), rig.holder(1), Kind::kWrite);
    rig.pass(std::chrono::seconds(3));
    ASSERT_TRUE(outcome->result.has_value());
    EXPECT_EQ(outcome->result->status().code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_EQ(base::reason_of(outcome->result->status()), base::reason::quorum_not_reached);
    EXPECT_EQ(rig.hints.count(), 2u) << "noted for both silent holders";
    EXPECT_EQ(rig.coordinator.operation_count(), 0u);
    // A late answer finds nobody.
    rig.acknowledge(rig.holder(1), write, rig.seat(1));
    EXPECT_EQ(outcome->calls, 1);
}

// The timer is late.
TEST_F(PutOperationTest, AnAnswerThatComesAfterTheDeadlineDoesNotCount) {
    const auto outcome = rig.put_blind("k", "value");
    rig.settle();
    const auto write = rig.only(rig.take_sent(), rig.holder(1), Kind::kWrite);
    rig.store_rig.process.pause();
    rig.store_rig.scheduler.run_for(std::chrono::seconds(3));
    rig.acknowledge(rig.holder(1), write, rig.seat(1));
    EXPECT_FALSE(outcome->result.has_value());
    rig.store_rig.process.resume();
    rig.settle();
    ASSERT_TRUE(outcome->result.has_value());
    EXPECT_EQ(outcome->result->status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(PutOperationTest, ADeadlineWhileTheDiskIsReadMintsNothingAfterwards) {
    rig.store_rig.engine.is_cold = true;
    const auto outcome = rig.put_blind("k", "value");
    rig.store_rig.scheduler.run_for(std::chrono::seconds(3));
    ASSERT_TRUE(outcome->result.has_value());
    EXPECT_EQ(outcome->result->status().code(), absl::StatusCode::kDeadlineExceeded);
    rig.settle();
    EXPECT_THAT(rig.store_rig.engine.batches, IsEmpty());
}

TEST_F(PutOperationTest, AHolderThatIsMissedAfterTheAnswerGetsAHintWhenTheDeadlineIsNear) {
    PutRequest request = rig.put_request("k", "value");
    request.blind = true;
    request.options.deadline = std::chrono::milliseconds(100);
    const auto outcome = rig.put(std::move(request));
    rig.settle();
    rig.acknowledge(
        rig.holder(1), rig.only(rig.take_sent(), rig.holder(1), Kind::kWrite), rig.seat(1));
    ASSERT_TRUE(outcome->result.has_value());
    rig.pass(std::chrono::milliseconds(110));
    EXPECT_EQ(rig.coordinator.operation_count(), 0u);
    EXPECT_EQ(rig.hints.count(), 1u);
}

TEST_F(PutOperationTest, AHolderThatIsMissedAfterTheAnswerGetsAHint) {
    const auto outcome = rig.put_blind("k", "value");
    rig.settle();
    rig.acknowledge(
        rig.holder(1), rig.only(rig.take_sent(), rig.holder(1), Kind::kWrite), rig.seat(1));
    ASSERT_TRUE(outcome->result.has_value());
    EXPECT_EQ(rig.hints.count(), 0u);
    EXPECT_EQ(rig.coordinator.operation_count(), 1u) << "it waits for the third a little longer";
    rig.pass(std::chrono::milliseconds(300));
    EXPECT_EQ(rig.hints.count(), 1u);
    EXPECT_EQ(rig.hints.owners().front().seat, base::SeatIndex(2));
    EXPECT_EQ(rig.coordinator.operation_count(), 0u);
}

TEST_F(PutOperationTest, AHolderForWhichNoHintFitsIsToldThatItMissedTheWrite) {
    bool is_full = false;
    for (uint64_t sequence = 1; !is_full; ++sequence) {
        rig.hints.keep({.group = testing::the_group,
                        .seat = base::SeatIndex(1),
                        .dot = {.actor = testing::actor(9), .sequence = sequence},
                        .key = "another"},
                       std::string(sequence == 1 ? rig.hint_bytes_max - 1000 : 0, 'x'),
                       [&](const absl::Status& status) { is_full = !status.ok(); });
    }
    const size_t others = rig.hints.count();
    rig.put_blind("k", "value");
    rig.settle();
    rig.acknowledge(
        rig.holder(1), rig.only(rig.take_sent(), rig.holder(1), Kind::kWrite), rig.seat(1));
    EXPECT_THAT(rig.peers.told, IsEmpty());
    rig.pass(std::chrono::milliseconds(300));
    EXPECT_EQ(rig.hints.count(), others);
    EXPECT_THAT(rig.peers.told, ElementsAre(std::pair(testing::the_group, rig.holder(2))));
}

TEST_F(PutOperationTest, AWriteTheEngineRefusesUsesNoSequenceAndIsSentToNobody) {
    rig.store_rig.engine.write_error = absl::UnavailableError("stalled");
    const auto outcome = rig.put_blind("k", "value");
    rig.settle();
    ASSERT_TRUE(outcome->result.has_value());
    EXPECT_TRUE(absl::IsUnavailable(outcome->result->status()));
    EXPECT_EQ(rig.store_rig.store.upcoming_sequence(testing::the_group), 1u);
    EXPECT_THAT(rig.take_sent(), IsEmpty());
    rig.store_rig.engine.write_error = absl::OkStatus();
    EXPECT_EQ(rig.put_everywhere("k", "value").dot.sequence, 1u);
    EXPECT_EQ(rig.store_rig.store.frontier(testing::the_group).gap_count(), 0u);
}

TEST_F(PutOperationTest, TooManySiblingsRefuseAWriteAndLeaveNoDot) {
    for (int i = 0; i < 4; ++i) {
        PutRequest request = rig.put_request("k", std::to_string(i));
        request.context = "";
        rig.put(std::move(request));
    }
    rig.settle();
    PutRequest request = rig.put_request("k", "one too many");
    request.context = "";
    const auto outcome = rig.put(std::move(request));
    rig.settle();
    ASSERT_TRUE(outcome->result.has_value());
    EXPECT_EQ(base::reason_of(outcome->result->status()), base::reason::too_many_siblings);
    EXPECT_EQ(rig.stored("k")->siblings.size(), 4u);
    EXPECT_EQ(rig.store_rig.store.upcoming_sequence(testing::the_group), 5u);
}

TEST(PutOperationLimitTest, SiblingsThatFitNoFrameTogetherAreRefusedAndLeaveNoDot) {
    CoordinatorRig rig(3, /*is_holder=*/true, {.record_bytes_max = 2000});
    const auto put = [&rig](const std::string& value) {
        PutRequest request = rig.put_request("k", value);
        request.context = "";
        const auto outcome = rig.put(std::move(request));
        rig.settle();
        return outcome;
    };
    put(std::string(3000, 'a'));
    ASSERT_EQ(rig.stored("k")->siblings.size(), 1u) << "alone it is within the limit of a value";
    const auto outcome = put("b");
    ASSERT_TRUE(outcome->result.has_value());
    EXPECT_EQ(base::reason_of(outcome->result->status()), base::reason::too_many_siblings);
    EXPECT_EQ(rig.stored("k")->siblings.size(), 1u);
    EXPECT_EQ(rig.store_rig.store.upcoming_sequence(testing::the_group), 2u);
}

TEST_F(PutOperationTest, ANodeThatStopsEndsWhatIsUnderWayOnce) {
    const auto outcome = rig.put_blind("k", "value");
    rig.coordinator.abandon_all(absl::UnavailableError("stopping"));
    EXPECT_EQ(outcome->calls, 1);
    EXPECT_TRUE(absl::IsUnavailable(outcome->result->status()));
    rig.settle();
    EXPECT_EQ(outcome->calls, 1);
    EXPECT_EQ(rig.coordinator.operation_count(), 0u);
}

TEST_F(PutOperationTest, AStopWhileOthersMayHaveTheWriteLeavesTheOutcomeOpen) {
    const absl::Status stopping =
        base::make_error(absl::StatusCode::kUnavailable, base::reason::stopping, "stopping");
    const auto written = rig.put_blind("k", "value");
    rig.settle();
    const auto exchanging = rig.put("other", "value");
    rig.coordinator.abandon_all(stopping);
    ASSERT_TRUE(written->result.has_value() && exchanging->result.has_value());
    EXPECT_EQ(base::reason_of(written->result->status()), base::reason::quorum_not_reached);
    EXPECT_EQ(base::reason_of(exchanging->result->status()), base::reason::stopping);
}

// Five members: two can stand in.
struct PutOperationHintTest : ::testing::Test {
    CoordinatorRig rig{5};
};

TEST_F(PutOperationHintTest, AStandInIsAskedAtOnceForAHolderKnownToBeDead) {
    rig.set_health(rig.holder(2), PeerHealth::dead);
    const auto outcome = rig.put_blind("k", "value");
    rig.settle();
    const auto sent = rig.take_sent();
    ASSERT_EQ(rig.count(sent, Kind::kHint), 1u);
    const base::NodeId stand_in = rig.stand_ins().front();
    const auto hint = rig.only(sent, stand_in, Kind::kHint);
    EXPECT_EQ(hint.hint().seat(), 2u);
    rig.answer_hint(stand_in, hint);
    ASSERT_TRUE(outcome->result.has_value() && outcome->result->ok());
    EXPECT_EQ((*outcome->result)->receipt.seats_answered, 2u);
    EXPECT_EQ((*outcome->result)->receipt.seats_hinted, 1u);
}

TEST_F(PutOperationHintTest, NeitherHintNorRepeatIsSentOfWhatIsNotDurableHere) {
    rig.set_health(rig.holder(2), PeerHealth::dead);
    rig.store_rig.engine.sync_error = absl::UnavailableError("no disk");
    PutRequest request = rig.put_request("k", "value");
    request.blind = true;
    rig.put(request);
    rig.settle();
    const auto sent = rig.take_sent();
    EXPECT_EQ(rig.count(sent, Kind::kWrite), 2u);
    EXPECT_EQ(rig.count(sent, Kind::kHint), 0u);
    rig.put(request);
    rig.settle();
    EXPECT_THAT(rig.take_sent(), IsEmpty());
}

TEST_F(PutOperationHintTest, AStrictPutDoesNotCountStandIns) {
    rig.set_health(rig.holder(1), PeerHealth::dead);
    rig.set_health(rig.holder(2), PeerHealth::dead);
    PutRequest request = rig.put_request("k", "value");
    request.blind = true;
    request.options.sloppy = false;
    const auto outcome = rig.put(std::move(request));
    rig.settle();
    EXPECT_EQ(rig.count(rig.take_sent(), Kind::kHint), 0u);
    EXPECT_EQ(rig.hints.count(), 2u) << "noted here, where they do not count";
    EXPECT_FALSE(outcome->result.has_value());
}

TEST_F(PutOperationHintTest, AStandInThatRefusesIsReplacedByTheNext) {
    rig.set_health(rig.holder(2), PeerHealth::dead);
    rig.put_blind("k", "value");
    rig.settle();
    const std::vector<base::NodeId> stand_ins = rig.stand_ins();
    ASSERT_EQ(stand_ins.size(), 2u);
    const auto first = rig.only(rig.take_sent(), stand_ins[0], Kind::kHint);
    rig.answer_hint(stand_ins[0], first, absl::ResourceExhaustedError("full"));
    const auto second = rig.only(rig.take_sent(), stand_ins[1], Kind::kHint);
    EXPECT_EQ(second.hint().seat(), 2u);
    rig.answer_hint(stand_ins[1], second, absl::ResourceExhaustedError("full"));
    EXPECT_EQ(rig.hints.count(), 1u) << "nobody is left but the coordinator";
}

TEST_F(PutOperationHintTest, AStandInThatStaysSilentIsReplacedByTheNext) {
    rig.set_health(rig.holder(1), PeerHealth::dead);
    rig.set_health(rig.holder(2), PeerHealth::dead);
    PutRequest request = rig.put_request("k", "value");
    request.blind = true;
    const auto outcome = rig.put(std::move(request));
    rig.settle();
    EXPECT_EQ(rig.count(rig.take_sent(), Kind::kHint), 2u);
    rig.pass(std::chrono::milliseconds(300));
    rig.take_sent();
    EXPECT_EQ(rig.hints.count(), 2u);
    EXPECT_FALSE(outcome->result.has_value());
}

TEST_F(PutOperationHintTest, AnAcknowledgedPutWaitsForTheStandInsThatItAsksLast) {
    const auto outcome = rig.put_blind("k", "value");
    rig.settle();
    rig.acknowledge(
        rig.holder(1), rig.only(rig.take_sent(), rig.holder(1), Kind::kWrite), rig.seat(1));
    ASSERT_TRUE(outcome->result.has_value() && outcome->result->ok());
    rig.pass(std::chrono::milliseconds(300));
    const std::vector<base::NodeId> stand_ins = rig.stand_ins();
    const auto first = rig.only(rig.take_sent(), stand_ins[0], Kind::kHint);
    rig.answer_hint(stand_ins[0], first, absl::ResourceExhaustedError("full"));
    const auto second = rig.only(rig.take_sent(), stand_ins[1], Kind::kHint);
    rig.answer_hint(stand_ins[1], second, absl::ResourceExhaustedError("full"));
    EXPECT_EQ(rig.hints.count(), 1u);
    rig.pass(std::chrono::seconds(1));
    EXPECT_EQ(rig.coordinator.operation_count(), 0u);
}

TEST_F(PutOperationHintTest, WhatEndsBeforeAStandInAnswersIsNotedHere) {
    for (const bool is_stopped : {false, true}) {
        PutRequest request = rig.put_request(is_stopped ? "stopped" : "late", "value");
        request.blind = true;
        rig.put(request);
        rig.settle();
        rig.acknowledge(
            rig.holder(1), rig.only(rig.take_sent(), rig.holder(1), Kind::kWrite), rig.seat(1));
        rig.pass(std::chrono::milliseconds(300));
        ASSERT_EQ(rig.count(rig.take_sent(), Kind::kHint), 1u);
        const uint64_t before = rig.hints.count();
        if (is_stopped) {
            rig.coordinator.abandon_all(
                base::make_error(absl::StatusCode::kUnavailable, base::reason::stopping, "stop"));
        } else {
            rig.pass(std::chrono::seconds(5));
        }
        EXPECT_EQ(rig.hints.count(), before + 1);
        rig.take_sent();
    }
}

TEST_F(PutOperationHintTest, AnAnswerForAHintThatWasNotGivenCountsForNothing) {
    const auto outcome = rig.put_blind("k", "value");
    rig.settle();
    auto question = rig.only(rig.take_sent(), rig.holder(1), Kind::kWrite);
    question.mutable_hint()->set_seat(2);
    rig.answer_hint(base::NodeId(99), question);
    question.mutable_hint()->set_seat(200);
    rig.answer_hint(rig.stand_ins().front(), question);
    EXPECT_FALSE(outcome->result.has_value());
}

}  // namespace
}  // namespace starling::node
