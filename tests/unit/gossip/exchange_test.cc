#include "gossip/exchange.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tests/unit/gossip/generators.h"

namespace starling::gossip {
namespace {

constexpr uint64_t nodes = 5;
constexpr base::NodeId outsider{99};

// The whole exchange that A opens with B, on messages of about `bytes_target`.
void exchange(Membership& a, Membership& b, size_t bytes_target) {
    if (a.hash() == b.hash()) return;
    const peer::SyncDigest digest = make_digest(b);
    StateChanges ignored;
    merge_into(a, digest.certificates(), ignored);
    DeltaWriter to_b(bytes_target);
    answer_digest(a, digest, to_b);
    for (const peer::StateDelta& delta : to_b.finish()) {
        merge_into(b, delta, outsider, ignored);
        DeltaWriter to_a(bytes_target);
        answer_wanted(b, delta, to_a);
        for (const peer::StateDelta& answer : to_a.finish())
            merge_into(a, answer, outsider, ignored);
    }
}

MemberRecord record_with_payload(uint64_t id, size_t size) {
    MemberRecord record;
    record.id = base::NodeId(id);
    record.generation = 1;
    record.peer_address = "h:1";
    record.payload.resize(size, 'x');
    return record;
}

RC_GTEST_PROP(ExchangeProperty, AfterOneExchangeBothHoldTheMerge, ()) {
    Membership a = *any_membership(nodes);
    Membership b = *any_membership(nodes);
    const Membership expected = merged(a, b);
    exchange(a, b, *rc::gen::element<size_t>(1, 100, 1 << 20));
    RC_ASSERT(a == expected);
    RC_ASSERT(b == expected);
}

TEST(ExchangeTest, MessagesAreCutToTheTarget) {
    DeltaWriter writer(10'000);
    for (uint64_t id = 1; id <= 20; ++id)
        writer.add(record_with_payload(id, 3000));
    const auto messages = writer.finish();
    EXPECT_GE(messages.size(), 6u);
    int records = 0;
    for (const auto& message : messages) {
        EXPECT_LE(message.ByteSizeLong(), 10'000u);
        records += message.records_size();
    }
    EXPECT_EQ(records, 20);
}

TEST(ExchangeTest, APartLargerThanTheTargetTravelsAlone) {
    DeltaWriter writer(1000);
    writer.add(record_with_payload(1, 5000));
    writer.add(record_with_payload(2, 5000));
    EXPECT_EQ(writer.finish().size(), 2u);
}

TEST(ExchangeTest, NothingToSayIsNoMessage) {
    EXPECT_TRUE(DeltaWriter(1000).finish().empty());
}

TEST(ExchangeTest, WhatIsWantedTwiceIsSentOnce) {
    Membership membership;
    membership.merge(record_with_payload(1, 10));
    peer::StateDelta request;
    for (int i = 0; i < 1000; ++i)
        request.add_wanted_records(1);
    request.add_wanted_records(2);
    request.add_wanted_items("absent");
    DeltaWriter writer(1 << 20);
    answer_wanted(membership, request, writer);
    const auto messages = writer.finish();
    ASSERT_EQ(messages.size(), 1u);
    EXPECT_EQ(messages[0].records_size(), 1);
}

TEST(ExchangeTest, ADigestBeyondTheLimitsIsNotValid) {
    peer::SyncDigest digest;
    EXPECT_TRUE(is_valid(digest));
    digest.add_items()->set_key(std::string(item_key_bytes_max + 1, 'k'));
    EXPECT_FALSE(is_valid(digest));
    digest.clear_items();
    for (size_t i = 0; i <= members_max; ++i)
        digest.add_records();
    EXPECT_FALSE(is_valid(digest));
}

TEST(DeltaTest, RecordsOfTheMergingNodeAreHandedOutAndNotMerged) {
    Membership membership;
    peer::StateDelta delta;
    delta.add_records(encode(record_with_payload(1, 10)));
    StateChanges changes;
    merge_into(membership, delta, base::NodeId(1), changes);
    EXPECT_TRUE(changes.empty());
    EXPECT_EQ(changes.records_of_self.size(), 1u);
    EXPECT_TRUE(membership.members().empty());
}

TEST(DeltaTest, BadPartsAreSkippedAndTheGoodOnesTaken) {
    Membership membership;
    membership.merge(DeathCertificate{base::NodeId(3), base::NodeId(1), 1});
    peer::StateDelta delta;
    delta.add_records("nonsense");
    delta.add_records(encode(record_with_payload(2, 10)));
    delta.add_records(encode(record_with_payload(3, 10)));
    delta.add_certificates();
    StateChanges changes;
    merge_into(membership, delta, outsider, changes);
    EXPECT_EQ(changes.refused, 2u);
    EXPECT_EQ(changes.dead_refused, 1u);
    ASSERT_EQ(changes.records.size(), 1u);
    EXPECT_EQ(changes.records[0].id, base::NodeId(2));
}

}  // namespace
}  // namespace starling::gossip
