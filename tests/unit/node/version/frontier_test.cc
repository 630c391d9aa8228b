#include "node/version/frontier.h"

#include <algorithm>
#include <set>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tests/unit/node/version/builders.h"

namespace starling::node {
namespace {

using testing::actor;
using testing::dot;
using testing::frontier;

using Model = std::set<Dot>;

constexpr uint64_t sequence_max = 24;

std::string encode(const Frontier& frontier) {
    std::string bytes;
    frontier.encode(bytes);
    return bytes;
}

std::pair<Frontier, Model> any_frontier() {
    const auto dots = *rc::gen::container<std::vector<std::pair<uint64_t, uint64_t>>>(rc::gen::pair(
        rc::gen::inRange<uint64_t>(1, 4), rc::gen::inRange<uint64_t>(1, sequence_max + 1)));
    std::pair<Frontier, Model> made;
    for (const auto& [node, sequence] : dots) {
        const bool is_new = made.second.insert(dot(node, sequence)).second;
        RC_ASSERT(made.first.add(dot(node, sequence)) == is_new);
    }
    return made;
}

Model all_dots_of(const Frontier& frontier) {
    Model dots;
    for (uint64_t node = 1; node <= 4; ++node) {
        for (uint64_t sequence = 1; sequence <= sequence_max + 1; ++sequence) {
            if (frontier.contains(dot(node, sequence))) dots.insert(dot(node, sequence));
        }
    }
    return dots;
}

uint64_t gaps_of(const Model& model) {
    uint64_t gaps = 0;
    for (uint64_t node = 1; node <= 4; ++node) {
        uint64_t highest = 0;
        uint64_t seen = 0;
        for (const Dot& dot : model) {
            if (dot.actor != actor(node)) continue;
            highest = std::max(highest, dot.sequence);
            ++seen;
        }
        gaps += highest - seen;
    }
    return gaps;
}

bool is_canonical(const Frontier& frontier) {
    for (const Frontier::Seen& seen : frontier.seen()) {
        if (seen.base == 0 && seen.above.empty()) return false;
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
    base::put_varint(nothing_seen, 1);
    put_actor(nothing_seen, actor(1));
    base::put_varint(nothing_seen, 0);
    base::put_varint(nothing_seen, 0);
    EXPECT_FALSE(decodes(nothing_seen));
}

}  // namespace
}  // namespace starling::node
