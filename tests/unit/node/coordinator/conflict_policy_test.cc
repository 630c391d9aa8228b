#include "node/coordinator/conflict_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "node/version/expiry.h"
#include "tests/unit/node/version/builders.h"

namespace starling::node {
namespace {

using testing::dot;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::removal;

constexpr auto siblings = ConflictPolicy::siblings;
constexpr auto last_write_wins = ConflictPolicy::last_write_wins;
constexpr auto reject_stale = ConflictPolicy::reject_stale;

base::WallTime at_ms(int64_t ms) {
    return base::WallTime(std::chrono::milliseconds(ms));
}

NewWrite write_at(Dot of, uint64_t request, std::string value, HybridTime time) {
    NewWrite write = testing::write(of, request, std::move(value));
    write.time = time;
    return write;
}

NewWrite removal_at(Dot of, uint64_t request, HybridTime time) {
    NewWrite write = removal(of, request);
    write.time = time;
    return write;
}

// What replicas hold after these writes, none of which has seen another.
Record concurrent(std::vector<NewWrite> writes) {
    Record record;
    for (NewWrite& write : writes) {
        join(record, mint({}, {}, std::move(write)));
    }
    return record;
}

std::vector<std::string> shown(const Record& record, ConflictPolicy policy, uint64_t now_ms = 0) {
    std::vector<std::string> values;
    for (const Sibling* sibling : shown_values(record, policy, now_ms)) {
        values.push_back(sibling->value);
    }
    return values;
}

TEST(ConflictPolicyTest, OfConcurrentValuesLastWriteWinsShowsTheLatestAndTheOthersShowAll) {
    const Record record = concurrent({write_at(dot(1, 1), 10, "early", {1000, 0}),
                                      write_at(dot(2, 1), 11, "late", {1000, 2}),
                                      write_at(dot(3, 1), 12, "between", {1000, 1})});
    EXPECT_THAT(shown(record, last_write_wins), ElementsAre("late"));
    EXPECT_THAT(shown(record, siblings), ElementsAre("early", "late", "between"));
    EXPECT_THAT(shown(record, reject_stale), ElementsAre("early", "late", "between"));
}

TEST(ConflictPolicyTest, OfEqualTimesTheGreaterDotWinsInWhateverOrderTheyMet) {
    const NewWrite one = write_at(dot(1, 1), 10, "one", {1000, 0});
    const NewWrite two = write_at(dot(2, 1), 9, "two", {1000, 0});
    EXPECT_THAT(shown(concurrent({one, two}), last_write_wins), ElementsAre("two"));
    EXPECT_THAT(shown(concurrent({two, one}), last_write_wins), ElementsAre("two"));
}

TEST(ConflictPolicyTest, ATombstoneThatIsTheLatestHidesEarlierValuesAndAnEarlierOneDoesNot) {
    EXPECT_THAT(shown(concurrent({write_at(dot(1, 1), 10, "value", {1000, 0}),
                                  removal_at(dot(2, 1), 11, {1001, 0})}),
                      last_write_wins),
                IsEmpty());
    EXPECT_THAT(shown(concurrent({write_at(dot(1, 1), 10, "value", {1001, 0}),
                                  removal_at(dot(2, 1), 11, {1000, 0})}),
                      last_write_wins),
                ElementsAre("value"));
}

TEST(ConflictPolicyTest, WhatAnOlderRequestHidesIsShownByNoPolicy) {
    const Record first = mint({}, {}, write_at(dot(1, 1), 20, "younger", {1000, 0}));
    const Record record = mint_over(first, write_at(dot(1, 2), 10, "older", {1001, 0}));
    ASSERT_EQ(record.siblings.size(), 2u);
    for (const ConflictPolicy policy : {siblings, last_write_wins, reject_stale}) {
        EXPECT_THAT(shown(record, policy), ElementsAre("older"));
    }
}

NewWrite expiring_at(Dot of, uint64_t request, std::string value, HybridTime time) {
    NewWrite write = write_at(of, request, std::move(value), time);
    write.expires_ms = 5000;
    return write;
}

TEST(ConflictPolicyTest, AnExpiredValueIsAsAbsentAsADeletedOne) {
    const Record record = concurrent({write_at(dot(1, 1), 10, "earlier", {1000, 0}),
                                      expiring_at(dot(2, 1), 11, "latest", {1001, 0})});
    EXPECT_THAT(shown(record, siblings, 4999), ElementsAre("earlier", "latest"));
    EXPECT_THAT(shown(record, siblings, 5000), ElementsAre("earlier"));
    EXPECT_THAT(shown(record, last_write_wins, 4999), ElementsAre("latest"));
    EXPECT_THAT(shown(record, last_write_wins, 5000), IsEmpty()) << "and not an older one";
}

TEST(ConflictPolicyTest, WhatAnExpiredValueHidesStaysHidden) {
    const Record first = mint({}, {}, write_at(dot(1, 1), 20, "younger", {1000, 0}));
    const Record record = mint_over(first, expiring_at(dot(1, 2), 10, "older", {1001, 0}));
    EXPECT_THAT(shown(record, siblings, 5000), IsEmpty());
}

TEST(ConflictPolicyTest, WithoutAContextAStaleCheckTakesAnExpiredValueForNone) {
    const Record record = mint({}, {}, expiring_at(dot(1, 1), 10, "value", {1000, 0}));
    EXPECT_FALSE(check_not_stale(record, std::nullopt, 4999).ok());
    EXPECT_TRUE(check_not_stale(record, std::nullopt, 5000).ok());
    EXPECT_TRUE(check_not_stale(record, Superseded{}, 5000).ok());
    Superseded other;
    other.requests = {testing::request(99)};
    EXPECT_FALSE(check_not_stale(record, other, 5000).ok()) << "that of a read before it was put";
}

TEST(ConflictPolicyTest, ARemovalIsNoNewsToWhoHasSeenItsValue) {
    const Record record = mint({}, {}, expiring_at(dot(1, 1), 10, "value", {1000, 0}));
    const Superseded seen = Superseded::by_reading(record);
    const Record removed = mint_removal(record, record.siblings.front(), dot(2, 1));
    EXPECT_TRUE(check_not_stale(removed, seen, 5000).ok());
    Superseded other;
    other.requests = {testing::request(99)};
    EXPECT_FALSE(check_not_stale(removed, other, 5000).ok());
}

TEST(ConflictPolicyTest, NothingIsShownOfAnAbsentKey) {
    EXPECT_THAT(shown({}, last_write_wins), IsEmpty());
    EXPECT_THAT(shown({}, siblings), IsEmpty());
}

TEST(ConflictPolicyTest, AWriteIsLaterThanAllItReplacesHoweverFarTheClockIsBehind) {
    EXPECT_EQ(time_over({}, at_ms(500)), (HybridTime{500, 0}));
    const Record held =
        concurrent({write_at(dot(1, 1), 10, "a", {1000, 7}), removal_at(dot(2, 1), 11, {900, 0})});
    EXPECT_EQ(time_over(held, at_ms(500)), (HybridTime{1000, 8}));
    EXPECT_EQ(time_over(held, at_ms(1000)), (HybridTime{1000, 8}));
    EXPECT_EQ(time_over(held, at_ms(1001)), (HybridTime{1001, 0}));
}

TEST(ConflictPolicyTest, WithoutAContextAStaleCheckWantsTheKeyToHaveNoValue) {
    const Record value = mint({}, {}, testing::write(dot(1, 1), 10, "value"));
    const Record gone = mint(value, Superseded::by_reading(value), removal(dot(1, 2), 11));
    for (const std::optional<Superseded>& seen :
         {std::optional<Superseded>(), std::optional(Superseded{})}) {
        EXPECT_TRUE(check_not_stale({}, seen, 0).ok());
        EXPECT_TRUE(check_not_stale(gone, seen, 0).ok()) << "deleted is as good as never written";
        const absl::Status refused = check_not_stale(value, seen, 0);
        EXPECT_EQ(refused.code(), absl::StatusCode::kAborted);
        EXPECT_EQ(base::reason_of(refused), base::reason::stale_context);
        EXPECT_THAT(std::string(refused.message()), ::testing::HasSubstr("read the key"));
    }
}

TEST(ConflictPolicyTest, AContextMustHaveSeenAllSiblingsTombstonesToo) {
    const Record one = mint({}, {}, testing::write(dot(1, 1), 10, "one"));
    const Superseded of_one = Superseded::by_reading(one);
    EXPECT_TRUE(check_not_stale(one, of_one, 0).ok());
    EXPECT_TRUE(check_not_stale({}, of_one, 0).ok()) << "more than is here is not too little";

    Record both = one;
    join(both, mint({}, {}, testing::write(dot(2, 1), 11, "two")));
    EXPECT_EQ(base::reason_of(check_not_stale(both, of_one, 0)), base::reason::stale_context);
    EXPECT_TRUE(check_not_stale(both, Superseded::by_reading(both), 0).ok());

    const Record replaced = mint(one, of_one, testing::write(dot(1, 2), 12, "three"));
    EXPECT_EQ(base::reason_of(check_not_stale(replaced, of_one, 0)), base::reason::stale_context);
    const Record deleted = mint(one, of_one, removal(dot(1, 2), 12));
    EXPECT_EQ(base::reason_of(check_not_stale(deleted, of_one, 0)), base::reason::stale_context);
}

TEST(ConflictPolicyTest, ASiblingMayBeKnownByItsRequestAlone) {
    const Record one = mint({}, {}, testing::write(dot(1, 1), 10, "one"));
    const Superseded by_request{.context = {}, .requests = {testing::request(10)}};
    EXPECT_TRUE(check_not_stale(one, by_request, 0).ok());
}

TEST(ConflictPolicyTest, OnlyRejectStaleAsksOthersForEachWrite) {
    for (const ConflictPolicy policy : {siblings, last_write_wins}) {
        EXPECT_TRUE(asks_before_minting(policy, false, false));
        EXPECT_FALSE(asks_before_minting(policy, true, false));
        EXPECT_FALSE(asks_before_minting(policy, false, true));
    }
    EXPECT_TRUE(asks_before_minting(reject_stale, true, false));
    EXPECT_TRUE(asks_before_minting(reject_stale, false, true));
}

}  // namespace
}  // namespace starling::node
