#include "base/out_of_memory.h"

#include <cstddef>
#include <cstdint>
#include <new>

#include <gtest/gtest.h>

namespace starling::base {
namespace {

// The compiler leaves out memory that nobody uses.
void* volatile taken;

void take(size_t bytes) {
    taken = ::operator new(bytes);
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
