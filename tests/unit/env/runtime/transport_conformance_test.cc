// What every Transport must do, on the real one and the simulated one.

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/error.h"
#include "tests/unit/env/runtime/rig.h"

namespace starling::env {
namespace {

class TransportConformance : public ::testing::TestWithParam<RigKind> {
  protected:
    absl::Status send(TransportNode& from, const Address& to, std::string frame) {
        absl::Status status;
        from.run([&] { status = from.transport().send(to, std::move(frame)); });
        return status;
    }

    bool wait_for_frames(const TransportNode& node, size_t count) {
        return rig_->wait_until([&] { return node.received.size() >= count; });
    }

    // Sends until one arrives, as whoever needs an answer does.
    bool wait_until_heard(TransportNode& from, TransportNode& to, const std::string& frame) {
        const size_t before = to.received.size();
        for (int attempt = 0; attempt < 100 && to.received.size() == before; ++attempt) {
            EXPECT_TRUE(send(from, to.address(), frame).ok());
            rig_->settle();
        }
        return to.received.size() > before;
    }

    absl::Status peer_status(TransportNode& node, const Address& peer) {
        absl::Status status;
        node.run([&] { status = node.transport().peer_status(peer); });
        return status;
    }

    std::unique_ptr<Rig> rig_ = GetParam().make();
    std::unique_ptr<TransportNode> a_ = rig_->make_node("secret");
    std::unique_ptr<TransportNode> b_ = rig_->make_node("secret");
};

TEST_P(TransportConformance, FramesArriveWholeAndInOrder) {
    for (int i = 0; i < 2000; ++i) {
        ASSERT_TRUE(send(*a_, b_->address(), std::to_string(i)).ok());
    }
    ASSERT_TRUE(wait_for_frames(*b_, 2000));
    const std::vector<ReceivedFrame> frames = b_->received.items();
    ASSERT_EQ(frames.size(), 2000u);
    for (size_t i = 0; i < frames.size(); ++i) {
        ASSERT_EQ(frames[i].frame, std::to_string(i));
        ASSERT_EQ(frames[i].connection, frames[0].connection);
    }
}

TEST_P(TransportConformance, FramesOfAnySizeAndContentArriveUnchanged) {
    std::vector<std::string> sent;
    for (const size_t size :
         {0u, 1u, 8u, 9u, 1000u, 32767u, 32768u, 131072u, 5000000u, 3u, 70000u}) {
        std::string frame(size, '\0');
        for (size_t i = 0; i < size; ++i) {
            frame[i] = static_cast<char>(i * 31 + size);
        }
        sent.push_back(frame);
        ASSERT_TRUE(send(*a_, b_->address(), frame).ok());
    }
    ASSERT_TRUE(wait_for_frames(*b_, sent.size()));
    const std::vector<ReceivedFrame> frames = b_->received.items();
    for (size_t i = 0; i < sent.size(); ++i) {
        EXPECT_TRUE(frames[i].frame == sent[i]) << "frame " << i;
    }
}

TEST_P(TransportConformance, AReplyGoesBackOverTheConnectionTheFrameCameInOn) {
    b_->on_frame = [&](const Delivery& delivery) {
        EXPECT_TRUE(
            b_->transport().reply(delivery.connection, "re: " + std::string(delivery.frame)).ok());
    };
    ASSERT_TRUE(send(*a_, b_->address(), "question").ok());
    ASSERT_TRUE(wait_for_frames(*a_, 1));
    EXPECT_EQ(a_->received.items()[0].frame, "re: question");
}

TEST_P(TransportConformance, TheDialerMayAnswerAReply) {
    a_->on_frame = [&](const Delivery& delivery) {
        EXPECT_TRUE(a_->transport().reply(delivery.connection, "third").ok());
    };
    b_->on_frame = [&](const Delivery& delivery) {
        if (delivery.frame == "first") {
            EXPECT_TRUE(b_->transport().reply(delivery.connection, "second").ok());
        }
    };
    ASSERT_TRUE(send(*a_, b_->address(), "first").ok());
    ASSERT_TRUE(wait_for_frames(*b_, 2));
    EXPECT_EQ(b_->received.items()[1].frame, "third");
}

TEST_P(TransportConformance, ANodeMaySendToItself) {
    ASSERT_TRUE(send(*a_, a_->address(), "me").ok());
    ASSERT_TRUE(wait_for_frames(*a_, 1));
    EXPECT_EQ(a_->received.items()[0].frame, "me");
}

TEST_P(TransportConformance, AReplyToAConnectionThatIsGoneIsDropped) {
    a_->run([&] { EXPECT_TRUE(a_->transport().reply(987654, "nobody").ok()); });
    rig_->settle();
    EXPECT_EQ(b_->received.size(), 0u);
}

TEST_P(TransportConformance,
       AFrameToAnAddressWhereNobodyListensVanishesAndThePeerIsSaidToBeUnavailable) {
    const Address nobody = rig_->unused_address();
    EXPECT_TRUE(peer_status(*a_, nobody).ok());
    EXPECT_TRUE(send(*a_, nobody, "lost").ok());
    ASSERT_TRUE(wait_until_heard(*a_, *b_, "others are still reached"));
    rig_->settle();
    EXPECT_EQ(peer_status(*a_, nobody).code(), absl::StatusCode::kUnavailable);
}

TEST_P(TransportConformance, WhatIsNoAddressIsRefused) {
    for (const char* address : {"", "nowhere", "127.0.0.1", ":4001", "127.0.0.1:", "127.0.0.1:x"}) {
        EXPECT_EQ(send(*a_, address, "frame").code(), absl::StatusCode::kInvalidArgument)
            << address;
    }
}

TEST_P(TransportConformance, AFrameThatIsTooLongIsRefused) {
    EXPECT_EQ(send(*a_, b_->address(), std::string(frame_bytes_max + 1, 'x')).code(),
              absl::StatusCode::kInvalidArgument);
}

TEST_P(TransportConformance, AnotherSecretLetsNoFramePassInEitherDirectionAndIsReported) {
    const std::unique_ptr<TransportNode> stranger = rig_->make_node("another secret");
    for (int i = 0; i < 3; ++i) {
        EXPECT_TRUE(send(*stranger, b_->address(), "let me in").ok());
        EXPECT_TRUE(send(*b_, stranger->address(), "hello?").ok());
        rig_->settle();
    }
    const absl::Status refused = peer_status(*stranger, b_->address());
    EXPECT_EQ(refused.code(), absl::StatusCode::kPermissionDenied);
    EXPECT_EQ(base::reason_of(refused), base::reason::wrong_secret);
    EXPECT_EQ(peer_status(*b_, stranger->address()).code(), absl::StatusCode::kPermissionDenied);
    EXPECT_EQ(b_->received.size(), 0u);
    EXPECT_EQ(stranger->received.size(), 0u);
    EXPECT_TRUE(wait_until_heard(*a_, *b_, "a friend"));
}

TEST_P(TransportConformance, AfterAPeersRestartFramesPassAgainInBothDirections) {
    ASSERT_TRUE(wait_until_heard(*a_, *b_, "before"));
    ASSERT_TRUE(wait_until_heard(*b_, *a_, "before"));
    const Address address = b_->address();
    b_->restart();
    EXPECT_EQ(b_->address(), address);
    EXPECT_TRUE(wait_until_heard(*a_, *b_, "after"));
    EXPECT_TRUE(wait_until_heard(*b_, *a_, "after"));
    EXPECT_TRUE(peer_status(*a_, address).ok());
}

INSTANTIATE_TEST_SUITE_P(Runtime,
                         TransportConformance,
                         ::testing::ValuesIn(rig_kinds),
                         [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace starling::env
