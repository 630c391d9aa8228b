// Reads and writes of a session: what the answers' tokens say, and that no read is older than they
// do.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/node/coordinator/rig.h"

namespace starling::node {
namespace {

using Kind = peer::ReplicaMessage;
using testing::CoordinatorRig;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

struct SessionTest : ::testing::Test {
    std::shared_ptr<CoordinatorRig::GetOutcome> get(CoordinatorRig& at,
                                                    const std::string& session,
                                                    uint32_t quorum = 1) {
        auto outcome = std::make_shared<CoordinatorRig::GetOutcome>();
        GetRequest request;
        request.key = "k";
        request.options.quorum = quorum;
        request.session = session;
        at.coordinator.get(std::move(request), [outcome](absl::StatusOr<GetResult> result) {
            outcome->result = std::move(result);
            ++outcome->calls;
        });
        return outcome;
    }
    static std::vector<std::string> found(const CoordinatorRig::GetOutcome& outcome) {
        std::vector<std::string> out;
        EXPECT_TRUE(outcome.result.has_value() && outcome.result->ok());
        if (outcome.result.has_value() && outcome.result->ok()) {
            for (const SiblingValue& value : (*outcome.result)->values) {
                out.push_back(value.value);
            }
        }
        return out;
    }
    static Context opened(const CoordinatorRig& at, const std::string& token) {
        const auto context = at.sessions.open(base::default_namespace_id, "k", token);
        EXPECT_TRUE(context.ok()) << context.status();
        return context.value_or(Context{});
    }
    static Record newer(const Record& before, uint64_t sequence, const std::string& value) {
        return mint(before,
                    Superseded::by_reading(before),
                    testing::write(testing::dot(77, sequence), 900 + sequence, value));
    }
    static std::string token(const CoordinatorRig& at, const std::vector<Dot>& dots) {
        Context seen;
        for (const Dot& dot : dots) {
            seen.add(dot);
        }
        return at.sessions.seal(base::default_namespace_id, "k", seen);
    }
    void vouch(CoordinatorRig& at,
               base::NodeId from,
               const peer::ReplicaMessage& question,
               SeatSet seats,
               const Record& record) {
        peer::ReplicaMessage answer = CoordinatorRig::answer_to(question);
        answer.mutable_read_reply()->set_seats(seats.bits());
        answer.mutable_read_reply()->set_reflects_seen(true);
        if (!(record == Record{})) {
            answer.mutable_read_reply()->set_record(wire::encode(record));
        }
        at.coordinator.on_message(from, answer);
    }
    PutResult put_here(std::optional<std::string> session, PutRequest request) {
        request.blind = true;
        request.options.quorum = 1;
        request.session = std::move(session);
        const auto outcome = rig.put(std::move(request));
        rig.settle();
        EXPECT_TRUE(outcome->result.has_value() && outcome->result->ok());
        return **outcome->result;
    }

    CoordinatorRig rig;
    // Holds no seat: all three answers are the test's.
    CoordinatorRig far{5, /*is_holder=*/false};
};

TEST_F(SessionTest, WithoutASessionNoTokenIsMade) {
    EXPECT_EQ(put_here(std::nullopt, rig.put_request("k", "v")).session, "");
    const auto outcome = rig.get("k", 1);
    rig.settle();
    EXPECT_EQ((*outcome->result)->session, "");
}

TEST_F(SessionTest, APutsTokenSaysItsDotAndWhatTheSessionHadSeen) {
    const Dot before = testing::dot(9, 4);
    const PutResult result = put_here(token(rig, {before}), rig.put_request("k", "v"));
    const Context seen = opened(rig, result.session);
    EXPECT_TRUE(seen.covers(result.dot));
    EXPECT_TRUE(seen.covers(before));
    EXPECT_EQ(seen.entries().size(), 2u);
}

TEST_F(SessionTest, ARepeatOfAWriteThatWasReplacedHasSeenWhatReplacedIt) {
    const PutRequest first = rig.put_request("k", "first");
    const PutResult written = put_here("", first);
    PutRequest second = rig.put_request("k", "second");
    second.context = written.context;
    const auto replaced = rig.put(second);
    rig.settle();
    const PutResult repeat = put_here("", first);
    ASSERT_TRUE(repeat.is_repeat);
    EXPECT_EQ(repeat.dot.sequence, 0u);
    EXPECT_EQ(opened(rig, repeat.session), rig.stored("k")->context);
}

TEST_F(SessionTest, AReadWaitsBeyondRForAReplicaThatHasWhatTheSessionWrote) {
    const Record old = newer({}, 1, "old");
    const Record fresh = newer(old, 2, "new");
    const auto outcome = get(far, token(far, {testing::dot(77, 2)}));
    const auto sent = far.take_sent();
    ASSERT_EQ(far.count(sent, Kind::kRead), 3u);
    far.answer_read(far.holder(0), far.only(sent, far.holder(0), Kind::kRead), far.seat(0), old);
    far.answer_read(far.holder(1), far.only(sent, far.holder(1), Kind::kRead), far.seat(1), {});
    EXPECT_FALSE(outcome->result.has_value()) << "R seats have answered with less";
    far.answer_read(far.holder(2), far.only(sent, far.holder(2), Kind::kRead), far.seat(2), fresh);
    EXPECT_THAT(found(*outcome), ElementsAre("new"));
}

TEST_F(SessionTest, AReplicasWordCountsWhereTheRecordIsNoMore) {
    const auto outcome = get(far, token(far, {testing::dot(77, 2)}));
    const auto sent = far.take_sent();
    const auto question = far.only(sent, far.holder(0), Kind::kRead);
    EXPECT_EQ(*wire::decode_context(question.read().seen()),
              testing::context({testing::dot(77, 2)}));
    vouch(far, far.holder(0), question, far.seat(0), {});
    EXPECT_THAT(found(*outcome), IsEmpty());
    const Context seen = opened(far, (*outcome->result)->session);
    EXPECT_TRUE(seen.covers(testing::dot(77, 2))) << "what was seen stays seen";
}

TEST_F(SessionTest, AReadsTokenSaysAllThatItReturned) {
    const Record record = newer(newer({}, 1, "old"), 2, "new");
    const auto outcome = get(far, "");
    far.answer_read(
        far.holder(0), far.only(far.take_sent(), far.holder(0), Kind::kRead), far.seat(0), record);
    EXPECT_EQ(opened(far, (*outcome->result)->session), record.context);
}

// The session deleted the value; the tombstone is collected between the two answers.
TEST_F(SessionTest, WhatWasDeletedDoesNotComeBackInAnAnswerFromBeforeTheWordOfAnother) {
    const Record old = newer({}, 1, "old");
    const auto outcome = get(far, token(far, {testing::dot(77, 2)}));
    auto sent = far.take_sent();
    far.answer_read(far.holder(0), far.only(sent, far.holder(0), Kind::kRead), far.seat(0), old);
    EXPECT_FALSE(outcome->result.has_value());
    vouch(far, far.holder(1), far.only(sent, far.holder(1), Kind::kRead), far.seat(1), {});
    EXPECT_FALSE(outcome->result.has_value()) << "who vouches does not hold the result";
    sent = far.take_sent();
    const auto repair = far.only(sent, far.holder(1), Kind::kWrite);
    EXPECT_TRUE(repair.write().is_repair());
    Record superseding;
    superseding.context = old.context;
    peer::ReplicaMessage reply = CoordinatorRig::answer_to(repair);
    reply.mutable_write_reply()->set_seats(far.seat(1).bits());
    reply.mutable_write_reply()->set_superseding(wire::encode(superseding));
    far.coordinator.on_message(far.holder(1), reply);
    EXPECT_THAT(found(*outcome), IsEmpty());
}

TEST_F(SessionTest, WhoVouchesAndTakesTheRepairHoldsTheResult) {
    const Record one = newer({}, 1, "one");
    const Record other =
        mint({}, Superseded::by_reading({}), testing::write(testing::dot(78, 1), 900, "other"));
    const auto outcome = get(far, token(far, {testing::dot(79, 2)}));
    auto sent = far.take_sent();
    far.answer_read(far.holder(0), far.only(sent, far.holder(0), Kind::kRead), far.seat(0), one);
    vouch(far, far.holder(1), far.only(sent, far.holder(1), Kind::kRead), far.seat(1), other);
    EXPECT_FALSE(outcome->result.has_value());
    sent = far.take_sent();
    far.acknowledge(far.holder(0), far.only(sent, far.holder(0), Kind::kWrite), far.seat(0));
    EXPECT_FALSE(outcome->result.has_value()) << "it has not seen what the session has";
    far.acknowledge(far.holder(1), far.only(sent, far.holder(1), Kind::kWrite), far.seat(1));
    EXPECT_THAT(found(*outcome), UnorderedElementsAre("one", "other"));
}

TEST_F(SessionTest, ReplicasThatAnsweredWithLessAreAskedAgain) {
    const Record old = newer({}, 1, "old");
    const auto outcome = get(far, token(far, {testing::dot(77, 2)}));
    auto sent = far.take_sent();
    for (const uint8_t seat : {uint8_t{0}, uint8_t{1}, uint8_t{2}}) {
        far.answer_read(
            far.holder(seat), far.only(sent, far.holder(seat), Kind::kRead), far.seat(seat), old);
    }
    EXPECT_FALSE(outcome->result.has_value());
    far.pass(std::chrono::milliseconds(300));
    sent = far.take_sent();
    EXPECT_EQ(far.count(sent, Kind::kRead), 3u);
    far.answer_read(far.holder(1),
                    far.only(sent, far.holder(1), Kind::kRead),
                    far.seat(1),
                    newer(old, 2, "new"));
    EXPECT_THAT(found(*outcome), ElementsAre("new"));
}

TEST_F(SessionTest, TheCoordinatorsOwnReplicaIsReadAgainToo) {
    rig.put_everywhere("k", "old");
    const Record fresh = newer(*rig.stored("k"), 2, "new");
    const auto outcome = get(rig, token(rig, {testing::dot(77, 2)}));
    rig.settle();
    EXPECT_FALSE(outcome->result.has_value());
    bool stored = false;
    rig.replica.write(
        testing::the_group, testing::key("k"), fresh, {.dot = testing::dot(77, 2)}, [&](auto) {
            stored = true;
        });
    rig.settle();
    ASSERT_TRUE(stored);
    rig.pass(std::chrono::milliseconds(300));
    EXPECT_THAT(found(*outcome), ElementsAre("new"));
}

TEST_F(SessionTest, WhereNobodyHasItTheReadFailsAndReturnsNothingStale) {
    const Record old = newer({}, 1, "old");
    const auto outcome = get(far, token(far, {testing::dot(77, 2)}));
    const auto sent = far.take_sent();
    for (const uint8_t seat : {uint8_t{0}, uint8_t{1}, uint8_t{2}}) {
        far.answer_read(
            far.holder(seat), far.only(sent, far.holder(seat), Kind::kRead), far.seat(seat), old);
    }
    far.pass(std::chrono::seconds(3));
    ASSERT_TRUE(outcome->result.has_value());
    EXPECT_EQ(outcome->result->status().code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(base::reason_of(outcome->result->status()), base::reason::session_not_satisfied);
    EXPECT_EQ(outcome->calls, 1);
    EXPECT_EQ(far.coordinator.operation_count(), 0u);
}

TEST_F(SessionTest, ABadTokenIsRefusedBeforeAnythingIsDone) {
    std::string forged = token(rig, {testing::dot(77, 2)});
    forged.back() ^= 1;
    const auto read = get(rig, forged);
    ASSERT_TRUE(read->result.has_value());
    EXPECT_EQ(base::reason_of(read->result->status()), base::reason::forged_session);
    PutRequest request = rig.put_request("k", "v");
    request.session = "nonsense";
    const auto written = rig.put(std::move(request));
    ASSERT_TRUE(written->result.has_value());
    EXPECT_EQ(base::reason_of(written->result->status()), base::reason::malformed_session);
    rig.settle();
    EXPECT_EQ(*rig.stored("k"), Record{});
}

TEST_F(SessionTest, AForwardedPutCarriesItsSessionThereAndBack) {
    PutRequest request = far.put_request("k", "v");
    request.session = token(far, {testing::dot(9, 4)});
    const auto outcome = far.put(request);
    const auto sent = far.take_sent();
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_TRUE(sent[0].message.forward().has_session());
    EXPECT_EQ(sent[0].message.forward().session(), *request.session);
    peer::ReplicaMessage answer = CoordinatorRig::answer_to(sent[0].message);
    answer.mutable_forward_reply()->set_session("the coordinator's");
    far.coordinator.on_message(sent[0].to, answer);
    ASSERT_TRUE(outcome->result.has_value() && outcome->result->ok());
    EXPECT_EQ((*outcome->result)->session, "the coordinator's");
}

}  // namespace
}  // namespace starling::node
