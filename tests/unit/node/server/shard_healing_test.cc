#include "node/server/shard_healing.h"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/node/entropy/fakes.h"
#include "tests/unit/node/replica/fake_owners.h"
#include "tests/unit/node/replica/store_rig.h"

namespace starling::node {
namespace {

using std::chrono::seconds;
using testing::dot;
using ::testing::Each;
using ::testing::ElementsAre;
using testing::group;
using ::testing::IsEmpty;
using testing::key;
using testing::StoreRig;

constexpr base::PartitionId here(1);
constexpr base::NodeId away(9);

// One that holds what it has alone, and drops at once, unless the test says otherwise.
class FakeShard final : public ShardHealing::Surroundings, public SetBackGuard::Host {
  public:
    absl::Status drop_status;
    std::vector<GroupId> dropped;
    std::map<GroupId, std::vector<base::NodeId>> others;
    std::set<GroupId> unneeded;
    std::set<base::PartitionId> changed;
    // Of the questions of the healer.
    uint64_t question = 0;
    bool has_checked = false;
    std::function<void()> asked_last;
    bool is_resting = true;
    ShardHealing* healing = nullptr;
    Standings* standings = nullptr;

    std::map<GroupId, std::vector<base::NodeId>> other_holders(base::PartitionId) const override {
        return others;
    }
    std::vector<base::NodeId> seats_of_others(GroupId) const override { return {}; }
    bool are_holders_known(GroupId) const override { return true; }
    bool has_other_members() const override { return false; }
    bool holds_seat(base::PartitionId) const override { return true; }
    bool is_dead(base::NodeId) const override { return false; }
    void ask_counting(GroupId, base::NodeId, uint64_t asked, bool checks) override {
        question = asked;
        has_checked = has_checked || checks;
        if (has_checked && !checks) asked_last();
    }
    void end_syncs(base::PartitionId) override {}
    void put_facts(storage::WriteBatch&) const override {}
    bool needs_data(GroupId group) const override { return !unneeded.contains(group); }
    bool is_filling(base::PartitionId) const override { return false; }
    void end_moves(base::PartitionId) override {}
    void let_go(base::PartitionId) override {}
    bool is_held_at_rest(base::PartitionId) const override { return is_resting; }
    void drop_groups(std::vector<GroupId> groups, ShardHealing::Done done) override {
        dropped.insert(dropped.end(), groups.begin(), groups.end());
        done(groups.empty() ? absl::OkStatus() : drop_status);
    }
    uint32_t replicas_max() const override { return 3; }
    void healing_changed(base::PartitionId partition) override { changed.insert(partition); }
    void log(std::string_view, std::string_view) override {}

    bool has_groups(base::PartitionId) const override { return !others.empty(); }
    void ask_remembered(GroupId, base::NodeId) override {}
    uint64_t epoch() const override { return standings->epoch(); }
    void begin_epoch_after(uint64_t told,
                           const std::set<base::PartitionId>& set_back,
                           absl::AnyInvocable<void(absl::Status)> done) override {
        storage::WriteBatch batch;
        healing->put_set_back(batch, set_back);
        standings->begin_epoch_after(told, std::move(batch), std::move(done));
    }
    void take_over(base::PartitionId,
                   base::NodeId,
                   absl::AnyInvocable<void(absl::Status)>) override {}
    void verdict_changed(base::PartitionId) override {}
    void unmark(base::PartitionId partition, absl::AnyInvocable<void(absl::Status)> done) override {
        healing->unmark(partition, std::move(done));
    }
};

struct ShardHealingTest : ::testing::Test {
    ShardHealingTest() {
        shard.healing = &healing;
        shard.standings = &standings;
        EXPECT_TRUE(hints.load().ok());
        EXPECT_TRUE(standings.load().ok());
        EXPECT_TRUE(healing.load().ok());
        shard.asked_last = [this] { rig.loop.post([this] { answer_that_it_counts(); }); };
    }
    ~ShardHealingTest() override {
        healing.stop();
        guard.stop();
    }
    void run_for(base::Duration span) {
        const env::SimTime end = rig.scheduler.now() + span;
        bool is_over = false;
        rig.loop.schedule_after(span, [&] { is_over = true; });
        while (!is_over && rig.scheduler.now() <= end) {
            while (rig.workers.run_one()) {
            }
            rig.scheduler.run_one();
        }
    }
    void keep_hint(const std::string& name) {
        hints.keep(hint(name), "a record", [](const absl::Status&) {});
        rig.settle();
        ASSERT_TRUE(hints.contains(hint(name)));
    }
    static HintKey hint(const std::string& name) {
        return {.group = group(1), .seat = base::SeatIndex(1), .dot = dot(2, 1), .key = key(name)};
    }
    // The tables that have all hints cannot be read, and with them these are gone.
    void damage_hints(const std::vector<HintKey>& lost) {
        storage::WriteBatch batch;
        for (const HintKey& each : lost)
            batch.remove(storage_keys::hint(each));
        ASSERT_TRUE(rig.engine.write(batch, {}).ok());
        rig.engine.damaged = {
            {.first = storage_keys::hints_begin(), .last = storage_keys::hints_end()}};
    }
    // Another node holds the group, too.
    void damage_records() {
        rig.write(group(1), key("a"), 1, "value");
        rig.settle();
        shard.others = {{group(1), {away}}};
        const std::string records = storage_keys::record_prefix(group(1));
        rig.engine.damaged = {{.first = records, .last = storage_keys::prefix_end(records)}};
    }
    void answer_that_it_counts() {
        healing.told_counting(group(1), away, shard.question, true, rig.store.frontier(group(1)));
    }

    StoreRig rig;
    HintStore hints{rig.store.commits(), rig.engine, 1 << 20};
    GoneHorizon horizon{1000};
    testing::FakeOwners owners;
    Standings standings{rig.store, hints, horizon, owners};
    FakeRandom random{1};
    FakeShard shard;
    SetBackGuard guard{shard, rig.loop, base::Duration::zero()};
    ShardHealing healing{{.shard = shard,
                          .store = rig.store,
                          .hints = hints,
                          .standings = standings,
                          .guard = guard,
                          .loop = rig.loop,
                          .workers = rig.workers,
                          .random = random},
                         seconds(8)};
};

// For a few tries.
constexpr base::Duration enough = 10 * DamageHealer::rest_max;

TEST_F(ShardHealingTest, OfDamagedHintsThoseRemainThatCanBeRead) {
    keep_hint("lost");
    keep_hint("readable");
    damage_hints({hint("lost")});
    healing.start();
    run_for(enough);
    EXPECT_FALSE(hints.contains(hint("lost")));
    EXPECT_TRUE(hints.contains(hint("readable")));
    EXPECT_FALSE(healing.is_healing());
    EXPECT_EQ(standings.epoch(), 1u);
}

TEST_F(ShardHealingTest, AHintThatCannotBeRemovedWhenItIsGivenUpIsRemovedLater) {
    keep_hint("lost");
    damage_hints({hint("lost")});
    rig.engine.is_stalled = true;
    healing.start();
    run_for(enough);
    EXPECT_TRUE(rig.engine.damaged.empty()) << "the engine knows nothing of it any more";
    EXPECT_TRUE(hints.contains(hint("lost")));
    EXPECT_TRUE(healing.is_healing());
    rig.engine.is_stalled = false;
    run_for(enough);
    EXPECT_FALSE(hints.contains(hint("lost")));
    EXPECT_FALSE(healing.is_healing());
    EXPECT_EQ(standings.epoch(), 1u);
}

TEST_F(ShardHealingTest, AGroupThatShowsAgainIsDroppedThoughItCouldNotBeAtFirst) {
    const GroupId gone = group(7);
    storage::WriteBatch batch;
    batch.put(storage_keys::record(gone, key("old")), "what was removed");
    ASSERT_TRUE(rig.engine.write(batch, {}).ok());
    rig.engine.damaged = {{.first = storage_keys::record_prefix(gone),
                           .last = storage_keys::prefix_end(storage_keys::record_prefix(gone))}};
    shard.drop_status = absl::UnavailableError("stalled");
    healing.start();
    run_for(enough);
    EXPECT_THAT(shard.dropped, Each(gone));
    const size_t tries = shard.dropped.size();
    EXPECT_GE(tries, 1u);
    EXPECT_TRUE(healing.is_healing());
    shard.drop_status = absl::OkStatus();
    run_for(enough);
    EXPECT_THAT(shard.dropped, Each(gone));
    EXPECT_EQ(shard.dropped.size(), tries + 1);
    EXPECT_FALSE(healing.is_healing());
}

// As the disk has them: a mark that was overwritten would be missing after a crash, when what it
// speaks of is given up already.
TEST_F(ShardHealingTest, TheEndOfARefillTakesNoOtherMarkWithIt) {
    constexpr base::PartitionId set_back(2);
    damage_records();
    storage::WriteBatch batch;
    healing.put_set_back(batch, {set_back});
    healing.start();
    run_for(seconds(2));
    ASSERT_TRUE(healing.stands_still(here));
    answer_that_it_counts();
    run_for(seconds(12));
    answer_that_it_counts();
    while (ShardHealing::marked_in(rig.engine)->empty()) {
        rig.workers.run_one();
        ASSERT_TRUE(rig.scheduler.run_one());
    }
    healing.unmark(set_back, [](const absl::Status&) {});
    EXPECT_THAT(*ShardHealing::marked_in(rig.engine), ElementsAre(here));
}

// What it takes over cannot be merged with what is damaged.
TEST_F(ShardHealingTest, APartitionThatIsRefilledBecauseTheDiskWasSetBackIsHealedAllTheSame) {
    damage_records();
    guard.watch({here}, {here});
    healing.start();
    run_for(seconds(2));
    answer_that_it_counts();
    run_for(seconds(12));
    answer_that_it_counts();
    run_for(seconds(1));
    EXPECT_TRUE(rig.engine.damaged.empty()) << "not given up";
    EXPECT_TRUE(guard.is_refilling(here));
}

// Its drop meets the damage, and nobody else holds it.
TEST_F(ShardHealingTest, WhatIsLeftOfASeatThatWasGivenAwayHoldsUpNoHealing) {
    const GroupId given_away{.partition = here, .replicas = 1};
    rig.write(given_away, key("old"), 2, "value");
    shard.unneeded = {given_away};
    damage_records();
    healing.start();
    run_for(seconds(2));
    EXPECT_TRUE(healing.stands_still(here));
    answer_that_it_counts();
    run_for(seconds(12));
    answer_that_it_counts();
    run_for(seconds(1));
    EXPECT_TRUE(rig.engine.damaged.empty()) << "not given up";
}

TEST_F(ShardHealingTest, WhatMayBeMarkedOnTheDiskCountsNoMore) {
    damage_records();
    healing.start();
    run_for(seconds(2));
    answer_that_it_counts();
    run_for(seconds(12));
    rig.engine.sync_error = absl::UnavailableError("the sync failed");
    answer_that_it_counts();
    run_for(seconds(1));
    EXPECT_THAT(*ShardHealing::marked_in(rig.engine), ElementsAre(here));
    EXPECT_FALSE(guard.counts(here));
    EXPECT_FALSE(rig.engine.damaged.empty()) << "given up";
}

}  // namespace
}  // namespace starling::node
