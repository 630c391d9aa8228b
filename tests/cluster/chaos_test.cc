// Five nodes, eight writers, nodes killed and started again at random; then nothing that was
// acknowledged may be missing, all replicas must be equal, and nothing may be left to hand over.
//
// STARLING_CHAOS_SECONDS (60) and STARLING_CHAOS_SEED say how long and in which order.

#include <atomic>
#include <cstdlib>
#include <random>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cluster/ledger.h"
#include "tests/cluster/test_cluster.h"
#include "tests/cluster/writer.h"

namespace starling::cluster_test {
namespace {

constexpr size_t node_count = 5;
constexpr size_t writer_count = 8;
constexpr size_t down_max = 2;
constexpr size_t reports_max = 20;

using Clock = std::chrono::steady_clock;

uint32_t variable(const char* name, uint32_t otherwise) {
    const char* text = std::getenv(name);
    return text == nullptr ? otherwise : static_cast<uint32_t>(std::strtoul(text, nullptr, 10));
}

// Kills and starts nodes; at the end all of them run.
class Chaos {
  public:
    Chaos(TestCluster& cluster, uint32_t seed) : cluster_(cluster), random_(seed) {}

    void run(Seconds time) {
        const Clock::time_point end = Clock::now() + time;
        while (Clock::now() < end) {
            step();
            std::this_thread::sleep_for(std::chrono::milliseconds(200 + draw(2500)));
        }
        for (const size_t node : down_) {
            cluster_.node(node).start();
        }
        for (size_t node = 0; node < cluster_.size(); ++node) {
            EXPECT_TRUE(cluster_.node(node).wait_ready(Seconds(60)))
                << "node " << node << " does not start:\n"
                << read_text(cluster_.node(node).folder() + "/log");
        }
    }
    uint32_t kills() const { return kills_; }

  private:
    uint32_t draw(uint32_t count) {
        return std::uniform_int_distribution<uint32_t>(0, count - 1)(random_);
    }

    void step() {
        if (!down_.empty() && (down_.size() == down_max || draw(2) == 0)) {
            const auto revived = down_.begin() + draw(static_cast<uint32_t>(down_.size()));
            cluster_.node(*revived).start();
            down_.erase(revived);
            return;
        }
        const size_t node = draw(static_cast<uint32_t>(cluster_.size()));
        if (std::find(down_.begin(), down_.end(), node) != down_.end()) {
            return;
        }
        EXPECT_TRUE(cluster_.node(node).is_running()) << "node " << node << " ended by itself";
        cluster_.node(node).kill();
        down_.push_back(node);
        ++kills_;
    }

    TestCluster& cluster_;
    std::mt19937 random_;
    std::vector<size_t> down_;
    uint32_t kills_ = 0;
};

std::set<std::string> values_of(const v1::GetResponse& response) {
    std::set<std::string> values;
    for (const v1::Value& value : response.values()) {
        values.insert(value.value());
    }
    return values;
}

// Reads all keys from all replicas through one node.
void check_through(TestNode& node, const Ledger& ledger) {
    Connected<client::Client> client({.endpoints = {node.client_address()}});
    size_t reports = 0;
    for (const std::string& key : ledger.keys()) {
        const auto read = client->get(key, {.quorum = 3, .deadline = Seconds(20), .explain = true});
        ASSERT_TRUE(read.ok()) << key << ": " << read.status();
        for (const std::string& wrong : ledger.check(key, values_of(*read))) {
            ADD_FAILURE() << "through " << node.folder() << ": " << wrong;
            ++reports;
        }
        EXPECT_EQ(read->receipt().repairs_sent(), 0u) << key;
        EXPECT_EQ(read->receipt().seats_answered(), 3u) << key;
        for (const v1::ReplicaOutcome& replica : read->receipt().replicas()) {
            EXPECT_EQ(replica.state(), v1::REPLICA_STATE_ANSWERED) << key;
        }
        ASSERT_LT(reports, reports_max) << "and so on";
    }
}

TEST(ChaosTest, WhatWasAcknowledgedSurvivesKilledNodesAndAllReplicasAgree) {
    const uint32_t seed = variable("STARLING_CHAOS_SEED", std::random_device{}());
    const Seconds time(variable("STARLING_CHAOS_SECONDS", 60));
    fmt::print("STARLING_CHAOS_SEED={}\n", seed);
    TestCluster cluster("partition_count = 64\nentropy_interval = \"2s\"\n");
    ASSERT_NO_FATAL_FAILURE(cluster.form(node_count));

    Connected<client::Client> client(cluster.options());
    Ledger ledger;
    std::atomic<bool> stop = false;
    std::vector<std::thread> threads;
    for (uint32_t i = 0; i < writer_count; ++i) {
        threads.emplace_back(
            [&, i] { Writer(*client.operator->(), ledger, i, seed + i).run(stop); });
    }
    Chaos chaos(cluster, seed);
    chaos.run(time);
    stop = true;
    for (std::thread& thread : threads) {
        thread.join();
    }
    fmt::print("{} kills, {} writes acknowledged, {} of unknown outcome\n",
               chaos.kills(),
               ledger.acknowledged(),
               ledger.unknown());
    EXPECT_GE(chaos.kills(), time.count() / 10);
    EXPECT_GE(ledger.acknowledged(), static_cast<size_t>(time.count()) * writer_count);

    const auto ended = Clock::now();
    EXPECT_TRUE(cluster.wait_at_rest(Seconds(90))) << cluster.describe();
    fmt::print("waited {:.1f} s for rest\n",
               std::chrono::duration<double>(Clock::now() - ended).count());
    for (size_t node = 0; node < cluster.size(); ++node) {
        check_through(cluster.node(node), ledger);
    }
}

}  // namespace
}  // namespace starling::cluster_test
