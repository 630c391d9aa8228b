// Puts and gets of namespaces with another conflict policy than `siblings`.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/node/coordinator/rig.h"

namespace starling::node {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using Kind = peer::ReplicaMessage;
using testing::CoordinatorRig;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class PoliciesTest : public ::testing::Test {
  protected:
    explicit PoliciesTest(ConflictPolicy policy) {
        rig.change_view([&](ClusterView& view) {
            NamespaceInfo info;
            info.id = id;
            info.name = "special";
            info.policy = policy;
            view.namespaces.emplace(info.name, info);
        });
        for (const uint8_t seat : {uint8_t{1}, uint8_t{2}}) {
            hear(seat, {});
        }
    }
    // A holder says what its clock shows, `ahead` of this node's.
    void hear(uint8_t seat, base::Duration ahead) {
        rig.clock_fence.heard(rig.holder(seat),
                              base::to_unix_ms(rig.wall_clock.wall_now() + ahead),
                              rig.store_rig.loop.now());
    }
    PutRequest request(const std::string& value) {
        PutRequest made = rig.put_request("k", value);
        made.options.name_space = "special";
        return made;
    }
    PutRequest removal() {
        PutRequest made = request("");
        made.is_delete = true;
        return made;
    }
    struct Answers {
        // What the holder of seat 1 has, where it is asked.
        Record held;
        bool was_asked = false;
    };
    // Runs a put until nothing more happens: the holder of seat 1 answers, that of seat 2 is
    // silent.
    std::shared_ptr<CoordinatorRig::PutOutcome> put(PutRequest made, Answers& answers) {
        rig.take_sent();
        const auto outcome = rig.put(std::move(made));
        for (int i = 0; i < 3; ++i) {
            rig.settle();
            for (const Sent& sent : rig.take_sent()) {
                if (sent.to == rig.holder(1) && sent.message.has_read()) {
                    answers.was_asked = true;
                    rig.answer_read(sent.to, sent.message, rig.seat(1), answers.held);
                } else if (sent.to == rig.holder(1) && sent.message.has_write()) {
                    rig.acknowledge(sent.to, sent.message, rig.seat(1));
                }
            }
        }
        return outcome;
    }
    std::shared_ptr<CoordinatorRig::PutOutcome> put(PutRequest made, const Record& held = {}) {
        Answers answers{.held = held};
        return put(std::move(made), answers);
    }
    static std::string reason(const CoordinatorRig::PutOutcome& outcome) {
        EXPECT_TRUE(outcome.result.has_value());
        return !outcome.result.has_value() || outcome.result->ok()
                   ? std::string()
                   : base::reason_of(outcome.result->status());
    }
    std::vector<std::string> get(const Record& held = {}) {
        auto outcome = std::make_shared<CoordinatorRig::GetOutcome>();
        GetRequest made;
        made.key = "k";
        made.options.name_space = "special";
        rig.take_sent();
        rig.coordinator.get(std::move(made), [outcome](absl::StatusOr<GetResult> result) {
            outcome->result = std::move(result);
        });
        for (int i = 0; i < 3; ++i) {
            rig.settle();
            for (const Sent& sent : rig.take_sent()) {
                if (sent.to == rig.holder(1) && sent.message.has_read()) {
                    rig.answer_read(sent.to, sent.message, rig.seat(1), held);
                } else if (sent.to == rig.holder(1) && sent.message.has_write()) {
                    rig.acknowledge(sent.to, sent.message, rig.seat(1));
                }
            }
        }
        EXPECT_TRUE(outcome->result.has_value() && outcome->result->ok());
        std::vector<std::string> values;
        if (outcome->result.has_value() && outcome->result->ok()) {
            for (const SiblingValue& value : (*outcome->result)->values) {
                values.push_back(value.value);
            }
            context = (*outcome->result)->context;
        }
        return values;
    }
    Record stored() {
        Record found;
        rig.store_rig.store.read(
            testing::the_group, group_key(id, "k"), [&](absl::StatusOr<Record> record) {
                found = *std::move(record);
            });
        rig.settle();
        return found;
    }
    // What another coordinator made, `ahead` of this node's clock.
    Record theirs(const std::string& value, base::Duration ahead, uint64_t sequence = 1) {
        NewWrite write = testing::write(testing::dot(76 + sequence, 1), sequence, value);
        write.request.created_ms = rig.peers.now_ms();
        write.time = {.wall_ms = base::to_unix_ms(rig.wall_clock.wall_now() + ahead), .logical = 0};
        return mint({}, {}, std::move(write));
    }

    const base::NamespaceId id{55};
    CoordinatorRig rig;
    // Of the last get.
    std::string context;

  private:
    using Sent = testing::Sent;
};

struct LastWriteWinsTest : PoliciesTest {
    LastWriteWinsTest() : PoliciesTest(ConflictPolicy::last_write_wins) {}
};

TEST_F(LastWriteWinsTest, AReadShowsTheLatestOfWhatReplicasHold) {
    ASSERT_TRUE((*put(request("mine"))->result).ok());
    EXPECT_THAT(get(theirs("theirs, earlier", seconds(-3))), ElementsAre("mine"));
    EXPECT_THAT(get(theirs("theirs, later", seconds(3), 2)), ElementsAre("theirs, later"));
}

TEST_F(LastWriteWinsTest, AWriteIsLaterThanWhatItsCoordinatorMeetsThoughItsClockIsBehind) {
    const Record ahead = theirs("from a clock ahead", seconds(4));
    const auto outcome = put(request("mine"), ahead);
    ASSERT_TRUE(outcome->result.has_value() && outcome->result->ok());
    EXPECT_GT((*outcome->result)->time, ahead.siblings.front().time);
    EXPECT_THAT(testing::values(stored()), ElementsAre("mine"));
    EXPECT_THAT(get(), ElementsAre("mine"));
}

TEST_F(LastWriteWinsTest, ADeleteIsAWriteLikeAnyOther) {
    ASSERT_TRUE((*put(request("mine"))->result).ok());
    ASSERT_TRUE((*put(removal())->result).ok());
    EXPECT_THAT(get(theirs("earlier", seconds(-3))), IsEmpty());
    EXPECT_THAT(get(theirs("later", seconds(3), 2)), ElementsAre("later"));
}

TEST_F(LastWriteWinsTest, AContextDoesNotKeepAWriteFromReplacingWhatItHasNotSeen) {
    ASSERT_TRUE((*put(request("first"))->result).ok());
    get();
    const std::string old = context;
    ASSERT_TRUE((*put(request("second"))->result).ok());
    for (const std::string& stale : {old, std::string()}) {
        PutRequest made = request("with " + std::to_string(stale.size()));
        made.context = stale;
        Answers answers;
        ASSERT_TRUE((*put(std::move(made), answers)->result).ok());
        EXPECT_TRUE(answers.was_asked);
        EXPECT_EQ(stored().siblings.size(), 1u);
    }
}

TEST_F(LastWriteWinsTest, AForgedContextIsRefusedAllTheSame) {
    PutRequest made = request("value");
    made.context = "forged context 0123456789";
    EXPECT_NE(reason(*put(std::move(made))), "");
    EXPECT_EQ(stored(), Record{});
}

TEST_F(LastWriteWinsTest, AFencedNodeTakesNoWriteOfItAndTakesOthers) {
    for (const uint8_t seat : {uint8_t{1}, uint8_t{2}}) {
        hear(seat, minutes(1));
    }
    const auto refused = put(request("value"));
    EXPECT_EQ(reason(*refused), base::reason::clock_fenced);
    EXPECT_EQ(refused->result->status().code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(reason(*put(removal())), base::reason::clock_fenced);
    EXPECT_EQ(stored(), Record{});
    EXPECT_EQ(rig.store_rig.store.upcoming_sequence(testing::the_group), 1u);
    EXPECT_EQ(rig.clock_fence.refused(), 2u);
    PutRequest other = request("value");
    other.options.name_space = "default";
    EXPECT_TRUE((*put(std::move(other))->result).ok());
    EXPECT_THAT(get(), IsEmpty()) << "it reads as ever";
}

TEST_F(LastWriteWinsTest, ARepeatIsAnsweredByAFencedNodeToo) {
    const PutRequest made = request("value");
    ASSERT_TRUE((*put(made)->result).ok());
    for (const uint8_t seat : {uint8_t{1}, uint8_t{2}}) {
        hear(seat, minutes(1));
    }
    const auto repeated = put(made);
    ASSERT_TRUE(repeated->result.has_value() && repeated->result->ok());
    EXPECT_TRUE((*repeated->result)->is_repeat);
}

struct RejectStaleTest : PoliciesTest {
    RejectStaleTest() : PoliciesTest(ConflictPolicy::reject_stale) {}
    PutRequest with_context(const std::string& value) {
        PutRequest made = request(value);
        made.context = context;
        return made;
    }
    void expect_refused(const CoordinatorRig::PutOutcome& outcome) {
        EXPECT_EQ(reason(outcome), base::reason::stale_context);
        EXPECT_EQ(outcome.result->status().code(), absl::StatusCode::kAborted);
    }
};

TEST_F(RejectStaleTest, AFirstWriteNeedsNoContextAndTheNextOneDoes) {
    ASSERT_TRUE((*put(request("first"))->result).ok());
    const Record before = stored();
    expect_refused(*put(request("second")));
    PutRequest blind = request("blind");
    blind.blind = true;
    expect_refused(*put(std::move(blind)));
    PutRequest empty = request("empty context");
    empty.context = "";
    expect_refused(*put(std::move(empty)));
    expect_refused(*put(removal()));
    EXPECT_EQ(stored(), before);
    EXPECT_EQ(rig.store_rig.store.upcoming_sequence(testing::the_group), 2u);
}

TEST_F(RejectStaleTest, AWriteWithTheContextOfAReadIsTakenOnce) {
    ASSERT_TRUE((*put(request("first"))->result).ok());
    EXPECT_THAT(get(stored()), ElementsAre("first"));
    ASSERT_TRUE((*put(with_context("second"))->result).ok());
    expect_refused(*put(with_context("third")));
    EXPECT_THAT(testing::values(stored()), ElementsAre("second"));
}

TEST_F(RejectStaleTest, WhatOnlyAnotherReplicaHasCountsToo) {
    ASSERT_TRUE((*put(request("first"))->result).ok());
    EXPECT_THAT(get(stored()), ElementsAre("first"));
    Answers answers{.held = theirs("unseen", {})};
    expect_refused(*put(with_context("second"), answers));
    EXPECT_TRUE(answers.was_asked);
    EXPECT_THAT(testing::values(stored()), ElementsAre("first"));
}

TEST_F(RejectStaleTest, ADeletedKeyIsWrittenWithoutAContextAndNotWithAnOldOne) {
    ASSERT_TRUE((*put(request("first"))->result).ok());
    get(stored());
    const std::string old = context;
    PutRequest deletion = removal();
    deletion.context = old;
    ASSERT_TRUE((*put(std::move(deletion))->result).ok());
    PutRequest stale = request("second");
    stale.context = old;
    expect_refused(*put(std::move(stale)));
    EXPECT_TRUE((*put(request("third"))->result).ok());
    EXPECT_THAT(testing::values(stored()), ElementsAre("third"));
}

TEST_F(RejectStaleTest, SiblingsOfARaceAreShownAndReplacedByAWriteThatHasSeenBoth) {
    ASSERT_TRUE((*put(request("mine"))->result).ok());
    EXPECT_THAT(get(theirs("theirs", {})), ::testing::UnorderedElementsAre("mine", "theirs"));
    ASSERT_TRUE((*put(with_context("resolved"))->result).ok());
    EXPECT_THAT(testing::values(stored()), ElementsAre("resolved"));
}

TEST_F(RejectStaleTest, ARetryOfAnAcknowledgedWriteIsThatWriteAndNotStale) {
    const PutRequest made = request("first");
    ASSERT_TRUE((*put(made)->result).ok());
    const auto repeated = put(made);
    ASSERT_TRUE(repeated->result.has_value() && repeated->result->ok());
    EXPECT_TRUE((*repeated->result)->is_repeat);
}

struct CountedConflictsTest : PoliciesTest {
    CountedConflictsTest() : PoliciesTest(ConflictPolicy::siblings) {}
    uint64_t counted() {
        const auto& counts = rig.replica.conflicts().counts();
        const auto found = counts.find(id);
        return found == counts.end() ? 0 : found->second;
    }
};

TEST_F(CountedConflictsTest, AWriteThatLeavesSiblingsIsCountedAndARepeatOfItIsNot) {
    ASSERT_TRUE((*put(request("one"))->result).ok());
    EXPECT_EQ(counted(), 0u);
    PutRequest beside = request("two");
    beside.context = "";
    ASSERT_TRUE((*put(beside)->result).ok());
    EXPECT_EQ(counted(), 1u);
    ASSERT_TRUE((*put(beside)->result).ok());
    EXPECT_EQ(counted(), 1u);
    get(stored());
    PutRequest resolving = request("three");
    resolving.context = context;
    ASSERT_TRUE((*put(std::move(resolving))->result).ok());
    EXPECT_EQ(counted(), 1u);
}

TEST_F(CountedConflictsTest, AWriteThatArrivesIsCountedOnceAndARepairIsNot) {
    ASSERT_TRUE((*put(request("mine"))->result).ok());
    const auto arrive = [&](const Record& record, std::optional<Dot> dot) {
        rig.replica.write(
            testing::the_group,
            group_key(id, "k"),
            record,
            {.dot = dot},
            [](const absl::StatusOr<Replica::Written>& written) { EXPECT_TRUE(written.ok()); });
        rig.settle();
    };
    const Record other = theirs("theirs", {});
    arrive(other, other.siblings.front().dot);
    EXPECT_EQ(counted(), 1u);
    arrive(other, other.siblings.front().dot);
    arrive(theirs("third", {}, 2), std::nullopt);
    EXPECT_EQ(stored().siblings.size(), 3u);
    EXPECT_EQ(counted(), 1u);
}

}  // namespace
}  // namespace starling::node
