// What requests make of replicas that refuse because they have no room: they count for nothing, are
// asked again, and the request succeeds with the others.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/node/coordinator/rig.h"

namespace starling::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Kind = peer::ReplicaMessage;
using testing::CoordinatorRig;

absl::Status overloaded() {
    return base::make_error(
        absl::StatusCode::kResourceExhausted, base::reason::overloaded, "no room");
}

struct RefusalTest : ::testing::Test {
    void refuse(base::NodeId from, const peer::ReplicaMessage& question) {
        peer::ReplicaMessage answer = CoordinatorRig::answer_to(question);
        peer::Refusal& refusal = question.has_write()
                                     ? *answer.mutable_write_reply()->mutable_refusal()
                                     : *answer.mutable_read_reply()->mutable_refusal();
        wire::set_refusal(refusal, overloaded());
        rig.coordinator.on_message(from, answer);
    }
    static const ReplicaOutcome* outcome_of(const Receipt& receipt, base::NodeId node) {
        for (const ReplicaOutcome& outcome : receipt.replicas) {
            if (outcome.node == node) {
                return &outcome;
            }
        }
        return nullptr;
    }

    CoordinatorRig rig;
};

TEST_F(RefusalTest, AnOverloadedReplicaIsNoAckAndAPutSucceedsWithTheOthers) {
    PutRequest request = rig.put_request("k", "value");
    request.blind = true;
    request.options.explain = true;
    const auto outcome = rig.put(std::move(request));
    rig.settle();
    const auto sent = rig.take_sent();
    refuse(rig.holder(1), CoordinatorRig::only(sent, rig.holder(1), Kind::kWrite));
    EXPECT_FALSE(outcome->result.has_value()) << "this node and a refusal are no two acks";
    rig.acknowledge(rig.holder(2),
                    CoordinatorRig::only(sent, rig.holder(2), Kind::kWrite),
                    CoordinatorRig::seat(2));
    ASSERT_TRUE(outcome->result.has_value() && outcome->result->ok());
    const Receipt& receipt = (*outcome->result)->receipt;
    EXPECT_EQ(receipt.seats_answered, 2u);
    const ReplicaOutcome* refused = outcome_of(receipt, rig.holder(1));
    ASSERT_NE(refused, nullptr);
    EXPECT_EQ(refused->state, ReplicaState::refused);
    EXPECT_THAT(refused->detail, ::testing::HasSubstr("no room"));
}

TEST_F(RefusalTest, AnOverloadedReplicaIsSentTheWriteAgainAndMayThenCount) {
    const auto outcome = rig.put_blind("k", "value");
    rig.settle();
    auto sent = rig.take_sent();
    refuse(rig.holder(1), CoordinatorRig::only(sent, rig.holder(1), Kind::kWrite));
    refuse(rig.holder(2), CoordinatorRig::only(sent, rig.holder(2), Kind::kWrite));
    rig.pass(milliseconds(300));
    EXPECT_FALSE(outcome->result.has_value());
    sent = rig.take_sent();
    rig.acknowledge(rig.holder(1),
                    CoordinatorRig::only(sent, rig.holder(1), Kind::kWrite),
                    CoordinatorRig::seat(1));
    EXPECT_TRUE(outcome->result.has_value() && outcome->result->ok());
}

TEST_F(RefusalTest, WhenTooManyReplicasAreOverloadedThePutsOutcomeIsUnknown) {
    const auto outcome = rig.put_blind("k", "value");
    rig.settle();
    for (int i = 0; i < 10 && !outcome->result.has_value(); ++i) {
        for (const testing::Sent& one : rig.take_sent()) {
            if (one.message.has_write()) {
                refuse(one.to, one.message);
            }
        }
        rig.pass(milliseconds(300));
    }
    ASSERT_TRUE(outcome->result.has_value());
    EXPECT_TRUE(absl::IsDeadlineExceeded(outcome->result->status()));
    EXPECT_EQ(base::reason_of(outcome->result->status()), base::reason::quorum_not_reached);
}

TEST_F(RefusalTest, AnOverloadedReplicaAnswersNoRead) {
    rig.put_everywhere("k", "value");
    const Record record = *rig.stored("k");
    const auto outcome = rig.get("k");
    rig.settle();
    auto sent = rig.take_sent();
    refuse(rig.holder(1), CoordinatorRig::only(sent, rig.holder(1), Kind::kRead));
    EXPECT_FALSE(outcome->result.has_value());
    rig.pass(milliseconds(300));
    sent = rig.take_sent();
    rig.answer_read(rig.holder(1),
                    CoordinatorRig::only(sent, rig.holder(1), Kind::kRead),
                    CoordinatorRig::seat(1),
                    record);
    EXPECT_TRUE(outcome->result.has_value() && outcome->result->ok());
}

}  // namespace
}  // namespace starling::node
