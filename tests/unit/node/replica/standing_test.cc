#include "node/replica/standing.h"

#include <map>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "node/replica/collector.h"
#include "tests/unit/node/replica/fake_owners.h"
#include "tests/unit/node/replica/store_rig.h"

namespace starling::node {
namespace {

using ::testing::Contains;
using testing::dot;
using ::testing::ElementsAre;
using testing::frontier;
using testing::group;
using ::testing::IsEmpty;
using testing::key;
using ::testing::Not;
using ::testing::Pair;
using ::testing::SizeIs;
using testing::values;

constexpr base::NodeId peer{2};
constexpr base::NodeId third{3};
constexpr base::NodeId ended{9};
const GroupId here = group(1);
constexpr uint64_t window_ms = 1000;

struct StandingTest : ::testing::Test {
    StandingTest() { owners.owners = {{Owner{peer, 5}, Owner{third, 6}}}; }

    // What the owner of that tenure says, having seen the same as this node or `seen`.
    OwnerReport report_of(uint64_t tenure, std::optional<Frontier> seen = std::nullopt) {
        OwnerReport report{.tenure = tenure, .wall_ms = owners.clock_ms, .asks = 0, .known = {}};
        report.known.frontier = seen.value_or(rig.store.frontier(here));
        return report;
    }
    // Both others say that they have seen what is here, which is durable.
    void all_report() {
        tell(peer);
        standings.note_report(here, peer, report_of(5));
        standings.note_report(here, third, report_of(6));
    }
    // This node's own report.
    OwnerReport tell(base::NodeId to) {
        absl::StatusOr<OwnerReport> told = absl::UnknownError("no report");
        standings.report(
            here, to, [&](absl::StatusOr<OwnerReport> report) { told = std::move(report); });
        rig.settle();
        EXPECT_TRUE(told.ok()) << told.status();
        return told.value_or(OwnerReport{});
    }
    Dot remove(const std::string& name, uint64_t request_ms) {
        const Dot by = rig.next_dot(here, 1);
        rig.store.update(
            here,
            key(name),
            [by, request_ms](Record& record, Frontier& seen) {
                record =
                    mint(record, Superseded::by_reading(record), testing::removal(by, request_ms));
                seen.add(by);
                return absl::OkStatus();
            },
            nullptr,
            [](const absl::Status&) {});
        rig.settle();
        return by;
    }
    uint64_t collect(uint64_t forget_before_ms) {
        absl::StatusOr<ReplicaStore::Collected> result = absl::UnknownError("no answer");
        rig.store.collect(
            here,
            0,
            forget_before_ms,
            [this](base::NamespaceId) { return latest_only; },
            [&](auto collected) { result = collected; });
        rig.settle();
        EXPECT_TRUE(result.ok()) << result.status();
        return result.ok() ? result->tombstones : 0;
    }
    absl::StatusOr<MissingPage> missing(const Frontier& seen,
                                        std::optional<Dot> after = {},
                                        RecordFingerprints sent = {},
                                        KnownDots known = KnownDots::indexed) {
        absl::StatusOr<MissingPage> page = absl::UnknownError("no answer");
        rig.store.missing(here, seen, known, after, bytes_max, std::move(sent), [&](auto found) {
            page = found;
        });
        rig.settle();
        return page;
    }
    bool has(const std::string& storage_key) {
        return rig.engine.get(storage_key, nullptr)->has_value();
    }

    size_t bytes_max = 1 << 20;
    std::optional<bool> latest_only = false;
    testing::StoreRig rig;
    HintStore hints{rig.store.commits(), rig.engine, 1 << 20};
    GoneHorizon horizon{window_ms};
    testing::FakeOwners owners;
    Standings standings{rig.store, hints, horizon, owners};
};

TEST_F(StandingTest, WhatAllOwnersHaveSeenLeavesTheIndexAndThenTheContexts) {
    const Dot first = rig.write(here, key("k"), 1, "old");
    const Dot second = rig.write(here, key("k"), 7, "new");
    rig.settle();
    EXPECT_TRUE(has(storage_keys::indexed_dot(here, first)));
    tell(peer);
    standings.note_report(here, peer, report_of(5));
    EXPECT_TRUE(rig.store.stable(here).empty()) << "one owner has said nothing";
    standings.note_report(here, third, report_of(6));
    EXPECT_EQ(rig.store.stable(here), frontier({first, second}));
    EXPECT_FALSE(has(storage_keys::indexed_dot(here, first)));
    EXPECT_FALSE(has(storage_keys::indexed_dot(here, second)));
    // The next change of the key strips what the old value was written by.
    rig.write(here, key("k"), 7, "newer");
    EXPECT_EQ(rig.read(here, key("k"))->context.sequence_of(first.actor), 0u);
}

TEST_F(StandingTest, WhatIsNotDurableHereIsNotStable) {
    tell(peer);
    rig.write(here, key("k"), 1, "value");
    standings.note_report(here, peer, report_of(5));
    standings.note_report(here, third, report_of(6));
    EXPECT_TRUE(rig.store.stable(here).empty());
}

TEST_F(StandingTest, AReportOfSeatsThatTheSenderHoldsNoMoreIsVoid) {
    rig.write(here, key("k"), 1, "value");
    rig.settle();
    tell(peer);
    standings.note_report(here, third, report_of(6));
    standings.note_report(here, peer, report_of(4));
    EXPECT_TRUE(rig.store.stable(here).empty()) << "of an earlier tenure";
    standings.note_report(here, peer, report_of(5));
    EXPECT_FALSE(rig.store.stable(here).empty());
    // It gives the seat away and takes another: it may have other data now.
    owners.owners = {{Owner{peer, 7}, Owner{third, 6}}};
    standings.note_report(here, peer, report_of(5));
    rig.write(here, key("k"), 1, "later");
    rig.settle();
    tell(peer);
    standings.note_report(here, third, report_of(6));
    EXPECT_EQ(rig.store.stable(here), frontier({dot(1, 1)})) << "nothing more";
    standings.note_report(here, peer, report_of(7, frontier({dot(1, 1), dot(1, 2)})));
    EXPECT_EQ(rig.store.stable(here), frontier({dot(1, 1), dot(1, 2)}));
}

// As a read repair leaves it at an owner that has collected the tombstone.
TEST_F(StandingTest, WhatIsLeftOfATombstoneGoesAsItDoes) {
    rig.write(here, key("k"), 1, "value");
    const Dot removal = remove("k", 10);
    rig.store.update(
        here,
        key("k"),
        [](Record& record, Frontier&) {
            for (const Sibling& sibling : std::exchange(record.siblings, {}))
                record.gone.push_back(sibling.request);
            std::sort(record.gone.begin(), record.gone.end());
            return absl::OkStatus();
        },
        nullptr,
        [](const absl::Status&) {});
    rig.settle();
    EXPECT_EQ(rig.store.tombstone_count(here), 1u);
    EXPECT_TRUE(has(storage_keys::tombstone(here, 10, removal)));
    collect(11);
    EXPECT_EQ(rig.store.tombstone_count(here), 1u) << "the others have not seen it";
    all_report();
    collect(10);
    EXPECT_EQ(rig.store.tombstone_count(here), 1u) << "its request may be minted again";
    collect(11);
    EXPECT_EQ(rig.store.tombstone_count(here), 0u);
    EXPECT_FALSE(has(storage_keys::tombstone(here, 10, removal)));
    EXPECT_FALSE(has(storage_keys::record(here, key("k"))));
}

TEST_F(StandingTest, ATombstoneIsCollectedOnceAllHaveSeenItAndItsRequestIsOld) {
    rig.write(here, key("k"), 1, "value");
    const Dot removal = remove("k", 10);
    EXPECT_EQ(rig.store.tombstone_count(here), 1u);
    EXPECT_TRUE(has(storage_keys::tombstone(here, 10, removal)));
    EXPECT_EQ(collect(11), 0u) << "the others have not seen it";
    all_report();
    EXPECT_EQ(collect(10), 0u) << "its request may be minted again";
    EXPECT_EQ(collect(11), 1u);
    EXPECT_EQ(rig.store.tombstone_count(here), 0u);
    EXPECT_EQ(rig.store.record_count(), 0u);
    EXPECT_FALSE(has(storage_keys::tombstone(here, 10, removal)));
    EXPECT_FALSE(has(storage_keys::record(here, key("k"))));
    EXPECT_TRUE(rig.store.frontier(here).contains(dot(1, 1)));
}

// In pages: what is in the index, and what has left it, in one order.
TEST_F(StandingTest, WhoFillsASeatIsToldOfTombstonesThatHaveLeftTheIndex) {
    std::set<Dot> removals;
    for (int i = 0; i < 40; ++i)
        removals.insert(remove("gone" + std::to_string(i), 10));
    rig.write(here, key("k"), 1, "value");
    rig.settle();
    all_report();
    for (int i = 0; i < 40; ++i)
        removals.insert(remove("young" + std::to_string(i), 10));
    EXPECT_EQ(missing({})->dots.entries.size(), 40u) << "of the index";
    bytes_max = 300;
    std::vector<Dot> told;
    std::optional<Dot> after;
    for (bool has_more = true; has_more;) {
        const auto page = missing({}, after, {}, KnownDots::and_tombstones);
        ASSERT_TRUE(page.ok()) << page.status();
        ASSERT_FALSE(page->dots.entries.empty());
        for (const IndexedDots::Entry& entry : page->dots.entries)
            told.push_back(entry.dot);
        has_more = page->has_more;
        after = told.back();
    }
    EXPECT_TRUE(std::ranges::is_sorted(told));
    EXPECT_EQ(std::set<Dot>(told.begin(), told.end()), removals);
    EXPECT_EQ(told.size(), removals.size());
    Frontier seen;
    for (const Dot& dot : removals)
        seen.add(dot);
    EXPECT_TRUE(missing(seen, {}, {}, KnownDots::and_tombstones)->dots.entries.empty());
}

TEST_F(StandingTest, ATombstoneOfANamespaceThatIsNotKnownStays) {
    latest_only = std::nullopt;
    remove("k", 10);
    all_report();
    EXPECT_EQ(collect(11), 0u);
}

// What is minted over what is left of it would be earlier, and go with it elsewhere.
TEST_F(StandingTest, WhereTheLatestWinsATombstoneOfALaterTimeIsLookedAtAgainThen) {
    latest_only = true;
    NewWrite removal = testing::removal(rig.next_dot(here, 1), 10);
    removal.time = {.wall_ms = 500, .logical = 0};
    rig.store.update(
        here,
        key("k"),
        [removal](Record& record, Frontier& seen) {
            record = mint(record, Superseded::by_reading(record), removal);
            seen.add(removal.dot);
            return absl::OkStatus();
        },
        nullptr,
        [](const absl::Status&) {});
    rig.settle();
    all_report();
    uint64_t next_goes_ms = 0;
    rig.store.collect(
        here,
        0,
        11,
        [](base::NamespaceId) { return true; },
        [&](const absl::StatusOr<ReplicaStore::Collected>& collected) {
            next_goes_ms = collected->left.next_goes_ms;
        });
    rig.settle();
    EXPECT_EQ(next_goes_ms, 500u);
    EXPECT_EQ(collect(500), 0u);
    EXPECT_EQ(collect(501), 1u);
}

TEST_F(StandingTest, ATombstoneThatWasReplacedIsNoLongerListed) {
    const Dot removal = remove("k", 10);
    rig.write(here, key("k"), 1, "again");
    rig.settle();
    EXPECT_EQ(rig.store.tombstone_count(here), 0u);
    EXPECT_FALSE(has(storage_keys::tombstone(here, 10, removal)));
}

TEST_F(StandingTest, ManyTombstonesAreCollectedPageByPage) {
    constexpr uint64_t count = 600;
    for (uint64_t i = 1; i <= count; ++i)
        remove("k" + std::to_string(i), i);
    all_report();
    EXPECT_EQ(collect(301), 300u);
    EXPECT_EQ(rig.store.tombstone_count(here), 300u);
    EXPECT_EQ(collect(1000), 300u);
    EXPECT_EQ(rig.store.record_count(), 0u);
}

TEST_F(StandingTest, RequestsAreForgottenOnceEveryOwnerWasCaughtUpWithBeyondTheWindow) {
    EXPECT_EQ(standings.forget_before(here), 0u);
    standings.note_report(here, peer, report_of(5));
    EXPECT_EQ(standings.forget_before(here), 0u);
    standings.note_report(here, third, report_of(6, frontier({dot(4, 1)})));
    EXPECT_EQ(standings.forget_before(here), 0u) << "it has seen a write that is not here";
    const uint64_t said_ms = owners.clock_ms;
    rig.write(here, key("k"), 4, "value");
    rig.settle();
    owners.clock_ms += 500;
    standings.note_report(here, third, report_of(6, frontier({dot(4, 1), dot(4, 2)})));
    EXPECT_EQ(standings.forget_before(here), said_ms - window_ms)
        << "what it had at first has come";
}

TEST_F(StandingTest, OwnersThatAreNotKnownLetNothingBeConcluded) {
    rig.write(here, key("k"), 1, "value");
    rig.settle();
    owners.owners = std::nullopt;
    all_report();
    EXPECT_TRUE(rig.store.stable(here).empty());
    EXPECT_EQ(standings.forget_before(here), 0u);
}

struct SealTest : StandingTest {
    SealTest() {
        owners.members = {peer, third};
        // Its second write went to nobody.
        Frontier seen = frontier({dot(9, 1), dot(9, 3)});
        rig.store.unite_frontier(here, seen, [](const absl::Status&) {});
        rig.settle();
        standings.note_start(ended, 2);
    }
    void both_report(uint64_t answers, std::optional<Frontier> seen = std::nullopt) {
        for (const auto& [node, tenure] : {std::pair(peer, 5), std::pair(third, 6)}) {
            OwnerReport report = report_of(static_cast<uint64_t>(tenure), seen);
            report.known.question = answers;
            report.known.frozen[ended] = 2;
            standings.note_report(here, node, report);
        }
        rig.settle();
    }
    uint32_t sealed() { return rig.store.frontier(here).sealed_before(ended); }
};

TEST_F(SealTest, ALifeIsSealedWhenNoMemberHasAHintAndThenAllOwnersHaveSeenTheSame) {
    both_report(tell(peer).asks, frontier({dot(9, 1)}));
    EXPECT_EQ(sealed(), 0u);
    EXPECT_THAT(owners.asked, ::testing::Contains(peer));
    EXPECT_THAT(owners.asked, ::testing::Contains(third));
    standings.note_hints_gone(here, peer, {{ended, 2}});
    standings.note_hints_gone(here, third, {{ended, 2}});
    EXPECT_EQ(sealed(), 0u) << "they answered before the hints were known to be gone";
    const uint64_t question = tell(peer).asks;
    both_report(question, frontier({dot(9, 1)}));
    EXPECT_EQ(sealed(), 0u) << "they have not seen the same";
    both_report(question);
    EXPECT_EQ(sealed(), 2u);
    EXPECT_EQ(rig.store.frontier(here).gap_count(), 0u);
}

// Else a late retry of what was deleted would be new to it.
TEST_F(SealTest, WhoFillsASeatIsToldOfTombstonesOfASealedLifeToo) {
    const Dot own = remove("own", 10);
    const Dot removal = dot(9, 4);
    rig.store.update(
        here,
        key("k"),
        [removal](Record& record, Frontier& seen) {
            record = mint({}, {}, testing::removal(removal, 10));
            seen.add(removal);
            return absl::OkStatus();
        },
        nullptr,
        [](const absl::Status&) {});
    rig.settle();
    standings.note_hints_gone(here, peer, {{ended, 2}});
    standings.note_hints_gone(here, third, {{ended, 2}});
    both_report(tell(peer).asks);
    both_report(tell(peer).asks);
    ASSERT_EQ(sealed(), 2u);
    const auto told = [this](const Frontier& seen) {
        std::vector<Dot> dots;
        std::optional<Dot> after;
        for (bool has_more = true; has_more;) {
            const auto page = missing(seen, after, {}, KnownDots::and_tombstones);
            EXPECT_TRUE(page.ok()) << page.status();
            if (!page.ok()) break;
            for (const IndexedDots::Entry& entry : page->dots.entries)
                dots.push_back(entry.dot);
            has_more = page->has_more;
            if (!dots.empty()) after = dots.back();
        }
        return dots;
    };
    EXPECT_THAT(told({}), ElementsAre(own, removal));
    bytes_max = 1;
    EXPECT_THAT(told({}), ElementsAre(own, removal)) << "a page each";
    Frontier knows;
    knows.seal(ended, 2);
    EXPECT_THAT(told(knows), ElementsAre(own));
    EXPECT_THAT(told(frontier({own})), ElementsAre(removal)) << "nothing else lacks";
}

TEST_F(SealTest, AnOnlyOwnerWhoseDiskRefusesTheSealTriesAgain) {
    owners.owners = std::vector<Owner>();
    standings.look_at_own(here);
    rig.settle();
    rig.engine.write_error = absl::ResourceExhaustedError("the disk is full");
    standings.note_hints_gone(here, peer, {{ended, 2}});
    standings.note_hints_gone(here, third, {{ended, 2}});
    standings.look_at_own(here);
    rig.settle();
    EXPECT_EQ(sealed(), 0u);
    rig.engine.write_error = absl::OkStatus();
    standings.look_at_own(here);
    rig.settle();
    EXPECT_EQ(sealed(), 2u);
}

TEST_F(SealTest, WhoFillsASeatSaysThatItHasWritesOfTheLife) {
    const auto gone = [this](GroupId id) {
        Starts said;
        standings.hints_gone(id, [&](absl::StatusOr<Starts> starts) { said = *starts; });
        rig.settle();
        return said;
    };
    EXPECT_EQ(gone(here), (Starts{{ended, 2}})) << "an owner is asked what it has seen";
    owners.owners.reset();
    EXPECT_THAT(gone(here), IsEmpty());
    EXPECT_EQ(gone(group(2)), (Starts{{ended, 2}})) << "of another group it has nothing";
}

TEST_F(SealTest, AHintOfTheLifeHereOrElsewhereHoldsUpTheSeal) {
    hints.keep({.group = here, .seat = base::SeatIndex(1), .dot = dot(9, 2), .key = key("k")},
               "a record",
               [](const absl::Status&) {});
    rig.settle();
    Starts gone;
    standings.hints_gone(here, [&](absl::StatusOr<Starts> said) { gone = *said; });
    rig.settle();
    EXPECT_THAT(gone, IsEmpty());
    standings.note_hints_gone(here, peer, {{ended, 2}});
    standings.note_hints_gone(here, third, {{ended, 2}});
    both_report(tell(peer).asks);
    EXPECT_EQ(sealed(), 0u);
    hints.remove({.group = here, .seat = base::SeatIndex(1), .dot = dot(9, 2), .key = key("k")});
    both_report(tell(peer).asks);
    both_report(tell(peer).asks);
    EXPECT_EQ(sealed(), 2u);
}

TEST_F(SealTest, RequestsAreRememberedWhileAnEndedLifeMayBringThem) {
    both_report(tell(peer).asks);
    EXPECT_EQ(standings.forget_before(here), 0u);
    standings.note_hints_gone(here, peer, {{ended, 2}});
    standings.note_hints_gone(here, third, {{ended, 2}});
    both_report(tell(peer).asks);
    EXPECT_GT(standings.forget_before(here), 0u);
}

// Also members that are no owners.
TEST_F(SealTest, TombstonesWaitForWhoMayHaveAHintOfAnEndedLife) {
    const base::NodeId member(77);
    owners.members.push_back(member);
    const auto waited_for = [this] { return standings.waited_for(here, {}, owners.clock_ms); };
    EXPECT_THAT(waited_for(), ElementsAre(peer, third)) << "nobody was asked for hints yet";
    both_report(tell(peer).asks);
    EXPECT_THAT(waited_for(), ElementsAre(peer, third, member));
    standings.note_hints_gone(here, peer, {{ended, 2}});
    standings.note_hints_gone(here, third, {{ended, 2}});
    EXPECT_THAT(waited_for(), ElementsAre(member));
    standings.note_hints_gone(here, member, {{ended, 2}});
    both_report(tell(peer).asks);
    EXPECT_THAT(waited_for(), Not(Contains(member)));
}

TEST_F(SealTest, WhatAnUnreadableMemoryHadIsToldAgainAndKeepsNoNodeFromStarting) {
    storage::WriteBatch batch;
    batch.put(storage_keys::owners(here), "nonsense");
    ASSERT_TRUE(rig.engine.write(batch, {}).ok());
    rig.settle();
    GoneHorizon other_horizon{window_ms};
    Standings again(rig.store, hints, other_horizon, owners);
    EXPECT_TRUE(again.load().ok());
    EXPECT_TRUE(absl::IsDataLoss(rig.store.damage()));
    EXPECT_TRUE(again.has_ended({.node = ended, .start = 1, .random = 0}));
}

TEST_F(SealTest, WhatWasAskedInAnEarlierLifeOrOfEarlierDataAnswersNothingNow) {
    const uint64_t before = tell(peer).asks;
    standings.forget_group(here);
    EXPECT_GT(tell(peer).asks, before);
    GoneHorizon other_horizon{window_ms};
    Standings again(rig.store, hints, other_horizon, owners);
    standings.begin_life(base::NodeId(1), 2);
    again.begin_life(base::NodeId(1), 3);
    uint64_t asks = 0;
    again.report(here, peer, [&](absl::StatusOr<OwnerReport> report) { asks = report->asks; });
    rig.settle();
    EXPECT_GT(asks, tell(peer).asks + 1'000'000);
}

TEST_F(SealTest, EndedLivesAreKnownAfterARestart) {
    rig.settle();
    GoneHorizon other_horizon{window_ms};
    Standings again(rig.store, hints, other_horizon, owners);
    ASSERT_TRUE(again.load().ok());
    EXPECT_TRUE(again.has_ended({.node = ended, .start = 1, .random = 0}));
    EXPECT_FALSE(again.has_ended({.node = ended, .start = 2, .random = 0}));
}

TEST_F(StandingTest, APageOfMissingWritesOfALongKeyIsBoundedByWhatItTakesWhereItIsStored) {
    const std::string long_key = key(std::string(64 << 10, 'k'));
    for (int i = 0; i < 15; ++i) {
        rig.write(here, long_key, 1, "value");
        rig.settle();
    }
    const absl::StatusOr<MissingPage> page = missing({});
    ASSERT_TRUE(page.ok()) << page.status();
    EXPECT_TRUE(page->has_more);
    EXPECT_THAT(page->dots.entries, SizeIs(4));
    const absl::StatusOr<MissingPage> next = missing({}, page->dots.entries.back().dot);
    ASSERT_TRUE(next.ok()) << next.status();
    EXPECT_THAT(next->dots.entries, SizeIs(4));
}

TEST_F(StandingTest, MissingWritesComeWithTheRecordsOfTheirKeysAlsoWhereTheyWereReplaced) {
    const Dot first = rig.write(here, key("a"), 1, "old");
    const Dot second = rig.write(here, key("a"), 1, "new");
    const Dot other = rig.write(here, key("b"), 1, "value");
    rig.settle();
    absl::StatusOr<MissingPage> page = missing({});
    ASSERT_TRUE(page.ok()) << page.status();
    EXPECT_EQ(page->frontier, rig.store.frontier(here));
    EXPECT_THAT(page->dots.keys, ElementsAre(key("a"), key("b")));
    ASSERT_THAT(page->dots.entries, SizeIs(3));
    EXPECT_EQ(page->dots.entries[1].key, 0u);
    EXPECT_EQ(page->dots.entries[2].key, 1u);
    EXPECT_THAT(page->records, SizeIs(2));
    EXPECT_FALSE(page->has_more);
    page = missing(frontier({first, second}));
    ASSERT_THAT(page->dots.entries, SizeIs(1));
    EXPECT_EQ(page->dots.entries[0].dot, other);
    bytes_max = 1;
    page = missing({});
    EXPECT_TRUE(page->has_more);
    ASSERT_THAT(page->dots.entries, SizeIs(1));
    page = missing({}, page->dots.entries[0].dot);
    ASSERT_THAT(page->dots.entries, SizeIs(1));
    EXPECT_EQ(page->dots.entries[0].dot, second);
}

TEST_F(StandingTest, WhatWasSentBeforeComesAgainOnlyWhenItHasChanged) {
    const Dot first = rig.write(here, key("a"), 1, "old");
    rig.write(here, key("a"), 1, "new");
    rig.write(here, key("b"), 1, "value");
    rig.settle();
    absl::StatusOr<MissingPage> page = missing({});
    ASSERT_TRUE(page.ok()) << page.status();
    const RecordFingerprints sent(page->fingerprints.begin(), page->fingerprints.end());
    EXPECT_THAT(sent, SizeIs(2));

    page = missing({}, first, sent);
    ASSERT_TRUE(page.ok()) << page.status();
    EXPECT_THAT(page->dots.entries, SizeIs(2));
    EXPECT_THAT(page->records, SizeIs(0));
    EXPECT_THAT(page->fingerprints, SizeIs(0));
    EXPECT_EQ(page->sent, sent);

    rig.write(here, key("a"), 1, "newer");
    rig.settle();
    page = missing({}, first, sent);
    ASSERT_TRUE(page.ok()) << page.status();
    EXPECT_THAT(page->dots.entries, SizeIs(3));
    ASSERT_THAT(page->records, SizeIs(1));
    EXPECT_EQ(page->records[0].key, key("a"));
    EXPECT_FALSE(sent.contains(page->fingerprints.at(0)));
}

TEST_F(StandingTest, ARecordThatWasLostIsNoAnswerToWhatIsMissing) {
    rig.write(here, key("a"), 1, "value");
    rig.settle();
    const absl::StatusOr<MissingPage> page = missing({});
    ASSERT_TRUE(page.ok()) << page.status();
    const RecordFingerprints sent(page->fingerprints.begin(), page->fingerprints.end());
    storage::WriteBatch loss;
    loss.remove(storage_keys::record(here, key("a")));
    ASSERT_TRUE(rig.engine.write(loss, {}).ok());
    EXPECT_TRUE(absl::IsDataLoss(missing({}).status()));
    EXPECT_TRUE(absl::IsDataLoss(missing({}, {}, sent).status()));
}

TEST_F(StandingTest, WhoIsFilledDropsWhatItsGiverHasSeenAndHasNoMore) {
    rig.write(here, key("gone"), 1, "old");
    rig.write(here, key("kept"), 1, "young");
    rig.settle();
    absl::Status status = absl::UnknownError("no answer");
    rig.store.take_over(
        here, {key("gone"), key("kept")}, {}, frontier({dot(1, 1)}), [&](absl::Status taken) {
            status = std::move(taken);
        });
    rig.settle();
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_FALSE(rig.read(here, key("gone"))->has_live_value());
    EXPECT_THAT(values(*rig.read(here, key("kept"))), ElementsAre("young"));
}

TEST_F(StandingTest, TheCollectorWorksByItself) {
    Collector collector(
        rig.loop, rig.store, standings, [](base::NamespaceId) { return std::optional(false); });
    remove("k", 10);
    all_report();
    collector.start();
    for (int i = 0; i < 5; ++i) {
        rig.scheduler.run_for(std::chrono::seconds(1));
        rig.workers.run_one();
    }
    collector.stop();
    rig.settle();
    EXPECT_EQ(collector.collected(), 1u);
    EXPECT_EQ(rig.store.tombstone_count(here), 0u);
}

struct CollectorTest : StandingTest {
    ~CollectorTest() override { collector.stop(); }
    void let_it_look() {
        for (int i = 0; i < 10; ++i) {
            rig.scheduler.run_for(std::chrono::milliseconds(500));
            while (rig.workers.run_one()) {
                rig.scheduler.run_until(rig.scheduler.now());
            }
        }
    }
    // As all_report(), of which the rig cannot settle while the collector's timer runs.
    void others_report() {
        standings.note_report(here, peer, report_of(5));
        standings.note_report(here, third, report_of(6));
    }
    void change(const std::string& name, absl::AnyInvocable<void(Record&)> how) {
        rig.store.update(
            here,
            key(name),
            [how = std::move(how)](Record& record, Frontier&) mutable {
                how(record);
                return absl::OkStatus();
            },
            nullptr,
            [](const absl::Status&) {});
        rig.settle();
    }
    Collector collector{
        rig.loop, rig.store, standings, [](base::NamespaceId) { return std::optional(false); }};
};

TEST_F(CollectorTest, AfterAPassThatCameTooEarlyTheNextComesAsSoonAsItMayFindSomething) {
    remove("k", owners.clock_ms);
    all_report();
    collector.start();
    let_it_look();
    EXPECT_EQ(collector.collected(), 0u) << "its request may be minted again";
    owners.clock_ms += window_ms;
    others_report();
    let_it_look();
    EXPECT_EQ(collector.collected(), 0u);
    owners.clock_ms += 1;
    others_report();
    let_it_look();
    EXPECT_EQ(collector.collected(), 1u);
}

TEST_F(CollectorTest, WhatAPassHadToLeaveIsLookedAtAgainWhenItMayGo) {
    remove("old", owners.clock_ms - 5000);
    const uint64_t young_ms = owners.clock_ms + 500;
    change("old", [young_ms](Record& record) {
        record.gone.push_back({.created_ms = young_ms, .random_high = 1, .random_low = 1});
    });
    all_report();
    collector.start();
    let_it_look();
    EXPECT_EQ(collector.collected(), 0u) << "a younger request is remembered beside it";
    owners.clock_ms = young_ms + window_ms + 1;
    others_report();
    let_it_look();
    EXPECT_EQ(collector.collected(), 1u);
}

TEST_F(CollectorTest, AnOldTombstoneThatComesLateGoesWhenAllHaveSeenIt) {
    remove("k", owners.clock_ms - 5000);
    all_report();
    collector.start();
    let_it_look();
    EXPECT_EQ(collector.collected(), 1u);
    collector.stop();
    remove("late", owners.clock_ms - 4000);
    const Frontier before = rig.store.stable(here);
    collector.start();
    let_it_look();
    EXPECT_EQ(collector.collected(), 1u) << "nobody has said that it has seen that";
    EXPECT_EQ(rig.store.stable(here), before);
    collector.stop();
    all_report();
    collector.start();
    let_it_look();
    EXPECT_EQ(collector.collected(), 2u);
}

TEST_F(CollectorTest, APassThatFailedIsRepeatedAfterAWhileThoughNothingElseChanges) {
    remove("k", owners.clock_ms - 5000);
    all_report();
    rig.engine.write_error = absl::ResourceExhaustedError("the disk is full");
    collector.start();
    let_it_look();
    rig.engine.write_error = absl::OkStatus();
    let_it_look();
    EXPECT_EQ(collector.collected(), 0u);
    for (int i = 0; i < 12; ++i) {
        let_it_look();
    }
    EXPECT_EQ(collector.collected(), 1u);
}

// Seed 21657 of ten minutes: another node had asked this one for hints of that life ever since, and
// kept its tombstones.
TEST_F(CollectorTest, ALifeWhoseEndAFullDiskDidNotTakeIsFrozenWhenItDoes) {
    const Actor of_it{.node = ended, .start = 7, .random = 0};
    rig.engine.write_error = absl::ResourceExhaustedError("the disk is full");
    standings.note_start(ended, 8);
    collector.start();
    let_it_look();
    EXPECT_FALSE(standings.has_ended(of_it));
    rig.engine.write_error = absl::OkStatus();
    let_it_look();
    EXPECT_TRUE(standings.has_ended(of_it));
}

TEST_F(CollectorTest, ATombstoneThatHidesAnotherGoesWithIt) {
    remove("k", owners.clock_ms - 5000);
    const Dot by = rig.next_dot(here, 7);
    rig.store.update(
        here,
        key("k"),
        [this, by](Record& record, Frontier& seen) {
            // Concurrent with the first, and a little younger.
            Record other =
                mint(Record{}, Superseded{}, testing::removal(by, owners.clock_ms - 4000));
            merge(record, other, seen);
            return absl::OkStatus();
        },
        nullptr,
        [](const absl::Status&) {});
    rig.settle();
    ASSERT_EQ(rig.store.tombstone_count(here), 2u);
    all_report();
    EXPECT_EQ(collect(owners.clock_ms - 1000), 2u);
}

struct WaitingTest : CollectorTest {
    // By node: how many, and since when.
    std::map<base::NodeId, std::pair<uint64_t, uint64_t>> waiting() {
        std::map<base::NodeId, std::pair<uint64_t, uint64_t>> found;
        for (const auto& [node, waiting] : collector.waiting()) {
            found[node] = {waiting.tombstones, waiting.since_ms};
        }
        return found;
    }
    void look() {
        collector.start();
        let_it_look();
        collector.stop();
    }
    static constexpr uint64_t overdue_ms = window_ms + 60'000;
};

TEST_F(WaitingTest, OverdueTombstonesAreCountedForTheOwnerThatWasNotHeardOf) {
    const uint64_t first_ms = owners.clock_ms;
    remove("first", first_ms);
    remove("second", first_ms + 500);
    all_report();
    look();
    EXPECT_THAT(waiting(), IsEmpty());
    owners.clock_ms += overdue_ms + 5'000;
    remove("young", owners.clock_ms);
    standings.note_report(here, peer, report_of(5));
    look();
    EXPECT_THAT(waiting(), ElementsAre(Pair(third, Pair(2, first_ms))));
    ASSERT_EQ(rig.store.tombstone_count(here), 3u);
    standings.note_report(here, third, report_of(6));
    look();
    EXPECT_THAT(waiting(), IsEmpty());
    EXPECT_EQ(collector.collected(), 2u);
}

// What only the other one lacks was written after it had spoken, as it is under load.
TEST_F(WaitingTest, OverdueTombstonesAreCountedForTheOwnerThatHasNotSeenThem) {
    const uint64_t removed_ms = owners.clock_ms - 5'000;
    remove("k", removed_ms);
    const auto report = [this] {
        tell(peer);
        standings.note_report(here, peer, report_of(5));
        standings.note_report(here, third, report_of(6, Frontier{}));
    };
    report();
    look();
    EXPECT_EQ(collector.collected(), 0u);
    owners.clock_ms += overdue_ms;
    report();
    rig.write(here, key("other"), 1, "value");
    rig.settle();
    tell(third);
    look();
    EXPECT_THAT(waiting(), ElementsAre(Pair(third, Pair(1, removed_ms))));
    all_report();
    EXPECT_THAT(waiting(), IsEmpty());
}

// Its own dot all have seen.
TEST_F(WaitingTest, OverdueTombstonesWaitForWhoHasNotSeenWhatTheirRecordHas) {
    const uint64_t removed_ms = owners.clock_ms - 5'000;
    const Dot tombstone = remove("k", removed_ms);
    const Dot other = rig.next_dot(here, 7);
    rig.store.update(
        here,
        key("k"),
        [other](Record& record, Frontier& seen) {
            Record concurrent =
                mint(Record{}, Superseded{}, testing::write(other, 1, "concurrent"));
            merge(record, concurrent, seen);
            seen.add(other);
            return absl::OkStatus();
        },
        nullptr,
        [](const absl::Status&) {});
    rig.settle();
    owners.clock_ms += overdue_ms;
    tell(peer);
    standings.note_report(here, peer, report_of(5, frontier({tombstone})));
    standings.note_report(here, third, report_of(6));
    look();
    EXPECT_THAT(waiting(), ElementsAre(Pair(peer, Pair(1, removed_ms))));
}

TEST_F(WaitingTest, AnOwnerThatHasSaidNothingInThisLifeIsWaitedForAlone) {
    const uint64_t removed_ms = owners.clock_ms;
    remove("k", removed_ms);
    standings.note_start(ended, 2);
    owners.members = {peer, third};
    owners.clock_ms += overdue_ms + 5'000;
    look();
    EXPECT_THAT(waiting(),
                ElementsAre(Pair(peer, Pair(1, removed_ms)), Pair(third, Pair(1, removed_ms))));
    standings.note_report(here, peer, report_of(5));
    EXPECT_THAT(waiting(), ElementsAre(Pair(third, Pair(1, removed_ms))));
}

TEST_F(StandingTest, AReportIsAwaitedWhenItMayLetATombstoneGoAndNotForEver) {
    EXPECT_FALSE(standings.awaits_report(here, peer)) << "there is no tombstone";
    remove("k", owners.clock_ms);
    all_report();
    EXPECT_FALSE(standings.awaits_report(here, peer)) << "no report would help";
    owners.clock_ms += window_ms + 1;
    EXPECT_TRUE(standings.awaits_report(here, peer));
    EXPECT_TRUE(standings.awaits_report(here, third));
    standings.note_report(here, peer, report_of(5));
    EXPECT_FALSE(standings.awaits_report(here, peer));
    EXPECT_TRUE(standings.awaits_report(here, third)) << "it was not heard of since";
    owners.clock_ms += 61'000;
    EXPECT_FALSE(standings.awaits_report(here, third)) << "it is away, or its clock is wrong";
}

TEST_F(StandingTest, WhoIsNotHeardOfIsWhatATombstoneWaitsForThoughItHadSeenIt) {
    const uint64_t created_ms = owners.clock_ms;
    remove("k", created_ms);
    all_report();
    owners.clock_ms += window_ms + 1;
    standings.note_report(here, peer, report_of(5));
    EXPECT_THAT(standings.waited_for(here, {}, created_ms), ElementsAre(third));
    standings.note_report(here, third, report_of(6));
    EXPECT_THAT(standings.waited_for(here, {}, created_ms), IsEmpty());
    EXPECT_FALSE(standings.is_overdue(created_ms));
    owners.clock_ms += 60'000;
    EXPECT_TRUE(standings.is_overdue(created_ms));
}

}  // namespace
}  // namespace starling::node
