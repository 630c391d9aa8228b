#include "base/out_of_memory.h"

#include <cstdint>
#include <new>

#include <gtest/gtest.h>

namespace starling::base {
namespace {

// Not inlined: the compiler would leave out memory that nobody uses.
[[gnu::noinline]] void* take(size_t bytes) {
    return ::operator new(bytes);
}

TEST(OutOfMemoryDeathTest, TheProgramEndsWithAMessage) {
    EXPECT_THROW(take(SIZE_MAX / 4), std::bad_alloc);
    EXPECT_DEATH(
        {
            say_when_memory_runs_out();
            take(SIZE_MAX / 4);
        },
        "no memory left");
}

}  // namespace
}  // namespace starling::base
