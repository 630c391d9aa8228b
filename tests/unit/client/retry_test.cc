#include "client/retry.h"

#include "gtest/gtest.h"

#include "base/error.h"
#include "client/error.h"
#include "client/rotation.h"

namespace starling::client {
namespace {

using std::chrono::milliseconds;

class NoRandom final : public env::Random {
  public:
    uint64_t next() override { return 0; }
};

constexpr base::MonotonicTime start{};
constexpr base::MonotonicTime give_up = start + std::chrono::seconds(1);

Failure refusal(std::string_view why, absl::StatusCode code, bool may_have_begun = false) {
    return {.status = base::make_error(code, why, "no"), .may_have_begun = may_have_begun};
}

Failure broken_connection(bool may_have_begun) {
    return {.status = absl::UnavailableError("socket closed"),
            .may_have_begun = may_have_begun,
            .is_endpoint_down = true};
}

class RetryCoreTest : public testing::Test {
  protected:
    NoRandom random_;
};

TEST_F(RetryCoreTest, PassingReasonsAreTriedAgainAndOthersNot) {
    using Code = absl::StatusCode;
    const auto repeats = [this](std::string_view why, Code code) {
        RetryCore core({}, Repeat::same_write, 1, give_up);
        return core.fail(refusal(why, code), start, random_).has_value();
    };
    EXPECT_TRUE(repeats(base::reason::quorum_not_reached, Code::kUnavailable));
    EXPECT_TRUE(repeats(base::reason::no_owner, Code::kUnavailable));
    EXPECT_TRUE(repeats(base::reason::stopping, Code::kUnavailable));
    EXPECT_TRUE(repeats(base::reason::session_not_satisfied, Code::kUnavailable));
    EXPECT_TRUE(repeats(base::reason::deadline, Code::kDeadlineExceeded));
    EXPECT_TRUE(repeats(base::reason::overloaded, Code::kResourceExhausted));
    EXPECT_TRUE(repeats(base::reason::written_too_often, Code::kResourceExhausted));
    EXPECT_TRUE(repeats("", Code::kUnavailable));
    EXPECT_TRUE(repeats("", Code::kCancelled)) << "the server ended";
    EXPECT_FALSE(repeats("", Code::kInternal));
    EXPECT_FALSE(repeats("", Code::kResourceExhausted));
    EXPECT_FALSE(repeats(base::reason::disk_full, Code::kResourceExhausted));
    EXPECT_FALSE(repeats(base::reason::too_many_siblings, Code::kResourceExhausted));
    EXPECT_FALSE(repeats(base::reason::key_empty, Code::kInvalidArgument));
    EXPECT_FALSE(repeats(base::reason::unknown_namespace, Code::kNotFound));
    EXPECT_FALSE(repeats(base::reason::request_too_old, Code::kFailedPrecondition));
    EXPECT_FALSE(repeats(base::reason::request_superseded, Code::kAborted));
}

TEST_F(RetryCoreTest, WhatOneNodeCannotDoIsTriedAtTheNextAtOnce) {
    using Code = absl::StatusCode;
    const auto wait_after = [this](std::string_view why, Code code) {
        RetryCore core({}, Repeat::same_write, 3, give_up);
        Failure failure = refusal(why, code);
        failure.retry_after = std::chrono::seconds(5);
        return core.fail(std::move(failure), start, random_);
    };
    for (const auto& [why, code] : {std::pair(base::reason::disk_full, Code::kResourceExhausted),
                                    std::pair(base::reason::read_only, Code::kFailedPrecondition),
                                    std::pair(base::reason::clock_drift, Code::kUnavailable)}) {
        const auto wait = wait_after(why, code);
        ASSERT_TRUE(wait.has_value()) << why;
        EXPECT_LT(*wait, milliseconds(500)) << why;
    }
    EXPECT_FALSE(wait_after(base::reason::too_many_siblings, Code::kResourceExhausted).has_value());
}

TEST_F(RetryCoreTest, WhatMayPassIsTriedAgainWithinTheTriesWhateverItsStatus) {
    Failure failure = refusal("", absl::StatusCode::kResourceExhausted, true);
    failure.may_pass = true;
    RetryCore core({.tries_max = 2}, Repeat::same_write, 1, give_up);
    EXPECT_TRUE(core.fail(failure, start, random_).has_value());
    EXPECT_FALSE(core.fail(failure, start, random_).has_value());
    EXPECT_TRUE(absl::IsResourceExhausted(core.result()));
    EXPECT_TRUE(outcome_unknown(core.result()));
    RetryCore action({}, Repeat::another_action, 1, give_up);
    EXPECT_FALSE(action.fail(failure, start, random_).has_value());
}

TEST_F(RetryCoreTest, AnActionThatMayHaveBegunIsNotRepeated) {
    RetryCore begun({}, Repeat::another_action, 1, give_up);
    EXPECT_FALSE(begun.fail(broken_connection(true), start, random_).has_value());
    EXPECT_TRUE(outcome_unknown(begun.result()));
    RetryCore not_begun({}, Repeat::another_action, 1, give_up);
    EXPECT_TRUE(not_begun.fail(broken_connection(false), start, random_).has_value());
}

TEST_F(RetryCoreTest, OneTryThatMayHaveBegunMarksAllLaterErrors) {
    RetryCore core({}, Repeat::same_write, 1, give_up);
    ASSERT_TRUE(core.fail(broken_connection(true), start, random_).has_value());
    ASSERT_FALSE(core.fail(refusal(base::reason::disk_full, absl::StatusCode::kResourceExhausted),
                           start,
                           random_)
                     .has_value());
    EXPECT_EQ(base::reason_of(core.result()), base::reason::disk_full);
    EXPECT_TRUE(outcome_unknown(core.result()));
}

TEST_F(RetryCoreTest, AReaderIsToldWhatANodeHasAnsweredAndNotThatTheTimeRanOut) {
    const Failure late = refusal(base::reason::deadline, absl::StatusCode::kDeadlineExceeded);
    const auto told = [&](const Failure& before, Repeat repeat) {
        RetryCore core({.tries_max = 2}, repeat, 1, give_up);
        EXPECT_TRUE(core.fail(before, start, random_).has_value());
        EXPECT_FALSE(core.fail(late, start, random_).has_value());
        return base::reason_of(core.result());
    };
    const Failure unsatisfied =
        refusal(base::reason::session_not_satisfied, absl::StatusCode::kUnavailable);
    EXPECT_EQ(told(unsatisfied, Repeat::harmless), base::reason::session_not_satisfied);
    EXPECT_EQ(told(unsatisfied, Repeat::same_write), base::reason::deadline);
    EXPECT_EQ(told(broken_connection(false), Repeat::harmless), base::reason::deadline)
        << "no node has answered";
}

TEST_F(RetryCoreTest, ASupersededWriteHasAKnownOutcome) {
    RetryCore core({}, Repeat::same_write, 1, give_up);
    ASSERT_TRUE(core.fail(broken_connection(true), start, random_).has_value());
    ASSERT_FALSE(core.fail(refusal(base::reason::request_superseded, absl::StatusCode::kAborted),
                           start,
                           random_)
                     .has_value());
    EXPECT_FALSE(outcome_unknown(core.result()));
}

TEST_F(RetryCoreTest, NodesNotYetAskedFollowAtOnceThenTheBackoffDoublesToItsCap) {
    RetryCore core({.backoff_first = milliseconds(10), .backoff_max = milliseconds(30)},
                   Repeat::harmless,
                   3,
                   give_up);
    std::vector<base::Duration> waits;
    for (int i = 0; i < 6; ++i) {
        waits.push_back(*core.fail(broken_connection(false), start, random_));
    }
    EXPECT_EQ(waits,
              (std::vector<base::Duration>{milliseconds(0),
                                           milliseconds(0),
                                           milliseconds(10),
                                           milliseconds(20),
                                           milliseconds(30),
                                           milliseconds(30)}));
}

TEST_F(RetryCoreTest, NoWaitReachesTheDeadline) {
    RetryCore core({}, Repeat::harmless, 1, give_up);
    EXPECT_FALSE(
        core.fail(broken_connection(false), give_up - milliseconds(5), random_).has_value());
    EXPECT_EQ(core.try_time(give_up + milliseconds(1)), base::Duration::zero());
    EXPECT_EQ(core.try_time(give_up - milliseconds(5)), milliseconds(5));
}

TEST(RotationTest, EachEndpointHasItsTurn) {
    Rotation rotation(3);
    EXPECT_EQ(rotation.pick({}, start), 0u);
    EXPECT_EQ(rotation.pick({}, start), 1u);
    EXPECT_EQ(rotation.pick({}, start), 2u);
    EXPECT_EQ(rotation.pick({}, start), 0u);
}

TEST(RotationTest, ARetryGoesElsewhereWhereThereIsAnother) {
    Rotation two(2);
    EXPECT_EQ(two.pick(0, start), 1u);
    EXPECT_EQ(two.pick(0, start), 1u);
    Rotation one(1);
    EXPECT_EQ(one.pick(0, start), 0u);
}

TEST(RotationTest, AnEndpointThatFailedRestsLongerEachTimeUntilItWorks) {
    Rotation rotation(2);
    rotation.failed(0, start);
    EXPECT_EQ(rotation.pick({}, start), 1u);
    EXPECT_EQ(rotation.pick({}, start), 1u);
    EXPECT_EQ(rotation.pick({}, start + milliseconds(100)), 0u);
    rotation.failed(0, start);
    EXPECT_EQ(rotation.pick(1, start + milliseconds(150)), 0u) << "no other is left";
    EXPECT_EQ(rotation.pick({}, start + milliseconds(150)), 1u);
    rotation.worked(0);
    EXPECT_EQ(rotation.pick({}, start + milliseconds(150)), 0u);
}

TEST(RotationTest, WhereAllRestTheOneThatRestedLongestIsAsked) {
    Rotation rotation(3);
    rotation.failed(1, start);
    rotation.failed(0, start + milliseconds(10));
    rotation.failed(2, start + milliseconds(20));
    EXPECT_EQ(rotation.pick({}, start + milliseconds(30)), 1u);
}

}  // namespace
}  // namespace starling::client
