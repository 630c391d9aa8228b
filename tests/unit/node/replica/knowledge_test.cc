#include "node/replica/knowledge.h"

#include <array>

#include <gtest/gtest.h>

#include "tests/unit/node/version/builders.h"

namespace starling::node {
namespace {

using testing::dot;
using testing::frontier;

constexpr base::NodeId peer(2);
constexpr base::NodeId third(3);
constexpr std::array others = {peer, third};

Knowledge::Report report(Frontier seen, uint64_t epoch = 0) {
    Knowledge::Report made;
    made.epoch = epoch;
    made.frontier = std::move(seen);
    return made;
}

TEST(KnowledgeTest, NothingIsStableBeforeEveryOwnerHasReported) {
    Knowledge known;
    const Frontier own = frontier({dot(1, 1), dot(1, 2)});
    EXPECT_TRUE(known.stable(others, own).empty());
    known.note(peer, report(own));
    EXPECT_TRUE(known.stable(others, own).empty());
    known.note(third, report(frontier({dot(1, 1)})));
    EXPECT_EQ(known.stable(others, own), frontier({dot(1, 1)}));
    EXPECT_EQ(known.stable({}, frontier({dot(1, 1), dot(1, 3)})), frontier({dot(1, 1)}))
        << "alone, but not above a gap";
}

TEST(KnowledgeTest, AnEarlierReportThatComesLateTakesNothingBack) {
    Knowledge known;
    const Frontier own = frontier({dot(1, 1), dot(1, 2)});
    known.note(third, report(own));
    known.note(peer, report(own));
    known.note(peer, report(frontier({dot(1, 1)})));
    EXPECT_EQ(known.stable(others, own), own);
}

TEST(KnowledgeTest, ReportsOfDataThatWasLostDoNotCountWhoeverTellsOfIt) {
    const Frontier own = frontier({dot(1, 1)});
    Knowledge known;
    known.note(peer, report(own));
    known.note(third, report(own));
    ASSERT_EQ(known.stable(others, own), own);

    Knowledge by_itself = known;
    by_itself.note_epoch(peer, 1);
    EXPECT_TRUE(by_itself.stable(others, own).empty());
    by_itself.note(peer, report(own, 1));
    EXPECT_TRUE(by_itself.stable(others, own).empty())
        << "the third owner has not heard that the second lost its data";
    Knowledge::Report aware = report(own);
    aware.epochs[peer] = 1;
    by_itself.note(third, aware);
    EXPECT_EQ(by_itself.stable(others, own), own);

    Knowledge by_another = known;
    by_another.note(third, aware);
    EXPECT_TRUE(by_another.stable(others, own).empty());
    by_another.note(peer, report(own));
    EXPECT_TRUE(by_another.stable(others, own).empty()) << "of the data that was lost";
    by_another.note(peer, report(own, 1));
    EXPECT_EQ(by_another.stable(others, own), own);
}

TEST(KnowledgeTest, LivesAreAgreedOnOnceAllFrozeThemAndHeardTheQuestion) {
    const Frontier own = frontier({dot(4, 1), dot(4, 3)});
    const base::NodeId ended(4);
    Knowledge known;
    Knowledge::Report frozen = report(own);
    frozen.frozen[ended] = 2;
    frozen.question = 7;
    known.note(peer, frozen);
    known.note(third, frozen);
    EXPECT_TRUE(known.agree_on_lives(ended, 2, 7, others, own));
    EXPECT_FALSE(known.agree_on_lives(ended, 2, 8, others, own)) << "asked again";
    EXPECT_FALSE(known.agree_on_lives(ended, 3, 7, others, own)) << "a later life";
    EXPECT_FALSE(known.agree_on_lives(ended, 2, 7, others, frontier({dot(4, 1)})))
        << "they have more";

    Knowledge::Report more = frozen;
    more.frontier = frontier({dot(4, 1), dot(4, 2), dot(4, 3)});
    known.note(peer, more);
    EXPECT_FALSE(known.agree_on_lives(ended, 2, 7, others, own));
}

}  // namespace
}  // namespace starling::node
