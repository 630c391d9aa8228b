#include "node/coordinator/coordinator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "node/coordinator/forward_operation.h"
#include "tests/unit/node/coordinator/rig.h"

namespace starling::node {
namespace {

using Kind = peer::ReplicaMessage;
using testing::CoordinatorRig;
using ::testing::IsEmpty;

struct CoordinatorTest : ::testing::Test {
    std::string refusal_of(PutRequest request) {
        const auto outcome = rig.put(std::move(request));
        EXPECT_TRUE(outcome->result.has_value());
        EXPECT_EQ(outcome->calls, 1);
        EXPECT_THAT(rig.take_sent(), IsEmpty());
        EXPECT_THAT(rig.store_rig.engine.batches, IsEmpty());
        EXPECT_EQ(rig.coordinator.operation_count(), 0u);
        EXPECT_EQ(rig.coordinator.inflight_bytes(), 0u);
        return outcome->result.has_value() && !outcome->result->ok()
                   ? base::reason_of(outcome->result->status())
                   : "accepted";
    }
    PutRequest good() { return rig.put_request("k", "value"); }

    CoordinatorRig rig;
};

TEST_F(CoordinatorTest, EveryBadPutIsRefusedWithItsReasonBeforeAnythingIsWritten) {
    PutRequest request = good();
    request.key = "";
    EXPECT_EQ(refusal_of(request), base::reason::key_empty);
    request = good();
    request.key = std::string((64 << 10) + 1, 'k');
    EXPECT_EQ(refusal_of(request), base::reason::key_too_large);
    request = good();
    request.value = std::string((16 << 20) + 1, 'v');
    EXPECT_EQ(refusal_of(request), base::reason::value_too_large);
    request = good();
    request.options.quorum = 4;
    EXPECT_EQ(refusal_of(request), base::reason::invalid_quorum);
    request = good();
    request.request = {};
    EXPECT_EQ(refusal_of(request), base::reason::invalid_request_id);
    request = good();
    request.options.name_space = "nowhere";
    EXPECT_EQ(refusal_of(request), base::reason::unknown_namespace);
    request = good();
    request.context = "a context that nobody issued, long enough to have a tag";
    EXPECT_THAT(refusal_of(request), ::testing::EndsWith("_context"));
    request = good();
    request.expires_ms = request.request.created_ms;
    EXPECT_EQ(refusal_of(request), base::reason::invalid_expiry);
    request.expires_ms = base::to_unix_ms(rig.wall_clock.wall_now()) * 1'000'000;
    EXPECT_EQ(refusal_of(request), base::reason::invalid_expiry);
    request.expires_ms = request.request.created_ms + 1'000;
    request.is_delete = true;
    EXPECT_EQ(refusal_of(request), base::reason::invalid_expiry);
}

TEST_F(CoordinatorTest, ARequestIdFromTheFutureOrOlderThanTheWindowIsRefused) {
    PutRequest request = good();
    request.request.created_ms += 10'001;
    EXPECT_EQ(refusal_of(request), base::reason::clock_drift);
    request.request.created_ms = UINT64_MAX;
    EXPECT_EQ(refusal_of(request), base::reason::clock_drift);
    request = good();
    request.request.created_ms -= 600'001;
    EXPECT_EQ(refusal_of(request), base::reason::request_too_old);
}

TEST_F(CoordinatorTest, ARequestMadeBeforeTheClockWasSetBackIsRefusedAndANewOneIsNot) {
    PutRequest request = good();
    rig.peers.requests_from = request.request.created_ms + 1;
    EXPECT_EQ(refusal_of(request), base::reason::request_too_old);
    request.request.created_ms += 1;
    const auto outcome = rig.put(std::move(request));
    EXPECT_FALSE(outcome->result.has_value()) << "it is under way";
}

TEST_F(CoordinatorTest, AContextIsGoodForItsOwnKeyOnly) {
    PutRequest request = good();
    request.context = rig.put_everywhere("another", "value").context;
    const auto outcome = rig.put(std::move(request));
    ASSERT_TRUE(outcome->result.has_value());
    EXPECT_EQ(base::reason_of(outcome->result->status()), base::reason::forged_context);
}

TEST_F(CoordinatorTest, ANamespaceIsFoundByItsWholeIdOnly) {
    const auto reason_for = [&](const std::string& name) {
        GetRequest request;
        request.key = "k";
        request.options.name_space = name;
        std::string reason = "accepted";
        rig.coordinator.get(std::move(request), [&](const absl::StatusOr<GetResult>& result) {
            reason = base::reason_of(result.status());
        });
        return reason;
    };
    EXPECT_EQ(reason_for("id:0000000000000001"), "accepted");
    EXPECT_EQ(reason_for("id:1 and more"), base::reason::unknown_namespace);
    EXPECT_EQ(reason_for("id:"), base::reason::unknown_namespace);
    EXPECT_EQ(reason_for("id:2"), base::reason::unknown_namespace);
}

TEST_F(CoordinatorTest, ManySmallRequestsMeetTheMemoryLimitToo) {
    CoordinatorOptions options;
    options.inflight_bytes_max = 100'000;
    CoordinatorRig small(3, true, options);
    int refused = 0;
    for (int i = 0; i < 1000; ++i) {
        const auto outcome = small.get("k");
        if (outcome->result.has_value()) {
            EXPECT_EQ(base::reason_of(outcome->result->status()), base::reason::overloaded);
            ++refused;
        }
    }
    EXPECT_GT(refused, 900);
    EXPECT_LE(small.coordinator.inflight_bytes(), 100'000u);
    small.pass(std::chrono::seconds(3));
    EXPECT_EQ(small.coordinator.inflight_bytes(), 0u);
}

TEST_F(CoordinatorTest, ARequestThatIsLargerThanTheWholeShareIsTakenBesideSmallOnes) {
    CoordinatorOptions options;
    options.inflight_bytes_max = 20'000;
    CoordinatorRig small(3, true, options);
    const auto read = small.get("k");
    const auto large = small.put_blind("k", std::string(50'000, 'v'));
    const auto another = small.put_blind("k", std::string(50'000, 'w'));
    ASSERT_TRUE(another->result.has_value());
    EXPECT_EQ(base::reason_of(another->result->status()), base::reason::overloaded);
    EXPECT_FALSE(read->result.has_value() && !read->result->ok());
    EXPECT_FALSE(large->result.has_value() && !large->result->ok());
    small.pass(std::chrono::seconds(3));
    EXPECT_EQ(small.coordinator.inflight_bytes(), 0u);
}

TEST_F(CoordinatorTest, ARequestCountsUntilItsOwnReadOfASlowDiskIsOver) {
    rig.put_everywhere("k", "value");
    rig.store_rig.engine.is_cold = true;
    const auto outcome = rig.get("k");
    rig.store_rig.scheduler.run_for(std::chrono::seconds(3));
    EXPECT_TRUE(outcome->result.has_value());
    EXPECT_EQ(rig.coordinator.operation_count(), 0u);
    EXPECT_GT(rig.coordinator.inflight_bytes(), 0u);
    rig.settle();
    EXPECT_EQ(rig.coordinator.inflight_bytes(), 0u);
}

TEST_F(CoordinatorTest, DeletesThatDoNotKnowOfOneAnotherAreBoundedLikeValues) {
    CoordinatorOptions options;
    options.record_siblings_max = 3;
    CoordinatorRig small(3, true, options);
    const auto remove_unseen = [&] {
        PutRequest request = small.put_request("k", "");
        request.is_delete = true;
        request.context = "";
        const auto outcome = small.put(std::move(request));
        small.settle();
        return outcome;
    };
    for (int i = 0; i < 3; ++i) {
        EXPECT_FALSE(remove_unseen()->result.has_value()) << "it waits for others";
    }
    const auto refused = remove_unseen();
    ASSERT_TRUE(refused->result.has_value());
    EXPECT_EQ(base::reason_of(refused->result->status()), base::reason::too_many_siblings);
    EXPECT_EQ(small.stored("k")->siblings.size(), 3u);
}

TEST_F(CoordinatorTest, AKeyThatRemembersAsManyRequestsAsItMayTakesNoMoreWrites) {
    CoordinatorOptions options;
    options.gone_max = 3;
    CoordinatorRig small(3, true, options);
    for (int i = 0; i < 4; ++i) {
        small.put_everywhere("k", "value");
    }
    ASSERT_EQ(small.stored("k")->gone.size(), 3u);
    const size_t batches = small.store_rig.engine.batches.size();
    const auto outcome = small.put_blind("k", "one more");
    small.settle();
    ASSERT_TRUE(outcome->result.has_value());
    EXPECT_EQ(base::reason_of(outcome->result->status()), base::reason::written_too_often);
    EXPECT_EQ(small.store_rig.engine.batches.size(), batches);
    EXPECT_EQ(small.stored("k")->siblings.front().value, "value");
    small.put_everywhere("another", "value");
}

TEST_F(CoordinatorTest, AGroupThatKeepsAsManyLivesApartAsItMayTakesNoWriteOfAnotherLife) {
    CoordinatorOptions options;
    options.lives_max = 2;
    CoordinatorRig small(3, true, options);
    const Frontier others = testing::frontier({testing::dot(77, 1), testing::dot(78, 1)});
    small.store_rig.store.unite_frontier(testing::the_group, others, [](const absl::Status&) {});
    small.settle();
    const auto refused = small.put_blind("k", "value");
    small.settle();
    ASSERT_TRUE(refused->result.has_value());
    EXPECT_EQ(base::reason_of(refused->result->status()), base::reason::too_many_lives);
    EXPECT_TRUE(small.stored("k")->siblings.empty());

    CoordinatorRig known(3, true, options);
    known.put_everywhere("k", "value");
    known.store_rig.store.unite_frontier(testing::the_group, others, [](const absl::Status&) {});
    known.settle();
    known.put_everywhere("k", "another");
}

TEST_F(CoordinatorTest, ANodeThatStopsTakesNoNewRequest) {
    rig.coordinator.stop_accepting();
    const auto outcome = rig.get("k");
    ASSERT_TRUE(outcome->result.has_value());
    EXPECT_EQ(base::reason_of(outcome->result->status()), base::reason::stopping);
}

TEST_F(CoordinatorTest, ForwardedWritesAreCoordinatedAndAnswered) {
    peer::ReplicaMessage question;
    question.set_partition(0);
    question.set_replicas(3);
    question.set_operation(42);
    PutRequest request = good();
    request.blind = true;
    *question.mutable_forward() = to_message(request, std::chrono::seconds(1));
    const base::NodeId asker(70);
    rig.coordinator.on_message(asker, question);
    rig.settle();
    rig.acknowledge(
        rig.holder(1), rig.only(rig.take_sent(), rig.holder(1), Kind::kWrite), rig.seat(1));
    const auto answer = rig.only(rig.take_sent(), asker, Kind::kForwardReply);
    EXPECT_EQ(answer.operation(), 42u);
    EXPECT_FALSE(answer.forward_reply().has_refusal());
    EXPECT_EQ(answer.forward_reply().seats_answered(), 2u);
}

TEST_F(CoordinatorTest, AForwardedWriteOfAnotherPartitionsKeyIsRefused) {
    peer::ReplicaMessage question;
    question.set_partition(1);
    question.set_replicas(3);
    question.set_operation(42);
    *question.mutable_forward() = to_message(good(), std::chrono::seconds(1));
    rig.coordinator.on_message(base::NodeId(70), question);
    const auto answer = rig.only(rig.take_sent(), base::NodeId(70), Kind::kForwardReply);
    EXPECT_TRUE(absl::IsInvalidArgument(wire::get_refusal(answer.forward_reply().refusal())));
    EXPECT_EQ(rig.coordinator.operation_count(), 0u);
}

TEST_F(CoordinatorTest, AForwardedWriteIsNeverForwardedAgain) {
    CoordinatorRig far(5, /*is_holder=*/false);
    peer::ReplicaMessage question;
    question.set_replicas(3);
    question.set_operation(42);
    *question.mutable_forward() =
        to_message(far.put_request("k", "value"), std::chrono::seconds(1));
    far.coordinator.on_message(base::NodeId(70), question);
    const auto answer = far.only(far.take_sent(), base::NodeId(70), Kind::kForwardReply);
    EXPECT_EQ(base::reason_of(wire::get_refusal(answer.forward_reply().refusal())),
              base::reason::no_owner);
}

// A node without a seat.
struct ForwardOperationTest : ::testing::Test {
    void answer(base::NodeId from, const peer::ReplicaMessage& question, const absl::Status& why) {
        peer::ReplicaMessage reply = rig.answer_to(question);
        *reply.mutable_forward_reply() = to_message(absl::StatusOr<PutResult>(why));
        rig.coordinator.on_message(from, reply);
    }
    CoordinatorRig rig{5, /*is_holder=*/false};
};

TEST_F(ForwardOperationTest, AWriteGoesToOneHolderWhoseAnswerIsTheResult) {
    const auto outcome = rig.put("k", "value");
    const auto sent = rig.take_sent();
    ASSERT_EQ(sent.size(), 1u);
    PutResult result;
    result.dot = testing::dot(3, 4);
    result.context = "token";
    result.receipt.seats_answered = 2;
    peer::ReplicaMessage reply = rig.answer_to(sent[0].message);
    *reply.mutable_forward_reply() = to_message(absl::StatusOr<PutResult>(result));
    rig.coordinator.on_message(sent[0].to, reply);
    ASSERT_TRUE(outcome->result.has_value() && outcome->result->ok());
    EXPECT_EQ((*outcome->result)->dot, testing::dot(3, 4));
    EXPECT_EQ((*outcome->result)->context, "token");
    EXPECT_EQ((*outcome->result)->receipt.coordinator, sent[0].to);
    EXPECT_EQ((*outcome->result)->receipt.forwarded_by, rig.peers.node);
    rig.coordinator.on_message(sent[0].to, reply);
    EXPECT_EQ(outcome->calls, 1);
}

TEST_F(ForwardOperationTest, AHolderThatCannotWriteNowIsFollowedByTheNext) {
    using base::make_error;
    for (const absl::Status& why :
         {make_error(absl::StatusCode::kResourceExhausted, base::reason::disk_full, "not here"),
          make_error(absl::StatusCode::kFailedPrecondition, base::reason::read_only, "not here"),
          make_error(absl::StatusCode::kUnavailable, base::reason::clock_drift, "not here"),
          absl::DataLossError("a table is damaged")}) {
        const auto outcome = rig.put("k", "value");
        const auto first = rig.take_sent();
        ASSERT_EQ(first.size(), 1u);
        answer(first[0].to, first[0].message, why);
        const auto second = rig.take_sent();
        ASSERT_EQ(second.size(), 1u) << why;
        EXPECT_NE(second[0].to, first[0].to) << why;
        EXPECT_FALSE(outcome->result.has_value()) << why;
    }
}

TEST_F(ForwardOperationTest, ARefusingOrSilentHolderIsFollowedByTheNextUnderTheSameRequest) {
    const auto outcome = rig.put("k", "value");
    const auto first = rig.take_sent();
    ASSERT_EQ(first.size(), 1u);
    answer(first[0].to,
           first[0].message,
           base::make_error(absl::StatusCode::kUnavailable, base::reason::no_owner, "moved"));
    const auto second = rig.take_sent();
    ASSERT_EQ(second.size(), 1u);
    EXPECT_NE(second[0].to, first[0].to);
    EXPECT_EQ(second[0].message.forward().request().SerializeAsString(),
              first[0].message.forward().request().SerializeAsString());
    rig.pass(std::chrono::milliseconds(300));
    const auto third = rig.take_sent();
    ASSERT_EQ(third.size(), 1u);
    EXPECT_NE(third[0].to, first[0].to);
    EXPECT_NE(third[0].to, second[0].to);
    EXPECT_FALSE(outcome->result.has_value());
}

TEST_F(ForwardOperationTest, AnErrorThatAnotherHolderWouldRepeatEndsIt) {
    const auto outcome = rig.put("k", "value");
    const auto sent = rig.take_sent();
    answer(sent[0].to,
           sent[0].message,
           base::make_error(
               absl::StatusCode::kResourceExhausted, base::reason::too_many_siblings, "full"));
    ASSERT_TRUE(outcome->result.has_value());
    EXPECT_EQ(base::reason_of(outcome->result->status()), base::reason::too_many_siblings);
    EXPECT_THAT(rig.take_sent(), IsEmpty());
}

TEST_F(ForwardOperationTest, LiveHoldersAreTriedFirst) {
    rig.set_health(rig.holder(0), PeerHealth::dead);
    rig.set_health(rig.holder(1), PeerHealth::dead);
    rig.put("k", "value");
    const auto sent = rig.take_sent();
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(sent[0].to, rig.holder(2));
}

TEST_F(ForwardOperationTest, HoldersThatAllRefuseAreNotAskedInARush) {
    rig.put("k", "value");
    size_t asked = 0;
    for (auto sent = rig.take_sent(); !sent.empty(); sent = rig.take_sent()) {
        ASSERT_LE(++asked, 3u);
        answer(sent[0].to,
               sent[0].message,
               base::make_error(absl::StatusCode::kUnavailable, base::reason::no_owner, "moved"));
    }
    EXPECT_EQ(asked, 3u);
}

TEST_F(ForwardOperationTest, WhereOneMayHaveWrittenARefusalOfAnotherLeavesTheOutcomeOpen) {
    const auto outcome = rig.put("k", "value");
    const auto first = rig.take_sent();
    ASSERT_EQ(first.size(), 1u);
    rig.pass(std::chrono::milliseconds(300));
    const auto second = rig.take_sent();
    ASSERT_EQ(second.size(), 1u);
    answer(first[0].to,
           first[0].message,
           base::make_error(absl::StatusCode::kUnavailable,
                            base::reason::quorum_not_reached,
                            "stopping; the outcome is unknown"));
    EXPECT_FALSE(outcome->result.has_value()) << "the other may know it";
    answer(second[0].to,
           second[0].message,
           base::make_error(
               absl::StatusCode::kResourceExhausted, base::reason::too_many_siblings, "full"));
    ASSERT_TRUE(outcome->result.has_value());
    EXPECT_EQ(base::reason_of(outcome->result->status()), base::reason::quorum_not_reached);
}

TEST_F(ForwardOperationTest, WhatAllHaveRefusedUntilTheDeadlineWasNotWritten) {
    const auto outcome = rig.put("k", "value");
    while (!outcome->result.has_value()) {
        for (const testing::Sent& question : rig.take_sent()) {
            answer(question.to, question.message, absl::DataLossError("a table is damaged"));
        }
        rig.pass(std::chrono::milliseconds(100));
    }
    EXPECT_TRUE(absl::IsDataLoss(outcome->result->status())) << outcome->result->status();
}

TEST_F(ForwardOperationTest, ARefusalThatComesAgainAnswersNoLaterQuestion) {
    const auto outcome = rig.put("k", "value");
    const auto first = rig.take_sent();
    ASSERT_EQ(first.size(), 1u);
    const absl::Status refusal =
        base::make_error(absl::StatusCode::kUnavailable, base::reason::no_owner, "moved");
    answer(first[0].to, first[0].message, refusal);
    bool is_asked_again = false;
    while (!outcome->result.has_value()) {
        for (const testing::Sent& question : rig.take_sent()) {
            const bool is_first = question.to == first[0].to;
            is_asked_again = is_asked_again || is_first;
            answer(question.to, is_first ? first[0].message : question.message, refusal);
        }
        rig.pass(std::chrono::milliseconds(100));
    }
    EXPECT_TRUE(is_asked_again);
    EXPECT_TRUE(absl::IsDeadlineExceeded(outcome->result->status())) << outcome->result->status();
}

TEST_F(ForwardOperationTest, WhatWasWrittenCountsThoughItsQuestionWasRefusedBefore) {
    const auto outcome = rig.put("k", "value");
    const auto first = rig.take_sent();
    ASSERT_EQ(first.size(), 1u);
    answer(first[0].to,
           first[0].message,
           base::make_error(absl::StatusCode::kUnavailable, base::reason::no_owner, "moved"));
    peer::ReplicaMessage reply = rig.answer_to(first[0].message);
    *reply.mutable_forward_reply() = to_message(absl::StatusOr<PutResult>(PutResult{}));
    rig.coordinator.on_message(first[0].to, reply);
    ASSERT_TRUE(outcome->result.has_value());
    EXPECT_TRUE(outcome->result->ok()) << outcome->result->status();
}

TEST_F(ForwardOperationTest, SilenceUntilTheDeadlineLeavesTheOutcomeOpen) {
    const auto outcome = rig.put("k", "value");
    rig.pass(std::chrono::seconds(3));
    ASSERT_TRUE(outcome->result.has_value());
    EXPECT_EQ(outcome->result->status().code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_EQ(base::reason_of(outcome->result->status()), base::reason::deadline)
        << "no_owner would say that nothing was written";
    EXPECT_EQ(rig.coordinator.operation_count(), 0u);
}

TEST_F(ForwardOperationTest, AStopAfterTheWriteWasSentLeavesTheOutcomeOpen) {
    const auto outcome = rig.put("k", "value");
    ASSERT_EQ(rig.take_sent().size(), 1u);
    rig.coordinator.abandon_all(
        base::make_error(absl::StatusCode::kUnavailable, base::reason::stopping, "stopping"));
    ASSERT_TRUE(outcome->result.has_value());
    EXPECT_EQ(base::reason_of(outcome->result->status()), base::reason::quorum_not_reached);
}

TEST_F(ForwardOperationTest, WithNobodyToAskNothingWasWritten) {
    rig.change_view([](ClusterView& view) { view.holders.assign(3, base::NodeId()); });
    const auto outcome = rig.put("k", "value");
    rig.pass(std::chrono::seconds(3));
    ASSERT_TRUE(outcome->result.has_value());
    EXPECT_EQ(outcome->result->status().code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(base::reason_of(outcome->result->status()), base::reason::no_owner);
}

TEST(ForwardMessageTest, ARequestIsReadBackAsWritten) {
    PutRequest request;
    request.options = {
        .name_space = "space", .quorum = 2, .deadline = {}, .sloppy = false, .explain = true};
    request.key = "k";
    request.is_delete = true;
    request.expires_ms = 77;
    request.context = "";
    request.blind = true;
    request.request = {.created_ms = 1, .random_high = 2, .random_low = 3};
    const PutRequest read = from_message(to_message(request, std::chrono::seconds(1)));
    EXPECT_EQ(read.options.name_space, "space");
    EXPECT_EQ(read.options.quorum, 2u);
    EXPECT_EQ(read.options.deadline, std::chrono::seconds(1));
    EXPECT_EQ(read.options.sloppy, false);
    EXPECT_TRUE(read.options.explain);
    EXPECT_TRUE(read.is_delete);
    EXPECT_EQ(read.expires_ms, 77u);
    ASSERT_TRUE(read.context.has_value()) << "an empty context is not an absent one";
    EXPECT_EQ(*read.context, "");
    EXPECT_TRUE(read.blind);
    EXPECT_EQ(read.request, request.request);
    request.context.reset();
    EXPECT_FALSE(from_message(to_message(request, {})).context.has_value());
}

}  // namespace
}  // namespace starling::node
