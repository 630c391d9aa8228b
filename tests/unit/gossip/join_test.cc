#include "gossip/join.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace starling::gossip {
namespace {

namespace reason = base::reason;

ClusterIdentity ours() {
    return {.id = base::ClusterId(1), .name = "flock", .partition_count = 256, .seats = 3};
}

JoinOffer good_offer() {
    JoinOffer offer;
    offer.cluster = {.id = base::ClusterId(2), .name = "flock", .partition_count = 256, .seats = 3};
    offer.record.id = base::NodeId(7);
    offer.record.generation = 1;
    offer.record.peer_address = "127.0.0.1:4002";
    return offer;
}

template <typename Change>
std::string refusal(Change change, const KnownJoiner& known = {}) {
    JoinOffer offer = good_offer();
    change(offer);
    const absl::Status status = check_join(offer, ours(), known);
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_FALSE(status.message().empty());
    return base::reason_of(status);
}

TEST(JoinTest, AFreshNodeOfTheSameClusterNameIsAccepted) {
    EXPECT_TRUE(check_join(good_offer(), ours(), {}).ok());
}

TEST(JoinTest, EachRefusalNamesItsReason) {
    EXPECT_EQ(refusal([](auto& o) { o.cluster.name = "gaggle"; }), reason::wrong_cluster);
    EXPECT_EQ(refusal([](auto& o) { o.cluster.partition_count = 512; }), reason::incompatible);
    EXPECT_EQ(refusal([](auto& o) { o.cluster.seats = 5; }), reason::incompatible);
    EXPECT_EQ(refusal([](auto& o) { o.protocol_version = 2; }), reason::incompatible);
    EXPECT_EQ(refusal([](auto& o) { o.members = 2; }), reason::already_member);
    EXPECT_EQ(refusal([](auto& o) { o.holds_data = true; }), reason::has_data);
    EXPECT_EQ(refusal([](auto& o) { o.cluster.id = base::ClusterId(1); }), reason::already_member);
}

TEST(JoinTest, ALiveNodeOfTheSameIdElsewhereIsRefused) {
    const KnownJoiner elsewhere{.peer_address = "10.0.0.1:1", .is_alive = true};
    EXPECT_EQ(refusal([](auto&) {}, elsewhere), reason::already_member);
}

TEST(JoinTest, ARetryOfTheSameNodeIsAccepted) {
    const KnownJoiner itself{.peer_address = "127.0.0.1:4002", .is_alive = true};
    EXPECT_TRUE(check_join(good_offer(), ours(), itself).ok());
    const KnownJoiner gone{.peer_address = "10.0.0.1:1", .is_alive = false};
    EXPECT_TRUE(check_join(good_offer(), ours(), gone).ok());
}

TEST(JoinTest, ARemovedNodeIsRefused) {
    EXPECT_EQ(refusal([](auto&) {}, {.peer_address = {}, .is_certified_dead = true}),
              reason_removed);
}

TEST(JoinTest, AnInvalidRecordIsAnInvalidArgument) {
    JoinOffer offer = good_offer();
    offer.record.peer_address = "";
    EXPECT_TRUE(absl::IsInvalidArgument(check_join(offer, ours(), {})));
}

TEST(JoinTest, AnOfferSurvivesTheWire) {
    JoinOffer offer = good_offer();
    offer.holds_data = true;
    offer.members = 4;
    const auto received = from_proto(to_proto(offer, 5));
    ASSERT_TRUE(received.ok());
    EXPECT_EQ(received->cluster, offer.cluster);
    EXPECT_EQ(received->record, offer.record);
    EXPECT_EQ(received->members, 4u);
    EXPECT_TRUE(received->holds_data);
}

TEST(JoinTest, AGrantSurvivesTheWireWithoutTheJoinersRecord) {
    Membership membership;
    MemberRecord member = good_offer().record;
    membership.merge(member);
    member.id = base::NodeId(8);
    membership.merge(member);
    membership.merge_item("ns", {1, "x"});
    membership.merge(DeathCertificate{base::NodeId(9), base::NodeId(8), 1});
    const auto grant = read_reply(make_grant(5, ours(), membership, base::NodeId(7)), good_offer());
    ASSERT_TRUE(grant.ok()) << grant.status();
    EXPECT_EQ(grant->cluster, ours());
    EXPECT_EQ(grant->membership.members().size(), 1u);
    EXPECT_EQ(grant->membership.find_item("ns")->value, "x");
    EXPECT_TRUE(grant->membership.is_certified_dead(base::NodeId(9)));
}

TEST(JoinTest, ARefusalSurvivesTheWire) {
    const absl::Status refused =
        base::make_error(absl::StatusCode::kFailedPrecondition, reason::has_data, "full of data");
    const auto read = read_reply(make_refusal(5, refused), good_offer());
    EXPECT_EQ(read.status().code(), refused.code());
    EXPECT_EQ(base::reason_of(read.status()), reason::has_data);
    EXPECT_EQ(read.status().message(), "full of data");
}

TEST(JoinTest, AGrantThatDoesNotFitIsNotTaken) {
    Membership membership;
    membership.merge([] {
        MemberRecord record = good_offer().record;
        record.id = base::NodeId(8);
        return record;
    }());
    const auto reply = make_grant(5, ours(), membership, base::NodeId(7));
    auto bad = reply;
    bad.set_partition_count(128);
    EXPECT_FALSE(read_reply(bad, good_offer()).ok());
    bad = reply;
    bad.set_cluster(0);
    EXPECT_FALSE(read_reply(bad, good_offer()).ok());
    bad = reply;
    bad.mutable_state()->clear_records();
    EXPECT_FALSE(read_reply(bad, good_offer()).ok());
    bad = reply;
    bad.mutable_state()->add_records("nonsense");
    EXPECT_FALSE(read_reply(bad, good_offer()).ok());
    bad = reply;
    bad.mutable_state()->add_certificates()->set_node(7);
    EXPECT_EQ(base::reason_of(read_reply(bad, good_offer()).status()), reason_removed);
}

TEST(JoinTest, TheAnswerToTheToolCarriesTheStatus) {
    const auto message = make_join_done(
        base::make_error(absl::StatusCode::kUnavailable, "busy", "later"), base::ClusterId(3), 2);
    ASSERT_TRUE(crosses_clusters(message));
    const absl::Status status = status_of(message.join_done());
    EXPECT_TRUE(absl::IsUnavailable(status));
    EXPECT_EQ(base::reason_of(status), "busy");
    EXPECT_EQ(message.join_done().members(), 2u);
    EXPECT_TRUE(status_of(make_join_done(absl::OkStatus(), {}, 1).join_done()).ok());
    peer::JoinDone unheard_of;
    unheard_of.set_code(4711);
    EXPECT_EQ(status_of(unheard_of).code(), absl::StatusCode::kUnknown);
}

TEST(JoinTest, OnlyJoinMessagesCrossClusters) {
    peer::GossipMessage message;
    EXPECT_FALSE(crosses_clusters(message));
    message.mutable_join_announce();
    EXPECT_FALSE(crosses_clusters(message));
    message.mutable_delta();
    EXPECT_FALSE(crosses_clusters(message));
    message.mutable_join_request();
    EXPECT_TRUE(crosses_clusters(message));
}

}  // namespace
}  // namespace starling::gossip
