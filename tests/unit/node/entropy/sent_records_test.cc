#include "node/entropy/sent_records.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace starling::node {
namespace {

using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr absl::uint128 a = 1;
constexpr absl::uint128 b = 2;

SentRecords::Question question(uint64_t session, uint64_t request, uint64_t from = 7) {
    return {.from = base::NodeId(from), .session = session, .request = request};
}

// What was asked before is forgotten.
void begin(SentRecords& sent, uint64_t session, uint64_t first_request) {
    sent.answered(
        question(session, first_request - 1), sent.take(question(session, first_request - 1)), {});
}

TEST(SentRecordsTest, TheFirstPageDoesNotCount) {
    SentRecords sent;
    sent.take(question(1, 5));
    sent.answered(question(1, 5), {}, {a});
    EXPECT_THAT(sent.take(question(1, 6)), IsEmpty());
}

TEST(SentRecordsTest, APageCountsOnceTheNextIsAskedFor) {
    SentRecords sent;
    begin(sent, 1, 5);
    EXPECT_THAT(sent.take(question(1, 5)), IsEmpty());
    sent.answered(question(1, 5), {}, {a});
    RecordFingerprints taken = sent.take(question(1, 6));
    EXPECT_THAT(taken, UnorderedElementsAre(a));
    sent.answered(question(1, 6), std::move(taken), {b});
    EXPECT_THAT(sent.take(question(1, 7)), UnorderedElementsAre(a, b));
}

TEST(SentRecordsTest, APageOfAnotherSessionOrNodeDoesNotCount) {
    SentRecords sent;
    begin(sent, 1, 5);
    sent.take(question(1, 5));
    sent.answered(question(1, 5), {}, {a});
    EXPECT_THAT(sent.take(question(2, 6)), IsEmpty());
    EXPECT_THAT(sent.take(question(1, 6, 8)), IsEmpty());
    EXPECT_THAT(sent.take(question(1, 6)), UnorderedElementsAre(a));
}

TEST(SentRecordsTest, OfAQuestionThatCameTwiceNeitherAnswerCounts) {
    SentRecords sent;
    begin(sent, 1, 5);
    sent.take(question(1, 5));
    sent.answered(question(1, 5), {}, {a});
    sent.take(question(1, 5));
    sent.answered(question(1, 5), {}, {b});
    EXPECT_THAT(sent.take(question(1, 6)), IsEmpty());

    // Nor where the second comes while the first is being answered.
    begin(sent, 2, 5);
    sent.take(question(2, 5));
    sent.take(question(2, 5));
    sent.answered(question(2, 5), {}, {b});
    sent.answered(question(2, 5), {}, {a});
    EXPECT_THAT(sent.take(question(2, 6)), IsEmpty());
}

TEST(SentRecordsTest, WhatCountedBeforeARepeatedQuestionStillDoes) {
    SentRecords sent;
    begin(sent, 1, 5);
    sent.take(question(1, 5));
    sent.answered(question(1, 5), {}, {a});
    RecordFingerprints taken = sent.take(question(1, 6));
    RecordFingerprints of_repeat = sent.take(question(1, 6));
    EXPECT_THAT(of_repeat, IsEmpty());
    sent.answered(question(1, 6), std::move(of_repeat), {b});
    sent.answered(question(1, 6), std::move(taken), {b});
    EXPECT_THAT(sent.take(question(1, 7)), UnorderedElementsAre(a));
}

TEST(SentRecordsTest, AnAnswerThatCameLateDoesNotCountForALaterQuestion) {
    SentRecords sent;
    begin(sent, 1, 5);
    sent.take(question(1, 5));
    sent.take(question(1, 6));
    sent.answered(question(1, 5), {}, {a});
    EXPECT_THAT(sent.take(question(1, 7)), IsEmpty());
    // A question that is older than the last changes nothing.
    sent.answered(question(1, 7), {}, {b});
    EXPECT_THAT(sent.take(question(1, 5)), IsEmpty());
    sent.answered(question(1, 5), {}, {a});
    EXPECT_THAT(sent.take(question(1, 8)), UnorderedElementsAre(b));
}

TEST(SentRecordsTest, APageThatWasSkippedDoesNotCount) {
    SentRecords sent;
    begin(sent, 1, 5);
    sent.take(question(1, 5));
    sent.answered(question(1, 5), {}, {a});
    EXPECT_THAT(sent.take(question(1, 7)), IsEmpty());
}

TEST(SentRecordsTest, ASessionThatEndedIsForgotten) {
    SentRecords sent;
    begin(sent, 1, 5);
    sent.take(question(1, 5));
    sent.answered(question(1, 5), {}, {a});
    sent.end(question(1, 5));
    EXPECT_THAT(sent.take(question(1, 6)), IsEmpty());
}

TEST(SentRecordsTest, TheSessionThatAskedLongestAgoMakesRoom) {
    SentRecords sent;
    for (uint64_t session = 0; session < SentRecords::sessions_max; ++session) {
        begin(sent, session, 1);
        sent.take(question(session, 1));
        sent.answered(question(session, 1), {}, {a});
    }
    sent.answered(question(0, 2), sent.take(question(0, 2)), {});
    sent.take(question(100, 1));
    EXPECT_THAT(sent.take(question(0, 3)), UnorderedElementsAre(a));
    EXPECT_THAT(sent.take(question(1, 2)), IsEmpty());
}

TEST(SentRecordsTest, ASessionIsKnownToHaveABoundedNumberOfRecords) {
    SentRecords sent;
    begin(sent, 1, 1);
    sent.take(question(1, 1));
    std::vector<absl::uint128> page(SentRecords::records_max + 5);
    for (size_t i = 0; i < page.size(); ++i) {
        page[i] = i;
    }
    sent.answered(question(1, 1), {}, std::move(page));
    EXPECT_EQ(sent.take(question(1, 2)).size(), SentRecords::records_max);
}

}  // namespace
}  // namespace starling::node
