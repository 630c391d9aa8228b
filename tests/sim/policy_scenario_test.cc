// Scripted scenarios of namespaces with another conflict policy than `siblings`.

#include <gmock/gmock.h>

#include "base/error.h"
#include "tests/sim/scenario.h"

namespace starling::sim {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr Replaces with_context = Replaces::seen;

class PolicyScenarioTest : public Scenario {
  protected:
    // Two keys in each of `default`, `last`, `strict`.
    static constexpr size_t last = 2;
    static constexpr size_t strict = 4;

    void form_three() {
        RunOptions options = plain(3, 3);
        options.workload.policy_namespaces = true;
        form(options);
        run_for(seconds(10));
        ASSERT_EQ(simulation_->oracle().key(Oracle::nth_key(last)).policy,
                  node::ConflictPolicy::last_write_wins);
        ASSERT_EQ(simulation_->oracle().key(Oracle::nth_key(strict)).policy,
                  node::ConflictPolicy::reject_stale);
    }
    static std::string reason(const PutOutcome& outcome) {
        return outcome.status.ok() ? "" : base::reason_of(outcome.status);
    }
    // What only this node takes.
    PutOutcome put_alone(uint32_t node, const std::string& value) {
        return put(node, value, {.replaces = Replaces::local, .w = 1});
    }
};

TEST_F(PolicyScenarioTest, OfWritesOnTwoSidesOfACutTheLaterIsShownByAll) {
    ASSERT_NO_FATAL_FAILURE(form_three());
    for (const size_t key : {last, last + 1}) {
        use_key(key);
        const uint32_t first = key == last ? 3 : 1;
        isolate(3);
        ASSERT_TRUE(put_alone(first, "earlier" + std::to_string(key)).status.ok());
        run_for(seconds(1));
        ASSERT_TRUE(put_alone(4 - first, "later" + std::to_string(key)).status.ok());
        heal();
        run_for(seconds(30));
        for (uint32_t node = 1; node <= 3; ++node) {
            EXPECT_THAT(read(node).values, ElementsAre("later" + std::to_string(key)));
        }
    }
    finish();
    EXPECT_GT(simulation_->oracle().counts().last_writes_compared, 0u);
}

TEST_F(PolicyScenarioTest, ADeleteThatIsTheLatestHidesAnEarlierValueOfTheOtherSide) {
    ASSERT_NO_FATAL_FAILURE(form_three());
    use_key(last);
    isolate(3);
    ASSERT_TRUE(put_alone(3, "value").status.ok());
    run_for(seconds(1));
    ASSERT_TRUE(remove(1).status.ok());
    heal();
    run_for(seconds(30));
    for (uint32_t node = 1; node <= 3; ++node) {
        EXPECT_THAT(read(node).values, IsEmpty());
    }
    use_key(last + 1);
    isolate(3);
    ASSERT_TRUE(remove(1).status.ok());
    run_for(seconds(1));
    ASSERT_TRUE(put_alone(3, "value").status.ok());
    heal();
    run_for(seconds(30));
    for (uint32_t node = 1; node <= 3; ++node) {
        EXPECT_THAT(read(node).values, ElementsAre("value"));
    }
    finish();
}

// It is minted once more, with a later time; of its two dots the least stays, and that of the
// first.
TEST_F(PolicyScenarioTest, AWriteThatIsSentAgainAfterADeleteIsShownWhenTheDeleteIsForgotten) {
    ASSERT_NO_FATAL_FAILURE(form_three());
    use_key(last);
    const auto is_lower = [this](uint32_t a, uint32_t b) {
        return machine(a).node().id() < machine(b).node().id();
    };
    std::vector<uint32_t> nodes{1, 2, 3};
    std::ranges::sort(nodes, is_lower);
    isolate(nodes[0]);
    const PutOutcome first = put_alone(nodes[0], "value");
    ASSERT_TRUE(first.status.ok());
    run_for(seconds(1));
    ASSERT_TRUE(remove(nodes[1]).status.ok());
    run_for(seconds(1));
    const Oracle& oracle = simulation_->oracle();
    node::PutRequest again{.options = {},
                           .key = oracle.key(key()).key,
                           .value = "value",
                           .context = std::nullopt,
                           .request = oracle.history(key()).get(first.id).request};
    again.options.name_space = oracle.key(key()).name_space;
    machine(nodes[2]).post([this, &again, node = nodes[2]] {
        machine(node).node().put(again, [](const auto& result) { EXPECT_TRUE(result.ok()); });
    });
    run_for(seconds(1));
    EXPECT_THAT(read(nodes[1]).values, ElementsAre("value"));
    heal();
    // And when the delete is forgotten.
    for (const base::Duration later : {seconds(30), seconds(180)}) {
        run_for(later);
        for (const uint32_t node : nodes) {
            EXPECT_THAT(read(node).values, IsEmpty());
        }
    }
    finish();
}

// Within the bound, so that nobody is fenced.
TEST_F(PolicyScenarioTest, ALaterWriteThroughANodeWhoseClockIsBehindReplacesWhatWasAcknowledged) {
    ASSERT_NO_FATAL_FAILURE(form_three());
    use_key(last);
    machine(3).wall_clock().jump(-seconds(4));
    for (int i = 0; i < 6; ++i) {
        const std::string value = "v" + std::to_string(i);
        ASSERT_TRUE(put(i % 2 == 0 ? 1 : 3, value).status.ok());
        EXPECT_THAT(read(2).values, ElementsAre(value));
    }
    finish();
}

TEST_F(PolicyScenarioTest, ANodeWhoseClockIsWrongDecidesNoLastWriteAndTakesTheOthers) {
    ASSERT_NO_FATAL_FAILURE(form_three());
    machine(3).wall_clock().jump(seconds(7));
    use_key(last);
    EXPECT_EQ(reason(put(3, "from the future")), base::reason::clock_fenced);
    ASSERT_TRUE(put(1, "of now").status.ok());
    EXPECT_THAT(read(3).values, ElementsAre("of now"));
    use_key(0);
    EXPECT_TRUE(put(3, "elsewhere").status.ok());
    machine(3).wall_clock().jump(-seconds(7));
    use_key(last);
    EXPECT_TRUE(put(3, "set right").status.ok());
    finish();
}

TEST_F(PolicyScenarioTest, AStaleWriteIsRefusedAndNeverSeen) {
    ASSERT_NO_FATAL_FAILURE(form_three());
    use_key(strict);
    ASSERT_TRUE(put(1, "one").status.ok());
    const ReadOutcome one = read(2);
    EXPECT_EQ(reason(put(2, "without context")), base::reason::stale_context);
    ASSERT_TRUE(put(3, "two", {.replaces = with_context, .context = one.context}).status.ok());
    EXPECT_EQ(reason(put(1, "stale", {.replaces = with_context, .context = one.context})),
              base::reason::stale_context);
    EXPECT_EQ(reason(remove(2)), base::reason::stale_context);
    for (uint32_t node = 1; node <= 3; ++node) {
        EXPECT_THAT(read(node).values, ElementsAre("two"));
    }
    finish();
    EXPECT_EQ(simulation_->oracle().counts().puts_refused, 3u);
}

TEST_F(PolicyScenarioTest, ANodeThatMissedAWriteRefusesWhatItCannotKnowToBeStale) {
    ASSERT_NO_FATAL_FAILURE(form_three());
    use_key(strict);
    ASSERT_TRUE(put(1, "one").status.ok());
    const ReadOutcome one = read(3, 3);
    isolate(3);
    ASSERT_TRUE(put(1, "two", {.replaces = with_context, .context = one.context}).status.ok());
    EXPECT_EQ(reason(put(3, "alone", {.replaces = with_context, .context = one.context})),
              base::reason::quorum_not_reached)
        << "it can ask nobody";
    heal();
    EXPECT_EQ(reason(put(3, "stale", {.replaces = with_context, .context = one.context})),
              base::reason::stale_context);
    EXPECT_THAT(read(3).values, ElementsAre("two"));
    finish();
}

TEST_F(PolicyScenarioTest, TwoThatRaceThroughTwoNodesMayBothBeTakenAndThenBothAreShown) {
    ASSERT_NO_FATAL_FAILURE(form_three());
    use_key(strict);
    ASSERT_TRUE(put(1, "one").status.ok());
    const ReadOutcome one = read(1, 3);
    begin_put(1, "mine", {.replaces = with_context, .context = one.context});
    begin_put(2, "yours", {.replaces = with_context, .context = one.context});
    run_for(seconds(3));
    const ReadOutcome both = read(3);
    ASSERT_THAT(both.values, UnorderedElementsAre("mine", "yours"));
    EXPECT_EQ(reason(put(1, "third")), base::reason::stale_context);
    ASSERT_TRUE(
        put(2, "resolved", {.replaces = with_context, .context = both.context}).status.ok());
    EXPECT_THAT(read(1).values, ElementsAre("resolved"));
    finish();
}

// The delete has left the index of the others, and no value tells of it.
TEST_F(PolicyScenarioTest, ADiskSetBackToBeforeADeleteStillCallsAWriteStaleThatHasNotSeenIt) {
    ASSERT_NO_FATAL_FAILURE(form_three());
    use_key(strict);
    const auto old = machine(3).files().clone_after_crash();
    ASSERT_TRUE(put(1, "one", {.w = 3}).status.ok());
    const ReadOutcome one = read(1, 3);
    ASSERT_TRUE(remove(1, {.replaces = with_context, .context = one.context, .w = 3}).status.ok());
    run_for(seconds(8));
    crash(3, env::CrashMode::lost, seconds(1));
    machine(3).files().swap_for(*old);
    run_for(seconds(8));
    EXPECT_EQ(reason(put(3, "stale", {.replaces = with_context, .context = one.context})),
              base::reason::stale_context);
    finish();
}

}  // namespace
}  // namespace starling::sim
