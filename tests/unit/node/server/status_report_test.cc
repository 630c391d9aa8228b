// What a node says of tombstones that wait for another one: in its status, metrics and warnings.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/node/server/rig.h"

namespace starling::node {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::Ge;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Lt;
using testing::Not;
using testing::UnorderedElementsAre;

class StatusReportTest : public testing::Test {
  protected:
    void form_cluster() {
        first.start_and_serve();
        uint32_t nodes = 1;
        for (Machine* joiner : {&second, &third}) {
            joiner->start_and_serve();
            ASSERT_TRUE(joiner->join(first.peer_address()).ok());
            ++nodes;
            ASSERT_TRUE(is_true_within(
                minutes(5), [&] { return first.is_settled(nodes) && joiner->is_settled(nodes); }));
        }
    }
    bool is_true_within(base::Duration limit, const std::function<bool()>& condition) {
        for (base::Duration passed{}; passed < limit; passed += seconds(1)) {
            if (condition()) return true;
            world.scheduler.run_for(seconds(1));
        }
        return condition();
    }
    void remove(const std::string& key) {
        PutRequest request = first.make_put(key, "");
        request.is_delete = true;
        const auto removed = first.put(std::move(request));
        ASSERT_TRUE(removed.ok()) << removed.status();
    }
    static std::vector<base::NodeId> waited_for(const StatusReport& report) {
        std::vector<base::NodeId> nodes;
        for (const TombstonesWaiting& waiting : report.tombstones_waiting) {
            nodes.push_back(waiting.node);
        }
        return nodes;
    }
    // That so many wait for the third node alone, since about then.
    void expect_waiting(const StatusReport& report, uint64_t tombstones, base::Duration since) {
        const auto since_ms = static_cast<uint64_t>(since / milliseconds(1));
        const std::string node = base::to_string(third_id);
        ASSERT_THAT(waited_for(report), ElementsAre(third_id));
        const TombstonesWaiting& waiting = report.tombstones_waiting.front();
        EXPECT_EQ(waiting.client_address, third.options.client_address);
        EXPECT_EQ(waiting.tombstones, tombstones);
        EXPECT_THAT(waiting.waiting_ms, AllOf(Ge(since_ms), Lt(since_ms + 10'000)));
        EXPECT_THAT(
            report.metrics,
            Contains(testing::Pair(fmt::format("starling_tombstones_waiting{{node=\"{}\"}}", node),
                                   static_cast<double>(tombstones))));
        EXPECT_THAT(report.warnings,
                    Contains(testing::StartsWith(
                        fmt::format("{} tombstones, the oldest of {} s, wait for node {}",
                                    tombstones,
                                    waiting.waiting_ms / 1000,
                                    node))));
    }
    static void expect_none_waiting(const StatusReport& report) {
        EXPECT_THAT(report.tombstones_waiting, IsEmpty());
        EXPECT_THAT(report.warnings, Each(Not(HasSubstr("tombstones"))));
        for (const auto& [name, value] : report.metrics) {
            EXPECT_THAT(name, Not(HasSubstr("starling_tombstones_waiting")));
        }
    }

    World world;
    Machine first{world, 1};
    Machine second{world, 2};
    Machine third{world, 3};
    base::NodeId third_id;
};

TEST_F(StatusReportTest, TombstonesNameTheNodeThatTheyWaitForUntilItIsBack) {
    ASSERT_NO_FATAL_FAILURE(form_cluster());
    third_id = third.node().id();
    third.crash();
    constexpr uint64_t old = 6;
    for (uint64_t i = 0; i < old; ++i) {
        ASSERT_NO_FATAL_FAILURE(remove(fmt::format("key {}", i)));
    }
    world.scheduler.run_for(minutes(1));
    expect_none_waiting(first.status());
    world.scheduler.run_for(minutes(2));
    ASSERT_NO_FATAL_FAILURE(remove("young"));
    for (Machine* machine : {&first, &second}) {
        SCOPED_TRACE(machine->peer_address());
        expect_waiting(machine->status(), old, minutes(3));
    }
    // Of what the third node has told it it knows nothing any more.
    ASSERT_TRUE(first.stop().ok());
    first.start_and_serve();
    world.scheduler.run_for(minutes(2));
    expect_waiting(first.status(), old + 1, minutes(5));
    // The first one has hints for the third of its own former life.
    EXPECT_THAT(waited_for(second.status()), UnorderedElementsAre(first.node().id(), third_id));
    third.start_and_serve();
    for (Machine* machine : {&first, &second, &third}) {
        SCOPED_TRACE(machine->peer_address());
        EXPECT_TRUE(is_true_within(
            minutes(5), [&] { return machine->status().metrics.at("starling_tombstones") == 0; }));
        expect_none_waiting(machine->status());
    }
}

}  // namespace
}  // namespace starling::node
