// Bad input through the real doors: a typed error, nothing changed, and the node goes on.

#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/cluster/test_cluster.h"

namespace starling::cluster_test {
namespace {

namespace reason = base::reason;
using absl::StatusCode;

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
