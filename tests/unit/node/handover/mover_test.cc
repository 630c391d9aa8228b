#include "node/handover/mover.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include <fmt/format.h>

#include "tests/unit/node/entropy/fakes.h"

namespace starling::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr base::ClusterId cluster(5);

struct TestOptions {
    uint32_t partition_count = 16;
    base::Duration disk = milliseconds(1);
    base::Duration gossip = milliseconds(20);
};

// A node's disk outlives it.
struct Disk {
    std::map<base::PartitionId, std::string> seats;
    std::map<GroupId, FakeGroups::Group> groups;
    uint32_t generation = 0;
};

class TestCluster;

class TestNode final : public HandoverHost, public PlainEntropyHost {
  public:
    TestNode(base::NodeId id, TestCluster& cluster, base::ClusterId of_cluster);
    ~TestNode() { disk().groups = groups.groups; }

    void persist_seats(base::PartitionId partition, std::string value, Done done) override;
    void take_up_seats(base::PartitionId partition, std::string value, Done done) override {
        taken_up.insert(partition);
        persist_seats(partition, std::move(value), std::move(done));
    }
    bool is_fenced_for(base::PartitionId partition,
                       base::SeatIndex seat,
                       base::NodeId successor) override {
        return mover.is_fenced_for(partition, seat, successor);
    }
    void send(base::NodeId to, peer::HandoverMessage message) override;
    void send(base::NodeId to, peer::EntropyMessage message) override;
    void seats_changed() override;
    void drop(base::PartitionId partition, uint8_t replicas_max, Done done) override;
    Disk& disk();
    Actor actor() { return {.node = id, .start = disk().generation, .random = 1}; }

    const base::NodeId id;
    TestCluster& cluster_;
    FakeGroups groups;
    SeatView view;
    Entropy entropy;
    Mover mover;
    // Fails the next writes.
    int failing_writes = 0;
    // As a disk that was set back before it held a seat there.
    std::set<base::PartitionId> taken_up;

  private:
    Lifeline lifeline_;
};

// Some nodes, a network, and gossip that takes a little while. The targets of each partition are
// the first three members, from a start that depends on the partition.
class TestCluster {
  public:
    explicit TestCluster(uint64_t seed, TestOptions test_options = {})
        : options(test_options), random(seed) {}

    void start(uint64_t raw, base::ClusterId of_cluster = cluster) {
        const base::NodeId id(raw);
        ++disks[id].generation;
        nodes[id] = std::make_unique<TestNode>(id, *this, of_cluster);
        std::vector<std::pair<base::PartitionId, std::string>> stored(disks[id].seats.begin(),
                                                                      disks[id].seats.end());
        std::set<base::PartitionId> with_data;
        for (const auto& [group, kept] : disks[id].groups) {
            with_data.insert(group.partition);
        }
        ASSERT_TRUE(nodes[id]->mover.restore(stored, with_data).ok());
        set_targets(*nodes[id]);
        gossip_to(id);
    }
    void stop(uint64_t raw) {
        network.disconnect(base::NodeId(raw));
        nodes.erase(base::NodeId(raw));
    }
    void set_members(std::vector<uint64_t> raw) {
        members.clear();
        for (const uint64_t id : raw) {
            members.emplace_back(id);
        }
        for (auto& [id, node] : nodes) {
            set_targets(*node);
        }
    }
    std::vector<base::NodeId> targets_of(uint32_t partition) const {
        std::vector<base::NodeId> targets;
        for (size_t seat = 0; seat < 3 && !members.empty(); ++seat) {
            targets.push_back(members[(partition + seat) % members.size()]);
        }
        return targets;
    }
    void set_targets(TestNode& node) {
        for (uint32_t partition = 0; partition < options.partition_count; ++partition) {
            node.mover.set_targets(base::PartitionId(static_cast<uint16_t>(partition)),
                                   targets_of(partition));
        }
    }
    // Each node tells what it holds, as its record stands when the news arrives.
    void gossip_from(base::NodeId id) {
        for (auto& [other, node] : nodes) {
            if (other != id) gossip_between(id, other);
        }
    }
    void gossip_to(base::NodeId id) {
        for (auto& [other, node] : nodes) {
            if (other != id) gossip_between(other, id);
        }
    }
    void gossip_between(base::NodeId from, base::NodeId to) {
        loop.schedule_after(options.gossip, [this, from, to] {
            if (!nodes.contains(from) || !nodes.contains(to)) return;
            TestNode& node = *nodes[to];
            node.mover.view_changed(node.view, node.view.update(from, nodes[from]->mover.held()));
        });
    }
    // For messages: the partitions with something unfinished.
    std::string unfinished() const {
        std::string out;
        for (const auto& [partition, value] : disks.begin()->second.seats) {
            std::string lines;
            bool is_finished = true;
            for (const auto& [id, disk] : disks) {
                const auto stored = disk.seats.find(partition);
                if (stored == disk.seats.end()) continue;
                lines += fmt::format("\n  {}:", id.raw());
                const SeatRecords records = decode_seat_records(stored->second, cluster, 3).value();
                for (const SeatRecord& record : records) {
                    lines += fmt::format(" [{}]", to_string(record));
                    is_finished = is_finished && (record.state == SeatState::none ||
                                                  record.state == SeatState::holding);
                }
            }
            for (const base::NodeId target : targets_of(partition.raw())) {
                is_finished = is_finished && !nodes.at(target)->mover.counts(partition).empty();
            }
            if (!is_finished) out += fmt::format("\npartition {}{}", partition.raw(), lines);
        }
        return out;
    }
    // Each partition's seats are held once each, by its targets, and nothing is left over.
    bool is_complete() const {
        for (uint32_t p = 0; p < options.partition_count; ++p) {
            const base::PartitionId partition(static_cast<uint16_t>(p));
            SeatSet all;
            size_t sum = 0;
            for (const auto& [id, node] : nodes) {
                const SeatSet seats = node->mover.counts(partition);
                all.merge(seats);
                sum += seats.size();
            }
            if (all.size() != 3 || sum != 3) return false;
            for (const base::NodeId target : targets_of(p)) {
                if (nodes.at(target)->mover.counts(partition).empty()) return false;
            }
        }
        for (const auto& [id, node] : nodes) {
            if (node->mover.count_of(SeatState::filling) + node->mover.count_of(SeatState::fenced) +
                    node->mover.count_of(SeatState::declined) !=
                0) {
                return false;
            }
        }
        return true;
    }
    void found(uint64_t raw) {
        absl::Status status = absl::UnknownError("not called");
        nodes.at(base::NodeId(raw))->mover.found([&](absl::Status outcome) { status = outcome; });
        loop.run_for(seconds(1));
        ASSERT_TRUE(status.ok()) << status;
    }

    const TestOptions options;
    FakeLoop loop;
    FakeRandom random;
    FakeNetwork network{loop, random};
    std::vector<base::NodeId> members;
    std::map<base::NodeId, Disk> disks;
    std::map<base::NodeId, std::unique_ptr<TestNode>> nodes;
};

std::vector<base::PartitionId> all_partitions(uint32_t count) {
    std::vector<base::PartitionId> partitions;
    for (uint32_t p = 0; p < count; ++p) {
        partitions.emplace_back(static_cast<uint16_t>(p));
    }
    return partitions;
}

TestNode::TestNode(base::NodeId node, TestCluster& in, base::ClusterId of_cluster)
    : id(node),
      cluster_(in),
      groups(in.loop, in.random),
      view(in.options.partition_count, 3),
      entropy({.request_timeout = milliseconds(100)}, *this, groups, in.loop, in.random),
      mover({.cluster = of_cluster,
             .self = node,
             .generation = in.disks[node].generation,
             .partition_count = in.options.partition_count,
             .partitions = all_partitions(in.options.partition_count),
             .rules = {}},
            *this,
            entropy,
            in.loop,
            in.random) {
    groups.groups = disk().groups;
    in.network.connect(node, [this](base::NodeId from, const std::string& bytes) {
        if (bytes[0] == 'h') {
            peer::HandoverMessage message;
            ASSERT_TRUE(message.ParseFromString(bytes.substr(1)));
            mover.on_message(from, message);
        } else {
            peer::EntropyMessage message;
            ASSERT_TRUE(message.ParseFromString(bytes.substr(1)));
            entropy.on_message(from, message);
        }
    });
}

Disk& TestNode::disk() {
    return cluster_.disks[id];
}

void TestNode::persist_seats(base::PartitionId partition, std::string value, Done done) {
    cluster_.loop.schedule_after(
        cluster_.options.disk,
        lifeline_.guard(
            [this, partition, value = std::move(value), done = std::move(done)]() mutable {
                if (failing_writes > 0) {
                    --failing_writes;
                    return done(absl::ResourceExhaustedError("disk full"));
                }
                disk().seats[partition] = std::move(value);
                done(absl::OkStatus());
            }));
}

void TestNode::send(base::NodeId to, peer::HandoverMessage message) {
    cluster_.network.send(id, to, "h" + message.SerializeAsString());
}

void TestNode::send(base::NodeId to, peer::EntropyMessage message) {
    cluster_.network.send(id, to, "e" + message.SerializeAsString());
}

void TestNode::seats_changed() {
    cluster_.gossip_from(id);
}

void TestNode::drop(base::PartitionId partition, uint8_t replicas_max, Done done) {
    cluster_.loop.schedule_after(
        cluster_.options.disk,
        lifeline_.guard([this, partition, replicas_max, done = std::move(done)]() mutable {
            groups.drop(partition, replicas_max);
            done(absl::OkStatus());
        }));
}

GroupId group_of(uint32_t partition) {
    return {.partition = base::PartitionId(static_cast<uint16_t>(partition)), .replicas = 3};
}

std::string key_of(int i) {
    return group_key(base::default_namespace_id, "key" + std::to_string(i));
}

TEST(MoverTest, AFounderHoldsEverythingAndAgainAfterARestart) {
    TestCluster test(1);
    test.start(1);
    test.found(1);
    EXPECT_EQ(test.nodes[base::NodeId(1)]->mover.held().size(), 48u);
    test.stop(1);
    test.start(1);
    EXPECT_EQ(test.nodes[base::NodeId(1)]->mover.held().size(), 48u);
    EXPECT_EQ(test.nodes[base::NodeId(1)]->mover.counts(base::PartitionId(3)).size(), 3u);
    EXPECT_TRUE(test.nodes[base::NodeId(1)]->mover.counts(base::PartitionId(99)).empty());
}

TEST(MoverTest, SeatsOfAnotherClusterAreIgnored) {
    TestCluster test(1);
    test.start(1);
    test.found(1);
    test.stop(1);
    test.start(1, base::ClusterId(6));
    EXPECT_TRUE(test.nodes[base::NodeId(1)]->mover.held().empty());
}

// Seed 2141: a crash took the removal of a copy that was withdrawn, and not the withdrawal.
TEST(MoverTest, WhatIsKeptOfAPartitionWithoutASeatIsRemovedAtTheStart) {
    TestCluster test(1);
    test.set_members({1});
    test.start(1);
    test.found(1);
    test.start(2);
    TestNode& other = *test.nodes[base::NodeId(2)];
    other.groups.write(group_of(3), "a group key", other.actor(), "value", false);
    test.stop(2);
    Disk& disk = test.disks[base::NodeId(2)];
    const auto kept_after_start_with = [&](base::ClusterId of_seats) {
        disk.seats[group_of(3).partition] = encode_seat_records(of_seats, SeatRecords(3));
        test.start(2);
        test.loop.run_for(seconds(1));
        const size_t kept = test.nodes[base::NodeId(2)]->groups.groups.size();
        test.stop(2);
        return kept;
    };
    EXPECT_EQ(kept_after_start_with(base::ClusterId(6)), 1u) << "it is of another cluster";
    EXPECT_EQ(kept_after_start_with(cluster), 0u);
}

TEST(MoverTest, DamagedSeatRecordsAreReported) {
    TestCluster test(1);
    test.start(1);
    TestNode& node = *test.nodes[base::NodeId(1)];
    EXPECT_EQ(node.mover.restore({{base::PartitionId(0), "nonsense"}}, {}).code(),
              absl::StatusCode::kDataLoss);
}

TEST(MoverTest, AFoundingThatCannotBeWrittenSaysSoAndIsTriedAgain) {
    TestCluster test(1);
    test.start(1);
    TestNode& node = *test.nodes[base::NodeId(1)];
    node.failing_writes = 2;
    std::vector<absl::StatusCode> outcomes;
    node.mover.found([&](const absl::Status& outcome) { outcomes.push_back(outcome.code()); });
    test.loop.run_for(seconds(10));
    EXPECT_THAT(outcomes,
                testing::ElementsAre(absl::StatusCode::kResourceExhausted,
                                     absl::StatusCode::kResourceExhausted,
                                     absl::StatusCode::kOk));
    EXPECT_EQ(node.mover.count_of(SeatState::holding), 3 * test.options.partition_count);
}

TEST(MoverTest, AJoinOf256PartitionsIsCompleteWithinSeconds) {
    TestCluster test(2, {.partition_count = 256});
    for (const uint64_t id : {1u, 2u, 3u}) {
        test.start(id);
    }
    test.set_members({1});
    test.found(1);
    test.set_members({1, 2, 3});
    const base::MonotonicTime start = test.loop.now();
    ASSERT_TRUE(test.loop.run_until([&] { return test.is_complete(); }, seconds(60)));
    EXPECT_LT(test.loop.now() - start, seconds(5));

    test.start(4);
    test.set_members({1, 2, 3, 4});
    const base::MonotonicTime second = test.loop.now();
    ASSERT_TRUE(test.loop.run_until([&] { return test.is_complete(); }, seconds(60)));
    EXPECT_LT(test.loop.now() - second, seconds(5));
}

TEST(MoverTest, DataMovesWithTheSeatsAndGoesWhereItIsNoLongerNeeded) {
    TestCluster test(3);
    for (const uint64_t id : {1u, 2u, 3u, 4u}) {
        test.start(id);
    }
    test.set_members({1});
    test.found(1);
    TestNode& founder = *test.nodes[base::NodeId(1)];
    for (uint32_t partition = 0; partition < 16; ++partition) {
        for (int i = 0; i < 20; ++i) {
            founder.groups.write(group_of(partition), key_of(i), founder.actor(), "value", false);
        }
    }
    test.set_members({1, 2, 3});
    ASSERT_TRUE(test.loop.run_until([&] { return test.is_complete(); }, seconds(60)));
    test.set_members({2, 3, 4});
    ASSERT_TRUE(test.loop.run_until([&] { return test.is_complete(); }, seconds(60)));
    test.loop.run_for(seconds(1));
    EXPECT_TRUE(founder.groups.groups.empty());
    for (const uint64_t id : {2u, 3u, 4u}) {
        for (uint32_t partition = 0; partition < 16; ++partition) {
            EXPECT_EQ(
                test.nodes[base::NodeId(id)]->groups.groups[group_of(partition)].records.size(),
                20u);
        }
    }
}

TEST(MoverTest, LossAndRestartsOnlyDelayAJoin) {
    for (uint64_t seed = 1; seed <= 6; ++seed) {
        TestCluster test(seed);
        for (const uint64_t id : {1u, 2u, 3u, 4u}) {
            test.start(id);
        }
        test.set_members({1});
        test.found(1);
        test.network.loss = 0.2;
        test.network.duplication = 0.1;
        test.network.delay_max = milliseconds(30);
        TestNode& founder = *test.nodes[base::NodeId(1)];
        for (uint32_t partition = 0; partition < 16; ++partition) {
            founder.groups.write(group_of(partition), key_of(1), founder.actor(), "value", false);
        }
        test.set_members({1, 2, 3});
        for (int i = 0; i < 10; ++i) {
            test.loop.run_for(milliseconds(static_cast<int64_t>(test.random.below(500))));
            const uint64_t victim = 1 + test.random.below(4);
            test.stop(victim);
            test.loop.run_for(milliseconds(static_cast<int64_t>(test.random.below(500))));
            test.start(victim);
            if (i == 5) test.set_members({2, 3, 4});
        }
        ASSERT_TRUE(test.loop.run_until([&] { return test.is_complete(); }, seconds(600)))
            << "seed " << seed << test.unfinished();
        for (const auto& [id, node] : test.nodes) {
            EXPECT_TRUE(node->taken_up.empty()) << "no disk has forgotten anything";
        }
        for (const uint64_t id : {2u, 3u, 4u}) {
            for (uint32_t partition = 0; partition < 16; ++partition) {
                EXPECT_EQ(
                    test.nodes[base::NodeId(id)]->groups.groups[group_of(partition)].records.size(),
                    1u);
            }
        }
    }
}

TEST(MoverTest, WhoHasFencedASeatForOneThatIsSilentHasForgottenNothing) {
    TestCluster test(1);
    for (const uint64_t id : {1u, 2u, 3u}) {
        test.start(id);
    }
    test.set_members({1});
    test.found(1);
    test.set_members({1, 2});
    ASSERT_TRUE(test.loop.run_until([&] { return test.is_complete(); }, seconds(60)));
    test.set_members({1, 2, 3});
    constexpr base::NodeId joiner(3);
    base::PartitionId partition;
    base::NodeId giver;
    const auto is_fenced = [&] {
        for (uint16_t each = 0; each < 16; ++each) {
            partition = base::PartitionId(each);
            for (const uint64_t id : {1u, 2u}) {
                giver = base::NodeId(id);
                const Mover& mover = test.nodes[giver]->mover;
                if (mover.held(partition).empty()) continue;
                for (uint8_t seat = 0; seat < 3; ++seat) {
                    if (mover.is_fenced_for(partition, base::SeatIndex(seat), joiner)) return true;
                }
            }
        }
        return false;
    };
    ASSERT_TRUE(test.loop.run_until(is_fenced, seconds(60)));
    test.stop(joiner.raw());
    test.loop.run_for(seconds(1));
    Mover& other = test.nodes[base::NodeId(3 - giver.raw())]->mover;
    EXPECT_TRUE(other.tell_forgotten(partition, giver, {})) << "as one that knows of no seat";
    const auto known = test.nodes[giver]->mover.highest_epochs(partition);
    EXPECT_FALSE(other.tell_forgotten(partition, giver, known));
}

TEST(MoverTest, ANodeWhoseDiskHasForgottenItsSeatsIsToldOfThem) {
    TestCluster test(1);
    for (const uint64_t id : {1u, 2u, 3u}) {
        test.start(id);
    }
    test.set_members({1});
    test.found(1);
    test.set_members({1, 2, 3});
    ASSERT_TRUE(test.loop.run_until([&] { return test.is_complete(); }, seconds(60)));
    test.stop(3);
    test.disks[base::NodeId(3)].seats.clear();
    test.start(3);
    test.gossip_from(base::NodeId(3));
    TestNode& set_back = *test.nodes[base::NodeId(3)];
    test.loop.run_for(seconds(1));
    EXPECT_TRUE(set_back.mover.held().empty());
    set_back.failing_writes = 5;
    ASSERT_TRUE(test.loop.run_until([&] { return test.is_complete(); }, seconds(60)));
    EXPECT_EQ(set_back.taken_up.size(), test.options.partition_count);
    EXPECT_TRUE(test.nodes[base::NodeId(1)]->taken_up.empty());
    EXPECT_TRUE(test.nodes[base::NodeId(2)]->taken_up.empty());
    test.loop.run_for(seconds(1));
    const uint64_t sent = test.network.messages_sent;
    test.loop.run_for(seconds(60));
    EXPECT_EQ(test.network.messages_sent, sent) << "there is nothing left to tell";
}

TEST(MoverTest, FillsAreGivenBackAndBegunAgain) {
    TestCluster test(4);
    for (const uint64_t id : {1u, 2u}) {
        test.start(id);
    }
    test.set_members({1});
    test.found(1);
    test.set_members({1, 2});
    ASSERT_TRUE(test.loop.run_until(
        [&] { return test.nodes[base::NodeId(2)]->mover.count_of(SeatState::filling) > 0; },
        seconds(5)));
    for (uint16_t partition = 0; partition < test.options.partition_count; ++partition) {
        test.nodes[base::NodeId(2)]->mover.end_moves(base::PartitionId(partition));
    }
    test.loop.run_for(milliseconds(2));
    EXPECT_GT(test.nodes[base::NodeId(2)]->mover.count_of(SeatState::declined), 0u);
    // Declined once, not for ever.
    EXPECT_TRUE(test.loop.run_until([&] { return test.is_complete(); }, seconds(60)));
}

TEST(MoverTest, AGiverThatCannotReadWhatIsMissingGetsItsSeatsBack) {
    TestCluster test(4);
    for (const uint64_t id : {1u, 2u}) {
        test.start(id);
    }
    test.set_members({1});
    test.found(1);
    TestNode& giver = *test.nodes[base::NodeId(1)];
    for (uint32_t partition = 0; partition < test.options.partition_count; ++partition) {
        giver.groups.write(group_of(partition), key_of(1), giver.actor(), "value", false);
    }
    test.set_members({1, 2});
    ASSERT_TRUE(test.loop.run_until([&] { return giver.mover.count_of(SeatState::fenced) > 0; },
                                    seconds(20)));
    giver.groups.is_damaged = true;
    EXPECT_TRUE(test.loop.run_until([&] { return giver.mover.count_of(SeatState::fenced) == 0; },
                                    seconds(20)))
        << test.unfinished();
    giver.groups.is_damaged = false;
    EXPECT_TRUE(test.loop.run_until([&] { return test.is_complete(); }, seconds(60)));
}

TEST(MoverTest, AMessageFromAnEarlierLifeIsIgnored) {
    TestCluster test(5);
    test.start(1);
    test.start(2);
    test.set_members({1});
    test.found(1);
    TestNode& node = *test.nodes[base::NodeId(1)];
    const auto held = [](uint32_t from_generation, uint32_t to_generation) {
        peer::HandoverMessage message;
        message.set_kind(peer::HandoverMessage::HELD);
        message.mutable_epoch()->set_moves(7);
        message.set_from_generation(from_generation);
        message.set_to_generation(to_generation);
        return message;
    };
    node.mover.on_message(base::NodeId(2), held(1, 9));
    EXPECT_TRUE(node.mover.counts(base::PartitionId(0)).contains(base::SeatIndex(0)));
    peer::HandoverMessage unknown;
    unknown.set_partition(9999);
    node.mover.on_message(base::NodeId(2), unknown);
    EXPECT_EQ(node.mover.malformed_messages(), 1u);
    node.mover.on_message(base::NodeId(2), held(1, 1));
    EXPECT_FALSE(node.mover.counts(base::PartitionId(0)).contains(base::SeatIndex(0)));
}

TEST(MoverTest, TwoNodesThatBothRestartedFindEachOtherAgain) {
    TestCluster test(7, {.partition_count = 1});
    for (const uint64_t id : {1u, 2u}) {
        test.start(id);
    }
    test.set_members({1});
    test.found(1);
    test.set_members({1, 2});
    TestNode* giver = test.nodes[base::NodeId(1)].get();
    ASSERT_TRUE(test.loop.run_until([&] { return giver->mover.count_of(SeatState::fenced) == 1; },
                                    seconds(5)));
    // The successor holds, in a life that the giver has never heard of, and has nothing to ask.
    ASSERT_TRUE(test.loop.run_until(
        [&] { return test.nodes[base::NodeId(2)]->mover.count_of(SeatState::holding) == 1; },
        seconds(5)));
    test.stop(2);
    test.start(2);
    EXPECT_TRUE(test.loop.run_until([&] { return test.is_complete(); }, seconds(60)))
        << test.unfinished();
}

TEST(MoverTest, ANodeThatEntersAClusterForgetsItsOwnSeats) {
    TestCluster test(6);
    test.start(1);
    test.found(1);
    TestNode& node = *test.nodes[base::NodeId(1)];
    node.mover.enter_cluster(base::ClusterId(8));
    EXPECT_TRUE(node.mover.held().empty());
    EXPECT_TRUE(node.mover.counts(base::PartitionId(0)).empty());
}

}  // namespace
}  // namespace starling::node
