#include "base/byte_limit.h"

#include <thread>

#include <gtest/gtest.h>

namespace starling::base {
namespace {

TEST(ByteLimitTest, WhatFitsIsTakenAndWhatDoesNotIsRefusedAndCounted) {
    ByteLimit limit(100);
    EXPECT_TRUE(limit.take(60));
    EXPECT_TRUE(limit.take(40));
    EXPECT_FALSE(limit.take(1));
    EXPECT_EQ(limit.bytes(), 100u);
    EXPECT_EQ(limit.refused(), 1u);
    limit.give_back(60);
    EXPECT_FALSE(limit.take(61));
    EXPECT_TRUE(limit.take(60));
    EXPECT_EQ(limit.refused(), 2u);
}

TEST(ByteLimitTest, OnePieceAboveTheLimitIsTakenBesideTheOthers) {
    ByteLimit limit(100);
    EXPECT_TRUE(limit.take(100));
    EXPECT_TRUE(limit.take(UINT64_MAX / 2));
    EXPECT_FALSE(limit.take(101)) << "a second one";
    limit.give_back(100);
    EXPECT_TRUE(limit.take(50)) << "it holds up no others";
    limit.give_back(UINT64_MAX / 2);
    EXPECT_EQ(limit.bytes(), 50u);
    EXPECT_TRUE(limit.take(101));
}

TEST(ByteLimitTest, ThreadsTogetherTakeNoMoreThanTheLimit) {
    ByteLimit limit(1000);
    std::atomic<uint64_t> taken = 0;
    const auto take_some = [&] {
        for (int i = 0; i < 1000; ++i) {
            taken += limit.take(3) ? 3 : 0;
        }
    };
    std::thread other(take_some);
    take_some();
    other.join();
    EXPECT_EQ(taken, 999u);
    EXPECT_EQ(limit.bytes(), 999u);
}

}  // namespace
}  // namespace starling::base
