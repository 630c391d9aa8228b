// Hand-written histories on one key, legal and illegal: what the oracle must and must not complain
// of.

#include "tests/sim/oracle.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace starling::sim {
namespace {

using std::chrono::seconds;
using ::testing::IsEmpty;

constexpr uint32_t n = 3;

class OracleTest : public ::testing::Test {
  protected:
    OracleTest() : oracle_(verdict_) {
        key_ = oracle_.add_key({.name_space = "default",
                                .key = "k",
                                .partition = base::PartitionId(5),
                                .replicas = n});
        other_ = oracle_.add_key({.name_space = "default",
                                  .key = "l",
                                  .partition = base::PartitionId(5),
                                  .replicas = n});
    }

    struct PutAs {
        Replaces replaces = Replaces::acknowledged;
        std::vector<WriteId> seen = {};
        bool is_delete = false;
        uint32_t w = 2;
        uint64_t expires_ms = 0;
        uint64_t context_clock_ms = 0;
    };

    WriteId send(const std::string& value, PutAs as) { return send_to(key_, value, as); }
    WriteId send(const std::string& value) { return send(value, PutAs()); }
    WriteId send_to(KeyIndex key, const std::string& value, PutAs as) {
        clock_ += seconds(1);
        return oracle_.put_sent(key,
                                {.request = {1, ++requests_, 0},
                                 .value = value,
                                 .is_delete = as.is_delete,
                                 .expires_ms = as.expires_ms,
                                 .replaces = as.replaces,
                                 .context_clock_ms = as.context_clock_ms,
                                 .quorum = as.w,
                                 .started = clock_},
                                as.seen);
    }

    static node::Dot dot(uint64_t sequence) {
        return {.actor = {base::NodeId(1), 1, 1}, .sequence = sequence};
    }

    // Each write has the dot of its own number.
    void acknowledge(WriteId id, uint32_t seats = 2, uint32_t hinted = 0) {
        acknowledge_as(key_, id, dot(id.raw()), seats, hinted);
    }
    void acknowledge_as(KeyIndex key, WriteId id, node::Dot dot, uint32_t seats, uint32_t hinted) {
        clock_ += seconds(1);
        node::PutResult result;
        result.dot = dot;
        fill(result.receipt, oracle_.history(key).get(id).quorum, seats);
        result.receipt.seats_hinted = hinted;
        node::Superseded seen;
        seen.context.add(dot);
        oracle_.put_acknowledged(key, id, clock_, result, seen);
        oracle_.put_settled(key, id, clock_);
    }
    WriteId put(const std::string& value, PutAs as) {
        const WriteId id = send(value, as);
        acknowledge(id, as.w);
        return id;
    }
    WriteId put(const std::string& value) { return put(value, PutAs()); }
    WriteId remove(PutAs as) {
        as.is_delete = true;
        return put("", as);
    }
    WriteId remove() { return remove(PutAs()); }

    std::vector<WriteId> read(const std::vector<std::string>& values, uint32_t r = 2) {
        return read_as(values,
                       {.sent = clock_ + seconds(1), .answered = clock_ + seconds(2), .quorum = r});
    }
    std::vector<WriteId> read_as(const std::vector<std::string>& values, Oracle::Read read) {
        clock_ = std::max(clock_, read.answered);
        node::GetResult result;
        node::Context context;
        context.add(dot(1'000));
        for (const std::string& value : values) {
            const WriteId id = oracle_.history(key_).find_value(value);
            result.values.push_back(
                {.value = value,
                 .dot = dot(id.is_none() ? 999 : id.raw()),
                 .time = {},
                 .expires_ms = id.is_none() ? 0 : oracle_.history(key_).get(id).expires_ms});
        }
        fill(result.receipt, read.quorum, read.quorum);
        return oracle_.read_answered(key_, read, result, {.context = context, .requests = {}});
    }
    // By a node whose clock shows this.
    std::vector<WriteId> read_at(uint64_t clock_ms, const std::vector<std::string>& values) {
        return read_as(values,
                       {.sent = clock_ + seconds(1),
                        .answered = clock_ + seconds(2),
                        .quorum = 2,
                        .clock_low_ms = clock_ms,
                        .clock_high_ms = clock_ms});
    }
    static void fill(node::Receipt& receipt, uint32_t quorum, uint32_t seats) {
        receipt.partition = base::PartitionId(5);
        receipt.replicas_total = n;
        receipt.quorum = quorum;
        receipt.seats_answered = seats;
        receipt.nodes_answered = seats;
    }

    // The invariants found violated, each once, in order.
    std::vector<std::string> violated() const {
        std::vector<std::string> result;
        for (const Violation& violation : verdict_.violations()) {
            if (std::ranges::find(result, violation.invariant) == result.end())
                result.push_back(violation.invariant);
        }
        return result;
    }

    Verdict verdict_;
    Oracle oracle_;
    KeyIndex key_;
    KeyIndex other_;
    SimTime clock_{0};
    uint64_t requests_ = 0;
};

using ::testing::ElementsAre;
constexpr auto context = Replaces::seen;
constexpr auto blind = Replaces::local;

TEST_F(OracleTest, ASequentialUserReadsTheLastWrite) {
    put("a");
    put("b");
    read({"b"});
    EXPECT_THAT(violated(), IsEmpty());
}

TEST_F(OracleTest, AMissingAcknowledgedWriteIsLost) {
    put("a");
    read({});
    EXPECT_THAT(violated(), ElementsAre("I1"));
}

TEST_F(OracleTest, AReplacedValueThatStaysBesideItsSuccessorIsNoSibling) {
    put("a");
    put("b");
    read({"a", "b"});
    EXPECT_THAT(violated(), ElementsAre("I15"));
}

TEST_F(OracleTest, AStaleReadAcrossOverlappingQuorumsIsAViolation) {
    put("a");
    put("b");
    read({"a"});
    EXPECT_THAT(violated(), ElementsAre("I1", "I3"));
}

TEST_F(OracleTest, AStaleReadAtROneIsAllowed) {
    put("a");
    put("b");
    read({"a"}, 1);
    read({}, 1);
    EXPECT_THAT(violated(), IsEmpty());
}

TEST_F(OracleTest, ReadsAtROneStillMeetWritesAtWThree) {
    put("a", {.w = 3});
    read({}, 1);
    EXPECT_THAT(violated(), ElementsAre("I1"));
}

TEST_F(OracleTest, AHintDoesNotCountForOverlap) {
    acknowledge(send("a"), 2, 1);
    read({});
    EXPECT_THAT(violated(), IsEmpty());
}

TEST_F(OracleTest, AHintedWriteIsThereWhenAllIsQuiet) {
    acknowledge(send("a"), 2, 1);
    read_as(
        {},
        {.sent = clock_ + seconds(1), .answered = clock_ + seconds(2), .quorum = 3, .quiet = true});
    EXPECT_THAT(violated(), ElementsAre("I1"));
}

TEST_F(OracleTest, AReadSentBeforeTheAcknowledgementMayMissTheWrite) {
    const WriteId a = send("a");
    const SimTime sent = clock_;
    acknowledge(a);
    read_as({}, {.sent = sent, .answered = clock_ + seconds(1), .quorum = 2});
    EXPECT_THAT(violated(), IsEmpty());
}

TEST_F(OracleTest, AnUnknownWriteMayAppearOrNot) {
    put("a");
    send("b");
    read({"a"});
    read({"b"});
    read({"a", "b"});
    EXPECT_THAT(violated(), ElementsAre("I15"))
        << "b was sent after a was acknowledged, so b replaces a";
}

TEST_F(OracleTest, AnUnknownWriteThatWasReadIsThereWhenAllIsQuiet) {
    send("b");
    read({"b"}, 1);
    read({}, 1);
    EXPECT_THAT(violated(), IsEmpty()) << "one replica may have it, the others not yet";
    read_as(
        {},
        {.sent = clock_ + seconds(1), .answered = clock_ + seconds(2), .quorum = 3, .quiet = true});
    EXPECT_THAT(violated(), ElementsAre("I1"));
}

TEST_F(OracleTest, WhatOneSeatAloneHadMayGoWithItsDisk) {
    const WriteId a = send("a");
    send("b");
    acknowledge(a, 2);
    read({"a", "b"}, 1);
    oracle_.set_disk_lost_data(true);
    const Oracle::Read when_quiet{
        .sent = clock_ + seconds(1), .answered = clock_ + seconds(2), .quorum = 3, .quiet = true};
    read_as({"a"}, when_quiet);
    EXPECT_THAT(violated(), IsEmpty());
    read_as({}, when_quiet);
    EXPECT_THAT(violated(), ElementsAre("I1")) << "two seats had it";
}

TEST_F(OracleTest, WhatAMajorityReadReturnedNoLaterOneMisses) {
    send("b");
    read({"b"});
    read({}, 1);
    EXPECT_THAT(violated(), IsEmpty()) << "R=1 shares no seat with the N-R+1 that had it";
    read({});
    EXPECT_THAT(violated(), ElementsAre("I1"));
}

TEST_F(OracleTest, WhatAMajorityReadReturnedMayBeReplacedLater) {
    const WriteId b = send("b", {.replaces = context});
    read({"b"});
    put("c", {.replaces = context, .seen = {b}});
    read({"c"});
    EXPECT_THAT(violated(), IsEmpty());
}

TEST_F(OracleTest, WhatAMajorityReadShowedReplacedDoesNotComeBack) {
    const WriteId a = put("a");
    send("b", {.replaces = context, .seen = {a}});
    read({"b"});
    read({"a"});
    EXPECT_THAT(violated(), ElementsAre("I1", "I3"));
}

TEST_F(OracleTest, WhatIsAcknowledgedAtWHasToBeOnAsManyDisks) {
    const WriteId a = put("a");
    node::Receipt receipt;
    fill(receipt, 2, 2);
    node::SeatSet seats = node::SeatSet::of(base::SeatIndex(0));
    seats.add(base::SeatIndex(2));
    oracle_.disks_inspected(key_, a, 2, receipt, {.seats = seats, .machines = 2});
    EXPECT_THAT(violated(), IsEmpty());
    oracle_.disks_inspected(key_, a, 2, receipt, {.seats = seats, .machines = 1});
    EXPECT_THAT(violated(), ElementsAre("I10")) << "one machine, where the receipt names two";
}

TEST_F(OracleTest, OneDiskIsTooFewForAnAcknowledgementAtTwo) {
    const WriteId a = put("a");
    node::Receipt receipt;
    fill(receipt, 2, 2);
    oracle_.disks_inspected(
        key_, a, 2, receipt, {.seats = node::SeatSet::of(base::SeatIndex(0)), .machines = 2});
    EXPECT_THAT(violated(), ElementsAre("I10"));
}

TEST_F(OracleTest, ConcurrentWritesWithContextBothSurvive) {
    put("a", {.replaces = context});
    put("b", {.replaces = context});
    read({"a", "b"});
    EXPECT_THAT(violated(), IsEmpty());
    read({"b"});
    EXPECT_THAT(violated(), ElementsAre("I1"));
}

TEST_F(OracleTest, AContextReplacesWhatItsReadReturned) {
    put("a", {.replaces = context});
    put("b", {.replaces = context});
    const auto seen = read({"a", "b"});
    put("c", {.replaces = context, .seen = seen});
    read({"c"});
    EXPECT_THAT(violated(), IsEmpty());
    read({"a", "c"});
    EXPECT_THAT(violated(), ElementsAre("I15"));
}

TEST_F(OracleTest, AContextReplacesNothingElse) {
    put("a", {.replaces = context});
    const auto seen = read({"a"});
    put("b", {.replaces = context});
    put("c", {.replaces = context, .seen = seen});
    read({"b", "c"});
    EXPECT_THAT(violated(), IsEmpty());
    read({"c"});
    EXPECT_THAT(violated(), ElementsAre("I1"));
}

TEST_F(OracleTest, APutWithoutContextMayReplaceAConcurrentOne) {
    const WriteId a = send("a");
    const WriteId b = send("b");
    acknowledge(a);
    acknowledge(b);
    read({"b"});
    read({"a"});
    read({"a", "b"});
    EXPECT_THAT(violated(), IsEmpty());
    read({});
    EXPECT_THAT(violated(), ElementsAre("I1"));
}

TEST_F(OracleTest, AnEarlierPutWithoutContextDoesNotReplaceALaterOne) {
    put("a");
    put("b", {.replaces = context});
    read({"a", "b"});
    EXPECT_THAT(violated(), IsEmpty());
    read({"a"});
    EXPECT_THAT(violated(), ElementsAre("I1"));
}

TEST_F(OracleTest, AnUnsettledPutWithoutContextMayReplaceALaterOne) {
    send("a");
    put("b", {.replaces = context});
    read({"a"});
    EXPECT_THAT(violated(), IsEmpty());
}

TEST_F(OracleTest, AContextlessPutReplacesOnlyWhatAtLeastItsOwnWAcknowledged) {
    put("a", {.w = 1});
    put("b", {.w = 2});
    read({"a", "b"}, 3);
    EXPECT_THAT(violated(), IsEmpty()) << "two seats were asked, the third held a";
    put("c", {.w = 1});
    read({"a", "c"}, 3);
    EXPECT_THAT(violated(), ElementsAre("I15"));
}

TEST_F(OracleTest, ABlindPutNeedReplaceNothing) {
    put("a");
    put("b", {.replaces = blind});
    read({"a", "b"});
    read({"b"});
    EXPECT_THAT(violated(), IsEmpty());
}

TEST_F(OracleTest, ADeletedValueDoesNotComeBack) {
    put("a");
    remove();
    read({});
    EXPECT_THAT(violated(), IsEmpty());
    read({"a"});
    EXPECT_THAT(violated(), ElementsAre("I3"));
}

TEST_F(OracleTest, ADeleteExplainsNothingItHasNotSeen) {
    put("a", {.replaces = context});
    const auto seen = read({"a"});
    remove({.replaces = context, .seen = seen});
    put("b", {.replaces = context});
    read({});
    EXPECT_THAT(violated(), ElementsAre("I1"));
}

TEST_F(OracleTest, AValueReplacedThroughAChainStaysDead) {
    put("a");
    const auto seen = read({"a"});
    const WriteId b = send("b", {.replaces = context, .seen = seen});
    put("c", {.replaces = context, .seen = {b}});
    read({"c"});
    EXPECT_THAT(violated(), IsEmpty());
    read({"a", "c"});
    EXPECT_THAT(violated(), ElementsAre("I15"));
}

TEST_F(OracleTest, AValueNobodyWroteIsInvented) {
    put("a");
    read({"a", "x"});
    EXPECT_THAT(violated(), ElementsAre("I2"));
}

TEST_F(OracleTest, AValueOfAnotherKeyIsMisattributed) {
    send_to(other_, "x", {});
    read({"x"});
    EXPECT_THAT(violated(), ElementsAre("I2"));
}

TEST_F(OracleTest, ARefusedWriteMustNotAppear) {
    const WriteId a = send("a");
    oracle_.put_refused(key_, a);
    read({});
    EXPECT_THAT(violated(), IsEmpty());
    read({"a"});
    EXPECT_THAT(violated(), ElementsAre("I2"));
}

TEST_F(OracleTest, OneRequestIsReturnedOnce) {
    put("a");
    read({"a", "a"});
    EXPECT_THAT(violated(), ElementsAre("I8"));
}

// A repeat under another dot is acknowledged after its write was read and replaced.
TEST_F(OracleTest, AReadOwesADotWhatThatDotsOwnAcknowledgementPromised) {
    for (const uint32_t hinted : {1u, 0u}) {
        const WriteId first = put(fmt::format("a{}", hinted));
        read({fmt::format("a{}", hinted)});
        put(fmt::format("b{}", hinted), {.replaces = context, .seen = {first}});
        read({fmt::format("b{}", hinted)});
        acknowledge_as(
            key_, first, {.actor = {base::NodeId(2), 1, 1}, .sequence = 1 + hinted}, 2, hinted);
        read({fmt::format("b{}", hinted)});
        if (hinted == 1) {
            EXPECT_THAT(violated(), IsEmpty()) << "one seat and a hint meet no read at two";
        } else {
            EXPECT_THAT(violated(), ElementsAre("I6"));
        }
    }
}

TEST_F(OracleTest, ADotBelongsToOneWriteOfItsPartition) {
    put("a");
    const WriteId x = send_to(other_, "x", {});
    acknowledge_as(other_, x, dot(1), 2, 0);
    EXPECT_THAT(violated(), ElementsAre("I7"));
}

TEST_F(OracleTest, AReceiptBelowItsQuorumIsAViolation) {
    acknowledge(send("a"), 1);
    EXPECT_THAT(violated(), ElementsAre("I11"));
}

TEST_F(OracleTest, AReplicaThatMissesAWriteWhenAllIsQuietIsFound) {
    put("a");
    oracle_.replica_inspected(key_, {"a"}, "node 1", clock_ + seconds(9));
    EXPECT_THAT(violated(), IsEmpty());
    oracle_.replica_inspected(key_, {}, "node 2", clock_ + seconds(9));
    EXPECT_THAT(violated(), ElementsAre("I1"));
}

TEST_F(OracleTest, ASupersededAcknowledgedWriteNeedNotShowHoweverManyFollow) {
    put("v0");
    for (int i = 1; i < 50; ++i)
        put("v" + std::to_string(i), {.w = 1 + static_cast<uint32_t>(i) % 3});
    const WriteId last = put("last", {.w = 1});
    remove({.replaces = context, .seen = {last}, .w = 3});
    EXPECT_LE(oracle_.history(key_).standing().size(), 50u);
    EXPECT_THAT(violated(), IsEmpty());
}

TEST_F(OracleTest, AValueThatExpiresIsShownUntilThatAndNotFromThenOn) {
    put("a", {.expires_ms = 100});
    read_at(99, {"a"});
    EXPECT_THAT(violated(), IsEmpty());
    read_at(100, {"a"});
    EXPECT_THAT(violated(), ElementsAre("I26"));
}

TEST_F(OracleTest, AnExpiredValueIsAbsentByTheClockOfWhoAnswers) {
    put("a", {.expires_ms = 100});
    read_at(100, {});
    EXPECT_THAT(violated(), IsEmpty());
    read_at(99, {});
    EXPECT_THAT(violated(), ElementsAre("I1"));
}

TEST_F(OracleTest, AnExpiredValueMayBeRemovedSomeTimeAfterThatByAnyClock) {
    oracle_.set_removal_delay(10);
    put("a", {.expires_ms = 100});
    oracle_.clocks_showed(110);
    read_at(50, {});
    EXPECT_THAT(violated(), IsEmpty());
    oracle_.clocks_showed(109);
    read_at(50, {});
    EXPECT_THAT(violated(), ElementsAre("I1"));
}

TEST_F(OracleTest, AContextOfAClockThatIsAheadReplacesWhatHadExpiredByThat) {
    put("a", {.expires_ms = 100});
    put("b", {.replaces = context, .context_clock_ms = 99});
    put("c", {.replaces = context, .context_clock_ms = 100});
    read_at(50, {"b", "c"});
    EXPECT_THAT(violated(), IsEmpty());
}

TEST_F(OracleTest, AContextOfAClockThatIsNotReplacesNothingUnseen) {
    put("a", {.expires_ms = 100});
    put("b", {.replaces = context, .context_clock_ms = 99});
    read_at(50, {"b"});
    EXPECT_THAT(violated(), ElementsAre("I1"));
}

TEST_F(OracleTest, WhatAnExpiredValueHasReplacedStaysAway) {
    put("a");
    put("b", {.expires_ms = 100});
    read_at(100, {});
    EXPECT_THAT(violated(), IsEmpty());
    read_at(100, {"a"});
    EXPECT_THAT(violated(), ElementsAre("I3"));
}

TEST_F(OracleTest, AnExpiredSiblingTakesNoOtherAlong) {
    put("a", {.replaces = context, .expires_ms = 100});
    put("b", {.replaces = context});
    read_at(100, {"b"});
    EXPECT_THAT(violated(), IsEmpty());
    read_at(100, {});
    EXPECT_THAT(violated(), ElementsAre("I1"));
}

TEST_F(OracleTest, AnExpiryIsReturnedAsItWasPut) {
    put("a", {.expires_ms = 100});
    node::GetResult result;
    result.values.push_back({.value = "a", .dot = dot(1), .time = {}, .expires_ms = 101});
    fill(result.receipt, 2, 2);
    node::Superseded seen;
    seen.context.add(dot(1'000));
    oracle_.read_answered(
        key_,
        {.sent = clock_ + seconds(1), .answered = clock_ + seconds(2), .quorum = 2},
        result,
        seen);
    EXPECT_THAT(violated(), ElementsAre("I26"));
}

class LastWriteTimeTest : public OracleTest {
  protected:
    LastWriteTimeTest() {
        last_ = oracle_.add_key({.name_space = "last",
                                 .key = "k",
                                 .partition = base::PartitionId(5),
                                 .replicas = n,
                                 .policy = node::ConflictPolicy::last_write_wins});
    }

    void acknowledge_at(KeyIndex key, uint64_t wall_ms, bool is_repeat = false) {
        const WriteId id = send_to(key, fmt::format("v{}", requests_), PutAs());
        node::PutResult result;
        result.dot = dot(100 * key.raw() + id.raw());
        result.time = {.wall_ms = wall_ms, .logical = 0};
        result.is_repeat = is_repeat;
        fill(result.receipt, 2, 2);
        node::Superseded seen;
        seen.context.add(result.dot);
        oracle_.put_acknowledged(key, id, clock_ += seconds(1), result, seen);
    }

    KeyIndex last_;
};

TEST_F(LastWriteTimeTest, MayBeAsLateAsTheClocksAllow) {
    acknowledge_at(last_, 50'000);
    oracle_.clocks_allow(1'000);
    acknowledge_at(last_, 1'000);
    EXPECT_THAT(violated(), IsEmpty());
    EXPECT_EQ(oracle_.counts().last_writes_timed, 1u);
}

TEST_F(LastWriteTimeTest, IsNotLater) {
    oracle_.clocks_allow(1'000);
    acknowledge_at(last_, 1'001);
    EXPECT_THAT(violated(), ElementsAre("I22"));
}

TEST_F(LastWriteTimeTest, IsFreeInOtherNamespacesAndWhereAnotherNodeHasMinted) {
    oracle_.clocks_allow(1'000);
    acknowledge_at(key_, 50'000);
    acknowledge_at(last_, 50'000, /*is_repeat=*/true);
    EXPECT_THAT(violated(), IsEmpty());
}

}  // namespace
}  // namespace starling::sim
