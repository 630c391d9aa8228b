// What is built from an engine's calls, over every engine.

#include "storage/operations.h"

#include <chrono>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "storage/transaction.h"
#include "tests/unit/storage/intercepted_engine.h"
#include "tests/unit/storage/test_support.h"

namespace starling::storage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class OperationsTest : public testing::TestWithParam<std::string> {
  protected:
    OperationsTest() {
        auto opened =
            open_engine("/data",
                        small_options(GetParam()),
                        {.files = files, .workers = workers, .clock = clock, .wall_clock = clock});
        EXPECT_TRUE(opened.ok()) << opened.status();
        auto wrapped = std::make_unique<InterceptedEngine>(*std::move(opened));
        intercepted = wrapped.get();
        engine = std::move(wrapped);
    }

    base::WallTime in(std::chrono::milliseconds time) { return clock.wall_now() + time; }
    void put_expiring(std::string_view key,
                      std::string_view value,
                      std::chrono::milliseconds time) {
        WriteBatch batch;
        batch.put(key, value, in(time));
        ASSERT_TRUE(engine->write(batch).ok());
    }
    static std::vector<std::string> keys(const ScanPage& page) {
        std::vector<std::string> result;
        for (const ScanEntry& entry : page.entries) {
            result.push_back(entry.key);
        }
        return result;
    }
    static std::vector<std::string> walk(Iterator& iterator) {
        std::vector<std::string> result;
        for (iterator.seek_to_first(); iterator.valid(); iterator.next()) {
            result.push_back(fmt::format("{}={}", iterator.key(), iterator.value()));
        }
        EXPECT_TRUE(iterator.status().ok());
        return result;
    }
    static std::vector<std::string> walk_back(Iterator& iterator) {
        std::vector<std::string> result;
        for (iterator.seek_to_last(); iterator.valid(); iterator.previous()) {
            result.push_back(fmt::format("{}={}", iterator.key(), iterator.value()));
        }
        EXPECT_TRUE(iterator.status().ok());
        return result;
    }

    env::SimFileSystem files;
    QueueWorkers workers;
    ManualClock clock;
    std::unique_ptr<Engine> engine;
    InterceptedEngine* intercepted = nullptr;
};

INSTANTIATE_TEST_SUITE_P(Engines,
                         OperationsTest,
                         testing::Values("lsm", "bitcask", "in_memory"),
                         [](const auto& tested) { return tested.param; });

TEST(PrefixUpperBoundTest, IsTheFirstKeyBehindAllWithThePrefix) {
    EXPECT_EQ(prefix_upper_bound("foo"), "fop");
    EXPECT_EQ(prefix_upper_bound("ab\xff"), "ac");
    EXPECT_EQ(prefix_upper_bound("\x7f"), "\x80");
    EXPECT_EQ(prefix_upper_bound("\xff\xff"), std::nullopt);
    EXPECT_EQ(prefix_upper_bound(""), std::nullopt);
}

TEST_P(OperationsTest, ManyValuesComeInTheOrderOfTheirKeys) {
    ASSERT_TRUE(put(*engine, "a", "1").ok());
    ASSERT_TRUE(put(*engine, "b", "").ok());
    const std::vector<std::string> wanted = {"b", "missing", "a", "b"};
    const auto values = get_many(*engine, wanted);
    ASSERT_TRUE(values.ok()) << values.status();
    EXPECT_THAT(*values, ElementsAre("", std::nullopt, "1", ""));
    EXPECT_TRUE(*contains(*engine, "b"));
    EXPECT_FALSE(*contains(*engine, "missing"));
}

TEST_P(OperationsTest, ManyValuesAreOfOneMoment) {
    ASSERT_TRUE(put(*engine, "a", "1").ok());
    ASSERT_TRUE(put(*engine, "b", "1").ok());
    intercepted->before_get = [&] {
        WriteBatch batch;
        batch.put("a", "2");
        batch.put("b", "2");
        ASSERT_TRUE(engine->write(batch).ok());
    };
    const std::vector<std::string> wanted = {"a", "b"};
    EXPECT_THAT(*get_many(*engine, wanted), ElementsAre("1", "1"));
}

TEST_P(OperationsTest, KeysOfARangeAreCounted) {
    for (const char* key : {"a", "b", "c", "d"}) {
        ASSERT_TRUE(put(*engine, key, "v").ok());
    }
    ASSERT_TRUE(remove(*engine, "c").ok());
    EXPECT_EQ(*count(*engine, "", ""), 3u);
    EXPECT_EQ(*count(*engine, "b", "d"), 1u);
    EXPECT_EQ(*count(*engine, "b", ""), 2u);
    EXPECT_EQ(*count(*engine, "x", "y"), 0u);
}

TEST_P(OperationsTest, PagesOfAScanPutTogetherAreTheRange) {
    for (int i = 0; i < 25; ++i) {
        ASSERT_TRUE(put(*engine, fmt::format("key{:02}", i), "value").ok());
    }
    for (const bool reverse : {false, true}) {
        ScanOptions options{.begin = "key03", .end = "key20", .reverse = reverse, .entries_max = 5};
        std::vector<std::string> seen;
        std::vector<size_t> sizes;
        for (bool more = true; more;) {
            const auto page = scan(*engine, options);
            ASSERT_TRUE(page.ok()) << page.status();
            sizes.push_back(page->entries.size());
            for (const std::string& key : keys(*page)) {
                seen.push_back(key);
            }
            more = page->has_more;
            (reverse ? options.end : options.begin) = page->next;
        }
        EXPECT_THAT(sizes, ElementsAre(5u, 5u, 5u, 2u));
        ASSERT_EQ(seen.size(), 17u);
        EXPECT_EQ(seen.front(), reverse ? "key19" : "key03");
        EXPECT_EQ(seen.back(), reverse ? "key03" : "key19");
    }
}

TEST_P(OperationsTest, APageEndsAtItsBytesButHoldsOneEntryAtLeast) {
    for (const char* key : {"a", "b", "c"}) {
        ASSERT_TRUE(put(*engine, key, std::string(99, 'v')).ok());
    }
    const auto page_of = [&](uint64_t bytes) {
        return *scan(*engine, {.begin = {}, .end = {}, .bytes_max = bytes});
    };
    EXPECT_EQ(page_of(200).entries.size(), 2u);
    EXPECT_TRUE(page_of(200).has_more);
    EXPECT_EQ(page_of(199).entries.size(), 1u);
    EXPECT_EQ(page_of(1).entries.size(), 1u);
    EXPECT_EQ(page_of(300).entries.size(), 3u);
    EXPECT_FALSE(page_of(300).has_more);
}

TEST_P(OperationsTest, APrefixScanShowsWhatBeginsWithThePrefix) {
    for (const char* key : {"fo", "foo", "foo\xff", "foobar", "fop", "\xff\xff", "\xff\xff\x01"}) {
        ASSERT_TRUE(put(*engine, key, "v").ok());
    }
    EXPECT_THAT(keys(*scan_prefix(*engine, "foo")), ElementsAre("foo", "foobar", "foo\xff"));
    EXPECT_THAT(keys(*scan_prefix(*engine, "\xff\xff")), ElementsAre("\xff\xff", "\xff\xff\x01"));
    EXPECT_EQ(scan_prefix(*engine, "")->entries.size(), 7u);
    ScanOptions second;
    const auto first = scan_prefix(*engine, "foo", {.begin = {}, .end = {}, .entries_max = 2});
    ASSERT_TRUE(first->has_more);
    second.begin = first->next;
    EXPECT_THAT(keys(*scan_prefix(*engine, "foo", second)), ElementsAre("foo\xff"));
}

TEST_P(OperationsTest, TheFloorIsTheLastKeyNotAboveTheOneAskedFor) {
    for (const char* key : {"b", "d"}) {
        ASSERT_TRUE(put(*engine, key, key).ok());
    }
    const auto floor = [&](std::string_view key) {
        const auto found = find_floor(*engine, key);
        EXPECT_TRUE(found.ok()) << found.status();
        return found->has_value() ? (*found)->key : "(none)";
    };
    EXPECT_EQ(floor("a"), "(none)");
    EXPECT_EQ(floor("b"), "b");
    EXPECT_EQ(floor("c"), "b");
    EXPECT_EQ(floor("d"), "d");
    EXPECT_EQ(floor("z"), "d");
}

TEST_P(OperationsTest, ASwapHappensOnlyWhenTheValueIsTheExpectedOne) {
    EXPECT_FALSE(*compare_and_swap(*engine, "k", "1", "2"));
    EXPECT_EQ(read(*engine, "k"), "(none)");
    EXPECT_TRUE(*compare_and_swap(*engine, "k", std::nullopt, "1"));
    EXPECT_FALSE(*compare_and_swap(*engine, "k", std::nullopt, "2"));
    EXPECT_TRUE(*compare_and_swap(*engine, "k", "1", "2"));
    EXPECT_EQ(read(*engine, "k"), "2");
    EXPECT_FALSE(*compare_and_swap(*engine, "k", "1", std::nullopt));
    EXPECT_TRUE(*compare_and_swap(*engine, "k", "2", std::nullopt));
    EXPECT_EQ(read(*engine, "k"), "(none)");
}

TEST_P(OperationsTest, WhatHasExpiredCountsAsAbsentForASwap) {
    put_expiring("k", "1", std::chrono::milliseconds(10));
    clock.advance(std::chrono::milliseconds(10));
    EXPECT_FALSE(*compare_and_swap(*engine, "k", "1", "2"));
    EXPECT_TRUE(*compare_and_swap(*engine, "k", std::nullopt, "2"));
}

TEST_P(OperationsTest, AnExpiryIsSetReadAndCleared) {
    ASSERT_TRUE(put(*engine, "k", "v").ok());
    EXPECT_EQ(*expiry_of(*engine, "k"), never);
    EXPECT_FALSE(*persist(*engine, "k"));
    const base::WallTime soon = in(std::chrono::seconds(5));
    ASSERT_TRUE(set_expiry(*engine, "k", soon).ok());
    EXPECT_EQ(*expiry_of(*engine, "k"), base::to_unix_ms(soon));
    EXPECT_TRUE(*persist(*engine, "k"));
    EXPECT_EQ(*expiry_of(*engine, "k"), never);
    clock.advance(std::chrono::seconds(10));
    EXPECT_EQ(read(*engine, "k"), "v");
}

TEST_P(OperationsTest, APlainPutClearsTheExpiry) {
    put_expiring("k", "1", std::chrono::milliseconds(10));
    ASSERT_TRUE(put(*engine, "k", "2").ok());
    EXPECT_EQ(*expiry_of(*engine, "k"), never);
    clock.advance(std::chrono::seconds(1));
    EXPECT_EQ(read(*engine, "k"), "2");
}

TEST_P(OperationsTest, AnExpiryOfAMissingKeyIsAnError) {
    put_expiring("expired", "1", std::chrono::milliseconds(10));
    clock.advance(std::chrono::milliseconds(10));
    for (const char* key : {"missing", "expired"}) {
        for (const absl::Status& status : {set_expiry(*engine, key, in(std::chrono::seconds(1))),
                                           expiry_of(*engine, key).status(),
                                           persist(*engine, key).status()}) {
            EXPECT_TRUE(absl::IsNotFound(status)) << status;
            EXPECT_EQ(base::reason_of(status), base::reason::key_not_found);
            EXPECT_THAT(std::string(status.message()), HasSubstr(key));
        }
    }
}

TEST_P(OperationsTest, AnExpirySetWhileAnotherWritesIsOfTheNewValue) {
    ASSERT_TRUE(put(*engine, "k", "1").ok());
    intercepted->before_write_if = [&] { ASSERT_TRUE(put(*engine, "k", "2").ok()); };
    const base::WallTime soon = in(std::chrono::seconds(5));
    ASSERT_TRUE(set_expiry(*engine, "k", soon).ok());
    EXPECT_EQ(read(*engine, "k"), "2");
    EXPECT_EQ(*expiry_of(*engine, "k"), base::to_unix_ms(soon));
}

TEST_P(OperationsTest, PurgingRemovesWhatHasExpiredAndNothingElse) {
    for (int i = 0; i < 600; ++i) {
        put_expiring(fmt::format("expired{:03}", i), "v", std::chrono::milliseconds(10));
        workers.run_all();
    }
    put_expiring("later", "v", std::chrono::seconds(10));
    ASSERT_TRUE(put(*engine, "never", "v").ok());
    EXPECT_EQ(*purge_expired(*engine), 0u);
    clock.advance(std::chrono::milliseconds(10));
    EXPECT_EQ(*purge_expired(*engine), 600u);
    EXPECT_EQ(*purge_expired(*engine), 0u);
    IteratorOptions all;
    all.include_expired = true;
    EXPECT_EQ(*contents(*engine, all), (Model{{"later", "v"}, {"never", "v"}}));
}

TEST_P(OperationsTest, PurgingLeavesWhatIsPutMeanwhile) {
    for (const char* key : {"a", "b", "c"}) {
        put_expiring(key, "old", std::chrono::milliseconds(10));
    }
    clock.advance(std::chrono::milliseconds(10));
    intercepted->before_write_if = [&] { ASSERT_TRUE(put(*engine, "b", "new").ok()); };
    EXPECT_EQ(*purge_expired(*engine), 2u);
    EXPECT_EQ(*contents(*engine), (Model{{"b", "new"}}));
}

TEST_P(OperationsTest, ATransactionReadsItsOwnWritesAndOthersSeeThemAfterTheCommit) {
    ASSERT_TRUE(put(*engine, "a", "1").ok());
    Transaction transaction(*engine);
    transaction.put("b", "2");
    transaction.remove("a");
    EXPECT_EQ(*transaction.get("a"), std::nullopt);
    EXPECT_EQ(*transaction.get("b"), "2");
    EXPECT_EQ(*contents(*engine), (Model{{"a", "1"}}));
    ASSERT_TRUE(transaction.commit().ok());
    EXPECT_EQ(*contents(*engine), (Model{{"b", "2"}}));
    EXPECT_TRUE(absl::IsFailedPrecondition(transaction.commit()));
    EXPECT_TRUE(absl::IsFailedPrecondition(transaction.get("a").status()));
    EXPECT_TRUE(absl::IsFailedPrecondition(transaction.new_iterator()->status()));
}

TEST_P(OperationsTest, ATransactionThatIsDroppedChangesNothing) {
    {
        Transaction transaction(*engine);
        transaction.put("a", "1");
    }
    EXPECT_THAT(*contents(*engine), IsEmpty());
}

TEST_P(OperationsTest, ATransactionSeesNothingThatIsWrittenAfterItsBegin) {
    ASSERT_TRUE(put(*engine, "a", "1").ok());
    Transaction transaction(*engine);
    ASSERT_TRUE(put(*engine, "a", "2").ok());
    ASSERT_TRUE(put(*engine, "b", "2").ok());
    EXPECT_EQ(*transaction.get("a"), "1");
    EXPECT_THAT(walk(*transaction.new_iterator()), ElementsAre("a=1"));
}

TEST_P(OperationsTest, ATransactionWhoseReadsOrWritesOthersChangedIsAborted) {
    for (const bool reads : {false, true}) {
        ASSERT_TRUE(put(*engine, "a", "1").ok());
        Transaction transaction(*engine);
        transaction.put("b", "from the transaction");
        if (reads) {
            ASSERT_TRUE(transaction.get("a").ok());
        } else {
            transaction.put("a", "2");
        }
        ASSERT_TRUE(put(*engine, "a", "other").ok());
        const absl::Status status = transaction.commit();
        EXPECT_TRUE(absl::IsAborted(status)) << status;
        EXPECT_THAT(std::string(status.message()), HasSubstr("\"a\""));
        EXPECT_EQ(*contents(*engine), (Model{{"a", "other"}}));
        EXPECT_TRUE(absl::IsFailedPrecondition(transaction.commit()));
    }
}

TEST_P(OperationsTest, ATransactionWhoseIteratorShowedAKeyThatChangedIsAborted) {
    ASSERT_TRUE(put(*engine, "a", "1").ok());
    ASSERT_TRUE(put(*engine, "b", "1").ok());
    Transaction transaction(*engine);
    EXPECT_EQ(walk(*transaction.new_iterator("b")).size(), 1u);
    transaction.put("sum", "1");
    ASSERT_TRUE(put(*engine, "a", "2").ok());
    ASSERT_TRUE(remove(*engine, "b").ok());
    const absl::Status status = transaction.commit();
    EXPECT_TRUE(absl::IsAborted(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("\"b\""));
}

TEST_P(OperationsTest, TransactionsOnDifferentKeysBothCommit) {
    Transaction one(*engine);
    Transaction other(*engine);
    one.put("a", "1");
    other.put("b", "2");
    EXPECT_TRUE(one.commit().ok());
    EXPECT_TRUE(other.commit().ok());
    EXPECT_EQ(*contents(*engine), (Model{{"a", "1"}, {"b", "2"}}));
}

TEST_P(OperationsTest, ATransactionKeepsTheExpiryOfWhatItPuts) {
    Transaction transaction(*engine);
    transaction.put("k", "v", in(std::chrono::milliseconds(10)));
    ASSERT_TRUE(transaction.commit().ok());
    EXPECT_EQ(read(*engine, "k"), "v");
    clock.advance(std::chrono::milliseconds(10));
    EXPECT_EQ(read(*engine, "k"), "(none)");
}

TEST_P(OperationsTest, AnIteratorOfATransactionLaysItsChangesOverTheSnapshot) {
    for (const char* key : {"b", "d", "f", "h"}) {
        ASSERT_TRUE(put(*engine, key, "old").ok());
    }
    Transaction transaction(*engine);
    transaction.put("a", "new");
    transaction.put("d", "new");
    transaction.remove("f");
    transaction.remove("g");
    transaction.put("i", "new");
    const auto all = transaction.new_iterator();
    EXPECT_THAT(walk(*all), ElementsAre("a=new", "b=old", "d=new", "h=old", "i=new"));
    EXPECT_THAT(walk_back(*all), ElementsAre("i=new", "h=old", "d=new", "b=old", "a=new"));
    const auto part = transaction.new_iterator("b", "h");
    EXPECT_THAT(walk(*part), ElementsAre("b=old", "d=new"));
    EXPECT_THAT(walk_back(*part), ElementsAre("d=new", "b=old"));
    all->seek("e");
    ASSERT_TRUE(all->valid());
    EXPECT_EQ(all->key(), "h");
    all->previous();
    EXPECT_EQ(all->key(), "d");
    all->next();
    EXPECT_EQ(all->key(), "h");
    all->next();
    EXPECT_EQ(all->key(), "i");
    all->previous();
    EXPECT_EQ(all->key(), "h");
    all->seek_before("d");
    EXPECT_EQ(all->key(), "b");
}

}  // namespace
}  // namespace starling::storage
