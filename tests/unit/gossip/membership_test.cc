#include "gossip/membership.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tests/unit/gossip/generators.h"

namespace starling::gossip {
namespace {

constexpr uint64_t nodes = 4;

MemberRecord record_of(uint64_t id, uint32_t generation, uint64_t version) {
    MemberRecord record;
    record.id = base::NodeId(id);
    record.generation = generation;
    record.version = version;
    record.peer_address = "h:" + std::to_string(id);
    return record;
}

TEST(MembershipTest, TheHigherVersionHolds) {
    Membership membership;
    EXPECT_EQ(membership.merge(record_of(1, 1, 5)), MergeResult::changed);
    EXPECT_EQ(membership.merge(record_of(1, 1, 4)), MergeResult::unchanged);
    EXPECT_EQ(membership.merge(record_of(1, 1, 5)), MergeResult::unchanged);
    EXPECT_EQ(membership.merge(record_of(1, 2, 0)), MergeResult::changed);
    EXPECT_EQ(membership.find(base::NodeId(1))->generation, 2u);
}

TEST(MembershipTest, EqualVersionsWithOtherContentAreAConflictWithOneWinner) {
    MemberRecord a = record_of(1, 1, 1);
    MemberRecord b = a;
    b.payload = "other";
    Membership ab;
    Membership ba;
    const auto first = ab.merge(a);
    EXPECT_EQ(first, MergeResult::changed);
    EXPECT_TRUE(is_conflict(ab.merge(b)));
    EXPECT_EQ(ba.merge(b), MergeResult::changed);
    EXPECT_TRUE(is_conflict(ba.merge(a)));
    EXPECT_EQ(ab, ba);
    EXPECT_EQ(ab.hash(), ba.hash());
}

TEST(MembershipTest, ANewAddressReplacesTheOldOne) {
    Membership membership;
    membership.merge(record_of(1, 1, 1));
    MemberRecord moved = record_of(1, 2, 1);
    moved.peer_address = "elsewhere:1";
    membership.merge(moved);
    EXPECT_EQ(membership.address_of(base::NodeId(1)), "elsewhere:1");
    EXPECT_EQ(membership.address_of(base::NodeId(2)), std::nullopt);
}

TEST(MembershipTest, ACertificateRemovesForGood) {
    Membership membership;
    membership.merge(record_of(1, 1, 1));
    const DeathCertificate certificate{base::NodeId(1), base::NodeId(2), 5};
    EXPECT_EQ(membership.merge(certificate), MergeResult::changed);
    EXPECT_EQ(membership.find(base::NodeId(1)), nullptr);
    EXPECT_EQ(membership.merge(record_of(1, 99, 99)), MergeResult::refused_dead);
    EXPECT_EQ(membership.merge(certificate), MergeResult::unchanged);
    const auto reloaded = Membership::decode_state(membership.encode_state());
    EXPECT_TRUE(reloaded->is_certified_dead(base::NodeId(1)));
}

TEST(MembershipTest, AnInvalidRecordIsRefused) {
    Membership membership;
    EXPECT_EQ(membership.merge(MemberRecord()), MergeResult::refused_limit);
    EXPECT_TRUE(membership.members().empty());
}

TEST(MembershipTest, TheNumberOfMembersIsLimited) {
    Membership membership;
    for (uint64_t id = 1; id <= members_max; ++id) {
        ASSERT_EQ(membership.merge(record_of(id, 1, 1)), MergeResult::changed);
    }
    EXPECT_EQ(membership.merge(record_of(members_max + 1, 1, 1)), MergeResult::refused_limit);
    EXPECT_EQ(membership.merge(record_of(1, 1, 2)), MergeResult::changed);
}

TEST(MembershipTest, TheBytesOfItemsAreLimitedAndFreedByReplacement) {
    Membership membership;
    const std::string big(item_value_bytes_max, 'x');
    const size_t fitting = items_bytes_max / item_value_bytes_max;
    for (size_t i = 0; i < fitting; ++i) {
        ASSERT_EQ(membership.merge_item("k" + std::to_string(i), {1, big}), MergeResult::changed);
    }
    EXPECT_EQ(membership.merge_item("more", {1, "x"}), MergeResult::refused_limit);
    EXPECT_EQ(membership.merge_item("k0", {2, ""}), MergeResult::changed);
    EXPECT_EQ(membership.merge_item("more", {1, "x"}), MergeResult::changed);
    EXPECT_EQ(membership.merge_item("k1", {2, big + "x"}), MergeResult::refused_limit);
    EXPECT_EQ(membership.merge_item("", {2, "x"}), MergeResult::refused_limit);
}

TEST(MembershipTest, MembersThatLeftAreNotActive) {
    Membership membership;
    membership.merge(record_of(1, 1, 1));
    MemberRecord left = record_of(2, 1, 1);
    left.state = MemberState::left;
    membership.merge(left);
    EXPECT_EQ(membership.active_count(), 1u);
    EXPECT_EQ(membership.members().size(), 2u);
}

TEST(MembershipTest, EveryDamageOfAStoredStateIsNoticed) {
    Membership membership;
    membership.merge(record_of(1, 1, 1));
    membership.merge(DeathCertificate{base::NodeId(2), base::NodeId(1), 5});
    membership.merge_item("k", {1, "v"});
    const std::string bytes = membership.encode_state();
    for (size_t i = 0; i < bytes.size(); ++i) {
        std::string damaged = bytes;
        damaged[i] = static_cast<char>(damaged[i] ^ 1);
        EXPECT_TRUE(absl::IsDataLoss(Membership::decode_state(damaged).status())) << i;
        EXPECT_TRUE(absl::IsDataLoss(Membership::decode_state(bytes.substr(0, i)).status())) << i;
    }
    EXPECT_TRUE(absl::IsDataLoss(Membership::decode_state(bytes + "x").status()));
}

RC_GTEST_PROP(MembershipProperty, MergeIsCommutative, ()) {
    const Membership a = *any_membership(nodes);
    const Membership b = *any_membership(nodes);
    RC_ASSERT(merged(a, b) == merged(b, a));
    RC_ASSERT(merged(a, b).hash() == merged(b, a).hash());
}

RC_GTEST_PROP(MembershipProperty, MergeIsAssociative, ()) {
    const Membership a = *any_membership(nodes);
    const Membership b = *any_membership(nodes);
    const Membership c = *any_membership(nodes);
    RC_ASSERT(merged(merged(a, b), c) == merged(a, merged(b, c)));
}

RC_GTEST_PROP(MembershipProperty, MergeIsIdempotent, ()) {
    const Membership a = *any_membership(nodes);
    const Membership b = *any_membership(nodes);
    RC_ASSERT(merged(a, a) == a);
    RC_ASSERT(merged(merged(a, b), b) == merged(a, b));
}

RC_GTEST_PROP(MembershipProperty, NoIdHasBothARecordAndACertificate, ()) {
    const Membership a = merged(*any_membership(nodes), *any_membership(nodes));
    for (const auto& [node, certificate] : a.certificates())
        RC_ASSERT(a.find(node) == nullptr);
}

RC_GTEST_PROP(MembershipProperty, EqualHashesMeanEqualStates, ()) {
    const Membership a = *any_membership(2);
    const Membership b = *any_membership(2);
    RC_ASSERT((a.hash() == b.hash()) == (a == b));
}

RC_GTEST_PROP(MembershipProperty, AStateSurvivesTheDisk, ()) {
    const Membership a = *any_membership(nodes);
    const auto reloaded = Membership::decode_state(a.encode_state());
    RC_ASSERT(reloaded.ok());
    RC_ASSERT(*reloaded == a);
    RC_ASSERT(reloaded->hash() == a.hash());
}

}  // namespace
}  // namespace starling::gossip
