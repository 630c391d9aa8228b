#include "client/cli/conflict_list.h"

#include <algorithm>
#include <map>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "base/error.h"

namespace starling::client {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// A node with these conflicts, which tells at most two in a page, and pages without any between.
class FakeNode {
  public:
    struct Known {
        ConflictPosition at;
        uint32_t siblings = 2;
    };
    FakeNode(std::vector<uint32_t> partitions, std::vector<Known> known)
        : partitions_(std::move(partitions)), known_(std::move(known)) {}

    absl::StatusOr<v1::ListConflictsResponse> page(const v1::ListConflictsRequest& request) {
        ++asked;
        if (!failure.ok() && asked > answered_before_failure) {
            return failure;
        }
        v1::ListConflictsResponse page;
        const ConflictPosition from{request.partition(), request.key()};
        const uint32_t most = std::min(2u, request.keys_max());
        for (const uint32_t partition : partitions_) {
            if (partition >= from.partition) {
                page.add_partitions(partition);
            }
        }
        page.set_is_last(true);
        for (const Known& known : known_) {
            if (known.at < from) {
                continue;
            }
            if (page.conflicts_size() == static_cast<int>(most)) {
                page.set_is_last(false);
                page.set_next_partition(known.at.partition);
                page.set_next_key(known.at.key);
                page.clear_partitions();
                for (const uint32_t partition : partitions_) {
                    if (partition >= from.partition && partition <= known.at.partition) {
                        page.add_partitions(partition);
                    }
                }
                break;
            }
            v1::Conflict& conflict = *page.add_conflicts();
            conflict.set_partition(known.at.partition);
            conflict.set_key(known.at.key);
            conflict.set_siblings(known.siblings);
        }
        return page;
    }
    AskForConflicts ask() {
        return [this](const v1::ListConflictsRequest& request) { return page(request); };
    }

    absl::Status failure;
    int answered_before_failure = 0;
    int asked = 0;

  private:
    const std::vector<uint32_t> partitions_;
    const std::vector<Known> known_;
};

std::vector<std::string> keys(const ConflictList& list) {
    std::vector<std::string> keys;
    for (const v1::Conflict& conflict : list.conflicts) {
        keys.push_back(conflict.key());
    }
    return keys;
}

TEST(ConflictListTest, TheListsOfAllNodesBecomeOneInOrderWithoutDoubles) {
    FakeNode a({0, 1}, {{{0, "b"}}, {{0, "d"}}, {{1, "a"}}, {{1, "c"}}});
    FakeNode b({0, 1, 2}, {{{0, "a"}}, {{0, "b"}, 3}, {{1, "b"}}, {{2, "z"}}});
    const ConflictList list =
        list_conflicts({.name_space = "", .partition_count = 3}, {a.ask(), b.ask()});
    EXPECT_THAT(keys(list), ElementsAre("a", "b", "d", "a", "b", "c", "z"));
    EXPECT_EQ(list.conflicts[1].siblings(), 3u);
    EXPECT_FALSE(list.next.has_value());
    EXPECT_EQ(list.partitions_missing, 0u);
    EXPECT_THAT(list.failures, IsEmpty());
}

TEST(ConflictListTest, PagesJoinWithoutGapOrDoubleWhateverTheirLength) {
    for (uint32_t limit = 1; limit <= 8; ++limit) {
        FakeNode a({0, 1}, {{{0, "b"}}, {{0, "d"}}, {{1, "a"}}, {{1, "c"}}});
        FakeNode b({0, 1, 2}, {{{0, "a"}}, {{0, "b"}}, {{1, "b"}}, {{2, "z"}}});
        std::vector<std::string> all;
        std::optional<ConflictPosition> next = ConflictPosition{};
        while (next.has_value()) {
            const ConflictList list = list_conflicts(
                {.name_space = "", .from = *next, .limit = limit, .partition_count = 3},
                {a.ask(), b.ask()});
            EXPECT_LE(list.conflicts.size(), limit);
            EXPECT_EQ(list.partitions_missing, 0u);
            for (const std::string& key : keys(list)) {
                all.push_back(key);
            }
            next = list.next;
        }
        EXPECT_THAT(all, ElementsAre("a", "b", "d", "a", "b", "c", "z")) << limit;
    }
}

TEST(ConflictListTest, APartitionThatNobodySearchedIsMissing) {
    FakeNode a({0, 1}, {{{0, "b"}}});
    FakeNode b({2, 3}, {{{2, "c"}}});
    b.failure = absl::UnavailableError("away");
    const ConflictList list =
        list_conflicts({.name_space = "", .partition_count = 4}, {a.ask(), b.ask()});
    EXPECT_THAT(keys(list), ElementsAre("b"));
    EXPECT_EQ(list.partitions_missing, 2u);
    ASSERT_EQ(list.failures.size(), 1u);
    EXPECT_EQ(list.failures[0].message(), "away");
}

TEST(ConflictListTest, ANodeThatIsAwayDoesNotMatterWhereAnotherHasItsPartitions) {
    FakeNode a({0, 1}, {{{0, "b"}}});
    FakeNode b({0, 1}, {});
    b.failure = absl::UnavailableError("away");
    const ConflictList list =
        list_conflicts({.name_space = "", .partition_count = 2}, {a.ask(), b.ask()});
    EXPECT_EQ(list.partitions_missing, 0u);
    EXPECT_EQ(list.failures.size(), 1u);
}

TEST(ConflictListTest, APartitionThatWasSearchedInPartOnlyIsMissing) {
    FakeNode a({0, 1, 2}, {{{0, "a"}}, {{1, "a"}}, {{1, "b"}}, {{1, "c"}}, {{2, "a"}}});
    a.failure = absl::UnavailableError("away");
    a.answered_before_failure = 1;
    const ConflictList list = list_conflicts({.name_space = "", .partition_count = 3}, {a.ask()});
    EXPECT_THAT(keys(list), ElementsAre("a", "a"));
    EXPECT_FALSE(list.next.has_value());
    EXPECT_EQ(list.partitions_missing, 2u) << "1 from its second key on, and 2";

    FakeNode again({0, 1, 2}, {{{0, "a"}}, {{1, "a"}}, {{1, "b"}}});
    again.failure = absl::UnavailableError("away");
    again.answered_before_failure = 1;
    FakeNode b({1, 2}, {{{1, "b"}}});
    const ConflictList whole =
        list_conflicts({.name_space = "", .partition_count = 3}, {again.ask(), b.ask()});
    EXPECT_THAT(keys(whole), ElementsAre("a", "a", "b"));
    EXPECT_EQ(whole.partitions_missing, 0u);
}

TEST(ConflictListTest, NoMoreIsAskedForThanIsShown) {
    std::vector<FakeNode::Known> many;
    for (char c = 'a'; c <= 'z'; ++c) {
        many.push_back({{0, std::string(1, c)}});
    }
    FakeNode node({0}, many);
    const ConflictList list =
        list_conflicts({.name_space = "", .limit = 3, .partition_count = 1}, {node.ask()});
    EXPECT_THAT(keys(list), ElementsAre("a", "b", "c"));
    EXPECT_EQ(list.next, (ConflictPosition{0, "d"}));
    EXPECT_EQ(node.asked, 2);
}

TEST(ConflictListTest, ANodeThatDoesNotGetOnIsGivenUp) {
    const AskForConflicts stuck = [](const v1::ListConflictsRequest& request) {
        v1::ListConflictsResponse page;
        page.add_partitions(0);
        page.set_next_partition(request.partition());
        page.set_next_key(request.key());
        return page;
    };
    const ConflictList list = list_conflicts({.name_space = "", .partition_count = 1}, {stuck});
    EXPECT_EQ(list.failures.size(), 1u);
    EXPECT_EQ(list.partitions_missing, 1u);
}

TEST(ConflictListTest, APositionIsReadAsItIsWritten) {
    for (const ConflictPosition& position :
         {ConflictPosition{}, ConflictPosition{255, "key"}, ConflictPosition{7, {"\0\xff", 2}}}) {
        const auto parsed = parse_position(to_string(position));
        ASSERT_TRUE(parsed.ok()) << to_string(position);
        EXPECT_EQ(*parsed, position);
    }
    EXPECT_EQ(to_string(ConflictPosition{17, "k"}), "17:6b");
    for (const char* text : {"", "7", ":", "x:", "7:6", "7:zz", "-1:6b", "99999999999:", " 7:"}) {
        EXPECT_EQ(base::reason_of(parse_position(text).status()), base::reason::invalid_request)
            << text;
    }
}

}  // namespace
}  // namespace starling::client
