#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/error.h"
#include "env/sim/network.h"
#include "env/sim/transport.h"

namespace starling::env {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// A machine with one transport, which it gets anew at each start.
struct Node {
    Node(SimNetwork& its_network, const std::string& name, const SimRandom& random)
        : network(its_network), process(its_network.scheduler(), name, random.fork(name)) {
        start();
    }

    void start() {
        loop = std::make_unique<SimLoop>(process);
        transport = std::make_unique<SimTransport>(
            network, *loop, process.name(), SimTransport::Options{.secret = secret});
        transport->set_handler([this](const Delivery& delivery) {
            received.emplace_back(delivery.frame);
            last_connection = delivery.connection;
            EXPECT_TRUE(loop->in_loop());
        });
    }

    void crash() {
        process.crash();
        transport.reset();
        loop.reset();
        received.clear();
    }

    void restart() {
        process.restart();
        start();
    }

    void send(const Node& to, const std::string& frame) {
        EXPECT_TRUE(transport->send(to.process.name(), frame).ok());
    }

    SimNetwork& network;
    SimProcess process;
    std::string secret = "secret";
    std::unique_ptr<SimLoop> loop;
    std::unique_ptr<SimTransport> transport;
    std::vector<std::string> received;
    ConnectionId last_connection = 0;
};

class SimNetworkTest : public ::testing::Test {
  protected:
    void send_numbers(int count) {
        for (int i = 0; i < count; ++i) {
            a_.send(b_, std::to_string(i));
            scheduler_.run_for(milliseconds(1));
        }
    }

    void open_connection() {
        a_.send(b_, "hello");
        scheduler_.run_for(seconds(1));
        ASSERT_EQ(b_.received, Frames{"hello"});
        b_.received.clear();
    }

    using Frames = std::vector<std::string>;

    SimScheduler scheduler_;
    SimRandom random_{5};
    SimNetwork network_{scheduler_, random_};
    Node a_{network_, "a:1", random_};
    Node b_{network_, "b:1", random_};
};

TEST_F(SimNetworkTest, ACutInOneDirectionLeavesTheOtherOpen) {
    open_connection();
    network_.cut("a:1", "b:1");
    a_.send(b_, "lost");
    ASSERT_TRUE(b_.transport->reply(b_.last_connection, "passes").ok());
    scheduler_.run_for(seconds(1));
    EXPECT_TRUE(b_.received.empty());
    EXPECT_EQ(a_.received, Frames{"passes"});
    EXPECT_EQ(network_.stats().cut, 1u);
    network_.restore("a:1", "b:1");
    a_.send(b_, "again");
    scheduler_.run_for(seconds(1));
    EXPECT_EQ(b_.received, Frames{"again"});
}

TEST_F(SimNetworkTest, ACutLosesWhatIsUnderWay) {
    open_connection();
    a_.send(b_, "under way");
    network_.cut("a:1", "b:1");
    scheduler_.run_for(seconds(1));
    network_.heal();
    scheduler_.run_for(seconds(1));
    EXPECT_TRUE(b_.received.empty());
}

TEST_F(SimNetworkTest, ADialAcrossACutEndsAndLosesItsFramesUnlessTheCutHealsInTime) {
    network_.cut("b:1", "a:1");
    a_.send(b_, "lost");
    scheduler_.run_for(seconds(5));
    EXPECT_EQ(a_.transport->peer_status("b:1").code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(network_.stats().lost_by_failed_dial, 1u);
    a_.send(b_, "in time");
    scheduler_.run_for(seconds(1));
    network_.heal();
    scheduler_.run_for(seconds(1));
    EXPECT_EQ(b_.received, Frames{"in time"});
    EXPECT_TRUE(a_.transport->peer_status("b:1").ok());
}

TEST_F(SimNetworkTest, AClogHoldsEverythingAndThenDeliversItAtOnceAndInOrder) {
    open_connection();
    network_.clog("a:1", "b:1");
    send_numbers(50);
    scheduler_.run_for(minutes(5));
    EXPECT_TRUE(b_.received.empty());
    network_.unclog("a:1", "b:1");
    scheduler_.run_for(seconds(0));
    ASSERT_EQ(b_.received.size(), 50u);
    for (int i = 0; i < 50; ++i) {
        EXPECT_EQ(b_.received[static_cast<size_t>(i)], std::to_string(i));
    }
    EXPECT_EQ(network_.stats().held_by_clog, 50u);
}

TEST_F(SimNetworkTest, APathOfLimitedCapacityDropsWhatDoesNotFit) {
    open_connection();
    network_.set_link_faults("a:1", "b:1", {.capacity_bytes = 1000});
    network_.clog("a:1", "b:1");
    for (int i = 0; i < 20; ++i) {
        a_.send(b_, std::string(100, 'x'));
    }
    scheduler_.run_for(seconds(1));
    network_.unclog("a:1", "b:1");
    scheduler_.run_for(seconds(1));
    EXPECT_EQ(b_.received.size(), 10u);
    EXPECT_EQ(network_.stats().over_capacity, 10u);
    a_.send(b_, "room again");
    scheduler_.run_for(seconds(1));
    EXPECT_EQ(b_.received.back(), "room again");
}

TEST_F(SimNetworkTest, APathMayHoldUpItsSendersInsteadAndThenBringsAllInOrder) {
    open_connection();
    network_.set_link_faults("a:1", "b:1", {.capacity_bytes = 1000, .waits_for_capacity = true});
    network_.clog("a:1", "b:1");
    for (int i = 0; i < 20; ++i) {
        a_.send(b_, std::string(100, static_cast<char>('a' + i)));
    }
    scheduler_.run_for(seconds(1));
    EXPECT_EQ(network_.stats().held_by_capacity, 10u);
    network_.unclog("a:1", "b:1");
    scheduler_.run_for(seconds(1));
    ASSERT_EQ(b_.received.size(), 20u);
    EXPECT_TRUE(std::is_sorted(b_.received.begin(), b_.received.end()));
    EXPECT_EQ(network_.stats().over_capacity, 0u);

    a_.send(b_, std::string(5000, 'z'));
    a_.send(b_, "behind it");
    scheduler_.run_for(seconds(1));
    EXPECT_EQ(b_.received.back(), "behind it");
    EXPECT_EQ(b_.received.size(), 22u) << "larger than the path, and alone on it";
}

TEST_F(SimNetworkTest, WhatWaitsForCapacityGoesWhenThePathIsWideAgainAndIsLostWithItsConnection) {
    open_connection();
    const auto fill = [&] {
        network_.set_faults({.capacity_bytes = 100, .waits_for_capacity = true});
        network_.clog("a:1", "b:1");
        for (int i = 0; i < 3; ++i) {
            a_.send(b_, std::string(100, 'x'));
        }
        scheduler_.run_for(seconds(1));
    };
    fill();
    network_.set_faults({});
    network_.unclog("a:1", "b:1");
    scheduler_.run_for(seconds(1));
    EXPECT_EQ(b_.received.size(), 3u);

    fill();
    network_.reset("a:1", "b:1");
    network_.unclog("a:1", "b:1");
    network_.set_faults({});
    scheduler_.run_for(seconds(1));
    EXPECT_EQ(b_.received.size(), 3u);
    EXPECT_EQ(network_.stats().lost_by_reset, 3u);
}

TEST_F(SimNetworkTest, AHalfOpenConnectionLosesFramesUntilItIsGivenUp) {
    open_connection();
    network_.lose_connections("a:1", "b:1", false);
    a_.send(b_, "lost");
    ASSERT_TRUE(b_.transport->reply(b_.last_connection, "passes").ok());
    scheduler_.run_for(seconds(9));
    a_.send(b_, "lost, too");
    EXPECT_EQ(a_.received, Frames{"passes"});
    EXPECT_EQ(network_.stats().lost_half_open, 2u);
    scheduler_.run_for(seconds(2));
    a_.send(b_, "on a new one");
    scheduler_.run_for(seconds(1));
    EXPECT_EQ(b_.received, Frames{"on a new one"});

    network_.lose_connections("b:1", "a:1", true);
    a_.send(b_, "lost");
    ASSERT_TRUE(b_.transport->reply(b_.last_connection, "lost").ok());
    scheduler_.run_for(seconds(1));
    EXPECT_EQ(network_.stats().lost_half_open, 4u);
}

TEST_F(SimNetworkTest, LossTakesItsShareAndKeepsTheOrderOfTheRest) {
    open_connection();
    network_.set_faults({.loss_per_million = 300'000});
    send_numbers(1000);
    scheduler_.run_for(seconds(1));
    EXPECT_NEAR(static_cast<double>(network_.stats().lost), 300, 60);
    EXPECT_EQ(b_.received.size(), 1000 - network_.stats().lost);
    EXPECT_TRUE(std::is_sorted(b_.received.begin(), b_.received.end(), [](auto& x, auto& y) {
        return std::stoi(x) < std::stoi(y);
    }));
}

TEST_F(SimNetworkTest, DelaysAloneNeverReorderAConnectionAndTheSwitchDoes) {
    open_connection();
    const SimLinkFaults slow{
        .delay_mean = milliseconds(100), .tail_per_million = 100'000, .tail_max = seconds(10)};
    network_.set_faults(slow);
    send_numbers(300);
    scheduler_.run_for(minutes(1));
    const auto before = [](auto& x, auto& y) { return std::stoi(x) < std::stoi(y); };
    ASSERT_EQ(b_.received.size(), 300u);
    EXPECT_TRUE(std::is_sorted(b_.received.begin(), b_.received.end(), before));
    EXPECT_GT(network_.stats().delayed_by_tail, 0u);

    b_.received.clear();
    SimLinkFaults reordering = slow;
    reordering.reorder_per_million = 200'000;
    network_.set_faults(reordering);
    send_numbers(300);
    scheduler_.run_for(minutes(1));
    ASSERT_EQ(b_.received.size(), 300u);
    EXPECT_FALSE(std::is_sorted(b_.received.begin(), b_.received.end(), before));
    EXPECT_GT(network_.stats().reordered, 0u);
}

TEST_F(SimNetworkTest, AReplayReachesTheNextLifeOfTheReceiverMinutesLater) {
    open_connection();
    network_.set_faults({.duplicate_per_million = 1'000'000, .replay_delay_max = minutes(10)});
    a_.send(b_, "twice");
    scheduler_.run_for(milliseconds(100));
    EXPECT_EQ(b_.received, Frames{"twice"});
    const ConnectionId first = b_.last_connection;
    b_.crash();
    b_.restart();
    scheduler_.run_for(minutes(11));
    EXPECT_EQ(b_.received, Frames{"twice"});
    EXPECT_NE(b_.last_connection, first);
    EXPECT_EQ(network_.stats().replays_after_restart, 1u);
    // The connection of a replay leads nowhere.
    EXPECT_TRUE(b_.transport->reply(b_.last_connection, "to nobody").ok());
    scheduler_.run_for(minutes(11));
    EXPECT_TRUE(a_.received.empty());
}

TEST_F(SimNetworkTest, ACorruptFrameIsDroppedAndClosesItsConnection) {
    open_connection();
    const ConnectionId before = b_.last_connection;
    network_.set_faults({.corrupt_per_million = 1'000'000});
    a_.send(b_, "damaged");
    scheduler_.run_for(seconds(1));
    EXPECT_TRUE(b_.received.empty());
    EXPECT_EQ(network_.stats().corrupted, 1u);
    network_.set_faults({});
    a_.send(b_, "whole");
    scheduler_.run_for(seconds(1));
    EXPECT_EQ(b_.received, Frames{"whole"});
    EXPECT_NE(b_.last_connection, before);
}

TEST_F(SimNetworkTest, AResetLosesWhatIsUnderWayAndTheNextFrameDialsAnew) {
    open_connection();
    const ConnectionId before = b_.last_connection;
    a_.send(b_, "under way");
    network_.reset("b:1", "a:1");
    a_.send(b_, "next");
    scheduler_.run_for(seconds(1));
    EXPECT_EQ(b_.received, Frames{"next"});
    EXPECT_NE(b_.last_connection, before);
    EXPECT_EQ(network_.stats().lost_by_reset, 1u);
    EXPECT_TRUE(b_.transport->reply(before, "to a connection that is gone").ok());
    scheduler_.run_for(seconds(1));
    EXPECT_TRUE(a_.received.empty());
}

TEST_F(SimNetworkTest, FramesToADeadProcessAreLostAndFramesOfADeadOneArrive) {
    open_connection();
    a_.send(b_, "lost");
    ASSERT_TRUE(b_.transport->reply(b_.last_connection, "last words").ok());
    b_.crash();
    b_.restart();
    scheduler_.run_for(seconds(1));
    EXPECT_TRUE(b_.received.empty());
    EXPECT_EQ(a_.received, Frames{"last words"});
    EXPECT_EQ(network_.stats().lost_to_dead_receiver, 1u);
    a_.send(b_, "to the next life");
    scheduler_.run_for(seconds(1));
    EXPECT_EQ(b_.received, Frames{"to the next life"});
}

TEST_F(SimNetworkTest, APausedProcessGetsItsFramesWhenItGoesOn) {
    open_connection();
    b_.process.pause();
    send_numbers(10);
    scheduler_.run_for(minutes(1));
    EXPECT_TRUE(b_.received.empty());
    b_.process.resume();
    scheduler_.run_for(seconds(0));
    ASSERT_EQ(b_.received.size(), 10u);
    EXPECT_EQ(b_.received.front(), "0");
    EXPECT_EQ(b_.received.back(), "9");
}

TEST_F(SimNetworkTest, AFullQueueToAPeerIsRefused) {
    network_.cut("a:1", "b:1");
    const std::string big(40u << 20, 'x');
    a_.send(b_, big);
    EXPECT_EQ(a_.transport->send("b:1", big).code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(network_.stats().refused_queue_full, 1u);
}

uint64_t digest_of_noisy_run(uint64_t seed) {
    SimScheduler scheduler;
    const SimRandom random(seed);
    SimNetwork network(scheduler, random);
    network.set_faults({.delay_mean = milliseconds(20),
                        .tail_per_million = 10'000,
                        .tail_max = seconds(10),
                        .loss_per_million = 50'000,
                        .duplicate_per_million = 100'000,
                        .replay_delay_max = minutes(2),
                        .reorder_per_million = 50'000,
                        .corrupt_per_million = 1'000,
                        .reset_per_million = 5'000});
    std::vector<std::unique_ptr<Node>> nodes;
    for (int i = 0; i < 4; ++i) {
        nodes.push_back(std::make_unique<Node>(network, "n" + std::to_string(i) + ":1", random));
    }
    SimRandom driver = random.fork("driver");
    for (int step = 0; step < 2000; ++step) {
        Node& from = *nodes[driver.below(4)];
        Node& to = *nodes[driver.below(4)];
        if (driver.chance(5'000)) {
            from.crash();
            from.restart();
        }
        if (driver.chance(5'000)) {
            network.cut(from.process.name(), to.process.name());
        }
        if (driver.chance(5'000)) {
            network.clog(from.process.name(), to.process.name());
        }
        if (driver.chance(10'000)) {
            network.heal();
        }
        from.send(to, std::to_string(driver.next()));
        scheduler.run_for(driver.exponential(milliseconds(5)));
    }
    scheduler.run_for(minutes(5));
    EXPECT_GT(network.stats().delivered, 500u);
    EXPECT_GT(network.stats().replays_delivered, 50u);
    EXPECT_GT(network.stats().lost_by_reset, 0u);
    EXPECT_GT(network.stats().held_by_clog, 0u);
    EXPECT_GT(network.stats().cut, 0u);
    return scheduler.digest();
}

TEST(SimNetworkDigestTest, TheSameSeedGivesTheSameRunThroughAllFaults) {
    EXPECT_EQ(digest_of_noisy_run(1), digest_of_noisy_run(1));
    EXPECT_NE(digest_of_noisy_run(1), digest_of_noisy_run(2));
}

}  // namespace
}  // namespace starling::env
