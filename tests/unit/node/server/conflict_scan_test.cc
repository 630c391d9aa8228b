#include "node/server/conflict_scan.h"

#include <set>

#include <gtest/gtest.h>

#include "ring/placement.h"
#include "tests/unit/node/server/rig.h"

namespace starling::node {
namespace {

using absl::StatusCode;
using std::string_literals::operator""s;

class ConflictScanTest : public testing::Test {
  protected:
    ConflictScanTest() { machine.options.seat_count = 1; }

    // Beside whatever is there.
    void put_beside(const std::string& key, const std::string& value, const std::string& in) {
        PutRequest request = machine.make_put(key, value);
        request.options.name_space = in;
        request.context = "";
        ASSERT_TRUE(machine.put(std::move(request)).ok());
    }
    void put_siblings(const std::string& key, const std::string& in = "default") {
        put_beside(key, "one of " + key, in);
        put_beside(key, "two of " + key, in);
    }
    absl::StatusOr<ConflictPage> page(ConflictQuery query) {
        return machine.await<ConflictPage>(
            [&](auto done) { machine.node().list_conflicts(std::move(query), std::move(done)); });
    }
    struct Found {
        std::vector<std::string> keys;
        std::set<base::PartitionId> partitions;
        int pages = 0;
    };
    Found all(const std::string& in = "default", uint32_t keys_max = 100) {
        Found found;
        ConflictQuery query{.name_space = in, .from = {}, .keys_max = keys_max};
        for (bool more = true; more && found.pages < 1000;) {
            const auto answer = page(query);
            EXPECT_TRUE(answer.ok()) << answer.status();
            if (!answer.ok()) {
                break;
            }
            ++found.pages;
            EXPECT_LE(answer->keys.size(), keys_max);
            for (const ConflictedKey& key : answer->keys) {
                found.keys.push_back(key.key);
            }
            found.partitions.insert(answer->partitions.begin(), answer->partitions.end());
            more = answer->next.has_value();
            if (more) {
                query.from = *answer->next;
            }
        }
        return found;
    }

    void expect_pages_join() {
        machine.start_and_serve();
        // One ends as a cursor does.
        std::vector<std::string> wanted = {"key/1\0"s};
        for (int i = 0; i < 40; ++i) {
            wanted.push_back("key/" + std::to_string(i));
        }
        for (const std::string& key : wanted) {
            put_siblings(key);
        }
        const Found whole = all();
        EXPECT_THAT(whole.keys, testing::UnorderedElementsAreArray(wanted));
        for (const uint32_t keys_max : {1u, 2u, 7u}) {
            const Found found = all("default", keys_max);
            EXPECT_EQ(found.keys, whole.keys) << keys_max;
            EXPECT_EQ(found.partitions, whole.partitions);
            EXPECT_GE(found.pages, static_cast<int>(wanted.size() / keys_max));
        }
    }

    World world;
    Machine machine{world};
};

TEST_F(ConflictScanTest, FindsTheKeysWithSiblingsAndNoOthers) {
    machine.start_and_serve();
    put_siblings("carts/1");
    ASSERT_TRUE(machine.put("carts/2", "alone").ok());
    put_siblings("carts/3");
    put_siblings("deleted");
    PutRequest removal = machine.make_put("deleted", "");
    removal.is_delete = true;
    ASSERT_TRUE(machine.put(std::move(removal)).ok());
    NamespaceInfo other;
    other.name = "other";
    other.replicas = other.read_quorum = other.write_quorum = 1;
    ASSERT_TRUE(machine.create_namespace(other).ok());
    put_siblings("of the other", "other");

    const Found found = all();
    EXPECT_THAT(found.keys, testing::UnorderedElementsAre("carts/1", "carts/3"));
    EXPECT_EQ(found.partitions.size(), 16u);
    EXPECT_THAT(all("other").keys, testing::ElementsAre("of the other"));

    const auto answer = page({});
    const ConflictedKey& key = answer->keys.front();
    EXPECT_EQ(key.siblings, 2u);
    EXPECT_EQ(key.value_bytes, 2 * std::string("one of carts/1").size());
    EXPECT_GE(key.latest.wall_ms, started_ms);
}

TEST_F(ConflictScanTest, PagesOfEveryLengthHaveTheSameKeysOnSeveralShards) {
    machine.shards = 3;
    expect_pages_join();
}

TEST_F(ConflictScanTest, PagesOfEveryLengthHaveTheSameKeysWithinOnePartition) {
    machine.options.partition_count = 1;
    expect_pages_join();
}

TEST_F(ConflictScanTest, APartitionIsNamedByThePageThatReachesItsEnd) {
    machine.options.partition_count = 1;
    machine.start_and_serve();
    put_siblings("a");
    put_siblings("b");
    const auto first = page({.from = {}, .keys_max = 1});
    ASSERT_TRUE(first.ok()) << first.status();
    ASSERT_TRUE(first->next.has_value());
    EXPECT_THAT(first->partitions, testing::IsEmpty())
        << "should the seat go now, nobody searches the rest";
    const auto second = page({.from = *first->next});
    ASSERT_TRUE(second.ok()) << second.status();
    EXPECT_FALSE(second->next.has_value());
    EXPECT_THAT(second->partitions, testing::ElementsAre(base::PartitionId(0)));
}

TEST_F(ConflictScanTest, MoreSearchesAtOnceThanANodeDoesAreRefusedAsOverload) {
    machine.start_and_serve();
    put_siblings("k");
    std::vector<absl::StatusOr<ConflictPage>> answers;
    for (uint32_t i = 0; i <= ConflictScan::serving_max; ++i) {
        machine.node().list_conflicts({}, [&answers](absl::StatusOr<ConflictPage> answer) {
            answers.push_back(std::move(answer));
        });
    }
    ASSERT_TRUE(world.run_until(minutes(1),
                                [&] { return answers.size() == ConflictScan::serving_max + 1; }));
    expect_error(answers.front().status(),
                 StatusCode::kResourceExhausted,
                 base::reason::overloaded,
                 "searches for conflicts");
    for (size_t i = 1; i < answers.size(); ++i) {
        ASSERT_TRUE(answers[i].ok()) << answers[i].status();
        EXPECT_EQ(answers[i]->keys.size(), 1u);
    }
    // What was refused for itself, or is done, counts no more.
    for (uint32_t i = 0; i <= ConflictScan::serving_max; ++i) {
        EXPECT_TRUE(absl::IsNotFound(page({.name_space = "nowhere", .from = {}}).status()));
        EXPECT_TRUE(page({}).ok());
    }
}

TEST_F(ConflictScanTest, APageReadsABoundedNumberOfBytes) {
    machine.options.partition_count = 1;
    machine.start_and_serve();
    for (int i = 0; i < 12; ++i) {
        ASSERT_TRUE(machine.put("large/" + std::to_string(i), std::string(1u << 20, 'x')).ok());
    }
    put_siblings("small");
    const auto first = page({});
    ASSERT_TRUE(first.ok()) << first.status();
    EXPECT_TRUE(first->keys.empty());
    ASSERT_TRUE(first->next.has_value());
    EXPECT_LT(first->next->key, "large/9") << "4 MiB of 12";
    const Found found = all();
    EXPECT_THAT(found.keys, testing::ElementsAre("small"));
    EXPECT_GE(found.pages, 3);
}

TEST_F(ConflictScanTest, APageReadsNothingOfOtherNamespaces) {
    machine.start_and_serve();
    NamespaceInfo large;
    large.name = "large";
    large.replicas = large.read_quorum = large.write_quorum = 1;
    ASSERT_TRUE(machine.create_namespace(large).ok());
    std::set<base::PartitionId> written;
    for (int i = 0; written.size() < machine.options.partition_count; ++i) {
        const std::string key = "large/" + std::to_string(i);
        if (written.insert(ring::partition_of(key, machine.options.partition_count)).second) {
            put_beside(key, std::string(1u << 20, 'x'), "large");
        }
    }
    put_siblings("small");
    const auto whole = page({});
    ASSERT_TRUE(whole.ok()) << whole.status();
    EXPECT_FALSE(whole->next.has_value()) << "16 MiB of the other would end it";
    EXPECT_EQ(whole->partitions.size(), machine.options.partition_count);
    ASSERT_EQ(whole->keys.size(), 1u);
    EXPECT_EQ(whole->keys[0].key, "small");
}

TEST_F(ConflictScanTest, APagePassesABoundedNumberOfPartitions) {
    machine.options.partition_count = 1024;
    machine.start_and_serve();
    const Found found = all();
    EXPECT_EQ(found.pages, 4);
    EXPECT_EQ(found.partitions.size(), 1024u);
}

TEST_F(ConflictScanTest, QueriesThatMakeNoSenseAreRefusedByName) {
    machine.start_and_serve();
    expect_error(page({.name_space = "nowhere", .from = {}}).status(),
                 StatusCode::kNotFound,
                 base::reason::unknown_namespace,
                 "nowhere");
    for (const uint32_t keys_max : {0u, conflicts_page_max + 1}) {
        expect_error(page({.from = {}, .keys_max = keys_max}).status(),
                     StatusCode::kInvalidArgument,
                     base::reason::invalid_request,
                     "keys_max");
    }
    expect_error(page({.from = {.partition = base::PartitionId(16), .key = ""}}).status(),
                 StatusCode::kInvalidArgument,
                 base::reason::invalid_request,
                 "partition 16");
}

TEST_F(ConflictScanTest, WhatANodeHoldsNoSeatOfItDoesNotSearch) {
    Machine second{world, 2};
    second.options.seat_count = 1;
    machine.start_and_serve();
    second.start_and_serve();
    ASSERT_TRUE(second.join(machine.peer_address()).ok());
    ASSERT_TRUE(world.run_until(minutes(5), [&] {
        return machine.is_settled(1) && second.is_settled(1) &&
               second.status().members.front().seats_held > 0 &&
               second.status().members.back().seats_held > 0;
    }));
    const auto mine = page({});
    const auto others = second.await<ConflictPage>(
        [&](auto done) { second.node().list_conflicts({}, std::move(done)); });
    ASSERT_TRUE(mine.ok() && others.ok());
    EXPECT_FALSE(mine->partitions.empty());
    EXPECT_FALSE(others->partitions.empty());
    EXPECT_EQ(mine->partitions.size() + others->partitions.size(), 16u);
}

}  // namespace
}  // namespace starling::node
