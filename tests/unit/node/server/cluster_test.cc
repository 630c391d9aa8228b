// Joins: who becomes a member, who is refused and why, and that a refusal changes nothing.

#include "node/server/cluster.h"

#include <gtest/gtest.h>

#include "node/server/inspect.h"
#include "tests/unit/node/server/rig.h"

namespace starling::node {
namespace {

using absl::StatusCode;
using testing::ElementsAre;

class ClusterTest : public testing::Test {
  protected:
    // What a refused join must leave as it was.
    struct Standing {
        base::NodeId node;
        base::ClusterId cluster;
        uint32_t generation;
        size_t members;
        size_t seats;
        uint64_t records;
        friend bool operator==(const Standing&, const Standing&) = default;
    };
    static Standing standing(Machine& machine) {
        const StatusReport report = machine.status();
        ShardInspection inspection;
        machine.node().inspect(inspection);
        return {.node = machine.node().id(),
                .cluster = machine.node().cluster(),
                .generation = machine.generation(),
                .members = report.members.size(),
                .seats = inspection.held.size(),
                .records = report.records};
    }
    // Both stay what they are, over a power loss too, and serve.
    void expect_refused(Machine& machine,
                        StatusCode code,
                        std::string_view reason,
                        const std::string& named) {
        const Standing before = standing(machine);
        const Standing known_before = standing(known);
        expect_error(machine.join(known.peer_address()).status(), code, reason, named);
        world.scheduler.run_for(seconds(30));
        EXPECT_EQ(standing(machine), before);
        EXPECT_EQ(standing(known), known_before);
        machine.crash(env::CrashMode::lost);
        machine.start_and_serve();
        EXPECT_EQ(machine.node().id(), before.node);
        EXPECT_EQ(machine.node().cluster(), before.cluster);
        EXPECT_EQ(standing(machine).members, before.members);
        EXPECT_TRUE(machine.put("still", "here").ok());
        EXPECT_TRUE(known.put("still", "here").ok());
    }
    bool is_settled(Machine& machine) {
        return world.run_until(minutes(5), [&] { return machine.is_settled(2); });
    }

    World world;
    Machine known{world, 1};
    Machine joiner{world, 2};
};

TEST_F(ClusterTest, ANodeWithoutDataJoinsAndTakesItsShareOfTheSeats) {
    known.start_and_serve();
    ASSERT_TRUE(known.put("key", "value").ok());
    joiner.start_and_serve();
    const base::NodeId id = joiner.node().id();
    const auto joined = joiner.join(known.peer_address());
    ASSERT_TRUE(joined.ok()) << joined.status();
    EXPECT_EQ(joined->cluster, known.node().cluster());
    EXPECT_EQ(joined->member_count, 2u);
    EXPECT_EQ(joiner.node().cluster(), known.node().cluster());
    EXPECT_EQ(joiner.node().id(), id);
    EXPECT_TRUE(is_settled(joiner));
    EXPECT_EQ(known.status().members.size(), 2u);
    EXPECT_THAT(joiner.values("key"), ElementsAre("value"));
}

TEST_F(ClusterTest, AJoinedNodeIsAMemberAfterAPowerLossOfBoth) {
    for (Machine* machine : {&known, &joiner}) {
        machine->shards = 2;
        machine->start_and_serve();
    }
    const base::NodeId id = joiner.node().id();
    const base::ClusterId cluster = known.node().cluster();
    const uint32_t generation = joiner.generation();
    ASSERT_TRUE(joiner.join(known.peer_address()).ok());
    // At once: what the answer promises is durable.
    joiner.crash(env::CrashMode::lost);
    known.crash(env::CrashMode::lost);
    joiner.start_and_serve();
    EXPECT_EQ(joiner.node().id(), id);
    EXPECT_EQ(joiner.node().cluster(), cluster);
    EXPECT_GT(joiner.generation(), generation);
    EXPECT_EQ(joiner.status().members.size(), 2u);
    known.start_and_serve();
    const auto sees_both = [](Machine& machine) {
        const StatusReport report = machine.status();
        return report.members.size() == 2 && report.members[0].liveness == "alive" &&
               report.members[1].liveness == "alive" && report.members[0].state == "member" &&
               report.members[1].state == "member";
    };
    EXPECT_TRUE(world.run_until(minutes(2), [&] { return sees_both(known) && sees_both(joiner); }));
    EXPECT_TRUE(is_settled(joiner));
    ASSERT_TRUE(joiner.put("key", "value").ok());
    EXPECT_THAT(known.values("key"), ElementsAre("value"));
}

// At each operation on its disk, from the moment it is asked until it is settled.
TEST_F(ClusterTest, AJoinThatDiesAnywhereIsDoneOrNotDoneAndCanBeAskedForAgain) {
    known.start_and_serve();
    const base::ClusterId cluster = known.node().cluster();
    int died = 0;
    bool untouched = false;
    for (uint64_t n = 1; !untouched && n < 40; ++n) {
        Machine late(world, static_cast<uint32_t>(n + 10));
        late.options.partition_count = 16;
        late.shards = 2;
        late.start_and_serve();
        const base::NodeId id = late.node().id();
        late.files().faults().crash_at(n);
        std::optional<absl::Status> answer;
        late.node().join(known.peer_address(),
                         [&answer](const auto& joined) { answer = joined.status(); });
        world.run_until(seconds(30), [&] {
            return late.files().faults().dead() || (answer.has_value() && answer->ok());
        });
        untouched = !late.files().faults().dead();
        died += untouched ? 0 : 1;
        late.files().faults().clear();
        late.crash(env::CrashMode::lost);
        late.start_and_serve();
        EXPECT_EQ(late.node().id(), id);
        if (late.node().cluster() != cluster) {
            // Another joiner may have been granted a place a moment ago: busy, not unwilling.
            ASSERT_TRUE(world.run_until(minutes(2), [&] {
                return late.join(known.peer_address()).ok();
            })) << n;
        }
        EXPECT_EQ(late.node().cluster(), cluster);
        ASSERT_TRUE(world.run_until(minutes(2), [&] {
            for (const MemberStatus& member : known.status().members) {
                if (member.node == id) {
                    return member.state == "member" && member.liveness == "alive";
                }
            }
            return false;
        })) << n;
        late.crash();
    }
    EXPECT_TRUE(untouched);
    EXPECT_GE(died, 2);
}

// What was written for the join is on its way to the disk when that is full, and gets there later.
TEST_F(ClusterTest, AJoinThatFindsTheDiskFullLosesNothingThatTheNodeTakesAfterIt) {
    known.start_and_serve();
    joiner.start_and_serve();
    const base::ClusterId own = joiner.node().cluster();
    bool is_full = true;
    joiner.files().faults().set_hook([&is_full](env::FileOperation operation, const std::string&) {
        return is_full && operation == env::FileOperation::write
                   ? absl::ResourceExhaustedError("no space left")
                   : absl::OkStatus();
    });
    std::optional<absl::Status> answer;
    joiner.node().join(known.peer_address(),
                       [&answer](const auto& joined) { answer = joined.status(); });
    world.scheduler.run_for(seconds(20));
    EXPECT_FALSE(answer.has_value()) << *answer;
    EXPECT_FALSE(joiner.put("too early", "value").ok());

    is_full = false;
    ASSERT_TRUE(world.run_until(seconds(5), [&] { return answer.has_value(); }));
    EXPECT_EQ(answer->code(), StatusCode::kResourceExhausted) << *answer;
    ASSERT_TRUE(joiner.put("key", "value").ok());
    joiner.crash(env::CrashMode::lost);
    joiner.start_and_serve();
    EXPECT_EQ(joiner.node().cluster(), own);
    EXPECT_THAT(joiner.values("key"), ElementsAre("value"));
    EXPECT_THAT(known.values("key"), testing::IsEmpty());
}

TEST_F(ClusterTest, AnotherClusterNameIsRefused) {
    known.start_and_serve();
    joiner.options.cluster_name = "other";
    joiner.start_and_serve();
    expect_refused(
        joiner, StatusCode::kFailedPrecondition, base::reason::wrong_cluster, "cluster 'other'");
}

TEST_F(ClusterTest, AnotherPartitionCountIsRefused) {
    known.start_and_serve();
    joiner.options.partition_count = 32;
    joiner.start_and_serve();
    expect_refused(
        joiner, StatusCode::kFailedPrecondition, base::reason::incompatible, "32 partitions");
}

TEST_F(ClusterTest, AnotherSeatCountIsRefused) {
    known.start_and_serve();
    joiner.options.seat_count = 5;
    joiner.start_and_serve();
    expect_refused(joiner, StatusCode::kFailedPrecondition, base::reason::incompatible, "5 seats");
}

TEST_F(ClusterTest, AnotherSecretIsRefused) {
    known.start_and_serve();
    joiner.options.cluster_secret = "the secret of somebody else";
    joiner.start_and_serve();
    expect_refused(joiner, StatusCode::kPermissionDenied, base::reason::wrong_secret, "secret");
}

TEST_F(ClusterTest, ANodeWithDataOfItsOwnIsRefused) {
    known.start_and_serve();
    joiner.start_and_serve();
    ASSERT_TRUE(joiner.put("mine", "value").ok());
    expect_refused(joiner, StatusCode::kFailedPrecondition, base::reason::has_data, "data");
    EXPECT_THAT(joiner.values("mine"), ElementsAre("value"));
}

// Before it has counted its records again.
TEST_F(ClusterTest, ANodeWithDataIsRefusedRightAfterAPowerLossToo) {
    known.start_and_serve();
    joiner.shards = 2;
    joiner.start_and_serve();
    ASSERT_TRUE(joiner.put("mine", "value").ok());
    joiner.crash(env::CrashMode::lost);
    joiner.start_and_serve();
    expect_error(joiner.join(known.peer_address()).status(),
                 StatusCode::kFailedPrecondition,
                 base::reason::has_data,
                 "data");
    EXPECT_THAT(joiner.values("mine"), ElementsAre("value"));
}

TEST_F(ClusterTest, ANodeWithNothingButADeletionIsRefusedToo) {
    known.start_and_serve();
    joiner.start_and_serve();
    PutRequest deletion = joiner.make_put("mine", "");
    deletion.is_delete = true;
    ASSERT_TRUE(joiner.put(std::move(deletion)).ok());
    expect_refused(joiner, StatusCode::kFailedPrecondition, base::reason::has_data, "data");
}

// They would be forgotten without a word.
TEST_F(ClusterTest, ANodeWithNamespacesOfItsOwnIsRefused) {
    known.start_and_serve();
    joiner.start_and_serve();
    NamespaceInfo info;
    info.name = "mine";
    ASSERT_TRUE(joiner.create_namespace(info).ok());
    expect_refused(joiner, StatusCode::kFailedPrecondition, base::reason::has_data, "data");
    EXPECT_EQ(joiner.namespaces().size(), 2u);
}

TEST_F(ClusterTest, ANamespaceMadeDuringAJoinIsRefusedOrThereAfterwards) {
    known.start_and_serve();
    joiner.start_and_serve();
    std::optional<absl::Status> joined;
    joiner.node().join(known.peer_address(),
                       [&joined](const auto& result) { joined = result.status(); });
    size_t made = 0;
    size_t refused = 0;
    for (int i = 0; i < 10'000 && made < 3; ++i) {
        NamespaceInfo info;
        info.name = fmt::format("mine{}", i);
        const absl::Status status = joiner.create_namespace(info).status();
        made += status.ok() ? 1u : 0u;
        refused += status.ok() ? 0u : 1u;
        world.scheduler.run_for(milliseconds(1));
    }
    ASSERT_TRUE(joined.has_value());
    EXPECT_TRUE(joined->ok()) << *joined;
    EXPECT_GT(refused, 0u);
    EXPECT_EQ(made, 3u);
    EXPECT_EQ(joiner.namespaces().size(), made + 1);
}

TEST_F(ClusterTest, AMemberDoesNotJoinAgainNeitherItsOwnClusterNorAnother) {
    Machine other(world, 3);
    for (Machine* machine : {&known, &joiner, &other}) {
        machine->start_and_serve();
    }
    ASSERT_TRUE(joiner.join(known.peer_address()).ok());
    ASSERT_TRUE(is_settled(joiner));
    expect_refused(
        joiner, StatusCode::kFailedPrecondition, base::reason::already_member, "2 members");
    const Standing before = standing(known);
    expect_error(known.join(other.peer_address()).status(),
                 StatusCode::kFailedPrecondition,
                 base::reason::already_member,
                 "2 members");
    EXPECT_EQ(standing(known), before);
    EXPECT_EQ(standing(other).members, 1u);
}

TEST_F(ClusterTest, ItselfAndWhatIsNoAddressIsNoNodeToJoin) {
    joiner.start_and_serve();
    const Standing before = standing(joiner);
    const std::vector<std::string> addresses = {joiner.peer_address(), "", std::string(300, '1')};
    for (const std::string& address : addresses) {
        expect_error(joiner.join(address).status(),
                     StatusCode::kInvalidArgument,
                     base::reason::unknown_node,
                     "address");
    }
    EXPECT_EQ(standing(joiner), before);
}

TEST_F(ClusterTest, AnAddressWhereNobodyIsIsGivenUpAndNamed) {
    joiner.start_and_serve();
    const Standing before = standing(joiner);
    expect_error(joiner.join("10.0.0.99:4001").status(),
                 StatusCode::kDeadlineExceeded,
                 base::reason::deadline,
                 "10.0.0.99:4001");
    EXPECT_EQ(standing(joiner), before);
    EXPECT_TRUE(joiner.put("key", "value").ok());
}

TEST_F(ClusterTest, OneJoinAtATime) {
    joiner.start_and_serve();
    std::optional<absl::Status> first;
    joiner.node().join("10.0.0.99:4001", [&first](const auto& joined) { first = joined.status(); });
    expect_error(joiner.join("10.0.0.98:4001").status(),
                 StatusCode::kUnavailable,
                 base::reason::overloaded,
                 "under way");
    EXPECT_FALSE(first.has_value());
    ASSERT_TRUE(world.run_until(minutes(1), [&] { return first.has_value(); }));
}

TEST_F(ClusterTest, AWriteDuringAJoinIsKeptOrRefusedButNeverAcknowledgedAndLost) {
    known.start_and_serve();
    joiner.start_and_serve();
    std::optional<absl::Status> joined;
    joiner.node().join(known.peer_address(),
                       [&joined](const auto& result) { joined = result.status(); });
    std::vector<std::string> acknowledged;
    for (int i = 0; i < 40; ++i) {
        const std::string key = fmt::format("key {}", i);
        if (joiner.put(key, "value").ok()) {
            acknowledged.push_back(key);
        }
    }
    ASSERT_TRUE(world.run_until(minutes(2), [&] { return joined.has_value(); }));
    world.scheduler.run_for(minutes(1));
    EXPECT_FALSE(acknowledged.empty());
    for (const std::string& key : acknowledged) {
        EXPECT_THAT(joiner.values(key), ElementsAre("value")) << key << ", " << *joined;
    }
}

}  // namespace
}  // namespace starling::node
