// Scripted scenarios: what breaks weaker rules (docs/causality.md, docs/handover.md) and what seeds
// have found.

#include "tests/sim/scenario.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "node/server/inspect.h"

namespace starling::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

using ClusterTest = Scenario;
using CausalityTest = Scenario;
using CrashTest = Scenario;
using SessionTest = Scenario;

struct HandoverTest : Scenario {
    void await_filling(uint32_t number) {
        wait_until([this, number] {
            if (!simulation_->cluster().is_member(machine(number))) return false;
            node::ShardInspection inside;
            machine(number).node().inspect(inside);
            return inside.seats_filling > 0;
        });
    }
    // The put of "deleted" once more, as its client would send it that has read nothing.
    node::PutRequest retry_of(const PutOutcome& deleted) {
        return {.options = {},
                .key = simulation_->oracle().key(key()).key,
                .value = "deleted",
                .context = "",
                .request = simulation_->oracle().history(key()).get(deleted.id).request};
    }
    void send_to(uint32_t number, const node::PutRequest& request) {
        machine(number).post(
            [this, number, request] { machine(number).node().put(request, [](const auto&) {}); });
        run_for(milliseconds(100));
    }
};

constexpr Replaces with_context = Replaces::seen;

TEST_F(ClusterTest, ALoneUserMeetsNoSiblingsThroughAnyNode) {
    form(3);
    for (uint32_t i = 1; i <= 9; ++i) {
        const std::string value = "v" + std::to_string(i);
        ASSERT_TRUE(put(1 + i % 3, value).status.ok());
        EXPECT_THAT(read(1 + (i + 1) % 3).values, ElementsAre(value));
    }
    ASSERT_TRUE(remove(1).status.ok());
    EXPECT_THAT(read(2).values, IsEmpty());
    finish();
}

TEST_F(ClusterTest, AMajorityGoesOnAndTheNodeThatWasAwayCatchesUp) {
    form(3);
    ASSERT_TRUE(put(1, "before").status.ok());
    isolate(3);
    ASSERT_TRUE(put(1, "meanwhile").status.ok());
    EXPECT_THAT(read(2).values, ElementsAre("meanwhile"));
    EXPECT_FALSE(put(3, "alone").status.ok());
    EXPECT_FALSE(read(3).status.ok());
    heal();
    finish();
}

TEST_F(ClusterTest, AFiveNodeClusterHidesTheLossOfOne) {
    form(5);
    ASSERT_TRUE(put(1, "a").status.ok());
    crash(2, env::CrashMode::lost, seconds(60));
    for (int i = 0; i < 10; ++i) {
        run_for(seconds(1));
        const uint32_t through = i % 2 == 0 ? 1 : 4;
        ASSERT_TRUE(put(through, "b" + std::to_string(i)).status.ok());
        EXPECT_THAT(read(5).values, ElementsAre("b" + std::to_string(i)));
    }
    finish();
}

TEST_F(CausalityTest, ConcurrentWritesThroughTwoNodesBothSurvive) {
    form(3);
    ASSERT_TRUE(put(1, "a", {.replaces = with_context}).status.ok());
    ASSERT_TRUE(put(2, "b", {.replaces = with_context}).status.ok());
    const ReadOutcome both = read(3);
    EXPECT_THAT(both.values, UnorderedElementsAre("a", "b"));
    ASSERT_TRUE(put(3, "c", {.replaces = with_context, .context = both.context}).status.ok());
    EXPECT_THAT(read(1).values, ElementsAre("c"));
    finish();
}

TEST_F(CausalityTest, ThreeSiblingsAllSurviveAMerge) {
    form(3);
    for (uint32_t node = 1; node <= 3; ++node) {
        ASSERT_TRUE(put(node, "s" + std::to_string(node), {.replaces = with_context}).status.ok());
    }
    EXPECT_THAT(read(1, 3).values, UnorderedElementsAre("s1", "s2", "s3"));
    finish();
}

TEST_F(CausalityTest, TheContextOfAPutDoesNotCoverAConcurrentWriteItsClientNeverSaw) {
    form(3);
    ASSERT_TRUE(put(1, "theirs", {.replaces = with_context}).status.ok());
    const PutOutcome mine = put(1, "mine", {.replaces = with_context});
    ASSERT_TRUE(mine.status.ok());
    ASSERT_TRUE(
        put(1, "mine again", {.replaces = with_context, .context = mine.context}).status.ok());
    EXPECT_THAT(read(2).values, UnorderedElementsAre("theirs", "mine again"));
    finish();
}

TEST_F(SessionTest, ReadsItsOwnWritesAndDeletesAtOneSeatThroughAnyNode) {
    RunOptions options = plain(3, 3);
    options.node.hint_interval = seconds(30);
    options.node.entropy_interval = seconds(60);
    form(options);
    SessionSeen session;
    for (uint32_t i = 1; i <= 6; ++i) {
        // The one that is read misses the write.
        const uint32_t reader = 1 + i % 3;
        const uint32_t writer = 1 + (i + 1) % 3;
        isolate(reader);
        const bool is_delete = i % 3 == 0;
        const std::string value = is_delete ? "" : "v" + std::to_string(i);
        const PutOutcome written = put(writer, value, {.is_delete = is_delete, .session = session});
        ASSERT_TRUE(written.status.ok()) << written.status;
        heal();
        const ReadOutcome found = read(reader, 1, written.session);
        ASSERT_TRUE(found.status.ok()) << found.status;
        EXPECT_EQ(found.values, is_delete ? Values{} : Values{value});
        session = found.session;
        // Until all are connected again.
        run_for(seconds(5));
    }
    finish();
}

TEST_F(SessionTest, WhereNobodyWithItsWriteCanBeReachedTheReadFails) {
    RunOptions options = plain(3, 3);
    options.node.hint_interval = seconds(30);
    options.node.entropy_interval = seconds(60);
    form(options);
    isolate(3);
    const PutOutcome written = put(1, "v", {.session = SessionSeen()});
    ASSERT_TRUE(written.status.ok());
    const ReadOutcome refused = read(3, 1, written.session);
    EXPECT_EQ(base::reason_of(refused.status), base::reason::session_not_satisfied);
    EXPECT_TRUE(read(3, 1).status.ok()) << "without the session it is answered, and may be old";
    heal();
    EXPECT_THAT(read(3, 1, written.session).values, ElementsAre("v"));
    finish();
}

TEST_F(CausalityTest, AnUnsyncedWriteLostInACrashLeavesNothingBehind) {
    form(3);
    ASSERT_TRUE(put(1, "w0").status.ok());
    isolate(1);
    begin_put(1, "w1", {.replaces = with_context, .w = 1});
    run_for(milliseconds(1));
    crash(1, env::CrashMode::lost, seconds(1));
    heal();
    run_for(seconds(5));
    ASSERT_TRUE(put(2, "w2").status.ok());
    finish();
}

TEST_F(CausalityTest, ADeletedValueStaysAwayWhenANodeThatMissedTheDeleteReturns) {
    form(3);
    ASSERT_TRUE(put(1, "w", {.w = 3}).status.ok());
    crash(3, env::CrashMode::lost, seconds(30));
    ASSERT_TRUE(remove(1).status.ok());
    run_for(seconds(40));
    EXPECT_THAT(read(3).values, IsEmpty());
    finish();
}

// Of the many pages of the comparison some are lost on the way, and asked for again.
TEST_F(CausalityTest, DeletesThatArePulledOverABadLinkAllArrive) {
    constexpr size_t keys = 40;
    RunOptions options = plain(3, 3);
    options.workload.keys = keys;
    options.audit_interval = 1'000'000;
    options.node.hint_bytes_max = 1;
    options.node.entropy_page_bytes = 1;
    form(options);
    run_for(seconds(10));
    for (size_t key = 0; key < keys; ++key) {
        use_key(key);
        ASSERT_TRUE(put(1, "deleted", {.w = 3}).status.ok());
    }
    isolate(3);
    for (size_t key = 0; key < keys; ++key) {
        use_key(key);
        ASSERT_TRUE(remove(1).status.ok());
    }
    // From then on the tombstones may go as soon as all have seen them.
    run_for(seconds(60));
    simulation_->network().set_faults({.loss_per_million = 100'000});
    heal();
    run_for(seconds(60));
    simulation_->network().set_faults({});
    for (size_t key = 0; key < keys; ++key) {
        use_key(key);
        EXPECT_THAT(read(3, 2).values, IsEmpty());
    }
    finish();
}

TEST_F(CausalityTest, AReadOfOneAnswerThroughANodeThatIsBehindIsNotAnsweredByIt) {
    RunOptions options = plain(3, 3);
    // No hint is kept for it.
    options.node.hint_bytes_max = 0;
    form(options);
    ASSERT_TRUE(put(1, "old", {.w = 3}).status.ok());
    crash(3, env::CrashMode::lost, seconds(5));
    ASSERT_TRUE(put(1, "new").status.ok());
    wait_until([&] { return machine(3).is_up(); });
    ReadOutcome first = read(3, 1);
    while (!first.status.ok()) {
        first = read(3, 1);
    }
    EXPECT_THAT(first.values, ElementsAre("new"));
    finish();
}

// Nobody held it for dead, so it does not know by itself that it lacks something; and no hint of
// the write fits.
TEST_F(CausalityTest, AReadOfOneAnswerThroughANodeThatMissedAWriteWithoutAHintIsNotAnsweredByIt) {
    RunOptions options = plain(3, 3);
    options.node.hint_bytes_max = 0;
    options.node.hint_after = milliseconds(50);
    form(options);
    ASSERT_TRUE(put(1, "a", {.w = 3}).status.ok());
    run_for(seconds(20));
    cut(1, 3);
    ASSERT_TRUE(put(1, "b").status.ok());
    run_for(milliseconds(20));
    heal();
    run_for(milliseconds(100));
    EXPECT_THAT(read(3, 1).values, ElementsAre("b"));
    finish();
}

TEST_F(CausalityTest, AReplacedValueStaysAwayWhenANodeThatMissedItReturns) {
    form(3);
    ASSERT_TRUE(put(1, "w0", {.w = 3}).status.ok());
    const ReadOutcome seen = read(1);
    isolate(3);
    ASSERT_TRUE(put(1, "w1", {.replaces = with_context, .context = seen.context}).status.ok());
    heal();
    run_for(seconds(1));
    EXPECT_THAT(read(3, 3).values, ElementsAre("w1"));
    finish();
}

TEST_F(HandoverTest, ANodeThatJoinsServesWhatWasWrittenBefore) {
    form(plain(4, 3));
    ASSERT_TRUE(put(1, "before").status.ok());
    simulation_->cluster().bring_up(4);
    for (int i = 0; i < 30; ++i) {
        run_for(milliseconds(300));
        ASSERT_TRUE(put(1 + static_cast<uint32_t>(i) % 3, "v" + std::to_string(i)).status.ok());
        EXPECT_THAT(read(1 + static_cast<uint32_t>(i + 1) % 3).values,
                    ElementsAre("v" + std::to_string(i)));
    }
    finish();
}

// It has been written to before it could copy anything, so it copies nothing; and the delete of the
// first key has left the index of the others.
TEST_F(HandoverTest, ANodeThatJoinsKnowsWhatWasDeletedBefore) {
    for (const uint32_t cut_off : {1u, 2u, 3u}) {
        form(plain(4, 3));
        run_for(seconds(10));
        const PutOutcome deleted = put(1, "deleted", {.replaces = with_context, .w = 3});
        ASSERT_TRUE(deleted.status.ok());
        ASSERT_TRUE(remove(1, {.w = 3}).status.ok());
        run_for(seconds(8));
        const node::PutRequest again = retry_of(deleted);
        simulation_->cluster().bring_up(4);
        await_filling(4);
        cut(cut_off, 4);
        use_key(1);
        put(1 + cut_off % 3, "meanwhile", {.w = 3});
        heal();
        wait_until([this] { return seats_held_by(4) > 0; });
        run_for(seconds(6));
        use_key(0);
        send_to(4, again);
        EXPECT_THAT(read(4, 1).values, IsEmpty()) << "node " << cut_off << " cut off";
        finish();
    }
}

// The life of a node that deleted it is sealed: no difference of frontiers names its writes.
TEST_F(HandoverTest, ANodeThatJoinsKnowsWhatALifeHadDeletedThatIsSealed) {
    RunOptions options = plain(4, 3);
    options.node.request_window = seconds(300);
    form(options);
    run_for(seconds(10));
    const PutOutcome deleted = put(1, "deleted", {.replaces = with_context, .w = 3});
    ASSERT_TRUE(deleted.status.ok());
    ASSERT_TRUE(remove(1, {.w = 3}).status.ok());
    run_for(seconds(8));
    const base::NodeId deleter = machine(1).node().id();
    crash(1, env::CrashMode::process, seconds(1));
    wait_until([&] {
        node::ShardInspection inside;
        machine(2).node().inspect(inside);
        return std::ranges::any_of(inside.groups, [&](const node::GroupInspection& group) {
            return group.summary.frontier.sealed_before(deleter) > 0;
        });
    });
    const node::PutRequest again = retry_of(deleted);
    simulation_->cluster().bring_up(4);
    await_filling(4);
    cut(1, 4);
    use_key(1);
    put(2, "meanwhile", {.w = 3});
    heal();
    wait_until([this] { return seats_held_by(4) > 0; });
    run_for(seconds(6));
    use_key(0);
    send_to(4, again);
    EXPECT_THAT(read(4, 1).values, IsEmpty());
    finish();
}

TEST_F(HandoverTest, AClusterGrowsFromOneNodeToThreeWhileItServes) {
    form(plain(3, 1));
    ASSERT_TRUE(put(1, "v0").status.ok());
    simulation_->cluster().bring_up(2);
    simulation_->cluster().bring_up(3);
    for (int i = 1; i < 40; ++i) {
        run_for(milliseconds(200));
        const PutOutcome written = put(1, "v" + std::to_string(i));
        // In the gap of a move too few seats may count for a moment.
        if (written.status.ok()) {
            const ReadOutcome back = read(1);
            if (back.status.ok()) {
                EXPECT_THAT(back.values, ElementsAre("v" + std::to_string(i)));
            }
        }
    }
    finish();
}

TEST_F(HandoverTest, TheGiverCrashesInTheMiddleOfAMove) {
    for (const int after_ms : {5, 20, 50, 100, 200, 400, 800, 1500}) {
        SCOPED_TRACE(after_ms);
        form(plain(3, 1));
        ASSERT_TRUE(put(1, "v", {.w = 3}).status.ok());
        simulation_->cluster().bring_up(2);
        simulation_->cluster().bring_up(3);
        run_for(milliseconds(after_ms));
        crash(1, env::CrashMode::lost, seconds(3));
        finish();
    }
}

TEST_F(HandoverTest, TheSuccessorCrashesInTheMiddleOfAMove) {
    for (const int after_ms : {5, 20, 50, 100, 200, 400, 800, 1500}) {
        SCOPED_TRACE(after_ms);
        form(plain(3, 1));
        ASSERT_TRUE(put(1, "v", {.w = 3}).status.ok());
        simulation_->cluster().bring_up(2);
        run_for(milliseconds(after_ms));
        crash(2, env::CrashMode::lost, seconds(3));
        simulation_->cluster().bring_up(3);
        finish();
    }
}

TEST_F(CrashTest, WhatWasAcknowledgedSurvivesThePowerCutOfAllNodes) {
    form(3);
    for (int i = 0; i < 5; ++i) {
        ASSERT_TRUE(put(1 + static_cast<uint32_t>(i) % 3, "v" + std::to_string(i)).status.ok());
        for (uint32_t node = 1; node <= 3; ++node)
            crash(node, env::CrashMode::lost, milliseconds(100));
        run_for(seconds(10));
        EXPECT_THAT(read(2).values, ElementsAre("v" + std::to_string(i)));
    }
    finish();
}

TEST_F(CrashTest, WhatWasAcknowledgedSurvivesTornLogs) {
    form(3);
    for (int i = 0; i < 10; ++i) {
        ASSERT_TRUE(put(1 + static_cast<uint32_t>(i) % 3, "v" + std::to_string(i)).status.ok());
        begin_put(1, "unfinished" + std::to_string(i), {.replaces = with_context});
        run_for(milliseconds(1));
        for (uint32_t node = 1; node <= 3; ++node)
            crash(node, env::CrashMode::torn, milliseconds(100));
        run_for(seconds(10));
        EXPECT_TRUE(read(2).status.ok());
    }
    finish();
}

TEST_F(CrashTest, AHintedWriteSurvivesTheCrashOfItsStandInAfterDelivery) {
    form(5);
    crash(2, env::CrashMode::lost, seconds(20));
    for (int i = 0; i < 5; ++i)
        ASSERT_TRUE(put(1, "v" + std::to_string(i)).status.ok());
    run_for(seconds(25));
    for (uint32_t node = 1; node <= 5; ++node) {
        crash(node, env::CrashMode::lost, milliseconds(100));
        run_for(seconds(3));
    }
    finish();
}

TEST_F(CrashTest, ANodeThatDiesAgainAndAgainDuringItsStartComesBack) {
    form(3);
    ASSERT_TRUE(put(1, "v", {.w = 3}).status.ok());
    for (uint64_t n = 1; n <= 30; ++n) {
        crash(3, env::CrashMode::torn, milliseconds(10));
        machine(3).die_at_io(n, env::CrashMode::torn);
        run_for(milliseconds(100));
    }
    machine(3).forget_death();
    finish();
}

TEST(DiskAuditTest, AnAuditOfEveryAcknowledgementChangesNothingInTheRun) {
    for (const uint64_t seed : {2u, 3u, 14u}) {
        RunOptions options = draw_options({.seed = seed, .nodes = {}, .duration = seconds(30)});
        options.audit_interval = 1'000'000;
        const RunResult without = Simulation(options).run();
        options.audit_interval = 1;
        const RunResult with = Simulation(options).run();
        EXPECT_EQ(without.digest, with.digest) << "seed " << seed;
        EXPECT_GT(with.audit.acknowledgements, 50);
        EXPECT_GT(with.audit.keys_merged, 0);
        EXPECT_GT(with.audit.indexed_dots, 0);
    }
}

}  // namespace
}  // namespace starling::sim
