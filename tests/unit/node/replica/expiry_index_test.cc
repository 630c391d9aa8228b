#include "node/replica/expiry_index.h"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "node/replica/storage_keys.h"
#include "node/version/expiry.h"
#include "tests/unit/node/replica/store_rig.h"

namespace starling::node {
namespace {

using testing::dot;
using ::testing::ElementsAre;
using testing::group;
using ::testing::IsEmpty;
using testing::key;
using testing::StoreRig;

struct ExpiryIndexTest : ::testing::Test {
    // A new write by node 1 beside what is there.
    Dot put(GroupId id, const std::string& name, uint64_t expires_ms) {
        const Dot by = rig.next_dot(id, 1);
        change(id, name, [&](Record& record, Frontier& frontier) {
            NewWrite write = testing::write(by, 1000 + by.sequence, name);
            write.expires_ms = expires_ms;
            record = mint(record, {}, std::move(write));
            frontier.add(by);
        });
        return by;
    }
    void change(GroupId id, const std::string& name, std::function<void(Record&, Frontier&)> how) {
        rig.store.update(
            id,
            key(name),
            [how = std::move(how)](Record& record, Frontier& frontier) {
                how(record, frontier);
                return absl::OkStatus();
            },
            nullptr,
            [](const absl::Status&) {});
        rig.settle();
    }
    static std::vector<std::string> keys_of(const ExpiryIndex::Page& page) {
        std::vector<std::string> keys;
        for (const ExpiryIndex::Entry& entry : page.entries) {
            keys.emplace_back(split_group_key(entry.key).key);
        }
        return keys;
    }
    ExpiryIndex::Page page(GroupId id,
                           uint64_t until_ms,
                           const std::string& from = "",
                           size_t count_max = 10) {
        const auto found = ExpiryIndex::page(rig.engine, id, until_ms, from, count_max);
        EXPECT_TRUE(found.ok()) << found.status();
        return found.value_or(ExpiryIndex::Page{});
    }
    uint64_t earliest(GroupId id) { return rig.store.expiries().earliest_ms(id); }

    StoreRig rig;
};

TEST_F(ExpiryIndexTest, ListsWhatIsDueTheEarliestFirst) {
    put(group(1), "c", 300);
    put(group(1), "a", 200);
    put(group(1), "b", 100);
    put(group(1), "stays", 0);
    put(group(2), "other", 50);
    EXPECT_THAT(keys_of(page(group(1), 200)), ElementsAre("b", "a"));
    EXPECT_EQ(page(group(1), 200).next_ms, 300u);
    EXPECT_THAT(page(group(1), 200).next, IsEmpty());
    EXPECT_THAT(keys_of(page(group(1), 99)), IsEmpty());
    EXPECT_EQ(page(group(1), 999).next_ms, ExpiryIndex::never);
}

TEST_F(ExpiryIndexTest, PagesFollowOneAnotherWithoutGapOrRepetition) {
    for (int i = 0; i < 5; ++i)
        put(group(1),
            std::string(1, static_cast<char>('a' + i)),
            100 + static_cast<uint64_t>(i / 2));
    const ExpiryIndex::Page first = page(group(1), 999, "", 3);
    EXPECT_THAT(keys_of(first), ElementsAre("a", "b", "c"));
    ASSERT_FALSE(first.next.empty());
    const ExpiryIndex::Page second = page(group(1), 999, first.next, 3);
    EXPECT_THAT(keys_of(second), ElementsAre("d", "e"));
    EXPECT_TRUE(second.next.empty());
}

TEST_F(ExpiryIndexTest, AnEntryGoesInTheBatchThatTakesItsValue) {
    const Dot by = put(group(1), "k", 100);
    const auto stored = [&] {
        return rig.engine
            .get(storage_keys::expiry({.group = group(1), .expires_ms = 100, .dot = by}), nullptr)
            ->has_value();
    };
    EXPECT_TRUE(stored());
    const size_t batches = rig.engine.batches.size();
    const Dot removal = rig.next_dot(group(1), 1);
    change(group(1), "k", [&](Record& record, Frontier& frontier) {
        record = mint_removal(record, record.siblings.front(), removal);
        frontier.add(removal);
    });
    EXPECT_EQ(rig.engine.batches.size(), batches + 1);
    EXPECT_FALSE(stored());
    EXPECT_THAT(keys_of(page(group(1), 999)), IsEmpty()) << "a removal does not expire";
}

TEST_F(ExpiryIndexTest, APutThatDoesNotExpireTakesTheEntryOfWhatItReplaces) {
    put(group(1), "k", 100);
    change(group(1), "k", [&](Record& record, Frontier& frontier) {
        const Dot by = rig.next_dot(group(1), 2);
        record = mint(record, Superseded::by_reading(record), testing::write(by, 2000, "plain"));
        frontier.add(by);
    });
    EXPECT_THAT(keys_of(page(group(1), 999)), IsEmpty());
}

TEST_F(ExpiryIndexTest, ALookAtAGroupInWhichNothingIsDueNeedsNoDisk) {
    EXPECT_EQ(earliest(group(1)), ExpiryIndex::never);
    put(group(1), "later", 300);
    put(group(1), "sooner", 200);
    put(group(2), "k", 250);
    EXPECT_EQ(earliest(group(1)), 200u);
    EXPECT_THAT(rig.store.expiries().due(199), IsEmpty());
    EXPECT_THAT(rig.store.expiries().due(200), ElementsAre(group(1)));
    EXPECT_THAT(rig.store.expiries().due(250), ElementsAre(group(1), group(2)));
}

TEST_F(ExpiryIndexTest, WhatIsWrittenDuringAPassIsNotForgottenAtItsEnd) {
    put(group(1), "k", 100);
    rig.store.expiries().begin_pass(group(1));
    put(group(1), "meanwhile", 150);
    rig.store.expiries().end_pass(group(1), 500);
    EXPECT_EQ(earliest(group(1)), 150u);
    rig.store.expiries().begin_pass(group(1));
    rig.store.expiries().end_pass(group(1), ExpiryIndex::never);
    EXPECT_THAT(rig.store.expiries().due(~0ull), IsEmpty());
}

TEST_F(ExpiryIndexTest, AStartFindsTheEarliestOfEachGroup) {
    put(group(1), "later", 300);
    put(group(1), "sooner", 200);
    put(group(3), "k", 250);
    ExpiryIndex restarted;
    ASSERT_TRUE(restarted.load(rig.engine).ok());
    EXPECT_EQ(restarted.earliest_ms(group(1)), 200u);
    EXPECT_EQ(restarted.earliest_ms(group(2)), ExpiryIndex::never);
    EXPECT_EQ(restarted.earliest_ms(group(3)), 250u);
}

TEST_F(ExpiryIndexTest, ADroppedGroupLeavesNoEntry) {
    put(group(1), "k", 100);
    rig.store.drop(group(1), [](const absl::Status&) {});
    rig.settle();
    EXPECT_EQ(earliest(group(1)), ExpiryIndex::never);
    EXPECT_THAT(keys_of(page(group(1), 999)), IsEmpty());
}

TEST_F(ExpiryIndexTest, AnEntryThatDoesNotDecodeIsDamage) {
    storage::WriteBatch batch;
    batch.put(storage_keys::expiries_prefix(group(1)) + "short", "k");
    ASSERT_TRUE(rig.engine.write(batch, {}).ok());
    ExpiryIndex index;
    EXPECT_TRUE(absl::IsDataLoss(index.load(rig.engine)));
    EXPECT_TRUE(absl::IsDataLoss(ExpiryIndex::page(rig.engine, group(1), 999, "", 10).status()));
}

}  // namespace
}  // namespace starling::node
