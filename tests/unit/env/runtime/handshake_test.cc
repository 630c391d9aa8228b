#include "env/posix/handshake.h"

#include <string>

#include <gtest/gtest.h>

#include "base/error.h"

namespace starling::env {
namespace {

Challenge challenge_of(uint8_t byte) {
    Challenge challenge;
    challenge.fill(byte);
    return challenge;
}

class HandshakeTest : public ::testing::Test {
  protected:
    void exchange_hellos() {
        ASSERT_TRUE(acceptor_.take_hello(dialer_.hello()).ok());
        ASSERT_TRUE(dialer_.take_hello(acceptor_.hello()).ok());
    }

    Handshake dialer_{Handshake::Role::dialer, "secret", challenge_of(1)};
    Handshake acceptor_{Handshake::Role::acceptor, "secret", challenge_of(2)};
};

TEST_F(HandshakeTest, TwoHoldersOfTheSecretAcceptEachOther) {
    exchange_hellos();
    EXPECT_TRUE(acceptor_.check_proof(dialer_.proof()).ok());
    EXPECT_TRUE(dialer_.check_answer(acceptor_.accept()).ok());
}

TEST_F(HandshakeTest, TheMessagesHaveTheirFixedSizes) {
    EXPECT_EQ(dialer_.hello().size(), hello_bytes);
    EXPECT_EQ(acceptor_.hello().size(), hello_bytes);
    exchange_hellos();
    EXPECT_EQ(dialer_.proof().size(), proof_bytes);
    EXPECT_EQ(acceptor_.accept().size(), answer_bytes);
    EXPECT_EQ(Handshake::refuse().size(), answer_bytes);
}

TEST_F(HandshakeTest, AnotherSecretIsNoticedByBothEnds) {
    Handshake stranger(Handshake::Role::dialer, "another secret", challenge_of(3));
    ASSERT_TRUE(acceptor_.take_hello(stranger.hello()).ok());
    ASSERT_TRUE(stranger.take_hello(acceptor_.hello()).ok());
    const absl::Status refused = acceptor_.check_proof(stranger.proof());
    EXPECT_EQ(refused.code(), absl::StatusCode::kPermissionDenied);
    EXPECT_EQ(base::reason_of(refused), base::reason::wrong_secret);
    EXPECT_FALSE(stranger.check_answer(acceptor_.accept()).ok());
    EXPECT_EQ(base::reason_of(stranger.check_answer(Handshake::refuse())),
              base::reason::wrong_secret);
}

TEST_F(HandshakeTest, ARecordedProofIsWorthNothingAgainstAFreshChallenge) {
    exchange_hellos();
    const std::string recorded_hello = dialer_.hello();
    const std::string recorded_proof = dialer_.proof();
    Handshake later(Handshake::Role::acceptor, "secret", challenge_of(9));
    ASSERT_TRUE(later.take_hello(recorded_hello).ok());
    EXPECT_FALSE(later.check_proof(recorded_proof).ok());
}

TEST_F(HandshakeTest, AProofSentBackToItsMakerIsWorthNothing) {
    exchange_hellos();
    EXPECT_FALSE(dialer_.check_proof(dialer_.proof()).ok());
    EXPECT_FALSE(acceptor_.check_proof(acceptor_.proof()).ok());
}

TEST_F(HandshakeTest, AnEmptyOrShortenedProofIsRefused) {
    exchange_hellos();
    EXPECT_FALSE(acceptor_.check_proof("").ok());
    EXPECT_FALSE(acceptor_.check_proof(dialer_.proof().substr(0, 31)).ok());
    EXPECT_FALSE(dialer_.check_answer("").ok());
    EXPECT_FALSE(dialer_.check_answer(std::string(1, '\0')).ok());
}

TEST_F(HandshakeTest, HellosOfOthersAreRefusedWithTheReason) {
    EXPECT_FALSE(acceptor_.take_hello("").ok());
    EXPECT_FALSE(acceptor_.take_hello(std::string(hello_bytes, 'G')).ok());
    EXPECT_FALSE(acceptor_.take_hello(acceptor_.hello()).ok());
    std::string newer = dialer_.hello();
    newer[8] = 2;
    const absl::Status refused = acceptor_.take_hello(newer);
    EXPECT_EQ(base::reason_of(refused), base::reason::incompatible);
    std::string reserved = dialer_.hello();
    reserved[10] = 7;
    EXPECT_TRUE(acceptor_.take_hello(reserved).ok());
}

}  // namespace
}  // namespace starling::env
