// Scripted scenarios of values that expire: what clocks, restarts, absences and writes at the same
// time make of them. The oracle holds each answer against the clock of the node that gave it, and
// rest means that neither the values nor the tombstones that removed them are left.

#include <gmock/gmock.h>

#include "base/error.h"
#include "node/server/inspect.h"
#include "tests/sim/scenario.h"

namespace starling::sim {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr Replaces nothing_seen = Replaces::seen;
constexpr base::Duration ttl = seconds(20);
// After an expiry the first holder has removed the value, and all the others, if it did not.
constexpr base::Duration removed_after = seconds(10);
constexpr base::Duration removed_by_others_after = seconds(45);

class ExpiryScenarioTest : public Scenario {
  protected:
    // Two keys in each of `default`, `last`, `strict`, where there are these.
    static constexpr size_t last = 2;
    static constexpr size_t strict = 4;

    void settle(uint32_t nodes, bool with_policies = false) {
        RunOptions options = plain(nodes, nodes);
        options.workload.policy_namespaces = with_policies;
        ASSERT_NO_FATAL_FAILURE(form(options));
        run_for(seconds(15));
    }
    PutOutcome put_expiring(uint32_t node, const std::string& value, PutAs as) {
        as.ttl = ttl;
        return put(node, value, std::move(as));
    }
    void expect_everywhere(const Values& values) {
        for (uint32_t node = 1; node <= 3; ++node) {
            SCOPED_TRACE(node);
            const ReadOutcome back = read(node);
            EXPECT_TRUE(back.status.ok()) << back.status;
            EXPECT_THAT(back.values, ::testing::UnorderedElementsAreArray(values));
        }
    }
    // On the disk of this node: values and tombstones.
    std::pair<size_t, size_t> versions_at(uint32_t number) {
        node::ShardInspection inside;
        machine(number).node().inspect(inside);
        std::pair<size_t, size_t> found;
        for (const node::GroupInspection& group : inside.groups) {
            for (const node::KeyRecord& record : group.records) {
                for (const node::Sibling& sibling : record.record.siblings)
                    ++(sibling.is_tombstone ? found.second : found.first);
            }
        }
        return found;
    }
};

TEST_F(ExpiryScenarioTest, AValueIsShownUntilItExpiresAndLeavesNothing) {
    ASSERT_NO_FATAL_FAILURE(settle(3));
    ASSERT_TRUE(put_expiring(1, "value", {.w = 3}).status.ok());
    run_for(ttl - seconds(2));
    expect_everywhere({"value"});
    run_for(seconds(3));
    expect_everywhere({});
    EXPECT_EQ(versions_at(1), std::pair(size_t{1}, size_t{0})) << "hidden, not removed";
    run_for(removed_after);
    for (uint32_t node = 1; node <= 3; ++node) {
        SCOPED_TRACE(node);
        EXPECT_EQ(versions_at(node), std::pair(size_t{0}, size_t{1}));
    }
    finish();
}

TEST_F(ExpiryScenarioTest, EachNodeGoesByItsOwnClockAndTheRemovalWaitsForAllOfThem) {
    ASSERT_NO_FATAL_FAILURE(settle(3));
    machine(2).wall_clock().jump(seconds(2));
    machine(3).wall_clock().jump(-seconds(2));
    ASSERT_TRUE(put_expiring(1, "value", {.w = 3}).status.ok());
    run_for(ttl - seconds(1));
    EXPECT_THAT(read(2).values, IsEmpty());
    EXPECT_THAT(read(1).values, ElementsAre("value"));
    EXPECT_THAT(read(3).values, ElementsAre("value"));
    run_for(seconds(2));
    EXPECT_THAT(read(1).values, IsEmpty());
    EXPECT_THAT(read(3).values, ElementsAre("value"));
    run_for(seconds(2));
    EXPECT_THAT(read(3).values, IsEmpty());
    finish();
}

TEST_F(ExpiryScenarioTest, AClockHoursAheadHidesAtItsOwnNodeAndRemovesNothing) {
    ASSERT_NO_FATAL_FAILURE(settle(3));
    const uint32_t first = holders().front();
    const uint32_t other = first % 3 + 1;
    ASSERT_TRUE(put(other, "value", {.w = 3, .ttl = hours(1)}).status.ok());
    machine(first).wall_clock().jump(hours(2));
    run_for(minutes(2));
    EXPECT_THAT(read(first).values, IsEmpty());
    EXPECT_THAT(read(other).values, ElementsAre("value"));
    machine(first).wall_clock().jump(-hours(2));
    EXPECT_THAT(read(first).values, ElementsAre("value"));
    run_for(minutes(1));
    expect_everywhere({"value"});
    ASSERT_TRUE(put(other, "for ever", {.w = 3}).status.ok());
    finish();
}

TEST_F(ExpiryScenarioTest, TheNextHolderRemovesWhatTheFirstOneCannot) {
    ASSERT_NO_FATAL_FAILURE(settle(3));
    const uint32_t first = holders().front();
    const uint32_t other = first % 3 + 1;
    ASSERT_TRUE(put_expiring(other, "value", {.w = 3}).status.ok());
    // Its clock is wrong, it is alive: the others wait for their turns.
    machine(first).wall_clock().jump(-hours(1));
    run_for(ttl + removed_by_others_after);
    EXPECT_EQ(versions_at(other), std::pair(size_t{0}, size_t{1}));
    machine(first).wall_clock().jump(hours(1));
    finish();
}

TEST_F(ExpiryScenarioTest, ARestartAfterTheExpiryStillRemovesTheValue) {
    ASSERT_NO_FATAL_FAILURE(settle(1));
    ASSERT_TRUE(put_expiring(1, "value", {.w = 1}).status.ok());
    use_key(1);
    ASSERT_TRUE(put(1, "stays", {.w = 1}).status.ok());
    crash(1, env::CrashMode::lost, ttl);
    run_for(ttl + seconds(2));
    EXPECT_THAT(read(1, 1).values, ElementsAre("stays"));
    use_key(0);
    EXPECT_THAT(read(1, 1).values, IsEmpty());
    finish();
}

TEST_F(ExpiryScenarioTest, APutBesideTheRemovalStays) {
    ASSERT_NO_FATAL_FAILURE(settle(3));
    ASSERT_TRUE(put_expiring(1, "expires", {.w = 3}).status.ok());
    isolate(3);
    ASSERT_TRUE(put(3, "beside it", {.replaces = nothing_seen, .w = 1}).status.ok());
    run_for(ttl + removed_after);
    heal();
    run_for(seconds(30));
    expect_everywhere({"beside it"});
    finish();
}

TEST_F(ExpiryScenarioTest, APutThatHasSeenTheValueReplacesItAndNotTheOtherWayRound) {
    ASSERT_NO_FATAL_FAILURE(settle(3));
    ASSERT_TRUE(put_expiring(1, "expires", {.w = 3}).status.ok());
    const ReadOutcome seen = read(3);
    isolate(3);
    ASSERT_TRUE(put(3, "after it", {.replaces = Replaces::seen, .context = seen.context, .w = 1})
                    .status.ok());
    run_for(ttl + removed_after);
    heal();
    run_for(seconds(30));
    expect_everywhere({"after it"});
    ASSERT_TRUE(put(2, "and after that", {.w = 3}).status.ok());
    expect_everywhere({"and after that"});
    finish();
}

TEST_F(ExpiryScenarioTest, ADeleteThatRacesWithTheRemovalLeavesNothingEither) {
    ASSERT_NO_FATAL_FAILURE(settle(3));
    ASSERT_TRUE(put_expiring(1, "expires", {.w = 3}).status.ok());
    isolate(3);
    ASSERT_TRUE(remove(3, {.replaces = Replaces::local, .w = 1}).status.ok());
    run_for(ttl + removed_after);
    heal();
    run_for(seconds(30));
    expect_everywhere({});
    finish();
}

TEST_F(ExpiryScenarioTest, ANodeThatReturnsBringsNoExpiredValueBack) {
    ASSERT_NO_FATAL_FAILURE(settle(3));
    ASSERT_TRUE(put_expiring(1, "expires", {.w = 3}).status.ok());
    crash(3, env::CrashMode::kept, minutes(10));
    run_for(minutes(10) + seconds(1));
    EXPECT_THAT(read(3, 1).values, IsEmpty());
    run_for(minutes(1));
    expect_everywhere({});
    EXPECT_EQ(versions_at(3).first, 0u);
    finish();
}

TEST_F(ExpiryScenarioTest, APutThatWasMissedIsNotTakenFromAHintAfterItsRemoval) {
    RunOptions options = plain(4, 4);
    options.node.hint_interval = minutes(2);
    form(options);
    run_for(seconds(15));
    const std::vector<uint32_t> owners = holders();
    isolate(owners[2]);
    run_for(seconds(15));
    ASSERT_TRUE(put_expiring(owners[0], "expires", {.w = 2}).status.ok());
    run_for(ttl + removed_after);
    heal();
    run_for(minutes(4));
    EXPECT_THAT(read(owners[2], 1).values, IsEmpty());
    finish();
}

TEST_F(ExpiryScenarioTest, WhereTheLastWriteWinsAnExpiredOneIsAbsenceAndAPutBesideItIsNot) {
    ASSERT_NO_FATAL_FAILURE(settle(3, true));
    use_key(last);
    isolate(3);
    ASSERT_TRUE(put(3, "earlier", {.replaces = Replaces::local, .w = 1}).status.ok());
    run_for(seconds(1));
    ASSERT_TRUE(put_expiring(1, "expires", {}).status.ok());
    heal();
    run_for(ttl - seconds(2));
    expect_everywhere({"expires"});
    run_for(seconds(3));
    expect_everywhere({});
    run_for(removed_after);
    expect_everywhere({});

    use_key(last + 1);
    ASSERT_TRUE(put_expiring(1, "expires", {.w = 3}).status.ok());
    isolate(3);
    run_for(ttl - seconds(1));
    ASSERT_TRUE(put(3, "beside it", {.replaces = Replaces::local, .w = 1}).status.ok());
    run_for(removed_after);
    heal();
    run_for(seconds(30));
    expect_everywhere({"beside it"});
    finish();
}

TEST_F(ExpiryScenarioTest, WhereStaleWritesAreRefusedAnExpiredValueIsNone) {
    ASSERT_NO_FATAL_FAILURE(settle(3, true));
    use_key(strict);
    ASSERT_TRUE(put_expiring(1, "expires", {.w = 3}).status.ok());
    EXPECT_EQ(base::reason_of(put(2, "too early").status), base::reason::stale_context);
    run_for(ttl + seconds(1));
    ASSERT_TRUE(put_expiring(2, "next", {.w = 3}).status.ok());

    use_key(strict + 1);
    ASSERT_TRUE(put_expiring(1, "expires", {.w = 3}).status.ok());
    const ReadOutcome read_before = read(2);
    run_for(ttl + removed_after);
    EXPECT_TRUE(
        put(3, "with an old context", {.replaces = Replaces::seen, .context = read_before.context})
            .status.ok());
    finish();
}

}  // namespace
}  // namespace starling::sim
