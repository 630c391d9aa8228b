#include "client/session_marks.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace starling::client {
namespace {

TEST(SessionMarksTest, AnAnswersTokenTakesThePlaceOfThoseThatItsRequestSent) {
    SessionMarks marks(10);
    EXPECT_EQ(marks.of("", "k").token, "");
    marks.learn("", "k", marks.of("", "k").up_to, "a");
    EXPECT_EQ(marks.of("default", "k").token, "a") << "no name is the default's";
    const auto sent = marks.of("", "k");
    marks.learn("", "k", sent.up_to, "b");
    EXPECT_EQ(marks.of("", "k").token, "b");
    EXPECT_EQ(marks.of("", "other").token, "");
    EXPECT_EQ(marks.of("carts", "k").token, "");
}

TEST(SessionMarksTest, TokensThatCameWhileARequestWasUnderWayStayBesideItsAnswers) {
    SessionMarks marks(10);
    marks.learn("", "k", 0, "a");
    const auto first = marks.of("", "k");
    const auto second = marks.of("", "k");
    marks.learn("", "k", first.up_to, "b");
    marks.learn("", "k", second.up_to, "c");
    EXPECT_EQ(marks.of("", "k").token, "bc");
    const auto third = marks.of("", "k");
    marks.learn("", "k", third.up_to, "d");
    EXPECT_EQ(marks.of("", "k").token, "d");
    marks.learn("", "k", third.up_to, "");
    EXPECT_EQ(marks.of("", "k").token, "d") << "no token is no news";
}

TEST(SessionMarksTest, BeyondItsKeysTheOneUnusedForTheLongestIsForgottenAndCounted) {
    SessionMarks marks(2);
    marks.learn("", "a", 0, "1");
    marks.learn("", "b", 0, "2");
    marks.learn("", "a", marks.of("", "a").up_to, "3");
    EXPECT_EQ(marks.forgotten(), 0u);
    marks.learn("", "c", 0, "4");
    EXPECT_EQ(marks.forgotten(), 1u);
    EXPECT_EQ(marks.of("", "b").token, "");
    EXPECT_EQ(marks.of("", "a").token, "3");
    EXPECT_EQ(marks.of("", "c").token, "4");
}

TEST(SessionMarksTest, ManyTokensOfOneKeyStayBelowWhatANodeTakes) {
    SessionMarks marks(2);
    const std::string token(1000, 't');
    for (int i = 0; i < 100; ++i) {
        marks.learn("", "k", 0, token);
    }
    EXPECT_LE(marks.of("", "k").token.size(), SessionMarks::bytes_per_key_max);
    EXPECT_EQ(marks.forgotten(), 100 - SessionMarks::bytes_per_key_max / token.size());
    const std::string large(SessionMarks::bytes_per_key_max + 1, 'l');
    marks.learn("", "k", marks.of("", "k").up_to, large);
    EXPECT_EQ(marks.of("", "k").token, large) << "the latest stays whatever it takes";
}

TEST(SessionMarksTest, AllOfItCanBeHandedOn) {
    SessionMarks marks(10);
    marks.learn("carts", "a", 0, "1");
    marks.learn("", "b", 0, "2");
    marks.learn("", "b", 0, "3");
    const auto all = marks.all();
    ASSERT_EQ(all.size(), 2u);
    EXPECT_EQ(all[0].name_space, "carts");
    EXPECT_EQ(all[0].key, "a");
    EXPECT_EQ(all[1].name_space, "default");
    EXPECT_EQ(all[1].token, "23");
}

}  // namespace
}  // namespace starling::client
