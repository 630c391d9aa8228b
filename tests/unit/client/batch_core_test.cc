#include "client/batch_core.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "base/error.h"
#include "client/error.h"
#include "env/posix/random.h"

namespace starling::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

class BatchCoreTest : public testing::Test {
  protected:
    static v1::BatchOperation put(const std::string& key, const std::string& value = "v") {
        v1::BatchOperation operation;
        operation.mutable_put()->set_key(key);
        operation.mutable_put()->set_value(value);
        operation.mutable_put()->mutable_request_id()->set_created_ms(1);
        return operation;
    }
    static v1::BatchOperation get(const std::string& key) {
        v1::BatchOperation operation;
        operation.mutable_get()->set_key(key);
        return operation;
    }
    v1::BatchRequest fill() {
        v1::BatchRequest message;
        core.fill(message, now);
        return message;
    }
    void write_done(uint64_t number) {
        v1::BatchResponse response;
        response.add_results()->set_number(number);
        response.mutable_results(0)->mutable_write();
        core.on_results(response, now);
    }
    void error(uint64_t number, std::string_view reason, absl::StatusCode code, bool unknown) {
        v1::BatchResponse response;
        response.add_results()->set_number(number);
        v1::Error& error = *response.mutable_results(0)->mutable_error();
        error.set_code(static_cast<int>(code));
        error.set_reason(std::string(reason));
        error.set_message("said no");
        error.set_outcome_unknown(unknown);
        core.on_results(response, now);
    }
    std::vector<uint64_t> answered() {
        std::vector<uint64_t> indexes;
        for (const BatchAnswer& answer : core.take_answers()) {
            indexes.push_back(answer.index);
        }
        return indexes;
    }
    BatchAnswer only_answer() {
        const auto answers = core.take_answers();
        EXPECT_EQ(answers.size(), 1u);
        return answers.empty() ? BatchAnswer{} : answers[0];
    }
    static Failure broken() {
        return {.status = absl::UnavailableError("connection lost"), .is_endpoint_down = true};
    }

    env::PosixRandom random;
    base::MonotonicTime now{};
    BatchCore core{{.retry = {.try_timeout = milliseconds(1000)},
                    .limits = {.operations_max = 3, .bytes_max = 100},
                    .endpoint_count = 2},
                   random};
};

TEST_F(BatchCoreTest, AnswersComeInTheOrderInWhichOperationsFinish) {
    for (const char* key : {"a", "b", "c"}) {
        core.add(put(key), seconds(5), now);
    }
    const v1::BatchRequest message = fill();
    ASSERT_EQ(message.operations_size(), 3);
    EXPECT_FALSE(core.has_queued());
    write_done(message.operations(2).number());
    write_done(message.operations(0).number());
    EXPECT_THAT(answered(), ElementsAre(2, 0));
    EXPECT_EQ(core.under_way(), 1u);
}

TEST_F(BatchCoreTest, CountAndBytesAreBoundedButOneIsAlwaysAdmitted) {
    EXPECT_TRUE(core.has_room(1000));
    core.add(put("k", std::string(200, 'x')), seconds(5), now);
    EXPECT_FALSE(core.has_room(1));
    write_done(fill().operations(0).number());
    EXPECT_TRUE(core.has_room(1));
    for (int i = 0; i < 3; ++i) {
        EXPECT_TRUE(core.has_room(2));
        core.add(put("k"), seconds(5), now);
    }
    EXPECT_FALSE(core.has_room(0));
}

TEST_F(BatchCoreTest, AnOperationWhoseStreamBreaksIsRepeatedAsTheSameWrite) {
    core.add(put("k"), seconds(5), now);
    const v1::BatchRequest first = fill();
    core.on_stream_end(broken(), now);
    const v1::BatchRequest second = fill();
    ASSERT_EQ(second.operations_size(), 1);
    EXPECT_EQ(second.operations(0).put().request_id().SerializeAsString(),
              first.operations(0).put().request_id().SerializeAsString());
    // A late result of the first try is nobody's.
    EXPECT_NE(second.operations(0).number(), first.operations(0).number());
    write_done(first.operations(0).number());
    EXPECT_THAT(answered(), IsEmpty());
    write_done(second.operations(0).number());
    EXPECT_TRUE(only_answer().status.ok());
}

TEST_F(BatchCoreTest, WhatIsRefusedForGoodIsAnsweredAtOnce) {
    core.add(put("k"), seconds(5), now);
    error(fill().operations(0).number(),
          base::reason::key_too_large,
          absl::StatusCode::kInvalidArgument,
          false);
    const BatchAnswer answer = only_answer();
    EXPECT_EQ(base::reason_of(answer.status), base::reason::key_too_large);
    EXPECT_EQ(answer.status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_FALSE(outcome_unknown(answer.status));
}

TEST_F(BatchCoreTest, AMissedQuorumIsTriedAgainAfterAPauseUntilTheDeadline) {
    core.add(put("k"), seconds(2), now);
    int tries = 0;
    while (core.under_way() > 0 && tries < 1000) {
        if (core.has_queued()) {
            ++tries;
            error(fill().operations(0).number(),
                  base::reason::quorum_not_reached,
                  absl::StatusCode::kUnavailable,
                  true);
        }
        now += milliseconds(10);
        core.on_tick(now);
    }
    EXPECT_GT(tries, 3);
    EXPECT_LT(tries, 100);
    EXPECT_LE(now, base::MonotonicTime{} + seconds(3));
    const BatchAnswer answer = only_answer();
    EXPECT_EQ(base::reason_of(answer.status), base::reason::quorum_not_reached);
    EXPECT_TRUE(outcome_unknown(answer.status));
}

TEST_F(BatchCoreTest, ASilentNodeIsToldAndItsOperationsGoOn) {
    core.add(put("k"), seconds(5), now);
    core.add(get("k"), seconds(5), now);
    EXPECT_EQ(fill().operations(0).put().options().deadline_ms(), 900u);
    now += milliseconds(999);
    EXPECT_FALSE(core.on_tick(now));
    now += milliseconds(1);
    EXPECT_TRUE(core.on_tick(now));
    EXPECT_EQ(fill().operations_size(), 2);
    EXPECT_EQ(core.under_way(), 2u);
}

TEST_F(BatchCoreTest, ADeadlineEndsWhatWasNeverSentWithAKnownOutcome) {
    core.add(put("k"), milliseconds(300), now);
    now += milliseconds(300);
    EXPECT_FALSE(core.on_tick(now));
    const BatchAnswer answer = only_answer();
    EXPECT_EQ(base::reason_of(answer.status), base::reason::deadline);
    EXPECT_FALSE(outcome_unknown(answer.status));
    EXPECT_EQ(fill().operations_size(), 0);
}

TEST_F(BatchCoreTest, ADeadlineEndsWhatWasSentWithAnUnknownOutcomeIfItIsAWrite) {
    core.add(put("k"), milliseconds(300), now);
    core.add(get("k"), milliseconds(300), now);
    fill();
    now += milliseconds(300);
    EXPECT_TRUE(core.on_tick(now));
    const auto answers = core.take_answers();
    ASSERT_EQ(answers.size(), 2u);
    EXPECT_TRUE(outcome_unknown(answers[0].status));
    EXPECT_FALSE(outcome_unknown(answers[1].status));
}

TEST_F(BatchCoreTest, AnEndAnswersAllAndSaysWhichMayExist) {
    core.add(put("sent"), seconds(5), now);
    fill();
    core.add(put("not sent"), seconds(5), now);
    core.cancel_all();
    const auto answers = core.take_answers();
    ASSERT_EQ(answers.size(), 2u);
    EXPECT_TRUE(absl::IsCancelled(answers[0].status));
    EXPECT_TRUE(outcome_unknown(answers[0].status));
    EXPECT_FALSE(outcome_unknown(answers[1].status));
    EXPECT_EQ(core.under_way(), 0u);
}

TEST_F(BatchCoreTest, AnAnswerToSomethingElseIsAnErrorOfTheNode) {
    core.add(get("k"), seconds(5), now);
    write_done(fill().operations(0).number());
    EXPECT_EQ(only_answer().status.code(), absl::StatusCode::kInternal);
    write_done(4711);
    EXPECT_THAT(answered(), IsEmpty());
}

TEST_F(BatchCoreTest, AMessageIsCutAtItsCount) {
    BatchCore large({.retry = {}, .limits = {.operations_max = 1000}, .endpoint_count = 1}, random);
    for (int i = 0; i < 300; ++i) {
        large.add(put("k"), seconds(5), now);
    }
    v1::BatchRequest message;
    large.fill(message, now);
    EXPECT_EQ(message.operations_size(), 256);
    EXPECT_TRUE(large.has_queued());
}

// A node whose limits on keys and values are the least that can be set takes no more.
constexpr size_t least_message_bytes_max = size_t{256} << 10;

TEST_F(BatchCoreTest, AMessageIsCutAtItsBytesWithValuesContextsAndTokens) {
    SessionMarks session(100);
    BatchCore large({.retry = {}, .limits = {}, .endpoint_count = 1}, random, &session);
    for (int i = 0; i < 20; ++i) {
        const std::string key = "key " + std::to_string(i);
        session.learn("", key, 0, std::string(size_t{30} << 10, 't'));
        large.add(put(key, std::string(size_t{10} << 10, 'v')), seconds(5), now);
        v1::BatchOperation removal;
        removal.mutable_delete_()->set_key("other " + std::to_string(i));
        removal.mutable_delete_()->set_context(std::string(size_t{60} << 10, 'c'));
        large.add(removal, seconds(5), now);
        large.add(get(key), seconds(5), now);
    }
    std::vector<std::string> keys;
    int messages = 0;
    while (large.has_queued()) {
        v1::BatchRequest message;
        large.fill(message, now);
        ASSERT_GT(message.operations_size(), 0);
        EXPECT_LE(message.ByteSizeLong(), least_message_bytes_max);
        for (const v1::BatchOperation& operation : message.operations()) {
            keys.push_back(operation.has_put()   ? operation.put().key()
                           : operation.has_get() ? operation.get().key()
                                                 : operation.delete_().key());
        }
        ++messages;
    }
    EXPECT_LT(messages, 20) << "several operations in one";
    ASSERT_EQ(keys.size(), 60u);
    for (size_t i = 0; i < 20; ++i) {
        EXPECT_EQ(keys[3 * i], "key " + std::to_string(i));
        EXPECT_EQ(keys[3 * i + 1], "other " + std::to_string(i));
        EXPECT_EQ(keys[3 * i + 2], "key " + std::to_string(i));
    }
}

TEST_F(BatchCoreTest, TheLargestOperationOfAMessageFitsWithItsTokenIntoAnyNodes) {
    SessionMarks session(1);
    session.learn("", "k", 0, std::string(SessionMarks::bytes_per_key_max, 't'));
    BatchCore large({.retry = {}, .limits = {}, .endpoint_count = 1}, random, &session);
    large.add(put("k", std::string((size_t{192} << 10) - 1, 'v')), seconds(5), now);
    EXPECT_FALSE(large.take_alone(now).has_value());
    v1::BatchRequest message;
    large.fill(message, now);
    ASSERT_EQ(message.operations_size(), 1);
    EXPECT_LE(message.ByteSizeLong(), least_message_bytes_max);
}

TEST_F(BatchCoreTest, AnOperationLargerThanAMessageIsHandedOutAndAnsweredAsItEnds) {
    core.add(put("large", std::string(size_t{192} << 10, 'v')), seconds(5), now);
    core.add(put("small"), seconds(5), now);
    EXPECT_FALSE(core.has_room(0)) << "it counts";
    now += milliseconds(500);
    const auto alone = core.take_alone(now);
    ASSERT_TRUE(alone.has_value());
    EXPECT_EQ(alone->index, 0u);
    EXPECT_EQ(alone->operation.put().key(), "large");
    EXPECT_EQ(alone->deadline, milliseconds(4500));
    EXPECT_FALSE(core.take_alone(now).has_value());
    const v1::BatchRequest message = fill();
    ASSERT_EQ(message.operations_size(), 1);
    EXPECT_EQ(message.operations(0).put().key(), "small");
    write_done(message.operations(0).number());
    EXPECT_THAT(answered(), ElementsAre(1));
    // Its time is its own request's affair.
    now += seconds(60);
    EXPECT_FALSE(core.on_tick(now));
    EXPECT_EQ(core.under_way(), 1u);
    core.on_alone_end(0, {.status = absl::ResourceExhaustedError("too large")});
    EXPECT_TRUE(absl::IsResourceExhausted(only_answer().status));
    EXPECT_TRUE(core.has_room(1));
}

TEST_F(BatchCoreTest, AnEndAnswersWhatWasHandedOutToo) {
    core.add(put("k", std::string(size_t{192} << 10, 'v')), seconds(5), now);
    core.add(get(std::string((size_t{192} << 10) + 1, 'k')), seconds(5), now);
    ASSERT_TRUE(core.take_alone(now).has_value());
    ASSERT_TRUE(core.take_alone(now).has_value());
    core.cancel_all();
    const auto answers = core.take_answers();
    ASSERT_EQ(answers.size(), 2u);
    EXPECT_TRUE(outcome_unknown(answers[0].status));
    EXPECT_FALSE(outcome_unknown(answers[1].status));
    core.on_alone_end(0, {});
    EXPECT_THAT(answered(), IsEmpty());
}

}  // namespace
}  // namespace starling::client
