#include "node/replica/tombstone_counts.h"

#include <gtest/gtest.h>

namespace starling::node {
namespace {

TEST(TombstoneCountsTest, OneIsOldWhenItsSecondIs) {
    TombstoneCounts counts;
    counts.add(1'000);
    counts.add(1'999);
    counts.add(2'000);
    EXPECT_EQ(counts.old_count(), 0u);
    counts.set_old_before(1'999);
    EXPECT_EQ(counts.old_count(), 0u);
    counts.set_old_before(2'000);
    EXPECT_EQ(counts.old_count(), 2u);
    EXPECT_EQ(counts.count(), 3u);
}

TEST(TombstoneCountsTest, OneThatComesLateIsOldAtOnce) {
    TombstoneCounts counts;
    counts.set_old_before(60'000);
    counts.add(59'000);
    counts.add(60'000);
    EXPECT_EQ(counts.old_count(), 1u);
    EXPECT_EQ(counts.count(), 2u);
}

TEST(TombstoneCountsTest, WhatGoesIsCountedNoMoreOldOrYoung) {
    TombstoneCounts counts;
    for (const uint64_t created_ms : {1'000u, 1'500u, 9'000u, 9'500u}) {
        counts.add(created_ms);
    }
    counts.set_old_before(5'000);
    counts.remove(1'500);
    EXPECT_EQ(counts.old_count(), 1u);
    counts.remove(9'000);
    EXPECT_EQ(counts.old_count(), 1u);
    EXPECT_EQ(counts.count(), 2u);
    counts.set_old_before(10'000);
    EXPECT_EQ(counts.old_count(), 2u);
    counts.remove(1'000);
    counts.remove(9'500);
    EXPECT_EQ(counts.old_count(), 0u);
    EXPECT_EQ(counts.count(), 0u);
}

// Before they are counted, too.
TEST(TombstoneCountsTest, ThoseOfTheStartAreOldAndGoLikeOthers) {
    TombstoneCounts counts;
    counts.set_old_before(5'000);
    counts.remove(9'000);
    counts.add(9'500);
    counts.add_from_start(3);
    EXPECT_EQ(counts.count(), 3u);
    EXPECT_EQ(counts.old_count(), 2u);
    counts.remove(1'000);
    counts.remove(9'200);
    counts.remove(9'500);
    EXPECT_EQ(counts.count(), 0u);
    EXPECT_EQ(counts.old_count(), 0u);
}

}  // namespace
}  // namespace starling::node
