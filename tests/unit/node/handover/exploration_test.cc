// All interleavings of small moves: messages at any time, again or never, crashes, stale views, one
// write and one later read. What is looked for stands in world.h and explorer.h; the argument in
// docs/handover.md.
//
// Each scenario is visited breadth-first up to a number of states; the small ones to their end,
// which also shows that from every state the moves can be completed.
// STARLING_EXPLORE_STATES=2000000, read here alone, visits more.

#include <cstdlib>
#include <string>

#include "gtest/gtest.h"

#include "tests/unit/node/handover/explorer.h"

namespace starling::node {
namespace {

#ifdef __OPTIMIZE__
constexpr uint64_t states_max_default = 25'000;
#else
constexpr uint64_t states_max_default = 3'000;
#endif

uint64_t states_max() {
    const char* wanted = std::getenv("STARLING_EXPLORE_STATES");
    return wanted == nullptr ? states_max_default : std::strtoull(wanted, nullptr, 10);
}

void expect_sound(const std::string& name, const Scenario& scenario, uint64_t states) {
    const Exploration result = explore(scenario, states);
    EXPECT_EQ(result.violation, "");
    EXPECT_EQ(result.stuck, 0u) << result.stuck_example;
    EXPECT_EQ(result.without_full_hold, 0u);
    // An exploration that goes nowhere proves nothing.
    EXPECT_GT(result.states, 500u);
    testing::Test::RecordProperty(name, static_cast<int>(result.states));
    std::printf("%s: %llu states, %llu transitions, %s\n",
                name.c_str(),
                static_cast<unsigned long long>(result.states),
                static_cast<unsigned long long>(result.transitions),
                result.is_complete ? "all" : "cut off");
}

TEST(ExplorationTest, OneJoinWithoutFaultsToItsEnd) {
    expect_sound("one join", {.has_write = false}, 1'000'000);
}

TEST(ExplorationTest, OneJoinWithAWriteAndARead) {
    expect_sound("one join, write", {}, states_max());
}

TEST(ExplorationTest, OneJoinThatIsDeclined) {
    expect_sound("one join, declined", {.declines = 1, .has_write = false}, states_max());
    expect_sound("one join, declined, write", {.declines = 1}, states_max());
}

TEST(ExplorationTest, OneJoinWithTwoCrashes) {
    expect_sound("one join, two crashes", {.crashes = 2, .has_write = false}, states_max());
    expect_sound("one join, two crashes, write", {.crashes = 2}, states_max());
}

TEST(ExplorationTest, OneJoinWithAFailedWriteAndAnImpatientGiver) {
    expect_sound("one join, failed write",
                 {.write_failures = 1, .patience = 1, .has_write = false},
                 states_max());
}

TEST(ExplorationTest, TwoJoinsAtOnce) {
    const Scenario scenario{.nodes = 5, .targets = {3, 4, 2}};
    expect_sound("two joins", scenario, states_max());
}

TEST(ExplorationTest, TwoSuccessorsForOneSeat) {
    const Scenario scenario{
        .nodes = 5, .targets = {3, 1, 2}, .later_targets = {4, 1, 2}, .patience = 1};
    expect_sound("two successors", scenario, states_max());
}

TEST(ExplorationTest, GrowthFromOneNode) {
    const Scenario scenario{
        .nodes = 3, .holders = {0, 0, 0}, .targets = {0, 1, 2}, .crashes = 1, .copies_min = 1};
    expect_sound("growth", scenario, states_max());
}

TEST(ExplorationTest, SmallestGrowthToItsEnd) {
    // Two nodes, two seats: a quorum is both.
    const Scenario scenario{.nodes = 2,
                            .seat_count = 2,
                            .holders = {0, 0},
                            .targets = {0, 1},
                            .crashes = 1,
                            .copies_min = 1};
    expect_sound("two nodes", scenario, 1'000'000);
}

TEST(ExplorationTest, OneSeatPassesThroughACrashToItsEnd) {
    // A single seat: whoever holds it is the quorum.
    const Scenario scenario{.nodes = 2,
                            .seat_count = 1,
                            .holders = {0},
                            .targets = {1},
                            .crashes = 2,
                            .quorum = 1,
                            .copies_min = 1};
    expect_sound("one seat", scenario, 1'000'000);
}

TEST(ExplorationTest, OneSeatThatMovesOnAtOnce) {
    const Scenario scenario{.nodes = 3,
                            .seat_count = 1,
                            .holders = {0},
                            .targets = {1},
                            .later_targets = {2},
                            .quorum = 1,
                            .copies_min = 1};
    expect_sound("one seat, moved on", scenario, states_max() * 4);
}

TEST(ExplorationTest, OneSeatIsDeclinedAndTakenBack) {
    const Scenario scenario{.nodes = 2,
                            .seat_count = 1,
                            .holders = {0},
                            .targets = {1},
                            .crashes = 1,
                            .write_failures = 1,
                            .declines = 1,
                            .quorum = 1,
                            .copies_min = 1};
    expect_sound("one seat, declined", scenario, states_max() * 4);
}

// A disk that is set back in time. Not explored: that the giver of what it has forgotten restarts
// meanwhile (may_become() in world.cc) or that news does not reach the node before its refill ends
// (is_cut_off()): docs/guarantees.md has these limits. Nor fills that a damaged disk gives back.

// Two seats: a quorum is both, and a read of one finds the write.
Scenario small_join_with_set_back(NodeIndex node) {
    return {.nodes = 3,
            .seat_count = 2,
            .holders = {0, 1},
            .targets = {2, 1},
            .set_backs = 1,
            .set_back_node = node};
}

TEST(ExplorationTest, OneJoinWhoseSuccessorIsSetBack) {
    expect_sound("two seats, successor set back", small_join_with_set_back(2), states_max() * 4);
    expect_sound(
        "one join, successor set back", {.set_backs = 1, .set_back_node = 3}, states_max());
}

TEST(ExplorationTest, OneJoinWhoseGiverIsSetBack) {
    expect_sound("two seats, giver set back", small_join_with_set_back(0), states_max() * 4);
    expect_sound("one join, giver set back", {.set_backs = 1, .set_back_node = 0}, states_max());
}

TEST(ExplorationTest, OneJoinWhileAnotherHolderIsSetBack) {
    expect_sound("two seats, other set back", small_join_with_set_back(1), states_max() * 4);
}

TEST(ExplorationTest, OneJoinWithASetBackAndACrash) {
    Scenario scenario = small_join_with_set_back(2);
    scenario.crashes = 1;
    expect_sound("two seats, set back and crash", scenario, states_max());
}

// A single seat, without a write: its only copy may go with the disk.
Scenario one_seat_with_set_back(NodeIndex node, NodeIndex later_target) {
    return {.nodes = later_target == 2 ? 3u : 2u,
            .seat_count = 1,
            .holders = {0},
            .targets = {1},
            .later_targets = {later_target},
            .set_backs = 1,
            .set_back_node = node,
            .has_write = false,
            .quorum = 1,
            .copies_min = 1};
}

TEST(ExplorationTest, OneSeatThatComesBackWhileADiskIsSetBack) {
    for (const NodeIndex node : {NodeIndex{0}, NodeIndex{1}}) {
        expect_sound("one seat, comes back", one_seat_with_set_back(node, 0), states_max() * 4);
    }
}

TEST(ExplorationTest, OneSeatThatMovesOnFromADiskThatIsSetBack) {
    expect_sound("one seat, moved on, set back", one_seat_with_set_back(1, 2), states_max() * 5);
}

}  // namespace
}  // namespace starling::node
