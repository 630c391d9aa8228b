// Random histories of the owners of one group with crashes, hints, hand-overs, lost disks, values
// that expire, reports, sealing, stripping and collection.

#include <cstdlib>

#include <gtest/gtest.h>

#include "tests/unit/node/convergence/trace.h"

namespace starling::node::group_model {
namespace {

// STARLING_EXPLORER_TRACES: more of them.
uint64_t traces(uint64_t standard) {
    const char* more = std::getenv("STARLING_EXPLORER_TRACES");
    return more == nullptr ? standard : std::strtoull(more, nullptr, 10);
}

void expect_clean(const Rules& rules, uint64_t count) {
    const auto search = search_under(rules);
    const auto failed = search.first_failure(count);
    ASSERT_FALSE(failed.has_value()) << search.describe_failure(*failed);
}

TEST(ConvergenceExplorerTest, NoHistoryLosesOrBringsBackAWriteOrLeavesAnything) {
    expect_clean({}, traces(4000));
}

TEST(ConvergenceExplorerTest, NorDoesOneWithoutTheMemoryOfRequests) {
    expect_clean({.requests_remembered = false}, traces(4000));
}

TEST(ConvergenceExplorerTest, NorDoesOneByTheRulesOfTheNode) {
    expect_clean(as_in_the_node(), traces(4000));
}

TEST(ConvergenceExplorerTest, NorDoesOneByTheRulesOfTheNodeWithoutTheMemoryOfRequests) {
    expect_clean(without_memory(as_in_the_node()), traces(4000));
}

// An explorer that finds nothing may be blind: it must find what is known to be wrong.
void expect_found(const Rules& weaker, uint64_t count, uint64_t first_seed = 1) {
    const auto search = search_under(weaker);
    const auto failed = search.first_failure(count, first_seed);
    ASSERT_TRUE(failed.has_value());
    Rules full = weaker.disks_fail ? Rules{} : as_in_the_node();
    full.requests_remembered = weaker.requests_remembered;
    EXPECT_EQ(run(search.shrink(random_trace(*failed)), full), std::nullopt)
        << "the full rules fail, too: " << search.describe_failure(*failed);
}

TEST(ConvergenceExplorerTest, FindsHolesThatStay) {
    expect_found({.sealing = false}, 2000);
}

TEST(ConvergenceExplorerTest, FindsEarlySeals) {
    expect_found(bare({.seal_on_proof = false}), 2000);
}

TEST(ConvergenceExplorerTest, FindsContextsOfRefusedWrites) {
    expect_found({.refused_is_not_applied = false}, 2000);
}

TEST(ConvergenceExplorerTest, FindsDropsWithoutAnAbsentOwner) {
    expect_found({.drop_waits_for_all = false, .requests_remembered = false}, 4000);
}

TEST(ConvergenceExplorerTest, FindsAbsentRecordsThatTakeAll) {
    expect_found(bare({.absent_asks_frontier = false, .requests_remembered = false}), 4000);
}

TEST(ConvergenceExplorerTest, FindsRetriesOfWhatIsNotDurable) {
    Rules weaker = as_in_the_node();
    weaker.only_messages_are_early = false;
    // One in 70,000 traces.
    expect_found(weaker, 1000, 80'000);
}

TEST(ConvergenceExplorerTest, FindsRemovalsThatTakeMoreThanTheirValue) {
    Rules weaker = as_in_the_node();
    weaker.removals_name_no_dot = false;
    expect_found(weaker, 4000);
}

TEST(ConvergenceExplorerTest, FindsRemovalsOfValuesThatHideOthers) {
    Rules weaker = as_in_the_node();
    weaker.hiding_values_stay = false;
    // One in 10,000 traces.
    expect_found(weaker, 1000, 3'500);
}

TEST(ConvergenceExplorerTest, FindsPagesThatAreClaimedWithoutAllOfTheirRecords) {
    Rules weaker = as_in_the_node();
    weaker.pages_are_merged_whole = false;
    expect_found(weaker, 4000);
}

TEST(ConvergenceExplorerTest, FindsFrontiersHandedOnWithoutTheirWrites) {
    expect_found({.pull_explains = false}, 4000);
}

TEST(ConvergenceExplorerTest, FindsLossesPassedOffAsDeletions) {
    expect_found({.loss_is_no_deletion = false}, 4000);
}

TEST(ConvergenceExplorerTest, FindsDotsThatCoverWhatWasLost) {
    expect_found({.change_asks_index = false}, 4000);
}

}  // namespace
}  // namespace starling::node::group_model
