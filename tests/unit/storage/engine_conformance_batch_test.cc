// Batches: conditions, removals of ranges, and that a batch is one change.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/storage/engine_conformance.h"

namespace starling::storage {
namespace {

using testing::HasSubstr;

class EngineBatchTest : public EngineConformanceTest {
  protected:
    absl::Status swap(std::string_view key,
                      std::optional<std::string> expected,
                      std::string_view value) {
        const Condition condition{.key = std::string(key), .expected = std::move(expected)};
        WriteBatch batch;
        batch.put(key, value);
        return engine->write_if({&condition, 1}, batch);
    }
    absl::Status remove_range(std::string_view begin, std::string_view end) {
        WriteBatch batch;
        batch.remove_range(begin, end);
        return engine->write(batch);
    }
    void put_letters() {
        for (char letter = 'a'; letter <= 'h'; ++letter) {
            ASSERT_TRUE(put(*engine, std::string(1, letter), "1").ok());
        }
    }
    static std::string keys_of(const Model& model) {
        std::string keys;
        for (const auto& [key, value] : model) {
            keys += key;
        }
        return keys;
    }
};

STARLING_FOR_EVERY_ENGINE(EngineBatchTest);

TEST_P(EngineBatchTest, AConditionalBatchIsAppliedWhenTheValueIsTheExpectedOne) {
    ASSERT_TRUE(put(*engine, "a", "1").ok());
    EXPECT_TRUE(swap("a", "1", "2").ok());
    EXPECT_EQ(read(*engine, "a"), "2");
    const absl::Status status = swap("a", "1", "3");
    EXPECT_TRUE(absl::IsAborted(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("\"a\""));
    EXPECT_EQ(read(*engine, "a"), "2");
    // Of the same length, and a prefix of it.
    EXPECT_TRUE(absl::IsAborted(swap("a", "", "3")));
    EXPECT_TRUE(absl::IsAborted(swap("a", "22", "3")));
}

TEST_P(EngineBatchTest, AConditionMayWantAKeyToBeAbsent) {
    EXPECT_TRUE(swap("a", std::nullopt, "1").ok());
    EXPECT_EQ(read(*engine, "a"), "1");
    EXPECT_TRUE(absl::IsAborted(swap("a", std::nullopt, "2")));
    EXPECT_TRUE(absl::IsAborted(swap("missing", "1", "2")));
    EXPECT_EQ(read(*engine, "missing"), "(none)");
    ASSERT_TRUE(remove(*engine, "a").ok());
    EXPECT_TRUE(swap("a", std::nullopt, "3").ok());
    EXPECT_EQ(read(*engine, "a"), "3");
}

TEST_P(EngineBatchTest, AnEmptyValueIsNotAnAbsentKey) {
    ASSERT_TRUE(put(*engine, "a", "").ok());
    EXPECT_TRUE(absl::IsAborted(swap("a", std::nullopt, "1")));
    EXPECT_TRUE(swap("a", "", "1").ok());
}

TEST_P(EngineBatchTest, AnExpiredKeyIsAbsentForAConditionToo) {
    ASSERT_TRUE(put_until("a", "1", in(std::chrono::seconds(5))).ok());
    EXPECT_TRUE(absl::IsAborted(swap("a", std::nullopt, "2")));
    clock.advance(std::chrono::seconds(5));
    EXPECT_TRUE(absl::IsAborted(swap("a", "1", "2")));
    EXPECT_TRUE(swap("a", std::nullopt, "2").ok());
    EXPECT_EQ(read(*engine, "a"), "2");
}

TEST_P(EngineBatchTest, AllConditionsMustHoldAndTheFirstThatDoesNotIsNamed) {
    ASSERT_TRUE(put(*engine, "a", "1").ok());
    ASSERT_TRUE(put(*engine, "b", "1").ok());
    WriteBatch batch;
    batch.put("c", "new");
    batch.remove("a");
    const std::vector<Condition> wrong = {{.key = "a", .expected = "1"},
                                          {.key = "b", .expected = "2"},
                                          {.key = "c", .expected = "3"}};
    const absl::Status status = engine->write_if(wrong, batch);
    EXPECT_TRUE(absl::IsAborted(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("\"b\""));
    EXPECT_EQ(*contents(*engine), (Model{{"a", "1"}, {"b", "1"}}));
    const std::vector<Condition> right = {{.key = "a", .expected = "1"},
                                          {.key = "b", .expected = "1"},
                                          {.key = "c", .expected = std::nullopt}};
    EXPECT_TRUE(engine->write_if(right, batch, {.sync = true}).ok());
    EXPECT_EQ(*contents(*engine), (Model{{"b", "1"}, {"c", "new"}}));
}

TEST_P(EngineBatchTest, ConditionsAreJudgedByWhatIsOnTheDisk) {
    const std::string value(700, 'v');
    for (int i = 0; i < 40; ++i) {
        WriteBatch batch;
        batch.put(fmt::format("key{:02}", i), value);
        ASSERT_TRUE(write_patiently(*engine, workers, batch).ok());
    }
    workers.run_all();
    reopen_if_durable();
    EXPECT_TRUE(swap("key03", value, "new").ok());
    EXPECT_TRUE(absl::IsAborted(swap("key04", std::string(700, 'w'), "new")));
    EXPECT_TRUE(absl::IsAborted(swap("key05", std::nullopt, "new")));
    EXPECT_EQ(read(*engine, "key03"), "new");
    EXPECT_TRUE(read(*engine, "key04") == value);
}

TEST_P(EngineBatchTest, ABatchWithoutConditionsIsAPlainOne) {
    WriteBatch batch;
    batch.put("a", "1");
    EXPECT_TRUE(engine->write_if({}, batch).ok());
    EXPECT_EQ(read(*engine, "a"), "1");
}

TEST_P(EngineBatchTest, ARemovedRangeIsGoneUpToItsEnd) {
    put_letters();
    ASSERT_TRUE(remove_range("c", "f").ok());
    EXPECT_EQ(keys_of(*contents(*engine)), "abfgh");
    EXPECT_EQ(read(*engine, "c"), "(none)");
    EXPECT_EQ(read(*engine, "f"), "1");
    ASSERT_TRUE(remove_range("g", "").ok());
    EXPECT_EQ(keys_of(*contents(*engine)), "abf");
    // Empty ones.
    ASSERT_TRUE(remove_range("b", "b").ok());
    ASSERT_TRUE(remove_range("f", "a").ok());
    EXPECT_EQ(keys_of(*contents(*engine)), "abf");
    reopen_if_durable();
    EXPECT_EQ(keys_of(*contents(*engine)), "abf");
    ASSERT_TRUE(remove_range("", "").ok());
    EXPECT_TRUE(contents(*engine)->empty());
    reopen_if_durable();
    EXPECT_TRUE(contents(*engine)->empty());
}

TEST_P(EngineBatchTest, InABatchOnlyWhatStandsBeforeARangeRemovalIsRemoved) {
    put_letters();
    WriteBatch batch;
    batch.put("c", "before");
    batch.put("cc", "before");
    batch.remove_range("b", "e");
    batch.put("d", "after");
    batch.put("dd", "after");
    batch.remove_range("f", "h");
    batch.remove("d");
    ASSERT_TRUE(engine->write(batch).ok());
    const Model expected{{"a", "1"}, {"dd", "after"}, {"e", "1"}, {"h", "1"}};
    EXPECT_EQ(*contents(*engine), expected);
    reopen_if_durable();
    EXPECT_EQ(*contents(*engine), expected);
}

TEST_P(EngineBatchTest, ASnapshotStillSeesARangeThatIsRemoved) {
    put_letters();
    const auto before = engine->snapshot();
    const auto iterator = engine->new_iterator();
    ASSERT_TRUE(remove_range("b", "g").ok());
    const auto between = engine->snapshot();
    ASSERT_TRUE(put(*engine, "c", "2").ok());
    EXPECT_EQ(keys_of(*contents(*engine, {.lower = "", .upper = "", .snapshot = before.get()})),
              "abcdefgh");
    EXPECT_EQ(keys_of(*contents(*engine, {.lower = "", .upper = "", .snapshot = between.get()})),
              "agh");
    EXPECT_EQ(read(*engine, "c", before.get()), "1");
    EXPECT_EQ(read(*engine, "c", between.get()), "(none)");
    EXPECT_EQ(read(*engine, "c"), "2");
    std::string back;
    for (iterator->seek_to_last(); iterator->valid(); iterator->previous()) {
        back += iterator->key();
    }
    EXPECT_EQ(back, "hgfedcba");
}

TEST_P(EngineBatchTest, RemovingAllTwiceLeavesNothingAndWritingGoesOn) {
    for (int round = 0; round < 2; ++round) {
        for (int i = 0; i < 100; ++i) {
            WriteBatch batch;
            batch.put(fmt::format("{}-{:03}", round, i), std::string(100, 'v'));
            ASSERT_TRUE(write_patiently(*engine, workers, batch).ok());
        }
        ASSERT_TRUE(remove_range("", "").ok());
        EXPECT_TRUE(contents(*engine)->empty());
        workers.run_all();
    }
    ASSERT_TRUE(put(*engine, "a", "1").ok());
    reopen_if_durable();
    EXPECT_EQ(*contents(*engine), (Model{{"a", "1"}}));
}

TEST_P(EngineBatchTest, NobodySeesHalfABatch) {
    for (int round = 0; round < 30; ++round) {
        const std::string value = fmt::format("{}", round);
        WriteBatch batch;
        for (int i = 0; i < 40; ++i) {
            batch.put(fmt::format("key{:02}", i), value);
        }
        ASSERT_TRUE(write_patiently(*engine, workers, batch).ok());
        workers.run_one();
        const auto snapshot = engine->snapshot();
        batch.clear();
        batch.remove_range("", "");
        ASSERT_TRUE(write_patiently(*engine, workers, batch).ok());
        const auto found =
            contents(*engine, {.lower = "", .upper = "", .snapshot = snapshot.get()});
        ASSERT_EQ(found->size(), 40u);
        for (const auto& [key, held] : *found) {
            ASSERT_EQ(held, value);
        }
        ASSERT_TRUE(contents(*engine)->empty());
    }
}

TEST_P(EngineBatchTest, PuttingAndRemovingOverAndOverLeavesNothing) {
    for (int i = 0; i < 50; ++i) {
        ASSERT_TRUE(put(*engine, "a", fmt::format("{}", i)).ok());
        ASSERT_EQ(read(*engine, "a"), fmt::format("{}", i));
        ASSERT_TRUE(remove(*engine, "a").ok());
        ASSERT_EQ(read(*engine, "a"), "(none)");
    }
    ASSERT_TRUE(remove(*engine, "never there").ok());
    EXPECT_TRUE(contents(*engine)->empty());
    reopen_if_durable();
    EXPECT_TRUE(contents(*engine)->empty());
}

}  // namespace
}  // namespace starling::storage
