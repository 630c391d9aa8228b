// Puts of values that expire, and reads of them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/node/coordinator/rig.h"

namespace starling::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Kind = peer::ReplicaMessage;
using testing::CoordinatorRig;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::Sent;

struct ExpiryTest : ::testing::Test {
    uint64_t now_ms() const { return base::to_unix_ms(rig.wall_clock.wall_now()); }
    PutRequest expiring(const std::string& value, base::Duration in) {
        PutRequest request = rig.put_request("k", value);
        request.blind = true;
        request.expires_ms = now_ms() + static_cast<uint64_t>(in / milliseconds(1));
        return request;
    }
    std::shared_ptr<CoordinatorRig::PutOutcome> put(PutRequest request) {
        const auto outcome = rig.put(std::move(request));
        rig.settle();
        for (const Sent& sent : rig.take_sent()) {
            if (sent.message.has_write() && sent.to == rig.holder(1)) {
                rig.acknowledge(sent.to, sent.message, rig.seat(1));
            }
        }
        return outcome;
    }
    static std::string reason_of(const CoordinatorRig::PutOutcome& outcome) {
        EXPECT_TRUE(outcome.result.has_value());
        return outcome.result.has_value() && !outcome.result->ok()
                   ? base::reason_of(outcome.result->status())
                   : "accepted";
    }
    // A read of this node alone.
    GetResult get() {
        const auto outcome = rig.get("k", 1);
        rig.settle();
        rig.take_sent();
        EXPECT_TRUE(outcome->result.has_value() && outcome->result->ok());
        return **outcome->result;
    }

    CoordinatorRig rig;
};

TEST_F(ExpiryTest, AValueIsShownWithItsExpiryUntilThatAndThenNotAtAll) {
    const PutRequest request = expiring("value", seconds(30));
    EXPECT_EQ(reason_of(*put(request)), "accepted");
    const GetResult before = get();
    ASSERT_EQ(before.values.size(), 1u);
    EXPECT_EQ(before.values[0].value, "value");
    EXPECT_EQ(before.values[0].expires_ms, request.expires_ms);
    rig.pass(seconds(30) - milliseconds(1));
    EXPECT_EQ(get().values.size(), 1u);
    rig.pass(milliseconds(1));
    EXPECT_THAT(get().values, IsEmpty());
}

TEST_F(ExpiryTest, TheContextOfAReadThatShowsNothingHasSeenTheExpiredValue) {
    put(expiring("value", seconds(1)));
    rig.pass(seconds(1));
    PutRequest next = rig.put_request("k", "next");
    next.context = get().context;
    put(std::move(next));
    EXPECT_THAT(testing::values(*rig.stored("k")), ElementsAre("next"));
}

TEST_F(ExpiryTest, APlainPutClearsTheExpiry) {
    put(expiring("value", seconds(1)));
    rig.put_everywhere("k", "plain");
    rig.pass(seconds(10));
    ASSERT_EQ(get().values.size(), 1u);
    EXPECT_EQ(get().values[0].expires_ms, 0u);
}

TEST_F(ExpiryTest, WhatReplicasCompareDoesNotChangeWhenAValueExpires) {
    put(expiring("value", seconds(1)));
    rig.get("k", 2);
    rig.settle();
    const uint64_t before = rig.only(rig.take_sent(), rig.holder(1), Kind::kRead).read().digest();
    rig.pass(seconds(2));
    rig.take_sent();
    const auto outcome = rig.get("k", 2);
    rig.settle();
    const auto read = rig.only(rig.take_sent(), rig.holder(1), Kind::kRead);
    EXPECT_EQ(read.read().digest(), before);
    rig.answer_same(rig.holder(1), read, rig.seat(1), rig.stored("k")->context);
    ASSERT_TRUE(outcome->result.has_value() && outcome->result->ok());
    EXPECT_THAT((*outcome->result)->values, IsEmpty());
    EXPECT_EQ((*outcome->result)->receipt.repairs_sent, 0u);
}

TEST_F(ExpiryTest, AValueThatHasExpiredBeforeItIsMintedIsRefusedAndLeavesNoDot) {
    PutRequest late = expiring("value", seconds(1));
    rig.pass(seconds(1));
    const auto outcome = put(std::move(late));
    EXPECT_EQ(reason_of(*outcome), base::reason::expiry_passed);
    EXPECT_TRUE(absl::IsFailedPrecondition(outcome->result->status()));
    EXPECT_TRUE(rig.store_rig.store.frontier(testing::the_group).empty());
    EXPECT_EQ(*rig.stored("k"), Record{});
}

TEST_F(ExpiryTest, ARetryIsAnsweredWithWhatIsRecordedAlsoWhenThatHasExpired) {
    const PutRequest request = expiring("value", seconds(5));
    put(request);
    PutRequest again = request;
    again.expires_ms += 1'000'000;
    const auto retried = put(again);
    ASSERT_TRUE(retried->result.has_value() && retried->result->ok());
    EXPECT_TRUE((*retried->result)->is_repeat);
    EXPECT_EQ(rig.stored("k")->siblings.front().expires_ms, request.expires_ms);
    rig.pass(seconds(6));
    const auto late = put(request);
    ASSERT_TRUE(late->result.has_value() && late->result->ok()) << late->result->status();
    EXPECT_TRUE((*late->result)->is_repeat);
}

}  // namespace
}  // namespace starling::node
