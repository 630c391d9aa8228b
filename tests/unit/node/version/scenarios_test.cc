// The named scenarios of docs/causality.md that versions alone decide. Each says what the rule
// gives, and shows that the weaker rule in its place loses a write, brings one back, or keeps
// replicas apart for ever.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/node/version/builders.h"
#include "tests/unit/node/version/cluster_model.h"

namespace starling::node::model {
namespace {

using testing::dot;
using ::testing::ElementsAre;
using testing::frontier;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::request;
using testing::values;

constexpr size_t A = 0;
constexpr size_t B = 1;
constexpr size_t C = 2;
constexpr size_t k = 0;
constexpr size_t k2 = 1;

// Delivers those messages to an owner that bring a write of the request.
void deliver_to(Cluster& cluster, size_t owner, size_t key, uint64_t request_number) {
    const std::vector<Message> messages = cluster.messages();
    for (const Message& message : messages) {
        const bool brings_it = cluster.minted(key).contains(message.dot) &&
                               cluster.minted(key).at(message.dot) == request(request_number);
        if (message.to == owner && message.key == key && brings_it) cluster.deliver(message);
    }
}

std::string outcome(Cluster cluster) {
    cluster.converge();
    return cluster.violation().value_or("as it should be");
}

std::string context_to_frontier(Rules rules) {
    Cluster cluster(rules);
    cluster.put({.owner = C, .key = k2, .request = request(1)});
    cluster.put({.owner = C, .key = k, .request = request(2)});
    deliver_to(cluster, A, k, 2);
    // A now claims C's first write; whoever believes A loses it.
    deliver_to(cluster, A, k2, 1);
    if (cluster.record(A, k2).siblings.empty()) return "A refuses the write of k2 as seen";
    return outcome(cluster);
}

TEST(ScenarioTest, S1TheContextOfOneKeySaysNothingAboutTheGroup) {
    EXPECT_EQ(context_to_frontier({}), "as it should be");
    EXPECT_EQ(context_to_frontier({.frontier_from_siblings_only = false}),
              "A refuses the write of k2 as seen");
}

std::string superseded_gap(Rules rules) {
    Cluster cluster(rules);
    cluster.put({.owner = C, .key = k, .request = request(1)});
    cluster.put({.owner = C, .key = k, .request = request(2)});
    deliver_to(cluster, A, k, 2);
    return outcome(cluster);
}

TEST(ScenarioTest, S2AFrontierUnionClosesTheGapOfAWriteSupersededBeforeItWasSeen) {
    EXPECT_EQ(superseded_gap({}), "as it should be");
    EXPECT_THAT(superseded_gap({.frontier_union = false}), HasSubstr("gap"));
}

std::string delta_shipping(Rules rules) {
    Cluster cluster(rules);
    const Reading nothing;
    cluster.put({.owner = B,
                 .request = request(1),
                 .replaces = Replaces::seen_by_reader,
                 .reading = nothing});
    cluster.put({.owner = B,
                 .request = request(2),
                 .replaces = Replaces::seen_by_reader,
                 .reading = nothing});
    deliver_to(cluster, C, k, 2);
    return outcome(cluster);
}

TEST(ScenarioTest, S5ASiblingShippedWithAVectorWouldHideTheOther) {
    EXPECT_EQ(delta_shipping({}), "as it should be");
    EXPECT_EQ(delta_shipping({.whole_records = false}), "lost: 1 of [1, 2]");
}

TEST(ScenarioTest, S6ARefusedWriteDoesNotLendItsContext) {
    // A's frontier holds B's second dot without having had the write: its actor was sealed there.
    const Record first = mint({}, {}, testing::write(dot(2, 1), 1, "w0"));
    const Record message =
        mint(first, Superseded::by_reading(first), testing::write(dot(2, 2), 2, "w1"));
    const Frontier sealed = frontier({dot(2, 1), dot(2, 2)});

    // R2: a write message whose dot the frontier holds is not merged at all.
    ASSERT_TRUE(sealed.contains(message.siblings.front().dot));
    EXPECT_THAT(values(first), ElementsAre("w0"));

    // The weaker rule refuses the sibling, and applies the context that came with it.
    Record weaker = first;
    Frontier seen = sealed;
    merge(weaker, message, seen);
    EXPECT_THAT(values(weaker), IsEmpty()) << "nothing is left of either";
}

std::string retry_after_delete(Rules rules) {
    Cluster cluster(rules);
    cluster.put({.owner = A, .request = request(1)});
    cluster.put({.owner = C, .request = request(1)});
    cluster.put({.owner = A, .request = request(2), .is_tombstone = true});
    deliver_to(cluster, A, k, 1);
    return outcome(cluster);
}

TEST(ScenarioTest, S7ARetryMintedElsewhereDoesNotOutliveTheDelete) {
    EXPECT_EQ(retry_after_delete({}), "as it should be");
    EXPECT_EQ(retry_after_delete({.requests_remembered = false}), "back: 1 beside [2]");
}

std::string context_without_ids(Rules rules) {
    Cluster cluster(rules);
    cluster.put({.owner = A, .request = request(1)});
    cluster.put({.owner = C, .request = request(1)});
    const Reading at_c = cluster.read(C, k);
    cluster.put(
        {.owner = B, .request = request(2), .replaces = Replaces::seen_by_reader, .reading = at_c});
    deliver_to(cluster, B, k, 1);
    return outcome(cluster);
}

TEST(ScenarioTest, S8AContextNamesTheRequestsItSaw) {
    EXPECT_EQ(context_without_ids({}), "as it should be");
    EXPECT_EQ(context_without_ids({.context_names_requests = false}), "back: 1 beside [2]");
}

TEST(ScenarioTest, S15AnAbsentRecordRefusesWhatTheFrontierHasSeen) {
    const Record put = mint({}, {}, testing::write(dot(1, 1), 1, "w"));
    // Deleted everywhere, and the tombstone dropped: no record is left, but the frontier is.
    Frontier seen = frontier({dot(1, 1), dot(1, 2)});
    Record local;
    merge(local, put, seen);
    EXPECT_THAT(values(local), IsEmpty());

    // The weaker rule asks the (absent) context alone.
    Record weaker;
    join(weaker, put);
    EXPECT_THAT(values(weaker), ElementsAre("w")) << "the deleted value is back";
}

// A's client times out after its first attempt; meanwhile others overwrite, twice, the second time
// at an owner that has met neither request; then the retry reaches that owner. C's concurrent write
// is there so that something is left.
std::string late_retry_over_a_superseder(Rules rules) {
    Cluster cluster(rules);
    cluster.put({.owner = A, .request = request(1)});
    cluster.put({.owner = A,
                 .request = request(2),
                 .replaces = Replaces::seen_by_reader,
                 .reading = cluster.read(A, k)});
    cluster.put({.owner = B,
                 .request = request(3),
                 .replaces = Replaces::seen_by_reader,
                 .reading = cluster.read(A, k)});
    cluster.put({.owner = C, .request = request(4)});
    cluster.put({.owner = B, .request = request(1)});
    const Record& there = cluster.record(B, k);
    const Sibling* last = there.find(request(3));
    if (last == nullptr || there.is_hidden(*last))
        return "B shows the first write in place of the last";
    cluster.converge();
    return outcome(cluster);
}

TEST(ScenarioTest, S19AContextNamesTheRequestsThatWereSupersededBeforeIt) {
    EXPECT_EQ(late_retry_over_a_superseder({}), "as it should be");
    EXPECT_EQ(late_retry_over_a_superseder({.context_names_superseded = false}),
              "B shows the first write in place of the last");
}

// Two writes without context, each minted first at one owner and retried at the other, where it
// finds the other one: each replaces the other. A third write stays beside them.
std::string crossing_retries(Rules rules) {
    Cluster cluster(rules);
    cluster.put({.owner = A, .request = request(1)});
    cluster.put({.owner = B, .request = request(2)});
    cluster.put({.owner = B, .request = request(1)});
    cluster.put({.owner = A, .request = request(2)});
    cluster.put({.owner = C, .request = request(3), .replaces = Replaces::seen_by_reader});
    cluster.converge();
    const auto live = live_requests(cluster.record(A, k));
    return live.contains(request(1)) || live.contains(request(2)) ? outcome(cluster)
                                                                  : "both are lost";
}

TEST(ScenarioTest, S20RetriesThatCrossAndReplaceEachOtherLeaveOneOfThem) {
    EXPECT_EQ(crossing_retries({}), "as it should be");
    EXPECT_EQ(crossing_retries({.younger_only_hidden = false}), "both are lost");
}

TEST(ScenarioTest, S20TheYoungerOfTwoCrossingRetriesStays) {
    Cluster cluster;
    cluster.put({.owner = A, .request = request(1)});
    cluster.put({.owner = B, .request = request(2)});
    cluster.put({.owner = B, .request = request(1)});
    const Record& there = cluster.record(B, k);
    ASSERT_NE(there.find(request(2)), nullptr);
    EXPECT_TRUE(there.is_hidden(*there.find(request(2)))) << "B's clients see the last put";
    cluster.put({.owner = A, .request = request(2)});
    cluster.converge();
    const Record& here = cluster.record(C, k);
    EXPECT_EQ(live_requests(here), (std::set{request(2)}));
    EXPECT_FALSE(here.is_hidden(here.siblings.front()));
}

}  // namespace
}  // namespace starling::node::model
