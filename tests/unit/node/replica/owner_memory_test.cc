#include "node/replica/owner_memory.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "node/replica/storage_keys.h"
#include "tests/unit/node/replica/fake_owners.h"
#include "tests/unit/node/replica/store_rig.h"
#include "tests/unit/node/version/builders.h"

namespace starling::node {
namespace {

using testing::dot;
using testing::frontier;
using testing::group;

constexpr base::NodeId owner{2};
constexpr base::NodeId other{3};
const GroupId here = group(1);

struct OwnerMemoryTest : ::testing::Test {
    // As the next life of the node finds it.
    OwnerMemory next_life() {
        memory.save(rig.store.commits());
        OwnerMemory next;
        EXPECT_TRUE(next.load(rig.engine).ok());
        return next;
    }

    testing::StoreRig rig;
    OwnerMemory memory;
};

TEST_F(OwnerMemoryTest, WhatAnOwnerToldIsKnownInTheNextLife) {
    const OwnerMemory::Told told{.tenure = 5, .epoch = 1, .frontier = frontier({dot(2, 1)})};
    memory.note(here, owner, told);
    const OwnerMemory next = next_life();
    ASSERT_NE(next.told(here, owner), nullptr);
    EXPECT_EQ(*next.told(here, owner), told);
    EXPECT_EQ(next.told(here, other), nullptr);
    EXPECT_EQ(next.told(group(2), owner), nullptr);
}

TEST_F(OwnerMemoryTest, WhatIsToldLaterAddsToItAndALateReportTakesNothingAway) {
    memory.note(here, owner, {.tenure = 5, .epoch = 0, .frontier = frontier({dot(2, 1)})});
    memory.note(here, owner, {.tenure = 5, .epoch = 0, .frontier = frontier({dot(3, 1)})});
    memory.note(here, owner, {.tenure = 5, .epoch = 0, .frontier = {}});
    EXPECT_EQ(next_life().told(here, owner)->frontier, frontier({dot(2, 1), dot(3, 1)}));
}

TEST_F(OwnerMemoryTest, ALaterEpochTakesThePlaceOfAnEarlierOneAndNotTheOtherWayRound) {
    memory.note(here, owner, {.tenure = 5, .epoch = 1, .frontier = frontier({dot(2, 1)})});
    const OwnerMemory::Told refilled{.tenure = 5, .epoch = 2, .frontier = frontier({dot(3, 1)})};
    memory.note(here, owner, refilled);
    memory.note(here, owner, {.tenure = 5, .epoch = 1, .frontier = frontier({dot(2, 2)})});
    EXPECT_EQ(*next_life().told(here, owner), refilled);
}

TEST_F(OwnerMemoryTest, WhatItToldAsTheHolderOfOtherSeatsIsForgotten) {
    memory.note(here, owner, {.tenure = 5, .epoch = 3, .frontier = frontier({dot(2, 1)})});
    const OwnerMemory::Told now{.tenure = 6, .epoch = 3, .frontier = frontier({dot(3, 1)})};
    memory.note(here, owner, now);
    EXPECT_EQ(*next_life().told(here, owner), now);
}

TEST_F(OwnerMemoryTest, AGroupThatIsGivenAwayIsForgottenOnTheDiskToo) {
    memory.note(here, owner, {.tenure = 5, .epoch = 0, .frontier = frontier({dot(2, 1)})});
    next_life();
    memory.forget(here);
    EXPECT_EQ(next_life().told(here, owner), nullptr);
    EXPECT_FALSE(rig.engine.get(storage_keys::owners(here), nullptr)->has_value());
}

TEST_F(OwnerMemoryTest, WhatTheEngineRefusesIsWrittenTheNextTime) {
    memory.note(here, owner, {.tenure = 5, .epoch = 0, .frontier = frontier({dot(2, 1)})});
    rig.engine.write_error = absl::UnavailableError("stalled");
    EXPECT_EQ(next_life().told(here, owner), nullptr);
    rig.engine.write_error = absl::OkStatus();
    EXPECT_NE(next_life().told(here, owner), nullptr);
}

TEST_F(OwnerMemoryTest, NothingIsWrittenWhileNothingChanges) {
    const OwnerMemory::Told told{.tenure = 5, .epoch = 0, .frontier = frontier({dot(2, 1)})};
    memory.note(here, owner, told);
    next_life();
    rig.engine.batches.clear();
    memory.note(here, owner, told);
    next_life();
    EXPECT_TRUE(rig.engine.batches.empty());
}

TEST_F(OwnerMemoryTest, AnEntryThatDoesNotDecodeIsAnError) {
    storage::WriteBatch batch;
    batch.put(storage_keys::owners(here), "nonsense");
    ASSERT_TRUE(rig.store.commits().apply(batch).ok());
    EXPECT_TRUE(absl::IsDataLoss(OwnerMemory().load(rig.engine)));
}

RC_GTEST_PROP(OwnerMemoryCodecTest,
              OwnersAreReadBackAsWrittenAndNothingShorterIsRead,
              (const std::map<uint64_t, std::tuple<uint64_t, uint64_t, uint8_t>>& drawn)) {
    OwnerMemory::Owners owners;
    for (const auto& [node, told] : drawn) {
        OwnerMemory::Told& at = owners[base::NodeId(node)];
        at.tenure = std::get<0>(told);
        at.epoch = std::get<1>(told);
        for (uint64_t sequence = 1; sequence <= std::get<2>(told); sequence += 1 + sequence % 3)
            at.frontier.add(dot(node % 5 + 1, sequence));
    }
    const std::string bytes = OwnerMemory::encode(owners);
    const auto read = OwnerMemory::decode(bytes);
    RC_ASSERT(read.ok());
    RC_ASSERT(*read == owners);
    for (size_t length = 0; length < bytes.size(); ++length)
        RC_ASSERT(!OwnerMemory::decode(std::string_view(bytes).substr(0, length)).ok());
}

// Standings over two lives of the node: `told` in the first, asked in the second.
TEST_F(OwnerMemoryTest, AnOwnerIsToldInTheNextLifeWhatItHadTold) {
    testing::FakeOwners owners;
    owners.owners = {{Owner{owner, 5}}};
    GoneHorizon horizon{1000};
    const Frontier seen = frontier({dot(2, 1), dot(2, 2)});
    {
        HintStore hints{rig.store.commits(), rig.engine, 1 << 20};
        Standings standings{rig.store, hints, horizon, owners};
        OwnerReport report{.tenure = 5, .wall_ms = 1, .asks = 0, .known = {}};
        report.known.frontier = seen;
        standings.note_report(here, owner, report);
        standings.save_memory();
    }
    HintStore hints{rig.store.commits(), rig.engine, 1 << 20};
    Standings standings{rig.store, hints, horizon, owners};
    ASSERT_TRUE(standings.load().ok());
    EXPECT_EQ(standings.remembered(here, owner).value().frontier, seen);
    EXPECT_TRUE(rig.store.stable(here).empty()) << "nothing is concluded from it";
    owners.owners = {{Owner{owner, 6}}};
    EXPECT_TRUE(standings.remembered(here, owner).value().frontier.empty())
        << "it holds other seats now";
    owners.owners = std::nullopt;
    EXPECT_EQ(standings.remembered(here, owner), std::nullopt) << "it may have told more";
    owners.owners = {{Owner{base::NodeId(77), 6}}};
    EXPECT_EQ(standings.remembered(here, owner), std::nullopt);
}

}  // namespace
}  // namespace starling::node
