#include "node/version/collection.h"

#include <gtest/gtest.h>

#include "tests/unit/node/version/builders.h"

namespace starling::node {
namespace {

using testing::context;
using testing::dot;
using testing::frontier;
using testing::removal;
using testing::write;

// Node 2 has replaced node 1's first write.
Record replaced() {
    const Record first = mint({}, {}, write(dot(1, 1), 10, "old"));
    return mint(first, Superseded::by_reading(first), write(dot(2, 1), 20, "new"));
}

Record deleted() {
    const Record first = replaced();
    return mint(first, Superseded::by_reading(first), removal(dot(2, 2), 30));
}

TEST(CollectionTest, AContextKeepsWhatItsSiblingsNeedAndWhatNotAllHaveSeen) {
    const Frontier all = frontier({dot(1, 1), dot(2, 1)});
    Record record = replaced();
    EXPECT_TRUE(strip_context(record, all));
    EXPECT_EQ(record.context, context({dot(2, 1)}));
    EXPECT_FALSE(strip_context(record, all)) << "nothing is left to strip";

    record = replaced();
    EXPECT_FALSE(strip_context(record, frontier({dot(1, 1)}))) << "not all have seen the sibling";
    EXPECT_FALSE(strip_context(record, frontier({dot(2, 1)}))) << "not all have seen the old one";
    EXPECT_FALSE(strip_context(record, {}));
    EXPECT_EQ(record, replaced());
}

TEST(CollectionTest, AStrippedRecordIsStillARecord) {
    Record record = deleted();
    ASSERT_TRUE(strip_context(record, frontier({dot(1, 1), dot(2, 1), dot(2, 2)})));
    const auto decoded = decode_record(testing::encoded(record));
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(*decoded, record);
}

bool is_collected(Record record, const Frontier& stable, uint64_t forget_before_ms) {
    const Record before = record;
    const bool changed = collect_tombstones(record, stable, forget_before_ms);
    EXPECT_EQ(changed, record != before);
    return changed;
}

TEST(CollectionTest, ATombstoneGoesWhenAllHaveSeenItAndWhatItReplaced) {
    const Frontier all = frontier({dot(1, 1), dot(2, 1), dot(2, 2)});
    EXPECT_TRUE(is_collected(deleted(), all, 31));
    EXPECT_FALSE(is_collected(deleted(), frontier({dot(2, 1), dot(2, 2)}), 31));
    EXPECT_FALSE(is_collected(deleted(), frontier({dot(1, 1), dot(2, 1)}), 31));
    EXPECT_FALSE(is_collected(deleted(), frontier({dot(1, 1), dot(2, 2)}), 31)) << "a gap";
    EXPECT_FALSE(is_collected(deleted(), {}, 31));
}

TEST(CollectionTest, ATombstoneStaysWhileItsRequestMayBeMintedAgain) {
    const Frontier all = frontier({dot(1, 1), dot(2, 1), dot(2, 2)});
    EXPECT_FALSE(is_collected(deleted(), all, 30));
}

TEST(CollectionTest, RemainsGoAsAWholeWhenAllHaveSeenThemAndNothingCanBeMintedAgain) {
    const Frontier all = frontier({dot(1, 1), dot(2, 1), dot(2, 2)});
    Record remains = deleted();
    remains.siblings.clear();
    remains.gone.push_back(testing::request(30));
    EXPECT_FALSE(strip_context(remains, all));
    const Record before = remains;
    EXPECT_FALSE(forget_remains(remains, all, 30)) << "its request is young";
    EXPECT_FALSE(forget_remains(remains, frontier({dot(2, 1), dot(2, 2)}), 31));
    EXPECT_EQ(remains, before);
    EXPECT_TRUE(forget_remains(remains, all, 31));
    EXPECT_EQ(remains, Record{});
    Record whole = deleted();
    EXPECT_FALSE(forget_remains(whole, all, 31)) << "it has a sibling";
}

TEST(CollectionTest, ATombstoneBesideAValueGoesAlone) {
    const Record value = mint({}, {}, write(dot(1, 1), 10, "kept"));
    Record both = mint(value, {}, removal(dot(2, 1), 20));
    ASSERT_EQ(both.siblings.size(), 2u);
    EXPECT_TRUE(collect_tombstones(both, frontier({dot(1, 1), dot(2, 1)}), 21));
    EXPECT_EQ(testing::values(both), std::vector<std::string>{"kept"});
}

// A retry of it would be a new write, later than the delete, if nobody knew it any more.
TEST(CollectionTest,
     WhereTheLatestIsShownAloneATombstoneWaitsForTheYoungRequestsThatItTakesWithIt) {
    NewWrite lost = write(dot(1, 1), 10, "lost");
    NewWrite tombstone = removal(dot(3, 1), 30);
    lost.request.created_ms = 40;
    lost.time = {.wall_ms = 1};
    tombstone.time = {.wall_ms = 2};
    Record record = mint({}, {}, std::move(lost));
    record = mint(record, {}, std::move(tombstone));
    const Frontier all = frontier({dot(1, 1), dot(3, 1)});
    EXPECT_FALSE(collect_tombstones(record, all, 31, /*latest_only=*/true));
    EXPECT_FALSE(collect_tombstones(record, all, 40, /*latest_only=*/true));
    EXPECT_EQ(record.siblings.size(), 2u);
    EXPECT_TRUE(collect_tombstones(record, all, 41, /*latest_only=*/true));
    EXPECT_TRUE(record.siblings.empty());
}

// What is written where it is gone already must not be earlier than it where it is still there.
TEST(CollectionTest, WhereTheLatestIsShownAloneATombstoneOfALaterTimeThanItsRequestWaitsForThat) {
    NewWrite tombstone = removal(dot(3, 1), 30);
    tombstone.time = {.wall_ms = 100};
    Record record = mint({}, {}, std::move(tombstone));
    const Frontier all = frontier({dot(3, 1)});
    EXPECT_FALSE(collect_tombstones(record, all, 100, /*latest_only=*/true));
    Record other = record;
    EXPECT_TRUE(collect_tombstones(other, all, 31, /*latest_only=*/false));
    EXPECT_TRUE(collect_tombstones(record, all, 101, /*latest_only=*/true));
}

TEST(CollectionTest, WhereTheLatestIsShownAloneEarlierVersionsGoWithTheirTombstone) {
    NewWrite early = write(dot(1, 1), 10, "early");
    NewWrite late = write(dot(2, 1), 20, "late");
    NewWrite tombstone = removal(dot(3, 1), 30);
    early.time = {.wall_ms = 1};
    tombstone.time = {.wall_ms = 2};
    late.time = {.wall_ms = 3};
    Record record = mint({}, {}, std::move(early));
    record = mint(record, {}, std::move(late));
    record = mint(record, {}, std::move(tombstone));
    const Frontier all = frontier({dot(1, 1), dot(2, 1), dot(3, 1)});
    Record kept = record;
    EXPECT_TRUE(collect_tombstones(kept, all, 31));
    EXPECT_EQ(kept.siblings.size(), 2u);
    EXPECT_TRUE(collect_tombstones(record, all, 31, /*latest_only=*/true));
    ASSERT_EQ(record.siblings.size(), 1u);
    EXPECT_EQ(record.siblings[0].value, "late");
}

TEST(CollectionTest, ATombstoneThatHidesAValueStays) {
    const Record younger = mint({}, {}, write(dot(1, 1), 20, "hidden"));
    const Record both = mint_over(younger, removal(dot(2, 1), 10));
    ASSERT_FALSE(both.has_live_value());
    EXPECT_FALSE(is_collected(both, frontier({dot(1, 1), dot(2, 1)}), 100));
}

TEST(CollectionTest, SealedLivesAreSeenByAll) {
    Frontier sealed;
    sealed.seal(base::NodeId(1), 2);
    sealed.seal(base::NodeId(2), 2);
    EXPECT_TRUE(is_collected(deleted(), sealed, 31));
}

}  // namespace
}  // namespace starling::node
