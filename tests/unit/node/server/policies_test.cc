// Conflict policies of namespaces, through whole nodes.

#include <algorithm>

#include <gtest/gtest.h>

#include "node/server/set_back_guard.h"
#include "ring/placement.h"
#include "tests/unit/node/server/rig.h"

namespace starling::node {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class NodePoliciesTest : public testing::Test {
  protected:
    void form(ConflictPolicy policy) {
        for (Machine* machine : machines()) {
            machine->start_and_serve();
        }
        for (Machine* machine : {&second, &third}) {
            ASSERT_TRUE(machine->join(first.peer_address()).ok());
        }
        NamespaceInfo info;
        info.name = "special";
        info.policy = policy;
        const auto made = first.create_namespace(info);
        ASSERT_TRUE(made.ok()) << made.status();
        EXPECT_EQ(made->policy, policy);
        ASSERT_TRUE(world.run_until(minutes(5), [this] {
            return std::ranges::all_of(machines(), [](Machine* machine) {
                return machine->is_settled(3) && machine->namespaces().size() == 2;
            });
        }));
    }
    std::vector<Machine*> machines() { return {&first, &second, &third}; }
    void isolate(Machine& machine) {
        for (Machine* other : machines()) {
            if (other != &machine) {
                world.network.cut(other->peer_address(), machine.peer_address());
                world.network.cut(machine.peer_address(), other->peer_address());
            }
        }
    }
    absl::StatusOr<PutResult> put(Machine& machine,
                                  const std::string& value,
                                  const std::optional<std::string>& context = {}) {
        // The client's clock is right.
        PutRequest request = first.make_put("k", value);
        request.options.name_space = "special";
        request.context = context;
        return machine.put(std::move(request));
    }
    static absl::StatusOr<InspectResult> inspect(Machine& machine, const InspectRequest& question) {
        return machine.await<InspectResult>(
            [&](auto done) { machine.node().inspect_replica(question, std::move(done)); });
    }
    static double metric(Machine& machine, const std::string& name) {
        const auto metrics = machine.status().metrics;
        const auto found = metrics.find(name);
        return found == metrics.end() ? -1 : found->second;
    }

    World world;
    Machine first{world, 1};
    Machine second{world, 2};
    Machine third{world, 3};
};

TEST_F(NodePoliciesTest, ThePolicyIsShownByEveryNodeAndKeptOverRestarts) {
    ASSERT_NO_FATAL_FAILURE(form(ConflictPolicy::reject_stale));
    third.crash();
    third.start_and_serve();
    for (Machine* machine : machines()) {
        ASSERT_EQ(machine->namespaces().size(), 2u);
        EXPECT_EQ(machine->namespaces().back().policy, ConflictPolicy::reject_stale);
        EXPECT_EQ(machine->namespaces().front().policy, ConflictPolicy::siblings);
    }
}

TEST_F(NodePoliciesTest, OfTwoWritesOnTwoSidesTheLaterIsTheOneThatAllNodesShow) {
    ASSERT_NO_FATAL_FAILURE(form(ConflictPolicy::last_write_wins));
    ASSERT_TRUE(put(first, "before").ok());
    isolate(third);
    PutRequest blind = third.make_put("k", "on the side of one");
    blind.options.name_space = "special";
    blind.options.quorum = 1;
    blind.blind = true;
    ASSERT_TRUE(third.put(std::move(blind)).ok());
    world.scheduler.run_for(milliseconds(10));
    ASSERT_TRUE(put(first, "on the side of two").ok());
    world.network.heal();
    ASSERT_TRUE(world.run_until(minutes(2), [this] {
        return std::ranges::all_of(machines(), [](Machine* machine) {
            return machine->values("k", "special") ==
                   std::vector<std::string>{"on the side of two"};
        });
    }));
    EXPECT_EQ(metric(first, "starling_conflicting_writes_total{namespace=\"default\"}"), 0);
}

// A delete and a concurrent put stay as siblings, and digests are of values.
TEST_F(NodePoliciesTest, ADeleteThatOneReplicaLacksShowsInItsFrontierAlone) {
    ASSERT_NO_FATAL_FAILURE(form(ConflictPolicy::last_write_wins));
    // It is heard, and hears nothing.
    for (Machine* other : {&first, &second}) {
        world.network.cut(other->peer_address(), third.peer_address());
    }
    PutRequest value = third.make_put("k", "value");
    value.options.name_space = "special";
    value.options.quorum = 1;
    value.blind = true;
    PutRequest removal = first.make_put("k", "");
    removal.options.name_space = "special";
    removal.is_delete = true;
    removal.blind = true;
    ASSERT_TRUE(first.put(std::move(removal)).ok());
    ASSERT_TRUE(third.put(std::move(value)).ok());
    world.scheduler.run_for(milliseconds(20));
    InspectRequest question{.partition = ring::partition_of("k", first.options.partition_count),
                            .replicas = 3};
    const auto has_it = inspect(first, question);
    const auto lacks_it = inspect(third, question);
    ASSERT_TRUE(has_it.ok() && lacks_it.ok());
    EXPECT_EQ(has_it->buckets, lacks_it->buckets);
    EXPECT_NE(has_it->buckets, std::vector<uint64_t>(256, 0));
    question.frontiers = {has_it->frontier, lacks_it->frontier};
    EXPECT_EQ(inspect(first, question)->has_seen, (std::vector<bool>{true, true}));
    EXPECT_EQ(inspect(second, question)->has_seen, (std::vector<bool>{true, true}));
    EXPECT_EQ(inspect(third, question)->has_seen, (std::vector<bool>{false, true}));
    world.network.heal();
    EXPECT_TRUE(world.run_until(minutes(2), [&] {
        return inspect(third, question)->has_seen == std::vector<bool>{true, true};
    }));
}

TEST_F(NodePoliciesTest, ANodeWhoseClockIsWrongIsFencedUntilItIsSetRight) {
    ASSERT_NO_FATAL_FAILURE(form(ConflictPolicy::last_write_wins));
    world.scheduler.run_for(seconds(10));
    // Within the request window, so that it is not the age of requests that is refused.
    for (const base::Duration jump : {seconds(20), seconds(-20)}) {
        third.wall_clock().jump(jump);
        expect_error(put(third, "from a wrong clock").status(),
                     StatusCode::kUnavailable,
                     base::reason::clock_fenced,
                     jump > base::Duration::zero() ? "s ahead of" : "s behind");
        EXPECT_EQ(metric(third, "starling_clock_fenced"), 1);
        EXPECT_THAT(third.status().warnings, testing::Contains(HasSubstr("clock_fenced")));
        EXPECT_EQ(metric(first, "starling_clock_fenced"), 0);
        EXPECT_TRUE(put(first, "of the others" + std::to_string(jump.count())).ok());
        third.wall_clock().jump(-jump);
        EXPECT_TRUE(put(third, "set right" + std::to_string(jump.count())).ok());
        EXPECT_EQ(metric(third, "starling_clock_fenced"), 0);
    }
    EXPECT_EQ(metric(third, "starling_clock_fence_refusals_total"), 2);
    EXPECT_EQ(metric(first, "starling_clock_fence_refusals_total"), 0);
}

TEST_F(NodePoliciesTest, ANodeThatComesBackWithAWrongClockIsFencedFromTheStart) {
    ASSERT_NO_FATAL_FAILURE(form(ConflictPolicy::last_write_wins));
    third.crash();
    third.wall_clock().jump(seconds(20));
    third.start_and_serve();
    // Before, others take its writes.
    world.scheduler.run_for(SetBackGuard::patience);
    for (int i = 0; i < 20; ++i) {
        const absl::Status refused = put(third, std::to_string(i)).status();
        EXPECT_EQ(base::reason_of(refused), base::reason::clock_fenced) << refused;
        world.scheduler.run_for(milliseconds(500));
    }
    EXPECT_THAT(first.values("k", "special"), IsEmpty());
}

TEST_F(NodePoliciesTest, AStaleWriteIsRefusedThroughWhateverNodeItComes) {
    ASSERT_NO_FATAL_FAILURE(form(ConflictPolicy::reject_stale));
    ASSERT_TRUE(put(first, "one").ok());
    const auto read = second.get("k", "special");
    ASSERT_TRUE(read.ok());
    ASSERT_TRUE(put(second, "two", read->context).ok());
    for (Machine* machine : machines()) {
        expect_error(put(*machine, "stale", read->context).status(),
                     StatusCode::kAborted,
                     base::reason::stale_context,
                     "read the key");
        expect_error(put(*machine, "without").status(),
                     StatusCode::kAborted,
                     base::reason::stale_context,
                     "read the key");
        EXPECT_THAT(machine->values("k", "special"), ElementsAre("two"));
    }
}

}  // namespace
}  // namespace starling::node
