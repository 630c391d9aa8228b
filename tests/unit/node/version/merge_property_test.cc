// Merging as algebra, on records that valid histories produce: on made-up ones, whose context
// claims a write that is neither live nor remembered, the order of merges would matter.

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tests/unit/node/version/trace.h"

namespace starling::node::model {
namespace {

struct History {
    // Every state in which a record of key 0 was held or sent.
    std::vector<Record> records;
    std::map<Dot, base::RequestId> minted;

    const Record& any() const { return records[*rc::gen::inRange<size_t>(0, records.size())]; }
};

History any_history() {
    std::mt19937_64 random(*rc::gen::arbitrary<uint64_t>());
    Cluster cluster;
    Player player(cluster);
    History history;
    const size_t steps = *rc::gen::inRange<size_t>(3, 40);
    for (size_t i = 0; i < steps; ++i) {
        player.play(random_step(random));
        for (size_t owner = 0; owner < owner_count; ++owner) {
            history.records.push_back(cluster.record(owner, 0));
        }
    }
    for (const Message& message : cluster.messages()) {
        if (message.key == 0) history.records.push_back(message.record);
    }
    history.minted = cluster.minted(0);
    return history;
}

Record joined(Record a, const Record& b) {
    join(a, b);
    return a;
}

RC_GTEST_PROP(MergePropertyTest, IsCommutative, ()) {
    const History history = any_history();
    const Record& a = history.any();
    const Record& b = history.any();
    RC_ASSERT(joined(a, b) == joined(b, a));
}

RC_GTEST_PROP(MergePropertyTest, IsAssociative, ()) {
    const History history = any_history();
    const Record& a = history.any();
    const Record& b = history.any();
    const Record& c = history.any();
    RC_ASSERT(joined(joined(a, b), c) == joined(a, joined(b, c)));
}

RC_GTEST_PROP(MergePropertyTest, IsIdempotent, ()) {
    const History history = any_history();
    const Record& a = history.any();
    const Record& b = history.any();
    RC_ASSERT(joined(a, a) == a);
    Record both = joined(a, b);
    RC_ASSERT(!join(both, a));
    RC_ASSERT(!join(both, b));
}

RC_GTEST_PROP(MergePropertyTest, SaysWhetherItChangedAnything, ()) {
    const History history = any_history();
    const Record& before = history.any();
    Record after = before;
    const bool changed = join(after, history.any());
    RC_ASSERT(changed == (after != before));
}

RC_GTEST_PROP(MergePropertyTest, EveryRecordIsDecidedByItsContextAndItsSupersededRequests, ()) {
    const History history = any_history();
    for (const Record& record : history.records) {
        RC_ASSERT(live_dots(record) ==
                  live_dots_by_definition(history.minted, record.context, record.gone));
    }
}

RC_GTEST_PROP(MergePropertyTest, IsTheLeastUpperBoundOfContextsAndSupersededRequests, ()) {
    const History history = any_history();
    const Record& a = history.any();
    const Record& b = history.any();
    const Record both = joined(a, b);

    Context context = a.context;
    context.merge(b.context);
    std::set<base::RequestId> gone(a.gone.begin(), a.gone.end());
    gone.insert(b.gone.begin(), b.gone.end());
    RC_ASSERT(both.context == context);
    RC_ASSERT(both.gone == std::vector<base::RequestId>(gone.begin(), gone.end()));
    RC_ASSERT(live_dots(both) == live_dots_by_definition(history.minted, both.context, both.gone));
}

RC_GTEST_PROP(MergePropertyTest, WithAFrontierThatReflectsTheRecordItIsTheJoin, ()) {
    const History history = any_history();
    Record local = history.any();
    const Record& incoming = history.any();
    Frontier frontier;
    for (const auto& [dot, request] : history.minted) {
        if (local.context.covers(dot)) frontier.add(dot);
    }
    const Record expected = joined(local, incoming);
    merge(local, incoming, frontier);
    RC_ASSERT(local == expected);
    for (const Sibling& sibling : incoming.siblings)
        RC_ASSERT(frontier.contains(sibling.dot));
}

RC_GTEST_PROP(MergePropertyTest, AWriteWithAReadingSupersedesExactlyWhatWasRead, ()) {
    const History history = any_history();
    const Record& local = history.any();
    const Record& read = history.any();
    const Record after =
        mint(local, Superseded::by_reading(read), testing::write(testing::dot(9, 1), 999, "new"));
    std::set<base::RequestId> expected = live_requests(joined(local, read));
    for (const base::RequestId& seen : live_requests(read))
        expected.erase(seen);
    // What only the reading had, and had not shown as live, cannot be here either.
    expected.insert(testing::request(999));
    RC_ASSERT(live_requests(joined(after, read)) == expected);
}

RC_GTEST_PROP(MergePropertyTest, EqualRecordsHaveEqualDigestsAndBytes, ()) {
    const History history = any_history();
    const Record a = joined(history.any(), history.any());
    const auto decoded = decode_record(testing::encoded(a));
    RC_ASSERT(decoded.ok());
    RC_ASSERT(*decoded == a);
    RC_ASSERT(record_digest("key", *decoded) == record_digest("key", a));
}

}  // namespace
}  // namespace starling::node::model
