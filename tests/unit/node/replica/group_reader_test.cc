#include "node/replica/group_reader.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "tests/unit/node/replica/store_rig.h"

namespace starling::node {
namespace {

using testing::group;
using testing::key;

// What all pages of a group's listing have.
struct Listed {
    std::vector<KeyDigest> keys;
    size_t pages = 0;
    size_t keys_per_page_max = 0;
    size_t bytes_read = 0;
};

struct ListingPageTest : ::testing::Test {
    void write(size_t count, const std::string& value) {
        for (size_t i = 0; i < count; ++i) {
            rig.write(group(1), key(std::to_string(i)), 1, value);
        }
        rig.write(group(2), key("of another group"), 1, value);
        rig.settle();
    }
    Listed list(const BucketSet& buckets, const group_reader::ListingLimits& limits) {
        Listed listed;
        std::string after;
        do {
            const auto page =
                group_reader::listing_page(rig.engine, group(1), buckets, after, limits);
            EXPECT_TRUE(page.ok()) << page.status();
            if (!page.ok()) return listed;
            EXPECT_TRUE(page->up_to.empty() || after < page->up_to);
            ++listed.pages;
            listed.bytes_read += page->bytes_read;
            listed.keys_per_page_max = std::max(listed.keys_per_page_max, page->keys.size());
            listed.keys.insert(listed.keys.end(), page->keys.begin(), page->keys.end());
            after = page->up_to;
        } while (!after.empty());
        return listed;
    }
    static BucketSet all_buckets() { return BucketSet().set(); }

    testing::StoreRig rig;
};

TEST_F(ListingPageTest, PagesTogetherHaveEachKeyOfTheBucketsThatHasAValueOnce) {
    write(600, "value");
    rig.write(group(1), key("7"), 1, "");
    rig.settle();
    BucketSet buckets;
    BucketDigests sums{};
    for (size_t i = 0; i < bucket_count; i += 3) {
        buckets.set(i);
    }
    const Listed listed = list(buckets, {.bytes_max = 100});
    for (size_t i = 0; i < listed.keys.size(); ++i) {
        const std::string& listed_key = listed.keys[i].key;
        EXPECT_TRUE(buckets.test(bucket_of(listed_key)));
        EXPECT_TRUE(i == 0 || listed.keys[i - 1].key < listed_key);
        sums[bucket_of(listed_key)] += listed.keys[i].digest;
    }
    const BucketDigests expected = rig.store.summary(group(1))->buckets;
    for (size_t i = 0; i < bucket_count; ++i) {
        EXPECT_EQ(sums[i], buckets.test(i) ? expected[i] : 0);
    }
    EXPECT_LE(listed.keys_per_page_max, 10u);
    EXPECT_GE(listed.pages, listed.keys.size() / 10);
}

TEST_F(ListingPageTest, APageEndsAfterSoManyRecordsAlthoughFewAreOfTheBuckets) {
    write(600, "value");
    const std::string wanted = key("44");
    BucketSet buckets;
    buckets.set(bucket_of(wanted));
    const Listed listed = list(buckets, {.records_read_max = 50});
    EXPECT_EQ(listed.pages, 12u);
    EXPECT_LT(listed.keys.size(), 12u);
    EXPECT_TRUE(std::any_of(listed.keys.begin(), listed.keys.end(), [&](const KeyDigest& found) {
        return found.key == wanted;
    }));
}

TEST_F(ListingPageTest, APageEndsAfterSoManyBytesOfRecordsThatAreNotOfTheBuckets) {
    write(20, std::string(10'000, 'v'));
    BucketSet buckets = all_buckets();
    for (size_t i = 0; i < 20; ++i) {
        buckets.reset(bucket_of(key(std::to_string(i))));
    }
    const Listed listed = list(buckets, {.bytes_read_max = 50'000});
    EXPECT_TRUE(listed.keys.empty());
    EXPECT_EQ(listed.pages, 4u);
}

TEST_F(ListingPageTest, SaysHowMuchItReadOfWhateverBucket) {
    write(20, std::string(10'000, 'v'));
    const Listed whole = list(all_buckets(), {});
    EXPECT_EQ(whole.pages, 1u);
    EXPECT_GE(whole.bytes_read, 20 * 10'000u);
    EXPECT_LT(whole.bytes_read, 20 * 10'200u);
    EXPECT_EQ(list(BucketSet(), {}).bytes_read, whole.bytes_read);
    // Each record but the first is met by two pages.
    const Listed listed = list(BucketSet(), {.records_read_max = 1});
    EXPECT_EQ(listed.pages, 20u);
    EXPECT_GT(listed.bytes_read, 39 * 10'000u);
    EXPECT_LT(listed.bytes_read, 2 * whole.bytes_read);
}

TEST_F(ListingPageTest, AGroupOfNothingHasOneEmptyPage) {
    EXPECT_EQ(list(all_buckets(), {}).pages, 1u);
    EXPECT_EQ(list(all_buckets(), {}).bytes_read, 0u);
}

}  // namespace
}  // namespace starling::node
