#include "node/version/expiry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "node/version/collection.h"
#include "node/version/last_write.h"
#include "tests/unit/node/version/builders.h"

namespace starling::node {
namespace {

using testing::dot;
using ::testing::ElementsAre;
using testing::frontier;
using ::testing::IsEmpty;
using testing::removal;
using testing::request;
using testing::values;
using testing::write;

constexpr uint64_t expiry_ms = 5000;

NewWrite expiring(Dot dot, uint64_t request_number, std::string value) {
    NewWrite made = write(dot, request_number, std::move(value));
    made.expires_ms = expiry_ms;
    return made;
}

// Node 1 has put a value that expires.
Record one() {
    return mint({}, {}, expiring(dot(1, 1), 10, "expires"));
}

Record removed(const Record& record, const Dot& value, const Dot& by) {
    for (const Sibling& sibling : record.siblings) {
        if (sibling.dot == value) return mint_removal(record, sibling, by);
    }
    ADD_FAILURE() << "no such sibling";
    return {};
}

TEST(ExpiryTest, AValueIsAbsentFromItsExpiryOn) {
    const Sibling value = one().siblings.front();
    EXPECT_FALSE(has_expired(value, expiry_ms - 1));
    EXPECT_TRUE(has_expired(value, expiry_ms));
    EXPECT_FALSE(has_expired(mint({}, {}, write(dot(1, 1), 10, "stays")).siblings.front(), ~0ull));
    const Sibling tombstone = removed(one(), dot(1, 1), dot(2, 1)).siblings.front();
    EXPECT_FALSE(has_expired(tombstone, ~0ull)) << "it is no value";
    EXPECT_TRUE(is_removal(tombstone));
    EXPECT_FALSE(is_removal(value));
    EXPECT_FALSE(is_removal(mint({}, {}, removal(dot(1, 1), 10)).siblings.front()));
}

TEST(ExpiryTest, ARemovalLeavesATombstoneThatRemembersTheRequest) {
    const Record after = removed(one(), dot(1, 1), dot(2, 1));
    EXPECT_THAT(values(after), ElementsAre("(deleted)"));
    EXPECT_THAT(after.gone, ElementsAre(request(10)));
    EXPECT_TRUE(after.context.covers(dot(1, 1)));
    const auto decoded = decode_record(testing::encoded(after));
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(*decoded, after);
}

TEST(ExpiryTest, TwoOwnersThatRemoveAValueMakeOneWrite) {
    Record here = removed(one(), dot(1, 1), dot(3, 1));
    const Record there = removed(one(), dot(1, 1), dot(2, 1));
    ASSERT_TRUE(join(here, there));
    EXPECT_THAT(values(here), ElementsAre("(deleted)"));
    EXPECT_EQ(here.siblings.front().dot, dot(2, 1));
}

TEST(ExpiryTest, BothDotsOfARequestFallToOneRemoval) {
    const Record first = one();
    const Record retried = mint({}, {}, expiring(dot(2, 1), 10, "expires"));
    Record here = removed(first, dot(1, 1), dot(1, 2));
    EXPECT_EQ(removed(retried, dot(2, 1), dot(2, 2)).siblings.front().request,
              here.siblings.front().request);
    Frontier seen = frontier({dot(1, 1), dot(1, 2)});
    merge(here, retried, seen);
    EXPECT_THAT(values(here), ElementsAre("(deleted)"));
}

TEST(ExpiryTest, ARemovalTakesNothingButItsValue) {
    // All of one actor: a context with the expired value's dot would cover the first.
    Record record = mint({}, {}, write(dot(1, 1), 10, "before"));
    record = mint(record, {}, expiring(dot(1, 2), 20, "expires"));
    record = mint(record, {}, write(dot(1, 3), 30, "after"));
    EXPECT_THAT(values(removed(record, dot(1, 2), dot(1, 4))),
                ElementsAre("before", "after", "(deleted)"));
}

TEST(ExpiryTest, AConcurrentPutStaysAndALateCopyOfTheValueDoesNot) {
    Record here = removed(one(), dot(1, 1), dot(2, 1));
    Frontier seen = frontier({dot(2, 1)});
    merge(here, one(), seen);
    EXPECT_THAT(values(here), ElementsAre("(deleted)"));
    merge(here, mint({}, {}, write(dot(3, 1), 40, "concurrent")), seen);
    EXPECT_THAT(values(here), ElementsAre("(deleted)", "concurrent"));
}

TEST(ExpiryTest, ARemovalIsCollectedWhenItsValuesRequestIsForgotten) {
    const Frontier all = frontier({dot(1, 1), dot(2, 1)});
    Record young = removed(one(), dot(1, 1), dot(2, 1));
    EXPECT_FALSE(collect_tombstones(young, all, 10));
    Record unseen = removed(one(), dot(1, 1), dot(2, 1));
    EXPECT_FALSE(collect_tombstones(unseen, frontier({dot(2, 1)}), 11));
    Record old = removed(one(), dot(1, 1), dot(2, 1));
    EXPECT_TRUE(collect_tombstones(old, all, 11));
    EXPECT_THAT(values(old), IsEmpty());
}

// A value that expires, and a concurrent one of the same time.
struct Tie {
    Record record;
    Sibling expired;
    Sibling other;
};
Tie tie(uint64_t expired_node, uint64_t other_node) {
    const NewWrite expires = expiring(dot(expired_node, 1), 10, "expires");
    NewWrite other = write(dot(other_node, 1), 20, "other");
    other.time = expires.time;
    Record record = mint(mint({}, {}, expires), {}, other);
    const size_t at = expired_node < other_node ? 0 : 1;
    return {.record = record, .expired = record.siblings[at], .other = record.siblings[1 - at]};
}

TEST(ExpiryTest, ARemovalIsNoLaterThanItsValueWas) {
    for (const auto& [expired_node, other_node] : {std::pair(1, 2), std::pair(2, 1)}) {
        const Tie tied =
            tie(static_cast<uint64_t>(expired_node), static_cast<uint64_t>(other_node));
        EXPECT_EQ(is_earlier(tied.expired, tied.other), expired_node < other_node);
        const Record after = mint_removal(tied.record, tied.expired, dot(9, 1));
        EXPECT_TRUE(is_earlier(*after.find(removal_request(request(10))), tied.other));
    }
    Record earlier = mint(one(), {}, write(dot(2, 1), 9, "earlier"));
    const Record after = mint_removal(earlier, earlier.siblings.front(), dot(9, 1));
    EXPECT_TRUE(is_earlier(*after.find(request(9)), *after.find(removal_request(request(10)))))
        << "what the value hid stays hidden";
}

TEST(ExpiryTest, ACollectedRemovalTakesWhatItHidAndNoWriteOfItsTime) {
    const Tie tied = tie(1, 2);
    Record record = mint(tied.record, {}, write(dot(3, 1), 5, "earlier"));
    record = mint_removal(record, tied.expired, dot(4, 1));
    record.gone.clear();
    const Frontier all = frontier({dot(1, 1), dot(2, 1), dot(3, 1), dot(4, 1)});
    ASSERT_TRUE(collect_tombstones(record, all, 10'000, /*latest_only=*/true));
    EXPECT_THAT(values(record), ElementsAre("other"));
}

TEST(ExpiryTest, AValueThatHidesAYoungerOneIsKnown) {
    const Record younger = mint({}, {}, write(dot(1, 1), 30, "younger"));
    const Record both = mint_over(younger, expiring(dot(2, 1), 10, "expires"));
    EXPECT_TRUE(hides_another(both, request(10)));
    EXPECT_FALSE(hides_another(both, request(30)));
}

}  // namespace
}  // namespace starling::node
