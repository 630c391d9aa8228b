// Hand-written histories of one key of a last_write_wins and of a reject_stale namespace.

#include "tests/sim/policy_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace starling::sim {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;

class PolicyRulesTest : public ::testing::Test {
  protected:
    struct As {
        Replaces replaces = Replaces::acknowledged;
        std::vector<WriteId> seen = {};
        bool is_delete = false;
    };
    WriteId send(const As& as) {
        clock_ += seconds(1);
        return history_.attempt({.request = {1, ++requests_, 0},
                                 .value = as.is_delete ? "" : std::to_string(requests_),
                                 .is_delete = as.is_delete,
                                 .replaces = as.replaces,
                                 .quorum = 2,
                                 .started = clock_},
                                as.seen);
    }
    WriteId send() { return send(As()); }
    void acknowledge(WriteId id) {
        clock_ += seconds(1);
        history_.acknowledge(id, clock_, 2);
        history_.settle(id, clock_);
    }
    Stamp at(uint64_t wall_ms) const {
        return {.time = {.wall_ms = wall_ms, .logical = 0},
                .dot = {.actor = {base::NodeId(1), 1, 1}, .sequence = wall_ms}};
    }
    // Blind, so that each may be the latest, whatever was there before.
    WriteId write(uint64_t wall_ms, bool is_delete = false, bool once = true) {
        const WriteId id = send({.replaces = Replaces::local, .is_delete = is_delete});
        acknowledge(id);
        last_writes_.acknowledged(id, at(wall_ms));
        if (once) last_writes_.minted_once(id);
        return id;
    }
    WriteId expiring(uint64_t wall_ms) {
        clock_ += seconds(1);
        const WriteId id = history_.attempt({.request = {1, ++requests_, 0},
                                             .value = std::to_string(requests_),
                                             .expires_ms = 100,
                                             .replaces = Replaces::local,
                                             .quorum = 2,
                                             .started = clock_},
                                            {});
        acknowledge(id);
        last_writes_.acknowledged(id, at(wall_ms));
        last_writes_.minted_once(id);
        return id;
    }
    std::string judge(WriteId shown, uint64_t wall_ms, const std::vector<WriteId>& met) {
        clock_ += seconds(1);
        return last_writes_.judge(history_, {.id = shown, .stamp = at(wall_ms)}, met, clock_, {});
    }
    std::string judge_after_collection(WriteId shown, uint64_t wall_ms, WriteId met) {
        return last_writes_.judge(history_,
                                  {.id = shown, .stamp = at(wall_ms)},
                                  {met},
                                  clock_,
                                  {.collected_before_ms = 2});
    }
    std::string judge_absent(const std::vector<WriteId>& met) {
        clock_ += seconds(1);
        return last_writes_.judge(history_, {}, met, clock_, {});
    }
    WriteId unseen(WriteId id) {
        clock_ += seconds(1);
        return unseen_by_accepted(history_, id, clock_);
    }

    History history_;
    LastWrites last_writes_;
    SimTime clock_{0};
    uint64_t requests_ = 0;
};

TEST_F(PolicyRulesTest, TheLatestIsRightAndAnEarlierOneIsNot) {
    const WriteId early = write(10);
    const WriteId late = write(20);
    EXPECT_EQ(judge(late, 20, {early, late}), "");
    EXPECT_THAT(judge(early, 10, {early, late}), HasSubstr("earlier than w2"));
    EXPECT_EQ(judge(early, 10, {early}), "") << "the read does not meet the later one";
    EXPECT_EQ(last_writes_.compared(), 2u);
}

TEST_F(PolicyRulesTest, ALaterDeleteHidesAndAnEarlierOneDoesNot) {
    const WriteId value = write(10);
    EXPECT_THAT(judge_absent({value}), HasSubstr("no delete is later"));
    const WriteId deleted = write(20, true);
    EXPECT_EQ(judge_absent({value, deleted}), "");
    EXPECT_THAT(judge(value, 10, {value, deleted}), HasSubstr("earlier than w2"));
    const WriteId again = write(30);
    EXPECT_EQ(judge(again, 30, {value, deleted, again}), "");
    EXPECT_NE(judge_absent({value, deleted, again}), "");
}

// By a clock that went back.
TEST_F(PolicyRulesTest, WhatCameAfterADeleteMayBeEarlierOnceThatIsForgotten) {
    const WriteId before = write(10);
    const WriteId deleted = write(30, /*is_delete=*/true);
    const WriteId after = write(20);
    EXPECT_NE(judge(after, 20, {deleted}), "");
    EXPECT_EQ(judge_after_collection(after, 20, deleted), "");
    EXPECT_NE(judge_after_collection(before, 10, deleted), "") << "returned from the dead";
    const WriteId value = write(40);
    EXPECT_NE(judge_after_collection(after, 20, value), "") << "no delete";
}

// Seed 20321 of ten minutes.
TEST_F(PolicyRulesTest, WhatADeleteHasReplacedIsForgottenWithIt) {
    const WriteId value = write(30);
    const WriteId other = write(50);
    write(40, /*is_delete=*/true);
    const WriteId after = write(20);
    EXPECT_NE(judge(after, 20, {value}), "");
    EXPECT_EQ(judge_after_collection(after, 20, value), "");
    EXPECT_NE(judge_after_collection(after, 20, other), "") << "later than the delete";
}

TEST_F(PolicyRulesTest, ADeleteWithoutAnAnswerMayBeTheLatest) {
    const WriteId value = write(10);
    send({.replaces = Replaces::local, .is_delete = true});
    EXPECT_EQ(judge_absent({value}), "");
}

TEST_F(PolicyRulesTest, WhatMayHaveSeveralDotsIsNotComparedAndExcusesWhatItMayHaveReplaced) {
    write(15, false, /*once=*/false);
    const WriteId late = write(20);
    const WriteId early = write(10);
    EXPECT_NE(judge(early, 10, {late, early}), "") << "the first was settled before they were sent";
    send({.replaces = Replaces::local});
    EXPECT_EQ(judge(early, 10, {late, early}), "") << "this one may be minted any time";
}

TEST_F(PolicyRulesTest, AnAcceptedWriteMustHaveSeenWhatWasAcknowledgedBeforeIt) {
    const WriteId value = send();
    acknowledge(value);
    EXPECT_TRUE(unseen(value).is_none());
    const WriteId without = send();
    EXPECT_EQ(unseen(without), value);
    history_.refuse(without);
    const WriteId empty = send({.replaces = Replaces::seen});
    EXPECT_EQ(unseen(empty), value);
    history_.refuse(empty);
    const WriteId current = send({.replaces = Replaces::seen, .seen = {value}});
    EXPECT_TRUE(unseen(current).is_none());
    acknowledge(current);
    const WriteId stale = send({.replaces = Replaces::seen, .seen = {value}});
    EXPECT_EQ(unseen(stale), current);
}

TEST_F(PolicyRulesTest, WhatWasAcknowledgedMeanwhileOrMayBeReplacedMeanwhileNeedNotBeSeen) {
    const WriteId value = send();
    const WriteId racing = send({.replaces = Replaces::seen});
    acknowledge(value);
    EXPECT_TRUE(unseen(racing).is_none()) << "sent before the value was acknowledged";
    acknowledge(racing);
    const WriteId later = send();
    EXPECT_EQ(unseen(later).is_none(), false);
    send({.replaces = Replaces::seen, .seen = {value, racing}, .is_delete = true});
    EXPECT_TRUE(unseen(later).is_none()) << "a delete is under way";
}

TEST_F(PolicyRulesTest, AStaleWriteThatMayStillBeMintedExcusesNobody) {
    const WriteId first = send();
    acknowledge(first);
    const WriteId second = send({.replaces = Replaces::seen, .seen = {first}});
    send({.replaces = Replaces::seen, .seen = {first}});
    acknowledge(second);
    const WriteId stale = send({.replaces = Replaces::seen, .seen = {first}});
    EXPECT_EQ(unseen(stale), second);
    const WriteId third = send({.replaces = Replaces::seen, .seen = {second}});
    EXPECT_TRUE(unseen(stale).is_none()) << "the third may have replaced what it had not seen";
    history_.refuse(third);
    EXPECT_EQ(unseen(stale), second);
}

TEST_F(PolicyRulesTest, AWriteWithoutContextThatMayStillBeMintedExcusesOthers) {
    const WriteId first = send();
    acknowledge(first);
    send();
    const WriteId stale = send({.replaces = Replaces::seen});
    EXPECT_TRUE(unseen(stale).is_none());
}

TEST_F(PolicyRulesTest, AnExpiredWriteIsAnAbsenceOfItsTime) {
    const WriteId earlier = write(10);
    const WriteId expired = expiring(20);
    const auto judge_at = [&](LastWrites::Shown shown, uint64_t expired_by_ms) {
        return last_writes_.judge(
            history_, shown, {earlier, expired}, clock_, {.expired_by_ms = expired_by_ms});
    };
    EXPECT_EQ(judge_at({}, 100), "");
    EXPECT_NE(judge_at({}, 99), "") << "not yet";
    EXPECT_NE(judge_at({.id = earlier, .stamp = at(10)}, 100), "") << "an older value";
    const WriteId later = write(30);
    EXPECT_EQ(last_writes_.judge(history_,
                                 {.id = later, .stamp = at(30)},
                                 {later, expired},
                                 clock_,
                                 {.expired_by_ms = 100}),
              "");
    EXPECT_NE(last_writes_.judge(history_, {}, {later, expired}, clock_, {.expired_by_ms = 100}),
              "");
}

TEST_F(PolicyRulesTest, WhatHasExpiredNeedNotBeSeen) {
    const WriteId expired = expiring(10);
    const WriteId next = send({.replaces = Replaces::seen});
    acknowledge(next);
    EXPECT_EQ(unseen_by_accepted(history_, next, clock_, 99), expired);
    EXPECT_TRUE(unseen_by_accepted(history_, next, clock_, 100).is_none());
}

}  // namespace
}  // namespace starling::sim
