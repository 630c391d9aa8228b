// The parts of the engine that are pure, or nearly so.

#include <algorithm>
#include <set>
#include <thread>

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "base/hash.h"
#include "base/mark.h"
#include "storage/lsm/block.h"
#include "storage/lsm/block_builder.h"
#include "storage/lsm/bloom_filter.h"
#include "storage/lsm/catalog.h"
#include "storage/lsm/compaction_picker.h"
#include "storage/lsm/file_names.h"
#include "storage/lsm/garbage.h"
#include "storage/lsm/key_fences.h"
#include "storage/lsm/memtable.h"
#include "storage/lsm/stored_value.h"
#include "storage/lsm/table_format.h"
#include "storage/lsm/version.h"
#include "tests/unit/storage/test_support.h"

namespace starling::storage::lsm {
namespace {

std::string internal(std::string_view key, Sequence sequence, ChangeKind kind = ChangeKind::put) {
    return make_internal_key(key, make_tag(sequence, kind));
}

// ---- the catalog ----

struct CatalogTest : ::testing::Test {
    CatalogTest() {
        EXPECT_TRUE(files.create_directory("/data").ok());
        ManifestState empty;
        empty.next_file_number = 1;
        empty.version = std::make_shared<Version>();
        EXPECT_TRUE(catalog.begin(empty).ok());
    }
    TableMetadata table(const std::string& key) {
        TableMetadata made;
        made.number = catalog.next_file_number();
        made.smallest = internal(key, 1);
        made.largest = internal(key + "z", 1);
        return made;
    }
    // How often a file that a version names was thought of as one to remove.
    static uint64_t vain_looks() {
        for (const base::Mark* mark : base::Mark::all()) {
            if (mark->name() == "removed_file_still_read") return mark->hits();
        }
        return 0;
    }

    env::SimFileSystem files;
    Catalog catalog{files, "/data"};
};

// With keys of 64 KiB a few dozen tables are enough.
TEST_F(CatalogTest, AManifestThatBeginsLongIsNotBegunAnewWithEachEdit) {
    VersionEdit many;
    for (int i = 0; i < 200; ++i) {
        many.added.push_back(
            {.level = 1, .table = table(fmt::format("{:03}", i) + std::string(32 << 10, 'k'))});
    }
    ASSERT_TRUE(catalog.commit(std::move(many)).ok());
    ASSERT_TRUE(catalog.settle().ok());
    const uint64_t number = catalog.next_file_number();
    for (int i = 0; i < 10; ++i) {
        ASSERT_TRUE(catalog.settle().ok());
        ASSERT_TRUE(catalog.commit({}).ok());
    }
    EXPECT_EQ(catalog.next_file_number(), number + 1) << "no manifest has taken one";
}

TEST_F(CatalogTest, ATableThatMovesIsNotLookedAtForRemovalUntilItIsGone) {
    const TableMetadata moving = table("a");
    VersionEdit first;
    first.added.push_back({.level = 1, .table = moving});
    ASSERT_TRUE(catalog.commit(std::move(first)).ok());
    const uint64_t before = vain_looks();
    for (uint32_t level = 1; level < 4; ++level) {
        VersionEdit move;
        move.removed.push_back({.level = level, .number = moving.number});
        move.added.push_back({.level = level + 1, .table = moving});
        ASSERT_TRUE(catalog.commit(std::move(move)).ok());
        catalog.remove_unused_files();
    }
    EXPECT_EQ(vain_looks(), before);
}

// ---- batches ----

struct Recorder final : WriteBatch::Handler {
    void put(std::string_view key, std::string_view value, Expiry expiry) override {
        text += expiry == never ? fmt::format("put({},{})", key, value)
                                : fmt::format("put({},{},{})", key, value, expiry);
    }
    void remove(std::string_view key) override { text += fmt::format("remove({})", key); }
    void remove_range(std::string_view begin, std::string_view end) override {
        text += fmt::format("remove_range({},{})", begin, end);
    }
    std::string text;
};

TEST(WriteBatchTest, ChangesAreReplayedInOrder) {
    WriteBatch batch;
    batch.put("a", "1");
    batch.remove("b");
    WriteBatch other;
    other.put("", "");
    other.put("c", "2", base::WallTime(std::chrono::milliseconds(300)));
    other.remove_range("d", "");
    batch.append(other);
    Recorder recorder;
    ASSERT_TRUE(WriteBatch::replay(batch.representation(), recorder).ok());
    EXPECT_EQ(recorder.text, "put(a,1)remove(b)put(,)put(c,2,300)remove_range(d,)");
    EXPECT_EQ(batch.count(), 5u);
    batch.clear();
    EXPECT_TRUE(batch.empty());
    EXPECT_EQ(batch.byte_size(), 0u);
}

TEST(WriteBatchTest, ACutOrUnknownChangeIsDataLoss) {
    WriteBatch batch;
    batch.put("key", "value");
    const std::string whole(batch.representation());
    for (size_t size = 1; size < whole.size(); ++size) {
        Recorder recorder;
        EXPECT_TRUE(absl::IsDataLoss(WriteBatch::replay(whole.substr(0, size), recorder)));
        EXPECT_EQ(recorder.text, "");
    }
    Recorder recorder;
    EXPECT_TRUE(absl::IsDataLoss(WriteBatch::replay("\x07\x01k", recorder)));
}

RC_GTEST_PROP(WriteBatchTest, ArbitraryBytesAreABatchOrDataLoss, (const std::string& bytes)) {
    Recorder recorder;
    const absl::Status status = WriteBatch::replay(bytes, recorder);
    RC_ASSERT(status.ok() || absl::IsDataLoss(status));
}

// ---- memtable ----

RC_GTEST_PROP(MemtableTest, ReadersAtEverySequenceSeeTheirState, ()) {
    Memtable memtable(1);
    std::vector<std::map<std::string, std::string>> states(1);
    const int changes = *rc::gen::inRange(0, 60);
    for (Sequence sequence = 1; sequence <= static_cast<Sequence>(changes); ++sequence) {
        const std::string key(*rc::gen::inRange<size_t>(0, 4), *rc::gen::inRange('a', 'd'));
        states.push_back(states.back());
        if (*rc::gen::arbitrary<bool>()) {
            const std::string value = fmt::format("{}", sequence);
            memtable.add(sequence, ChangeKind::put, key, value);
            states.back()[key] = value;
        } else {
            memtable.add(sequence, ChangeKind::remove, key, {});
            states.back().erase(key);
        }
    }
    for (Sequence sequence = 0; sequence < states.size(); ++sequence) {
        for (const char letter : {'a', 'b', 'c'}) {
            for (size_t length = 0; length < 4; ++length) {
                const std::string key(length, letter);
                FoundEntry found;
                const bool has_value =
                    memtable.get(key, sequence, found) && kind_of_tag(found.tag) == ChangeKind::put;
                const auto expected = states[sequence].find(key);
                RC_ASSERT(has_value == (expected != states[sequence].end()));
                if (has_value) {
                    RC_ASSERT(found.value == expected->second);
                }
            }
        }
    }
}

TEST(MemtableTest, ReadersNeedNoLockWhileOneThreadWrites) {
    constexpr int count = 20000;
    Memtable memtable(1);
    std::atomic<Sequence> visible = 0;
    const auto key_of = [](Sequence sequence) {
        return fmt::format("{:016x}", base::xxh3_64(fmt::format("{}", sequence)));
    };
    std::atomic<int> wrong = 0;
    std::thread reader([&] {
        while (visible.load(std::memory_order_acquire) < count) {
            const Sequence newest = visible.load(std::memory_order_acquire);
            FoundEntry found;
            if (newest > 0 && (!memtable.get(key_of(newest), newest, found) ||
                               found.value != fmt::format("{}", newest))) {
                ++wrong;
            }
            const auto iterator = memtable.new_iterator();
            std::string last;
            int steps = 0;
            for (iterator->seek(internal(key_of(newest), newest)); iterator->valid() && steps < 50;
                 iterator->next(), ++steps) {
                wrong += !last.empty() && compare_internal(last, iterator->key()) >= 0 ? 1 : 0;
                last = iterator->key();
            }
        }
    });
    for (Sequence sequence = 1; sequence <= count; ++sequence) {
        memtable.add(sequence, ChangeKind::put, key_of(sequence), fmt::format("{}", sequence));
        visible.store(sequence, std::memory_order_release);
    }
    reader.join();
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(memtable.last_sequence(), Sequence{count});
}

// ---- searching among keys ----

RC_GTEST_PROP(KeyFencesTest, FindsTheFirstKeyNotBeforeAnother, (std::set<std::string> drawn)) {
    const auto prefix = *rc::gen::element<std::string>("", "p", "a longer prefix");
    std::vector<std::string> keys;
    for (const std::string& key : drawn) {
        // Many share the word that is compared first.
        keys.push_back(prefix + (key.size() % 2 == 0 ? "" : "same word") + key);
    }
    std::sort(keys.begin(), keys.end());
    const auto key_at = [&](size_t index) { return std::string_view(keys[index]); };
    const KeyFences fences(keys.size(), key_at);
    std::vector<std::string> targets = keys;
    targets.push_back(*rc::gen::arbitrary<std::string>());
    for (const std::string& key : keys) {
        targets.push_back(key + std::string(1, '\0'));
        targets.push_back(key.substr(0, key.size() / 2));
    }
    for (const std::string& target : targets) {
        const auto expected = std::lower_bound(keys.begin(), keys.end(), target);
        RC_ASSERT(fences.find(target, key_at) == static_cast<size_t>(expected - keys.begin()));
    }
}

TEST(KeyFencesTest, KeysThatEndWithinTheWordOrderBeforeLongerOnes) {
    const std::vector<std::string> keys{"a", std::string("a\0", 2), std::string("a\0b", 3), "b"};
    const auto key_at = [&](size_t index) { return std::string_view(keys[index]); };
    const KeyFences fences(keys.size(), key_at);
    for (size_t i = 0; i < keys.size(); ++i) {
        EXPECT_EQ(fences.find(keys[i], key_at), i);
    }
    EXPECT_EQ(fences.find("", key_at), 0u);
    EXPECT_EQ(fences.find("c", key_at), keys.size());
    EXPECT_EQ(KeyFences().find("a", key_at), 0u);
}

// ---- blocks ----

BlockPtr block_of(const Model& model, size_t restart_interval) {
    BlockBuilder builder(restart_interval);
    for (const auto& [key, value] : model) {
        builder.add(internal(key, 1), value);
    }
    return Block::make(builder.finish());
}

RC_GTEST_PROP(BlockTest, SeeksAndStepsAgreeWithAnOrderedMap, (Model model)) {
    model.emplace("a", "never empty");
    BlockIterator iterator(block_of(model, *rc::gen::inRange<size_t>(1, 5)));
    iterator.seek_to_first();
    for (const auto& [key, value] : model) {
        RC_ASSERT(iterator.valid());
        RC_ASSERT(iterator.key() == internal(key, 1));
        RC_ASSERT(iterator.value() == value);
        iterator.next();
    }
    RC_ASSERT(!iterator.valid());
    iterator.seek_to_last();
    for (auto i = model.rbegin(); i != model.rend(); ++i) {
        RC_ASSERT(iterator.valid());
        RC_ASSERT(iterator.key() == internal(i->first, 1));
        iterator.previous();
    }
    RC_ASSERT(!iterator.valid());
    const std::string target = *rc::gen::arbitrary<std::string>();
    iterator.seek(internal(target, 5));
    const auto expected = model.lower_bound(target);
    RC_ASSERT(iterator.valid() == (expected != model.end()));
    // RC_ASSERT evaluates both sides of its operators.
    if (iterator.valid()) {
        RC_ASSERT(iterator.key() == internal(expected->first, 1));
    }
}

RC_GTEST_PROP(BlockTest, DamagedContentNeverLeavesItsBounds, ()) {
    BlockBuilder builder(2);
    for (char key = 'a'; key < 'k'; ++key) {
        builder.add(internal(std::string(3, key), 1), "value");
    }
    std::string content(builder.finish());
    const int damages = *rc::gen::inRange(1, 6);
    for (int i = 0; i < damages; ++i) {
        content[*rc::gen::inRange<size_t>(0, content.size())] = *rc::gen::arbitrary<char>();
    }
    BlockPtr block = Block::make(content);
    if (!block) {
        return;
    }
    BlockIterator iterator(std::move(block));
    size_t steps = 0;
    for (iterator.seek_to_first(); iterator.valid() && steps < 1000; iterator.next()) {
        ++steps;
    }
    RC_ASSERT(steps < 1000u);
    iterator.seek(internal("ddd", 1));
    for (steps = 0; iterator.valid() && steps < 1000; ++steps) {
        iterator.previous();
    }
}

RC_GTEST_PROP(TableFormatTest,
              ABufferThatHeldAnotherBlockHoldsTheUnpackedOneAlone,
              (const std::string& piece, const std::string& before)) {
    const std::string content = piece + piece + piece + std::string(100, 'z');
    std::string buffer = before + before;
    for (const Compression compression :
         {Compression::none, Compression::lz4, Compression::zstd, Compression::none}) {
        std::string stored;
        append_block(stored, content, compression, 7, 4096);
        RC_ASSERT(unpack_block(stored, 7, 4096, "path", buffer).ok());
        RC_ASSERT(buffer == content);
    }
}

RC_GTEST_PROP(TableFormatTest, ABlockIsUnpackedOnlyWhereItWasPacked, (const std::string& piece)) {
    const std::string content = piece + piece + piece + std::string(100, 'z');
    std::string stored;
    append_block(stored, content, Compression::lz4, 7, 4096);
    RC_ASSERT(*unpack_block(stored, 7, 4096, "path") == content);
    RC_ASSERT(absl::IsDataLoss(unpack_block(stored, 8, 4096, "path").status()));
    RC_ASSERT(absl::IsDataLoss(unpack_block(stored, 7, 0, "path").status()));
    const size_t bit = *rc::gen::inRange<size_t>(0, stored.size() * 8);
    stored[bit / 8] = static_cast<char>(stored[bit / 8] ^ 1 << bit % 8);
    RC_ASSERT(absl::IsDataLoss(unpack_block(stored, 7, 4096, "path").status()));
}

TEST(TableFormatTest, AFooterIsReadBackOnlyWhole) {
    const TableFooter footer{.filter = {.offset = 100, .size = 64},
                             .index = {.offset = 169, .size = 50},
                             .entry_count = 9};
    const std::string bytes = encode_table_footer(footer, 7);
    ASSERT_EQ(bytes.size(), table_footer_bytes);
    const uint64_t size = 169 + 50 + block_trailer_bytes + table_footer_bytes;
    const auto read_back = decode_table_footer(bytes, 7, size);
    ASSERT_TRUE(read_back.ok());
    EXPECT_EQ(read_back->index, footer.index);
    EXPECT_EQ(read_back->entry_count, 9u);
    EXPECT_FALSE(decode_table_footer(bytes, 8, size).ok());
    EXPECT_FALSE(decode_table_footer(bytes, 7, size - 1).ok());
    for (size_t i = 0; i < bytes.size(); ++i) {
        std::string damaged = bytes;
        damaged[i] ^= 4;
        EXPECT_FALSE(decode_table_footer(damaged, 7, size).ok()) << i;
    }
}

// ---- filter ----

TEST(BloomFilterTest, EveryKeyPassesAndFewOthersDo) {
    for (const size_t count : {1u, 10u, 1000u, 50000u}) {
        BloomFilterBuilder builder(10);
        for (size_t i = 0; i < count; ++i) {
            builder.add(fmt::format("key{}", i));
        }
        const std::string filter = builder.finish();
        size_t false_positives = 0;
        for (size_t i = 0; i < count; ++i) {
            ASSERT_TRUE(bloom_may_contain(filter, bloom_hash(fmt::format("key{}", i))));
        }
        for (size_t i = 0; i < 10000; ++i) {
            false_positives += bloom_may_contain(filter, bloom_hash(fmt::format("other{}", i)));
        }
        EXPECT_LT(false_positives, 200u) << count << " keys";
    }
}

TEST(BloomFilterTest, WithoutAFilterEverythingMayBeThere) {
    EXPECT_TRUE(bloom_may_contain("", 1));
    EXPECT_TRUE(bloom_may_contain("odd size", 1));
    EXPECT_EQ(BloomFilterBuilder(10).finish(), "");
}

// ---- garbage ----

// Which entries of one key, given newest first as "p9" or "r9", are kept.
std::string kept(const std::vector<std::string>& entries,
                 std::vector<Sequence> snapshots,
                 bool bottom) {
    const RangeRemovals none;
    GarbageFilter garbage(std::move(snapshots), none);
    std::string result;
    for (const std::string& entry : entries) {
        const Sequence sequence = std::stoull(entry.substr(1));
        const ChangeKind kind = entry[0] == 'p' ? ChangeKind::put : ChangeKind::remove;
        if (!garbage.drop(internal("key", sequence, kind),
                          [&](std::string_view) { return bottom; })) {
            result += entry + " ";
        }
    }
    return result;
}

TEST(GarbageFilterTest, WithoutSnapshotsOnlyTheNewestStays) {
    EXPECT_EQ(kept({"p9", "p5", "r3", "p1"}, {}, false), "p9 ");
    EXPECT_EQ(kept({"r9", "p5"}, {}, false), "r9 ");
    EXPECT_EQ(kept({"r9", "p5"}, {}, true), "");
}

TEST(GarbageFilterTest, WhatASnapshotSeesStays) {
    EXPECT_EQ(kept({"p9", "p5", "p3", "p1"}, {4}, false), "p9 p3 ");
    EXPECT_EQ(kept({"p9", "p5", "p3", "p1"}, {5, 9}, false), "p9 p5 ");
    EXPECT_EQ(kept({"p9", "p5", "p3", "p1"}, {0, 1, 2}, true), "p9 p1 ");
}

TEST(GarbageFilterTest, ARemovalStaysWhileASnapshotMayLookBelowIt) {
    EXPECT_EQ(kept({"r9", "p5"}, {6}, true), "r9 p5 ");
    EXPECT_EQ(kept({"r9", "p5"}, {9}, true), "");
    EXPECT_EQ(kept({"p9", "r5", "p3"}, {7}, true), "p9 ");
}

// Of the entries that are kept, those whose order matters to nobody.
std::string settled(const std::vector<Sequence>& puts,
                    std::vector<Sequence> snapshots,
                    bool bottom,
                    const RangeRemovals& removals = RangeRemovals()) {
    const auto is_bottom = [&](std::string_view) { return bottom; };
    GarbageFilter garbage(std::move(snapshots), removals);
    std::string result;
    for (const Sequence sequence : puts) {
        if (!garbage.drop(internal("key", sequence, ChangeKind::put), is_bottom) &&
            garbage.is_settled(is_bottom)) {
            result += std::to_string(sequence) + " ";
        }
    }
    return result;
}

TEST(GarbageFilterTest, AnEntryIsSettledOnceEveryReaderSeesItAndNothingLiesBelow) {
    EXPECT_EQ(settled({9, 5}, {}, true), "9 ");
    EXPECT_EQ(settled({9, 5}, {}, false), "");
    EXPECT_EQ(settled({9, 5}, {9}, true), "9 ");
    EXPECT_EQ(settled({9, 5}, {6}, true), "5 ");
    EXPECT_EQ(settled({9, 5}, {2}, true), "");
}

TEST(GarbageFilterTest, WhatCameAfterARangeRemovalIsTheNewerOfTheTwoWhileThatIsKept) {
    EXPECT_EQ(settled({9}, {}, true, RangeRemovals({{.begin = "a", .end = "z", .sequence = 7}})),
              "");
}

// ---- versions and picking ----

VersionEdit::Added table(uint32_t level,
                         uint64_t number,
                         std::string_view first,
                         std::string_view last,
                         uint64_t bytes = 1000) {
    VersionEdit::Added added{.level = level, .table = {}};
    added.table = {.number = number,
                   .file_bytes = bytes,
                   .entry_count = 1,
                   .removal_count = 0,
                   .value_references = {},
                   .smallest = internal(first, 9),
                   .largest = internal(last, 1)};
    return added;
}

std::shared_ptr<const Version> version_of(std::vector<VersionEdit::Added> tables) {
    VersionEdit edit;
    edit.added = std::move(tables);
    return *Version().apply(edit);
}

TEST(VersionTest, AnEditThatDoesNotFitIsRefused) {
    const auto version = version_of({table(1, 1, "a", "c"), table(1, 2, "e", "g")});
    VersionEdit overlap;
    overlap.added = {table(1, 3, "g", "h")};
    EXPECT_TRUE(absl::IsDataLoss(version->apply(overlap).status()));
    VersionEdit missing;
    missing.removed = {{.level = 2, .number = 1}};
    EXPECT_TRUE(absl::IsDataLoss(version->apply(missing).status()));
    VersionEdit replaced;
    replaced.removed = {{.level = 1, .number = 2}};
    replaced.added = {table(1, 3, "d", "h"), table(0, 4, "a", "z")};
    const auto next = version->apply(replaced);
    ASSERT_TRUE(next.ok());
    EXPECT_EQ((*next)->level(1).size(), 2u);
    EXPECT_TRUE((*next)->covers(1, "d"));
    EXPECT_FALSE((*next)->covers(1, "cc"));
    EXPECT_FALSE(version->covers(1, "d"));
}

TEST(VersionEditTest, AnEditIsReadBackAndDamageIsNot) {
    VersionEdit edit;
    edit.next_file_number = 77;
    edit.log = LogStart{.number = 5, .position = 1234567, .flushed = 89};
    edit.removed = {{.level = 0, .number = 3}};
    edit.added = {table(6, 12, "a", "b")};
    const std::string bytes = encode_version_edit(edit);
    const auto read_back = decode_version_edit(bytes);
    ASSERT_TRUE(read_back.ok());
    EXPECT_EQ(read_back->next_file_number, 77u);
    EXPECT_EQ(read_back->log, edit.log);
    EXPECT_EQ(read_back->removed.size(), 1u);
    ASSERT_EQ(read_back->added.size(), 1u);
    EXPECT_EQ(read_back->added[0].table.largest, edit.added[0].table.largest);
    for (size_t size = 0; size + 1 < bytes.size(); ++size) {
        decode_version_edit(bytes.substr(0, size)).IgnoreError();
    }
    edit.added[0].level = level_count;
    EXPECT_FALSE(decode_version_edit(encode_version_edit(edit)).ok());
}

TEST(VersionEditTest, AnExpiryBeyondAllClocksIsDamage) {
    VersionEdit edit;
    edit.next_file_number = 1;
    edit.added = {table(6, 12, "a", "b")};
    edit.added[0].table.latest_expiry = expiry_max;
    edit.expired_until = expiry_max;
    EXPECT_TRUE(decode_version_edit(encode_version_edit(edit)).ok());
    edit.expired_until = expiry_max + 1;
    EXPECT_FALSE(decode_version_edit(encode_version_edit(edit)).ok());
    edit.expired_until = 0;
    edit.added[0].table.latest_expiry = UINT64_MAX;
    EXPECT_FALSE(decode_version_edit(encode_version_edit(edit)).ok());
}

TEST(StoredValueTest, AnExpiryBeyondAllClocksIsDamage) {
    EXPECT_TRUE(view_value(ChangeKind::put_expiring, with_expiry("v", expiry_max)).has_value());
    EXPECT_FALSE(
        view_value(ChangeKind::put_expiring, with_expiry("v", expiry_max + 1)).has_value());
    const ValuePointer pointer{.expiry = UINT64_MAX, .file = 1, .offset = 2, .size = 3};
    EXPECT_FALSE(view_value(ChangeKind::put_separate, encode_value_pointer(pointer)).has_value());
}

RC_GTEST_PROP(VersionEditTest, ArbitraryBytesNeverCrashTheDecoder, (const std::string& bytes)) {
    const auto edit = decode_version_edit(bytes);
    RC_ASSERT(edit.ok() || absl::IsDataLoss(edit.status()));
}

// level_bytes_base is 4096 there, and level 0 is compacted from four tables on.
TEST(CompactionPickerTest, ALevelWithinItsBoundsIsLeftAlone) {
    CompactionPicker picker(small_options());
    EXPECT_FALSE(picker.pick(Version()).has_value());
    EXPECT_FALSE(
        picker.pick(*version_of({table(0, 1, "a", "z"), table(6, 2, "a", "z", 4096)})).has_value());
    EXPECT_FALSE(
        picker.pick(*version_of({table(5, 1, "a", "z", 3999), table(6, 2, "a", "z", 40000)}))
            .has_value());
}

TEST(CompactionPickerTest, AllOfLevelZeroGoesWithWhatItOverlaps) {
    CompactionPicker picker(small_options());
    const auto version = version_of({table(0, 1, "c", "d"),
                                     table(0, 2, "f", "g"),
                                     table(0, 3, "c", "d"),
                                     table(0, 4, "e", "e"),
                                     table(6, 5, "a", "b"),
                                     table(6, 6, "d", "e"),
                                     table(6, 7, "h", "i")});
    const auto picked = picker.pick(*version);
    ASSERT_TRUE(picked.has_value());
    EXPECT_EQ(picked->level, 0u);
    EXPECT_EQ(picked->output_level, 6u);
    EXPECT_EQ(picked->upper.size(), 4u);
    ASSERT_EQ(picked->lower.size(), 1u);
    EXPECT_EQ(picked->lower[0]->number, 6u);
}

// Four tables of level 0, and what a test adds.
std::shared_ptr<const Version> with_full_level_zero(std::vector<VersionEdit::Added> others) {
    for (uint64_t number = 101; number <= 104; ++number) {
        others.push_back(table(0, number, "a", "z"));
    }
    return version_of(std::move(others));
}

TEST(CompactionPickerTest, TheFirstSortedLevelIsAsDeepAsTheDataIsSmall) {
    CompactionPicker picker(small_options());
    EXPECT_EQ(picker.pick(*with_full_level_zero({}))->output_level, 6u);
    EXPECT_EQ(picker.pick(*with_full_level_zero({table(6, 1, "a", "z", 4096)}))->output_level, 6u);
    EXPECT_EQ(picker.pick(*with_full_level_zero({table(6, 1, "a", "z", 4097)}))->output_level, 5u);
    EXPECT_EQ(picker.pick(*with_full_level_zero({table(6, 1, "a", "z", 40960)}))->output_level, 5u);
    EXPECT_EQ(picker.pick(*with_full_level_zero({table(6, 1, "a", "z", 40970)}))->output_level, 4u);
}

TEST(CompactionPickerTest, UnlessItIsSaidTheFirstSortedLevelIsFourTimesWhatIsInMemory) {
    EngineOptions options;
    options.level_bytes_base = 0;
    options.memory_bytes_max = 4u << 20;
    options.table_bytes = 1u << 20;
    const auto output_level = [&](uint64_t bytes) {
        return CompactionPicker(options)
            .pick(*with_full_level_zero({table(6, 1, "a", "z", bytes)}))
            ->output_level;
    };
    EXPECT_EQ(output_level(16u << 20), 6u);
    EXPECT_EQ(output_level((16u << 20) + 1), 5u);
    options.table_bytes = 64u << 20;
    EXPECT_EQ(output_level(64u << 20), 6u);
    EXPECT_EQ(output_level((64u << 20) + 1), 5u);
}

TEST(CompactionPickerTest, LevelZeroPassesOverNoTable) {
    CompactionPicker picker(small_options());
    const auto version = with_full_level_zero(
        {table(2, 1, "m", "n", 10), table(5, 2, "a", "b", 10), table(6, 3, "a", "z", 4096)});
    EXPECT_EQ(picker.pick(*version)->output_level, 2u);
    EXPECT_EQ(compaction_of(*version, 0, version->level(0)).output_level, 2u);
}

TEST(CompactionPickerTest, ALevelBeforeTheFirstIsEmptiedButNotBeforeALevelThatIsTooLarge) {
    CompactionPicker picker(small_options());
    const auto small = version_of({table(3, 1, "a", "b", 10), table(6, 2, "a", "z", 4096)});
    EXPECT_EQ(picker.pick(*small)->level, 3u);
    const auto full = with_full_level_zero({table(3, 1, "a", "b", 10)});
    EXPECT_EQ(picker.pick(*full)->level, 0u);
    const auto large = version_of(
        {table(3, 1, "a", "b", 10), table(5, 2, "c", "d", 4097), table(6, 3, "a", "z", 40960)});
    EXPECT_EQ(picker.pick(*large)->level, 5u);
}

TEST(CompactionPickerTest, TablesOfALevelTakeTurns) {
    CompactionPicker picker(small_options());
    const auto version = version_of(
        {table(5, 1, "a", "b", 3000), table(5, 2, "c", "d", 3000), table(6, 3, "e", "f", 40000)});
    std::vector<uint64_t> order;
    for (int i = 0; i < 3; ++i) {
        const auto picked = picker.pick(*version);
        ASSERT_TRUE(picked.has_value());
        EXPECT_TRUE(picked->is_move());
        order.push_back(picked->upper.front()->number);
        picker.done(*picked);
    }
    EXPECT_EQ(order, (std::vector<uint64_t>{1, 2, 1}));
}

// ---- names ----

TEST(FileNamesTest, NamesAreReadBack) {
    const auto log = parse_file_name(log_path("d", 12).substr(2));
    ASSERT_TRUE(log.has_value());
    EXPECT_EQ(log->number, 12u);
    EXPECT_EQ(log->kind, FileKind::log);
    EXPECT_EQ(parse_file_name(table_path("d", 12345678).substr(2))->number, 12345678u);
    EXPECT_EQ(parse_file_name(manifest_path("d", 3).substr(2))->kind, FileKind::manifest);
    EXPECT_EQ(parse_file_name("CURRENT.tmp")->kind, FileKind::temporary);
    for (const char* name : {"LOCK",
                             "ENGINE",
                             "CURRENT",
                             "x.log",
                             "12.tablet",
                             "-1.log",
                             "manifest-",
                             "99999999999999999999.log",
                             "0.table"}) {
        EXPECT_FALSE(parse_file_name(name).has_value()) << name;
    }
}

}  // namespace
}  // namespace starling::storage::lsm
