// Bad input through the real doors: a typed error, nothing changed, and the node goes on.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "client/error.h"
#include "tests/cluster/test_cluster.h"

namespace starling::cluster_test {
namespace {

namespace reason = base::reason;
using absl::StatusCode;
using ::testing::HasSubstr;

constexpr const char* few_partitions = "partition_count = 32\n";

void expect_refused(const absl::Status& status, StatusCode code, std::string_view why) {
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_EQ(base::reason_of(status), why) << status;
    EXPECT_FALSE(status.message().empty());
}

void expect_serving(TestNode& node) {
    EXPECT_TRUE(node.is_running());
    Connected<client::Client> client({.endpoints = {node.client_address()}});
    const auto written = client->put("still", "here");
    EXPECT_TRUE(written.ok()) << written.status();
}

TEST(RefusalsTest, BadKeysAndContextsAreRefusedByName) {
    TestCluster cluster(few_partitions);
    TestNode& node = cluster.add_node();
    Connected<client::Client> client(cluster.options());
    const auto bad = StatusCode::kInvalidArgument;

    expect_refused(client->put("", "v").status(), bad, reason::key_empty);
    expect_refused(client->get("").status(), bad, reason::key_empty);
    expect_refused(client->del("").status(), bad, reason::key_empty);
    const std::string long_key((64u << 10) + 1, 'k');
    expect_refused(client->put(long_key, "v").status(), bad, reason::key_too_large);
    expect_refused(client->get(long_key).status(), bad, reason::key_too_large);
    expect_refused(
        client->put("k", std::string((16u << 20) + 1, 'v')).status(), bad, reason::value_too_large);
    expect_refused(
        client->put("k", "v", {.context = "garbage"}).status(), bad, reason::malformed_context);

    const auto other = client->put("other", "v");
    ASSERT_TRUE(other.ok());
    expect_refused(
        client->put("k", "v", {.context = other->context()}).status(), bad, reason::forged_context);
    EXPECT_EQ(client->get("k")->values_size(), 0);
    expect_serving(node);
}

TEST(RefusalsTest, AContextThatWasTamperedWithCutOffOrLengthenedIsRefused) {
    TestCluster cluster(few_partitions);
    TestNode& node = cluster.add_node();
    Connected<client::Client> client(cluster.options());
    ASSERT_TRUE(client->put("k", "first").ok());
    const std::string context = client->get("k")->context();
    ASSERT_FALSE(context.empty());
    const auto expect_no_context = [&](const std::string& bytes) {
        for (const absl::Status& status : {client->put("k", "v", {.context = bytes}).status(),
                                           client->del("k", {.context = bytes}).status()}) {
            EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status;
            EXPECT_THAT(base::reason_of(status),
                        ::testing::AnyOf(reason::malformed_context, reason::forged_context));
            EXPECT_FALSE(client::outcome_unknown(status));
        }
    };
    for (size_t i = 0; i < context.size(); ++i) {
        std::string changed = context;
        changed[i] = static_cast<char>(changed[i] ^ 1);
        expect_no_context(changed);
        // The empty one is none: "I have seen nothing".
        if (i > 0) {
            expect_no_context(context.substr(0, i));
        }
    }
    expect_no_context(context + "x");
    expect_no_context(std::string((64u << 10) + 1, 'x'));
    // Of the same key in another namespace.
    v1::Namespace other;
    other.set_name("other");
    ASSERT_TRUE(node.admin()->create_namespace(other).ok());
    expect_refused(
        client->put("k", "v", {.request = {.name_space = "other"}, .context = context}).status(),
        StatusCode::kInvalidArgument,
        reason::forged_context);
    const auto read = client->get("k");
    ASSERT_EQ(read->values_size(), 1);
    EXPECT_EQ(read->values(0).value(), "first");
    EXPECT_EQ(node.admin()->status()->records(), 1u);
    expect_serving(node);
}

TEST(RefusalsTest, TheLargestKeyAndValuePass) {
    TestCluster cluster(few_partitions);
    cluster.add_node();
    Connected<client::Client> client(cluster.options());
    const std::string key(64u << 10, 'k');
    const std::string value(16u << 20, 'v');
    const auto written = client->put(key, value);
    ASSERT_TRUE(written.ok()) << written.status();
    const auto read = client->get(key);
    ASSERT_TRUE(read.ok()) << read.status();
    ASSERT_EQ(read->values_size(), 1);
    EXPECT_EQ(read->values(0).value(), value);
}

TEST(RefusalsTest, ANamespaceThatMakesNoSenseIsNotMade) {
    TestCluster cluster(few_partitions);
    TestNode& node = cluster.add_node();
    const auto expect_not_made =
        [&node](
            StatusCode code, std::string_view why, const std::string& named, const auto& spoil) {
            v1::Namespace wanted;
            wanted.set_name("wanted");
            spoil(wanted);
            const absl::Status status = node.admin()->create_namespace(wanted).status();
            expect_refused(status, code, why);
            EXPECT_THAT(std::string(status.message()), HasSubstr(named));
        };
    const auto bad = StatusCode::kInvalidArgument;
    for (const std::string& name :
         {std::string("Upper"), std::string(65, 'x'), std::string("a/b")}) {
        expect_not_made(bad, reason::invalid_namespace, "name", [&](v1::Namespace& wanted) {
            wanted.set_name(name);
        });
    }
    expect_not_made(
        bad, reason::invalid_quorum, "N = 4", [](v1::Namespace& w) { w.set_replicas(4); });
    expect_not_made(
        bad, reason::invalid_quorum, "R = 4", [](v1::Namespace& w) { w.set_read_quorum(4); });
    expect_not_made(
        bad, reason::invalid_quorum, "W = 4", [](v1::Namespace& w) { w.set_write_quorum(4); });
    expect_not_made(
        StatusCode::kAlreadyExists, reason::namespace_exists, "default", [](v1::Namespace& w) {
            w.set_name("default");
        });
    const auto all = node.admin()->list_namespaces();
    ASSERT_TRUE(all.ok()) << all.status();
    EXPECT_EQ(all->namespaces_size(), 1);
    expect_serving(node);
}

// 0 stands for what the namespace, or its making, has by default, and never for "none".
TEST(RefusalsTest, AQuorumOfZeroIsTheDefaultOne) {
    TestCluster cluster(few_partitions);
    TestNode& node = cluster.add_node();
    v1::Namespace wanted;
    wanted.set_name("zero");
    wanted.set_replicas(3);
    const auto made = node.admin()->create_namespace(wanted);
    ASSERT_TRUE(made.ok()) << made.status();
    EXPECT_EQ(made->read_quorum(), 2u);
    EXPECT_EQ(made->write_quorum(), 2u);
    Connected<client::Client> client(cluster.options());
    const auto written = client->put("k", "v", {.request = {.name_space = "zero", .quorum = 0}});
    ASSERT_TRUE(written.ok()) << written.status();
    EXPECT_EQ(written->receipt().quorum(), 2u);
}

TEST(RefusalsTest, AQuorumThatCannotBeReachedIsToldWithWhatWasReached) {
    TestCluster cluster(few_partitions);
    ASSERT_NO_FATAL_FAILURE(cluster.form(3));
    cluster.node(1).kill();
    cluster.node(2).kill();
    TestNode& left = cluster.node(0);
    Connected<client::Client> client(
        {.endpoints = {left.client_address()}, .deadline = Seconds(3), .retry = {.tries_max = 1}});
    const auto written =
        client->put("k", "v", {.request = {.quorum = 3, .sloppy = false}, .blind = true});
    EXPECT_TRUE(client::outcome_unknown(written.status())) << written.status();
    const auto read = client->get("k", {.quorum = 3});
    EXPECT_FALSE(client::outcome_unknown(read.status())) << read.status();
    for (const absl::Status& status : {written.status(), read.status()}) {
        EXPECT_THAT(base::reason_of(status),
                    ::testing::AnyOf(reason::quorum_not_reached, reason::deadline))
            << status;
        EXPECT_THAT(std::string(status.message()), HasSubstr("of 3")) << status;
    }
    EXPECT_TRUE(left.is_running());
    EXPECT_TRUE(client->get("k", {.quorum = 1}).ok());
    cluster.node(1).start();
    cluster.node(2).start();
    ASSERT_TRUE(cluster.wait_at_rest(Seconds(60))) << cluster.describe();
    expect_serving(left);
}

TEST(RefusalsTest, UnknownNamespacesAndImpossibleQuorumsAreRefusedByName) {
    TestCluster cluster(few_partitions);
    TestNode& node = cluster.add_node();
    Connected<client::Client> client(cluster.options());

    expect_refused(client->put("k", "v", {.request = {.name_space = "nowhere"}}).status(),
                   StatusCode::kNotFound,
                   reason::unknown_namespace);
    expect_refused(client->put("k", "v", {.request = {.quorum = 4}}).status(),
                   StatusCode::kInvalidArgument,
                   reason::invalid_quorum);
    expect_refused(client->get("k", {.quorum = 4}).status(),
                   StatusCode::kInvalidArgument,
                   reason::invalid_quorum);
    v1::Namespace wanted;
    wanted.set_name("bad");
    wanted.set_replicas(3);
    wanted.set_read_quorum(4);
    EXPECT_EQ(node.admin()->create_namespace(wanted).status().code(), StatusCode::kInvalidArgument);
    expect_serving(node);
}

TEST(RefusalsTest, AMemberDoesNotJoinAgain) {
    TestCluster cluster(few_partitions);
    ASSERT_NO_FATAL_FAILURE(cluster.form(3));
    TestNode& lone = cluster.add_node();
    expect_refused(cluster.node(1).admin()->join(lone.peer_address()).status(),
                   StatusCode::kFailedPrecondition,
                   reason::already_member);
    expect_serving(cluster.node(1));
}

TEST(RefusalsTest, ANodeOfAnotherClusterOrShapeDoesNotJoin) {
    TestCluster cluster(few_partitions);
    TestNode& known = cluster.add_node();
    const struct {
        std::string more;
        std::string_view why;
        std::string named;
    } strangers[] = {
        {"partition_count = 32\ncluster_name = \"other\"\n", reason::wrong_cluster, "other"},
        {"partition_count = 64\n", reason::incompatible, "64 partitions"},
        {"partition_count = 32\nseat_count = 5\n", reason::incompatible, "5 seats"},
    };
    for (const auto& stranger : strangers) {
        TestNode& node = cluster.add_node("", stranger.more);
        const absl::Status status = node.admin()->join(known.peer_address()).status();
        expect_refused(status, StatusCode::kFailedPrecondition, stranger.why);
        EXPECT_THAT(std::string(status.message()), HasSubstr(stranger.named));
        EXPECT_EQ(node.admin()->status()->members_size(), 1);
        expect_serving(node);
    }
    EXPECT_EQ(known.admin()->status()->members_size(), 1);
    expect_serving(known);
}

TEST(RefusalsTest, ItselfAndWhatIsNoAddressIsNoNodeToJoin) {
    TestCluster cluster(few_partitions);
    TestNode& node = cluster.add_node();
    expect_refused(node.admin()->join(node.peer_address()).status(),
                   StatusCode::kInvalidArgument,
                   reason::unknown_node);
    for (const std::string& address : {std::string(), std::string(300, '1'), std::string("x:y")}) {
        const absl::Status status = node.admin()->join(address).status();
        expect_refused(status, StatusCode::kInvalidArgument, reason::invalid_request);
        EXPECT_THAT(std::string(status.message()), HasSubstr("address"));
    }
    EXPECT_EQ(node.admin()->status()->members_size(), 1);
    expect_serving(node);
}

TEST(RefusalsTest, ANodeWithDataJoinsNoOtherCluster) {
    TestCluster cluster(few_partitions);
    TestNode& known = cluster.add_node();
    TestNode& full = cluster.add_node();
    Connected<client::Client> client({.endpoints = {full.client_address()}});
    ASSERT_TRUE(client->put("mine", "value").ok());
    expect_refused(full.admin()->join(known.peer_address()).status(),
                   StatusCode::kFailedPrecondition,
                   reason::has_data);
    EXPECT_EQ(client->get("mine")->values_size(), 1);
    expect_serving(known);
    expect_serving(full);
}

TEST(RefusalsTest, ANodeWithAnotherSecretDoesNotGetIn) {
    TestCluster cluster(few_partitions);
    TestNode& known = cluster.add_node();
    TestNode& stranger = cluster.add_node("ffffffffffffffffffffffffffffffff");
    const absl::Status status = stranger.admin()->join(known.peer_address()).status();
    expect_refused(status, StatusCode::kPermissionDenied, reason::wrong_secret);
    const auto members = known.admin()->status();
    ASSERT_TRUE(members.ok());
    EXPECT_EQ(members->members_size(), 1);
    expect_serving(known);
    expect_serving(stranger);
}

}  // namespace
}  // namespace starling::cluster_test
