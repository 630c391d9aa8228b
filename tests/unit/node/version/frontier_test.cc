#include "node/version/frontier.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tests/unit/node/version/builders.h"

namespace starling::node {
namespace {

using testing::actor;
using testing::dot;
using testing::frontier;

using Model = std::set<Dot>;

constexpr uint64_t nodes_max = 3;
constexpr uint32_t starts_max = 3;
constexpr uint64_t sequence_max = 12;

Dot dot_of(uint64_t node, uint32_t start, uint64_t sequence) {
    Dot made = dot(node, sequence);
    made.actor.start = start;
    return made;
}

// Calls `take` with every dot there may be, and one more of each actor that none adds.
template <typename Take>
void for_each_dot(Take take) {
    for (uint64_t node = 1; node <= nodes_max; ++node) {
        for (uint32_t start = 1; start <= starts_max; ++start) {
            for (uint64_t sequence = 1; sequence <= sequence_max + 1; ++sequence) {
                take(dot_of(node, start, sequence));
            }
        }
    }
}

std::string encode(const Frontier& frontier) {
    std::string bytes;
    frontier.encode(bytes);
    return bytes;
}

// Of dots added and lives sealed in any order.
std::pair<Frontier, Model> any_frontier() {
    const auto steps = *rc::gen::container<std::vector<std::tuple<uint64_t, uint32_t, uint64_t>>>(
        rc::gen::tuple(rc::gen::inRange<uint64_t>(1, nodes_max + 1),
                       rc::gen::inRange<uint32_t>(1, starts_max + 1),
                       rc::gen::inRange<uint64_t>(0, sequence_max + 1)));
    std::pair<Frontier, Model> made;
    for (const auto& [node, start, sequence] : steps) {
        if (sequence > 0) {
            const Dot added = dot_of(node, start, sequence);
            const bool is_new = made.second.insert(added).second;
            RC_ASSERT(made.first.add(added) == is_new);
            continue;
        }
        made.first.seal(base::NodeId(node), start + 1);
        for_each_dot([&](const Dot& dot) {
            if (dot.actor.node.raw() == node && dot.actor.start <= start) made.second.insert(dot);
        });
    }
    return made;
}

Model all_dots_of(const Frontier& frontier) {
    Model dots;
    for_each_dot([&](const Dot& dot) {
        if (frontier.contains(dot)) dots.insert(dot);
    });
    return dots;
}

// The dots below which none of the actor's is missing.
Model past_of(const Model& model) {
    Model past;
    for_each_dot([&](const Dot& dot) {
        const bool is_first = dot.sequence == 1;
        const bool follows = is_first || past.contains(Dot{dot.actor, dot.sequence - 1});
        if (follows && model.contains(dot)) past.insert(dot);
    });
    return past;
}

uint64_t gaps_of(const Model& model) {
    std::map<Actor, std::pair<uint64_t, uint64_t>> highest_and_count;
    for (const Dot& dot : model) {
        auto& [highest, count] = highest_and_count[dot.actor];
        highest = std::max(highest, dot.sequence);
        ++count;
    }
    uint64_t gaps = 0;
    for (const auto& [actor, seen] : highest_and_count)
        gaps += seen.first - seen.second;
    return gaps;
}

bool is_canonical(const Frontier& frontier) {
    for (const Frontier::Seen& seen : frontier.seen()) {
        if (seen.base == 0 && seen.above.empty()) return false;
        if (seen.actor.start < frontier.sealed_before(seen.actor.node)) return false;
        uint64_t last = seen.base;
        for (const auto& [first, end] : seen.above) {
            if (first < last + 2 || end < first) return false;
            last = end;
        }
    }
    return std::is_sorted(frontier.seen().begin(),
                          frontier.seen().end(),
                          [](const auto& a, const auto& b) { return a.actor < b.actor; });
}

RC_GTEST_PROP(FrontierTest, HoldsExactlyTheDotsAddedInWhateverOrder, ()) {
    const auto [made, model] = any_frontier();
    RC_ASSERT(all_dots_of(made) == model);
    RC_ASSERT(is_canonical(made));
    RC_ASSERT(made.gap_count() == gaps_of(model));
}

RC_GTEST_PROP(FrontierTest, UnionAndInclusionAreThoseOfSets, ()) {
    auto [a, model_a] = any_frontier();
    const auto [b, model_b] = any_frontier();
    RC_ASSERT(a.contains(b) ==
              std::includes(model_a.begin(), model_a.end(), model_b.begin(), model_b.end()));
    Frontier other_way = b;
    other_way.unite(a);
    a.unite(b);
    model_a.insert(model_b.begin(), model_b.end());
    RC_ASSERT(all_dots_of(a) == model_a);
    RC_ASSERT(is_canonical(a));
    RC_ASSERT(a == other_way);
    RC_ASSERT(a.contains(b));
}

RC_GTEST_PROP(FrontierTest, OfLivesThatAreNotSealedItContainsAllWhereNothingIsMissing, ()) {
    const Frontier a = any_frontier().first;
    Frontier b = any_frontier().first;
    RC_ASSERT(a.contains_unsealed(b) == b.minus(a).empty());
    b.unite(a);
    RC_ASSERT(b.contains_unsealed(a));
}

RC_GTEST_PROP(FrontierTest, WhatIsPastHasNoGapBelowIt, ()) {
    const auto [made, model] = any_frontier();
    const Model past = past_of(model);
    for_each_dot([&](const Dot& dot) {
        RC_ASSERT(made.is_past(dot) == past.contains(dot));
        Context context;
        context.add(dot);
        RC_ASSERT(made.is_past(context) == past.contains(dot));
    });
}

RC_GTEST_PROP(FrontierTest, CommonBasesAreWhatIsPastInBoth, ()) {
    const auto [a, model_a] = any_frontier();
    const auto [b, model_b] = any_frontier();
    Frontier common = a;
    common.intersect_bases(b);
    Frontier other_way = b;
    other_way.intersect_bases(a);
    RC_ASSERT(is_canonical(common));
    RC_ASSERT(common == other_way);
    RC_ASSERT(common.gap_count() == 0u);
    Model expected;
    const Model past_a = past_of(model_a);
    const Model past_b = past_of(model_b);
    std::set_intersection(past_a.begin(),
                          past_a.end(),
                          past_b.begin(),
                          past_b.end(),
                          std::inserter(expected, expected.end()));
    RC_ASSERT(all_dots_of(common) == expected);
}

RC_GTEST_PROP(FrontierTest, DecodesWhatItEncodes, ()) {
    const Frontier made = any_frontier().first;
    const std::string bytes = encode(made);
    base::Reader in(bytes);
    RC_ASSERT(Frontier::decode(in) == made);
    RC_ASSERT(in.finished());
}

RC_GTEST_PROP(FrontierTest, WhateverDecodesEncodesToTheSameBytes, ()) {
    std::string bytes = encode(any_frontier().first);
    const auto flips = *rc::gen::container<std::vector<std::pair<size_t, char>>>(
        rc::gen::pair(rc::gen::inRange<size_t>(0, bytes.size()), rc::gen::arbitrary<char>()));
    for (const auto& [at, value] : flips)
        bytes[at] = value;
    base::Reader in(bytes);
    const Frontier decoded = Frontier::decode(in);
    if (in.finished()) {
        RC_ASSERT(encode(decoded) == bytes);
        RC_ASSERT(is_canonical(decoded));
    }
}

TEST(FrontierTest, ADotBelowAGapClosesIt) {
    Frontier seen = frontier({dot(1, 1), dot(1, 4), dot(1, 3)});
    EXPECT_EQ(seen.gap_count(), 1u);
    EXPECT_EQ(seen.seen().front().above.size(), 1u);
    EXPECT_TRUE(seen.add(dot(1, 2)));
    EXPECT_EQ(seen.seen().front().base, 4u);
    EXPECT_TRUE(seen.seen().front().above.empty());
    EXPECT_FALSE(seen.add(dot(1, 2)));
}

TEST(FrontierTest, ThePartOfANodeHasTheDotsOfAllItsLivesAndNoOthers) {
    Actor second_life = actor(1);
    second_life.start = 2;
    const Frontier seen = frontier({dot(1, 1), dot(1, 3), Dot{second_life, 1}, dot(2, 1)});
    EXPECT_EQ(seen.written_by(base::NodeId(1)),
              frontier({dot(1, 1), dot(1, 3), Dot{second_life, 1}}));
    EXPECT_TRUE(seen.written_by(base::NodeId(9)).empty());
}

TEST(FrontierTest, TheHighestSequencesDoNotOverflow) {
    Frontier seen = frontier({dot(1, UINT64_MAX), dot(1, UINT64_MAX - 1)});
    EXPECT_TRUE(seen.contains(dot(1, UINT64_MAX)));
    EXPECT_FALSE(seen.contains(dot(1, UINT64_MAX - 2)));
    EXPECT_EQ(seen.seen().front().above.size(), 1u);
    const std::string bytes = encode(seen);
    base::Reader in(bytes);
    EXPECT_EQ(Frontier::decode(in), seen);
    EXPECT_TRUE(in.finished());
}

TEST(FrontierTest, RefusesRangesThatTouchOverflowOrSayNothing) {
    const auto one_range = [](uint64_t base, uint64_t gap, uint64_t length) {
        std::string bytes;
        base::put_varint(bytes, 0);
        base::put_varint(bytes, 1);
        put_actor(bytes, actor(1));
        base::put_varint(bytes, base);
        base::put_varint(bytes, 1);
        base::put_varint(bytes, gap);
        base::put_varint(bytes, length);
        return bytes;
    };
    const auto decodes = [](std::string_view bytes) {
        base::Reader in(bytes);
        Frontier::decode(in);
        return in.finished();
    };
    EXPECT_TRUE(decodes(one_range(3, 2, 0)));
    EXPECT_FALSE(decodes(one_range(3, 1, 0)));
    EXPECT_FALSE(decodes(one_range(UINT64_MAX, 2, 0)));
    EXPECT_FALSE(decodes(one_range(3, 2, UINT64_MAX - 4)));
    std::string nothing_seen;
    base::put_varint(nothing_seen, 0);
    base::put_varint(nothing_seen, 1);
    put_actor(nothing_seen, actor(1));
    base::put_varint(nothing_seen, 0);
    base::put_varint(nothing_seen, 0);
    EXPECT_FALSE(decodes(nothing_seen));
}

TEST(FrontierTest, SealedLivesTakeOneEntryHoweverManyTheyWere) {
    Frontier seen;
    for (uint32_t start = 1; start <= 1000; ++start) {
        seen.add(dot_of(1, start, 2));
        seen.seal(base::NodeId(1), start);
    }
    EXPECT_EQ(seen.seen().size(), 1u);
    EXPECT_EQ(seen.sealed().size(), 1u);
    EXPECT_TRUE(seen.contains(dot_of(1, 999, UINT64_MAX)));
    EXPECT_FALSE(seen.contains(dot_of(1, 1000, 1)));
    EXPECT_EQ(seen.seen_before(base::NodeId(1), 1001).size(), 1u);
    EXPECT_TRUE(seen.seen_before(base::NodeId(1), 1000).empty());
    // A lower one changes nothing.
    seen.seal(base::NodeId(1), 3);
    EXPECT_EQ(seen.sealed_before(base::NodeId(1)), 1000u);
}

TEST(FrontierTest, RefusesSealsOutOfOrderAndDotsBelowThem) {
    const auto decodes = [](const std::vector<std::pair<uint64_t, uint64_t>>& sealed,
                            std::optional<Dot> seen) {
        std::string bytes;
        base::put_varint(bytes, sealed.size());
        for (const auto& [node, start] : sealed) {
            base::put_u64(bytes, node);
            base::put_varint(bytes, start);
        }
        base::put_varint(bytes, seen.has_value() ? 1 : 0);
        if (seen.has_value()) {
            put_actor(bytes, seen->actor);
            base::put_varint(bytes, seen->sequence);
            base::put_varint(bytes, 0);
        }
        base::Reader in(bytes);
        Frontier::decode(in);
        return in.finished();
    };
    EXPECT_TRUE(decodes({{1, 2}, {2, 2}}, dot_of(1, 2, 1)));
    EXPECT_FALSE(decodes({{1, 2}, {2, 2}}, dot_of(1, 1, 1)));
    EXPECT_FALSE(decodes({{2, 2}, {1, 2}}, std::nullopt));
    EXPECT_FALSE(decodes({{1, 2}, {1, 3}}, std::nullopt));
    EXPECT_FALSE(decodes({{1, 0}}, std::nullopt));
    EXPECT_FALSE(decodes({{1, uint64_t{UINT32_MAX} + 1}}, std::nullopt));
}

}  // namespace
}  // namespace starling::node
