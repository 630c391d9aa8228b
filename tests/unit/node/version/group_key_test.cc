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

RC_GTEST_PROP(BucketSetTest, ReadsBackWhatItWrote, (const std::vector<uint8_t>& numbers)) {
    BucketSet buckets;
    for (const uint8_t bucket : numbers) {
        buckets.set(bucket);
    }
    const std::string bytes = encode(buckets);
    RC_ASSERT(decode_bucket_set(bytes) == buckets);
    RC_ASSERT(!decode_bucket_set(bytes + '\0').has_value());
    RC_ASSERT(!decode_bucket_set(std::string_view(bytes).substr(1)).has_value());
}

TEST(BucketSetTest, ABucketIsABitOfItsByte) {
    EXPECT_EQ(encode(BucketSet().set(9).set(255)),
              std::string(1, '\0') + '\2' + std::string(29, '\0') + '\x80');
}

}  // namespace
}  // namespace starling::node
