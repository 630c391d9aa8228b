#include "node/replica/store.h"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "env/sim/file_system.h"
#include "env/sim/workers.h"
#include "node/replica/storage_keys.h"
#include "storage/open.h"
#include "tests/unit/node/replica/store_rig.h"
#include "tests/unit/storage/manual_clock.h"

namespace starling::node {
namespace {

using ::testing::Contains;
using testing::dot;
using ::testing::ElementsAre;
using testing::group;
using ::testing::IsEmpty;
using testing::key;
using ::testing::Not;
using ::testing::UnorderedElementsAre;
using testing::values;

// The keys a batch changes, removals with a minus.
std::vector<std::string> changes_of(const storage::WriteBatch& batch) {
    struct Lister final : storage::WriteBatch::Handler {
        void put(std::string_view changed, std::string_view, storage::Expiry) override {
            keys.emplace_back(changed);
        }
        void remove(std::string_view changed) override {
            keys.push_back("-" + std::string(changed));
        }
        void remove_range(std::string_view begin, std::string_view) override {
            keys.push_back("-" + std::string(begin) + "...");
        }
        std::vector<std::string> keys;
    };
    Lister lister;
    EXPECT_TRUE(storage::WriteBatch::replay(batch.representation(), lister).ok());
    return lister.keys;
}

void supersede(ReplicaStore& store, GroupId id, std::string name, const NewWrite& by) {
    store.update(
        id,
        std::move(name),
        [by](Record& record, Frontier& frontier) {
            record = mint(record, Superseded::by_reading(record), by);
            frontier.add(by.dot);
            return absl::OkStatus();
        },
        nullptr,
        [](const absl::Status&) {});
}

// What the tree of the group should say, from the engine alone.
BucketDigests scan_buckets(storage::Engine& engine, GroupId id) {
    BucketDigests buckets{};
    const std::string lower = storage_keys::record_prefix(id);
    const auto iterator =
        engine.new_iterator({.lower = lower, .upper = storage_keys::prefix_end(lower)});
    for (iterator->seek_to_first(); iterator->valid(); iterator->next()) {
        const auto parsed = storage_keys::parse_record(iterator->key());
        const auto record = decode_record(iterator->value());
        EXPECT_TRUE(record.ok());
        buckets[bucket_of(parsed->group_key)] += leaf_digest(parsed->group_key, *record);
    }
    return buckets;
}

struct ReplicaStoreTest : ::testing::Test {
    // Appends `name` to the log when the change runs, with what it found.
    void update(const std::string& name, uint64_t writer) {
        rig.store.update(
            group(1),
            key("k"),
            [this, name, dot = rig.next_dot(group(1), writer)](Record& record, Frontier& frontier) {
                log.push_back(name + " on " + std::to_string(record.siblings.size()));
                record = mint(record, {}, testing::write(dot, dot.actor.node.raw(), name));
                frontier.add(dot);
                return absl::OkStatus();
            },
            nullptr,
            [this, name](const absl::Status& status) {
                log.push_back(name + (status.ok() ? " durable" : " failed"));
            });
    }

    testing::StoreRig rig;
    std::vector<std::string> log;
};

TEST_F(ReplicaStoreTest, ChangesOfAKeyThatIsOnItsWayFromTheDiskRunInTheirOrder) {
    rig.engine.is_cold = true;
    update("first", 1);
    update("second", 2);
    update("third", 3);
    EXPECT_THAT(log, IsEmpty());
    rig.settle();
    EXPECT_EQ(rig.engine.gets, 1u);
    EXPECT_THAT(log,
                ElementsAre("first on 0",
                            "second on 1",
                            "third on 2",
                            "first durable",
                            "second durable",
                            "third durable"));
}

TEST_F(ReplicaStoreTest, AChangeOfAnotherKeyDoesNotWaitForTheDisk) {
    rig.engine.is_cold = true;
    update("slow", 1);
    rig.engine.is_cold = false;
    rig.write(group(1), key("other"), 2, "value");
    EXPECT_THAT(rig.store.frontier(group(1)), testing::frontier({dot(2, 1)}));
    EXPECT_THAT(log, IsEmpty());
    rig.settle();
    EXPECT_THAT(log, ElementsAre("slow on 0", "slow durable"));
}

TEST_F(ReplicaStoreTest, AChangeAfterAFlushInBetweenSeesTheChangeBefore) {
    rig.engine.is_cold = true;
    update("first", 1);
    // Runs behind the first one; until then that has left memory again.
    rig.store.update(
        group(1),
        key("k"),
        [&](Record&, Frontier&) { return absl::OkStatus(); },
        [&] { rig.engine.is_cold = true; },
        [](const absl::Status&) {});
    update("second", 2);
    rig.settle();
    EXPECT_THAT(log, Contains("second on 1"));
    EXPECT_THAT(values(*rig.read(group(1), key("k"))), UnorderedElementsAre("first", "second"));
}

TEST_F(ReplicaStoreTest, ARecordItsIndexAndTheFrontierThatCoversItAreInOneBatch) {
    const Dot by = rig.write(group(1), key("k"), 1, "value");
    ASSERT_EQ(rig.engine.batches.size(), 1u);
    EXPECT_THAT(changes_of(rig.engine.batches[0]),
                UnorderedElementsAre(storage_keys::record(group(1), key("k")),
                                     storage_keys::indexed_dot(group(1), by),
                                     storage_keys::frontier(group(1))));
}

TEST_F(ReplicaStoreTest, AChangeThatFailsLeavesNothing) {
    absl::Status ended;
    rig.store.update(
        group(1),
        key("k"),
        [](Record& record, Frontier& frontier) {
            record = mint(record, {}, testing::write(dot(1, 1), 1, "value"));
            frontier.add(dot(1, 1));
            return absl::CancelledError();
        },
        [] { FAIL() << "applied"; },
        [&](const absl::Status& status) { ended = status; });
    EXPECT_TRUE(absl::IsCancelled(ended));
    EXPECT_THAT(rig.engine.batches, IsEmpty());
    EXPECT_TRUE(rig.store.frontier(group(1)).empty());
    EXPECT_FALSE(rig.store.has_records());
}

TEST_F(ReplicaStoreTest, ABatchThatTheEngineRefusesLeavesFrontierAndTreeAsTheyWere) {
    rig.write(group(1), key("k"), 1, "value");
    const GroupSummary before = *rig.store.summary(group(1));
    rig.engine.write_error = absl::UnavailableError("stalled");
    update("refused", 2);
    EXPECT_THAT(log, ElementsAre("refused on 1", "refused failed"));
    EXPECT_EQ(rig.store.summary(group(1))->frontier, before.frontier);
    EXPECT_EQ(rig.store.summary(group(1))->buckets, before.buckets);
}

TEST_F(ReplicaStoreTest, AReadReturnsNothingThatACrashCouldTakeBack) {
    rig.write(group(1), key("k"), 1, "value");
    std::optional<absl::StatusOr<Record>> found;
    rig.store.read(group(1), key("k"), [&](absl::StatusOr<Record> record) { found = record; });
    EXPECT_FALSE(found.has_value());
    rig.settle();
    ASSERT_TRUE(found.has_value());
    EXPECT_THAT(values(**found), ElementsAre("value"));
    found.reset();
    rig.store.read(group(1), key("k"), [&](absl::StatusOr<Record> record) { found = record; });
    EXPECT_TRUE(found.has_value()) << "durable already, in memory: no reason to wait";
}

TEST_F(ReplicaStoreTest, AReadOfWhatCouldNotBeSyncedIsAnError) {
    rig.engine.sync_error = absl::DataLossError("the disk failed");
    rig.write(group(1), key("k"), 1, "value");
    EXPECT_TRUE(absl::IsDataLoss(rig.read(group(1), key("k")).status()));
}

TEST_F(ReplicaStoreTest, AChangeThatFindsNothingToDoWaitsForWhatItSaw) {
    rig.write(group(1), key("k"), 1, "value");
    bool is_durable = false;
    rig.store.update(
        group(1),
        key("k"),
        [](Record&, Frontier&) { return absl::OkStatus(); },
        nullptr,
        [&](const absl::Status& status) { is_durable = status.ok(); });
    EXPECT_FALSE(is_durable);
    rig.settle();
    EXPECT_TRUE(is_durable);
    EXPECT_EQ(rig.engine.batches.size(), 1u);
}

TEST_F(ReplicaStoreTest, ADropTakesTheFrontierFromTheDiskBeforeAnyRecord) {
    for (int i = 0; i < 300; ++i) {
        rig.write(group(1), key(std::to_string(i)), 1, "value");
    }
    rig.write(group(2), key("other"), 1, "value");
    rig.settle();
    rig.engine.batches.clear();
    const size_t syncs = rig.engine.syncs;
    bool is_dropped = false;
    rig.store.drop(group(1), [&](const absl::Status& status) { is_dropped = status.ok(); });
    ASSERT_EQ(rig.engine.batches.size(), 1u);
    EXPECT_THAT(changes_of(rig.engine.batches[0]),
                ElementsAre("-" + storage_keys::frontier(group(1)),
                            "-" + storage_keys::copy_cursor(group(1)),
                            "-" + storage_keys::indexed_dots_prefix(group(1)) + "...",
                            "-" + storage_keys::tombstones_prefix(group(1)) + "...",
                            "-" + storage_keys::expiries_prefix(group(1)) + "..."));
    while (rig.engine.batches.size() == 1) {
        ASSERT_TRUE(rig.workers.run_one());
        rig.run_tasks();
    }
    EXPECT_GT(rig.engine.syncs, syncs) << "records went before the frontier's removal was durable";
    rig.settle();
    EXPECT_TRUE(is_dropped);
    EXPECT_EQ(scan_buckets(rig.engine, group(1)), BucketDigests{});
    EXPECT_THAT(rig.store.groups(), ElementsAre(group(2)));
    EXPECT_THAT(values(*rig.read(group(2), key("other"))), ElementsAre("value"));
}

TEST_F(ReplicaStoreTest, AGroupThatIsBeingDroppedTakesNoChangeUntilItIsEmpty) {
    rig.write(group(1), key("k"), 1, "old");
    rig.settle();
    bool is_dropped = false;
    rig.store.drop(group(1), [&](const absl::Status& status) { is_dropped = status.ok(); });
    update("meanwhile", 2);
    absl::Status united;
    rig.store.unite_frontier(group(1), testing::frontier({dot(3, 1)}), [&](absl::Status status) {
        united = std::move(status);
    });
    EXPECT_TRUE(absl::IsUnavailable(united));
    rig.settle();
    EXPECT_EQ(log.back(), "meanwhile failed");
    EXPECT_TRUE(is_dropped);
    EXPECT_FALSE(rig.engine.get(storage_keys::frontier(group(1)), nullptr)->has_value());
    update("afterwards", 2);
    rig.settle();
    EXPECT_EQ(log.back(), "afterwards durable");
    EXPECT_THAT(values(*rig.read(group(1), key("k"))), ElementsAre("afterwards"));
}

TEST_F(ReplicaStoreTest, AChangeThatWaitedForTheDiskDuringADropDoesNotBringTheGroupBack) {
    rig.write(group(1), key("k"), 1, "old");
    rig.settle();
    rig.engine.is_cold = true;
    update("late", 2);
    ASSERT_EQ(rig.workers.size(), 1u);
    bool is_dropped = false;
    rig.store.drop(group(1), [&](const absl::Status& status) { is_dropped = status.ok(); });
    rig.workers.run_last();
    while (!is_dropped) {
        rig.run_tasks();
        ASSERT_TRUE(is_dropped || rig.workers.run_last());
    }
    rig.settle();
    EXPECT_EQ(log.back(), "late failed");
    EXPECT_THAT(rig.store.groups(), IsEmpty());
    EXPECT_EQ(scan_buckets(rig.engine, group(1)), BucketDigests{});
}

TEST_F(ReplicaStoreTest, WhatWasReadBeforeOrDuringADropIsNotTakenForWhatTheGroupHoldsAfterwards) {
    for (const bool is_read_first : {true, false}) {
        rig.write(group(1), key("k"), 1, "old");
        rig.settle();
        bool is_dropped = false;
        const auto drop = [&] {
            rig.store.drop(group(1), [&](const absl::Status& status) { is_dropped = status.ok(); });
        };
        if (!is_read_first) drop();
        rig.engine.is_cold = true;
        rig.engine.after_get = [&] {
            if (is_read_first) drop();
            do {
                rig.run_tasks();
            } while (!is_dropped && rig.workers.run_last());
            ASSERT_TRUE(is_dropped);
            update("new", 9);
            rig.engine.is_cold = true;
        };
        EXPECT_EQ(*rig.read(group(1), key("k")), Record{}) << is_read_first;
        EXPECT_EQ(log.back(), "new durable");
        EXPECT_THAT(values(*rig.read(group(1), key("k"))), ElementsAre("new"));
    }
}

TEST_F(ReplicaStoreTest, WhoReadsAgainWhenItIsAnsweredWaitsBehindTheOthersAndNotForTheDisk) {
    rig.write(group(1), key("k"), 1, "old");
    rig.settle();
    rig.engine.is_cold = true;
    const size_t gets = rig.engine.gets;
    std::vector<std::string> found;
    rig.store.read(group(1), key("k"), [&](const absl::StatusOr<Record>& record) {
        found = values(*record);
        rig.store.read(group(1), key("k"), [&](const absl::StatusOr<Record>& again) {
            found = values(*again);
        });
    });
    update("new", 2);
    rig.settle();
    EXPECT_THAT(found, ElementsAre("old", "new"));
    EXPECT_EQ(rig.engine.gets, gets + 1);
}

// It would have the frontier of before, and none of its writes.
TEST_F(ReplicaStoreTest, APageOfMissingWritesThatADropOvertookIsNotAnswered) {
    rig.write(group(1), key("k"), 1, "value");
    rig.settle();
    absl::Status answered;
    rig.store.missing(
        group(1), {}, KnownDots::indexed, std::nullopt, 1000, {}, [&](const auto& page) {
            answered = page.status();
        });
    rig.store.drop(group(1), [](const absl::Status&) {});
    rig.settle();
    EXPECT_TRUE(absl::IsUnavailable(answered)) << answered;
}

TEST_F(ReplicaStoreTest, ADropThatTheEngineRefusedIsRepeated) {
    rig.write(group(1), key("k"), 1, "old");
    rig.settle();
    rig.engine.write_error = absl::UnavailableError("stalled");
    absl::Status dropped;
    rig.store.drop(group(1), [&](absl::Status status) { dropped = std::move(status); });
    rig.settle();
    EXPECT_FALSE(dropped.ok());
    EXPECT_THAT(rig.store.groups_of(group(1).partition), ElementsAre(group(1)));
    const GroupId any{.partition = group(1).partition, .replicas = 0};
    EXPECT_EQ(rig.store.drop_count(any), 1u);
    rig.engine.write_error = absl::OkStatus();
    update("meanwhile", 2);
    rig.settle();
    EXPECT_EQ(log.back(), "meanwhile failed");
    rig.store.drop(group(1), [&](absl::Status status) { dropped = std::move(status); });
    rig.settle();
    EXPECT_TRUE(dropped.ok());
    EXPECT_EQ(rig.store.drop_count(any), 1u) << "who takes over from here would begin anew";
    EXPECT_EQ(scan_buckets(rig.engine, group(1)), BucketDigests{});
    EXPECT_THAT(rig.store.groups(), IsEmpty());
}

TEST_F(ReplicaStoreTest, ASequenceIsNotUsedAgainAfterADrop) {
    EXPECT_EQ(rig.store.upcoming_sequence(group(1)), 1u);
    rig.store.use_sequence(group(1));
    rig.store.drop(group(1), [](const absl::Status&) {});
    rig.settle();
    EXPECT_EQ(rig.store.upcoming_sequence(group(1)), 2u);
    EXPECT_EQ(rig.store.upcoming_sequence(group(2)), 1u);
}

TEST_F(ReplicaStoreTest, MergedRecordsAndAUnitedFrontierAreSaidOnceDurable) {
    Record record = mint({}, {}, testing::write(dot(2, 5), 1, "theirs"));
    bool is_merged = false;
    rig.store.merge_records(group(1), {{key("k"), record}}, {}, [&](const absl::Status& status) {
        is_merged = status.ok();
    });
    EXPECT_FALSE(is_merged);
    rig.settle();
    EXPECT_TRUE(is_merged);
    EXPECT_EQ(rig.store.frontier(group(1)), testing::frontier({dot(2, 5)}));
    bool is_united = false;
    const Frontier theirs = testing::frontier({dot(2, 1), dot(2, 2), dot(3, 1)});
    rig.store.unite_frontier(
        group(1), theirs, [&](const absl::Status& status) { is_united = status.ok(); });
    EXPECT_FALSE(is_united);
    rig.settle();
    EXPECT_TRUE(is_united);
    EXPECT_TRUE(rig.store.frontier(group(1)).contains(theirs));
    EXPECT_TRUE(rig.store.frontier(group(1)).contains(dot(2, 5)));
}

// Each alone would write the frontier, which is large where much was missed.
TEST_F(ReplicaStoreTest, APageOfMergedRecordsWritesTheFrontierOnceAndAfterThem) {
    std::vector<KeyRecord> page;
    for (uint64_t i = 1; i <= 5; ++i) {
        page.push_back(
            {key(std::to_string(i)), mint({}, {}, testing::write(dot(2, 2 * i), i, "theirs"))});
    }
    rig.engine.batches.clear();
    rig.store.merge_records(group(1), page, {}, [](const absl::Status&) {});
    rig.settle();
    const std::string frontier = storage_keys::frontier(group(1));
    ASSERT_EQ(rig.engine.batches.size(), 6u);
    for (size_t i = 0; i < 5; ++i) {
        EXPECT_THAT(changes_of(rig.engine.batches[i]), Not(Contains(frontier)));
    }
    EXPECT_THAT(changes_of(rig.engine.batches[5]), Contains(frontier));
    for (uint64_t i = 1; i <= 5; ++i) {
        EXPECT_THAT(changes_of(rig.engine.batches[5]),
                    Contains(storage_keys::indexed_dot(group(1), dot(2, 2 * i))));
        EXPECT_TRUE(rig.store.frontier(group(1)).contains(dot(2, 2 * i)));
    }
}

// A frontier with a gap for each write that was replaced would be large, and is written with each
// write meanwhile.
TEST_F(ReplicaStoreTest, APageClaimsWhatItsRecordsHaveSupersededToo) {
    Record record;
    IndexedDots dots{.keys = {key("k")}, .entries = {}};
    Frontier seen;
    for (uint64_t sequence = 1; sequence <= 100; ++sequence) {
        const Dot written = dot(2, sequence);
        record = mint(
            record, Superseded::by_reading(record), testing::write(written, sequence, "theirs"));
        dots.entries.push_back({.dot = written, .key = 0});
        seen.add(written);
    }
    rig.store.merge_records(group(1), {{key("k"), record}}, dots, [](const absl::Status&) {});
    rig.settle();
    EXPECT_EQ(rig.store.frontier(group(1)), seen);
    for (const IndexedDots::Entry& entry : dots.entries) {
        EXPECT_TRUE(
            rig.engine.get(storage_keys::indexed_dot(group(1), entry.dot), nullptr)->has_value());
    }
}

// Else it would never be asked for again, and count as superseded.
TEST_F(ReplicaStoreTest, OfAPageThatIsNotMergedWholeOnlyWhatIsHereIsClaimed) {
    storage::WriteBatch rotten;
    rotten.put(storage_keys::record(group(1), key("a")), "nonsense");
    ASSERT_TRUE(rig.engine.write(rotten, {}).ok());
    absl::Status merged;
    rig.store.merge_records(
        group(1),
        {{key("a"), mint({}, {}, testing::write(dot(2, 1), 1, "theirs"))},
         {key("b"), mint({}, {}, testing::write(dot(2, 2), 1, "theirs"))}},
        {.keys = {key("a"), key("b")},
         .entries = {{.dot = dot(2, 1), .key = 0}, {.dot = dot(2, 2), .key = 1}}},
        [&](absl::Status status) { merged = std::move(status); });
    rig.settle();
    EXPECT_TRUE(absl::IsDataLoss(merged)) << merged;
    EXPECT_EQ(rig.store.frontier(group(1)), testing::frontier({dot(2, 2)}));
}

// The record came with a page before.
TEST_F(ReplicaStoreTest, APageWithoutRecordsClaimsItsDots) {
    rig.store.merge_records(group(1),
                            {},
                            {.keys = {key("k")}, .entries = {{.dot = dot(2, 1), .key = 0}}},
                            [](const absl::Status&) {});
    rig.settle();
    EXPECT_EQ(rig.store.frontier(group(1)), testing::frontier({dot(2, 1)}));
}

// Else its record is stripped of it some day, and the index takes that for a loss.
TEST_F(ReplicaStoreTest, WhatTheIndexHasOfASealedLifeGoesAlsoIfItWasNotSeenBefore) {
    rig.write(group(1), key("k"), 1, "value");
    const Dot unseen = dot(9, 1);
    // A crash has cut off the page that it came with.
    const std::string indexed = storage_keys::indexed_dot(group(1), unseen);
    storage::WriteBatch page;
    page.put(indexed, key("k"));
    ASSERT_TRUE(rig.engine.write(page, {}).ok());
    Frontier sealed;
    sealed.seal(unseen.actor.node, unseen.actor.start + 1);
    rig.store.unite_frontier(group(1), sealed, [](const absl::Status&) {});
    rig.settle();
    rig.store.set_stable(group(1), {});
    rig.settle();
    EXPECT_FALSE(rig.engine.get(indexed, nullptr)->has_value());
}

TEST_F(ReplicaStoreTest, WhatTheEngineRefusesOfAPageIsNotClaimed) {
    rig.engine.write_error = absl::ResourceExhaustedError("full");
    absl::Status merged;
    rig.store.merge_records(group(1),
                            {{key("k"), mint({}, {}, testing::write(dot(2, 5), 1, "theirs"))}},
                            {},
                            [&](absl::Status status) { merged = std::move(status); });
    rig.settle();
    EXPECT_EQ(merged.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_TRUE(rig.store.frontier(group(1)).empty());
}

TEST_F(ReplicaStoreTest, APageThatMetADropClaimsNothing) {
    rig.engine.is_cold = true;
    absl::Status merged;
    rig.store.merge_records(group(1),
                            {{key("k"), mint({}, {}, testing::write(dot(2, 5), 1, "theirs"))}},
                            {},
                            [&](absl::Status status) { merged = std::move(status); });
    rig.store.drop(group(1), [](const absl::Status&) {});
    rig.settle();
    EXPECT_TRUE(absl::IsUnavailable(merged)) << merged;
    EXPECT_TRUE(rig.store.frontier(group(1)).empty());
    EXPECT_FALSE(rig.engine.get(storage_keys::frontier(group(1)), nullptr)->has_value());
}

// The removal of an old one may be in what damage took (shard_healing.h).
TEST_F(ReplicaStoreTest, AFrontierThatIsWrittenAnewWhileItIsEmptyTakesAnOldOneAway) {
    EXPECT_TRUE(rig.store.frontier(group(1)).empty());
    storage::WriteBatch batch;
    rig.store.put_frontier(batch, group(1));
    EXPECT_THAT(changes_of(batch), ElementsAre("-" + storage_keys::frontier(group(1))));
}

TEST_F(ReplicaStoreTest, AScanReturnsAllRecordsInOrderPageByPage) {
    for (const char* name : {"c", "a", "e", "b", "d"}) {
        rig.write(group(1), key(name), 1, std::string(100, name[0]));
    }
    rig.write(group(2), key("elsewhere"), 1, "value");
    std::vector<std::string> names;
    std::string from;
    do {
        absl::StatusOr<ScanPage> page = absl::UnknownError("no answer");
        rig.store.scan(group(1), {.from = from}, 300, [&](absl::StatusOr<ScanPage> found) {
            page = std::move(found);
        });
        rig.settle();
        ASSERT_TRUE(page.ok());
        EXPECT_LE(page->records.size(), 2u);
        for (const KeyRecord& record : page->records) {
            names.emplace_back(split_group_key(record.key).key);
        }
        from = page->next;
    } while (!from.empty());
    EXPECT_THAT(names, ElementsAre("a", "b", "c", "d", "e"));
}

TEST_F(ReplicaStoreTest, AScanEndsBeforeTheEndOfItsRangeAndSaysHowMuchItHasRead) {
    const base::NamespaceId next(base::default_namespace_id.raw() + 1);
    rig.write(group(1), key("a"), 1, std::string(100, 'a'));
    rig.write(group(1), key("\xff\xff"), 1, std::string(100, 'b'));
    rig.write(group(1), group_key(next, ""), 1, std::string(100, 'c'));
    const auto scan = [&](KeyRange range) {
        absl::StatusOr<ScanPage> page = absl::UnknownError("no answer");
        rig.store.scan(group(1), std::move(range), 1000, [&](absl::StatusOr<ScanPage> found) {
            page = std::move(found);
        });
        rig.settle();
        EXPECT_TRUE(page.ok()) << page.status();
        return page.ok() ? *std::move(page) : ScanPage{};
    };
    const ScanPage own = scan({.end = group_keys_end(base::default_namespace_id)});
    ASSERT_EQ(own.records.size(), 2u);
    EXPECT_EQ(own.records[1].key, key("\xff\xff"));
    EXPECT_EQ(own.next, "");
    const ScanPage all = scan({});
    EXPECT_EQ(all.records.size(), 3u);
    EXPECT_GT(own.bytes, 2u * 100);
    EXPECT_GT(all.bytes, own.bytes + 100);
    EXPECT_EQ(group_keys_end(base::NamespaceId(UINT64_MAX)), "");
}

TEST_F(ReplicaStoreTest, BucketsListTheirKeysAndFetchReturnsThoseThatExist) {
    rig.write(group(1), key("k"), 1, "value");
    rig.write(group(1), key("j"), 1, "value");
    absl::StatusOr<ListingPage> listed;
    rig.store.list_buckets(group(1),
                           BucketSet().set(bucket_of(key("j"))).set(bucket_of(key("k"))),
                           key("j"),
                           1000,
                           [&](auto found) { listed = found; });
    absl::StatusOr<std::vector<KeyRecord>> fetched;
    rig.store.fetch(group(1), {key("absent"), key("k")}, [&](auto found) { fetched = found; });
    rig.settle();
    ASSERT_TRUE(listed.ok());
    ASSERT_EQ(listed->keys.size(), 1u);
    EXPECT_EQ(listed->keys[0].key, key("k"));
    EXPECT_EQ(rig.store.summary(group(1))->buckets[bucket_of(key("k"))], listed->keys[0].digest);
    ASSERT_TRUE(fetched.ok());
    ASSERT_EQ(fetched->size(), 1u);
    EXPECT_EQ((*fetched)[0].key, key("k"));
}

// All that another replica takes from here: a page of what it misses, records that it names, and a
// page of a copy.
struct ReplicaStoreGivesTest : ReplicaStoreTest {
    void ask_for_everything() {
        const auto note = [this](const std::string& what) {
            return [this, what](const auto& answer) {
                given.push_back(answer.ok() ? what : std::string(answer.status().message()));
            };
        };
        rig.store.missing(
            group(1), {}, KnownDots::indexed, std::nullopt, 1000, {}, note("missing"));
        rig.store.fetch(group(1), {key("k")}, note("fetched"));
        rig.store.scan(group(1), {}, 1000, note("scanned"));
    }

    std::vector<std::string> given;
};

// A crash would take it from here, and nobody would know that the other has it.
TEST_F(ReplicaStoreGivesTest, NothingIsGivenBeforeItIsDurableHere) {
    rig.write(group(1), key("k"), 1, "value");
    ASSERT_EQ(rig.workers.size(), 1u) << "the sync";
    ask_for_everything();
    // All is read, in any order, and the sync still under way.
    while (rig.workers.size() > 1)
        rig.workers.run_last();
    rig.run_tasks();
    EXPECT_THAT(given, IsEmpty());
    rig.settle();
    EXPECT_THAT(given, UnorderedElementsAre("missing", "fetched", "scanned"));
    given.clear();
    ask_for_everything();
    rig.settle();
    EXPECT_THAT(given, UnorderedElementsAre("missing", "fetched", "scanned"));
    EXPECT_EQ(rig.engine.syncs, 1u) << "it was durable already";
}

TEST_F(ReplicaStoreGivesTest, WhatIsReadBehindASyncUnderWayWaitsForTheNextOne) {
    rig.write(group(1), key("j"), 1, "value");
    rig.write(group(1), key("k"), 1, "value");
    ask_for_everything();
    while (rig.workers.size() > 1)
        rig.workers.run_last();
    rig.run_tasks();
    rig.workers.run_one();
    rig.run_tasks();
    EXPECT_EQ(rig.engine.syncs, 1u);
    EXPECT_THAT(given, IsEmpty()) << "it began before the second write";
    rig.settle();
    EXPECT_EQ(rig.engine.syncs, 2u);
    EXPECT_THAT(given, UnorderedElementsAre("missing", "fetched", "scanned"));
}

TEST_F(ReplicaStoreGivesTest, WhatCouldNotBeSyncedIsNotGiven) {
    rig.engine.sync_error = absl::DataLossError("the disk failed");
    rig.write(group(1), key("k"), 1, "value");
    ask_for_everything();
    rig.settle();
    EXPECT_THAT(given, ElementsAre("the disk failed", "the disk failed", "the disk failed"));
}

// A store that is loaded with what the test has put into its engine.
struct ReplicaStoreLoadTest : ::testing::Test {
    void put(const std::string& stored_key, const std::string& value) {
        storage::WriteBatch batch;
        batch.put(stored_key, value);
        ASSERT_TRUE(rig.engine.write(batch, {}).ok());
    }

    testing::StoreRig rig;
    ReplicaStore store{rig.loop, rig.workers, rig.engine};
};

TEST_F(ReplicaStoreLoadTest, AFrontierThatDoesNotDecodeIsDataLoss) {
    put(storage_keys::frontier(group(1)), "\x07 nonsense");
    EXPECT_TRUE(absl::IsDataLoss(store.load()));
}

TEST_F(ReplicaStoreLoadTest, ChangesWhileTheTreesAreRebuiltAreCountedOnce) {
    rig.write(group(1), key("a"), 1, "old");
    rig.write(group(1), key("b"), 1, "stays");
    rig.settle();
    ASSERT_TRUE(store.load().ok());
    EXPECT_TRUE(absl::IsUnavailable(store.summary(group(1)).status()));
    supersede(store, group(1), key("a"), testing::write(dot(2, 1), 50, "new"));
    supersede(store, group(1), key("c"), testing::write(dot(2, 3), 50, "new"));
    rig.settle();
    ASSERT_TRUE(store.summary(group(1)).ok());
    EXPECT_EQ(store.summary(group(1))->buckets, scan_buckets(rig.engine, group(1)));
    EXPECT_EQ(store.record_count(), 3u);
}

TEST_F(ReplicaStoreTest, GroupsAreCheckedOneAfterTheOther) {
    std::vector<uint16_t> checked;
    for (const uint16_t partition : {uint16_t{1}, uint16_t{2}, uint16_t{3}}) {
        rig.store.check(group(partition), [&checked, partition](const absl::Status& status) {
            EXPECT_TRUE(status.ok()) << status;
            checked.push_back(partition);
        });
    }
    EXPECT_EQ(rig.workers.size(), 1u);
    EXPECT_FALSE(rig.store.is_idle());
    rig.settle();
    EXPECT_THAT(checked, ElementsAre(1, 2, 3));
    EXPECT_TRUE(rig.store.is_idle());
}

TEST_F(ReplicaStoreTest, OfChecksThatAreStoppedNoFurtherOneBegins) {
    std::vector<uint16_t> checked;
    for (const uint16_t partition : {uint16_t{1}, uint16_t{2}, uint16_t{3}}) {
        rig.store.check(group(partition), [&checked, partition](const absl::Status&) {
            checked.push_back(partition);
        });
    }
    rig.store.stop_background();
    rig.settle();
    EXPECT_THAT(checked, ElementsAre(1));
    EXPECT_TRUE(rig.store.is_idle());
}

TEST_F(ReplicaStoreLoadTest, CountsSayNothingUntilAllIsCounted) {
    supersede(rig.store, group(1), key("a"), testing::removal(dot(1, 1), 7));
    rig.settle();
    EXPECT_EQ(rig.store.tombstone_count(), 1u);
    ASSERT_TRUE(store.load().ok());
    // Takes the place of what is not counted yet.
    supersede(store, group(1), key("a"), testing::write(dot(2, 1), 8, "v"));
    EXPECT_EQ(store.tombstone_count(), 0u);
    EXPECT_EQ(store.tombstone_count(group(1)), 0u);
    EXPECT_EQ(store.record_count(), 0u);
    rig.settle();
    EXPECT_EQ(store.tombstone_count(), 0u);
    EXPECT_EQ(store.record_count(), 1u);
}

TEST_F(ReplicaStoreLoadTest, TreesThatWereKeptAreReadyAtOnceAndForOneLifeOnly) {
    rig.write(group(1), key("a"), 1, "value");
    rig.write(group(2), key("b"), 1, "value");
    supersede(rig.store, group(2), key("c"), testing::removal(dot(5, 1), 7));
    rig.settle();
    rig.store.keep_trees();
    ASSERT_TRUE(store.load().ok());
    EXPECT_EQ(rig.workers.size(), 0u) << "nothing is to be read";
    ASSERT_TRUE(store.trees_ready());
    for (const uint16_t partition : {uint16_t{1}, uint16_t{2}}) {
        EXPECT_EQ(store.summary(group(partition))->buckets,
                  scan_buckets(rig.engine, group(partition)));
    }
    EXPECT_EQ(store.record_count(), rig.store.record_count());
    EXPECT_EQ(store.tombstone_count(group(2)), 1u);
    EXPECT_EQ(store.next_tombstone_ms(group(2)), rig.store.next_tombstone_ms(group(2)));

    ReplicaStore next(rig.loop, rig.workers, rig.engine);
    ASSERT_TRUE(next.load().ok());
    EXPECT_FALSE(next.trees_ready());
    rig.settle();
    EXPECT_EQ(next.summary(group(2))->buckets, scan_buckets(rig.engine, group(2)));
}

struct RebuildTest : ReplicaStoreLoadTest {
    void write_and_load() {
        for (uint16_t partition = 1; partition <= 3; ++partition) {
            for (int i = 0; i < 20; ++i) {
                rig.write(group(partition), key(std::to_string(i)), 1, "value");
            }
            supersede(
                rig.store, group(partition), key("a"), testing::removal(dot(5, 1), partition));
        }
        rig.settle();
        store.set_rebuild_pace({.page_bytes = 200,
                                .pause = std::chrono::milliseconds(100),
                                .do_clients_wait = [this] { return do_clients_wait; }});
        ASSERT_TRUE(store.load().ok());
    }
    bool run_page() {
        const bool has_run = rig.workers.run_one();
        rig.run_tasks();
        return has_run;
    }
    bool do_clients_wait = false;
};

TEST_F(RebuildTest, TreesAreCountedPageByPageBesideWhatIsWritten) {
    write_and_load();
    size_t pages = 0;
    while (!store.trees_ready()) {
        ++pages;
        supersede(store,
                  group(static_cast<uint16_t>(1 + pages % 3)),
                  key(std::to_string(pages % 25)),
                  testing::write(dot(8, pages), 100 + pages, "another"));
        ASSERT_TRUE(run_page());
    }
    rig.settle();
    EXPECT_GT(pages, 20u);
    for (uint16_t partition = 1; partition <= 3; ++partition) {
        EXPECT_EQ(store.summary(group(partition))->buckets,
                  scan_buckets(rig.engine, group(partition)));
        EXPECT_EQ(store.tombstone_count(group(partition)), 1u);
    }
}

TEST_F(RebuildTest, ThePagesWaitWhileClientsDo) {
    do_clients_wait = true;
    write_and_load();
    const env::SimTime begin = rig.scheduler.now();
    for (int page = 1; page <= 5; ++page) {
        ASSERT_TRUE(run_page());
        EXPECT_EQ(rig.scheduler.now() - begin, page * std::chrono::milliseconds(100));
    }
    do_clients_wait = false;
    rig.settle();
    EXPECT_TRUE(store.trees_ready());
    EXPECT_EQ(rig.scheduler.now() - begin, std::chrono::milliseconds(500));
}

TEST_F(RebuildTest, OneThatIsStoppedWhileAPageIsReadReadsNoMore) {
    write_and_load();
    store.stop_background();
    EXPECT_FALSE(store.is_idle());
    ASSERT_TRUE(run_page());
    EXPECT_FALSE(run_page());
    EXPECT_TRUE(store.is_idle());
    EXPECT_FALSE(store.trees_ready());
}

TEST_F(RebuildTest, OneThatIsStoppedBetweenTwoPagesReadsNoMore) {
    do_clients_wait = true;
    write_and_load();
    ASSERT_TRUE(rig.workers.run_one());
    rig.scheduler.run_for(std::chrono::milliseconds(1));
    EXPECT_TRUE(store.is_idle());
    store.stop_background();
    EXPECT_FALSE(run_page());
    EXPECT_FALSE(store.trees_ready());
}

TEST_F(ReplicaStoreLoadTest, HowFarAGroupWasCopiedIsKnownAfterAStartUntilItIsDropped) {
    uint64_t sequence = 0;
    const auto copy = [&](const std::string& name, const std::string& up_to) {
        KeyRecord record{.key = key(name), .record = {}};
        ++sequence;
        record.record = mint(Record{},
                             Superseded::by_reading(Record{}),
                             testing::write(dot(1, sequence), sequence, "v"));
        absl::Status copied = absl::UnknownError("no answer");
        rig.store.copy_records(
            group(1), {record}, up_to, [&](const absl::Status& status) { copied = status; });
        rig.settle();
        EXPECT_TRUE(copied.ok()) << copied;
    };
    copy("a", "ab");
    EXPECT_TRUE(rig.store.frontier(group(1)).empty());
    ASSERT_TRUE(store.load().ok());
    EXPECT_EQ(store.copied_up_to(group(1)), "ab");
    EXPECT_EQ(store.copied_up_to(group(2)), "");
    copy("b", "");
    EXPECT_EQ(rig.store.copied_up_to(group(1)), "");
    copy("c", "cde");
    rig.store.drop(group(1), [](const absl::Status&) {});
    EXPECT_EQ(rig.store.copied_up_to(group(1)), "");
    rig.settle();
    ReplicaStore next(rig.loop, rig.workers, rig.engine);
    ASSERT_TRUE(next.load().ok());
    EXPECT_EQ(next.copied_up_to(group(1)), "");
    rig.settle();
}

TEST_F(ReplicaStoreLoadTest, AnEmptyStoreKeepsItsTreesToo) {
    rig.store.keep_trees();
    ASSERT_TRUE(store.load().ok());
    EXPECT_TRUE(store.trees_ready());
    EXPECT_EQ(store.record_count(), 0u);
}

TEST_F(ReplicaStoreLoadTest, TreesThatCannotBeReadAreBuiltAgain) {
    rig.write(group(1), key("a"), 1, "value");
    rig.settle();
    rig.store.keep_trees();
    put(storage_keys::tree(group(1)), "nonsense");
    ASSERT_TRUE(store.load().ok());
    EXPECT_FALSE(store.trees_ready());
    rig.settle();
    EXPECT_TRUE(store.damage().ok());
    EXPECT_EQ(store.summary(group(1))->buckets, scan_buckets(rig.engine, group(1)));
}

TEST_F(ReplicaStoreLoadTest, TreesOfAStoreThatIsCountingOrDamagedAreNotKept) {
    put(storage_keys::record(group(1), key("damaged")), "nonsense");
    ASSERT_TRUE(store.load().ok());
    store.keep_trees();
    rig.settle();
    EXPECT_TRUE(absl::IsDataLoss(store.damage()));
    store.keep_trees();
    ReplicaStore next(rig.loop, rig.workers, rig.engine);
    ASSERT_TRUE(next.load().ok());
    EXPECT_FALSE(next.trees_ready());
    rig.settle();
}

TEST_F(ReplicaStoreLoadTest, DamageOfTheIndexOfExpiriesIsMetByWhoLooksForWhatHasExpired) {
    rig.write(group(1), key("a"), 1, "value");
    rig.write(group(2), key("b"), 1, "value");
    put(storage_keys::expiries_prefix(group(1)) + "nonsense", "a");
    rig.settle();
    ASSERT_TRUE(store.load().ok());
    rig.settle();
    EXPECT_TRUE(absl::IsDataLoss(store.damage()));
    EXPECT_THAT(store.expiries().due(1), ElementsAre(group(1), group(2)));
    for (const uint16_t partition : {uint16_t{1}, uint16_t{2}}) {
        store.expired(group(partition), 1, "", 10, [](const auto&) {});
    }
    rig.settle();
    EXPECT_THAT(store.damaged_groups(), ElementsAre(group(1)));
}

TEST_F(ReplicaStoreLoadTest, ADropDuringTheRebuildHidesTheGroupAtOnceAndEmptiesItAfterwards) {
    rig.write(group(1), key("a"), 1, "value");
    rig.settle();
    ASSERT_TRUE(store.load().ok());
    bool is_dropped = false;
    store.drop(group(1), [&](const absl::Status& status) { is_dropped = status.ok(); });
    EXPECT_THAT(store.groups(), IsEmpty());
    rig.settle();
    EXPECT_TRUE(is_dropped);
    EXPECT_EQ(store.record_count(), 0u);
    EXPECT_EQ(store.summary(group(1))->buckets, BucketDigests{});
    EXPECT_EQ(scan_buckets(rig.engine, group(1)), BucketDigests{});
}

TEST_F(ReplicaStoreLoadTest, WhatADropThatWasCutOffHasLeftIsKnownAtOnceAndCanBeDroppedAgain) {
    rig.write(group(1), key("a"), 1, "left over");
    rig.write(group(2), key("b"), 1, "value");
    rig.settle();
    storage::WriteBatch cut_off;
    cut_off.remove(storage_keys::frontier(group(1)));
    ASSERT_TRUE(rig.engine.write(cut_off, {}).ok());
    ASSERT_TRUE(store.load().ok());
    EXPECT_THAT(store.groups_of(group(1).partition), ElementsAre(group(1)));
    store.drop(group(1), [](const absl::Status&) {});
    rig.settle();
    EXPECT_EQ(scan_buckets(rig.engine, group(1)), BucketDigests{});
    EXPECT_THAT(store.groups(), ElementsAre(group(2)));
}

TEST_F(ReplicaStoreLoadTest, ADamagedRecordLeavesTheTreesUnreadyAndHoldsUpNoDrop) {
    put(storage_keys::record(group(1), key("damaged")), "nonsense");
    rig.write(group(2), key("fine"), 1, "value");
    rig.settle();
    ASSERT_TRUE(store.load().ok());
    EXPECT_TRUE(store.has_records());
    bool is_dropped = false;
    store.drop(group(2), [&](const absl::Status& status) { is_dropped = status.ok(); });
    rig.settle();
    EXPECT_TRUE(is_dropped);
    EXPECT_FALSE(store.trees_ready());
    EXPECT_TRUE(absl::IsDataLoss(store.damage()));
    EXPECT_TRUE(absl::IsDataLoss(store.summary(group(1)).status()));
    absl::StatusOr<Record> read;
    store.read(group(1), key("damaged"), [&](auto found) { read = std::move(found); });
    rig.settle();
    EXPECT_TRUE(absl::IsDataLoss(read.status()));
}

TEST_F(ReplicaStoreLoadTest, WhatADamagedGroupHasLostIsKnownUntilItIsGone) {
    put(storage_keys::record(group(1), key("damaged")), "nonsense");
    rig.write(group(1), key("whole"), 1, "value");
    rig.write(group(2), key("fine"), 1, "value");
    rig.settle();
    ASSERT_TRUE(store.load().ok());
    rig.settle();
    EXPECT_THAT(store.damaged_groups(), IsEmpty()) << "the trees are of all groups";
    absl::StatusOr<Record> read;
    store.read(group(1), key("damaged"), [&](auto found) { read = std::move(found); });
    EXPECT_THAT(store.damaged_groups(), ElementsAre(group(1)));
    absl::Status of_1;
    absl::Status of_2 = absl::UnknownError("not called");
    store.check(group(1), [&](absl::Status status) { of_1 = std::move(status); });
    store.check(group(2), [&](absl::Status status) { of_2 = std::move(status); });
    rig.settle();
    EXPECT_TRUE(absl::IsDataLoss(of_1)) << of_1;
    EXPECT_TRUE(of_2.ok()) << of_2;
    store.drop(group(1), [](const absl::Status&) {});
    rig.settle();
    store.damage_is_gone();
    EXPECT_FALSE(store.trees_ready());
    rig.settle();
    EXPECT_TRUE(store.trees_ready());
    EXPECT_TRUE(store.damage().ok());
    EXPECT_THAT(store.damaged_groups(), IsEmpty());
    EXPECT_EQ(store.record_count(), 1u);
    EXPECT_EQ(store.summary(group(2))->buckets, scan_buckets(rig.engine, group(2)));
}

TEST_F(ReplicaStoreLoadTest, TreesThatAreRebuiltDuringADropHaveNothingOfIt) {
    put(storage_keys::record(group(1), key("damaged")), "nonsense");
    rig.write(group(2), key("fine"), 1, "value");
    rig.settle();
    ASSERT_TRUE(store.load().ok());
    store.drop(group(1), [](const absl::Status&) {});
    rig.settle();
    ASSERT_FALSE(store.trees_ready());
    bool is_dropped = false;
    store.drop(group(2), [&](const absl::Status& status) { is_dropped = status.ok(); });
    store.damage_is_gone();
    // Its sync, then its pages before what was read for the trees is added.
    ASSERT_TRUE(rig.workers.run_one());
    rig.run_tasks();
    while (!is_dropped) {
        ASSERT_TRUE(rig.workers.run_last());
        rig.run_tasks();
    }
    EXPECT_FALSE(store.trees_ready());
    rig.settle();
    EXPECT_TRUE(store.trees_ready());
    EXPECT_THAT(store.groups(), IsEmpty());
    EXPECT_EQ(store.record_count(), 0u);
}

// Without it tombstones stayed for ever where a block of the index had rotted.
TEST_F(ReplicaStoreLoadTest, DamageOfTheIndexAndOfTheListOfTombstonesIsMetByWhoReadsThem) {
    const Dot seen = rig.write(group(1), key("a"), 1, "value");
    rig.write(group(2), key("b"), 1, "value");
    put(storage_keys::indexed_dots_prefix(group(1)) + "nonsense", "a");
    put(storage_keys::tombstones_prefix(group(2)) + "nonsense", "b");
    rig.settle();
    ASSERT_TRUE(store.load().ok());
    rig.settle();
    EXPECT_THAT(store.damaged_groups(), IsEmpty());
    Frontier stable;
    stable.add(seen);
    store.set_stable(group(1), stable);
    rig.settle();
    EXPECT_THAT(store.damaged_groups(), ElementsAre(group(1)));
    absl::Status collected;
    store.collect(
        group(2),
        0,
        UINT64_MAX,
        [](base::NamespaceId) { return std::optional<bool>(false); },
        [&](const auto& result) { collected = result.status(); });
    rig.settle();
    EXPECT_TRUE(absl::IsDataLoss(collected)) << collected;
    EXPECT_THAT(store.damaged_groups(), ElementsAre(group(1), group(2)));
}

TEST_F(ReplicaStoreLoadTest, AWriteIsUnsharedWhileItIsInItsRecordAndTheOthersHaveNotSeenIt) {
    const Dot a = rig.write(group(1), key("a"), 1, "value");
    const Dot b = rig.write(group(1), key("b"), 2, "value");
    rig.settle();
    ASSERT_TRUE(store.load().ok());
    rig.settle();
    const auto unshared = [&](const Frontier& others) {
        std::vector<Dot> dots;
        store.unshared(group(1), store.frontier(group(1)), others, 10, [&](const auto& found) {
            ASSERT_TRUE(found.ok()) << found.status();
            for (const IndexedDot& indexed : *found)
                dots.push_back(indexed.dot);
        });
        rig.settle();
        return dots;
    };
    EXPECT_THAT(unshared({}), UnorderedElementsAre(a, b));
    Frontier others;
    others.add(a);
    EXPECT_THAT(unshared(others), ElementsAre(b));
    put(storage_keys::record(group(1), key("b")), "nonsense");
    rig.settle();
    EXPECT_THAT(unshared(others), IsEmpty()) << "it cannot be read any more";
}

// The LSM on a disk that can lose power, with workers that take their time.
struct LsmLife {
    LsmLife(env::SimProcess& process, env::SimFileSystem& files) : loop(process), workers(process) {
        storage::EngineOptions options;
        options.memory_bytes_max = 16384;
        options.block_cache_bytes = 4096;
        options.block_bytes = 256;
        options.table_bytes = 2048;
        options.level_bytes_base = 4096;
        auto opened = storage::open_engine("/data", options, storage::environment(files, workers));
        EXPECT_TRUE(opened.ok()) << opened.status();
        engine = *std::move(opened);
        store = std::make_unique<ReplicaStore>(loop, workers, *engine);
        store->set_rebuild_pace({.page_bytes = 500});
        EXPECT_TRUE(store->load().ok());
    }

    env::SimLoop loop;
    env::SimWorkers workers;
    std::unique_ptr<storage::Engine> engine;
    std::unique_ptr<ReplicaStore> store;
};

// Damage has stopped merging, and is given up only when no seat moves any more.
TEST(ReplicaStoreDropTest, AGroupIsDroppedWhileTablesWaitToBeMerged) {
    testing::StoreRig rig;
    rig.write(group(1), key("a"), 7, "value");
    rig.settle();
    rig.engine.is_stalled = true;
    absl::Status dropped = absl::UnknownError("no answer");
    rig.store.drop(group(1), [&](const absl::Status& status) { dropped = status; });
    rig.settle();
    EXPECT_TRUE(dropped.ok()) << dropped;
    rig.engine.is_stalled = false;
    const auto found = rig.read(group(1), key("a"));
    ASSERT_TRUE(found.ok());
    EXPECT_TRUE(found->siblings.empty());
}

TEST(ReplicaStoreLsmTest, TreesFrontiersAndRecordsAgreeAfterRandomChangesAndPowerLosses) {
    constexpr uint16_t group_count = 3;
    constexpr int key_count = 40;
    env::SimScheduler scheduler;
    env::SimProcess process(scheduler, "node", env::SimRandom(1));
    env::SimFileSystem files;
    env::SimRandom random(20);
    std::vector<std::pair<GroupId, Dot>> acknowledged;
    uint64_t request = 0;
    size_t refused = 0;
    for (uint64_t number = 1; number <= 8; ++number) {
        auto life = std::make_unique<LsmLife>(process, files);
        for (int step = 0; step < 300; ++step) {
            const GroupId id = group(static_cast<uint16_t>(random.below(group_count)));
            const std::string name = key(std::to_string(random.below(key_count)));
            const bool is_delete = random.chance(200'000);
            auto fresh = std::make_shared<Dot>();
            life->store->update(
                id,
                name,
                [&, number, id, is_delete, fresh](Record& record, Frontier& frontier) {
                    *fresh = dot(number, life->store->upcoming_sequence(id));
                    ++request;
                    record = mint(record,
                                  Superseded::by_reading(record),
                                  is_delete ? testing::removal(*fresh, request)
                                            : testing::write(*fresh, request, "some value"));
                    record.gone.clear();
                    frontier.add(*fresh);
                    return absl::OkStatus();
                },
                [&life, id] { life->store->use_sequence(id); },
                [&, id, fresh](const absl::Status& status) {
                    if (status.ok()) {
                        acknowledged.emplace_back(id, *fresh);
                    } else {
                        ++refused;
                    }
                });
            if (random.chance(300'000)) {
                scheduler.run_for(std::chrono::microseconds(random.below(2000)));
            }
        }
        if (number % 2 == 0) {
            while (scheduler.run_one()) {
            }
            for (uint16_t partition = 0; partition < group_count; ++partition) {
                const auto summary = life->store->summary(group(partition));
                ASSERT_TRUE(summary.ok());
                EXPECT_EQ(summary->buckets, scan_buckets(*life->engine, group(partition)));
                EXPECT_EQ(summary->frontier.gap_count(), 0u);
                for (const auto& [id, seen] : acknowledged) {
                    EXPECT_TRUE(id != group(partition) || summary->frontier.contains(seen));
                }
            }
        }
        process.crash();
        life.reset();
        files.crash(number % 3 == 0 ? env::CrashMode::torn : env::CrashMode::lost, random);
        process.restart();
    }
    EXPECT_GT(acknowledged.size(), 500u);
    EXPECT_LT(refused, 1000u);
}

}  // namespace
}  // namespace starling::node
