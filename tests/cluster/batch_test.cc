// The streaming Batch through the client library, while its node goes away and comes back.

#include <map>
#include <mutex>
#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/cluster/test_cluster.h"

namespace starling::cluster_test {
namespace {

constexpr const char* few_partitions = "partition_count = 32\n";

class BatchTest : public ::testing::Test {
  protected:
    client::Batch::OnAnswer count() {
        return [this](const client::BatchAnswer& answer) {
            const std::lock_guard lock(mutex_);
            EXPECT_TRUE(answers_.emplace(answer.index, answer.status).second) << answer.index;
        };
    }
    size_t answered() {
        const std::lock_guard lock(mutex_);
        return answers_.size();
    }
    void expect_all_ok(size_t total) {
        const std::lock_guard lock(mutex_);
        EXPECT_EQ(answers_.size(), total);
        for (const auto& [index, status] : answers_) {
            EXPECT_TRUE(status.ok()) << index << ": " << status;
        }
    }

    std::mutex mutex_;
    std::map<uint64_t, absl::Status> answers_;
};

TEST_F(BatchTest, ANodeThatIsStoppedAndKilledInMidStreamCostsNoOperation) {
    TestCluster cluster(few_partitions);
    TestNode& node = cluster.add_node();
    constexpr uint64_t total = 30'000;
    Connected<client::Client> client(cluster.options());
    {
        auto batch = client->batch({}, count());
        ASSERT_TRUE(batch.ok()) << batch.status();
        std::thread writer([&batch] {
            for (uint64_t i = 0; i < total; ++i) {
                (*batch)->put(fmt::format("key {}", i), fmt::format("value {}", i));
            }
        });
        for (size_t part = 1; part <= 4; ++part) {
            EXPECT_TRUE(wait_until(Seconds(60), [&] { return answered() >= part * 5000; }));
            if (part % 2 == 0) {
                EXPECT_EQ(node.terminate(), 0);
            } else {
                node.kill();
            }
            node.start();
        }
        writer.join();
        (*batch)->wait();
    }
    expect_all_ok(total);
    answers_.clear();
    // Applied once each: one value, without a sibling.
    auto reads = client->batch({}, [this](const client::BatchAnswer& answer) {
        const std::lock_guard lock(mutex_);
        answers_.emplace(answer.index, answer.status);
        ASSERT_EQ(answer.get.values_size(), 1) << answer.index;
        EXPECT_EQ(answer.get.values(0).value(), fmt::format("value {}", answer.index));
    });
    ASSERT_TRUE(reads.ok());
    for (uint64_t i = 0; i < total; ++i) {
        (*reads)->get(fmt::format("key {}", i));
    }
    (*reads)->wait();
    expect_all_ok(total);
}

TEST_F(BatchTest, WhenANodeOfThreeDiesTheStreamGoesOnThroughAnother) {
    TestCluster cluster(few_partitions);
    ASSERT_NO_FATAL_FAILURE(cluster.form(3));
    Connected<client::Client> client(cluster.options());
    auto batch = client->batch({}, count());
    ASSERT_TRUE(batch.ok()) << batch.status();
    for (uint64_t i = 0; i < 6000; ++i) {
        (*batch)->put(fmt::format("key {}", i), "value");
        if (i == 2000) {
            cluster.node(0).kill();
        }
    }
    (*batch)->wait();
    expect_all_ok(6000);
}

}  // namespace
}  // namespace starling::cluster_test
