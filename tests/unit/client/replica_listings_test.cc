#include "client/cli/replica_listings.h"

#include <array>
#include <set>

#include "gtest/gtest.h"
#include <rapidcheck/gtest.h>

namespace starling::client {
namespace {

using Keys = std::map<std::string, uint64_t>;

v1::InspectReplicaResponse page_of(const Keys& keys, const std::string& after, size_t count) {
    v1::InspectReplicaResponse page;
    for (auto entry = keys.upper_bound(after); entry != keys.end(); ++entry) {
        if (count-- == 0) {
            page.set_up_to(std::prev(entry)->first);
            break;
        }
        v1::InspectedKey& key = *page.add_keys();
        key.set_key(entry->first);
        key.set_digest(entry->second);
    }
    return page;
}

RC_GTEST_PROP(ReplicaListingsTest, FindsWhatDiffersInOnePassOverEachReplica, ()) {
    std::array<Keys, 3> replicas;
    std::set<std::string> expected;
    const auto count = *rc::gen::inRange(0, 40);
    for (int i = 0; i < count; ++i) {
        const std::string key = "key " + std::to_string(i);
        std::set<uint64_t> digests;
        for (Keys& keys : replicas) {
            const auto digest = *rc::gen::inRange<uint64_t>(0, 3);
            digests.insert(digest);
            if (digest > 0) keys[key] = digest;
        }
        if (digests.size() > 1) expected.insert(key);
    }
    ReplicaListings listings({0, 1, 2});
    std::vector<std::string> found;
    std::array<std::string, 3> asked;
    while (!listings.is_done()) {
        for (const auto& [node, after] : listings.wanted()) {
            RC_ASSERT(asked[node].empty() || asked[node] < after);
            asked[node] = after;
            const auto page_keys = *rc::gen::inRange<size_t>(1, 6);
            RC_ASSERT(listings.add(node, page_of(replicas[node], after, page_keys)).ok());
        }
        for (std::string& key : listings.take_differing()) {
            found.push_back(std::move(key));
        }
    }
    RC_ASSERT(found == std::vector<std::string>(expected.begin(), expected.end()));
}

TEST(ReplicaListingsTest, WithoutTheOneThatIsDroppedTheOthersAreCompared) {
    ReplicaListings listings({1, 2, 3});
    ASSERT_TRUE(listings.add(1, page_of({{"a", 1}, {"b", 1}}, "", 9)).ok());
    ASSERT_TRUE(listings.add(2, page_of({{"a", 2}, {"b", 1}}, "", 9)).ok());
    listings.drop(3);
    EXPECT_TRUE(listings.wanted().empty());
    EXPECT_EQ(listings.take_differing(), std::vector<std::string>{"a"});
    EXPECT_TRUE(listings.is_done());

    ReplicaListings alone({1, 2});
    alone.drop(2);
    EXPECT_TRUE(alone.is_done());
}

TEST(ReplicaListingsTest, APageThatDoesNotGoOnIsRefused) {
    const auto refuses = [](const Keys& keys, const std::string& up_to) {
        ReplicaListings listings({1, 2});
        v1::InspectReplicaResponse first;
        first.set_up_to("b");
        EXPECT_TRUE(listings.add(1, first).ok());
        EXPECT_TRUE(listings.add(2, first).ok());
        EXPECT_TRUE(listings.take_differing().empty());
        v1::InspectReplicaResponse second = page_of(keys, "", 9);
        second.set_up_to(up_to);
        return !listings.add(1, second).ok();
    };
    EXPECT_FALSE(refuses({{"c", 1}}, "d"));
    EXPECT_FALSE(refuses({{"c", 1}}, ""));
    EXPECT_TRUE(refuses({}, "b"));
    EXPECT_TRUE(refuses({{"b", 1}}, "d"));
    EXPECT_TRUE(refuses({{"e", 1}}, "d"));
}

}  // namespace
}  // namespace starling::client
