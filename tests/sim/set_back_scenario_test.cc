#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/sim/forgotten_disk.h"

namespace starling::sim {
namespace {

using ::testing::ElementsAre;

class ForgottenDiskTest : public ForgottenDisk {};

// S39.
TEST_F(ForgottenDiskTest, WhatItLacksOfSealedLivesComesBackAndIsNotTakenForDeleted) {
    int met = 0;
    for (uint64_t seed = 1; seed <= 80 && met < 2; ++seed) {
        if (!is_set_back_among_new_holders(seed)) continue;
        ++met;
        for (int i = 0; i < 3; ++i) {
            EXPECT_THAT(read(4, 2).values, ElementsAre("v"));
            EXPECT_THAT(read(3, 2).values, ElementsAre("v"));
        }
        finish();
    }
    EXPECT_EQ(met, 2);
}

}  // namespace
}  // namespace starling::sim
