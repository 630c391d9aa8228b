#include "node/version/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/node/version/builders.h"

namespace starling::node {
namespace {

using testing::context;
using testing::dot;
using ::testing::ElementsAre;
using testing::frontier;
using ::testing::IsEmpty;
using testing::removal;
using testing::request;
using testing::values;
using testing::write;

const Superseded nothing;

TEST(MintTest, AFirstWriteIsTheOnlySibling) {
    const Record record = mint({}, nothing, write(dot(1, 5), 1, "a"));
    EXPECT_THAT(values(record), ElementsAre("a"));
    EXPECT_EQ(record.context, context({dot(1, 5)}));
    EXPECT_THAT(record.gone, IsEmpty());
}

TEST(MintTest, AWriteWithAReadsContextSupersedesExactlyWhatWasRead) {
    const Record first = mint({}, nothing, write(dot(1, 1), 1, "seen"));
    const Superseded seen = Superseded::by_reading(first);
    const Record second = mint(first, nothing, write(dot(1, 2), 2, "unseen"));
    const Record third = mint(second, seen, write(dot(1, 3), 3, "new"));
    EXPECT_THAT(values(third), ElementsAre("unseen", "new"));
    EXPECT_THAT(third.gone, ElementsAre(request(1)));
}

TEST(MintTest, AWriteThatHasSeenNothingStandsBesideEverything) {
    const Record first = mint({}, nothing, write(dot(2, 1), 1, "a"));
    const Record second = mint(first, nothing, write(dot(1, 1), 2, "b"));
    EXPECT_THAT(values(second), ElementsAre("b", "a"));
}

TEST(MintTest, ADeleteLeavesATombstoneAndAPutSupersedesIt) {
    const Record first = mint({}, nothing, write(dot(1, 1), 1, "a"));
    const Record deleted = mint(first, Superseded::by_reading(first), removal(dot(1, 2), 2));
    EXPECT_FALSE(deleted.has_live_value());
    EXPECT_THAT(values(deleted), ElementsAre("(deleted)"));
    const Record again =
        mint(deleted, Superseded::by_reading(deleted), write(dot(1, 3), 3, "back on purpose"));
    EXPECT_TRUE(again.has_live_value());
    EXPECT_THAT(values(again), ElementsAre("back on purpose"));
}

TEST(MintTest, AContextKillsACopyThatTheReaderMetUnderAnotherDot) {
    const Record here = mint({}, nothing, write(dot(1, 1), 1, "w"));
    const Record there = mint({}, nothing, write(dot(3, 1), 1, "w"));
    const Record over = mint(here, Superseded::by_reading(there), write(dot(1, 2), 2, "new"));
    EXPECT_THAT(values(over), ElementsAre("new"));
}

TEST(MintTest, ARetryWhoseContextHasSeenItDoesNotSupersedeItself) {
    const Record first = mint({}, nothing, write(dot(1, 1), 1, "w"));
    const Superseded seen = Superseded::by_reading(first);
    EXPECT_TRUE(seen.has_seen(request(1)));
    const Record retried = mint({}, seen, write(dot(2, 1), 1, "w"));
    Record merged = retried;
    join(merged, first);
    EXPECT_THAT(values(merged), ElementsAre("w"));
    EXPECT_THAT(merged.gone, IsEmpty());
}

TEST(MergeTest, AnEmptyRecordTakesEverything) {
    const Record incoming = mint({}, nothing, write(dot(1, 1), 1, "a"));
    Record local;
    Frontier seen;
    EXPECT_TRUE(merge(local, incoming, seen));
    EXPECT_EQ(local, incoming);
    EXPECT_TRUE(seen.contains(dot(1, 1)));
    EXPECT_FALSE(merge(local, incoming, seen));
}

TEST(MergeTest, ConcurrentWritesBecomeSiblings) {
    Record local = mint({}, nothing, write(dot(1, 1), 1, "a"));
    const Record incoming = mint({}, nothing, write(dot(2, 1), 2, "b"));
    Frontier seen = frontier({dot(1, 1)});
    EXPECT_TRUE(merge(local, incoming, seen));
    EXPECT_THAT(values(local), ElementsAre("a", "b"));
}

TEST(MergeTest, ASupersederRemovesWhatItSupersedesAndRemembersItsRequest) {
    Record local = mint({}, nothing, write(dot(1, 1), 1, "old"));
    const Record incoming = mint(local, Superseded::by_reading(local), write(dot(2, 1), 2, "new"));
    Frontier seen = frontier({dot(1, 1)});
    EXPECT_TRUE(merge(local, incoming, seen));
    EXPECT_THAT(values(local), ElementsAre("new"));
    EXPECT_THAT(local.gone, ElementsAre(request(1)));
}

TEST(MergeTest, ALateCopyOfWhatWasSupersededChangesNothing) {
    const Record old = mint({}, nothing, write(dot(1, 1), 1, "old"));
    Record local = mint(old, Superseded::by_reading(old), write(dot(2, 1), 2, "new"));
    Frontier seen = frontier({dot(2, 1)});
    EXPECT_FALSE(merge(local, old, seen));
    EXPECT_THAT(values(local), ElementsAre("new"));
    EXPECT_TRUE(seen.contains(dot(1, 1))) << "seen, although nothing changed";
}

TEST(MergeTest, WhatTheFrontierHasSeenAndTheRecordNoLongerHoldsStaysGone) {
    const Record old = mint({}, nothing, write(dot(1, 1), 1, "old"));
    Record local;
    Frontier seen = frontier({dot(1, 1)});
    merge(local, old, seen);
    EXPECT_THAT(values(local), IsEmpty());
}

TEST(MergeTest, TheFrontierTakesTheSiblingsDotsAndNotTheContext) {
    Record incoming = mint({}, nothing, write(dot(3, 1), 1, "a"));
    incoming = mint(incoming, Superseded::by_reading(incoming), write(dot(3, 2), 2, "b"));
    Record local;
    Frontier seen;
    merge(local, incoming, seen);
    EXPECT_TRUE(seen.contains(dot(3, 2)));
    EXPECT_FALSE(seen.contains(dot(3, 1)));
}

TEST(MergeTest, TwoDotsOfOneRequestCollapseIntoTheLeast) {
    const Record here = mint({}, nothing, write(dot(1, 4), 1, "w"));
    const Record there = mint({}, nothing, write(dot(2, 9), 1, "w"));
    Record merged = there;
    EXPECT_TRUE(join(merged, here));
    EXPECT_THAT(values(merged), ElementsAre("w"));
    EXPECT_EQ(merged.siblings.front().dot, dot(1, 4));
    EXPECT_EQ(merged.context, context({dot(1, 4), dot(2, 9)}));
    EXPECT_THAT(merged.gone, IsEmpty()) << "it is not superseded, only doubled";
    Record late = merged;
    EXPECT_FALSE(join(late, there));
}

TEST(MergeTest, ASecondDotOfASupersededRequestIsDeadOnArrival) {
    const Record first = mint({}, nothing, write(dot(1, 1), 1, "w"));
    Record deleted = mint(first, Superseded::by_reading(first), removal(dot(1, 2), 2));
    const Record retried = mint({}, nothing, write(dot(3, 1), 1, "w"));
    EXPECT_TRUE(join(deleted, retried)) << "its context learns of the dot";
    EXPECT_THAT(values(deleted), ElementsAre("(deleted)"));
}

TEST(MergeTest, MovingGivesWhatCopyingGives) {
    const Record a = mint({}, nothing, write(dot(1, 1), 1, std::string(100, 'a')));
    const Record b = mint({}, nothing, write(dot(2, 1), 2, std::string(100, 'b')));
    Record copied = a;
    Frontier seen;
    merge(copied, b, seen);
    Record moved = a;
    Frontier seen_moving;
    Record taken = b;
    merge(moved, std::move(taken), seen_moving);
    EXPECT_EQ(moved, copied);
    EXPECT_EQ(seen_moving, seen);
}

TEST(MergeTest, ManySiblingsWithDoubledRequestsMergeAsOne) {
    Record here;
    Record there;
    for (uint64_t i = 1; i <= 300; ++i) {
        here = mint(here, nothing, write(dot(1, i), i, "v"));
        there = mint(there, nothing, write(dot(2, i), i, "v"));
    }
    EXPECT_TRUE(join(here, there));
    EXPECT_EQ(here.siblings.size(), 300u);
    for (uint64_t i = 1; i <= 300; ++i)
        EXPECT_EQ(here.siblings[i - 1].dot, dot(1, i));
}

TEST(RecordTest, ForgetsRequestsOlderThanTheWindow) {
    Record record;
    record.gone = {request(1), request(5), request(9)};
    forget_requests_before(record, 5);
    EXPECT_THAT(record.gone, ElementsAre(request(5), request(9)));
    EXPECT_FALSE(record.is_gone(request(1)));
    EXPECT_TRUE(record.is_gone(request(9)));
}

TEST(RecordTest, RemainsKeepTheirYoungestRequest) {
    Record record;
    record.context = testing::context({dot(1, 1)});
    record.gone = {request(1), request(5)};
    forget_requests_before(record, 9);
    EXPECT_THAT(record.gone, ElementsAre(request(5)));
}

TEST(RecordTest, FindsASiblingByItsRequest) {
    const Record record = mint({}, nothing, write(dot(1, 1), 4, "a"));
    ASSERT_NE(record.find(request(4)), nullptr);
    EXPECT_EQ(record.find(request(4))->dot, dot(1, 1));
    EXPECT_EQ(record.find(request(5)), nullptr);
}

TEST(RecordDigestTest, SeesEverythingButTheSupersededRequests) {
    const Record record = mint({}, nothing, write(dot(1, 1), 1, "a"));
    const uint64_t digest = record_digest("key", record);
    EXPECT_NE(digest, record_digest("kez", record));

    Record aged = record;
    aged.gone = {request(77)};
    EXPECT_EQ(digest, record_digest("key", aged));

    const auto differs_when = [&](auto change) {
        Record changed = record;
        change(changed);
        return record_digest("key", changed) != digest;
    };
    EXPECT_FALSE(differs_when([](Record& r) { r.context.add(dot(9, 1)); }))
        << "each replica strips its own";
    EXPECT_TRUE(differs_when([](Record& r) { r.siblings.clear(); }));
    EXPECT_TRUE(differs_when([](Record& r) { r.siblings[0].value = "b"; }));
    EXPECT_TRUE(differs_when([](Record& r) { r.siblings[0].value = ""; }));
    EXPECT_TRUE(differs_when([](Record& r) { r.siblings[0].is_tombstone = true; }));
    EXPECT_TRUE(differs_when([](Record& r) { r.siblings[0].expires_ms = 1; }));
    EXPECT_TRUE(differs_when([](Record& r) { r.siblings[0].time.logical = 1; }));
    EXPECT_TRUE(differs_when([](Record& r) { r.siblings[0].request = request(2); }));
    EXPECT_TRUE(differs_when([](Record& r) { r.siblings[0].dot = dot(1, 2); }));
}

TEST(MintOverTest, AWriteThatNamesNothingReplacesWhatIsOlder) {
    const Record first = mint({}, {}, write(dot(1, 1), 1, "a"));
    const Record both = mint(first, {}, write(dot(2, 1), 2, "b"));
    const Record over = mint_over(both, write(dot(1, 2), 3, "c"));
    EXPECT_THAT(values(over), ElementsAre("c"));
    EXPECT_THAT(over.gone, ElementsAre(request(1), request(2)));
}

TEST(MintOverTest, WhatIsYoungerIsHiddenUntilAWriteHasSeenIt) {
    const Record ahead = mint({}, {}, write(dot(1, 1), 9, "of a clock that is ahead"));
    Record record = mint_over(ahead, removal(dot(1, 2), 5));
    ASSERT_EQ(record.siblings.size(), 2u);
    EXPECT_TRUE(record.is_hidden(record.siblings[0]));
    EXPECT_FALSE(record.is_hidden(record.siblings[1]));
    EXPECT_FALSE(record.has_live_value());
    EXPECT_THAT(record.gone, IsEmpty());
    record = mint_over(record, write(dot(1, 3), 6, "c"));
    ASSERT_EQ(record.siblings.size(), 2u);
    EXPECT_THAT(record.siblings[0].hidden_by, ElementsAre(request(6))) << "5 is gone";
    EXPECT_TRUE(record.has_live_value());
    const Record read = record;
    EXPECT_THAT(values(mint(record, Superseded::by_reading(read), write(dot(2, 1), 7, "d"))),
                ElementsAre("d"));
    EXPECT_THAT(values(mint_over(record, write(dot(2, 1), 10, "e"))), ElementsAre("e"));
}

TEST(MintOverTest, AMergeUnitesWhatHidesASiblingWhateverItsDot) {
    const Record here = mint({}, {}, write(dot(2, 1), 9, "w"));
    Record there = mint({}, {}, write(dot(1, 1), 9, "w"));
    there = mint_over(there, write(dot(1, 2), 5, "r"));
    for (const auto& [a, b] : {std::pair(here, there), std::pair(there, here)}) {
        Record merged = a;
        EXPECT_TRUE(join(merged, b));
        ASSERT_EQ(merged.siblings.size(), 2u);
        EXPECT_EQ(merged.siblings[0].dot, dot(1, 1));
        EXPECT_THAT(merged.siblings[0].hidden_by, ElementsAre(request(5)));
        EXPECT_FALSE(join(merged, b));
    }
}

TEST(RecordTest, AValueThatWasSeenIsAccountedForByWhatHoldsOrReplacedIt) {
    const Record theirs = mint({}, {}, write(dot(1, 1), 10, "value"));
    const Frontier seen = frontier({dot(1, 1)});
    EXPECT_TRUE(accounts_for({}, theirs, {})) << "news";
    EXPECT_FALSE(accounts_for({}, theirs, seen)) << "seen, and not here";
    EXPECT_TRUE(accounts_for(theirs, theirs, seen));
    const Record replaced =
        mint(theirs, Superseded::by_reading(theirs), write(dot(2, 1), 20, "newer"));
    EXPECT_TRUE(accounts_for(replaced, theirs, seen));

    Record stripped = replaced;
    stripped.context = context({dot(2, 1)});
    EXPECT_TRUE(accounts_for(stripped, theirs, seen)) << "its request is remembered as gone";
    stripped.gone.clear();
    EXPECT_FALSE(accounts_for(stripped, theirs, seen));
    const Record retried = mint({}, {}, write(dot(2, 1), 10, "value"));
    EXPECT_TRUE(accounts_for(retried, theirs, seen)) << "the same request under another dot";
}

TEST(RecordTest, ATombstoneNeedsNoAccount) {
    const Record theirs = mint({}, {}, removal(dot(1, 1), 10));
    EXPECT_TRUE(accounts_for({}, theirs, frontier({dot(1, 1)}))) << "it may have been collected";
}

// A write whose life was sealed before it came to light, as a disk that was set back may have one:
// it counts as seen, and nobody holds it or what superseded it.
struct SealedUnseenTest : ::testing::Test {
    SealedUnseenTest() { seen.seal(base::NodeId(2), 2); }

    const Record good = mint({}, nothing, write(dot(1, 1), 1, "good"));
    const Record ghost =
        mint(good, Superseded::by_reading(good), write(dot(2, 1), 2, "of a sealed life"));
    Frontier seen = frontier({dot(1, 1)});
};

TEST_F(SealedUnseenTest, TakesNothingWithItWhereItIsMerged) {
    Record local = good;
    merge(local, ghost, seen);
    EXPECT_THAT(values(local), ElementsAre("good"));
    EXPECT_FALSE(local.is_gone(request(1)));
    EXPECT_FALSE(local.is_gone(request(2)));
    EXPECT_FALSE(local.context.covers(dot(2, 1))) << "nothing is said of what nobody has";
}

// A hint of the disk that was set back comes before that is refilled.
TEST_F(SealedUnseenTest, TakesNothingWithItWhereTheGiverHasMetIt) {
    Record giver = good;
    merge(giver, ghost, seen);
    Record local = ghost;
    Frontier frontier_here = frontier({dot(1, 1), dot(2, 1)});
    take_over(local, giver, seen, frontier_here);
    EXPECT_THAT(values(local), ElementsAre("good"));
}

TEST_F(SealedUnseenTest, TakesNothingWithItWhereItsRecordIsTakenOver) {
    Record local = ghost;
    Frontier frontier_here = frontier({dot(1, 1), dot(2, 1)});
    take_over(local, good, seen, frontier_here);
    EXPECT_THAT(values(local), ElementsAre("good"));
    EXPECT_FALSE(local.is_gone(request(1)));
    EXPECT_TRUE(local.context.covers(dot(2, 1))) << "what is here and seen is accounted for";
}

TEST_F(SealedUnseenTest, GoesWhereTheGiverHasNothing) {
    Record local = ghost;
    Frontier frontier_here = frontier({dot(1, 1), dot(2, 1)});
    take_over(local, {}, seen, frontier_here);
    EXPECT_THAT(values(local), IsEmpty());
    EXPECT_TRUE(local.context.covers(dot(2, 1)));
}

// With a new value beside it the record is merged as any other: more often than not the unknown one
// is only old, and the new one says what it replaced.
TEST_F(SealedUnseenTest, ANewValueBesideItReplacesWhatItSaysItDoes) {
    const Record other = mint(good, nothing, write(dot(3, 1), 3, "to be replaced"));
    Record both = mint(other, Superseded::by_reading(other), write(dot(4, 1), 4, "new"));
    both = mint(both, nothing, write(dot(2, 1), 2, "of a sealed life"));
    Record local = other;
    Frontier frontier_here = seen;
    frontier_here.add(dot(3, 1));
    merge(local, both, frontier_here);
    EXPECT_THAT(values(local), ElementsAre("new"));
}

TEST_F(SealedUnseenTest, WhatIsNotSeenHereIsNotCoveredByIt) {
    Record local = good;
    Record more = ghost;
    more.context.add(dot(5, 7));
    more.gone.push_back(request(9));
    merge(local, more, seen);
    EXPECT_FALSE(local.context.covers(dot(5, 7)));
    EXPECT_FALSE(local.is_gone(request(9)));
}

// Of two givers the second has an older disk.
TEST(TakeOverTest, WhatWasSupersededForAnEarlierGiverStaysGone) {
    const Record old = mint({}, nothing, write(dot(1, 1), 1, "old"));
    Record local;
    Frontier frontier_here = frontier({dot(1, 1), dot(3, 1)});
    take_over(local, old, frontier({dot(1, 1)}), frontier_here);
    EXPECT_THAT(values(local), IsEmpty());
}

TEST(TakeOverTest, WhatTheGiverHasNotSeenStays) {
    const Record old = mint({}, nothing, write(dot(1, 1), 1, "old"));
    Record local = mint(old, Superseded::by_reading(old), write(dot(3, 1), 3, "unseen there"));
    Frontier frontier_here = frontier({dot(1, 1), dot(3, 1)});
    take_over(local, old, frontier({dot(1, 1)}), frontier_here);
    EXPECT_THAT(values(local), ElementsAre("unseen there"));
}

}  // namespace
}  // namespace starling::node
