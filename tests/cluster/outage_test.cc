// Three nodes of which one goes away: what callers notice, and what heals without a command.

#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cluster/test_cluster.h"

namespace starling::cluster_test {
namespace {

using ::testing::ElementsAre;

constexpr const char* few_partitions = "partition_count = 32\nentropy_interval = \"2s\"\n";

std::vector<std::string> read_values(client::Client* client,
                                     const std::string& key,
                                     client::RequestOptions options = {}) {
    const auto read = client->get(key, std::move(options));
    EXPECT_TRUE(read.ok()) << key << ": " << read.status();
    std::vector<std::string> values;
    if (read.ok()) {
        for (const v1::Value& value : read->values()) {
            values.push_back(value.value());
        }
    }
    return values;
}

TEST(OutageTest, TheFirstCallsAfterTheOnlyContactedNodeRestartsSucceed) {
    TestCluster cluster(few_partitions);
    ASSERT_NO_FATAL_FAILURE(cluster.form(3));
    Connected<client::Client> client({.endpoints = {cluster.node(0).client_address()}});
    ASSERT_TRUE(client->put("key", "before").ok());
    for (int round = 0; round < 3; ++round) {
        if (round % 2 == 0) {
            EXPECT_EQ(cluster.node(0).terminate(), 0);
        } else {
            cluster.node(0).kill();
        }
        cluster.node(0).start();
        ASSERT_TRUE(cluster.node(0).wait_ready());
        // One try each: no retry hides a failure.
        const auto written = client->put("key", fmt::format("after {}", round));
        EXPECT_TRUE(written.ok()) << written.status();
        EXPECT_THAT(read_values(client.operator->(), "key"),
                    ElementsAre(fmt::format("after {}", round)));
    }
}

TEST(OutageTest, PutsAndGetsGoOnWithoutOneNodeAndItsHintsReachItWhenItIsBack) {
    TestCluster cluster(few_partitions);
    ASSERT_NO_FATAL_FAILURE(cluster.form(3));
    cluster.node(2).kill();

    Connected<client::Client> client(cluster.options());
    for (int i = 0; i < 200; ++i) {
        const std::string key = fmt::format("key {}", i);
        const auto written = client->put(key, "value");
        ASSERT_TRUE(written.ok()) << key << ": " << written.status();
        EXPECT_GE(written->receipt().seats_answered(), 2u);
    }
    for (int i = 0; i < 200; ++i) {
        EXPECT_THAT(read_values(client.operator->(), fmt::format("key {}", i)),
                    ElementsAre("value"));
    }

    cluster.node(2).start();
    ASSERT_TRUE(cluster.node(2).wait_ready());
    EXPECT_TRUE(cluster.wait_at_rest(Seconds(60))) << cluster.describe();
    for (int i = 0; i < 200; ++i) {
        const auto read = client->get(fmt::format("key {}", i), {.quorum = 3});
        ASSERT_TRUE(read.ok()) << read.status();
        EXPECT_EQ(read->values_size(), 1);
        EXPECT_EQ(read->receipt().repairs_sent(), 0u) << "key " << i;
    }
}

TEST(OutageTest, AClusterWhoseNodesAllDieAtOnceComesBackWithItsData) {
    TestCluster cluster(few_partitions);
    ASSERT_NO_FATAL_FAILURE(cluster.form(3));
    Connected<client::Client> client(cluster.options());
    for (int i = 0; i < 100; ++i) {
        ASSERT_TRUE(client->put(fmt::format("key {}", i), "value").ok());
    }
    ASSERT_TRUE(client->del("key 0").ok());
    for (size_t i = 0; i < cluster.size(); ++i) {
        cluster.node(i).kill();
    }
    for (size_t i = 0; i < cluster.size(); ++i) {
        cluster.node(i).start();
    }
    for (size_t i = 0; i < cluster.size(); ++i) {
        ASSERT_TRUE(cluster.node(i).wait_ready());
    }
    EXPECT_TRUE(cluster.wait_at_rest(Seconds(60))) << cluster.describe();
    EXPECT_THAT(read_values(client.operator->(), "key 0", {.quorum = 3}), ElementsAre());
    for (int i = 1; i < 100; ++i) {
        EXPECT_THAT(read_values(client.operator->(), fmt::format("key {}", i), {.quorum = 3}),
                    ElementsAre("value"));
    }
}

}  // namespace
}  // namespace starling::cluster_test
