#include "node/replica/dot_index.h"

#include <algorithm>
#include <iterator>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "node/replica/standing.h"
#include "node/replica/storage_keys.h"
#include "tests/unit/node/replica/fake_owners.h"
#include "tests/unit/node/replica/store_rig.h"

namespace starling::node {
namespace {

using ::testing::AllOf;
using testing::dot;
using ::testing::Each;
using ::testing::ElementsAre;
using testing::frontier;
using testing::group;
using ::testing::IsEmpty;
using testing::key;
using ::testing::Le;
using ::testing::Not;

const GroupId here = group(1);
constexpr uint64_t many = 2 * DotIndex::removals_per_batch + 100;

struct DotIndexTest : ::testing::Test {
    // Writes `count` keys here, all by node 7.
    void write(uint64_t count) {
        for (uint64_t i = 0; i < count; ++i)
            rig.write(here, key("k" + std::to_string(i)), 7, "value");
        rig.settle();
    }
    uint64_t entries() {
        const std::string prefix = storage_keys::indexed_dots_prefix(here);
        const auto iterator = rig.engine.new_iterator(
            {.lower = prefix, .upper = storage_keys::prefix_end(prefix), .snapshot = nullptr});
        uint64_t count = 0;
        for (iterator->seek_to_first(); iterator->valid(); iterator->next())
            ++count;
        return count;
    }
    // How many changes each batch since then had.
    std::vector<size_t> batches() {
        std::vector<size_t> counts;
        std::transform(rig.engine.batches.begin(),
                       rig.engine.batches.end(),
                       std::back_inserter(counts),
                       [](const storage::WriteBatch& batch) { return batch.count(); });
        return counts;
    }
    const Frontier& seen() { return rig.store.frontier(here); }

    testing::StoreRig rig;
};

TEST_F(DotIndexTest, AFewDotsLeaveAtOnce) {
    write(3);
    rig.engine.batches.clear();
    rig.store.set_stable(here, seen());
    EXPECT_EQ(rig.store.stable(here), seen());
    EXPECT_EQ(entries(), 0u);
    EXPECT_THAT(batches(), ElementsAre(3u));
}

TEST_F(DotIndexTest, ManyLeaveInBatchesThatAnEngineTakes) {
    write(many);
    rig.engine.batches.clear();
    rig.store.set_stable(here, seen());
    EXPECT_TRUE(rig.store.stable(here).empty()) << "contexts would be stripped of indexed dots";
    rig.settle();
    EXPECT_EQ(rig.store.stable(here), seen());
    EXPECT_EQ(entries(), 0u);
    EXPECT_THAT(batches(), AllOf(Not(IsEmpty()), Each(Le(DotIndex::removals_per_batch))));
}

TEST_F(DotIndexTest, WhatIsNotStableStays) {
    write(many);
    Frontier stable;
    for (uint64_t sequence = 1; sequence <= many - 1; ++sequence)
        stable.add(dot(7, sequence));
    rig.store.set_stable(here, stable);
    rig.settle();
    EXPECT_EQ(rig.store.stable(here), stable);
    EXPECT_TRUE(
        rig.engine.get(storage_keys::indexed_dot(here, dot(7, many)), nullptr)->has_value());
    EXPECT_EQ(entries(), 1u);
}

TEST_F(DotIndexTest, AnEngineThatTakesOneBatchAtATimeIsEmptiedAllTheSame) {
    write(many);
    rig.store.set_stable(here, seen());
    ASSERT_TRUE(rig.workers.run_one());
    rig.run_tasks();
    rig.engine.write_error = absl::UnavailableError("stalled");
    rig.settle();
    EXPECT_TRUE(rig.store.stable(here).empty());
    EXPECT_EQ(entries(), many - DotIndex::removals_per_batch);
    rig.engine.write_error = absl::OkStatus();
    rig.store.set_stable(here, seen());
    rig.settle();
    EXPECT_EQ(rig.store.stable(here), seen());
    EXPECT_EQ(entries(), 0u);
}

TEST_F(DotIndexTest, AfterAStartOnlyWhatIsLeftIsRemoved) {
    write(3);
    rig.store.set_stable(here, seen());
    write(2);
    ReplicaStore again{rig.loop, rig.workers, rig.engine};
    ASSERT_TRUE(again.load().ok());
    rig.settle();
    rig.engine.batches.clear();
    again.set_stable(here, again.frontier(here));
    rig.settle();
    EXPECT_EQ(again.stable(here), again.frontier(here));
    EXPECT_EQ(entries(), 0u);
    EXPECT_THAT(batches(), ElementsAre(2u));
}

TEST_F(DotIndexTest, TheManyDotsOfASealedLifeLeaveWithTheNextThatIsStable) {
    write(many);
    Frontier sealed = seen();
    sealed.seal(base::NodeId(7), 2);
    rig.engine.batches.clear();
    rig.store.unite_frontier(here, sealed, [](const absl::Status&) {});
    EXPECT_THAT(batches(), Each(Le(DotIndex::removals_per_batch)));
    EXPECT_EQ(entries(), many);
    // Nothing is known to be stable yet, but of a sealed life all owners have seen the same.
    rig.engine.write_error = absl::UnavailableError("stalled");
    rig.store.set_stable(here, {});
    rig.settle();
    EXPECT_EQ(entries(), many);
    rig.engine.write_error = absl::OkStatus();
    rig.store.set_stable(here, {});
    rig.settle();
    EXPECT_EQ(entries(), 0u);
}

TEST_F(DotIndexTest, AGroupThatIsDroppedMeanwhileIsLeftAlone) {
    write(many);
    rig.store.set_stable(here, seen());
    absl::Status dropped = absl::UnknownError("no answer");
    rig.store.drop(here, [&](const absl::Status& status) { dropped = status; });
    rig.run_tasks();
    while (rig.workers.size() > 1) {
        rig.workers.run_last();
        rig.run_tasks();
    }
    ASSERT_TRUE(dropped.ok()) << dropped;
    // Filled again: what it holds now some owner may miss.
    const Dot filled = dot(7, 1);
    rig.store.update(
        here,
        key("k"),
        [filled](Record& record, Frontier& frontier) {
            record = mint(record, {}, testing::write(filled, 1, "value"));
            frontier.add(filled);
            return absl::OkStatus();
        },
        nullptr,
        [](const absl::Status&) {});
    rig.settle();
    EXPECT_TRUE(rig.store.stable(here).empty());
    EXPECT_TRUE(rig.engine.get(storage_keys::indexed_dot(here, filled), nullptr)->has_value());
    rig.store.set_stable(here, seen());
    EXPECT_EQ(entries(), 0u) << "the new group's index is not being read";
}

TEST_F(DotIndexTest, TheOnlyOwnerTriesAgainWhatTheEngineRefused) {
    testing::FakeOwners owners;
    HintStore hints{rig.store.commits(), rig.engine, 1 << 20};
    GoneHorizon horizon{1000};
    Standings standings{rig.store, hints, horizon, owners};
    write(1);
    rig.engine.write_error = absl::UnavailableError("stalled");
    standings.look_at_own(here);
    rig.settle();
    EXPECT_TRUE(rig.store.stable(here).empty());
    rig.engine.write_error = absl::OkStatus();
    standings.look_at_own(here);
    rig.settle();
    EXPECT_EQ(rig.store.stable(here), seen());
}

}  // namespace
}  // namespace starling::node
