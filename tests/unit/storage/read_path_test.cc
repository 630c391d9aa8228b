// Blocks, indexes, caches and merges, against simple models of what they do quickly.

#include <algorithm>
#include <array>
#include <atomic>
#include <thread>

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "storage/lsm/block.h"
#include "storage/lsm/block_builder.h"
#include "storage/lsm/block_cache.h"
#include "storage/lsm/clock_cache.h"
#include "storage/lsm/memtable.h"
#include "storage/lsm/merging_iterator.h"
#include "storage/lsm/published_pointer.h"
#include "storage/lsm/read_view.h"
#include "storage/lsm/table_index.h"
#include "tests/unit/storage/test_support.h"

namespace starling::storage::lsm {
namespace {

struct Entry {
    std::string key;
    std::string value;
};

// Few different bytes and short keys: many keys are prefixes of others, and bytes of tags look like
// bytes of keys.
std::string arbitrary_key(std::string_view prefix) {
    const auto tail =
        *rc::gen::container<std::string>(rc::gen::element<char>('\0', '\1', '\2', 'a', '\xff'));
    return std::string(prefix) + tail.substr(0, 10);
}

// Sorted as a block is; each key with some sequences.
std::vector<Entry> arbitrary_entries(std::string_view prefix) {
    std::map<std::string, std::string, decltype([](const std::string& a, const std::string& b) {
                 return compare_internal(a, b) < 0;
             })>
        entries;
    const int keys = *rc::gen::inRange(1, 20);
    for (int i = 0; i < keys; ++i) {
        const std::string key = arbitrary_key(prefix);
        const int versions = *rc::gen::inRange(1, 4);
        for (int j = 0; j < versions; ++j) {
            // Some differ in their low byte only, some in a high one.
            const auto sequence = *rc::gen::element<Sequence>(1, 2, 3, 257, 258, 513, 1 << 20);
            const auto kind = *rc::gen::element(ChangeKind::put, ChangeKind::remove);
            entries[make_internal_key(key, make_tag(sequence, kind))] =
                fmt::format("value {} {}", i, j);
        }
    }
    std::vector<Entry> sorted;
    for (const auto& [key, value] : entries) {
        sorted.push_back({key, value});
    }
    return sorted;
}

BlockPtr block_of(const std::vector<Entry>& entries, size_t restart_interval) {
    BlockBuilder builder(restart_interval);
    for (const Entry& entry : entries) {
        builder.add(entry.key, entry.value);
    }
    return Block::make(builder.finish());
}

size_t first_at_or_after(const std::vector<Entry>& entries, std::string_view internal_key) {
    return static_cast<size_t>(
        std::partition_point(
            entries.begin(),
            entries.end(),
            [&](const Entry& entry) { return compare_internal(entry.key, internal_key) < 0; }) -
        entries.begin());
}

// ---- blocks ----

RC_GTEST_PROP(BlockTest, APointReadFindsTheNewestEntryItMaySee, ()) {
    const std::string prefix = *rc::gen::element<std::string>("", "a", "user:0000");
    const std::vector<Entry> entries = arbitrary_entries(prefix);
    const BlockPtr block = block_of(entries, *rc::gen::inRange<size_t>(1, 6));
    RC_ASSERT(static_cast<bool>(block));
    std::vector<std::string> keys = {arbitrary_key(prefix), arbitrary_key("")};
    for (const Entry& entry : entries) {
        keys.emplace_back(user_key_of(entry.key));
    }
    for (const std::string& key : keys) {
        for (const Sequence sequence :
             std::initializer_list<Sequence>{0, 1, 2, 256, 257, 300, 513, 1 << 20, 1 << 21}) {
            const uint64_t tag = seek_tag(sequence);
            const size_t expected = first_at_or_after(entries, make_internal_key(key, tag));
            const bool there =
                expected < entries.size() && user_key_of(entries[expected].key) == key;
            uint64_t found_tag = 0;
            std::string_view value;
            RC_ASSERT(block->find(key, tag, found_tag, value) == there);
            if (there) {
                RC_ASSERT(found_tag == tag_of(entries[expected].key));
                RC_ASSERT(value == entries[expected].value);
            }
        }
    }
}

RC_GTEST_PROP(BlockTest, StepsBothWaysEndWhereAListWould, ()) {
    const std::vector<Entry> entries = arbitrary_entries("key");
    BlockIterator iterator(block_of(entries, *rc::gen::inRange<size_t>(1, 6)));
    size_t place = first_at_or_after(entries, entries[entries.size() / 2].key);
    iterator.seek(entries[place].key);
    const int steps = *rc::gen::inRange(0, 60);
    for (int i = 0; i < steps && place < entries.size(); ++i) {
        RC_ASSERT(iterator.valid());
        RC_ASSERT(iterator.key() == entries[place].key);
        RC_ASSERT(iterator.value() == entries[place].value);
        if (*rc::gen::arbitrary<bool>()) {
            iterator.next();
            ++place;
        } else {
            iterator.previous();
            --place;
        }
    }
    RC_ASSERT(iterator.valid() == (place < entries.size()));
}

TEST(BlockTest, ABlockThatWasCutOrPaddedIsRefused) {
    BlockBuilder builder(2);
    builder.add(make_internal_key("a", make_tag(1, ChangeKind::put)), "1");
    builder.add(make_internal_key("ab", make_tag(1, ChangeKind::put)), "2");
    builder.add(make_internal_key("b", make_tag(1, ChangeKind::put)), "3");
    const std::string content(builder.finish());
    ASSERT_TRUE(Block::make(content));
    EXPECT_FALSE(Block::make(""));
    for (size_t size = 0; size < content.size(); ++size) {
        EXPECT_FALSE(Block::make(content.substr(0, size))) << size;
        EXPECT_FALSE(Block::make(content.substr(content.size() - size))) << size;
    }
    // A restart point inside an entry.
    std::string misplaced = content;
    misplaced[content.size() - 8] = static_cast<char>(misplaced[content.size() - 8] + 1);
    EXPECT_FALSE(Block::make(misplaced));
}

// ---- the index of a table ----

RC_GTEST_PROP(TableIndexTest, ASearchFindsTheBlockThatAListWould, ()) {
    std::vector<Entry> entries =
        arbitrary_entries(*rc::gen::element<std::string>("", "a", "user:0000"));
    for (size_t i = 0; i < entries.size(); ++i) {
        entries[i].value = encode_block_handle({.offset = i * 1000, .size = i});
    }
    const auto index = TableIndex::make(block_of(entries, 1), entries.size() * 1000);
    RC_ASSERT(index.has_value());
    RC_ASSERT(index->block_count() == entries.size());
    for (size_t i = 0; i < entries.size(); ++i) {
        RC_ASSERT(index->handle(i) == (BlockHandle{.offset = i * 1000, .size = i}));
    }
    std::vector<std::string> targets = {arbitrary_key(""), arbitrary_key("a")};
    for (const Entry& entry : entries) {
        targets.emplace_back(user_key_of(entry.key));
    }
    for (const std::string& key : targets) {
        for (const Sequence sequence : std::initializer_list<Sequence>{0, 2, 257, 400}) {
            const uint64_t tag = seek_tag(sequence);
            RC_ASSERT(index->find(key, tag) ==
                      first_at_or_after(entries, make_internal_key(key, tag)));
        }
    }
}

TEST(TableIndexTest, AnEntryThatIsNoHandleIsRefused) {
    EXPECT_FALSE(
        TableIndex::make(block_of({{make_internal_key("a", 1), "\xff"}}, 1), 100).has_value());
}

TEST(TableIndexTest, KeysOutOfOrderAndBlocksThatOverlapOrLieBeyondTheEndAreRefused) {
    const uint64_t tag = make_tag(5, ChangeKind::put);
    const std::string a = make_internal_key("a", tag);
    const std::string b = make_internal_key("b", tag);
    struct Place {
        std::string key;
        BlockHandle handle;
    };
    const auto accepts = [](const std::vector<Place>& places, uint64_t blocks_end) {
        std::vector<Entry> entries;
        for (const Place& place : places) {
            entries.push_back({place.key, encode_block_handle(place.handle)});
        }
        BlockPtr block = block_of(entries, 1);
        return block && TableIndex::make(std::move(block), blocks_end).has_value();
    };
    const BlockHandle first{.offset = 0, .size = 10};
    const BlockHandle second{.offset = 15, .size = 10};
    EXPECT_TRUE(accepts({{a, first}, {b, second}}, 30));
    EXPECT_FALSE(accepts({{a, first}, {b, second}}, 29)) << "the trailer counts";
    EXPECT_FALSE(accepts({{a, first}, {b, {.offset = UINT64_MAX - 3, .size = 10}}}, 30));
    EXPECT_FALSE(accepts({{a, first}, {b, {.offset = 14, .size = 10}}}, 30)) << "they overlap";
    EXPECT_FALSE(accepts({{b, first}, {a, second}}, 30));
    EXPECT_FALSE(accepts({{a, first}, {a, second}}, 30));
    // Of one key, the newer entry comes first.
    const std::string older = make_internal_key("a", make_tag(4, ChangeKind::put));
    EXPECT_TRUE(accepts({{a, first}, {older, second}}, 30));
    EXPECT_FALSE(accepts({{older, first}, {a, second}}, 30));
    EXPECT_FALSE(accepts({{make_internal_key("a", 5 << 8 | 0x7f), first}}, 30)) << "no such kind";
}

// ---- caches ----

struct One {
    uint64_t operator()(const std::shared_ptr<uint64_t>&) const { return 1; }
};
using NumberCache = ClockCache<std::shared_ptr<uint64_t>, One>;

bool holds(NumberCache& cache, uint64_t number) {
    bool right = false;
    cache.with({.first = number},
               [&](const std::shared_ptr<uint64_t>& value) { right = *value == number; });
    return right;
}

void insert(NumberCache& cache, uint64_t number) {
    cache.insert({.first = number}, std::make_shared<uint64_t>(number));
}

TEST(ClockCacheTest, WhatIsUsedOutlivesAScan) {
    NumberCache cache(64, 64);
    for (uint64_t number = 0; number < 8; ++number) {
        insert(cache, number);
        EXPECT_TRUE(holds(cache, number));
    }
    for (uint64_t scanned = 1000; scanned < 1100; ++scanned) {
        insert(cache, scanned);
    }
    for (uint64_t number = 0; number < 8; ++number) {
        EXPECT_TRUE(holds(cache, number)) << number;
    }
    EXPECT_LE(cache.cost(), 64u);
}

TEST(ClockCacheTest, WhatIsNoLongerUsedMakesRoom) {
    NumberCache cache(8, 8);
    insert(cache, 1);
    EXPECT_TRUE(holds(cache, 1));
    for (uint64_t number = 100; number < 200; ++number) {
        insert(cache, number);
    }
    EXPECT_FALSE(holds(cache, 1));
    EXPECT_LE(cache.cost(), 8u);
}

TEST(ClockCacheTest, APinnedEntryStaysWhateverComes) {
    NumberCache cache(1, 1);
    insert(cache, 7);
    cache.with({.first = 7}, [&](const std::shared_ptr<uint64_t>& value) {
        for (uint64_t number = 100; number < 120; ++number) {
            insert(cache, number);
        }
        EXPECT_EQ(*value, 7u);
    });
    EXPECT_EQ(cache.cost(), 1u);
    EXPECT_TRUE(holds(cache, 7));
    cache.forget({.first = 7});
    EXPECT_EQ(cache.cost(), 0u);
    EXPECT_FALSE(holds(cache, 7));
}

TEST(ClockCacheTest, WhatIsForgottenWhileItIsPinnedGoesWithItsLastPin) {
    NumberCache cache(4, 4);
    insert(cache, 7);
    std::weak_ptr<uint64_t> entry;
    cache.with({.first = 7}, [&](const std::shared_ptr<uint64_t>& value) {
        entry = value;
        cache.with({.first = 7}, [&](const std::shared_ptr<uint64_t>&) {
            cache.forget({.first = 7});
            EXPECT_FALSE(entry.expired());
        });
        EXPECT_FALSE(entry.expired()) << "the outer pin holds it";
        EXPECT_EQ(*value, 7u);
    });
    EXPECT_TRUE(entry.expired());
    EXPECT_EQ(cache.cost(), 0u);
    insert(cache, 7);
    EXPECT_TRUE(holds(cache, 7));
    EXPECT_TRUE(holds(cache, 7)) << "the next one of that name is not forgotten";
}

TEST(ClockCacheTest, TheCostIsThatOfWhatIsThere) {
    NumberCache cache(100, 20);
    for (uint64_t number = 0; number < 500; ++number) {
        insert(cache, number);
        insert(cache, number / 2);
        uint64_t there = 0;
        cache.for_each([&](const std::shared_ptr<uint64_t>&) { ++there; });
        ASSERT_EQ(cache.cost(), there);
        ASSERT_LE(cache.cost(), 100u);
    }
}

TEST(ClockCacheTest, ThreadsThatReadWhileOthersReplaceSeeWholeEntries) {
    NumberCache cache(16, 16);
    std::atomic<int> wrong = 0;
    std::atomic<int> hits = 0;
    std::vector<std::thread> threads;
    for (uint64_t seed = 1; seed <= 3; ++seed) {
        threads.emplace_back([&, seed] {
            uint64_t state = seed;
            for (int i = 0; i < 20000; ++i) {
                state = state * 6364136223846793005u + 1442695040888963407u;
                const uint64_t number = (state >> 33) % 40;
                bool right = true;
                if (!cache.with({.first = number}, [&](const std::shared_ptr<uint64_t>& value) {
                        right = *value == number;
                        ++hits;
                    })) {
                    insert(cache, number);
                }
                wrong += right ? 0 : 1;
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(wrong, 0);
    EXPECT_GT(hits, 1000);
    EXPECT_LE(cache.cost(), 16u);
}

BlockPtr some_block() {
    return block_of(
        {{make_internal_key("key", make_tag(1, ChangeKind::put)), std::string(1000, 'v')}}, 1);
}

// How many of 50 blocks that were read over and over are still there after a scan of 1000.
size_t survivors_of_a_scan(BlockCachePolicy policy) {
    BlockCache cache(200 * some_block()->memory_bytes(), policy, 1024);
    for (int round = 0; round < 3; ++round) {
        for (uint64_t hot = 0; hot < 50; ++hot) {
            if (!cache.find(1, hot * 1024)) {
                cache.insert(1, hot * 1024, some_block());
            }
        }
    }
    for (uint64_t scanned = 0; scanned < 300; ++scanned) {
        cache.insert(2, scanned * 1024, some_block());
    }
    EXPECT_LE(cache.memory_bytes(), 200 * some_block()->memory_bytes());
    size_t survivors = 0;
    for (uint64_t hot = 0; hot < 50; ++hot) {
        survivors += cache.find(1, hot * 1024) ? 1u : 0u;
    }
    return survivors;
}

TEST(BlockCacheTest, HotBlocksOutliveAScanByTheClockAndNotByAge) {
    EXPECT_GT(survivors_of_a_scan(BlockCachePolicy::clock), 40u);
    EXPECT_LT(survivors_of_a_scan(BlockCachePolicy::lru), 10u);
}

TEST(BlockCacheTest, EveryQuestionIsCountedOnce) {
    for (const auto policy : {BlockCachePolicy::clock, BlockCachePolicy::lru}) {
        BlockCache cache(1 << 20, policy, 4096);
        EXPECT_FALSE(cache.find(1, 0));
        cache.insert(1, 0, some_block());
        EXPECT_TRUE(cache.find(1, 0));
        EXPECT_TRUE(cache.find(1, 0));
        EXPECT_FALSE(cache.find(2, 0));
        EXPECT_EQ(cache.hits(), 2u);
        EXPECT_EQ(cache.misses(), 2u);
        EXPECT_EQ(cache.memory_bytes(), some_block()->memory_bytes());
    }
}

TEST(BlockCacheTest, AForgottenBlockGivesItsMemoryBack) {
    for (const auto policy : {BlockCachePolicy::clock, BlockCachePolicy::lru}) {
        BlockCache cache(1 << 20, policy, 4096);
        cache.insert(1, 0, some_block());
        cache.insert(1, 4096, some_block());
        cache.forget(1, 0);
        cache.forget(1, 8192);
        EXPECT_FALSE(cache.find(1, 0));
        EXPECT_TRUE(cache.find(1, 4096));
        EXPECT_EQ(cache.memory_bytes(), some_block()->memory_bytes());
    }
}

TEST(BlockCacheTest, ABlockThatIsHeldOutlivesItsPlaceInTheCache) {
    BlockCache cache(1 << 16, BlockCachePolicy::clock, 1024);
    cache.insert(1, 0, some_block());
    BlockIterator iterator(cache.find(1, 0));
    for (uint64_t number = 2; number < 500; ++number) {
        cache.insert(number, 0, some_block());
    }
    EXPECT_FALSE(cache.find(1, 0));
    iterator.seek_to_first();
    ASSERT_TRUE(iterator.valid());
    EXPECT_EQ(iterator.value(), std::string(1000, 'v'));
}

// ---- the pointer that readers share ----

// A compaction ends while a flush does: what the flush put in is not replaced by what was before.
TEST(CurrentViewTest, AVersionThatWasFetchedBeforeNeverReplacesALaterOne) {
    const auto earlier = std::make_shared<const Version>();
    const auto later = std::make_shared<const Version>();
    CurrentView view(std::make_shared<Memtable>(1), earlier);
    view.rotate(std::make_shared<Memtable>(2));
    std::atomic<bool> flushed = false;
    std::thread flush;
    view.compacted([&] {
        flush = std::thread([&] {
            view.flushed([&] { return later; });
            flushed = true;
        });
        // Time enough for the other one, were it let in.
        for (int i = 0; i < 20'000 && !flushed; ++i) {
            std::this_thread::yield();
        }
        return earlier;
    });
    flush.join();
    EXPECT_EQ(view.get()->version, later);
    EXPECT_TRUE(view.get()->immutable.empty());
}

TEST(PublishedPointerTest, TheOldOneIsLetGoWhenNobodyReads) {
    auto first = std::make_shared<const int>(1);
    const std::weak_ptr<const int> watched = first;
    PublishedPointer<const int> pointer(std::move(first));
    for (int number = 2; number < 20; ++number) {
        const std::shared_ptr<const int> held = pointer.get();
        EXPECT_EQ(*held, number - 1);
        pointer.set(std::make_shared<const int>(number));
        EXPECT_EQ(*held, number - 1);
        EXPECT_EQ(*pointer.get(), number);
    }
    EXPECT_TRUE(watched.expired());
}

TEST(PublishedPointerTest, ReadersNeverSeeAnOlderOneThanBefore) {
    constexpr uint64_t last = 20000;
    PublishedPointer<const uint64_t> pointer(std::make_shared<const uint64_t>(0));
    std::atomic<int> wrong = 0;
    std::array<std::atomic<uint64_t>, 2> reads = {};
    std::vector<std::thread> readers;
    for (std::atomic<uint64_t>& count : reads) {
        readers.emplace_back([&] {
            uint64_t seen = 0;
            while (seen < last) {
                const uint64_t now = *pointer.get();
                wrong += now < seen ? 1 : 0;
                seen = now;
                ++count;
            }
        });
    }
    for (uint64_t number = 1; number <= last; ++number) {
        pointer.set(std::make_shared<const uint64_t>(number));
        if (number % 500 != 0 || number == last) {
            continue;
        }
        // The readers keep up, so that they meet changes all along.
        for (const std::atomic<uint64_t>& count : reads) {
            for (const uint64_t before = count; count == before;) {
                std::this_thread::yield();
            }
        }
    }
    for (std::thread& reader : readers) {
        reader.join();
    }
    EXPECT_EQ(wrong, 0);
}

// ---- merges ----

RC_GTEST_PROP(MergingIteratorTest, StepsBothWaysEndWhereOneListWould, ()) {
    std::vector<Entry> entries = arbitrary_entries("");
    const size_t sources = *rc::gen::inRange<size_t>(1, 5);
    std::vector<std::unique_ptr<Memtable>> memtables;
    std::vector<std::unique_ptr<InternalIterator>> children;
    for (size_t i = 0; i < sources; ++i) {
        memtables.push_back(std::make_unique<Memtable>(i));
    }
    for (const Entry& entry : entries) {
        memtables[*rc::gen::inRange<size_t>(0, sources)]->add(sequence_of_tag(tag_of(entry.key)),
                                                              kind_of_tag(tag_of(entry.key)),
                                                              user_key_of(entry.key),
                                                              entry.value);
    }
    for (const auto& memtable : memtables) {
        children.push_back(memtable->new_iterator());
    }
    const auto merged = new_merging_iterator(std::move(children));
    merged->seek_to_last();
    size_t place = entries.size() - 1;
    const int steps = *rc::gen::inRange(0, 80);
    for (int i = 0; i < steps; ++i) {
        std::string_view key;
        bool there = false;
        switch (*rc::gen::inRange(0, 5)) {
            case 0:
            case 1:
                there = merged->step(key);
                ++place;
                break;
            case 2:
            case 3:
                there = merged->step_back(key);
                --place;
                break;
            default:
                place = *rc::gen::inRange<size_t>(0, entries.size());
                merged->seek(entries[place].key);
                there = merged->look(key);
        }
        RC_ASSERT(there == (place < entries.size()));
        RC_ASSERT(merged->valid() == there);
        if (!there) {
            merged->seek_to_first();
            place = 0;
            RC_ASSERT(merged->look(key));
        }
        RC_ASSERT(key == entries[place].key);
        RC_ASSERT(merged->key() == key);
        RC_ASSERT(merged->value() == entries[place].value);
    }
}

// ---- the engine ----

TEST(LsmEngineTest, TheBlocksOfATableThatIsGoneLeaveTheCache) {
    env::SimFileSystem files;
    ASSERT_TRUE(files.create_directory("/data").ok());
    QueueWorkers workers;
    EngineOptions options = small_options();
    options.block_cache_bytes = 16 << 20;
    options.open_tables_max = 1000;
    auto engine = *open_engine("/data/engine", options, environment(files, workers));
    const uint64_t memory_when_empty = engine->statistics().memory_bytes;
    for (int i = 0; i < 2000; ++i) {
        WriteBatch batch;
        batch.put(fmt::format("key{}", i), std::string(100, 'v'));
        ASSERT_TRUE(write_patiently(*engine, workers, batch).ok());
    }
    ASSERT_TRUE(engine->compact().ok());
    for (int i = 0; i < 2000; ++i) {
        ASSERT_TRUE(engine->get(fmt::format("key{}", i)).ok());
    }
    EXPECT_GT(engine->statistics().memory_bytes, memory_when_empty + 150'000);
    WriteBatch batch;
    batch.remove_range("key", "kez");
    ASSERT_TRUE(write_patiently(*engine, workers, batch).ok());
    ASSERT_TRUE(engine->compact().ok());
    workers.run_all();
    EXPECT_LT(engine->statistics().memory_bytes, memory_when_empty + 50'000);
    ASSERT_TRUE(engine->close().ok());
}

TEST(LsmEngineTest, ASmallCacheOfEitherPolicyChangesNothingThatIsRead) {
    for (const auto policy : {BlockCachePolicy::clock, BlockCachePolicy::lru}) {
        env::SimFileSystem files;
        ASSERT_TRUE(files.create_directory("/data").ok());
        QueueWorkers workers;
        EngineOptions options = small_options();
        options.block_cache_policy = policy;
        auto engine = *open_engine("/data/engine", options, environment(files, workers));
        Model model;
        for (int i = 0; i < 2000; ++i) {
            const std::string key = fmt::format("key{}", i * 7919 % 500);
            const std::string value = fmt::format("value {} {}", i, std::string(20, 'v'));
            WriteBatch batch;
            batch.put(key, value);
            ASSERT_TRUE(write_patiently(*engine, workers, batch).ok());
            model[key] = value;
        }
        workers.run_all();
        for (const auto& [key, value] : model) {
            EXPECT_EQ(read(*engine, key), value);
        }
        EXPECT_EQ(*contents(*engine), model);
        EXPECT_GT(engine->statistics().block_cache_hits, 0u);
        EXPECT_GT(engine->statistics().block_cache_misses, 0u);
        ASSERT_TRUE(engine->close().ok());
    }
}

}  // namespace
}  // namespace starling::storage::lsm
