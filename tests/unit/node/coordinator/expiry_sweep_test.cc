#include "node/coordinator/expiry_sweep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "node/version/expiry.h"
#include "tests/unit/node/coordinator/rig.h"

namespace starling::node {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Kind = peer::ReplicaMessage;
using testing::CoordinatorRig;
using testing::dot;
using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;
using testing::values;

// Of CoordinatorOptions.
constexpr base::Duration drift = seconds(10);
constexpr base::Duration ttl = seconds(30);

struct ExpirySweepTest : ::testing::Test {
    explicit ExpirySweepTest(CoordinatorOptions options = {}) : rig(3, true, options) {
        hear();
        sweep.start();
    }
    ~ExpirySweepTest() override { sweep.stop(); }

    // The others say what their clocks show, which is what this node's should.
    void hear() {
        const uint64_t true_ms =
            base::to_unix_ms(testing::start_of_run + rig.store_rig.scheduler.now());
        for (const uint8_t seat : {uint8_t{1}, uint8_t{2}}) {
            rig.clock_fence.heard(rig.holder(seat), true_ms, rig.store_rig.loop.now());
        }
    }
    void pass(base::Duration span) {
        constexpr base::Duration step = milliseconds(500);
        for (; span > base::Duration::zero(); span -= step) {
            hear();
            rig.pass(std::min(span, step));
        }
    }
    uint64_t now_ms() const { return base::to_unix_ms(rig.wall_clock.wall_now()); }

    // As if another coordinator had written it: all that expires does so `in` from now.
    Dot put(const std::string& name, base::Duration in, uint64_t request = 0) {
        const Dot by = rig.store_rig.next_dot(testing::the_group, 77);
        NewWrite write = testing::write(by, request == 0 ? by.sequence : request, name);
        write.request.created_ms = now_ms();
        write.expires_ms = now_ms() + static_cast<uint64_t>(in / milliseconds(1));
        change(name, [&](Record& record) { record = mint(record, {}, write); }, by);
        return by;
    }
    void change(const std::string& name, const std::function<void(Record&)>& how, const Dot& by) {
        rig.store_rig.store.update(
            testing::the_group,
            testing::key(name),
            [&](Record& record, Frontier& frontier) {
                how(record);
                frontier.add(by);
                return absl::OkStatus();
            },
            nullptr,
            [](const absl::Status&) {});
        rig.settle();
    }
    std::vector<std::string> stored(const std::string& name) { return values(*rig.stored(name)); }

    CoordinatorRig rig;
    ExpirySweep sweep{rig.coordinator.context()};
};

TEST_F(ExpirySweepTest, AValueGoesWhenNoClockWithinTheBoundShowsItAnyMore) {
    put("k", ttl);
    pass(ttl + drift - seconds(1));
    EXPECT_THAT(stored("k"), ElementsAre("k"));
    pass(seconds(3));
    EXPECT_THAT(stored("k"), ElementsAre("(deleted)"));
    EXPECT_EQ(sweep.removed(), 1u);
}

TEST_F(ExpirySweepTest, TheTombstoneIsSentToEachOtherHolderOnceAsTheWriteItIs) {
    const Dot value = put("k", ttl);
    pass(ttl + drift + seconds(10));
    const auto sent = rig.take_sent();
    EXPECT_EQ(sent.size(), 2u);
    for (const uint8_t seat : {uint8_t{1}, uint8_t{2}}) {
        const auto write = rig.only(sent, rig.holder(seat), Kind::kWrite).write();
        const auto record = decode_record(write.record());
        ASSERT_TRUE(record.ok());
        EXPECT_EQ(record->siblings.front().dot, wire::get_dot(write.dot()));
        EXPECT_TRUE(record->context.covers(value));
        EXPECT_TRUE(record->is_gone(record->gone.front()));
    }
    EXPECT_EQ(rig.hints.count(), 0u);
}

TEST_F(ExpirySweepTest, ASequenceIsUsedForEachRemovalAndNoOther) {
    put("a", ttl);
    put("b", ttl);
    pass(ttl + drift + seconds(3));
    EXPECT_EQ(rig.store_rig.store.upcoming_sequence(testing::the_group), 3u);
    EXPECT_EQ(rig.store_rig.store.frontier(testing::the_group).gap_count(), 0u);
    const PutResult next = rig.put_everywhere("c", "value");
    EXPECT_EQ(next.dot.sequence, 3u);
}

TEST_F(ExpirySweepTest, OnlyTheExpiredSiblingGoes) {
    put("k", ttl, 10);
    put("k", hours(1), 11);
    pass(ttl + drift + seconds(3));
    EXPECT_THAT(stored("k"), UnorderedElementsAre("k", "(deleted)"));
    EXPECT_EQ(sweep.removed(), 1u);
}

TEST_F(ExpirySweepTest, ManyValuesGoPageByPage) {
    const size_t count = ExpirySweep::page_values_max + 10;
    for (size_t i = 0; i < count; ++i)
        put("k" + std::to_string(i), ttl);
    pass(ttl + drift - milliseconds(500));
    rig.take_sent();
    while (sweep.removed() == 0) {
        hear();
        rig.pass(milliseconds(10));
    }
    EXPECT_EQ(sweep.removed(), ExpirySweep::page_values_max);
    rig.pass(ExpirySweep::page_interval);
    EXPECT_EQ(sweep.removed(), count);
}

TEST_F(ExpirySweepTest, AHolderBehindALiveOneWaitsForItsTurn) {
    rig.set_holder(0, rig.holder(1));
    rig.set_holder(1, rig.peers.node);
    put("k", ttl);
    pass(ttl + drift + ExpirySweep::turn - seconds(1));
    EXPECT_EQ(sweep.removed(), 0u);
    pass(ExpirySweep::jitter_max + seconds(3));
    EXPECT_EQ(sweep.removed(), 1u);
}

// Its clock may be days ahead, as after a boot without network.
TEST_F(ExpirySweepTest, ANodeThatHearsNobodyRemovesNothing) {
    for (const uint8_t seat : {uint8_t{1}, uint8_t{2}})
        rig.set_health(rig.holder(seat), PeerHealth::dead);
    put("k", ttl);
    rig.wall_clock.jump(hours(50));
    pass(seconds(60));
    EXPECT_EQ(sweep.removed(), 0u);
    EXPECT_THAT(stored("k"), ElementsAre("k"));
}

TEST_F(ExpirySweepTest, AHolderBehindADeadOneDoesNot) {
    rig.set_holder(0, rig.holder(1));
    rig.set_holder(1, rig.peers.node);
    rig.set_health(rig.holder(0), PeerHealth::dead);
    put("k", ttl);
    pass(ttl + drift + seconds(2));
    EXPECT_EQ(sweep.removed(), 1u);
}

TEST_F(ExpirySweepTest, WhoHoldsNoSeatRemovesNothing) {
    put("k", ttl);
    rig.peers.held = {};
    pass(ttl + drift + seconds(60));
    EXPECT_EQ(sweep.removed(), 0u);
    rig.peers.held = rig.seat(0);
    pass(ExpirySweep::pause + seconds(2));
    EXPECT_EQ(sweep.removed(), 1u);
}

TEST_F(ExpirySweepTest, ANodeWhoseClockIsFarAheadRemovesNothing) {
    put("k", hours(1));
    rig.wall_clock.jump(hours(2));
    pass(seconds(60));
    EXPECT_EQ(sweep.removed(), 0u);
    rig.wall_clock.jump(-hours(2));
    pass(seconds(60));
    EXPECT_EQ(sweep.removed(), 0u);
    EXPECT_THAT(stored("k"), ElementsAre("k"));
}

TEST_F(ExpirySweepTest, AValueThatWasReplacedMeanwhileIsNotTouched) {
    put("k", ttl);
    rig.put_everywhere("k", "plain");
    pass(ttl + drift + seconds(5));
    EXPECT_THAT(stored("k"), ElementsAre("plain"));
    EXPECT_EQ(sweep.removed(), 0u);
}

TEST_F(ExpirySweepTest, AValueThatHidesAYoungerOneStays) {
    const Dot younger = rig.store_rig.next_dot(testing::the_group, 88);
    change(
        "k",
        [&](Record& record) { record = mint({}, {}, testing::write(younger, 1'000'000'000, "y")); },
        younger);
    const Dot older = rig.store_rig.next_dot(testing::the_group, 88);
    NewWrite write = testing::write(older, 10, "older");
    write.expires_ms = now_ms() + 1'000;
    change("k", [&](Record& record) { record = mint_over(record, write); }, older);
    pass(drift + seconds(60));
    EXPECT_THAT(stored("k"), UnorderedElementsAre("y", "older"));
    put("other", ttl);
    pass(ttl + drift + ExpirySweep::pause + seconds(5));
    EXPECT_THAT(stored("other"), ElementsAre("(deleted)")) << "it holds up no others";
}

TEST_F(ExpirySweepTest, AWriteTheEngineRefusesIsSentToNobodyAndTriedAgain) {
    put("k", ttl);
    rig.store_rig.engine.write_error = absl::UnavailableError("stalled");
    pass(ttl + drift + seconds(3));
    EXPECT_EQ(sweep.removed(), 0u);
    EXPECT_EQ(rig.count(rig.take_sent(), Kind::kWrite), 0u);
    EXPECT_EQ(rig.store_rig.store.upcoming_sequence(testing::the_group), 1u);
    rig.store_rig.engine.write_error = absl::OkStatus();
    pass(ExpirySweep::pause + seconds(2));
    EXPECT_EQ(sweep.removed(), 1u);
}

}  // namespace
}  // namespace starling::node
