#include "node/entropy/listing_diff.h"

#include <algorithm>
#include <array>
#include <map>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "node/replica/group.h"

namespace starling::node {
namespace {

using Side = ListingDiff::Side;
using Keys = std::map<std::string, uint64_t>;

BucketSet all_buckets() {
    return BucketSet().set();
}

std::string key_of(uint64_t number) {
    return group_key(base::default_namespace_id, std::to_string(number));
}

// `count` keys of the side, of whatever bucket.
ListingPage page_of(const Keys& keys,
                    const BucketSet& buckets,
                    const std::string& after,
                    size_t count) {
    ListingPage page;
    for (auto entry = keys.upper_bound(after); entry != keys.end(); ++entry) {
        if (count-- == 0) {
            page.up_to = std::prev(entry)->first;
            break;
        }
        if (buckets.test(bucket_of(entry->first))) {
            page.keys.push_back({.key = entry->first, .digest = entry->second});
        }
    }
    return page;
}

RC_GTEST_PROP(ListingDiffTest, FindsWhatDiffersInOnePassOverEachSide, ()) {
    std::array<Keys, 2> sides;
    BucketSet buckets;
    Keys expected;
    const auto count = *rc::gen::inRange<uint64_t>(0, 80);
    for (uint64_t i = 0; i < count; ++i) {
        const std::string key = key_of(i);
        const auto mine = *rc::gen::inRange<uint64_t>(0, 3);
        const auto other = *rc::gen::inRange<uint64_t>(0, 3);
        if (mine > 0) sides[0][key] = mine;
        if (other > 0) sides[1][key] = other;
        if (*rc::gen::arbitrary<bool>()) buckets.set(bucket_of(key));
        if (mine != other) expected[key] = 1;
    }
    std::erase_if(expected,
                  [&](const auto& entry) { return !buckets.test(bucket_of(entry.first)); });

    ListingDiff diff(buckets);
    std::vector<std::string> found;
    std::array<std::string, 2> asked;
    while (!diff.is_done()) {
        for (const Side side : {Side::own, Side::theirs}) {
            if (!diff.wants_page_of(side)) continue;
            const auto at = static_cast<size_t>(side);
            RC_ASSERT(asked[at].empty() || asked[at] < diff.after(side));
            asked[at] = diff.after(side);
            const auto page_keys = *rc::gen::inRange<size_t>(1, 9);
            RC_ASSERT(
                diff.add(side, page_of(sides[at], buckets, diff.after(side), page_keys)).ok());
        }
        for (std::string& key : diff.take_differing()) {
            found.push_back(std::move(key));
        }
    }
    RC_ASSERT(found.size() == expected.size());
    RC_ASSERT(std::equal(found.begin(), found.end(), expected.begin(), [](auto& key, auto& entry) {
        return key == entry.first;
    }));
}

TEST(ListingDiffTest, APageThatIsNoneOfTheListingIsRefused) {
    std::vector<std::string> keys = {key_of(1), key_of(2), key_of(3)};
    BucketSet buckets = all_buckets();
    const std::string of_another_bucket = key_of(4);
    buckets.reset(bucket_of(of_another_bucket));
    for (const std::string& key : keys) {
        ASSERT_TRUE(buckets.test(bucket_of(key)));
    }
    const auto refuses = [&](ListingPage page) {
        ListingDiff diff(buckets);
        EXPECT_TRUE(diff.add(Side::own, {}).ok());
        EXPECT_TRUE(diff.add(Side::theirs, {.keys = {}, .up_to = keys[0]}).ok());
        EXPECT_TRUE(diff.take_differing().empty());
        EXPECT_FALSE(diff.wants_page_of(Side::own)) << "it has said that there is no more";
        return !diff.add(Side::theirs, std::move(page)).ok();
    };
    EXPECT_FALSE(refuses({.keys = {{keys[1], 1}, {keys[2], 1}}, .up_to = {}}));
    EXPECT_FALSE(refuses({.keys = {}, .up_to = keys[1]}));
    EXPECT_TRUE(refuses({.keys = {{keys[2], 1}, {keys[1], 1}}, .up_to = {}}));
    EXPECT_TRUE(refuses({.keys = {{keys[1], 1}, {keys[1], 1}}, .up_to = {}}));
    EXPECT_TRUE(refuses({.keys = {{keys[0], 1}}, .up_to = {}})) << "listed before";
    EXPECT_TRUE(refuses({.keys = {{of_another_bucket, 1}}, .up_to = {}}));
    EXPECT_TRUE(refuses({.keys = {{keys[2], 1}}, .up_to = keys[1]})) << "beyond its end";
    EXPECT_TRUE(refuses({.keys = {}, .up_to = keys[0]})) << "would be asked for again";
}

}  // namespace
}  // namespace starling::node
