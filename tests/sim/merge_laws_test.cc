// The laws hold for the real merge, and each is found broken by a merge that breaks it.

#include "tests/sim/merge_laws.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "node/version/expiry.h"

namespace starling::sim {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

node::Dot dot(uint64_t node, uint64_t sequence) {
    return {.actor = {base::NodeId(node), 1, 1}, .sequence = sequence};
}

node::Record written(uint64_t node, const std::string& value) {
    return node::mint({},
                      {},
                      {.dot = dot(node, 1),
                       .request = {.created_ms = 1, .random_high = node, .random_low = 1},
                       .time = {},
                       .expires_ms = 0,
                       .is_tombstone = false,
                       .value = value});
}

void real(node::Record& into, const node::Record& incoming) {
    node::join(into, incoming);
}

// Three concurrent writes and one that has seen the first of them.
std::vector<node::Record> versions() {
    std::vector<node::Record> records = {written(1, "a"), written(2, "b"), written(3, "c")};
    records.push_back(node::mint(records[0],
                                 node::Superseded::by_reading(records[0]),
                                 {.dot = dot(1, 2),
                                  .request = {.created_ms = 2, .random_high = 1, .random_low = 2},
                                  .time = {},
                                  .expires_ms = 0,
                                  .is_tombstone = false,
                                  .value = "d"}));
    return records;
}

TEST(MergeLawsTest, TheRealMergeObeysThem) {
    EXPECT_THAT(broken_merge_law(versions(), real), IsEmpty());
}

TEST(MergeLawsTest, AMergeThatKeepsWhatItHasDoesNotCommute) {
    const auto first_wins = [](node::Record&, const node::Record&) {};
    EXPECT_THAT(broken_merge_law(versions(), first_wins), HasSubstr("commutative"));
}

TEST(MergeLawsTest, AMergeThatDropsOneOfThreeSiblingsIsFound) {
    const auto drops_third = [](node::Record& into, const node::Record& incoming) {
        node::join(into, incoming);
        if (into.siblings.size() > 2) into.siblings.pop_back();
    };
    std::vector<node::Record> records = versions();
    node::join(records[0], records[1]);
    EXPECT_THAT(broken_merge_law(records, drops_third), HasSubstr("drops"));
}

TEST(MergeLawsTest, AMergeThatPicksTheLargerValueLosesTheOther) {
    const auto larger_wins = [](node::Record& into, const node::Record& incoming) {
        node::join(into, incoming);
        if (into.siblings.size() < 2) return;
        into.siblings = {*std::ranges::max_element(into.siblings, {}, &node::Sibling::value)};
    };
    EXPECT_THAT(broken_merge_law(versions(), larger_wins), HasSubstr("drops"));
}

TEST(MergeLawsTest, AMergeThatCountsIsNotIdempotent) {
    const auto appends = [](node::Record& into, const node::Record& incoming) {
        into.siblings.insert(
            into.siblings.end(), incoming.siblings.begin(), incoming.siblings.end());
    };
    EXPECT_THAT(broken_merge_law(versions(), appends), HasSubstr("idempotent"));
}

// A value, each of its removals by two owners, a later put by who had met the first of them and
// remembers neither, and the same when the second comes to it late.
std::vector<node::Record> versions_with_two_removals() {
    node::Record value = written(1, "expires");
    value.siblings[0].expires_ms = 1'000;
    const node::Record first = node::mint_removal(value, value.siblings[0], dot(2, 1));
    const node::Record second = node::mint_removal(value, value.siblings[0], dot(3, 1));
    node::Record late =
        node::mint(first,
                   node::Superseded::by_reading(first),
                   {.dot = dot(4, 1),
                    .request = {.created_ms = 2'000, .random_high = 4, .random_low = 1},
                    .time = {},
                    .expires_ms = 0,
                    .is_tombstone = false,
                    .value = "later"});
    node::forget_requests_before(late, 2'000);
    node::Record later = late;
    node::join(later, second);
    return {first, second, late, later};
}

TEST(MergeLawsTest, ARemovalThatNobodyNeedRememberStandsForNothing) {
    std::vector<node::Record> records = versions_with_two_removals();
    EXPECT_THAT(broken_merge_law(records, real), HasSubstr("associative"));
    for (node::Record& record : records)
        record = without_forgotten_removals(record, 2'000);
    EXPECT_THAT(broken_merge_law(records, real), IsEmpty());
    EXPECT_EQ(records[2].siblings.size(), 1);
}

TEST(MergeLawsTest, ARemovalOfAYoungRequestStays) {
    for (const node::Record& record : versions_with_two_removals())
        EXPECT_EQ(without_forgotten_removals(record, 1), record);
}

TEST(MergeLawsTest, LongValuesAreComparedByAShortWord) {
    const node::Record a = without_bulk(written(1, std::string(1'000, 'a')));
    const node::Record b = without_bulk(written(1, std::string(1'000, 'b')));
    EXPECT_LT(a.siblings.front().value.size(), 20);
    EXPECT_NE(a, b);
}

}  // namespace
}  // namespace starling::sim
