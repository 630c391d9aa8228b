#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/node/coordinator/rig.h"

namespace starling::node {
namespace {

using Kind = peer::ReplicaMessage;
using testing::CoordinatorRig;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::values;

struct GetOperationTest : ::testing::Test {
    std::vector<std::string> found(const CoordinatorRig::GetOutcome& outcome) {
        std::vector<std::string> out;
        EXPECT_TRUE(outcome.result.has_value() && outcome.result->ok());
        if (outcome.result.has_value() && outcome.result->ok()) {
            for (const SiblingValue& value : (*outcome.result)->values) {
                out.push_back(value.value);
            }
        }
        return out;
    }
    // What a replica holds that saw `before` and one write more.
    static Record newer(const Record& before, uint64_t sequence, const std::string& value) {
        return mint(before,
                    Superseded::by_reading(before),
                    testing::write(testing::dot(77, sequence), 900 + sequence, value));
    }
    CoordinatorRig rig;
};

TEST_F(GetOperationTest, AsksEveryHolderWithItsOwnDigestAndAnswersAtR) {
    rig.put_everywhere("k", "value");
    const auto outcome = rig.get("k");
    rig.settle();
    const auto sent = rig.take_sent();
    EXPECT_EQ(rig.count(sent, Kind::kRead), 2u);
    const auto question = rig.only(sent, rig.holder(1), Kind::kRead);
    EXPECT_EQ(question.read().digest(), record_digest(testing::key("k"), *rig.stored("k")));
    EXPECT_FALSE(outcome->result.has_value());
    rig.answer_same(rig.holder(1), question, rig.seat(1));
    EXPECT_THAT(found(*outcome), ElementsAre("value"));
    EXPECT_EQ((*outcome->result)->receipt.seats_answered, 2u);
    EXPECT_EQ((*outcome->result)->receipt.repairs_sent, 0u);
}

// Seed 1516: with little memory the frame to the last one was lost, time and again, and the first
// one was dead.
TEST_F(GetOperationTest, AsksThoseWhoLiveFirst) {
    rig.set_health(rig.holder(1), PeerHealth::dead);
    const auto outcome = rig.get("k");
    rig.settle();
    const auto receivers = [this] {
        std::vector<base::NodeId> nodes;
        for (const testing::Sent& sent : rig.take_sent()) {
            nodes.push_back(sent.to);
        }
        return nodes;
    };
    EXPECT_THAT(receivers(), ElementsAre(rig.holder(2), rig.holder(1)));
    rig.set_health(rig.holder(1), PeerHealth::alive);
    rig.set_health(rig.holder(2), PeerHealth::dead);
    rig.pass(CoordinatorOptions{}.hint_after);
    EXPECT_THAT(receivers(), ElementsAre(rig.holder(1), rig.holder(2)));
}

TEST_F(GetOperationTest, WhoHasTheSameSiblingsMayHaveSeenMoreThanThey) {
    rig.put_everywhere("k", "value");
    const auto outcome = rig.get("k");
    rig.settle();
    Context more = rig.stored("k")->context;
    more.add(testing::dot(78, 3));
    rig.answer_same(
        rig.holder(1), rig.only(rig.take_sent(), rig.holder(1), Kind::kRead), rig.seat(1), more);
    ASSERT_THAT(found(*outcome), ElementsAre("value"));
    const auto opened =
        rig.sealer.open(base::default_namespace_id, "k", (*outcome->result)->context);
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_TRUE(opened->context.covers(more));
}

TEST_F(GetOperationTest, AReadOfOneAnswerPrefersOneThatIsNotBehind) {
    rig.put_everywhere("k", "old");
    const Record fresh = newer(*rig.stored("k"), 1, "new");
    rig.peers.behind = true;
    const auto outcome = rig.get("k", 1);
    rig.settle();
    EXPECT_FALSE(outcome->result.has_value());
    rig.answer_read(
        rig.holder(1), rig.only(rig.take_sent(), rig.holder(1), Kind::kRead), rig.seat(1), fresh);
    EXPECT_THAT(found(*outcome), ElementsAre("new"));
}

TEST_F(GetOperationTest, AReadOfOneAnswerTakesOneThatIsBehindWhenNoOtherComes) {
    rig.put_everywhere("k", "value");
    rig.peers.behind = true;
    const auto outcome = rig.get("k", 1);
    rig.settle();
    EXPECT_FALSE(outcome->result.has_value());
    rig.pass(CoordinatorOptions().hint_after);
    EXPECT_THAT(found(*outcome), ElementsAre("value"));
}

TEST_F(GetOperationTest, AReadOfOneAnswerWaitsForNoOneThatIsDead) {
    rig.put_everywhere("k", "value");
    rig.peers.behind = true;
    rig.set_health(rig.holder(2), PeerHealth::dead);
    const auto outcome = rig.get("k", 1);
    rig.settle();
    EXPECT_FALSE(outcome->result.has_value());
    peer::ReplicaMessage answer =
        CoordinatorRig::answer_to(rig.only(rig.take_sent(), rig.holder(1), Kind::kRead));
    answer.mutable_read_reply()->set_seats(rig.seat(1).bits());
    answer.mutable_read_reply()->set_same(true);
    rig.stored("k")->context.encode(*answer.mutable_read_reply()->mutable_context());
    answer.mutable_read_reply()->set_is_behind(true);
    rig.coordinator.on_message(rig.holder(1), answer);
    EXPECT_THAT(found(*outcome), ElementsAre("value"));
}

TEST_F(GetOperationTest, AReadOfOneAnswerWaitsForNoOneThatRefuses) {
    rig.put_everywhere("k", "value");
    rig.peers.behind = true;
    const auto outcome = rig.get("k", 1);
    rig.settle();
    const auto sent = rig.take_sent();
    rig.refuse_read(rig.holder(1), rig.only(sent, rig.holder(1), Kind::kRead));
    EXPECT_FALSE(outcome->result.has_value());
    rig.refuse_read(rig.holder(2), rig.only(sent, rig.holder(2), Kind::kRead));
    EXPECT_THAT(found(*outcome), ElementsAre("value"));
}

TEST_F(GetOperationTest, AReadOfOneAnswerTakesOneThatIsBehindAtItsDeadlineAtTheLatest) {
    CoordinatorOptions options;
    options.deadline_max = options.hint_after / 2;
    CoordinatorRig hasty(3, true, options);
    hasty.put_everywhere("k", "value");
    hasty.peers.behind = true;
    const auto outcome = hasty.get("k", 1);
    hasty.settle();
    EXPECT_FALSE(outcome->result.has_value());
    hasty.pass(options.deadline_max);
    EXPECT_THAT(found(*outcome), ElementsAre("value"));
}

TEST_F(GetOperationTest, AReplicaTellsWhetherItIsBehind) {
    rig.peers.behind = true;
    peer::ReplicaMessage question;
    question.set_partition(testing::the_group.partition.raw());
    question.set_replicas(testing::the_group.replicas);
    question.set_operation(1);
    question.mutable_read()->set_key(testing::key("k"));
    rig.replica.on_message(rig.holder(1), question);
    rig.settle();
    EXPECT_TRUE(
        rig.only(rig.take_sent(), rig.holder(1), Kind::kReadReply).read_reply().is_behind());
}

TEST_F(GetOperationTest, AnAbsentKeyHasNoValuesAndAContext) {
    const auto outcome = rig.get("k");
    rig.settle();
    rig.answer_read(
        rig.holder(1), rig.only(rig.take_sent(), rig.holder(1), Kind::kRead), rig.seat(1), {});
    EXPECT_THAT(found(*outcome), IsEmpty());
}

TEST_F(GetOperationTest, ReturnsWhatAnotherHasOnlyAfterEnoughSeatsHoldIt) {
    rig.put_everywhere("k", "old");
    const Record fresh = newer(*rig.stored("k"), 1, "new");
    const auto outcome = rig.get("k");
    rig.settle();
    rig.answer_read(
        rig.holder(1), rig.only(rig.take_sent(), rig.holder(1), Kind::kRead), rig.seat(1), fresh);
    EXPECT_FALSE(outcome->result.has_value()) << "one seat alone has it";
    rig.settle();
    EXPECT_THAT(found(*outcome), ElementsAre("new")) << "this replica was repaired";
    EXPECT_THAT(values(*rig.stored("k")), ElementsAre("new"));
    EXPECT_EQ((*outcome->result)->receipt.repairs_sent, 1u);
}

TEST_F(GetOperationTest, AnAnswerToAnEarlierRepairDoesNotCountForAResultThatHasGrown) {
    // Not a holder, so that all three answers are the test's.
    CoordinatorRig far(5, /*is_holder=*/false);
    const Record old = newer({}, 1, "old");
    const Record fresh = newer(old, 2, "new");
    const Record newest = newer(fresh, 3, "newest");
    const auto outcome = far.get("k");
    auto sent = far.take_sent();
    ASSERT_EQ(far.count(sent, Kind::kRead), 3u);
    const auto ask_0 = far.only(sent, far.holder(0), Kind::kRead);
    const auto ask_1 = far.only(sent, far.holder(1), Kind::kRead);
    const auto ask_2 = far.only(sent, far.holder(2), Kind::kRead);
    far.answer_read(far.holder(0), ask_0, far.seat(0), old);
    far.answer_read(far.holder(1), ask_1, far.seat(1), fresh);
    const auto first_repair = far.only(far.take_sent(), far.holder(0), Kind::kWrite);
    far.answer_read(far.holder(2), ask_2, far.seat(2), newest);
    sent = far.take_sent();
    const auto second_repair = far.only(sent, far.holder(0), Kind::kWrite);
    far.acknowledge(far.holder(0), first_repair, far.seat(0));
    EXPECT_FALSE(outcome->result.has_value()) << "only one seat has the newest";
    far.acknowledge(far.holder(0), second_repair, far.seat(0));
    EXPECT_THAT(found(*outcome), ElementsAre("newest"));
}

// All owners had seen the newer one by then, and its record does not speak of the older any more.
struct SupersededMidWayTest : GetOperationTest {
    const Record old = newer({}, 1, "old");
    const Record whole =
        mint(old, Superseded::by_reading(old), testing::write(testing::dot(78, 1), 2, "fresh"));
    Record fresh = whole;
    void SetUp() override {
        fresh.context = testing::context({testing::dot(78, 1)});
        fresh.gone.clear();
    }
};

TEST_F(SupersededMidWayTest, TheOwnReplicaHasTheLastWord) {
    rig.store_here("k", old);
    const auto outcome = rig.get("k");
    rig.settle();
    rig.store_here("k", whole);
    rig.answer_read(
        rig.holder(1), rig.only(rig.take_sent(), rig.holder(1), Kind::kRead), rig.seat(1), fresh);
    rig.settle();
    EXPECT_THAT(found(*outcome), ElementsAre("fresh"));
}

TEST_F(SupersededMidWayTest, AnyReplicaThatIsRepairedHasTheLastWord) {
    CoordinatorRig far(5, /*is_holder=*/false);
    const auto outcome = far.get("k");
    auto sent = far.take_sent();
    far.answer_read(far.holder(0), far.only(sent, far.holder(0), Kind::kRead), far.seat(0), old);
    far.answer_read(far.holder(1), far.only(sent, far.holder(1), Kind::kRead), far.seat(1), fresh);
    sent = far.take_sent();
    auto reply = far.answer_to(far.only(sent, far.holder(1), Kind::kWrite));
    reply.mutable_write_reply()->set_seats(far.seat(1).bits());
    reply.mutable_write_reply()->set_superseding("nonsense");
    far.coordinator.on_message(far.holder(1), reply);
    EXPECT_THAT(far.take_sent(), IsEmpty());
    reply.mutable_write_reply()->set_superseding(wire::encode(whole));
    far.coordinator.on_message(far.holder(1), reply);
    EXPECT_FALSE(outcome->result.has_value()) << "one seat alone has it";
    far.acknowledge(
        far.holder(0), far.only(far.take_sent(), far.holder(0), Kind::kWrite), far.seat(0));
    EXPECT_THAT(found(*outcome), ElementsAre("fresh"));
}

TEST_F(GetOperationTest, AReadOfOneSeatDoesNotWaitForRepairs) {
    rig.put_everywhere("k", "old");
    rig.take_sent();
    const auto outcome = rig.get("k", 1);
    rig.settle();
    EXPECT_THAT(found(*outcome), ElementsAre("old"));
    const auto question = rig.only(rig.take_sent(), rig.holder(1), Kind::kRead);
    rig.answer_read(rig.holder(1), question, rig.seat(1), newer(*rig.stored("k"), 1, "new"));
    rig.settle();
    EXPECT_THAT(values(*rig.stored("k")), ElementsAre("new")) << "the late answer repairs it";
}

TEST_F(GetOperationTest, AStaleReplicaThatAnswersLateIsSentTheResult) {
    rig.put_everywhere("k", "value");
    const auto outcome = rig.get("k");
    rig.settle();
    const auto sent = rig.take_sent();
    rig.answer_same(rig.holder(1), rig.only(sent, rig.holder(1), Kind::kRead), rig.seat(1));
    ASSERT_TRUE(outcome->result.has_value());
    rig.answer_read(rig.holder(2), rig.only(sent, rig.holder(2), Kind::kRead), rig.seat(2), {});
    const auto repair = rig.only(rig.take_sent(), rig.holder(2), Kind::kWrite);
    EXPECT_THAT(values(*decode_record(repair.write().record())), ElementsAre("value"));
    EXPECT_EQ(rig.coordinator.operation_count(), 1u);
    rig.acknowledge(rig.holder(2), repair, rig.seat(2));
    EXPECT_EQ(rig.coordinator.operation_count(), 0u);
}

TEST_F(GetOperationTest, ARepeatedAnswerAndOneThatDoesNotDecodeCountForNothing) {
    CoordinatorRig far(5, /*is_holder=*/false);
    const auto outcome = far.get("k");
    const auto sent = far.take_sent();
    const auto question = far.only(sent, far.holder(0), Kind::kRead);
    far.answer_read(far.holder(0), question, far.seat(0), {});
    far.answer_read(far.holder(0), question, far.seat(0), {});
    auto damaged = far.answer_to(far.only(sent, far.holder(1), Kind::kRead));
    damaged.mutable_read_reply()->set_seats(2);
    damaged.mutable_read_reply()->set_record("nonsense");
    far.coordinator.on_message(far.holder(1), damaged);
    far.answer_same(far.holder(2), far.only(sent, far.holder(2), Kind::kRead), far.seat(2));
    EXPECT_FALSE(outcome->result.has_value()) << "nobody was told a digest to be equal to";
}

TEST_F(GetOperationTest, TheOwnReplicaIsAskedAgainToo) {
    const SeatSet held = std::exchange(rig.peers.held, SeatSet());
    const auto outcome = rig.get("k");
    rig.settle();
    rig.answer_read(
        rig.holder(1), rig.only(rig.take_sent(), rig.holder(1), Kind::kRead), rig.seat(1), {});
    EXPECT_FALSE(outcome->result.has_value());
    rig.peers.held = held;
    rig.pass(std::chrono::milliseconds(300));
    ASSERT_TRUE(outcome->result.has_value());
    EXPECT_TRUE(outcome->result->ok());
}

TEST_F(GetOperationTest, SilentHoldersAreAskedAgainAndTheDeadlineEndsIt) {
    const auto outcome = rig.get("k");
    rig.settle();
    rig.take_sent();
    rig.pass(std::chrono::milliseconds(300));
    EXPECT_EQ(rig.count(rig.take_sent(), Kind::kRead), 2u);
    rig.pass(std::chrono::seconds(3));
    ASSERT_TRUE(outcome->result.has_value());
    EXPECT_EQ(outcome->result->status().code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(base::reason_of(outcome->result->status()), base::reason::quorum_not_reached);
    EXPECT_EQ(outcome->calls, 1);
    EXPECT_EQ(rig.coordinator.operation_count(), 0u);
}

// The timer is late.
TEST_F(GetOperationTest, AnAnswerThatComesAfterTheDeadlineDoesNotCount) {
    const auto outcome = rig.get("k");
    rig.settle();
    const auto question = rig.only(rig.take_sent(), rig.holder(1), Kind::kRead);
    rig.store_rig.process.pause();
    rig.store_rig.scheduler.run_for(std::chrono::seconds(3));
    rig.answer_read(rig.holder(1), question, rig.seat(1), {});
    EXPECT_FALSE(outcome->result.has_value());
    rig.store_rig.process.resume();
    rig.settle();
    ASSERT_TRUE(outcome->result.has_value());
    EXPECT_EQ(base::reason_of(outcome->result->status()), base::reason::quorum_not_reached);
}

TEST_F(GetOperationTest, AHolderThatTheViewBringsMidWayIsAskedToo) {
    const auto outcome = rig.get("k");
    rig.settle();
    rig.take_sent();
    const base::NodeId newcomer(50);
    rig.set_holder(1, newcomer);
    const auto question = rig.only(rig.take_sent(), newcomer, Kind::kRead);
    rig.answer_read(newcomer, question, rig.seat(1), {});
    EXPECT_TRUE(outcome->result.has_value());
}

TEST_F(GetOperationTest, WithoutAnyKnownHolderTheReadIsRefusedAtOnce) {
    CoordinatorRig far(5, /*is_holder=*/false);
    far.change_view([](ClusterView& view) { view.holders.assign(3, base::NodeId()); });
    const auto outcome = far.get("k");
    ASSERT_TRUE(outcome->result.has_value());
    EXPECT_EQ(base::reason_of(outcome->result->status()), base::reason::no_owner);
}

TEST_F(GetOperationTest, TheContextOfAReadSupersedesWhatItReturned) {
    rig.put_everywhere("k", "old");
    const auto outcome = rig.get("k", 1);
    rig.settle();
    ASSERT_TRUE(outcome->result.has_value() && outcome->result->ok());
    PutRequest request = rig.put_request("k", "new");
    request.context = (*outcome->result)->context;
    rig.put(std::move(request));
    rig.settle();
    EXPECT_THAT(values(*rig.stored("k")), ElementsAre("new"));
}

}  // namespace
}  // namespace starling::node
