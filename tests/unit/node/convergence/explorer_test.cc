// Random histories of the owners of one group with crashes, hints, lost disks, reports, sealing,
// stripping and collection.

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

std::optional<uint64_t> first_failure(uint64_t count, const Rules& rules, uint64_t first_seed = 1) {
    for (uint64_t seed = first_seed; seed < first_seed + count; ++seed) {
        if (run(random_trace(seed), rules)) return seed;
    }
    return std::nullopt;
}

void expect_clean(const Rules& rules, uint64_t count) {
    const auto failed = first_failure(count, rules);
    ASSERT_FALSE(failed.has_value()) << describe_failure(*failed, random_trace(*failed), rules);
}

TEST(ConvergenceExplorerTest, NoHistoryLosesOrBringsBackAWriteOrLeavesAnything) {
    expect_clean({}, traces(4000));
}

TEST(ConvergenceExplorerTest, NorDoesOneWithoutTheMemoryOfRequests) {
    expect_clean({.requests_remembered = false}, traces(4000));
}

// An explorer that finds nothing may be blind: it must find what is known to be wrong.
void expect_found(const Rules& weaker, uint64_t count, uint64_t first_seed = 1) {
    const auto failed = first_failure(count, weaker, first_seed);
    ASSERT_TRUE(failed.has_value());
    const std::vector<Step> shortest = shrink(random_trace(*failed), weaker);
    Rules full;
    full.requests_remembered = weaker.requests_remembered;
    EXPECT_FALSE(run(shortest, full).has_value())
        << "the full rules fail, too: " << describe_failure(*failed, shortest, full);
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

TEST(ConvergenceExplorerTest, FindsDisksThatWereSetBack) {
    expect_found({.refills = false, .requests_remembered = false}, 4000);
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
