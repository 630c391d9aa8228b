#include "node/replica/storage_keys.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "node/replica/seat_set.h"
#include "tests/unit/node/version/builders.h"

namespace starling::node {
namespace {

GroupId any_group() {
    return {base::PartitionId(*rc::gen::arbitrary<uint16_t>()), *rc::gen::arbitrary<uint8_t>()};
}

storage_keys::HintKey any_hint() {
    return {
        .group = any_group(),
        .seat = base::SeatIndex(*rc::gen::inRange<uint8_t>(0, seat_count_max)),
        .dot = testing::dot(*rc::gen::arbitrary<uint64_t>(), *rc::gen::inRange<uint64_t>(1, 1000)),
        .key = *rc::gen::arbitrary<std::string>()};
}

RC_GTEST_PROP(StorageKeysTest, ARecordsKeyIsReadBackAsWritten, ()) {
    const GroupId group = any_group();
    const auto key = *rc::gen::arbitrary<std::string>();
    const std::string stored = storage_keys::record(group, key);
    const auto parsed = storage_keys::parse_record(stored);
    RC_ASSERT(parsed.has_value());
    RC_ASSERT(parsed->group == group);
    RC_ASSERT(parsed->group_key == key);
    RC_ASSERT(stored.starts_with(storage_keys::record_prefix(group)));
    RC_ASSERT(stored >= storage_keys::records_begin() && stored < storage_keys::records_end());
    RC_ASSERT(!storage_keys::parse_hint(stored).has_value());
}

RC_GTEST_PROP(StorageKeysTest, RecordsOfAGroupAreInKeyOrderAndApartFromOtherGroups, ()) {
    const GroupId a = any_group();
    const GroupId b = any_group();
    const auto first = *rc::gen::arbitrary<std::string>();
    const auto second = *rc::gen::arbitrary<std::string>();
    RC_ASSERT((storage_keys::record(a, first) < storage_keys::record(a, second)) ==
              (first < second));
    if (a < b) {
        RC_ASSERT(storage_keys::record(a, first) < storage_keys::record(b, second));
        RC_ASSERT(storage_keys::record(a, first) <
                  storage_keys::prefix_end(storage_keys::record_prefix(a)));
        RC_ASSERT(storage_keys::prefix_end(storage_keys::record_prefix(a)) <=
                  storage_keys::record(b, second));
    }
}

RC_GTEST_PROP(StorageKeysTest, AHintsKeyIsReadBackAsWritten, ()) {
    const storage_keys::HintKey hint = any_hint();
    const std::string stored = storage_keys::hint(hint);
    const auto parsed = storage_keys::parse_hint(stored);
    RC_ASSERT(parsed.has_value());
    RC_ASSERT(*parsed == hint);
    RC_ASSERT(stored >= storage_keys::hints_begin() && stored < storage_keys::hints_end());
}

RC_GTEST_PROP(StorageKeysTest, FrontiersAndSeatsAreReadBackAsWritten, ()) {
    const GroupId group = any_group();
    RC_ASSERT(storage_keys::parse_frontier(storage_keys::frontier(group)) == group);
    RC_ASSERT(storage_keys::parse_seats(storage_keys::seats(group.partition)) == group.partition);
    RC_ASSERT(!storage_keys::parse_frontier(storage_keys::frontier(group) + "x").has_value());
    RC_ASSERT(!storage_keys::parse_seats(storage_keys::seats(group.partition) + "x").has_value());
}

RC_GTEST_PROP(StorageKeysTest, APrefixOfAHintsKeyIsNoHint, ()) {
    storage_keys::HintKey hint = any_hint();
    hint.key.clear();
    const std::string stored = storage_keys::hint(hint);
    const auto size = *rc::gen::inRange<size_t>(0, stored.size());
    RC_ASSERT(!storage_keys::parse_hint(stored.substr(0, size)).has_value());
}

RC_GTEST_PROP(StorageKeysTest, ExpiriesAreReadBackAsWrittenAndOrderedByTimeInTheirGroup, ()) {
    const auto any_expiry = [](GroupId group) {
        return storage_keys::ExpiryKey{.group = group,
                                       .expires_ms = *rc::gen::arbitrary<uint64_t>(),
                                       .dot = testing::dot(*rc::gen::arbitrary<uint64_t>(),
                                                           *rc::gen::inRange<uint64_t>(1, 99))};
    };
    const GroupId group = any_group();
    const storage_keys::ExpiryKey a = any_expiry(group);
    const storage_keys::ExpiryKey b = any_expiry(group);
    const std::string stored = storage_keys::expiry(a);
    RC_ASSERT(storage_keys::parse_expiry(stored) == a);
    RC_ASSERT(!storage_keys::parse_expiry(stored + "x").has_value());
    RC_ASSERT(stored.starts_with(storage_keys::expiries_prefix(group)));
    RC_ASSERT(stored >= storage_keys::expiries_begin() && stored < storage_keys::expiries_end());
    if (a.expires_ms < b.expires_ms) RC_ASSERT(stored < storage_keys::expiry(b));
}

TEST(StorageKeysTest, AHintForASeatThatNobodyCanHaveIsNoHint) {
    for (const uint8_t seat : {uint8_t{seat_count_max}, uint8_t{255}}) {
        const std::string stored = storage_keys::hint({.group = {base::PartitionId(1), 3},
                                                       .seat = base::SeatIndex(seat),
                                                       .dot = testing::dot(1, 1),
                                                       .key = "key"});
        EXPECT_FALSE(storage_keys::parse_hint(stored).has_value());
    }
}

TEST(StorageKeysTest, ThePrefixEndOfTheHighestBytesIsTheEndOfEverything) {
    EXPECT_EQ(storage_keys::prefix_end("ab"), "ac");
    EXPECT_EQ(storage_keys::prefix_end("a\xff\xff"), "b");
    EXPECT_EQ(storage_keys::prefix_end("\xff"), "");
}

}  // namespace
}  // namespace starling::node
