// The C functions, and what they make of wrong use.

#include <cstdlib>
#include <filesystem>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/unit/storage/c_api_rig.h"

namespace starling::storage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST_F(CApiTest, ValuesAreKeptOverAReopenWithEveryByte) {
    const std::string key("a\0b", 3);
    const std::string value("\0\xff", 2);
    put(key, value);
    put("empty", "");
    EXPECT_EQ(get(key), value);
    EXPECT_EQ(get("empty"), "");
    EXPECT_EQ(get("a"), "not_found");
    ASSERT_EQ(starling_storage_close(storage), STARLING_STORAGE_OK);
    starling_storage_free(storage);
    open();
    EXPECT_EQ(get(key), value);
    ASSERT_EQ(starling_storage_delete(storage, key.data(), key.size()), STARLING_STORAGE_OK);
    EXPECT_EQ(get(key), "not_found");
}

TEST_F(CApiTest, ABatchIsAppliedAsOne) {
    put("gone", "v");
    put("range1", "v");
    starling_storage_batch* batch = starling_storage_batch_create();
    EXPECT_EQ(starling_storage_batch_put(batch, "a", 1, "1", 1, 0), STARLING_STORAGE_OK);
    EXPECT_EQ(starling_storage_batch_put(batch, "expired", 7, "1", 1, 1), STARLING_STORAGE_OK);
    EXPECT_EQ(starling_storage_batch_delete(batch, "gone", 4), STARLING_STORAGE_OK);
    EXPECT_EQ(starling_storage_batch_delete_range(batch, "range", 5, "rangf", 5),
              STARLING_STORAGE_OK);
    EXPECT_EQ(get("a"), "not_found");
    EXPECT_EQ(starling_storage_write(storage, batch, 1), STARLING_STORAGE_OK);
    EXPECT_EQ(starling_storage_batch_clear(batch), STARLING_STORAGE_OK);
    starling_storage_batch_free(batch);
    EXPECT_EQ(get("a"), "1");
    EXPECT_EQ(get("expired"), "not_found");
    EXPECT_EQ(get("gone"), "not_found");
    EXPECT_EQ(get("range1"), "not_found");
}

TEST_F(CApiTest, AConditionalPutHappensOnlyWhenItsConditionHolds) {
    EXPECT_EQ(starling_storage_put_if(storage, "k", 1, nullptr, 0, "", 0), STARLING_STORAGE_OK);
    EXPECT_EQ(starling_storage_put_if(storage, "k", 1, nullptr, 0, "2", 1),
              STARLING_STORAGE_ABORTED);
    EXPECT_THAT(starling_storage_error_text(), HasSubstr("\"k\""));
    EXPECT_EQ(starling_storage_put_if(storage, "k", 1, "", 0, "2", 1), STARLING_STORAGE_OK);
    EXPECT_EQ(get("k"), "2");
}

TEST_F(CApiTest, AnIteratorWalksBothWaysWithinItsBounds) {
    for (const char* key : {"a", "b", "c", "d"}) {
        put(key, key);
    }
    starling_storage_iterator* iterator = nullptr;
    ASSERT_EQ(starling_storage_iterator_new(storage, nullptr, "b", 1, "d", 1, &iterator),
              STARLING_STORAGE_OK);
    EXPECT_EQ(starling_storage_iterator_valid(iterator), 0);
    const auto shown = [&] {
        size_t length = 0;
        const char* key = starling_storage_iterator_key(iterator, &length);
        return key == nullptr ? "(none)" : std::string(key, length);
    };
    std::vector<std::string> keys;
    starling_storage_iterator_seek_to_first(iterator);
    while (starling_storage_iterator_valid(iterator) != 0) {
        keys.push_back(shown());
        starling_storage_iterator_next(iterator);
    }
    EXPECT_THAT(keys, ElementsAre("b", "c"));
    EXPECT_EQ(starling_storage_iterator_next(iterator), STARLING_STORAGE_FAILED_PRECONDITION);
    EXPECT_EQ(starling_storage_iterator_value(iterator, nullptr), nullptr);
    starling_storage_iterator_seek_to_last(iterator);
    EXPECT_EQ(shown(), "c");
    starling_storage_iterator_previous(iterator);
    EXPECT_EQ(shown(), "b");
    EXPECT_EQ(starling_storage_iterator_expiry(iterator), 0u);
    starling_storage_iterator_seek(iterator, "c", 1);
    EXPECT_EQ(shown(), "c");
    starling_storage_iterator_seek_before(iterator, "c", 1);
    EXPECT_EQ(shown(), "b");
    starling_storage_iterator_free(iterator);
}

TEST_F(CApiTest, ASnapshotShowsNothingThatIsWrittenLater) {
    put("k", "1");
    starling_storage_snapshot* snapshot = nullptr;
    ASSERT_EQ(starling_storage_snapshot_take(storage, &snapshot), STARLING_STORAGE_OK);
    put("k", "2");
    EXPECT_EQ(get("k", snapshot), "1");
    EXPECT_EQ(get("k"), "2");
    starling_storage_snapshot_free(snapshot);
}

TEST_F(CApiTest, ASnapshotOfAnotherEngineIsRefused) {
    starling_storage* other = nullptr;
    ASSERT_EQ(starling_storage_open((folder + "/other").c_str(), nullptr, &other),
              STARLING_STORAGE_OK);
    starling_storage_snapshot* snapshot = nullptr;
    ASSERT_EQ(starling_storage_snapshot_take(other, &snapshot), STARLING_STORAGE_OK);
    EXPECT_EQ(get("k", snapshot), "invalid_argument");
    starling_storage_snapshot_free(snapshot);
    starling_storage_free(other);
}

TEST_F(CApiTest, ACheckpointOpensReadOnlyAndRefusesChanges) {
    put("k", "v");
    EXPECT_EQ(starling_storage_compact(storage), STARLING_STORAGE_OK)
        << starling_storage_error_text();
    EXPECT_EQ(starling_storage_sync(storage), STARLING_STORAGE_OK);
    const std::string copy = folder + "/copy";
    ASSERT_EQ(starling_storage_checkpoint(storage, copy.c_str()), STARLING_STORAGE_OK)
        << starling_storage_error_text();
    EXPECT_EQ(starling_storage_checkpoint(storage, copy.c_str()), STARLING_STORAGE_ALREADY_EXISTS);
    char* text = nullptr;
    ASSERT_EQ(starling_storage_statistics(storage, &text), STARLING_STORAGE_OK);
    EXPECT_THAT(text, HasSubstr("\ncompactions "));
    starling_storage_bytes_free(text);
    starling_storage_free(storage);

    starling_storage_options* options = starling_storage_options_create();
    EXPECT_EQ(starling_storage_options_set_read_only(options, 1), STARLING_STORAGE_OK);
    EXPECT_EQ(starling_storage_options_set_engine(options, "lsm"), STARLING_STORAGE_OK);
    EXPECT_EQ(starling_storage_options_set_block_cache_bytes(options, 1 << 20),
              STARLING_STORAGE_OK);
    ASSERT_EQ(starling_storage_open(copy.c_str(), options, &storage), STARLING_STORAGE_OK)
        << starling_storage_error_text();
    EXPECT_EQ(get("k"), "v");
    EXPECT_EQ(starling_storage_put(storage, "k", 1, "2", 1), STARLING_STORAGE_FAILED_PRECONDITION);
    EXPECT_THAT(starling_storage_error_text(), HasSubstr("read-only"));
    starling_storage* unknown = nullptr;
    EXPECT_EQ(starling_storage_options_set_engine(options, "sled"), STARLING_STORAGE_OK);
    EXPECT_EQ(starling_storage_open(copy.c_str(), options, &unknown),
              STARLING_STORAGE_INVALID_ARGUMENT);
    EXPECT_EQ(unknown, nullptr);
    starling_storage_options_free(options);
}

TEST_F(CApiTest, ASecondOpenOfADirectoryIsRefused) {
    starling_storage* second = nullptr;
    EXPECT_EQ(starling_storage_open((folder + "/data").c_str(), nullptr, &second),
              STARLING_STORAGE_FAILED_PRECONDITION);
    EXPECT_EQ(second, nullptr);
}

TEST_F(CApiTest, UseAfterCloseIsRefusedAndObjectsAreFreedInAnyOrder) {
    put("k", "v");
    starling_storage_iterator* iterator = nullptr;
    starling_storage_snapshot* snapshot = nullptr;
    ASSERT_EQ(starling_storage_iterator_new(storage, nullptr, nullptr, 0, nullptr, 0, &iterator),
              STARLING_STORAGE_OK);
    ASSERT_EQ(starling_storage_snapshot_take(storage, &snapshot), STARLING_STORAGE_OK);
    starling_storage_iterator_seek_to_first(iterator);
    ASSERT_EQ(starling_storage_iterator_valid(iterator), 1);
    ASSERT_EQ(starling_storage_close(storage), STARLING_STORAGE_OK);
    EXPECT_EQ(starling_storage_close(storage), STARLING_STORAGE_FAILED_PRECONDITION);
    EXPECT_EQ(get("k"), "failed_precondition");
    EXPECT_EQ(starling_storage_put(storage, "k", 1, "v", 1), STARLING_STORAGE_FAILED_PRECONDITION);
    EXPECT_EQ(starling_storage_sync(storage), STARLING_STORAGE_FAILED_PRECONDITION);
    EXPECT_EQ(starling_storage_iterator_valid(iterator), 0);
    EXPECT_EQ(starling_storage_iterator_key(iterator, nullptr), nullptr);
    EXPECT_EQ(starling_storage_iterator_seek_to_first(iterator),
              STARLING_STORAGE_FAILED_PRECONDITION);
    EXPECT_EQ(starling_storage_iterator_next(iterator), STARLING_STORAGE_FAILED_PRECONDITION);
    starling_storage_free(storage);
    storage = nullptr;
    starling_storage_snapshot_free(snapshot);
    starling_storage_iterator_free(iterator);
}

TEST_F(CApiTest, NullIsAnErrorAndNoCrash) {
    char* text = nullptr;
    size_t length = 0;
    starling_storage_batch* batch = starling_storage_batch_create();
    starling_storage_iterator* iterator = nullptr;
    starling_storage_snapshot* snapshot = nullptr;
    starling_storage* opened = nullptr;
    for (const starling_storage_code code :
         {starling_storage_open(nullptr, nullptr, &opened),
          starling_storage_open("x", nullptr, nullptr),
          starling_storage_close(nullptr),
          starling_storage_put(nullptr, "k", 1, "v", 1),
          starling_storage_put(storage, nullptr, 1, "v", 1),
          starling_storage_put(storage, "k", 1, nullptr, 1),
          starling_storage_put_with_expiry(storage, nullptr, 1, "v", 1, 1),
          starling_storage_put_if(storage, "k", 1, nullptr, 1, "v", 1),
          starling_storage_put_if(nullptr, "k", 1, "v", 1, "v", 1),
          starling_storage_delete(storage, nullptr, 1),
          starling_storage_get(nullptr, nullptr, "k", 1, &text, &length),
          starling_storage_get(storage, nullptr, nullptr, 1, &text, &length),
          starling_storage_get(storage, nullptr, "k", 1, nullptr, &length),
          starling_storage_get(storage, nullptr, "k", 1, &text, nullptr),
          starling_storage_batch_put(nullptr, "k", 1, "v", 1, 0),
          starling_storage_batch_put(batch, nullptr, 1, "v", 1, 0),
          starling_storage_batch_delete(nullptr, "k", 1),
          starling_storage_batch_delete(batch, nullptr, 1),
          starling_storage_batch_delete_range(batch, nullptr, 1, "v", 1),
          starling_storage_batch_delete_range(nullptr, "a", 1, "v", 1),
          starling_storage_batch_clear(nullptr),
          starling_storage_write(storage, nullptr, 0),
          starling_storage_write(nullptr, batch, 0),
          starling_storage_sync(nullptr),
          starling_storage_checkpoint(storage, nullptr),
          starling_storage_checkpoint(nullptr, "x"),
          starling_storage_compact(nullptr),
          starling_storage_statistics(storage, nullptr),
          starling_storage_statistics(nullptr, &text),
          starling_storage_snapshot_take(storage, nullptr),
          starling_storage_snapshot_take(nullptr, &snapshot),
          starling_storage_iterator_new(storage, nullptr, "", 0, "", 0, nullptr),
          starling_storage_iterator_new(storage, nullptr, nullptr, 1, "", 0, &iterator),
          starling_storage_iterator_new(nullptr, nullptr, "", 0, "", 0, &iterator),
          starling_storage_iterator_seek_to_first(nullptr),
          starling_storage_iterator_seek_to_last(nullptr),
          starling_storage_iterator_seek(nullptr, "k", 1),
          starling_storage_iterator_seek_before(nullptr, "k", 1),
          starling_storage_iterator_next(nullptr),
          starling_storage_iterator_previous(nullptr),
          starling_storage_options_set_engine(nullptr, "lsm"),
          starling_storage_options_set_read_only(nullptr, 1),
          starling_storage_options_set_memory_bytes_max(nullptr, 1),
          starling_storage_options_set_block_cache_bytes(nullptr, 1)}) {
        EXPECT_EQ(code, STARLING_STORAGE_INVALID_ARGUMENT);
        EXPECT_THAT(starling_storage_error_text(), HasSubstr("NULL"));
    }
    EXPECT_EQ(starling_storage_iterator_valid(nullptr), 0);
    EXPECT_EQ(starling_storage_iterator_key(nullptr, &length), nullptr);
    EXPECT_EQ(starling_storage_iterator_value(nullptr, &length), nullptr);
    EXPECT_EQ(starling_storage_iterator_expiry(nullptr), 0u);
    starling_storage_batch_free(batch);
    starling_storage_bytes_free(nullptr);
    starling_storage_batch_free(nullptr);
    starling_storage_options_free(nullptr);
    starling_storage_snapshot_free(nullptr);
    starling_storage_iterator_free(nullptr);
    starling_storage_free(nullptr);
}

}  // namespace
}  // namespace starling::storage
