#include "node/version/context.h"

#include <map>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tests/unit/node/version/builders.h"

namespace starling::node {
namespace {

using testing::actor;
using testing::context;
using testing::dot;

Context decode_all(std::string_view bytes, bool& valid) {
    base::Reader in(bytes);
    Context decoded = Context::decode(in);
    valid = in.finished();
    return decoded;
}

std::string encode(const Context& context) {
    std::string bytes;
    context.encode(bytes);
    return bytes;
}

using Model = std::map<Actor, uint64_t>;

// Few actors and sequences, so that random contexts overlap.
std::pair<Context, Model> any_context() {
    const auto dots = *rc::gen::container<std::vector<std::pair<uint8_t, uint8_t>>>(
        rc::gen::pair(rc::gen::inRange<uint8_t>(1, 6), rc::gen::inRange<uint8_t>(1, 9)));
    std::pair<Context, Model> made;
    for (const auto& [node, sequence] : dots) {
        made.first.add(dot(node, sequence));
        uint64_t& highest = made.second[actor(node)];
        highest = std::max<uint64_t>(highest, sequence);
    }
    return made;
}

bool equals(const Context& context, const Model& model) {
    Model entries;
    for (const Context::Entry& entry : context.entries())
        entries[entry.actor] = entry.sequence;
    return entries == model && entries.size() == context.entries().size();
}

TEST(ContextTest, CoversADotAtOrBelowItsEntry) {
    const Context seen = context({dot(1, 3)});
    EXPECT_TRUE(seen.covers(dot(1, 3)));
    EXPECT_TRUE(seen.covers(dot(1, 1)));
    EXPECT_FALSE(seen.covers(dot(1, 4)));
    EXPECT_FALSE(seen.covers(dot(2, 1)));
    EXPECT_EQ(seen.sequence_of(actor(2)), 0u);
}

TEST(ContextTest, TwoLivesOfANodeAreTwoActors) {
    Actor second = actor(1);
    second.start = 2;
    Actor clone = actor(1);
    clone.random += 1;
    const Context seen = context({dot(1, 3)});
    EXPECT_FALSE(seen.covers(Dot{second, 1}));
    EXPECT_FALSE(seen.covers(Dot{clone, 1}));
}

TEST(ContextTest, MergeSaysWhetherItGrew) {
    Context seen = context({dot(1, 3), dot(2, 1)});
    EXPECT_FALSE(seen.merge(context({dot(1, 2)})));
    EXPECT_TRUE(seen.merge(context({dot(3, 1)})));
    EXPECT_EQ(seen, context({dot(1, 3), dot(2, 1), dot(3, 1)}));
}

RC_GTEST_PROP(ContextTest, MergesAndCoversAsAMapOfHighestSequences, ()) {
    auto [a, model_a] = any_context();
    const auto [b, model_b] = any_context();
    const bool covered = std::all_of(model_b.begin(), model_b.end(), [&](const auto& entry) {
        return model_a.contains(entry.first) && model_a.at(entry.first) >= entry.second;
    });
    RC_ASSERT(a.covers(b) == covered);
    Model united = model_a;
    for (const auto& [who, sequence] : model_b)
        united[who] = std::max(united[who], sequence);
    RC_ASSERT(a.merge(b) == !covered);
    RC_ASSERT(equals(a, united));
    RC_ASSERT(a.covers(b));
}

RC_GTEST_PROP(ContextTest, DecodesWhatItEncodes, ()) {
    const Context made = any_context().first;
    bool valid = false;
    RC_ASSERT(decode_all(encode(made), valid) == made);
    RC_ASSERT(valid);
}

TEST(ContextTest, RefusesEntriesThatAreDoubledOutOfOrderOrEmpty) {
    const auto two_entries = [](const Dot& first, uint64_t first_sequence, const Dot& second) {
        std::string bytes;
        base::put_varint(bytes, 2);
        put_actor(bytes, first.actor);
        base::put_varint(bytes, first_sequence);
        put_dot(bytes, second);
        return bytes;
    };
    bool valid = false;
    decode_all(two_entries(dot(1, 1), 1, dot(2, 1)), valid);
    EXPECT_TRUE(valid);
    decode_all(two_entries(dot(2, 1), 1, dot(1, 1)), valid);
    EXPECT_FALSE(valid);
    decode_all(two_entries(dot(1, 1), 1, dot(1, 2)), valid);
    EXPECT_FALSE(valid);
    decode_all(two_entries(dot(1, 1), 0, dot(2, 1)), valid);
    EXPECT_FALSE(valid);
}

TEST(ContextTest, RefusesACountThatItsBytesCannotHold) {
    std::string bytes;
    base::put_varint(bytes, uint64_t{1} << 40);
    bool valid = true;
    decode_all(bytes, valid);
    EXPECT_FALSE(valid);
}

}  // namespace
}  // namespace starling::node
