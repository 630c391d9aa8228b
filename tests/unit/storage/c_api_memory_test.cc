// What the C functions do when an allocation fails. The test replaces the allocator.

#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>

#include <gtest/gtest.h>

#include "tests/unit/storage/c_api_rig.h"

namespace {

// Of this thread: how many allocations succeed before one fails; negative: all do.
thread_local int64_t allocations_left = -1;

}  // namespace

// Not inlined: the compiler would see memory of one kind given back as another.
[[gnu::noinline]] void* operator new(size_t size) {
    if (allocations_left == 0) {
        allocations_left = -1;
        throw std::bad_alloc();
    }
    allocations_left -= allocations_left > 0 ? 1 : 0;
    void* const memory = std::malloc(size == 0 ? 1 : size);
    if (memory == nullptr) {
        throw std::bad_alloc();
    }
    return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
    std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept {
    std::free(memory);
}

namespace starling::storage {
namespace {

class CApiMemoryTest : public CApiTest {};

// The code of `call` when the n-th allocation in it fails, for each n until it needs fewer.
template <typename Call>
void fail_each_allocation(Call&& call) {
    starling_storage_code code = STARLING_STORAGE_OUT_OF_MEMORY;
    for (int64_t n = 0; code != STARLING_STORAGE_OK; ++n) {
        ASSERT_LT(n, 1000);
        allocations_left = n;
        code = call();
        allocations_left = -1;
        if (code != STARLING_STORAGE_OK) {
            EXPECT_EQ(code, STARLING_STORAGE_OUT_OF_MEMORY)
                << n << ": " << starling_storage_error_text();
            EXPECT_STREQ(starling_storage_error_text(), "no memory left");
        }
    }
}

TEST_F(CApiMemoryTest, AnObjectThatFindsNoMemoryIsNull) {
    allocations_left = 0;
    EXPECT_EQ(starling_storage_batch_create(), nullptr);
    EXPECT_STREQ(starling_storage_error_text(), "no memory left");
    allocations_left = 0;
    EXPECT_EQ(starling_storage_options_create(), nullptr);
    allocations_left = -1;
}

TEST_F(CApiMemoryTest, AChangeOfABatchThatFindsNoMemoryLeavesItAsItWas) {
    starling_storage_batch* batch = starling_storage_batch_create();
    ASSERT_EQ(starling_storage_batch_put(batch, "a", 1, "1", 1, 0), STARLING_STORAGE_OK);
    const std::string large(1000, 'v');
    fail_each_allocation(
        [&] { return starling_storage_batch_put(batch, "b", 1, large.data(), large.size(), 0); });
    // No memory could hold it, and nothing of it is read.
    EXPECT_EQ(starling_storage_batch_put(batch, "c", 1, "v", SIZE_MAX / 2, 0),
              STARLING_STORAGE_OUT_OF_MEMORY);
    EXPECT_EQ(starling_storage_batch_delete(batch, "c", SIZE_MAX / 2),
              STARLING_STORAGE_OUT_OF_MEMORY);
    EXPECT_EQ(starling_storage_batch_delete_range(batch, "c", 1, "d", SIZE_MAX / 2),
              STARLING_STORAGE_OUT_OF_MEMORY);
    EXPECT_EQ(starling_storage_write(storage, batch, 0), STARLING_STORAGE_OK);
    EXPECT_EQ(get("a"), "1");
    EXPECT_EQ(get("b"), large);
    EXPECT_EQ(get("c"), "not_found");
    starling_storage_batch_free(batch);
}

}  // namespace
}  // namespace starling::storage
