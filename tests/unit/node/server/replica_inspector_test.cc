// What a node tells of its own replicas.

#include <numeric>

#include <gtest/gtest.h>

#include "node/server/inspect.h"
#include "node/version/frontier.h"
#include "node/version/record.h"
#include "ring/placement.h"
#include "tests/unit/node/server/rig.h"

namespace starling::node {
namespace {

using absl::StatusCode;

class ReplicaInspectorTest : public testing::Test {
  protected:
    ReplicaInspectorTest() {
        machine.shards = 2;
        machine.start_and_serve();
    }
    absl::StatusOr<InspectResult> ask(InspectRequest request) {
        return machine.await<InspectResult>([&](auto done) {
            machine.node().inspect_replica(std::move(request), std::move(done));
        });
    }
    InspectRequest about(const std::string& key) const {
        return {.partition = ring::partition_of(key, machine.options.partition_count),
                .replicas = 3};
    }
    static std::string group_key_of(const std::string& key) {
        return group_key(base::default_namespace_id, key);
    }

    // The last life first.
    static std::vector<Dot> dots_of_lives(uint32_t count) {
        std::vector<Dot> dots;
        for (uint32_t start = count; start > 0; --start) {
            dots.push_back({.actor = {.node = base::NodeId(7), .start = start}, .sequence = 1});
        }
        return dots;
    }
    static std::string encoded(const Frontier& frontier) {
        std::string bytes;
        frontier.encode(bytes);
        return bytes;
    }

    World world;
    Machine machine{world};
};

TEST_F(ReplicaInspectorTest, TellsBucketsThenTheirKeysThenWhatAKeyIs) {
    const auto put = machine.put("k", "value");
    ASSERT_TRUE(put.ok());
    const auto buckets = ask(about("k"));
    ASSERT_TRUE(buckets.ok()) << buckets.status();
    ASSERT_EQ(buckets->buckets.size(), 256u);
    const uint64_t all = std::accumulate(buckets->buckets.begin(), buckets->buckets.end(), 0ULL);
    const auto at = std::find_if(buckets->buckets.begin(),
                                 buckets->buckets.end(),
                                 [](uint64_t digest) { return digest != 0; });
    ASSERT_NE(at, buckets->buckets.end());
    EXPECT_EQ(*at, all) << "one key, one bucket";
    EXPECT_EQ(buckets->bytes_read, 0u) << "told from memory";

    InspectRequest request = about("k");
    request.buckets = encode(BucketSet().set(static_cast<size_t>(at - buckets->buckets.begin())));
    const auto listed = ask(request);
    ASSERT_TRUE(listed.ok()) << listed.status();
    ASSERT_EQ(listed->keys.size(), 1u);
    EXPECT_EQ(listed->keys[0].key, group_key_of("k"));
    EXPECT_EQ(listed->keys[0].digest, all);
    EXPECT_EQ(listed->up_to, "");
    EXPECT_GT(listed->bytes_read, group_key_of("k").size() + 5);
    request.after = group_key_of("k");
    EXPECT_TRUE(ask(request)->keys.empty());

    request = about("k");
    request.keys = {{.key = group_key_of("absent")},
                    {.key = group_key_of("k"), .seen = {put->dot}}};
    const auto found = ask(request);
    ASSERT_TRUE(found.ok()) << found.status();
    ASSERT_EQ(found->keys.size(), 2u);
    EXPECT_EQ(found->keys[0].digest, 0u);
    EXPECT_TRUE(found->keys[0].reflects_seen) << "nothing was to be seen";
    EXPECT_EQ(found->keys[1].digest, all);
    EXPECT_EQ(found->keys[1].context, std::vector<Dot>{put->dot});
    ASSERT_EQ(found->keys[1].versions.size(), 1u);
    EXPECT_EQ(found->keys[1].versions[0].dot, put->dot);
    EXPECT_EQ(found->keys[1].versions[0].value_bytes, 5u);
    EXPECT_FALSE(found->keys[1].versions[0].is_tombstone);
    EXPECT_TRUE(found->keys[1].reflects_seen);
    EXPECT_EQ(found->bytes_read, group_key_of("absent").size() + group_key_of("k").size() + 5);
}

TEST_F(ReplicaInspectorTest, OfManyLargeRecordsItReadsTheFirstOnes) {
    InspectRequest request = about("0");
    for (int number = 0; request.keys.size() < 7; ++number) {
        const std::string key = std::to_string(number);
        if (about(key).partition != request.partition) continue;
        ASSERT_TRUE(machine.put(key, std::string(size_t{900} << 10, 'v')).ok());
        request.keys.push_back({.key = group_key_of(key), .seen = {}});
    }
    const auto first = ask(request);
    ASSERT_TRUE(first.ok()) << first.status();
    ASSERT_EQ(first->keys.size(), 5u);
    EXPECT_EQ(first->keys.back().key, request.keys[4].key);
    request.keys.erase(request.keys.begin(), request.keys.begin() + 5);
    const auto second = ask(request);
    ASSERT_TRUE(second.ok()) << second.status();
    EXPECT_EQ(second->keys.size(), 2u);
}

TEST_F(ReplicaInspectorTest, SaysWhetherItHasSeenWhatAnotherHas) {
    const auto put = machine.put("k", "value");
    ASSERT_TRUE(put.ok());
    InspectRequest request = about("k");
    Dot later = put->dot;
    ++later.sequence;
    request.keys = {{.key = group_key_of("k"), .seen = {later}},
                    {.key = group_key_of("absent"), .seen = {put->dot}}};
    request.keys.push_back({.key = group_key_of("k"), .seen = {later, put->dot}});
    const auto found = ask(request);
    ASSERT_TRUE(found.ok());
    EXPECT_FALSE(found->keys[0].reflects_seen);
    EXPECT_FALSE(found->keys[2].reflects_seen) << "of each actor the latest counts";
    EXPECT_TRUE(found->keys[1].reflects_seen) << "the frontier has it";
}

// Whether a replica has it shows in its frontier alone.
TEST_F(ReplicaInspectorTest, ADeleteThatHidesNothingIsInTheFrontierAndInNoDigest) {
    const auto before = ask(about("k"));
    ASSERT_TRUE(before.ok()) << before.status();
    PutRequest removal = machine.make_put("k", "");
    removal.is_delete = true;
    const auto removed = machine.put(removal);
    ASSERT_TRUE(removed.ok()) << removed.status();

    const auto after = ask(about("k"));
    ASSERT_TRUE(after.ok());
    EXPECT_EQ(after->buckets, before->buckets);
    EXPECT_NE(after->frontier, before->frontier);

    Frontier later;
    ASSERT_TRUE(later.add(removed->dot));
    Dot next = removed->dot;
    ++next.sequence;
    ASSERT_TRUE(later.add(next));
    InspectRequest request = about("k");
    request.frontiers = {before->frontier, after->frontier, encoded(later)};
    EXPECT_EQ(ask(request)->has_seen, (std::vector<bool>{true, true, false}));
    // Who knows of the seal knows that all replicas have seen the same of that life.
    later.seal(next.actor.node, next.actor.start + 1);
    request.frontiers = {encoded(later)};
    EXPECT_EQ(ask(request)->has_seen, std::vector<bool>{true});
}

TEST_F(ReplicaInspectorTest, RefusesWhatMakesNoSense) {
    InspectRequest request = about("k");
    request.buckets = std::string(31, '\xff');
    expect_error(ask(request).status(),
                 StatusCode::kInvalidArgument,
                 base::reason::invalid_request,
                 "bucket");
    request = about("k");
    request.frontiers = {"no frontier"};
    expect_error(ask(request).status(),
                 StatusCode::kInvalidArgument,
                 base::reason::invalid_request,
                 "frontiers");
    request.frontiers.assign(17, encoded(Frontier()));
    expect_error(
        ask(request).status(), StatusCode::kInvalidArgument, base::reason::invalid_request, "16");
    request = about("k");
    request.keys = {{.key = "short"}};
    expect_error(
        ask(request).status(), StatusCode::kInvalidArgument, base::reason::invalid_request, "keys");
    request = about("k");
    request.keys.assign(257, {.key = group_key_of("k")});
    expect_error(
        ask(request).status(), StatusCode::kInvalidArgument, base::reason::invalid_request, "256");
    request = about("k");
    request.keys = {{.key = group_key_of("k"), .seen = dots_of_lives(4097)}};
    expect_error(
        ask(request).status(), StatusCode::kInvalidArgument, base::reason::invalid_request, "4096");
    request.keys = {{.key = group_key_of("k"), .seen = dots_of_lives(4096)}};
    EXPECT_TRUE(ask(request).ok());
    request = about("k");
    request.frontiers = {encoded(Frontier()), std::string((size_t{1} << 20) + 1, '\0')};
    expect_error(ask(request).status(),
                 StatusCode::kInvalidArgument,
                 base::reason::invalid_request,
                 "one of 1048577 bytes");
    for (const uint32_t replicas : {0u, 4u}) {
        request = about("k");
        request.replicas = replicas;
        expect_error(ask(request).status(),
                     StatusCode::kInvalidArgument,
                     base::reason::invalid_request,
                     "replicas");
    }
    request = about("k");
    request.partition = base::PartitionId(16);
    expect_error(ask(request).status(),
                 StatusCode::kInvalidArgument,
                 base::reason::invalid_request,
                 "partition");
}

TEST_F(ReplicaInspectorTest, ANodeWithoutASeatSaysSo) {
    std::vector<std::unique_ptr<Machine>> others;
    for (uint32_t number = 2; number <= 5; ++number) {
        others.push_back(std::make_unique<Machine>(world, number));
        others.back()->start_and_serve();
        ASSERT_TRUE(others.back()->join(machine.peer_address()).ok());
    }
    ASSERT_TRUE(world.run_until(minutes(5), [&] { return machine.is_settled(3); }));
    int held = 0;
    int refused = 0;
    for (const auto& other : others) {
        const auto answer = other->await<InspectResult>(
            [&](auto done) { other->node().inspect_replica(about("k"), std::move(done)); });
        if (answer.ok()) {
            ++held;
        } else {
            EXPECT_EQ(base::reason_of(answer.status()), base::reason::no_owner) << answer.status();
            ++refused;
        }
    }
    EXPECT_GE(held, 2);
    EXPECT_GE(refused, 1);
}

}  // namespace
}  // namespace starling::node
