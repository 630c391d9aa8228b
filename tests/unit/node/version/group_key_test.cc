#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "node/replica/group.h"
#include "node/replica/group_access.h"

namespace starling::node {
namespace {

RC_GTEST_PROP(GroupKeyTest, SplitsIntoWhatItWasMadeOf, (uint64_t name_space, std::string key)) {
    const std::string whole = group_key(base::NamespaceId(name_space), key);
    const SplitGroupKey split = split_group_key(whole);
    RC_ASSERT(split.name_space == base::NamespaceId(name_space));
    RC_ASSERT(split.key == key);
    RC_ASSERT(bucket_of(whole) < bucket_count);
}

TEST(GroupKeyTest, KeysOfANamespaceLieTogetherInTheirOwnOrder) {
    EXPECT_LT(group_key(base::NamespaceId(1), "zz"), group_key(base::NamespaceId(2), "a"));
    EXPECT_LT(group_key(base::NamespaceId(255), "zz"), group_key(base::NamespaceId(256), "a"));
    EXPECT_LT(group_key(base::NamespaceId(1), "a"), group_key(base::NamespaceId(1), "ab"));
}

TEST(GroupKeyTest, BucketsAreUsedEvenly) {
    std::array<size_t, bucket_count> sizes{};
    constexpr size_t keys = 25'600;
    for (size_t i = 0; i < keys; ++i) {
        ++sizes[bucket_of(group_key(base::NamespaceId(1), std::to_string(i)))];
    }
    for (const size_t size : sizes) {
        EXPECT_GT(size, 50u);
        EXPECT_LT(size, 160u);
    }
}

}  // namespace
}  // namespace starling::node
