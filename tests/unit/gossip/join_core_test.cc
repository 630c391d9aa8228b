#include "gossip/join_core.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace starling::gossip {
namespace {

using namespace std::chrono_literals;

constexpr base::NodeId self{1};
constexpr base::NodeId member_a{2};
constexpr base::NodeId member_b{3};
const base::MonotonicTime start{};

MemberRecord record_of(base::NodeId id) {
    MemberRecord record;
    record.id = id;
    record.generation = 1;
    record.peer_address = "h:" + std::to_string(id.raw());
    return record;
}

ClusterIdentity identity(uint64_t id) {
    return {.id = base::ClusterId(id), .name = "flock", .partition_count = 256, .seats = 3};
}

class JoinCoreTest : public testing::Test {
  protected:
    JoinCoreTest() {
        cluster_.merge(record_of(member_a));
        cluster_.merge(record_of(member_b));
    }

    // Runs one step; its effects are in `out_`.
    template <typename Step>
    void step(Step body) {
        out_ = {};
        body();
    }
    void ask() {
        JoinOffer offer;
        offer.cluster = identity(10);
        offer.record = record_of(self);
        step([&] { core_.ask(std::move(offer), "known:1", start, out_); });
    }
    uint64_t nonce_asked() const { return out_.sends.at(0).message.join_request().nonce(); }
    void accept(uint64_t nonce) {
        const auto reply = make_grant(nonce, identity(20), cluster_, self);
        step([&] { core_.on_reply(member_b, reply, start + 1ms, out_); });
    }
    void tick(base::Duration at) {
        step([&] { core_.tick(record_of(self), cluster_, start + at, out_); });
    }

    GossipOptions options_;
    JoinCore core_{options_, 100};
    Membership cluster_;
    JoinCore::Effects out_;
};

TEST_F(JoinCoreTest, AskingGoesToTheKnownAddressAndIsRepeated) {
    ask();
    ASSERT_EQ(out_.sends.size(), 1u);
    EXPECT_EQ(out_.sends[0].to, "known:1");
    EXPECT_TRUE(out_.sends[0].to_node.is_none());
    EXPECT_EQ(core_.next_deadline(), start + options_.join_retry_interval);
    tick(options_.join_retry_interval);
    EXPECT_EQ(out_.sends.size(), 1u);
}

TEST_F(JoinCoreTest, TheGrantIsAdoptedThenAnnouncedThenDone) {
    ask();
    accept(nonce_asked());
    ASSERT_TRUE(out_.adopt.has_value());
    EXPECT_EQ(out_.adopt->cluster, identity(20));
    EXPECT_EQ(core_.next_deadline(), std::nullopt);
    step([&] {
        core_.adopted(absl::OkStatus(), out_);
        core_.announce(record_of(self), cluster_, start + 2ms, out_);
    });
    ASSERT_EQ(out_.sends.size(), 1u);
    EXPECT_EQ(out_.sends[0].to_node, member_b) << "the member that accepted us is asked first";
    EXPECT_FALSE(out_.finished.has_value());
    peer::JoinAnnounced announced;
    announced.set_nonce(out_.sends[0].message.join_announce().nonce());
    step([&] { core_.on_announced(announced, out_); });
    EXPECT_TRUE(out_.is_acknowledged);
    EXPECT_TRUE(out_.finished.value().ok());
    step([&] { core_.on_announced(announced, out_); });
    EXPECT_FALSE(out_.finished.has_value());
}

TEST_F(JoinCoreTest, EachMemberIsToldInTurnUntilOneAnswers) {
    step([&] { core_.announce(record_of(self), cluster_, start, out_); });
    EXPECT_EQ(out_.sends.at(0).to_node, member_a);
    tick(options_.join_retry_interval);
    EXPECT_EQ(out_.sends.at(0).to_node, member_b);
    tick(2 * options_.join_retry_interval);
    EXPECT_EQ(out_.sends.at(0).to_node, member_a);
    tick(1h);
    EXPECT_EQ(out_.sends.size(), 1u) << "without a caller there is no time-out";
}

TEST_F(JoinCoreTest, ARefusalEndsTheJoin) {
    ask();
    const auto refusal = make_refusal(
        nonce_asked(), base::make_error(absl::StatusCode::kFailedPrecondition, "has_data", "no"));
    step([&] { core_.on_reply(member_a, refusal, start, out_); });
    EXPECT_EQ(base::reason_of(out_.finished.value()), "has_data");
    EXPECT_EQ(core_.state(), JoinCore::State::idle);
}

TEST_F(JoinCoreTest, ABusyNodeIsAskedAgainUntilTheTimeOut) {
    ask();
    const auto refusal =
        make_refusal(nonce_asked(), base::make_error(absl::StatusCode::kUnavailable, "busy", "no"));
    step([&] { core_.on_reply(member_a, refusal, start, out_); });
    EXPECT_FALSE(out_.finished.has_value());
    tick(options_.join_retry_interval);
    EXPECT_EQ(out_.sends.size(), 1u);
    tick(options_.join_timeout);
    EXPECT_EQ(base::reason_of(out_.finished.value()), "busy");
}

TEST_F(JoinCoreTest, NoAnswerIsADeadlineAndALateOneIsIgnored) {
    ask();
    const uint64_t nonce = nonce_asked();
    tick(options_.join_timeout);
    EXPECT_TRUE(absl::IsDeadlineExceeded(out_.finished.value()));
    accept(nonce);
    EXPECT_FALSE(out_.adopt.has_value());
}

TEST_F(JoinCoreTest, TheAnswerToAnotherRequestIsIgnored) {
    ask();
    accept(nonce_asked() + 1);
    EXPECT_FALSE(out_.adopt.has_value());
    EXPECT_EQ(core_.state(), JoinCore::State::asking);
}

TEST_F(JoinCoreTest, ASecondGrantIsNotAdoptedTwice) {
    ask();
    const uint64_t nonce = nonce_asked();
    accept(nonce);
    EXPECT_TRUE(out_.adopt.has_value());
    accept(nonce);
    EXPECT_FALSE(out_.adopt.has_value());
}

TEST_F(JoinCoreTest, AFailedAdoptionEndsTheJoin) {
    ask();
    accept(nonce_asked());
    step([&] { core_.adopted(absl::ResourceExhaustedError("disk full"), out_); });
    EXPECT_TRUE(absl::IsResourceExhausted(out_.finished.value()));
    EXPECT_EQ(core_.state(), JoinCore::State::idle);
}

TEST_F(JoinCoreTest, ATimeOutWhileAnnouncingTellsTheCallerAndGoesOn) {
    ask();
    accept(nonce_asked());
    step([&] {
        core_.adopted(absl::OkStatus(), out_);
        core_.announce(record_of(self), cluster_, start, out_);
    });
    tick(options_.join_timeout);
    EXPECT_TRUE(absl::IsDeadlineExceeded(out_.finished.value()));
    EXPECT_EQ(out_.sends.size(), 1u);
    EXPECT_EQ(core_.state(), JoinCore::State::announcing);
}

TEST_F(JoinCoreTest, NobodyToTellSendsNothing) {
    Membership alone;
    alone.merge(record_of(self));
    step([&] { core_.announce(record_of(self), alone, start, out_); });
    EXPECT_TRUE(out_.sends.empty());
}

}  // namespace
}  // namespace starling::gossip
