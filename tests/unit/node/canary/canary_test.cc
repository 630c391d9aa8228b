// The canary over a node that keeps its promises, and over nodes that break one each.

#include "node/canary/canary.h"

#include <functional>
#include <map>
#include <set>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "env/sim/clock.h"
#include "env/sim/loop.h"
#include "ring/placement.h"

namespace starling::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr uint32_t partitions = 4;
constexpr base::NodeId self{0x20};

// A register for each key, of one value or none, unless the test breaks it.
class FakeNode final : public KvService, public AdminService {
  public:
    // What a get finds in place of what is there; by key, all values ever put in order.
    using History = std::vector<std::string>;
    std::function<std::vector<std::string>(const std::string& key, std::vector<std::string> now)>
        on_get = [](const std::string&, std::vector<std::string> now) { return now; };
    absl::Status error;
    // Where set, writes of the future are refused.
    std::function<uint64_t()> now_ms;

    void put(PutRequest request, PutCallback done) override {
        puts.push_back(request);
        if (now_ms && request.request.created_ms > now_ms() + 5000) {
            done(base::make_error(
                absl::StatusCode::kUnavailable, base::reason::clock_drift, "of the future"));
            return;
        }
        if (!error.ok()) {
            done(error);
            return;
        }
        history[request.key].push_back(request.value);
        values[request.key] = request.is_delete ? "" : request.value;
        done(PutResult{});
    }
    void get(GetRequest request, GetCallback done) override {
        gets.push_back(request);
        if (!error.ok()) {
            done(error);
            return;
        }
        std::vector<std::string> now;
        if (const auto found = values.find(request.key);
            found != values.end() && !found->second.empty()) {
            now.push_back(found->second);
        }
        GetResult result;
        for (std::string& value : on_get(request.key, std::move(now))) {
            result.values.push_back({.value = std::move(value)});
        }
        done(std::move(result));
    }
    void join(std::string, Callback<Joined>) override { FAIL(); }
    void status(Callback<StatusReport> done) override {
        StatusReport report;
        for (const base::NodeId member : members) {
            report.members.push_back(
                {.node = member, .liveness = dead.contains(member) ? "dead" : "alive"});
        }
        done(std::move(report));
    }
    void ring(Callback<std::vector<RingPartition>>) override { FAIL(); }
    void create_namespace(NamespaceInfo info, Callback<NamespaceInfo> done) override {
        if (!namespace_error.ok()) {
            done(namespace_error);
            return;
        }
        info.id = base::NamespaceId(0xabc);
        namespaces.push_back(info);
        done(info);
    }
    void list_namespaces(Callback<std::vector<NamespaceInfo>> done) override { done(namespaces); }
    void inspect_replica(InspectRequest, Callback<InspectResult>) override { FAIL(); }
    void list_conflicts(ConflictQuery, Callback<ConflictPage>) override { FAIL(); }

    std::vector<base::NodeId> members = {self, base::NodeId(0x30)};
    std::set<base::NodeId> dead;
    absl::Status namespace_error;
    std::vector<NamespaceInfo> namespaces;
    std::map<std::string, std::string> values;
    std::map<std::string, History> history;
    std::vector<PutRequest> puts;
    std::vector<GetRequest> gets;
};

struct CanaryTest : ::testing::Test {
    CanaryTest() { canary.start(); }
    void pass(base::Duration span) { scheduler.run_for(span); }

    env::SimScheduler scheduler;
    env::SimProcess process{scheduler, "node", env::SimRandom(1)};
    env::SimLoop loop{process};
    env::SimWallClock wall_clock{scheduler, base::WallTime(std::chrono::hours(1))};
    env::SimRandom random{7};
    FakeNode node;
    std::vector<std::string> log;
    Canary canary{
        {.interval = milliseconds(100), .partition_count = partitions},
        self,
        {.kv = node,
         .admin = node,
         .loop = loop,
         .random = random,
         .wall_clock = wall_clock,
         .log = [this](std::string_view, std::string_view line) { log.emplace_back(line); }}};
};

TEST_F(CanaryTest, ANodeThatKeepsItsPromisesIsNotAccused) {
    pass(minutes(2));
    EXPECT_GT(canary.counts().operations, 1000u);
    EXPECT_EQ(canary.counts().failed, 0u);
    EXPECT_EQ(canary.counts().lost_writes + canary.counts().deleted_returned +
                  canary.counts().stale_reads,
              0u);
    EXPECT_TRUE(log.empty());
}

TEST_F(CanaryTest, WritesAKeyOfEachPartitionWithMajoritiesAndWithoutStandIns) {
    pass(seconds(10));
    std::map<std::string, int> keys;
    for (const PutRequest& put : node.puts) {
        ++keys[put.key];
        EXPECT_EQ(put.options.name_space, "id:abc");
        EXPECT_EQ(put.options.quorum, 2u);
        EXPECT_EQ(put.options.sloppy, false);
        EXPECT_FALSE(put.request.is_none());
    }
    std::vector<bool> partitions_seen(partitions);
    for (const auto& [key, count] : keys) {
        partitions_seen[ring::partition_of(key, partitions).raw()] = true;
    }
    EXPECT_THAT(keys, SizeIs(partitions));
    EXPECT_EQ(partitions_seen, std::vector<bool>(partitions, true));
    EXPECT_EQ(node.gets[0].options.quorum, 2u);
    ASSERT_THAT(node.namespaces, SizeIs(1));
    EXPECT_EQ(node.namespaces[0].name, canary_namespace);
}

TEST_F(CanaryTest, AnAcknowledgedWriteThatIsDroppedIsCounted) {
    node.on_get = [](const std::string&, const std::vector<std::string>&) {
        return std::vector<std::string>();
    };
    pass(seconds(10));
    EXPECT_EQ(canary.counts().lost_writes, 0u) << "an earlier life may have replaced it";
    pass(CanaryOptions().doubt);
    EXPECT_GT(canary.counts().lost_writes, 0u);
    EXPECT_EQ(canary.counts().deleted_returned + canary.counts().stale_reads, 0u);
    ASSERT_FALSE(log.empty());
    EXPECT_THAT(log[0], HasSubstr("an acknowledged write is lost"));
    EXPECT_THAT(log[0], HasSubstr("found nothing"));
}

TEST_F(CanaryTest, ADeletedValueThatReturnsIsCounted) {
    node.on_get = [this](const std::string& key, std::vector<std::string> now) {
        const FakeNode::History& all = node.history[key];
        if (now.empty() && all.size() > 1) {
            now.push_back(all[all.size() - 2]);
        }
        return now;
    };
    pass(seconds(10));
    EXPECT_GT(canary.counts().deleted_returned, 0u);
    EXPECT_EQ(canary.counts().lost_writes + canary.counts().stale_reads, 0u);
}

TEST_F(CanaryTest, AReadThatMissesTheLastPutIsCounted) {
    node.on_get = [this](const std::string& key, std::vector<std::string> now) {
        const FakeNode::History& all = node.history[key];
        if (!now.empty() && all.size() > 1 && !all[all.size() - 2].empty()) {
            now = {all[all.size() - 2]};
        }
        return now;
    };
    pass(seconds(10));
    EXPECT_GT(canary.counts().stale_reads, 0u);
    EXPECT_EQ(canary.counts().lost_writes + canary.counts().deleted_returned, 0u);
}

TEST_F(CanaryTest, AnOutageIsNoBrokenPromiseAndItGoesOnAfterIt) {
    pass(seconds(10));
    node.error =
        base::make_error(absl::StatusCode::kUnavailable, base::reason::quorum_not_reached, "down");
    pass(minutes(3));
    EXPECT_GT(canary.counts().failed, 0u);
    node.error = absl::OkStatus();
    const size_t before = node.puts.size();
    pass(minutes(3));
    EXPECT_GT(node.puts.size(), before);
    EXPECT_TRUE(log.empty());
}

TEST_F(CanaryTest, WaitsWhileItsNodeIsAlone) {
    node.members = {self};
    pass(seconds(10));
    EXPECT_TRUE(node.puts.empty());
    EXPECT_TRUE(node.namespaces.empty());
    node.members.push_back(base::NodeId(0x30));
    pass(seconds(10));
    EXPECT_FALSE(node.puts.empty());
}

TEST_F(CanaryTest, AMemberLeavesItToTheOneBeforeItToMakeTheNamespace) {
    node.members = {base::NodeId(0x10), self};
    pass(seconds(9));
    EXPECT_TRUE(node.namespaces.empty());
    EXPECT_TRUE(node.puts.empty());
    EXPECT_FALSE(canary.has_namespace());
    NamespaceInfo made;
    made.id = base::NamespaceId(0xdef);
    made.name = canary_namespace;
    made.replicas = 5;
    node.namespaces.push_back(made);
    pass(minutes(1));
    EXPECT_THAT(node.namespaces, SizeIs(1));
    EXPECT_TRUE(canary.has_namespace());
    ASSERT_FALSE(node.puts.empty());
    EXPECT_EQ(node.puts[0].options.name_space, "id:def");
    EXPECT_EQ(node.puts[0].options.quorum, 3u);
}

TEST_F(CanaryTest, WhereNoneOfThoseBeforeItMakesTheNamespaceAMemberDoes) {
    node.members = {base::NodeId(0x8), base::NodeId(0x10), base::NodeId(0x18), self};
    node.dead = {base::NodeId(0x8)};
    pass(seconds(19));
    EXPECT_TRUE(node.namespaces.empty());
    pass(seconds(3));
    EXPECT_THAT(node.namespaces, SizeIs(1));
    pass(seconds(10));
    EXPECT_FALSE(node.puts.empty());
    EXPECT_TRUE(log.empty());
}

TEST_F(CanaryTest, ThatItHasNoNamespaceIsSaidOnce) {
    node.namespace_error =
        base::make_error(absl::StatusCode::kUnavailable, base::reason::stopping, "not now");
    pass(seconds(50));
    EXPECT_TRUE(log.empty());
    pass(minutes(10));
    ASSERT_THAT(log, SizeIs(1));
    EXPECT_THAT(log[0], HasSubstr("starling.canary"));
    EXPECT_THAT(log[0], HasSubstr("not now"));
    EXPECT_FALSE(canary.has_namespace());
    node.namespace_error = absl::OkStatus();
    pass(seconds(10));
    EXPECT_TRUE(canary.has_namespace());
    EXPECT_THAT(log, SizeIs(1));
}

TEST_F(CanaryTest, AClockThatIsSetBackALittleMakesNoWriteOlderThanTheOneBeforeIt) {
    pass(seconds(5));
    wall_clock.jump(-seconds(2));
    pass(seconds(5));
    uint64_t last = 0;
    for (const PutRequest& put : node.puts) {
        EXPECT_GE(put.request.created_ms, last);
        last = put.request.created_ms;
    }
}

TEST_F(CanaryTest, AfterAClockThatWasFarAheadItGoesOnOnceNoEarlierWriteMayComeToExist) {
    node.now_ms = [this] { return base::to_unix_ms(wall_clock.wall_now()); };
    pass(seconds(10));
    wall_clock.jump(std::chrono::hours(5));
    pass(seconds(10));
    EXPECT_EQ(canary.counts().failed, 0u);
    wall_clock.jump(-std::chrono::hours(5));
    pass(seconds(10));
    const uint64_t failed = canary.counts().failed;
    EXPECT_GT(failed, 0u);
    node.puts.clear();
    // For so long the clock may come back, and for so long again the keys are in doubt.
    pass(minutes(4) - seconds(20));
    EXPECT_TRUE(node.puts.empty());
    pass(minutes(1));
    EXPECT_GT(node.puts.size(), 50u);
    EXPECT_EQ(canary.counts().failed, failed);
    EXPECT_TRUE(log.empty());
}

TEST_F(CanaryTest, ANamespaceThatIsNoMoreIsLookedForAgainWithNewKeys) {
    pass(seconds(10));
    node.error =
        base::make_error(absl::StatusCode::kNotFound, base::reason::unknown_namespace, "gone");
    pass(milliseconds(150));
    node.error = absl::OkStatus();
    node.values.clear();
    node.namespaces[0].id = base::NamespaceId(0x123);
    node.puts.clear();
    pass(seconds(10));
    ASSERT_FALSE(node.puts.empty());
    EXPECT_EQ(node.puts[0].options.name_space, "id:123");
    EXPECT_TRUE(log.empty());
}

TEST_F(CanaryTest, AfterItsStopNothingBegins) {
    pass(seconds(5));
    canary.stop();
    const uint64_t before = canary.counts().operations;
    pass(seconds(5));
    EXPECT_EQ(canary.counts().operations, before);
}

}  // namespace
}  // namespace starling::node
