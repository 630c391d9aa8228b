// That the checks which stand beside the oracle find what they are there for: late answers (I19),
// nodes that are held dead though they are heard (I21), conclusions about what all have seen (I4).

#include <gmock/gmock.h>

#include "tests/sim/scenario.h"

namespace starling::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class WatchTest : public Scenario {
  protected:
    // Of a watch that is told since when links are clear, in a minute.
    std::vector<Violation> watch_liveness(
        std::function<env::SimTime(const Machine&, const Machine&)> clear_since) {
        Verdict found;
        LivenessWatch watch({.scheduler = simulation_->scheduler(),
                             .cluster = simulation_->cluster(),
                             .options = options,
                             .verdict = found,
                             .clear_since = std::move(clear_since)});
        for (int i = 0; i < 60; ++i) {
            run_for(seconds(1));
            watch.look();
        }
        pairs_looked_at = watch.counts().pairs_looked_at;
        return found.violations();
    }

    const RunOptions options = plain(3, 3);
    uint64_t pairs_looked_at = 0;
};

TEST_F(WatchTest, AnAnswerAfterItsDeadlineIsAViolation) {
    form(3);
    isolate(1);
    begin_put(1, "in time", {});
    run_for(seconds(5));
    EXPECT_TRUE(simulation_->verdict().ok());
    // The run's options know nothing of it.
    machine(1).process().set_faults(
        {.late_timers_per_million = 1'000'000, .timer_lateness_max = seconds(10)});
    begin_put(1, "late", {});
    run_for(seconds(30));
    const std::vector<Violation>& found = simulation_->verdict().violations();
    ASSERT_FALSE(found.empty());
    EXPECT_EQ(found.front().invariant, "I19");
    EXPECT_THAT(found.front().what, HasSubstr("after its deadline"));
}

TEST_F(WatchTest, ANodeThatWasPausedMayAnswerWhenItRunsAgain) {
    form(3);
    isolate(1);
    begin_put(1, "before the pause", {});
    run_for(milliseconds(500));
    machine(1).pause();
    begin_put(1, "within it", {});
    run_for(seconds(20));
    machine(1).resume();
    run_for(seconds(10));
    EXPECT_EQ(simulation_->operations().under_way(), 0);
    EXPECT_TRUE(simulation_->verdict().ok());
    heal();
    finish();
}

TEST_F(WatchTest, ANodeThatIsHeldDeadThoughItIsHeardIsAViolation) {
    form(3);
    isolate(3);
    const std::vector<Violation> found =
        watch_liveness([](const Machine&, const Machine&) { return env::SimTime::zero(); });
    ASSERT_FALSE(found.empty());
    EXPECT_EQ(found.front().invariant, "I21");
    EXPECT_THAT(found.front().what, HasSubstr("n3"));
    EXPECT_THAT(found.front().what, HasSubstr("for dead"));
}

TEST_F(WatchTest, ANodeThatIsNotHeardMayBeHeldDeadUntilItIs) {
    form(3);
    isolate(3);
    EXPECT_THAT(watch_liveness([](const Machine& a, const Machine& b) {
                    return a.number() == 3 || b.number() == 3 ? env::SimTime::max()
                                                              : env::SimTime::zero();
                }),
                IsEmpty());
    EXPECT_TRUE(machine(1).node().holds_dead(machine(3).node().id()));
    heal();
    const env::SimTime healed = simulation_->scheduler().now();
    EXPECT_THAT(watch_liveness([healed](const Machine&, const Machine&) { return healed; }),
                IsEmpty());
    EXPECT_GT(pairs_looked_at, 0);
    EXPECT_FALSE(machine(1).node().holds_dead(machine(3).node().id()));
}

TEST(CollectionWatchTest, OnlyWhatLiesBelowABaseIsTakenAsSeenByAll) {
    const node::Actor actor{.node = base::NodeId(7)};
    node::Frontier concluded;
    node::Frontier seen;
    for (const uint64_t sequence : {1u, 2u, 3u})
        concluded.add({.actor = actor, .sequence = sequence});
    seen.add({.actor = actor, .sequence = 1});
    EXPECT_EQ(concluded_too_early(concluded, seen), (node::Dot{.actor = actor, .sequence = 2}));
    seen.add({.actor = actor, .sequence = 2});
    EXPECT_EQ(concluded_too_early(concluded, seen), (node::Dot{.actor = actor, .sequence = 3}));
    seen.add({.actor = actor, .sequence = 3});
    concluded.add({.actor = actor, .sequence = 5});
    EXPECT_EQ(concluded_too_early(concluded, seen), std::nullopt);
}

}  // namespace
}  // namespace starling::sim
