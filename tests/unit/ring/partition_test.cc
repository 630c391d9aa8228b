#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "ring/placement.h"

namespace starling::ring {
namespace {

RC_GTEST_PROP(PartitionTest, OfOneThereIsOnlyTheFirst, (std::string key)) {
    RC_ASSERT(partition_of(key, 1) == base::PartitionId(0));
}

RC_GTEST_PROP(PartitionTest, DoublingTheirNumberSplitsEachInTwo, (std::string key)) {
    for (uint32_t count = 1; count < partition_count_max; count *= 2) {
        const uint32_t coarse = partition_of(key, count).raw();
        const uint32_t fine = partition_of(key, count * 2).raw();
        RC_ASSERT(coarse < count);
        RC_ASSERT(fine / 2 == coarse);
    }
}

TEST(PartitionTest, KeysSpreadEvenly) {
    std::vector<uint32_t> sizes(partition_count_default, 0);
    for (int i = 0; i < 256 * 100; ++i) {
        ++sizes[partition_of("key-" + std::to_string(i), partition_count_default).raw()];
    }
    for (const uint32_t size : sizes) {
        EXPECT_GT(size, 50u);
        EXPECT_LT(size, 160u);
    }
}

// The stored data of every cluster depends on this.
TEST(PartitionTest, AKeyNeverChangesItsPartition) {
    EXPECT_EQ(partition_of("cart/42", 256).raw(), 0x6bu);
    EXPECT_EQ(partition_of("", 256).raw(), 0x2du);
}

}  // namespace
}  // namespace starling::ring
