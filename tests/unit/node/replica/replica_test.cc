#include "node/replica/replica.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "node/replica/wire.h"
#include "tests/unit/node/replica/fake_owners.h"
#include "tests/unit/node/replica/store_rig.h"

namespace starling::node {
namespace {

using testing::dot;
using ::testing::ElementsAre;
using testing::group;
using ::testing::IsEmpty;
using testing::key;
using testing::values;

constexpr base::NodeId peer_node{9};

class FakeHost final : public ReplicaHost {
  public:
    SeatSet held_seats(base::PartitionId) const override { return held; }
    bool stores(GroupId) const override { return is_storing; }
    uint64_t now_ms() const override { return clock_ms; }
    base::NodeId self() const override { return base::NodeId(1); }
    bool send(base::NodeId to, peer::ReplicaMessage message) override {
        EXPECT_EQ(to, peer_node);
        sent.push_back(std::move(message));
        return true;
    }

    SeatSet held = SeatSet::of(base::SeatIndex(0));
    bool is_storing = true;
    uint64_t clock_ms = 1'000'000;
    std::vector<peer::ReplicaMessage> sent;
};

struct ReplicaTest : ::testing::Test {
    peer::ReplicaMessage message() const {
        peer::ReplicaMessage out;
        out.set_partition(1);
        out.set_replicas(3);
        out.set_operation(77);
        return out;
    }
    static Record record_of(const Dot& by, const std::string& value) {
        return mint({}, {}, testing::write(by, by.sequence, value));
    }
    static void fill(peer::WriteRequest& write, const Record& record, std::optional<Dot> by) {
        write.set_key(key("k"));
        write.set_record(wire::encode(record));
        if (by.has_value()) {
            wire::set_dot(*write.mutable_dot(), *by);
        }
    }
    peer::ReplicaMessage write_message(const Record& record, std::optional<Dot> by) const {
        peer::ReplicaMessage out = message();
        fill(*out.mutable_write(), record, by);
        return out;
    }
    peer::ReplicaMessage read_message(uint64_t digest = 0) const {
        peer::ReplicaMessage out = message();
        out.mutable_read()->set_key(key("k"));
        out.mutable_read()->set_digest(digest);
        return out;
    }
    // The answer to `question`; fails when there is none, or more than one.
    peer::ReplicaMessage ask(const peer::ReplicaMessage& question) {
        host.sent.clear();
        replica.on_message(peer_node, question);
        rig.settle();
        EXPECT_EQ(host.sent.size(), 1u);
        if (host.sent.size() != 1) {
            return {};
        }
        EXPECT_EQ(host.sent[0].operation(), question.operation());
        EXPECT_EQ(host.sent[0].partition(), question.partition());
        EXPECT_EQ(host.sent[0].replicas(), question.replicas());
        return host.sent[0];
    }

    testing::StoreRig rig;
    HintStore hints{rig.store.commits(), rig.engine, 1 << 20};
    GoneHorizon horizon{1000};
    testing::FakeOwners owners;
    Standings standings{rig.store, hints, horizon, owners};
    FakeHost host;
    Replica replica{rig.store, hints, standings, host};
};

TEST_F(ReplicaTest, AWriteIsAnsweredOnceDurableForTheSeatsHeldThen) {
    replica.on_message(peer_node, write_message(record_of(dot(9, 1), "value"), dot(9, 1)));
    EXPECT_THAT(host.sent, IsEmpty());
    host.held = SeatSet::of(base::SeatIndex(2));
    rig.settle();
    ASSERT_EQ(host.sent.size(), 1u);
    EXPECT_FALSE(host.sent[0].write_reply().has_refusal());
    EXPECT_EQ(host.sent[0].write_reply().seats(), 4u);
    EXPECT_THAT(values(*rig.read(group(1), key("k"))), ElementsAre("value"));
}

TEST_F(ReplicaTest, ANodeThatIsFillingStoresAndCountsForNoSeat) {
    host.held = {};
    const auto answer = ask(write_message(record_of(dot(9, 1), "value"), dot(9, 1)));
    EXPECT_FALSE(answer.write_reply().has_refusal());
    EXPECT_EQ(answer.write_reply().seats(), 0u);
    EXPECT_THAT(values(*rig.read(group(1), key("k"))), ElementsAre("value"));
}

TEST_F(ReplicaTest, AReadSaysWhetherTheFrontierHasWhatASessionHasSeen) {
    ask(write_message(record_of(dot(9, 1), "value"), dot(9, 1)));
    for (const uint64_t sequence : {1u, 2u}) {
        std::string seen;
        testing::context({dot(9, sequence)}).encode(seen);
        peer::ReplicaMessage question = read_message();
        question.mutable_read()->set_seen(seen);
        EXPECT_EQ(ask(question).read_reply().reflects_seen(), sequence == 1);
    }
    EXPECT_FALSE(ask(read_message()).read_reply().reflects_seen()) << "nobody asked";
}

TEST_F(ReplicaTest, ANodeWithoutAPartInTheGroupRefusesAndStoresNothing) {
    host.is_storing = false;
    host.held = {};
    const auto written = ask(write_message(record_of(dot(9, 1), "value"), dot(9, 1)));
    const absl::Status refusal = wire::get_refusal(written.write_reply().refusal());
    EXPECT_TRUE(absl::IsUnavailable(refusal));
    EXPECT_EQ(base::reason_of(refusal), base::reason::no_owner);
    EXPECT_THAT(rig.engine.batches, IsEmpty());
    EXPECT_TRUE(ask(read_message()).read_reply().has_refusal());
}

TEST_F(ReplicaTest, AGroupGivenAwayWhileTheDiskIsReadTakesNoWrite) {
    rig.engine.is_cold = true;
    replica.on_message(peer_node, write_message(record_of(dot(9, 1), "value"), dot(9, 1)));
    host.is_storing = false;
    host.held = {};
    rig.settle();
    ASSERT_EQ(host.sent.size(), 1u);
    EXPECT_TRUE(host.sent[0].write_reply().has_refusal());
    EXPECT_THAT(rig.engine.batches, IsEmpty());
}

TEST_F(ReplicaTest, AWriteSeenBeforeIsAcknowledgedAndChangesNothing) {
    const Record first = record_of(dot(9, 1), "first");
    ask(write_message(first, dot(9, 1)));
    const Record second =
        mint(first, Superseded::by_reading(first), testing::write(dot(9, 2), 2, "second"));
    ask(write_message(second, dot(9, 2)));
    const size_t batches = rig.engine.batches.size();
    const auto answer = ask(write_message(first, dot(9, 1)));
    EXPECT_FALSE(answer.write_reply().has_refusal());
    EXPECT_EQ(answer.write_reply().seats(), 1u);
    EXPECT_EQ(rig.engine.batches.size(), batches);
    EXPECT_THAT(values(*rig.read(group(1), key("k"))), ElementsAre("second"));
}

// Seed 732 of ten minutes: a read under way merged an old answer with one that did not speak of it
// any more, and showed both.
struct RepairTest : ReplicaTest {
    peer::ReplicaMessage repair_message(const Record& record) const {
        peer::ReplicaMessage out = write_message(record, std::nullopt);
        out.mutable_write()->set_is_repair(true);
        return out;
    }
    // What a repair with `record` is answered with; nothing: that all of it is merged.
    std::optional<Record> superseding(const Record& record) {
        const auto answer = ask(repair_message(record));
        EXPECT_FALSE(answer.write_reply().has_refusal());
        EXPECT_EQ(answer.write_reply().seats(), 1u);
        if (!answer.write_reply().has_superseding()) return std::nullopt;
        const auto decoded = decode_record(answer.write_reply().superseding());
        EXPECT_TRUE(decoded.ok()) << decoded.status();
        return *decoded;
    }
    const Record first = record_of(dot(9, 1), "first");
    const Record second =
        mint(first, Superseded::by_reading(first), testing::write(dot(8, 1), 2, "second"));
};

TEST_F(RepairTest, OfWhatWasSupersededHereIsAnsweredWithWhatIsHere) {
    ask(write_message(first, dot(9, 1)));
    ask(write_message(second, dot(8, 1)));
    EXPECT_EQ(superseding(second), std::nullopt);
    const std::optional<Record> there = superseding(first);
    ASSERT_TRUE(there.has_value());
    EXPECT_THAT(values(*there), ElementsAre("second"));
    EXPECT_TRUE(there->context.covers(dot(9, 1)));
    EXPECT_THAT(values(*rig.read(group(1), key("k"))), ElementsAre("second"));
    EXPECT_FALSE(ask(write_message(first, std::nullopt)).write_reply().has_superseding())
        << "nobody asked";
}

TEST_F(RepairTest, WhatAllOwnersHaveSeenAndIsNotThereIsSuperseded) {
    ask(write_message(first, dot(9, 1)));
    rig.store.set_stable(group(1), rig.store.frontier(group(1)));
    peer::ReplicaMessage question = repair_message(first);
    question.mutable_write()->set_key(key("another"));
    const auto answer = ask(question);
    ASSERT_TRUE(answer.write_reply().has_superseding());
    const auto there = decode_record(answer.write_reply().superseding());
    ASSERT_TRUE(there.ok()) << there.status();
    EXPECT_THAT(values(*there), IsEmpty());
    EXPECT_TRUE(there->context.covers(dot(9, 1)));
}

TEST_F(RepairTest, AnAbsenceThatNothingAccountsForSaysNothing) {
    ask(write_message(first, dot(9, 1)));
    peer::ReplicaMessage question = repair_message(first);
    question.mutable_write()->set_key(key("another"));
    EXPECT_FALSE(ask(question).write_reply().has_superseding());
}

TEST_F(ReplicaTest, AWriteWhoseRecordDoesNotDecodeIsRefused) {
    peer::ReplicaMessage question = write_message(record_of(dot(9, 1), "value"), dot(9, 1));
    for (const std::string& bytes :
         {std::string(), std::string("nonsense"), question.write().record() + "x"}) {
        question.mutable_write()->set_record(bytes);
        const auto answer = ask(question);
        EXPECT_TRUE(absl::IsInvalidArgument(wire::get_refusal(answer.write_reply().refusal())));
    }
    EXPECT_THAT(rig.engine.batches, IsEmpty());
}

TEST_F(ReplicaTest, AWriteUnderADotItsRecordDoesNotCoverIsRefused) {
    const auto answer = ask(write_message(record_of(dot(9, 1), "value"), dot(8, 1)));
    EXPECT_TRUE(absl::IsInvalidArgument(wire::get_refusal(answer.write_reply().refusal())));
    EXPECT_THAT(rig.engine.batches, IsEmpty());
}

TEST_F(ReplicaTest, AWriteUnderADotThatNobodyMintsIsRefused) {
    const auto answer = ask(write_message(record_of(dot(9, 1), "value"), dot(9, 0)));
    EXPECT_TRUE(absl::IsInvalidArgument(wire::get_refusal(answer.write_reply().refusal())));
    EXPECT_THAT(rig.engine.batches, IsEmpty());
}

TEST_F(ReplicaTest, AWriteWhoseKeyNamesNoNamespaceIsRefused) {
    peer::ReplicaMessage question = write_message(record_of(dot(9, 1), "value"), dot(9, 1));
    question.mutable_write()->set_key("short");
    EXPECT_TRUE(ask(question).write_reply().has_refusal());
    EXPECT_THAT(rig.engine.batches, IsEmpty());
}

TEST_F(ReplicaTest, AnswersOfOthersAndEmptyMessagesAreNoRequests) {
    peer::ReplicaMessage reply = message();
    reply.mutable_write_reply()->set_seats(7);
    replica.on_message(peer_node, reply);
    replica.on_message(peer_node, message());
    rig.settle();
    EXPECT_THAT(host.sent, IsEmpty());
}

TEST_F(ReplicaTest, AReadOfAnEqualRecordIsAnsweredWithoutIt) {
    const Record record = record_of(dot(9, 1), "value");
    ask(write_message(record, dot(9, 1)));
    const auto whole = ask(read_message());
    EXPECT_FALSE(whole.read_reply().same());
    EXPECT_EQ(values(*decode_record(whole.read_reply().record())), values(record));
    const auto same = ask(read_message(record_digest(key("k"), record)));
    EXPECT_TRUE(same.read_reply().same());
    EXPECT_THAT(same.read_reply().record(), IsEmpty());
    EXPECT_EQ(same.read_reply().seats(), 1u);
}

TEST_F(ReplicaTest, AnAbsentKeyIsNeverTheSame) {
    const auto answer = ask(read_message(record_digest(key("k"), Record{})));
    EXPECT_FALSE(answer.read_reply().has_refusal());
    EXPECT_FALSE(answer.read_reply().same());
    EXPECT_THAT(answer.read_reply().record(), IsEmpty());
}

TEST_F(ReplicaTest, AReadIsRefusedWhenTheSeatWentWhileTheDiskWasRead) {
    ask(write_message(record_of(dot(9, 1), "value"), dot(9, 1)));
    host.sent.clear();
    rig.engine.is_cold = true;
    replica.on_message(peer_node, read_message());
    host.held = {};
    rig.settle();
    ASSERT_EQ(host.sent.size(), 1u);
    EXPECT_TRUE(host.sent[0].read_reply().has_refusal());
}

TEST_F(ReplicaTest, ASeatBeyondTheGroupsNAnswersNoRead) {
    host.held = SeatSet::of(base::SeatIndex(3));
    EXPECT_TRUE(ask(read_message()).read_reply().has_refusal());
}

TEST_F(ReplicaTest, AnEngineThatFailsIsNamedInTheRefusal) {
    rig.engine.sync_error = absl::DataLossError("the disk failed");
    const auto answer = ask(write_message(record_of(dot(9, 1), "value"), dot(9, 1)));
    EXPECT_TRUE(absl::IsDataLoss(wire::get_refusal(answer.write_reply().refusal())));
}

TEST_F(ReplicaTest, AHintIsKeptForItsSeatAndAnswered) {
    peer::ReplicaMessage question = message();
    question.mutable_hint()->set_seat(2);
    fill(*question.mutable_hint()->mutable_write(), record_of(dot(9, 1), "value"), dot(9, 1));
    const auto answer = ask(question);
    EXPECT_FALSE(answer.hint_reply().has_refusal());
    EXPECT_EQ(answer.hint_reply().seat(), 2u);
    EXPECT_TRUE(hints.contains(
        {.group = group(1), .seat = base::SeatIndex(2), .dot = dot(9, 1), .key = key("k")}));
    EXPECT_THAT(values(*rig.read(group(1), key("k"))), IsEmpty()) << "kept apart from the data";
}

TEST_F(ReplicaTest, AHintWithoutItsDotOrForASeatBeyondNIsRefused) {
    peer::ReplicaMessage question = message();
    question.mutable_hint()->set_seat(1);
    fill(*question.mutable_hint()->mutable_write(), record_of(dot(9, 1), "value"), std::nullopt);
    EXPECT_TRUE(ask(question).hint_reply().has_refusal());
    for (const uint32_t seat : {3u, 256u, UINT32_MAX}) {
        question.mutable_hint()->set_seat(seat);
        fill(*question.mutable_hint()->mutable_write(), record_of(dot(9, 1), "value"), dot(9, 1));
        EXPECT_TRUE(ask(question).hint_reply().has_refusal()) << seat;
    }
    EXPECT_EQ(hints.count(), 0u);
}

TEST_F(ReplicaTest, SupersededRequestsAreForgottenOnceEveryOwnerWasHeardOfBeyondTheWindow) {
    owners.owners = {{Owner{.node = peer_node, .tenure = 5}}};
    // Requests are created at 1, 2, ... ms; the window is 1000 ms.
    const Record first = record_of(dot(9, 1), "first");
    const Record second =
        mint(first, Superseded::by_reading(first), testing::write(dot(9, 2), 2, "second"));
    ask(write_message(first, dot(9, 1)));
    peer::ReplicaMessage question = write_message(second, dot(9, 2));
    ask(question);
    EXPECT_THAT(rig.read(group(1), key("k"))->gone, ElementsAre(testing::request(1)));
    // The owner's report: its clock is past the window, and we have seen all that it had.
    OwnerReport report{.tenure = 5, .wall_ms = owners.clock_ms, .asks = 0, .known = {}};
    report.known.frontier = rig.store.frontier(group(1));
    standings.note_report(group(1), peer_node, report);
    const Record third =
        mint(second, Superseded::by_reading(second), testing::write(dot(9, 3), 3, "third"));
    ask(write_message(third, dot(9, 3)));
    EXPECT_THAT(rig.read(group(1), key("k"))->gone, IsEmpty());
}

TEST_F(ReplicaTest, AWriteOfALifeThatHasEndedIsTakenAsAHintOnly) {
    const Record record = record_of(dot(9, 1), "late");
    standings.note_start(base::NodeId(9), 2);
    const auto refused = ask(write_message(record, dot(9, 1)));
    EXPECT_TRUE(refused.write_reply().has_refusal());
    EXPECT_EQ(*rig.read(group(1), key("k")), Record{});
    EXPECT_TRUE(rig.store.frontier(group(1)).empty());

    peer::ReplicaMessage hint = message();
    hint.mutable_hint()->set_seat(1);
    fill(*hint.mutable_hint()->mutable_write(), record, dot(9, 1));
    EXPECT_TRUE(ask(hint).hint_reply().has_refusal());
    EXPECT_EQ(hints.count(), 0u);

    peer::ReplicaMessage kept = write_message(record, dot(9, 1));
    kept.mutable_write()->set_is_hint(true);
    EXPECT_FALSE(ask(kept).write_reply().has_refusal());
    EXPECT_THAT(values(*rig.read(group(1), key("k"))), ElementsAre("late"));
    // Seen now, so it is no news.
    EXPECT_FALSE(ask(write_message(record, dot(9, 1))).write_reply().has_refusal());
}

TEST_F(ReplicaTest, AHintBringsNoOtherWriteOfALifeThatHasEnded) {
    Record record = record_of(dot(9, 1), "late");
    record = mint(record, {}, testing::write(dot(8, 1), 7, "hinted"));
    standings.note_start(base::NodeId(9), 2);
    peer::ReplicaMessage kept = write_message(record, dot(8, 1));
    kept.mutable_write()->set_is_hint(true);
    EXPECT_TRUE(ask(kept).write_reply().has_refusal());
    EXPECT_EQ(*rig.read(group(1), key("k")), Record{});
}

TEST_F(ReplicaTest, AHintBringsWhatElseItHoldsOfItsLifeAndNothingOfAnEarlierOne) {
    const auto write_of = [](uint32_t start, uint64_t sequence, std::string value) {
        NewWrite write = testing::write(dot(9, sequence), start * 10 + sequence, std::move(value));
        write.dot.actor.start = start;
        return write;
    };
    standings.note_start(base::NodeId(9), 3);
    Record record = mint({}, {}, write_of(2, 1, "beside it"));
    const NewWrite hinted = write_of(2, 2, "hinted");
    record = mint(record, {}, hinted);
    peer::ReplicaMessage kept = write_message(record, hinted.dot);
    kept.mutable_write()->set_is_hint(true);
    EXPECT_FALSE(ask(kept).write_reply().has_refusal());
    EXPECT_THAT(values(*rig.read(group(1), key("k"))), ElementsAre("beside it", "hinted"));

    record = mint(record, {}, write_of(1, 5, "earlier"));
    const NewWrite next = write_of(2, 3, "next");
    record = mint(record, {}, next);
    kept = write_message(record, next.dot);
    kept.mutable_write()->set_is_hint(true);
    EXPECT_TRUE(ask(kept).write_reply().has_refusal());
}

TEST_F(ReplicaTest, AMessageWithAWriteThatIsSeenAndNotAccountedForIsRefused) {
    rig.write(group(1), key("k"), 7, "here");
    Record record = mint({}, {}, testing::write(dot(9, 1), 50, "lost everywhere"));
    record = mint(record, {}, testing::write(dot(8, 1), 51, "beside it"));
    // Sealed: nobody has the write of 9.
    Frontier sealed = rig.store.frontier(group(1));
    sealed.seal(base::NodeId(9), 2);
    rig.store.unite_frontier(group(1), sealed, [](const absl::Status&) {});
    rig.settle();
    EXPECT_TRUE(ask(write_message(record, dot(8, 1))).write_reply().has_refusal());
    EXPECT_THAT(values(*rig.read(group(1), key("k"))), ElementsAre("here"));
}

struct ReplicaBudgetTest : ReplicaTest {
    // The n-th write, of 3000 bytes, to a key of its own.
    peer::ReplicaMessage large_write(uint64_t n) const {
        const Dot by = dot(9, n);
        peer::ReplicaMessage out = write_message(record_of(by, std::string(3000, 'v')), by);
        out.mutable_write()->set_key(key("k" + std::to_string(n)));
        return out;
    }
    absl::Status refusal_of(const peer::ReplicaMessage& answer) {
        const peer::Refusal& refusal = answer.has_write_reply()  ? answer.write_reply().refusal()
                                       : answer.has_read_reply() ? answer.read_reply().refusal()
                                                                 : answer.hint_reply().refusal();
        return wire::get_refusal(refusal);
    }

    Replica small{rig.store, hints, standings, host, {.peer_bytes_max = 10'000}};
};

TEST_F(ReplicaBudgetTest, RequestsBeyondTheBudgetAreRefusedAtOnceAndChangeNothing) {
    small.on_message(peer_node, large_write(1));
    small.on_message(peer_node, large_write(2));
    EXPECT_THAT(host.sent, IsEmpty());
    EXPECT_GT(small.peer_bytes(), 6000u);
    EXPECT_LE(small.peer_bytes(), 10'000u);
    peer::ReplicaMessage hint = message();
    hint.mutable_hint()->set_seat(2);
    *hint.mutable_hint()->mutable_write() = large_write(3).write();
    small.on_message(peer_node, large_write(3));
    small.on_message(peer_node, hint);
    ASSERT_EQ(host.sent.size(), 2u);
    for (const peer::ReplicaMessage& answer : host.sent) {
        EXPECT_TRUE(absl::IsResourceExhausted(refusal_of(answer)));
        EXPECT_EQ(base::reason_of(refusal_of(answer)), base::reason::overloaded);
        EXPECT_EQ(answer.operation(), 77u);
    }
    EXPECT_EQ(host.sent[1].hint_reply().seat(), 2u);
    EXPECT_EQ(small.peer_requests_refused(), 2u);
    rig.settle();
    EXPECT_EQ(rig.engine.batches.size(), 2u);
    EXPECT_EQ(hints.count(), 0u);
    EXPECT_EQ(small.peer_bytes(), 0u);
    // Asked again, it is done.
    host.sent.clear();
    small.on_message(peer_node, large_write(3));
    rig.settle();
    ASSERT_EQ(host.sent.size(), 1u);
    EXPECT_FALSE(host.sent[0].write_reply().has_refusal());
    EXPECT_EQ(small.peer_bytes(), 0u);
}

TEST_F(ReplicaBudgetTest, ReadsThatWaitForTheDiskAreBoundedToo) {
    for (uint64_t n = 1; n <= 20; ++n) {
        rig.engine.is_cold = true;
        peer::ReplicaMessage question = read_message();
        question.mutable_read()->set_key(key("k" + std::to_string(n)));
        small.on_message(peer_node, question);
    }
    EXPECT_LE(small.peer_bytes(), 10'000u);
    EXPECT_GT(host.sent.size(), 10u);
    for (const peer::ReplicaMessage& answer : host.sent) {
        EXPECT_EQ(base::reason_of(refusal_of(answer)), base::reason::overloaded);
    }
    rig.settle();
    EXPECT_EQ(host.sent.size(), 20u);
    EXPECT_EQ(small.peer_bytes(), 0u);
}

TEST_F(ReplicaBudgetTest, RecordsThatReadsHoldWhileTheyWaitForASyncCountAndStayBelowTheBudget) {
    small.on_message(peer_node, large_write(1));
    int waiting = 0;
    int refused = 0;
    for (int i = 0; i < 5; ++i) {
        ++waiting;
        small.read(group(1), key("k1"), [&](const absl::StatusOr<Replica::Answer>& answer) {
            --waiting;
            if (answer.ok()) return;
            EXPECT_EQ(base::reason_of(answer.status()), base::reason::overloaded);
            ++refused;
        });
    }
    EXPECT_EQ(waiting, 1);
    EXPECT_EQ(refused, 4);
    EXPECT_GT(small.peer_bytes(), 6'000u);
    EXPECT_LE(small.peer_bytes(), 10'000u);
    small.on_message(peer_node, large_write(2));
    ASSERT_EQ(host.sent.size(), 1u);
    EXPECT_EQ(base::reason_of(refusal_of(host.sent[0])), base::reason::overloaded);
    rig.settle();
    EXPECT_EQ(waiting, 0);
    EXPECT_EQ(small.peer_bytes(), 0u);
}

TEST_F(ReplicaBudgetTest, ARequestLargerThanTheBudgetIsNotRefusedForEver) {
    small.on_message(peer_node, large_write(1));
    peer::ReplicaMessage huge = large_write(2);
    const Record record = record_of(dot(9, 2), std::string(50'000, 'v'));
    huge.mutable_write()->set_record(wire::encode(record));
    small.on_message(peer_node, huge);
    small.on_message(peer_node, huge);
    ASSERT_EQ(host.sent.size(), 1u) << "one of that size at a time";
    EXPECT_EQ(base::reason_of(refusal_of(host.sent[0])), base::reason::overloaded);
    rig.settle();
    EXPECT_THAT(values(*rig.read(group(1), key("k2"))), ElementsAre(std::string(50'000, 'v')));
    EXPECT_EQ(small.peer_bytes(), 0u);
}

TEST_F(ReplicaBudgetTest, ARequestThatIsRefusedForItsOwnSakeHoldsNothing) {
    peer::ReplicaMessage question = large_write(1);
    question.mutable_write()->set_record("nonsense");
    small.on_message(peer_node, question);
    host.is_storing = false;
    host.held = {};
    small.on_message(peer_node, large_write(2));
    small.on_message(peer_node, read_message());
    rig.settle();
    EXPECT_EQ(host.sent.size(), 3u);
    EXPECT_EQ(small.peer_bytes(), 0u);
    EXPECT_EQ(small.peer_requests_refused(), 0u);
}

}  // namespace
}  // namespace starling::node
